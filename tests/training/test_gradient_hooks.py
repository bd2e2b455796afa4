# SPDX-License-Identifier: BSD-3-Clause
"""`Callback.on_gradients`: what it sees, changes, replaces and stops."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers

RNG = np.random.default_rng(3)
X = RNG.standard_normal((24, 5, 3)).astype(np.float32)
Y = RNG.standard_normal((24, 1)).astype(np.float32)


def network(optimizer=None):
    lf.utils.set_random_seed(8)
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile(lf.optimizers.SGD(0.1) if optimizer is None else optimizer, "mse")
    return model


def fit(model, *hooks, **options):
    callbacks = [lf.callbacks.LambdaCallback(on_gradients=hook) for hook in hooks]
    return model.fit(X, Y, batch_size=6, shuffle=False, verbose=0, callbacks=callbacks, **options)


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_what_it_sees():
    """Gradients in the order of trainable_variables, equal to those of a tape; the batch's number and loss."""
    seen = []
    model = network(lf.optimizers.SGD(0.0))
    model.layers[0].recurrent_kernel.regularizer = lf.regularizers.L2(0.5)
    history = fit(
        model, lambda batch, grads, logs: seen.append((batch, [g.copy() for g in grads], logs["loss"]))
    )
    assert [batch for batch, _, _ in seen] == [0, 1, 2, 3]
    assert history.history["loss"][0] == pytest.approx(np.mean([loss for _, _, loss in seen]))
    for batch, grads, _ in seen:
        rows = slice(6 * batch, 6 * batch + 6)
        y, tape = model.forward(X[rows], training=True)
        expected, _, _ = tape.backward((2 / 6) * (y - Y[rows]))
        expected[1] += 2 * 0.5 * model.trainable_variables[1].numpy()
        for a, b in zip(grads, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6 * np.abs(b).max())


def test_doing_nothing_changes_no_bit():
    plain, hooked, listed = network("adam"), network("adam"), network("adam")
    fit(plain, epochs=3)
    fit(hooked, lambda batch, grads, logs: None, epochs=3)
    fit(listed, lambda batch, grads, logs: [g.copy() for g in grads], epochs=3)
    assert equal(plain, hooked) and equal(plain, listed)


@pytest.mark.parametrize("way", ["in place", "entries", "a list", "a tuple", "float64"])
def test_noise(way):
    """Gradient noise (Neelakantan et al. 2015), put in in every way that is allowed; SGD written out."""
    rng = np.random.default_rng(5)
    noises = []

    def add(batch, grads, logs):
        noise = [rng.normal(0, 0.1, g.shape).astype(np.float32) for g in grads]
        noises.append(noise)
        if way == "in place":
            for g, n in zip(grads, noise, strict=True):
                g += n
        elif way == "entries":
            grads[:] = [g + n for g, n in zip(grads, noise, strict=True)]
        else:
            made = [g + n for g, n in zip(grads, noise, strict=True)]
            made = [g.astype(float) for g in made] if way == "float64" else made
            return tuple(made) if way == "a tuple" else made
        return None

    model, by_hand = network(), network()
    fit(model, add)
    for k, noise in enumerate(noises):
        rows = slice(6 * k, 6 * k + 6)
        y, tape = by_hand.forward(X[rows], training=True)
        grads, _, _ = tape.backward((2 / 6) * (y - Y[rows]))
        for v, g, n in zip(by_hand.trainable_variables, grads, noise, strict=True):
            v.assign_sub(0.1 * (g + n))
    for a, b in zip(model.get_weights(), by_hand.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


class Accumulate(lf.callbacks.Callback):
    """Steps with the mean gradient of `count` batches."""

    def __init__(self, count):
        super().__init__()
        self.count, self.sums = count, None

    def on_gradients(self, batch, gradients, logs=None):
        if self.sums is None:
            self.sums = [np.zeros(g.shape) for g in gradients]
        for total, g in zip(self.sums, gradients, strict=True):
            total += g
        if (batch + 1) % self.count:
            return False
        means = [total / self.count for total in self.sums]
        self.sums = None
        return means


def test_accumulation_over_batches_is_one_large_batch():
    small, large = network("adam"), network("adam")
    small.fit(X, Y, batch_size=6, epochs=3, shuffle=False, verbose=0, callbacks=[Accumulate(2)])
    large.fit(X, Y, batch_size=12, epochs=3, shuffle=False, verbose=0)
    assert int(small.optimizer.iterations) == int(large.optimizer.iterations) == 6
    for a, b in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_norms_for_the_log():
    class Norms(lf.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.norms = []

        def on_gradients(self, batch, gradients, logs=None):
            self.norms.append(np.sqrt(sum(float((g**2).sum()) for g in gradients)))

        def on_epoch_end(self, epoch, logs=None):
            logs["gradient_norm"] = float(np.mean(self.norms))

    class Keep(lf.callbacks.Callback):
        kept = None

        def on_epoch_end(self, epoch, logs=None):
            self.kept = logs["gradient_norm"]

    keep = Keep()
    network().fit(X, Y, verbose=0, callbacks=[Norms(), keep])
    assert keep.kept > 0


def test_several_callbacks_are_a_chain():
    calls = []

    def first(batch, grads, logs):
        calls.append("first")
        return False if batch == 1 else [0 * g for g in grads]

    def second(batch, grads, logs):
        calls.append("second")
        assert not any(g.any() for g in grads)

    model = network()
    before = model.get_weights()
    fit(model, first, second)
    assert calls == ["first", "second", "first", "first", "second", "first", "second"]
    assert int(model.optimizer.iterations) == 3
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


def test_gradients_may_be_exchanged_or_left_out():
    """A list that holds the buffers themselves in another order; None leaves a variable as it is."""
    lf.utils.set_random_seed(0)
    model = Sequential([Input((3,)), layers.Dense(3, use_bias=False), layers.Dense(3, use_bias=False)])
    model.compile(lf.optimizers.SGD(1.0), "mse")
    kept = []

    def swap(batch, grads, logs):
        kept[:] = [g.copy() for g in grads]
        return grads[::-1]

    before = model.get_weights()
    x, y = X[:6, 0], X[:6, 1]
    hook = lf.callbacks.LambdaCallback(on_gradients=swap)
    model.fit(x, y, verbose=0, callbacks=[hook])
    for w, old, g in zip(model.get_weights(), before, kept[::-1], strict=True):
        np.testing.assert_allclose(w, old - g, atol=1e-6)
    before = model.get_weights()
    hook = lf.callbacks.LambdaCallback(on_gradients=lambda batch, grads, logs: [None, grads[1]])
    model.fit(x, y, verbose=0, callbacks=[hook])
    after = model.get_weights()
    assert np.array_equal(after[0], before[0]) and not np.array_equal(after[1], before[1])


def test_outputs_without_a_loss_have_no_gradients():
    x = Input((3,))
    model = lf.Model(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])
    model.compile("sgd", {"a": "mse"})
    seen = []
    hook = lf.callbacks.LambdaCallback(on_gradients=lambda batch, grads, logs: seen.extend(grads))
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(X[:, 0], {"a": Y}, verbose=0, batch_size=24, callbacks=[hook])
    assert [g is None for g in seen] == [False, False, True, True]


@pytest.mark.parametrize(
    ("result", "error", "match"),
    [
        (lambda grads: grads[:2], ValueError, "list of 5 arrays.*one of 2"),
        (lambda grads: 3, ValueError, "None, False, or a list of 5 arrays.*got 3"),
        (lambda grads: True, ValueError, "got True"),
        (lambda grads: [g[:1] for g in grads], ValueError, "must have shape"),
        (lambda grads: ["a"] * 5, TypeError, "numeric"),
        (lambda grads: grads.pop() and None, ValueError, "leave 5 arrays"),
        (lambda grads: 1 / 0, ZeroDivisionError, "division"),
    ],
)
def test_wrong_results_change_nothing(result, error, match):
    model = network()
    before = model.get_weights()
    with pytest.raises(error, match=match):
        fit(model, lambda batch, grads, logs: result(grads))
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    again = network()
    fit(model)
    fit(again)
    assert equal(model, again)


def test_it_is_called_for_every_window():
    lf.utils.set_random_seed(8)
    model = Sequential([Input((None, 3)), layers.LSTM(4, return_sequences=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = []
    hook = lf.callbacks.LambdaCallback(on_gradients=lambda batch, grads, logs: batches.append(batch))
    model.fit(X, X[..., :1], batch_size=12, tbptt=2, verbose=0, callbacks=[hook])
    assert batches == [0, 0, 0, 1, 1, 1]


def test_nobody_is_asked_where_nobody_listens():
    assert not lf.callbacks.CallbackList(lf.callbacks.History()).wants("on_gradients")

    class Foreign:  # a callback of another library
        def set_params(self, params): ...
        def set_model(self, model): ...
        def on_epoch_end(self, epoch, logs=None): ...

    assert not lf.callbacks.CallbackList(Foreign()).wants("on_gradients")
    assert lf.callbacks.CallbackList(Accumulate(2)).wants("on_gradients")
