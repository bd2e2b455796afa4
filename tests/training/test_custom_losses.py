# SPDX-License-Identifier: BSD-3-Clause
"""Losses and metrics of one's own, as functions and classes: gradients, weights, masks, outputs, errors."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers


def quartic(y_true, y_pred):
    """One value a sample or step."""
    e = y_pred - y_true
    return (e**4).sum(axis=-1), 4 * e**3


def elementwise(y_true, y_pred):
    """One value an element."""
    e = y_pred - y_true
    return e**4, 4 * e**3


def number(y_true, y_pred):
    """One number, which couples the samples."""
    e = (y_pred - y_true).astype(np.float64)
    root = np.sqrt((e**2).sum() + 1)
    return root, e / root


class Quartic(lf.losses.Loss):
    def call_and_grad(self, y_true, y_pred):
        return quartic(y_true, y_pred)


class Object:
    """No subclass of anything."""

    def __call__(self, y_true, y_pred):
        return quartic(y_true, y_pred)


def sequence_model(outputs=2, **recurrent):
    lf.utils.set_random_seed(11)
    model = Sequential(
        [
            Input((None, 3)),
            layers.LSTM(4, return_sequences=True, **recurrent),
            layers.Dense(outputs, activation="tanh"),
        ]
    )
    return model


def analytic_gradients(model, x, y, **options):
    """Gradients that `fit` hands the optimizer, caught on their way."""
    caught = []

    class Catch(lf.callbacks.Callback):
        def on_gradients(self, batch, gradients, logs=None):
            caught.extend(g.astype(np.float64) for g in gradients)
            return False

    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0, callbacks=[Catch()], **options)
    return caught


def numeric_gradients(model, loss_of, count=6, step=1e-2):
    """(variable, index, central difference of the fourth order) at a few places of each variable."""
    rng = np.random.default_rng(0)
    for k, variable in enumerate(model.trainable_variables):
        start = variable.numpy()
        for flat in rng.choice(start.size, min(count, start.size), replace=False):
            index = np.unravel_index(flat, start.shape)
            values = []
            for shift in (-2, -1, 1, 2):
                moved = start.copy()
                moved[index] += shift * step
                variable.assign(moved)
                values.append(loss_of())
            variable.assign(start)
            a, b, c, d = values
            yield k, index, (a - 8 * b + 8 * c - d) / (12 * step)


def check(model, x, y, loss_of, **options):
    """Gradients in `fit` against differences of a loss written out in float64 here.

    The forward pass is float32: with values around 1, a step of 1e-2 leaves errors of some 1e-5 in the difference.
    """
    gradients = analytic_gradients(model, x, y, **options)
    for k, index, expected in numeric_gradients(model, loss_of):
        scale = np.abs(gradients[k]).max()
        assert gradients[k][index] == pytest.approx(expected, abs=1e-4 * scale + 2e-5)


@pytest.fixture
def data(rng):
    return rng.standard_normal((5, 4, 3)).astype("f4"), rng.standard_normal((5, 4, 2)).astype("f4")


def fourth_powers(model, x, y, **options):
    return (model(x, **options).astype(np.float64) - y) ** 4


@pytest.mark.parametrize("loss", [quartic, Quartic, Quartic(), Object(), "quartic"])
def test_a_value_for_each_step(loss, data):
    x, y = data
    with lf.utils.custom_object_scope({"quartic": quartic}):
        model = sequence_model()
        model.compile("sgd", loss)
        check(model, x, y, lambda: fourth_powers(model, x, y).sum(-1).mean())
        expected = fourth_powers(model, x, y).sum(-1).mean()
        assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_a_value_for_each_element(data):
    x, y = data
    model = sequence_model()
    model.compile("sgd", elementwise)
    check(model, x, y, lambda: fourth_powers(model, x, y).mean())


def test_one_number(data):
    x, y = data
    model = sequence_model()
    model.compile("sgd", number)
    check(model, x, y, lambda: np.sqrt(((model(x).astype(np.float64) - y) ** 2).sum() + 1))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("shape", [(5,), (5, 4)])
def test_sample_weights(reduction, shape, data, rng):
    x, y = data
    weight = rng.uniform(0.2, 2, shape)
    model = sequence_model()
    model.compile("sgd", lf.losses.FunctionLoss(quartic, reduction=reduction))
    full = np.broadcast_to(weight.reshape(5, -1), (5, 4))

    def loss():
        total = (fourth_powers(model, x, y).sum(-1) * full).sum()
        return total / {"sum_over_batch_size": 20, "sum": 1, "mean_with_sample_weight": full.sum()}[reduction]

    check(model, x, y, loss, sample_weight=weight)


@pytest.mark.parametrize("kind", ["lengths", "mask", "both and weights"])
def test_masks_and_lengths(kind, data, rng):
    x, y = data
    n = np.array([4, 1, 3, 2, 4])
    within = np.arange(4) < n[:, None]
    options, weight = {}, np.ones((5, 4))
    lf.utils.set_random_seed(11)
    masking = [layers.Masking()] if kind != "lengths" else []
    model = Sequential(
        [
            Input((None, 3)),
            *masking,
            layers.LSTM(4, return_sequences=True),
            layers.Dense(2, activation="tanh"),
        ]
    )
    if kind != "mask":
        options["lengths"] = n
    if kind != "lengths":
        x = x.copy()
        x[0, 1] = 0  # a masked step in the middle
        if kind == "mask":
            x[~within] = 0
        within = within & (x != 0).any(-1)
    if kind == "both and weights":
        weight = rng.uniform(0.2, 2, (5, 4))
        options["sample_weight"] = weight
    model.compile("sgd", quartic)
    lengths = {"lengths": n} if "lengths" in options else {}

    def loss():
        values = fourth_powers(model, x, y, **lengths).sum(-1)
        return (values * weight)[within].sum() / within.sum()

    check(model, x, y, loss, **options)


def two_outputs():
    lf.utils.set_random_seed(4)
    x = Input((None, 3))
    h = layers.LSTM(4, return_sequences=True)(x)
    last = layers.LSTM(3)(h)
    return Model(x, [layers.Dense(2, name="a")(h), layers.Dense(1, activation="sigmoid", name="b")(last)])


def test_several_outputs_and_loss_weights(data, rng):
    x, ya = data
    yb = rng.uniform(size=(5, 1)).astype("f4")
    wb = rng.uniform(0.5, 2, 5)
    model = two_outputs()
    model.compile("sgd", {"a": quartic, "b": quartic}, loss_weights={"a": 0.5, "b": 3.0})

    def loss():
        a, b = (p.astype(np.float64) for p in model(x))
        first = ((a - ya) ** 4).sum(-1).mean()
        return 0.5 * first + 3 * (((b - yb) ** 4).sum(-1) * wb).mean()

    check(model, x, [ya, yb], loss, sample_weight={"b": wb})
    logs = model.evaluate(x, [ya, yb], sample_weight={"b": wb}, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(loss(), rel=1e-5)
    model.compile("sgd", {"a": quartic, "b": number}, loss_weights=[1.0, 2.0])

    def mixed():
        a, b = (p.astype(np.float64) for p in model(x))
        return ((a - ya) ** 4).sum(-1).mean() + 2 * np.sqrt(((b - yb) ** 2).sum() + 1)

    check(model, x, [ya, yb], mixed)


def test_regularizers_are_part_of_it(data):
    x, y = data
    model = sequence_model(kernel_regularizer=lf.regularizers.L2(0.1))
    model.compile("sgd", quartic)
    kernel = model.layers[0].kernel
    check(model, x, y, lambda: fourth_powers(model, x, y).sum(-1).mean() + 0.1 * (kernel.numpy() ** 2).sum())


def test_missing_targets(data):
    """A loss of one's own may give NaN a meaning; those of the package refuse it."""
    x, y = data
    y = y.copy()
    y[0, 1] = np.nan

    def known(y_true, y_pred):
        e = np.where(np.isnan(y_true), 0, y_pred - y_true)
        return (e**2).sum(-1), 2 * e

    model = sequence_model()
    model.compile("sgd", known)
    kept = ~np.isnan(y)
    check(model, x, y, lambda: ((model(x).astype(np.float64) - y)[kept] ** 2).sum() / 20)


@pytest.mark.parametrize(
    ("result", "error", "match"),
    [
        (
            lambda y, p: ((p - y) ** 2).mean(-1),
            TypeError,
            "must return a tuple .value, gradient.*y_pred.*no automatic",
        ),
        (lambda y, p: 0.5, TypeError, r"gradient has the shape of y_pred, \(5, 4, 2\).*Got 0.5"),
        (lambda y, p: (0.5, None), TypeError, "must return a tuple"),
        (lambda y, p: (0.5, p, p), TypeError, "a tuple of 3"),
        (lambda y, p: ("a", p), TypeError, "must be numbers"),
        (lambda y, p: (0.5, p[0]), ValueError, "gradient of that shape"),
        (lambda y, p: (np.ones(4), p), ValueError, "expected values of a shape"),
        (lambda y, p: (0.5, p.__imul__(2)), ValueError, "read-only"),
        (lambda y, p: (0.5, y.__iadd__(2)), ValueError, "read-only"),
    ],
)
def test_wrong_functions(result, error, match, data):
    model = sequence_model()
    model.compile("sgd", result)
    before = model.get_weights()
    with pytest.raises(error, match=match):
        model.fit(*data, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_one_number_with_weights_or_masks_is_refused(data):
    model = sequence_model()
    model.compile("sgd", number)
    for options in ({"sample_weight": np.ones(5)}, {"lengths": np.full(5, 4)}):
        with pytest.raises(ValueError, match="one value for each"):
            model.fit(*data, verbose=0, **options)


def test_a_class_without_gradient(data):
    class Half(lf.losses.Loss):
        def call(self, y_true, y_pred):
            return ((y_true - y_pred) ** 2).mean(-1)

    model = sequence_model()
    model.compile("sgd", Half())
    with pytest.raises(NotImplementedError, match=r"call_and_grad\(y_true, y_pred\).*gradient"):
        model.fit(*data, verbose=0)


# --- metrics


def largest(y_true, y_pred):
    return np.abs(y_pred - y_true).max(axis=-1)


def total(y_true, y_pred):
    return float(np.abs(y_pred - y_true).sum())


def test_metric_functions(data, rng):
    x, y = data
    n, weight = np.array([4, 1, 3, 2, 4]), rng.uniform(0.2, 2, (5, 4))
    within = np.arange(4) < n[:, None]
    model = sequence_model()
    model.compile("sgd", "mse", metrics=[largest, total], weighted_metrics=[largest])
    error = np.abs(model(x).astype(np.float64) - y)
    logs = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True, batch_size=2)
    assert list(logs) == ["largest", "loss", "total", "weighted_largest"]
    assert logs["largest"] == pytest.approx(error.max(-1).mean(), rel=1e-5)
    assert logs["weighted_largest"] == pytest.approx((error.max(-1) * weight).sum() / weight.sum(), rel=1e-5)
    assert logs["total"] == pytest.approx(np.mean([error[i : i + 2].sum() for i in (0, 2, 4)]), rel=1e-5)
    error = np.abs(model(x, lengths=n).astype(np.float64) - y)
    logs = model.evaluate(x, y, lengths=n, verbose=0, return_dict=True)
    assert logs["largest"] == pytest.approx(error.max(-1)[within].mean(), rel=1e-5)
    assert logs["total"] == pytest.approx(error.sum(), rel=1e-5)


def test_a_metric_function_that_gives_nothing(data):
    model = sequence_model()
    model.compile("sgd", "mse", metrics=[lambda y, p: None])
    with pytest.raises(TypeError, match="must return numbers"):
        model.evaluate(*data, verbose=0)


def test_they_are_saved_by_registration(tmp_path, data):
    registered = lf.utils.register_keras_serializable("tests")(quartic)
    model = sequence_model()
    model.compile("sgd", registered, metrics=[registered])
    model.fit(*data, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lf.saving.load_model(tmp_path / "m.safetensors")
    assert again.evaluate(*data, verbose=0) == model.evaluate(*data, verbose=0)
