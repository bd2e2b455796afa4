# SPDX-License-Identifier: BSD-3-Clause
"""Focal, overlap, circle and CTC losses against the real Keras 3 and PyTorch: values, reductions and weights,
gradients by autograd, configurations."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

from lstmfast import losses
from lstmfast.utils import ctc_decode

pytestmark = pytest.mark.filterwarnings("ignore")

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


def rng_of(*what: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(what).encode()))


def close(ours: Any, theirs: Any, tolerance: float = 1e-5) -> None:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    scale = np.abs(theirs).max(initial=0.0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(scale, 1e-30))


def keras_loss(
    loss: Any, y_true: Any, y_pred: np.ndarray, weight: Any = None, mask: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    tensor = torch.tensor(y_pred, requires_grad=True)
    if mask is not None:
        tensor._keras_mask = torch.tensor(mask)
    value = loss(torch.tensor(y_true), tensor, None if weight is None else torch.tensor(weight))
    value.sum().backward()
    return value.detach().numpy(), tensor.grad.numpy()


def same(ours: Any, theirs: Any, y_true: Any, y_pred: Any, weight: Any = None, mask: Any = None) -> None:
    value, grad = ours.value_and_grad(y_true, y_pred, weight, mask)
    expected, expected_grad = keras_loss(theirs, y_true, y_pred, weight, mask)
    close(value, expected)
    close(grad, expected_grad)
    assert grad.dtype == np.float32 and grad.flags.c_contiguous
    close(ours(y_true, y_pred, weight, mask), expected)
    assert ours.get_config() == theirs.get_config()
    assert losses.serialize(ours) == keras.losses.serialize(theirs)
    assert losses.get(keras.losses.serialize(theirs)).get_config() == ours.get_config()


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return (e / e.sum(axis, keepdims=True)).astype(np.float32)


# ---- focal


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    balancing=st.booleans(),
    alpha=st.floats(0, 1),
    # Between 0 and 1 the slope is infinite where everything is right.
    gamma=st.one_of(st.just(0.0), st.just(0.5), st.floats(1, 5)),
    logits=st.booleans(),
    smoothing=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    axis=st.sampled_from((-1, 1, 2)),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_binary_focal_crossentropy(
    balancing: bool,
    alpha: float,
    gamma: float,
    logits: bool,
    smoothing: float,
    axis: int,
    reduction: str | None,
    weighted: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=(3, 4, 5)) > 0.5).astype(np.float32)
    p = 2 * rng.normal(size=y.shape).astype(np.float32)
    p = p if logits else (1 / (1 + np.exp(-p))).astype(np.float32)
    weight = rng.uniform(0, 2, 3).astype(np.float32)[:, None].repeat(5 if axis == 1 else 4, 1)
    arguments: dict[str, Any] = {
        "apply_class_balancing": balancing,
        "alpha": alpha,
        "gamma": gamma,
        "from_logits": logits,
        "label_smoothing": smoothing,
        "axis": axis,
        "reduction": reduction,
    }
    same(
        losses.BinaryFocalCrossentropy(**arguments),
        keras.losses.BinaryFocalCrossentropy(**arguments),
        y,
        p,
        weight if weighted else None,
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    alpha=st.one_of(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=5, max_size=5)),
    gamma=st.one_of(st.just(0.0), st.floats(0.1, 5)),
    logits=st.booleans(),
    smoothing=st.one_of(st.just(0.0), st.floats(0, 0.5)),
    axis=st.sampled_from((-1, 2)),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_categorical_focal_crossentropy(
    alpha: Any,
    gamma: float,
    logits: bool,
    smoothing: float,
    axis: int,
    reduction: str | None,
    weighted: bool,
    masked: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    p = 2 * rng.normal(size=(3, 4, 5)).astype(np.float32)
    y = np.eye(5, dtype=np.float32)[rng.integers(0, 5, (3, 4))]
    mask = rng.uniform(size=(3, 4)) > 0.3
    arguments: dict[str, Any] = {
        "alpha": alpha,
        "gamma": gamma,
        "from_logits": logits,
        "label_smoothing": smoothing,
        "axis": axis,
        "reduction": reduction,
    }
    same(
        losses.CategoricalFocalCrossentropy(**arguments),
        keras.losses.CategoricalFocalCrossentropy(**arguments),
        y,
        p if logits else softmax(p),
        rng.uniform(0, 2, (3, 4)).astype(np.float32) if weighted else None,
        mask if masked else None,
    )


def test_categorical_focal_crossentropy_of_another_axis() -> None:
    rng = rng_of("axis")
    p, y = softmax(rng.normal(size=(3, 5, 4)), 1), np.eye(5, dtype=np.float32)[rng.integers(0, 5, (3, 4))]
    same(
        losses.CategoricalFocalCrossentropy(axis=1),
        keras.losses.CategoricalFocalCrossentropy(axis=1),
        np.ascontiguousarray(np.moveaxis(y, -1, 1)),
        p,
    )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_generalized_cross_entropy(q: float, reduction: str | None) -> None:
    rng = rng_of(q, reduction)
    p, y = softmax(rng.normal(size=(6, 4))), rng.integers(0, 4, 6)
    ours = losses.CategoricalGeneralizedCrossEntropy(q, reduction=reduction)
    theirs = keras.losses.CategoricalGeneralizedCrossEntropy(q, reduction=reduction)
    weight = rng.uniform(size=6).astype(np.float32)
    same(ours, theirs, y, p)
    same(ours, theirs, y, p, weight)
    # Keras pairs every label of shape (B, 1) with every row; here they are labels as elsewhere.
    close(ours(y[:, None], p, weight), ours(y, p, weight))


# ---- overlap


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    alpha=st.floats(0.1, 2),  # with both 0 nothing but roundings is left of the gradient
    beta=st.floats(0.1, 2),
    axis=st.sampled_from((None, -1, [1], [1, 2], [0, 1, 2], 0, [0, 2])),
    reduction=st.sampled_from(REDUCTIONS),
    weighting=st.sampled_from(("no", "weights", "mask", "both")),
    seed=st.integers(0, 1000),
)
def test_overlap(
    alpha: float, beta: float, axis: Any, reduction: str | None, weighting: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=(3, 4, 5)) > 0.5).astype(np.float32)
    p = rng.uniform(0.01, 0.99, y.shape).astype(np.float32)
    shape = np.sum(y, axis=tuple(axis) if isinstance(axis, list) else axis).shape or (3, 4)
    weight = rng.uniform(0, 2, shape).astype(np.float32) if weighting in ("weights", "both") else None
    mask = rng.uniform(size=shape) > 0.3 if weighting in ("mask", "both") else None
    for name, own in (("Dice", {}), ("Tversky", {"alpha": alpha, "beta": beta})):
        arguments: dict[str, Any] = {**own, "axis": axis, "reduction": reduction}
        same(
            getattr(losses, name)(**arguments),
            getattr(keras.losses, name)(**arguments),
            y,
            p,
            weight,
            mask,
        )


@pytest.mark.parametrize(("y_shape", "p_shape"), [((6,), (6, 1)), ((6, 1), (6,)), ((2, 3), (2, 3, 1))])
def test_overlap_of_ranks_that_differ(y_shape: tuple[int, ...], p_shape: tuple[int, ...]) -> None:
    rng = rng_of(y_shape)
    y, p = rng.integers(0, 2, y_shape).astype(np.float32), rng.uniform(size=p_shape).astype(np.float32)
    same(losses.Dice(), keras.losses.Dice(), y, p)
    same(losses.Dice(axis=1), keras.losses.Dice(axis=1), y, p)


# ---- circle


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    gamma=st.floats(1, 100),
    margin=st.floats(0.1, 0.6),
    diagonal=st.booleans(),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    classes=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_circle(
    gamma: float,
    margin: float,
    diagonal: bool,
    reduction: str | None,
    weighted: bool,
    classes: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    p = rng.normal(size=(7, 6)).astype(np.float32)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    y = rng.integers(0, classes, 7)
    arguments: dict[str, Any] = {
        "gamma": gamma,
        "margin": margin,
        "remove_diagonal": diagonal,
        "reduction": reduction,
    }
    ours, theirs = losses.Circle(**arguments), keras.losses.Circle(**arguments)
    weight = rng.uniform(0.1, 2, 7).astype(np.float32) if weighted else None
    value, grad = ours.value_and_grad(y, p, weight)
    expected, expected_grad = keras_loss(theirs, y, p, weight)
    # Distances are differences of numbers near 1, and gamma enlarges their roundings, which Keras's float32 has.
    close(value, expected, 1e-4)
    if np.isfinite(expected_grad).all():  # NaN there where a sample has no pair of a kind
        close(grad, expected_grad, 1e-4)
    assert np.isfinite(grad).all()
    assert ours.get_config() == theirs.get_config()
    assert losses.serialize(ours) == keras.losses.serialize(theirs)


def test_circle_against_references() -> None:
    rng = rng_of("references")
    p, ref = (rng.normal(size=(n, 4)).astype(np.float32) for n in (5, 8))
    p, ref = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (p, ref))
    y, labels = rng.integers(0, 3, 5), np.array([0, 1, 2, 0, 1, 2, 0, 1])
    theirs = keras.losses.circle(y, p, labels, ref, remove_diagonal=False, gamma=10)
    close(losses.circle(y, p, labels, ref, False, 10), theirs.detach().numpy(), 1e-4)


# ---- CTC


def ctc_case(
    rng: np.random.Generator, batch: int, time: int, classes: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels that fit, 0 as padding, and logits."""
    y = np.zeros((batch, most), np.int64)
    for row in y:
        length = rng.integers(0, most + 1)
        row[:length] = rng.integers(1, classes, length)
        while length + (row[1:length] == row[: max(length - 1, 0)]).sum() > time:
            length -= 1
            row[length] = 0
    return y, (2 * rng.normal(size=(batch, time, classes))).astype(np.float32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 5),
    time=st.integers(1, 12),
    classes=st.integers(2, 6),
    most=st.integers(1, 7),
    reduction=st.sampled_from(REDUCTIONS),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_ctc(
    batch: int, time: int, classes: int, most: int, reduction: str | None, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y, z = ctc_case(rng, batch, time, classes, most)
    weight = rng.uniform(0.1, 2, batch).astype(np.float32) if weighted else None
    same(losses.CTC(reduction=reduction), keras.losses.CTC(reduction=reduction), y, z, weight)


def test_ctc_of_long_sequences() -> None:
    """Against PyTorch in float64: in float32 its sums of logarithms near -1000 are off by 1e-4."""
    y, z = ctc_case(rng_of("long"), 3, 300, 30, 60)
    tensor = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        torch.log_softmax(tensor, -1).transpose(0, 1),
        torch.tensor(y),
        torch.full((3,), 300),
        torch.tensor((y != 0).sum(1)),
        reduction="none",
    )
    theirs.sum().backward()
    value, grad = losses.CTC(reduction="none").value_and_grad(y, z)
    close(value, theirs.detach().numpy())
    close(grad, tensor.grad.numpy())


@pytest.mark.parametrize("blank", [0, 2, 4])
def test_ctc_kernel_of_any_blank_and_lengths(blank: int, isa: str, team: int) -> None:
    from lstmfast import _core

    rng = rng_of("lengths", blank)
    z = (3 * rng.normal(size=(6, 15, 5))).astype(np.float32)
    others = np.array([k for k in range(5) if k != blank])
    labels = others[rng.integers(0, 4, (6, 6))]
    label_lengths, input_lengths = np.array([0, 1, 6, 3, 2, 4]), np.array([15, 1, 15, 9, 0, 14])
    label_lengths[4] = 0  # nothing said in no time
    weight = rng.uniform(0.5, 2, 6).astype(np.float32)
    loss, grad = _core.ctc_loss(z, labels, label_lengths, input_lengths, blank, weight, isa=isa)
    tensor = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        torch.log_softmax(tensor, -1).transpose(0, 1),
        torch.tensor(labels),
        torch.tensor(input_lengths),
        torch.tensor(label_lengths),
        blank=blank,
        reduction="none",
    )
    (theirs * torch.tensor(weight)).sum().backward()
    close(loss, theirs.detach().numpy())
    close(grad, tensor.grad.numpy())


def test_ctc_of_labels_that_do_not_fit() -> None:
    z = rng_of("misfit").normal(size=(2, 3, 4)).astype(np.float32)
    y = np.array([[1, 1, 0], [1, 1, 1]])
    value, grad = losses.CTC(reduction="none").value_and_grad(y, z)
    expected, expected_grad = keras_loss(keras.losses.CTC(reduction="none"), y, z)
    assert np.isinf(value[1]) and np.isinf(expected[1])
    close(value[0], expected[0])
    close(grad[0], expected_grad[0])
    assert np.isnan(grad[1]).all() and np.isnan(expected_grad[1]).any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 4),
    time=st.integers(1, 10),
    classes=st.integers(2, 6),
    merge=st.booleans(),
    width=st.integers(1, 20),
    top=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_ctc_decode(
    batch: int, time: int, classes: int, merge: bool, width: int, top: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    z = (2 * rng.normal(size=(batch, time, classes))).astype(np.float32)
    lengths, blank = rng.integers(1, time + 1, batch), int(rng.integers(classes))
    ours = ctc_decode(z, lengths, merge_repeated=merge, mask_index=blank)
    theirs = keras.ops.ctc_decode(z, lengths, merge_repeated=merge, mask_index=blank)
    np.testing.assert_array_equal(ours[0], theirs[0].numpy())
    close(ours[1], theirs[1].numpy())
    arguments: dict[str, Any] = {"beam_width": width, "top_paths": min(top, width), "mask_index": blank}
    ours = ctc_decode(z, lengths, "beam_search", **arguments)
    theirs = keras.ops.ctc_decode(z, lengths, "beam_search", **arguments)
    np.testing.assert_array_equal(ours[0], theirs[0].numpy())
    close(ours[1], theirs[1].numpy())


# ---- names


@pytest.mark.parametrize(
    "identifier",
    [
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
        "circle",
        "ctc",
        "dice",
        "tversky",
        "BinaryFocalCrossentropy",
        "CategoricalFocalCrossentropy",
        "Circle",
        "CTC",
        "Dice",
        "Tversky",
    ],
)
def test_names(identifier: str) -> None:
    ours, theirs = losses.get(identifier), keras.losses.get(identifier)
    assert losses.serialize(ours)["config"] == keras.losses.serialize(theirs)["config"]
    assert losses.resolve(identifier).name == getattr(theirs, "name", identifier)


def test_all_names_of_keras_are_there() -> None:
    from keras.src.losses import ALL_OBJECTS_DICT

    assert not [n for n in dir(keras.losses) if n[0] != "_" and not hasattr(losses, n)]
    for name in ALL_OBJECTS_DICT:
        if name not in ("Loss", "LossFunctionWrapper"):
            assert callable(losses.get(name))
