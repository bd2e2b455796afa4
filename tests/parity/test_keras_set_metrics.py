# SPDX-License-Identifier: BSD-3-Clause
"""F scores, intersections over unions and correlations against the real Keras 3 over random batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras

from lstmfast import metrics
from lstmfast.saving.registry import serialize_keras_object

pytestmark = pytest.mark.filterwarnings("ignore")

often = settings(max_examples=50, deadline=None, derandomize=True)


def close(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours, np.float64), keras.ops.convert_to_numpy(theirs).astype(np.float64)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def stream(ours: Any, theirs: Any, batches: list[tuple[Any, Any, Any]]) -> None:
    """All batches, a reset, and the last again."""
    for y, p, weight in batches:
        ours.update_state(y, p, sample_weight=weight)
        theirs.update_state(y, p, sample_weight=weight)
        close(ours.result(), theirs.result())
    ours.reset_state()
    theirs.reset_state()
    close(ours(*batches[-1]), theirs(*batches[-1]))
    assert ours.get_config() == theirs.get_config()
    assert ours._direction == theirs._direction
    again = metrics.get(serialize_keras_object(ours))
    assert type(again) is type(ours) and again.get_config() == ours.get_config()


@often
@given(
    average=st.sampled_from((None, "micro", "macro", "weighted")),
    beta=st.floats(0.1, 3),
    threshold=st.one_of(st.none(), st.floats(0.1, 1)),
    weighted=st.booleans(),
    many=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_f_scores(
    average: str | None, beta: float, threshold: float | None, weighted: bool, many: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batches = []
    for size in (4, 1, 7):
        labels = rng.uniform(size=(size, 3)) > 0.5
        y = labels.astype(np.float32) if many else np.eye(3, dtype=np.float32)[rng.integers(0, 3, size)]
        p = rng.uniform(size=(size, 3)).astype(np.float32)
        batches.append((y, p, rng.uniform(size=size).astype(np.float32) if weighted else None))
    arguments: dict[str, Any] = {"average": average, "threshold": threshold, "name": "score"}
    stream(metrics.F1Score(**arguments), keras.metrics.F1Score(**arguments), batches)
    arguments["beta"] = beta
    stream(metrics.FBetaScore(**arguments), keras.metrics.FBetaScore(**arguments), batches)


@often
@given(
    classes=st.integers(2, 5),
    ignored=st.one_of(st.none(), st.just(-1), st.integers(0, 4)),
    shape=st.sampled_from(((6,), (3, 4), (2, 3, 2))),
    weighted=st.booleans(),
    sparse=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_intersections_over_unions(
    classes: int, ignored: int | None, shape: tuple[int, ...], weighted: bool, sparse: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    targets = sorted(int(i) for i in rng.choice(classes, rng.integers(1, classes + 1), replace=False))
    dtype = "float32" if weighted else None  # Keras's own type makes whole numbers of weights
    numbers, one_hot, both = [], [], []
    for _ in range(3):
        y, p = rng.integers(0, classes, shape), rng.integers(0, classes, shape)
        weight = rng.uniform(size=shape).astype(np.float32) if weighted else None
        scores = rng.normal(size=(*shape, classes)).astype(np.float32)
        numbers.append((y, p, weight))
        one_hot.append((np.eye(classes)[y], p if sparse else scores, weight))
        both.append((y if sparse else np.eye(classes)[y], scores, weight))
    common: dict[str, Any] = {"num_classes": classes, "ignore_class": ignored, "dtype": dtype, "name": "m"}
    layout: dict[str, Any] = {"sparse_y_true": sparse, "sparse_y_pred": False}
    for name, arguments, batches in (
        ("IoU", {"target_class_ids": targets}, numbers),
        ("IoU", {"target_class_ids": targets, **layout}, both),
        ("MeanIoU", {}, numbers),
        ("MeanIoU", layout, both),
        ("OneHotIoU", {"target_class_ids": targets, "sparse_y_pred": sparse}, one_hot),
        ("OneHotMeanIoU", {"sparse_y_pred": sparse}, one_hot),
    ):
        arguments = {**common, **arguments}
        stream(getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments), batches)


@often
@given(
    targets=st.sampled_from(([0], [1], [0, 1])),
    threshold=st.floats(0.1, 0.9),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_binary_intersection_over_union(
    targets: list[int], threshold: float, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    batches = [
        (
            rng.integers(0, 2, (4, 3)),
            rng.uniform(size=(4, 3)).astype(np.float32),
            rng.uniform(size=(4, 3)).astype(np.float32) if weighted else None,
        )
        for _ in range(3)
    ]
    arguments: dict[str, Any] = {"target_class_ids": targets, "threshold": threshold, "name": "m"}
    arguments["dtype"] = "float32" if weighted else None
    stream(metrics.BinaryIoU(**arguments), keras.metrics.BinaryIoU(**arguments), batches)


@often
@given(
    shape=st.sampled_from(((5, 4), (3, 6, 2))),
    axis=st.sampled_from((-1, 1)),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_correlations(shape: tuple[int, ...], axis: int, weighted: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batches = []
    for _ in range(3):
        y = rng.normal(size=shape).astype(np.float32)
        p = (y + rng.normal(size=shape)).astype(np.float32)
        batches.append((y, p, rng.uniform(size=shape[0]).astype(np.float32) if weighted else None))
    for name in ("PearsonCorrelation", "ConcordanceCorrelation"):
        arguments: dict[str, Any] = {"axis": axis, "name": "m"}
        stream(getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments), batches)


def test_all_names_of_keras_are_there() -> None:
    from keras.src.metrics import ALL_OBJECTS_DICT

    assert not [n for n in dir(keras.metrics) if n[0] != "_" and not hasattr(metrics, n)]
    for name, theirs in ALL_OBJECTS_DICT.items():
        if name not in ("Metric", "metric", "MeanMetricWrapper", "mean_metric_wrapper") and "At" not in (
            theirs.__name__
        ):
            try:
                assert metrics.get(name) is not None
            except TypeError:  # needs arguments
                with pytest.raises(TypeError):
                    keras.metrics.get(name)
