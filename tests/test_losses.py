# SPDX-License-Identifier: BSD-3-Clause
"""Losses: gradients against finite differences, fused forms, weights, errors that name what is wrong."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, activations, losses, reference

PLAIN = [
    losses.MeanSquaredError(),
    losses.MeanAbsoluteError(),
    losses.MeanAbsolutePercentageError(),
    losses.MeanSquaredLogarithmicError(),
    losses.Huber(0.5),
    losses.LogCosh(),
    losses.CosineSimilarity(),
    losses.KLDivergence(),
    losses.Poisson(),
    losses.Hinge(),
    losses.SquaredHinge(),
    losses.CategoricalHinge(),
    losses.BinaryCrossentropy(label_smoothing=0.1),
    losses.BinaryCrossentropy(from_logits=True),
    losses.CategoricalCrossentropy(label_smoothing=0.1),
    losses.CategoricalCrossentropy(from_logits=True),
    losses.BinaryFocalCrossentropy(apply_class_balancing=True, label_smoothing=0.1),
    losses.BinaryFocalCrossentropy(gamma=3.0, from_logits=True),
    losses.CategoricalFocalCrossentropy(alpha=[0.5, 1.0, 0.25, 2.0]),
    losses.CategoricalFocalCrossentropy(from_logits=True, label_smoothing=0.1),
    losses.Dice(axis=1),
    losses.Tversky(0.3, 0.6, axis=1),
]


@pytest.mark.parametrize("loss", PLAIN, ids=lambda loss: f"{loss.name}-{getattr(loss, 'from_logits', '')}")
def test_gradient(loss, rng):
    p = rng.uniform(0.15, 0.85, (3, 4)).astype(np.float32)
    y = rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    weight = rng.uniform(0.5, 2, 3)
    _, grad = loss.value_and_grad(y, p, weight)
    step = 1e-2
    for index in np.ndindex(p.shape):
        up, down = p.copy(), p.copy()
        up[index] += step
        down[index] -= step
        slope = (float(loss(y, up, weight)) - float(loss(y, down, weight))) / (
            float(up[index]) - float(down[index])
        )
        assert grad[index] == pytest.approx(slope, abs=float(0.02 * abs(grad).max() + 1e-4))


@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 4)])
def test_fused_cross_entropies_are_stable(shape, rng):
    z = rng.normal(0, 200, shape).astype(np.float32)
    one_hot = np.eye(shape[-1], dtype=np.float32)[rng.integers(0, shape[-1], shape[:-1])]
    labels = one_hot.argmax(-1)
    rows = z.reshape(-1, shape[-1])
    for loss, y, name, flat in (
        (losses.CategoricalCrossentropy(), one_hot, "softmax", one_hot.reshape(rows.shape)),
        (losses.SparseCategoricalCrossentropy(), labels, "softmax", one_hot.reshape(rows.shape)),
        (losses.BinaryCrossentropy(), one_hot, "sigmoid", one_hot.reshape(rows.shape)),
    ):
        assert loss.fused_activation == name
        value, grad, pred = loss.value_grad_and_pred(y, z)
        function = reference.sigmoid_cross_entropy if name == "sigmoid" else reference.softmax_cross_entropy
        expected = function(rows, flat) if name == "sigmoid" else function(rows, targets=flat)
        assert value == pytest.approx(expected[0].mean(), rel=1e-5)
        np.testing.assert_allclose(grad.reshape(rows.shape), expected[1] / len(rows), atol=1e-6)
        np.testing.assert_array_equal(pred, activations.get(name)(z))
        assert np.isfinite(value) and grad.shape == pred.shape == shape


def test_fused_form_equals_activation_and_loss(rng):
    z = rng.normal(size=(6, 3)).astype(np.float32)
    y, weight = rng.integers(0, 3, 6), rng.uniform(size=6)
    loss = losses.SparseCategoricalCrossentropy()
    value, grad, _ = loss.value_grad_and_pred(y, z, weight)
    p = activations.softmax(z)
    other, dp = loss.value_and_grad(y, p, weight)
    assert value == pytest.approx(other, rel=1e-5)
    np.testing.assert_allclose(grad, _core.activation_backward("softmax", None, p, dp), atol=1e-6)


@pytest.mark.parametrize(
    "weight", [np.array([1.0, 0, 2]), np.array([1, 0, 2]), [[1], [0], [2]], np.array([True, False, True])]
)
def test_sample_weights_of_all_kinds(weight, rng):
    y, p = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    value, grad = losses.MeanSquaredError().value_and_grad(y, p, weight)
    w = np.asarray(weight, float).reshape(3)
    assert value == pytest.approx((((y - p) ** 2).mean(-1) * w).mean(), rel=1e-5)
    np.testing.assert_allclose(grad, (p - y) / 2 * w[:, None] / 3, rtol=1e-5)


def test_a_weight_a_sample_counts_for_all_of_its_steps(rng):
    y, p, w = rng.normal(size=(4, 4, 2)), rng.normal(size=(4, 4, 2)), np.array([1.0, 2, 0, 3])
    value = losses.MeanAbsoluteError()(y, p, w)
    assert value == pytest.approx((abs(y - p).mean(-1) * w[:, None]).mean(), rel=1e-5)


def test_a_mask_with_nothing_in_it():
    value, grad = losses.MeanSquaredError().value_and_grad(
        np.ones((2, 3, 1)), np.zeros((2, 3, 1)), None, np.zeros((2, 3))
    )
    assert value == 0 and not grad.any()


def test_targets_of_one_rank_less_keep_their_mask(rng):
    y, p = rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 1))
    mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
    value, grad = losses.MeanSquaredError().value_and_grad(y, p, None, mask)
    assert value == pytest.approx(((y - p[..., 0]) ** 2)[mask].mean(), rel=1e-5)
    assert grad.shape == p.shape and not grad[~mask].any()


def test_no_input_is_changed(rng):
    for loss in PLAIN:
        y, p = (
            rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32),
            rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32),
        )
        before = y.copy(), p.copy()
        loss.value_and_grad(y, p)
        assert np.array_equal(y, before[0]) and np.array_equal(p, before[1])


@pytest.mark.parametrize(
    ("loss", "y", "shape", "error", "message"),
    [
        ("mse", np.ones((3, 2)), (3, 4), ValueError, r"y_true: expected shape \(3, 4\)"),
        (
            "mse",
            np.full((3, 4), np.nan),
            (3, 4),
            ValueError,
            "y_true: expected numbers, got NaN in 12 places",
        ),
        ("mse", [["a"] * 4] * 3, (3, 4), TypeError, "y_true: expected numbers"),
        ("mse", np.ones((3, 4), complex), (3, 4), TypeError, "y_true"),
        ("mse", np.ones((3, 4), object), (3, 4), TypeError, "y_true"),
        ("categorical_crossentropy", np.zeros(3, int), (3, 4), ValueError, "sparse_categorical_crossentropy"),
        (
            "sparse_categorical_crossentropy",
            np.eye(4)[:3],
            (3, 4),
            ValueError,
            "use categorical_crossentropy",
        ),
        ("sparse_categorical_crossentropy", [0, 1, 4], (3, 4), ValueError, "4"),
        ("sparse_categorical_crossentropy", [0, -1, 2], (3, 4), ValueError, "-1"),
        ("sparse_categorical_crossentropy", [0, 1.5, 2], (3, 4), ValueError, "1.5"),
        ("sparse_categorical_crossentropy", [0, np.nan, 2], (3, 4), ValueError, "NaN"),
        ("binary_crossentropy", np.ones((2, 1)), (3, 1), ValueError, r"\(3, 1\)"),
    ],
)
def test_wrong_targets(loss, y, shape, error, message):
    p = np.full(shape, 0.25, np.float32)
    made = losses.resolve(loss)
    with pytest.raises(error, match=message):
        made.value_and_grad(y, p)
    if made.fused_activation:
        with pytest.raises(error, match=message if "labels" not in message else ""):
            made.value_grad_and_pred(y, p)
    with pytest.raises(error, match=message.replace("y_true", "y")):
        made.check_targets(y, (shape[0], *shape[1:]))


@pytest.mark.parametrize("name", ["mse", "sparse_categorical_crossentropy", "binary_crossentropy"])
def test_right_targets_pass_the_check(name):
    loss = losses.resolve(name)
    if "sparse" in name:
        loss.check_targets(np.array([0, 3, 1]), (None, 4))
        loss.check_targets(np.array([[0], [3], [1]], float), (None, 4))
        loss.check_targets(np.zeros((3, 5), int), (None, None, 4))
    else:
        loss.check_targets(np.ones(3), (None, 1))
        loss.check_targets(np.ones((3, 1)), (None, 1))
        loss.check_targets(np.ones((3, 2, 4)), (None, None, 4))
    with pytest.raises(ValueError, match="y: "):
        loss.check_targets(np.ones((3, 2)), (None, 5))


@pytest.mark.parametrize(
    ("weight", "message"),
    [(np.ones(4), "sample_weight"), (np.ones((3, 2)), "sample_weight"), ("a", "number")],
)
def test_wrong_weights(weight, message):
    with pytest.raises((ValueError, TypeError), match=message):
        losses.MeanSquaredError()(np.ones((3, 4)), np.ones((3, 4)), weight)


def test_a_weight_that_is_nan():
    with pytest.raises(ValueError, match="sample_weight"):
        losses.MeanSquaredError()(np.ones((3, 4)), np.zeros((3, 4)), [1, np.nan, 1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: losses.MeanSquaredError(reduction="median"),
        lambda: losses.MeanSquaredError(dtype="float16"),
        lambda: losses.CategoricalCrossentropy(axis=True),
        lambda: losses.get("nonsense"),
        lambda: losses.get(3),
        lambda: losses.resolve("crossentropy"),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ValueError):
        make()


def test_crossentropy_is_resolved_by_shape():
    assert isinstance(losses.resolve("crossentropy", (8,), (8, 1)), losses.BinaryCrossentropy)
    assert isinstance(losses.resolve("ce", (8,), (8, 3)), losses.SparseCategoricalCrossentropy)
    assert isinstance(losses.resolve("ce", (8, 3), (8, 3)), losses.CategoricalCrossentropy)


def weighted_squares(y_true, y_pred):
    error = y_pred - y_true
    return (error**2).sum(-1), 2 * error


def test_function_of_the_user(rng):
    y, p, w = rng.normal(size=(3, 2)), rng.normal(size=(3, 2)).astype(np.float32), rng.uniform(size=3)
    loss = losses.resolve(weighted_squares)
    assert loss.name == "weighted_squares"
    value, grad = loss.value_and_grad(y, p, w)
    assert value == pytest.approx((((p - y) ** 2).sum(-1) * w).mean(), rel=1e-5)
    np.testing.assert_allclose(grad, 2 * (p - y) * w[:, None] / 3, rtol=1e-4, atol=1e-6)
    again = losses.FunctionLoss.from_config({**loss.get_config(), "fn": weighted_squares})
    assert again(y, p) == loss(y, p)


def test_functions_that_give_the_wrong_thing():
    y = p = np.ones((3, 2), np.float32)
    with pytest.raises(TypeError, match="gradient"):
        losses.FunctionLoss(lambda a, b: 1.0, name="f")(y, p)
    with pytest.raises(ValueError, match="gradient"):
        losses.FunctionLoss(lambda a, b: (1.0, np.ones(3)), name="f")(y, p)
    with pytest.raises(ValueError, match="sample_weight"):
        losses.FunctionLoss(lambda a, b: (1.0, b), name="f")(y, p, np.ones(3))


def test_the_cached_weights_follow_the_batch_size(rng):
    loss = losses.MeanSquaredError()
    for rows in (4, 4, 3, 7, 4):
        y, p = rng.normal(size=(rows, 2)), rng.normal(size=(rows, 2))
        assert loss(y, p) == pytest.approx(((y - p) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("loss", PLAIN, ids=lambda loss: loss.name)
def test_config_round_trip(loss):
    again = losses.get(losses.serialize(loss))
    assert type(again) is type(loss) and again.get_config() == loss.get_config()


def test_masks_that_come_with_outputs():
    """A layer called with arrays gives its mask along, and the loss leaves those steps out, as in Keras."""
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    words = lf.layers.Embedding(4, 2, mask_zero=True)(ids)
    target = np.zeros((2, 3, 2), np.float32)
    expected = (np.asarray(words)[ids != 0] ** 2).mean()
    np.testing.assert_allclose(lf.losses.MeanSquaredError()(target, words), expected, rtol=1e-6)
    whole = lf.losses.MeanSquaredError()(target, np.asarray(words), mask=np.ones((2, 3), bool))
    np.testing.assert_allclose(whole, (np.asarray(words) ** 2).mean(), rtol=1e-6)
