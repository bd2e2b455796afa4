# SPDX-License-Identifier: BSD-3-Clause
"""No public class of Keras's is forgotten: each, and each of its arguments, stands in a table that is drawn from, or below
with the test that compares it. (Layers: test_keras_every_layer.py.)"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras
from test_keras_random_leaves import (
    ACTIVATIONS,
    CONSTRAINTS,
    INITIALIZERS,
    LOSSES,
    METRICS,
    REGULARIZERS,
    SCHEDULES,
    numpy_of,
)
from test_optimizer_trajectories import HYPERPARAMETERS

from lstmfast import initializers, metrics

pytestmark = pytest.mark.filterwarnings("ignore")

LISTED = json.loads((Path(__file__).parents[2] / "tools" / "keras_names.json").read_text())

TABLES: dict[str, dict[str, Any]] = {
    "activations": ACTIVATIONS,
    "initializers": INITIALIZERS,
    "regularizers": REGULARIZERS,
    "constraints": CONSTRAINTS,
    "losses": {name: options for name, (options, _) in LOSSES.items()},
    "metrics": {name: options for name, (options, _) in METRICS.items()},
    "optimizers": HYPERPARAMETERS,
    "optimizers.schedules": {name: needed | options for name, (needed, options) in SCHEDULES.items()},
}
#: Where the others are compared.
ELSEWHERE = {
    "activations": {
        **dict.fromkeys(("get", "serialize", "deserialize"), "test_keras_leaf.py"),
        "glu": "halves an axis: test_keras_activation_functions.py",
        "sparsemax": "test_keras_activation_functions.py",
    },
    "initializers": {
        "Initializer": "the base class",
        "STFT": "not in lstmfast",
        **dict.fromkeys(("Constant", "Identity", "Ones", "Zeros"), "below"),
    },
    "regularizers": {"Regularizer": "the base class"},
    "constraints": {"Constraint": "the base class"},
    "losses": {
        "Loss": "the base class: test_keras_own_losses.py",
        **dict.fromkeys(
            ("CTC", "CategoricalGeneralizedCrossEntropy", "Circle", "Dice", "Tversky"),
            "test_keras_special_losses.py",
        ),
    },
    "metrics": {
        "Metric": "the base class: test_keras_metric_state.py",
        **dict.fromkeys(
            ("BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"), "test_keras_set_metrics.py"
        ),
        **dict.fromkeys(("Mean", "Sum", "MeanMetricWrapper"), "below"),
    },
    "optimizers": {
        "Optimizer": "the base class",
        **dict.fromkeys(
            ("LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"), "test_optimizer_trajectories.py"
        ),
        "ScheduleFreeAdamW": "Keras on PyTorch errs: test_keras_leaf.py, tests/optimizers",
    },
    "optimizers.schedules": {"LearningRateSchedule": "the base class"},
}
#: Arguments that a family's test gives all of its members.
OF_ALL = {
    "initializers": {"seed"},
    "losses": {"reduction"},
    "optimizers": {
        *(
            "learning_rate",
            "weight_decay",
            "clipnorm",
            "global_clipnorm",
            "clipvalue",
            "use_ema",
            "ema_momentum",
        ),
        *("ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps"),
    },
}
AXES = {"input_axes", "output_axes"}  # of initializers: below


@pytest.mark.parametrize("family", TABLES)
def test_every_class_and_every_argument_is_compared(family: str) -> None:
    module: Any = keras
    for part in family.split("."):
        module = getattr(module, part)
    table = TABLES[family]
    classes = {
        name: entry
        for name, entry in LISTED[family].items()
        if family == "activations" or inspect.isclass(getattr(module, name))
    }
    assert classes.keys() == table.keys() & classes.keys() | ELSEWHERE[family].keys()
    for name in classes.keys() & table.keys():
        documented = set(classes[name]["arguments"]) - {"name", "dtype", "x", *AXES, *OF_ALL.get(family, ())}
        assert documented <= table[name].keys(), name


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    st.sampled_from(["Constant", "Identity", "Ones", "Zeros"]),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.floats(-3, 3, width=32),
)
def test_initializers_without_chance(name: str, shape: tuple[int, int], value: float) -> None:
    arguments = {"Constant": {"value": value}, "Identity": {"gain": value}}.get(name, {})
    ours, theirs = (getattr(m, name)(**arguments) for m in (initializers, keras.initializers))
    if name != "Identity":  # whose gain Keras 3.15 forgets
        assert ours.get_config() == theirs.get_config()
    np.testing.assert_array_equal(ours(shape), numpy_of(theirs(shape)))


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [
            "VarianceScaling",
            "GlorotNormal",
            "GlorotUniform",
            "HeNormal",
            "HeUniform",
            "LecunNormal",
            "LecunUniform",
        ]
    ),
    st.permutations([0, 1, 2]),
    st.integers(1, 2),
)
def test_axes_that_fans_are_counted_over(name: str, order: list[int], count: int) -> None:
    axes = {"input_axes": order[:count], "output_axes": order[count:]}
    ours, theirs = (getattr(m, name)(**axes, seed=1) for m in (initializers, keras.initializers))
    assert ours.get_config() == theirs.get_config()
    a, b = ours((30, 40, 50)), numpy_of(theirs((30, 40, 50)))
    # 60,000 draws each: their deviations err by 0.003 of themselves; six times that.
    assert abs(a.std() / b.std() - 1) < 6 * 0.003 * np.sqrt(2)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.sampled_from(["Mean", "Sum", "MeanMetricWrapper"]),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_means_and_sums(name: str, batches: list[int], weighted: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    results = []
    arguments = {"fn": lambda y, p: abs(y - p)} if name == "MeanMetricWrapper" else {}
    pair = [getattr(m, name)(name="m", **arguments) for m in (metrics, keras.metrics)]
    for rows in batches:
        y, p = rng.normal(size=(2, rows, 3)).astype("float32")
        weight = rng.uniform(0.1, 2, rows).astype("float32") if weighted else None
        for metric in pair:
            metric.update_state(*((y, p) if arguments else (p,)), sample_weight=weight)
    results = [float(numpy_of(metric.result())) for metric in pair]
    assert results[0] == pytest.approx(results[1], rel=1e-5, abs=1e-5)
    for metric in pair:
        metric.reset_state()
        assert float(numpy_of(metric.result())) == 0
