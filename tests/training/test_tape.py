# SPDX-License-Identifier: BSD-3-Clause
"""Loops of one's own: `Model.forward`, `Tape.backward`, `Model.apply_gradients` against `fit`, and differences."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers

MSE = lf.losses.MeanSquaredError
RNG = np.random.default_rng(7)
X = RNG.standard_normal((20, 6, 3)).astype(np.float32)
IDS = RNG.integers(1, 9, (20, 6))
LAST = RNG.standard_normal((20, 2)).astype(np.float32)
STEPS = RNG.standard_normal((20, 6, 2)).astype(np.float32)
LENGTHS = RNG.integers(1, 7, 20)


def stack(masked=False):
    first = [layers.Masking()] if masked else []
    rest = [layers.LSTM(5, return_sequences=True, dropout=0.2, recurrent_dropout=0.2), layers.GRU(4)]
    return Sequential([Input((None, 3)), *first, *rest, layers.Dropout(0.1), layers.Dense(2)])


def embedded():
    recurrent = layers.Bidirectional(layers.LSTM(4))
    return Sequential(
        [Input((None,), dtype="int32"), layers.Embedding(9, 3, mask_zero=True), recurrent, layers.Dense(2)]
    )


def tagger():
    return Sequential([Input((None, 3)), layers.LSTM(5, return_sequences=True), layers.Dense(2)])


def shared():
    """One layer used twice, weights that are not trained, a model inside."""
    x = Input((None, 3))
    inner = Sequential([Input((None, 3)), layers.SimpleRNN(3, return_sequences=True)])
    h = inner(inner(x))
    fixed = layers.Dense(4, trainable=False)
    return Model(x, layers.Dense(2)(layers.LSTM(3)(fixed(h))))


def with_states():
    x, h, c = Input((None, 3)), Input((4,)), Input((4,))
    y, *_ = layers.LSTM(4, return_state=True)(x, initial_state=[h, c])
    return Model([x, h, c], layers.Dense(2)(y))


STATES = [RNG.standard_normal((20, 4)).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize(
    ("build", "x", "y", "lengths"),
    [
        (stack, [X], LAST, None),
        (stack, [X], LAST, LENGTHS),
        (lambda: stack(masked=True), [X * (np.arange(6) < LENGTHS[:, None])[..., None]], LAST, None),
        (embedded, [IDS], LAST, None),
        (embedded, [IDS * (np.arange(6) < LENGTHS[:, None])], LAST, None),
        (tagger, [X], STEPS, None),
        (tagger, [X], STEPS, LENGTHS),
        (shared, [X], LAST, None),
        (with_states, [X, *STATES], LAST, None),
    ],
)
@pytest.mark.parametrize(
    "optimizer", ["adam", lambda: lf.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5)]
)
def test_the_same_bits_as_fit(build, x, y, lengths, optimizer):
    fitted, by_hand = [None, None], None
    for k in range(2):
        lf.utils.set_random_seed(21)
        fitted[k] = build()
        fitted[k].compile(optimizer() if callable(optimizer) else optimizer, "mse")
    fitted, by_hand = fitted
    by_hand.set_weights(fitted.get_weights())
    lf.utils.set_random_seed(5)
    given = x if len(x) > 1 else x[0]
    fitted.fit(given, y, batch_size=8, epochs=3, shuffle=False, verbose=0, lengths=lengths)
    lf.utils.set_random_seed(5)
    loss = MSE()
    for _ in range(3):
        for at in range(0, 20, 8):
            rows = slice(at, at + 8)
            part = [a[rows] for a in x]
            n = None if lengths is None else lengths[rows]
            out, tape = by_hand.forward(part if len(part) > 1 else part[0], training=True, lengths=n)
            mask = None if n is None or y.ndim < 3 else np.arange(6) < n[:, None]
            _, dy = loss.value_and_grad(y[rows], out, mask=mask)
            grads, _, _ = tape.backward(dy)
            by_hand.apply_gradients(grads)
    for a, b in zip(fitted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(fitted.optimizer.iterations) == int(by_hand.optimizer.iterations) == 9


@pytest.mark.parametrize("labels", ["sparse", "binary"])
def test_losses_on_logits_are_what_fit_uses_on_probabilities(labels):
    """`fit` lets the loss take the last activation over; on logits a loop of one's own does the same."""
    weights, models = None, []
    name, activation = ("SparseCategoricalCrossentropy", "softmax"), ("BinaryCrossentropy", "sigmoid")
    cls, last = name if labels == "sparse" else activation
    y = RNG.integers(0, 2, 20) if labels == "sparse" else RNG.integers(0, 2, (20, 2)).astype(np.float32)
    for act in (last, None):
        model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2, activation=act)])
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.compile("adam", getattr(lf.losses, cls)())
        models.append(model)
    models[0].fit(X, y, batch_size=20, epochs=4, shuffle=False, verbose=0)
    loss = getattr(lf.losses, cls)(from_logits=True)
    for _ in range(4):
        out, tape = models[1].forward(X, training=True)
        models[1].apply_gradients(tape.backward(loss.value_and_grad(y, out)[1])[0])
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_outputs():
    def build():
        lf.utils.set_random_seed(3)
        x = Input((None, 3))
        h = layers.LSTM(4, return_sequences=True)(x)
        model = Model(
            x,
            {
                "steps": layers.Dense(2, name="steps")(h),
                "last": layers.Dense(2, name="last")(layers.LSTM(3)(h)),
            },
        )
        model.compile("adam", {"steps": "mse", "last": "mse"}, loss_weights={"steps": 0.5})
        return model

    fitted, by_hand = build(), build()
    fitted.fit(X, {"steps": STEPS, "last": LAST}, batch_size=20, epochs=3, shuffle=False, verbose=0)
    loss = MSE()
    for _ in range(3):
        out, tape = by_hand.forward(X, training=True)
        dy = {name: loss.value_and_grad(y, out[name])[1] for name, y in (("steps", STEPS), ("last", LAST))}
        dy["steps"] *= np.float32(0.5)
        by_hand.apply_gradients(tape.backward(dy)[0])
    for a, b in zip(fitted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    out, tape = by_hand.forward(X)
    with pytest.raises(ValueError, match="keys"):
        tape.backward({"steps": out["steps"], "typo": out["last"]})
    with pytest.raises(ValueError, match="output's shape"):
        tape.backward({"steps": out["last"], "last": out["last"]})
    grads, dx, dstates = tape.backward({"last": np.ones_like(out["last"]), "steps": None})
    names = [v.path for v in by_hand.trainable_variables]
    assert all(g.any() != name.startswith("steps") for g, name in zip(grads, names, strict=True))
    with pytest.raises(ValueError, match="used already"):
        tape.backward({"last": out["last"], "steps": None})


@pytest.mark.parametrize("given", [True, False])
def test_gradients_of_inputs_and_states(given):
    """Against central differences of a float64 sum; errors of float32 outputs over a step of 1e-2 are some 1e-5."""
    lf.utils.set_random_seed(9)
    model = with_states() if given else stack()
    inputs = [X, *STATES] if given else [X]
    weight = RNG.standard_normal((20, 2)).astype(np.float32)

    def value(arrays):
        return float((model(arrays if given else arrays[0]).astype(np.float64) * weight).sum())

    _, tape = model.forward(inputs if given else X)
    _, dx, dstates = tape.backward(weight)
    dx = dx if given else [dx]
    assert len(dstates) == (1 if given else 2)
    if given:
        for a, b in zip(dstates[0], dx[1:], strict=True):
            np.testing.assert_array_equal(a, b)
    rng = np.random.default_rng(0)
    for k, gradient in enumerate(dx):
        for _ in range(8):
            index = tuple(rng.integers(0, n) for n in gradient.shape)
            values = []
            for shift in (-2, -1, 1, 2):
                moved = [a.copy() for a in inputs]
                moved[k][index] += shift * 1e-2
                values.append(value(moved))
            a, b, c, d = values
            assert gradient[index] == pytest.approx((a - 8 * b + 8 * c - d) / 0.12, abs=2e-4)


@pytest.mark.parametrize("build", [tagger, "nested"])
def test_states_from_tape_to_tape_are_truncated_training(build):
    def made():
        lf.utils.set_random_seed(3)
        model = tagger()
        if build == "nested":
            inner = Sequential([Input((None, 3)), layers.GRU(3, return_sequences=True)])
            after = layers.LSTM(5, return_sequences=True)
            model = Sequential([Input((None, 3)), inner, after, layers.Dense(2)])
        model.compile("adam", "mse")
        return model

    fitted, by_hand = made(), made()
    fitted.fit(X, STEPS, batch_size=10, tbptt=4, shuffle=False, verbose=0)
    for rows in (slice(0, 10), slice(10, 20)):
        states = None
        for window in (slice(0, 4), slice(4, 6)):
            out, tape = by_hand.forward(X[rows, window], training=True, states=states)
            grads, _, _ = tape.backward(MSE().value_and_grad(STEPS[rows, window], out)[1])
            by_hand.apply_gradients(grads)
            states = tape.states
    for a, b in zip(fitted.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    whole = by_hand(X)
    first, tape = by_hand.forward(X[:, :4])
    second, _ = by_hand.forward(X[:, 4:], states=tape.states)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=1), whole)
    for wrong in ([], tape.states[:1], tuple(tape.states)):
        with pytest.raises(ValueError, match="states must be"):
            by_hand.forward(X, states=wrong)
    with pytest.raises(ValueError, match=r"states of layer .* must have shapes"):
        by_hand.forward(X[:3], states=tape.states)


def test_ids_have_no_gradient():
    model = embedded()
    y, tape = model.forward(IDS)
    grads, dx, _ = tape.backward(np.ones_like(y))
    assert dx is None and grads[0].shape == (9, 3) and grads[0].any()


def test_apply_gradients_refuses_what_does_not_fit():
    model = tagger()
    with pytest.raises(ValueError, match="compile"):
        model.apply_gradients([])
    model.compile("adam")
    y, tape = model.forward(X)
    grads, _, _ = tape.backward(y)
    before = model.get_weights()
    for wrong, told in (
        ([], r"grads: expected one for each of the \d+ variables, got none"),
        (grads[:-1], "grads: expected one for each"),
        (
            [*grads[:-1], grads[-1][None]],
            rf"grads\[{len(grads) - 1}\]: expected shape .* as of '.*dense.*/bias'",
        ),
        ([None] * len(grads), "No gradients"),
    ):
        with pytest.raises(ValueError, match=told):
            model.apply_gradients(wrong)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
