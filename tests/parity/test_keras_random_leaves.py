# SPDX-License-Identifier: BSD-3-Clause
"""Activations, initializers, regularizers, constraints, schedules, losses and metrics against the real Keras 3 on random
configurations and shapes. (Optimizers: test_optimizer_trajectories.py; overlap and focal losses, CTC: test_keras_special_losses.py.)"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

from lstmfast import activations, constraints, initializers, losses, metrics, regularizers
from lstmfast.optimizers import schedules
from lstmfast.saving.registry import serialize_keras_object

pytestmark = pytest.mark.filterwarnings("ignore")

SEEDS = st.integers(0, 2**31)
SHARES = st.floats(0.0, 1.0, width=32)
# Steps of a hundredth, which float32 and Python's floats spell alike in a configuration.
POSITIVE = st.integers(1, 300).map(lambda n: n / 100)

Options = dict[str, st.SearchStrategy[Any]]


def close(ours: Any, theirs: Any, tolerance: float = 1e-5, least: float = 1e-30) -> None:
    """`least`: the magnitude of what was added up, where it may cancel."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max(initial=0.0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(scale, least))


def numpy_of(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def shapes(least: int = 1, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, 6), min_size=least, max_size=most).map(tuple)


def draw_options(data: st.DataObject, options: Options) -> dict[str, Any]:
    """Some of the options with values, the others left to their defaults."""
    return {name: data.draw(values, name) for name, values in options.items() if data.draw(st.booleans())}


def same_config(ours: Any, theirs: Any, module: Any, keras_module: Any) -> None:
    assert ours.get_config() == theirs.get_config()
    assert module.serialize(ours) == keras_module.serialize(theirs)
    assert module.get(keras_module.serialize(theirs)).get_config() == ours.get_config()


ACTIVATIONS: dict[str, Options] = {
    "relu": {"negative_slope": SHARES, "max_value": POSITIVE, "threshold": SHARES},
    "leaky_relu": {"negative_slope": SHARES},
    "elu": {"alpha": POSITIVE},
    "celu": {"alpha": POSITIVE},
    "gelu": {"approximate": st.booleans()},
    "softmax": {"axis": st.sampled_from([-1, 1])},
    "log_softmax": {"axis": st.sampled_from([-1, 0])},
    "hard_shrink": {"threshold": POSITIVE},
    "soft_shrink": {"threshold": POSITIVE},
    "squareplus": {"b": POSITIVE},
    "threshold": {"threshold": SHARES, "default_value": POSITIVE},
    **{
        name: {}
        for name in (
            "exponential", "hard_sigmoid", "hard_silu", "hard_tanh", "linear", "log_sigmoid", "mish", "relu6", "selu", "sigmoid",
            "silu", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "swish", "tanh", "tanh_shrink",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.data(), shapes(2), SEEDS)
def test_activation(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    x = np.random.default_rng(seed).normal(0, 3, shape).astype(np.float32)
    options = draw_options(data, ACTIVATIONS[name])
    if name == "threshold":
        options = {"threshold": 0.5, "default_value": 0.0} | options
    theirs = getattr(keras.activations, name)(torch.tensor(x), **options)
    close(getattr(activations, name)(x, **options), numpy_of(theirs))


def test_every_activation_is_compared() -> None:
    apart = {"get", "serialize", "deserialize"}
    apart |= {"glu", "sparsemax"}  # which halves an axis; whose rows do not add up to 1 in Keras 3.15
    assert {n for n in dir(keras.activations) if n[0] != "_"} - apart <= {*ACTIVATIONS, "hard_swish"}


INITIALIZERS: dict[str, Options] = {
    "RandomNormal": {"mean": POSITIVE, "stddev": POSITIVE},
    "RandomUniform": {"minval": SHARES.map(lambda x: -x), "maxval": POSITIVE},
    "TruncatedNormal": {"mean": POSITIVE, "stddev": POSITIVE},
    "VarianceScaling": {
        "scale": POSITIVE,
        "mode": st.sampled_from(["fan_in", "fan_out", "fan_avg"]),
        "distribution": st.sampled_from(["truncated_normal", "untruncated_normal", "uniform"]),
    },
    **{name: {} for name in ("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform")},
    "Orthogonal": {"gain": POSITIVE},
}  # fmt: skip
# Of kernels of Dense, of convolutions, of attention.
WEIGHT_SHAPES = st.tuples(st.integers(1, 4), st.integers(20, 60), st.integers(400, 900)).map(
    lambda s: s[1:] if s[0] == 1 else s
)


@pytest.mark.parametrize("name", INITIALIZERS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.data(), WEIGHT_SHAPES, SEEDS)
def test_initializer_statistics(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    options = draw_options(data, INITIALIZERS[name]) | {"seed": seed}
    ours = getattr(initializers, name)(**options)
    theirs = getattr(keras.initializers, name)(**options)
    same_config(ours, theirs, initializers, keras.initializers)
    a, b = ours(shape), numpy_of(theirs(shape))
    assert a.dtype == np.float32 and a.shape == b.shape
    # At least 8,000 draws each: the mean errs by 0.011 of a standard deviation, that by 0.008 of itself; six times that.
    assert abs(a.mean() - b.mean()) < 6 * 0.011 * np.sqrt(2) * b.std()
    assert abs(a.std() / b.std() - 1) < 6 * 0.008 * np.sqrt(2)
    if (
        "Uniform" in name
    ):  # Keras on PyTorch does not cut normal numbers off at two standard deviations, as it documents
        assert abs(np.abs(a).max() / np.abs(b).max() - 1) < 0.01


REGULARIZERS: dict[str, Options] = {
    "L1": {"l1": POSITIVE},
    "L2": {"l2": POSITIVE},
    "L1L2": {"l1": POSITIVE, "l2": POSITIVE},
    "OrthogonalRegularizer": {"factor": POSITIVE, "mode": st.sampled_from(["rows", "columns"])},
}


@pytest.mark.parametrize("name", REGULARIZERS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.data(), shapes(), SEEDS)
def test_regularizer(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    if name == "OrthogonalRegularizer":
        shape = data.draw(st.tuples(st.integers(2, 6), st.integers(2, 6)))
    options = draw_options(data, REGULARIZERS[name])
    ours, theirs = getattr(regularizers, name)(**options), getattr(keras.regularizers, name)(**options)
    same_config(ours, theirs, regularizers, keras.regularizers)
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    value = theirs(tensor)
    close(ours(x), value.detach().numpy())
    if value.requires_grad:  # not for factors of 0
        value.backward()
    wanted = np.zeros_like(x) if tensor.grad is None else tensor.grad.numpy()
    # The largest terms of an orthogonal regularizer's gradient cancel, where rows are nearly orthogonal.
    scale = max(np.abs(wanted).max(), options.get("factor", 0.01) if "Orthogonal" in name else 0.0)
    assert np.abs(ours.gradient(x) - wanted).max() <= 1e-5 * scale


CONSTRAINTS: dict[str, Options] = {
    "MaxNorm": {"max_value": POSITIVE, "axis": st.integers(0, 1)},
    "NonNeg": {},
    "UnitNorm": {"axis": st.sampled_from([0, 1, [0, 1]])},
    "MinMaxNorm": {"min_value": SHARES, "max_value": POSITIVE, "rate": SHARES, "axis": st.integers(0, 1)},
}


@pytest.mark.parametrize("name", CONSTRAINTS)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.data(), shapes(2), SEEDS)
def test_constraint(name: str, data: st.DataObject, shape: tuple[int, ...], seed: int) -> None:
    options = draw_options(data, CONSTRAINTS[name])
    ours, theirs = getattr(constraints, name)(**options), getattr(keras.constraints, name)(**options)
    same_config(ours, theirs, constraints, keras.constraints)
    x = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)
    close(ours(x), numpy_of(theirs(torch.tensor(x))))


STEPS, RATES = st.integers(2, 20), st.integers(1, 100).map(lambda n: n / 100)
SCHEDULES: dict[str, tuple[Options, Options]] = {  # arguments, options
    "ExponentialDecay": ({"initial_learning_rate": RATES, "decay_steps": STEPS, "decay_rate": RATES}, {"staircase": st.booleans()}),
    "InverseTimeDecay": ({"initial_learning_rate": RATES, "decay_steps": STEPS, "decay_rate": RATES}, {"staircase": st.booleans()}),
    "PolynomialDecay": (
        {"initial_learning_rate": RATES, "decay_steps": STEPS},
        {"end_learning_rate": RATES, "power": POSITIVE, "cycle": st.booleans()},
    ),
    "CosineDecay": (
        {"initial_learning_rate": RATES, "decay_steps": STEPS, "warmup_steps": STEPS},
        {"alpha": RATES, "warmup_target": RATES},
    ),
    "CosineDecayRestarts": (
        {"initial_learning_rate": RATES, "first_decay_steps": STEPS},
        {"t_mul": st.sampled_from([1.0, 1.5, 2.0]), "m_mul": RATES, "alpha": RATES},
    ),
    "PiecewiseConstantDecay": ({"boundaries": st.just([3, 7, 12]), "values": st.lists(RATES, min_size=4, max_size=4)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data())
def test_schedule(name: str, data: st.DataObject) -> None:
    required, optional = SCHEDULES[name]
    options = {key: data.draw(values, key) for key, values in required.items()} | draw_options(data, optional)
    ours, theirs = getattr(schedules, name)(**options), getattr(keras.optimizers.schedules, name)(**options)
    same_config(ours, theirs, schedules_module(), keras.optimizers.schedules)
    for step in data.draw(st.lists(st.integers(0, 60), min_size=5, max_size=5)):
        if name == "CosineDecayRestarts" and at_restart(step, **options):
            continue
        # float32 powers and cosines of Keras's on one side, float64 on ours.
        assert float(ours(step)) == pytest.approx(float(numpy_of(theirs(step))), rel=2e-5, abs=1e-7)


def at_restart(step: int, first_decay_steps: int, t_mul: float = 2.0, **_: Any) -> bool:
    """Whether a period begins here, which Keras's float32 logarithms may put a step later."""
    begin, period = 0.0, float(first_decay_steps)
    while begin < step:
        begin, period = begin + period, period * t_mul
    return begin == step > 0


def schedules_module() -> Any:
    class Module:
        serialize = staticmethod(schedules.serialize)
        get = staticmethod(schedules.deserialize)

    return Module


LABELS = {"label_smoothing": SHARES, "from_logits": st.booleans(), "axis": st.sampled_from([-1, 1])}
LOSSES: dict[str, tuple[Options, str]] = {
    "MeanSquaredError": ({}, "numbers"),
    "MeanAbsoluteError": ({}, "numbers"),
    "MeanAbsolutePercentageError": ({}, "positive"),
    "MeanSquaredLogarithmicError": ({}, "positive"),
    "CosineSimilarity": ({"axis": st.sampled_from([-1, 1])}, "numbers"),
    "Huber": ({"delta": POSITIVE}, "numbers"),
    "LogCosh": ({}, "numbers"),
    "Hinge": ({}, "numbers"),
    "SquaredHinge": ({}, "numbers"),
    "CategoricalHinge": ({}, "one_hot"),
    "KLDivergence": ({}, "distribution"),
    "Poisson": ({}, "positive"),
    "BinaryCrossentropy": (LABELS, "distribution"),
    "CategoricalCrossentropy": (LABELS, "distribution"),
    "SparseCategoricalCrossentropy": (
        {"from_logits": st.booleans(), "ignore_class": st.integers(0, 2), "axis": st.just(-1)}, "labels",
    ),
    "BinaryFocalCrossentropy": ({**LABELS, "alpha": SHARES, "gamma": POSITIVE, "apply_class_balancing": st.booleans()}, "distribution"),
    "CategoricalFocalCrossentropy": ({**LABELS, "alpha": SHARES, "gamma": POSITIVE}, "distribution"),
}  # fmt: skip
REDUCTIONS = st.sampled_from(["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None])


def labels_and_predictions(
    kind: str, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    y_pred = rng.normal(size=shape).astype(np.float32)
    if kind == "numbers":
        return rng.normal(size=shape).astype(np.float32), y_pred
    if kind == "positive":
        return rng.uniform(0.1, 3, shape).astype(np.float32), rng.uniform(0.1, 3, shape).astype(np.float32)
    y_pred = (np.exp(y_pred) / np.exp(y_pred).sum(-1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, shape[-1], shape[:-1])
    return (labels if kind == "labels" else np.eye(shape[-1], dtype=np.float32)[labels]), y_pred


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.data(), st.lists(st.integers(1, 6), min_size=1, max_size=2), st.integers(3, 6), SEEDS)
def test_loss(name: str, data: st.DataObject, rows: list[int], classes: int, seed: int) -> None:
    options, kind = LOSSES[name]
    drawn = draw_options(data, options) | {"reduction": data.draw(REDUCTIONS)}
    if drawn.get("axis") == 1:
        drawn.pop("label_smoothing", None)  # Keras 3.15 shares it out by the size of the last axis
    ours, theirs = getattr(losses, name)(**drawn), getattr(keras.losses, name)(**drawn)
    config = ours.get_config()
    # Keras 3.15 forgets these.
    assert {k: v for k, v in config.items() if k not in ("axis", "delta")} == {
        k: v for k, v in theirs.get_config().items() if k not in ("axis", "delta")
    }
    assert losses.get(losses.serialize(ours)).get_config() == config
    rng = np.random.default_rng(seed)
    y_true, y_pred = labels_and_predictions(kind, (*rows, classes), rng)
    weight = rng.uniform(0, 2, rows).astype(np.float32) if data.draw(st.booleans(), "weighted") else None
    if drawn.get("axis") == 1 and len(rows) > 1:
        weight = None  # the loss has the other axes then
    tensor = torch.tensor(y_pred, requires_grad=True)
    expected = theirs(torch.tensor(y_true), tensor, None if weight is None else torch.tensor(weight))
    expected.sum().backward()
    value, gradient = ours.value_and_grad(y_true, y_pred, weight)
    # The logarithm of Keras's clipped float32 probabilities: an ulp of those near 1 is much of their logarithm.
    tolerance = 2e-5 if "Focal" in name else 1e-5
    close(value, expected.detach().numpy(), tolerance)
    # The terms of a cosine's slope cancel: all of it where there is one number.
    close(gradient, tensor.grad.numpy(), tolerance, 1.0 if name == "CosineSimilarity" else 1e-30)


#: Arguments without a default that suits.
REQUIRED = {"recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5, "k": 2}
THRESHOLDS = {"thresholds": st.lists(SHARES, min_size=1, max_size=4)}
POINTS = {"num_thresholds": st.integers(3, 50)}
METRICS: dict[str, tuple[Options, str]] = {
    "MeanSquaredError": ({}, "numbers"),
    "RootMeanSquaredError": ({}, "numbers"),
    "MeanAbsoluteError": ({}, "numbers"),
    **dict.fromkeys(("Hinge", "SquaredHinge", "LogCoshError"), ({}, "numbers")),
    **dict.fromkeys(("MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Poisson"), ({}, "positive")),
    **dict.fromkeys(("KLDivergence", "CategoricalHinge", "Accuracy"), ({}, "one_hot")),
    "CosineSimilarity": ({"axis": st.just(-1)}, "numbers"),
    "R2Score": (
        {"num_regressors": st.integers(0, 2), "class_aggregation": st.sampled_from(["uniform_average", "variance_weighted_average", None])},
        "numbers",
    ),
    "PearsonCorrelation": ({"axis": st.sampled_from([-1, 0])}, "numbers"),
    "ConcordanceCorrelation": ({"axis": st.sampled_from([-1, 0])}, "numbers"),
    "BinaryAccuracy": ({"threshold": st.floats(0.01, 0.99)}, "one_hot"),
    "CategoricalAccuracy": ({}, "one_hot"),
    "SparseCategoricalAccuracy": ({}, "labels"),
    "TopKCategoricalAccuracy": ({"k": st.just(2)}, "one_hot"),
    "SparseTopKCategoricalAccuracy": ({"k": st.just(2), "from_sorted_ids": st.just(False)}, "labels"),
    "BinaryCrossentropy": ({"label_smoothing": SHARES, "from_logits": st.booleans()}, "one_hot"),
    "CategoricalCrossentropy": ({"label_smoothing": SHARES, "from_logits": st.booleans(), "axis": st.just(-1)}, "one_hot"),
    "SparseCategoricalCrossentropy": (
        {"from_logits": st.booleans(), "ignore_class": st.integers(0, 2), "axis": st.just(-1)}, "labels",
    ),
    **dict.fromkeys(("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"), (THRESHOLDS, "one_hot")),
    "Precision": ({**THRESHOLDS, "top_k": st.integers(1, 3), "class_id": st.integers(0, 2)}, "one_hot"),
    "Recall": ({**THRESHOLDS, "top_k": st.integers(1, 3), "class_id": st.integers(0, 2)}, "one_hot"),
    "AUC": (
        {
            **POINTS,
            "thresholds": st.lists(SHARES, min_size=1, max_size=4),
            "multi_label": st.booleans(),
            "num_labels": st.just(3),
            "label_weights": st.just([0.5, 1.0, 2.0]),
            "from_logits": st.booleans(),
            "curve": st.sampled_from(["ROC", "PR", "PRGAIN"]),
            "summation_method": st.sampled_from(["interpolation", "minoring", "majoring"]),
        },
        "one_hot",
    ),
    "PrecisionAtRecall": ({"recall": st.just(0.5), **POINTS, "class_id": st.integers(0, 2)}, "one_hot"),
    "RecallAtPrecision": ({"precision": st.just(0.5), **POINTS, "class_id": st.integers(0, 2)}, "one_hot"),
    "SensitivityAtSpecificity": ({"specificity": st.just(0.5), **POINTS, "class_id": st.integers(0, 2)}, "one_hot"),
    "SpecificityAtSensitivity": ({"sensitivity": st.just(0.5), **POINTS, "class_id": st.integers(0, 2)}, "one_hot"),
    "F1Score": ({"average": st.sampled_from([None, "micro", "macro", "weighted"]), "threshold": RATES}, "one_hot"),
    "FBetaScore": ({"average": st.sampled_from([None, "micro", "macro", "weighted"]), "beta": POSITIVE, "threshold": RATES}, "one_hot"),
}  # fmt: skip


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.data(), st.integers(3, 6), st.lists(st.integers(1, 9), min_size=1, max_size=3), SEEDS)
def test_metric(name: str, data: st.DataObject, classes: int, batches: list[int], seed: int) -> None:
    options, kind = METRICS[name]
    drawn = draw_options(data, options)
    if not drawn.get("multi_label"):
        drawn = {key: value for key, value in drawn.items() if key not in ("num_labels", "label_weights")}
    elif drawn.keys() & {"num_labels", "label_weights"}:
        classes = 3
    drawn |= {"name": "m"} | {key: REQUIRED[key] for key in options if key in REQUIRED}
    ours, theirs = getattr(metrics, name)(**drawn), getattr(keras.metrics, name)(**drawn)
    expected = theirs.get_config()
    if expected.get("label_weights") is not None:  # a tensor there
        expected["label_weights"] = numpy_of(expected["label_weights"]).tolist()
    assert ours.get_config() == expected
    assert metrics.get(serialize_keras_object(ours)).get_config() == ours.get_config()
    rng = np.random.default_rng(seed)
    weighted = data.draw(st.booleans(), "weighted") and drawn.get("axis") != 0  # whose values are of columns
    for rows in batches:
        y_true, y_pred = labels_and_predictions(kind, (rows, classes), rng)
        weight = rng.uniform(0.1, 2, rows).astype(np.float32) if weighted else None
        ours.update_state(y_true, y_pred, sample_weight=weight)
        theirs.update_state(y_true, y_pred, sample_weight=weight)
    # Sums of terms around 1 and -1; shares whose counts are differences of sums of weights.
    cancels = name.endswith(("Correlation", "Similarity", "R2Score"))
    # The sums of squares around a mean, which R2 divides by, are small differences of large float32 numbers in Keras.
    close(
        ours.result(),
        numpy_of(theirs.result()),
        1e-4 if name == "R2Score" else 1e-5,
        1.0 if cancels else 1e-2,
    )
