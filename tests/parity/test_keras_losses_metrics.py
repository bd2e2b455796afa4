# SPDX-License-Identifier: BSD-3-Clause
"""Losses and metrics against the real Keras 3: values with weights and masks, gradients by torch's autograd,
configurations, names."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from peers import keras, torch

from lstmfast import losses, metrics
from lstmfast.saving.registry import serialize_keras_object
from lstmfast.utils import clear_session

pytestmark = pytest.mark.filterwarnings("ignore")


def rng_of(*what: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(what).encode()))


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max(initial=0.0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(scale, 1e-30))


def numpy_of(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


# ---- losses


def make_case(kind: str, shape: tuple[int, ...], seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """(y_true, y_pred) that suit a loss."""
    rng = rng_of(kind, shape, seed)
    y_pred = rng.normal(size=shape).astype(np.float32)
    if kind == "positive":
        return rng.uniform(0.1, 3, shape).astype(np.float32), rng.uniform(0.1, 3, shape).astype(np.float32)
    if kind == "probabilities":
        return (rng.uniform(size=shape) > 0.5).astype(np.float32), rng.uniform(0.02, 0.98, shape).astype(
            np.float32
        )
    if kind == "distribution":
        e, t = np.exp(y_pred), rng.uniform(0.1, 1, shape)
        return (t / t.sum(-1, keepdims=True)).astype(np.float32), e / e.sum(-1, keepdims=True)
    if kind in ("sparse", "sparse_logits"):
        e = np.exp(y_pred)
        labels = rng.integers(0, shape[-1], shape[:-1])
        return labels, y_pred if kind == "sparse_logits" else e / e.sum(-1, keepdims=True)
    if kind == "logits":
        return (rng.uniform(size=shape) > 0.5).astype(np.float32), 3 * y_pred
    if kind == "one_hot":
        return np.eye(shape[-1], dtype=np.float32)[rng.integers(0, shape[-1], shape[:-1])], y_pred
    return rng.normal(size=shape).astype(np.float32), y_pred


LOSSES: list[tuple[str, dict[str, Any], str]] = [
    ("MeanSquaredError", {}, "numbers"),
    ("MeanAbsoluteError", {}, "numbers"),
    ("MeanAbsolutePercentageError", {}, "positive"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("Huber", {}, "numbers"),
    ("LogCosh", {}, "numbers"),
    ("CosineSimilarity", {}, "numbers"),
    ("Poisson", {}, "positive"),
    ("KLDivergence", {}, "distribution"),
    ("Hinge", {}, "probabilities"),
    ("SquaredHinge", {}, "numbers"),
    ("CategoricalHinge", {}, "one_hot"),
    ("BinaryCrossentropy", {}, "probabilities"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "probabilities"),
    ("BinaryCrossentropy", {"from_logits": True}, "logits"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "logits"),
    ("CategoricalCrossentropy", {}, "distribution"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "distribution"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one_hot"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 0}, "sparse_logits"),
]


def case_id(case: tuple[str, dict[str, Any], str]) -> str:
    return case[0] + "".join(f"-{k}={v}" for k, v in case[1].items())


def keras_loss(
    loss: Any, y_true: Any, y_pred: np.ndarray, weight: Any = None, mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    tensor = torch.tensor(y_pred, requires_grad=True)
    if mask is not None:
        tensor._keras_mask = torch.tensor(mask)
    value = loss(torch.tensor(y_true), tensor, None if weight is None else torch.tensor(weight))
    value.sum().backward()
    return value.detach().numpy(), tensor.grad.numpy()


AVERAGE = "sum_over_batch_size"
REDUCTIONS = [(weighting, AVERAGE) for weighting in ("no", "sample", "step", "mask", "mask and step")]
REDUCTIONS += [
    ("mask and step", reduction) for reduction in ("mean", "sum", "none", "mean_with_sample_weight")
]


@pytest.mark.parametrize(("weighting", "reduction"), REDUCTIONS)
@pytest.mark.parametrize("case", LOSSES, ids=case_id)
def test_loss(case: tuple[str, dict[str, Any], str], weighting: str, reduction: str) -> None:
    name, options, kind = case
    shape = (6, 4) if weighting == "sample" else (5, 7, 4)
    y_true, y_pred = make_case(kind, shape, case)
    rng = rng_of(case, weighting)
    weight = (
        rng.uniform(0, 2, shape[:-1]).astype(np.float32)
        if weighting in ("sample", "step", "mask and step")
        else None
    )
    mask = rng.uniform(size=shape[:-1]) > 0.3 if "mask" in weighting else None
    ours = getattr(losses, name)(reduction=reduction, **options)
    theirs = getattr(keras.losses, name)(reduction=reduction, **options)
    value, grad = ours.value_and_grad(y_true, y_pred, weight, mask)
    expected, expected_grad = keras_loss(theirs, y_true, y_pred, weight, mask)
    close(value, expected)
    close(grad, expected_grad)
    assert grad.dtype == np.float32 and grad.flags.c_contiguous
    close(ours(y_true, y_pred, weight, mask), expected)
    if weight is None and mask is None:
        close(ours.call(y_true, y_pred), numpy_of(theirs.call(torch.tensor(y_true), torch.tensor(y_pred))))


@pytest.mark.parametrize("case", LOSSES, ids=case_id)
def test_loss_config(case: tuple[str, dict[str, Any], str]) -> None:
    name, options, _ = case
    ours, theirs = getattr(losses, name)(**options), getattr(keras.losses, name)(**options)
    assert ours.get_config() == theirs.get_config()
    assert losses.serialize(ours) == keras.losses.serialize(theirs)
    assert losses.get(keras.losses.serialize(theirs)).get_config() == ours.get_config()


@pytest.mark.parametrize(
    "identifier",
    [
        "mse",
        "MSE",
        "mae",
        "MAE",
        "mape",
        "MAPE",
        "msle",
        "MSLE",
        "bce",
        "BCE",
        "kld",
        "KLD",
        "mean_squared_error",
        "huber",
        "hinge",
        "poisson",
        "log_cosh",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "cosine_similarity",
        "kl_divergence",
        "squared_hinge",
        "categorical_hinge",
    ],
)
def test_loss_names(identifier: str) -> None:
    ours, theirs = losses.get(identifier), keras.losses.get(identifier)
    assert ours.__name__ == theirs.__name__
    assert losses.serialize(ours)["config"] == keras.losses.serialize(theirs)["config"]
    kind = "sparse" if "sparse" in identifier else "distribution"
    y_true, y_pred = make_case(kind, (5, 3), identifier)
    close(ours(y_true, y_pred), numpy_of(theirs(y_true, y_pred)))
    assert losses.resolve(identifier).name == identifier


@pytest.mark.parametrize("y_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("p_shape", [(6,), (6, 1)])
def test_loss_ranks(y_shape: tuple[int, ...], p_shape: tuple[int, ...]) -> None:
    y_true, y_pred = make_case("numbers", (6,), 0)
    y_true, y_pred = y_true.reshape(y_shape), y_pred.reshape(p_shape)
    weight = np.linspace(0, 1, 6, dtype=np.float32) if y_pred.ndim == 2 else None
    value, grad = losses.MeanSquaredError().value_and_grad(y_true, y_pred, weight)
    expected, expected_grad = keras_loss(keras.losses.MeanSquaredError(), y_true, y_pred, weight)
    close(value, expected)
    close(grad, expected_grad)


@pytest.mark.parametrize(
    "name", ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"]
)
@pytest.mark.parametrize("from_logits", [False, True])
def test_loss_axis(name: str, from_logits: bool) -> None:
    y_true, y_pred = make_case("sparse_logits" if "Sparse" in name else "one_hot", (4, 3, 5), name)
    y_pred = y_pred if from_logits else 1 / (1 + np.exp(-y_pred))
    y_pred = np.ascontiguousarray(np.moveaxis(y_pred, -1, 1))
    y_true = y_true if "Sparse" in name else np.ascontiguousarray(np.moveaxis(y_true, -1, 1))
    ours, theirs = (
        getattr(losses, name)(from_logits, axis=1),
        getattr(keras.losses, name)(from_logits, axis=1),
    )
    value, grad = ours.value_and_grad(y_true, y_pred)
    expected, expected_grad = keras_loss(theirs, y_true, y_pred)
    close(value, expected)
    close(grad, expected_grad)


# ---- metrics

METRICS: list[tuple[str, dict[str, Any], str]] = [
    ("MeanSquaredError", {}, "numbers"),
    ("RootMeanSquaredError", {}, "numbers"),
    ("MeanAbsoluteError", {}, "numbers"),
    ("MeanAbsolutePercentageError", {}, "positive"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "numbers"),
    ("LogCoshError", {}, "numbers"),
    ("KLDivergence", {}, "distribution"),
    ("Poisson", {}, "positive"),
    ("Hinge", {}, "numbers"),
    ("SquaredHinge", {}, "numbers"),
    ("CategoricalHinge", {}, "one_hot"),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, "probabilities"),
    ("CategoricalCrossentropy", {}, "distribution"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "sparse_logits"),
    ("BinaryAccuracy", {"threshold": 0.4}, "probabilities"),
    ("BinaryAccuracy", {"threshold": 0.0}, "probabilities"),
    ("CategoricalAccuracy", {}, "one_hot"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one_hot"),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, "sparse"),
    ("R2Score", {}, "numbers"),
    ("R2Score", {"class_aggregation": None, "num_regressors": 2}, "numbers"),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "numbers"),
    ("Precision", {}, "probabilities"),
    ("Precision", {"top_k": 2}, "one_hot"),
    ("Precision", {"class_id": 1, "thresholds": 0.3}, "probabilities"),
    ("Recall", {"thresholds": [0.2, 0.5, 0.7]}, "probabilities"),
    ("Recall", {"thresholds": [0.0, 0.5, 1.0]}, "probabilities"),
    ("TruePositives", {}, "probabilities"),
    ("FalsePositives", {"thresholds": [0.1, 0.6]}, "probabilities"),
    ("TrueNegatives", {}, "probabilities"),
    ("FalseNegatives", {}, "probabilities"),
    ("PrecisionAtRecall", {"recall": 0.5}, "probabilities"),
    ("RecallAtPrecision", {"precision": 0.5}, "probabilities"),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, "probabilities"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "num_thresholds": 1}, "probabilities"),
    *[
        ("AUC", {"curve": curve, "summation_method": method}, "probabilities")
        for curve in ("ROC", "PR", "PRGAIN")
        for method in ("interpolation", "minoring", "majoring")
    ],
    ("AUC", {"num_thresholds": 7, "multi_label": True, "num_labels": 4}, "probabilities"),
    ("AUC", {"multi_label": True, "num_labels": 4, "label_weights": [1.0, 0.5, 0.0, 2.0]}, "probabilities"),
    ("AUC", {"thresholds": [0.1, 0.5, 0.6]}, "probabilities"),
    ("AUC", {"from_logits": True}, "logits"),
    ("PearsonCorrelation", {}, "numbers"),
    ("ConcordanceCorrelation", {}, "numbers"),
    *[("F1Score", {"average": average}, "one_hot") for average in (None, "micro", "macro", "weighted")],
    ("FBetaScore", {"beta": 2.0, "threshold": 0.4, "average": "weighted"}, "probabilities"),
]


def pair_of_metrics(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    clear_session()
    keras.utils.clear_session()
    return getattr(metrics, name)(**options), getattr(keras.metrics, name)(**options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", METRICS, ids=case_id)
def test_metric(case: tuple[str, dict[str, Any], str], weighted: bool) -> None:
    name, options, kind = case
    ours, theirs = pair_of_metrics(name, options)
    for attempt in range(2):
        for batch in range(3):
            y_true, y_pred = make_case(kind, (9, 4), (case, batch))
            if name == "AUC" and batch == 0:
                y_pred[0] = [0, 1, 0.5, 0]
            weight = rng_of(case, batch).uniform(size=9).astype(np.float32) if weighted else None
            ours.update_state(y_true, y_pred, sample_weight=weight)
            theirs.update_state(y_true, y_pred, sample_weight=weight)
            close(ours.result(), numpy_of(theirs.result()))
        if attempt == 0:
            ours.reset_state()
            theirs.reset_state()


@pytest.mark.parametrize("case", METRICS, ids=case_id)
def test_metric_config(case: tuple[str, dict[str, Any], str]) -> None:
    ours, theirs = pair_of_metrics(*case[:2])
    expected = theirs.get_config()
    if expected.get("label_weights") is not None:
        expected["label_weights"] = numpy_of(expected["label_weights"]).tolist()
    assert ours.get_config() == expected
    assert type(metrics.get(serialize_keras_object(ours))) is type(ours)
    assert getattr(ours, "_direction", None) == getattr(theirs, "_direction", None)


@pytest.mark.parametrize(
    "name", ["MeanSquaredError", "BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy"]
)
@pytest.mark.parametrize("weighting", ["no", "step", "mask", "mask and step"])
def test_metric_over_steps(name: str, weighting: str) -> None:
    ours, theirs = pair_of_metrics(name, {})
    kind = {
        "MeanSquaredError": "numbers",
        "BinaryAccuracy": "probabilities",
        "CategoricalAccuracy": "one_hot",
    }
    for batch in range(2):
        y_true, y_pred = make_case(
            kind.get(name, "sparse"), (5, 6, 1 if name == "BinaryAccuracy" else 3), batch
        )
        rng = rng_of(name, weighting, batch)
        weight = rng.uniform(size=(5, 6)).astype(np.float32) if "step" in weighting else None
        tensor = torch.tensor(y_pred)
        mask = rng.uniform(size=(5, 6)) > 0.4 if "mask" in weighting else None
        if mask is not None:
            tensor._keras_mask = torch.tensor(mask)
        ours.update(y_true, y_pred, weight, mask)
        theirs.update_state(torch.tensor(y_true), tensor, None if weight is None else torch.tensor(weight))
        close(ours.result(), numpy_of(theirs.result()))


@pytest.mark.parametrize(
    ("y_shape", "p_shape"),
    [
        ((8,), (8, 1)),
        ((8, 1), (8, 1)),
        ((8,), (8, 3)),
        ((8, 1), (8, 3)),
        ((8, 3), (8, 3)),
        ((8, 2), (8, 2, 3)),
    ],
)
def test_accuracy_is_resolved_as_in_keras(y_shape: tuple[int, ...], p_shape: tuple[int, ...]) -> None:
    from keras.src.trainers.compile_utils import get_metric

    for identifier in ("accuracy", "acc"):
        ours = metrics.resolve(identifier, y_shape, p_shape)
        theirs = get_metric(identifier, np.zeros(y_shape), np.zeros(p_shape))
        assert (type(ours).__name__, ours.name) == (type(theirs).__name__, theirs.name)


@pytest.mark.parametrize(
    "identifier",
    [
        "mse",
        "MAE",
        "bce",
        "auc",
        "AUC",
        "Precision",
        "recall",
        "mean_squared_error",
        "top_k_categorical_accuracy",
    ],
)
def test_metric_names(identifier: str) -> None:
    from keras.src.trainers.compile_utils import get_metric

    theirs = get_metric(identifier, np.zeros((3, 2)), np.zeros((3, 2)))
    ours = metrics.resolve(identifier, (3, 2), (3, 2))
    assert (type(ours).__name__, ours.name) == (type(theirs).__name__, theirs.name)


@pytest.mark.parametrize(
    "name",
    [
        *("binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"),
        *("top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy", "mean_squared_error", "hinge"),
    ],
)
def test_dtypes_of_metric_functions(name: str) -> None:
    rng = rng_of(name)
    labels, p = rng.integers(0, 7, 5), rng.random((5, 7)).astype(np.float32)
    y = labels if name.startswith("sparse") else np.eye(7, dtype=np.float32)[labels]
    ours, theirs = getattr(metrics, name)(y, p), numpy_of(getattr(keras.metrics, name)(y, p))
    assert ours.dtype == theirs.dtype
    close(ours, theirs)


@pytest.mark.parametrize(("name", "config"), [("F1Score", {}), ("R2Score", {"class_aggregation": None})])
def test_dtypes_of_results(name: str, config: dict[str, Any]) -> None:
    rng = rng_of(name)
    y, p = np.eye(7, dtype=np.float32)[rng.integers(0, 7, 5)], rng.random((5, 7)).astype(np.float32)
    results = [getattr(library, name)(**config)(y, p) for library in (metrics, keras.metrics)]
    assert results[0].dtype == numpy_of(results[1]).dtype
    close(results[0], numpy_of(results[1]))
