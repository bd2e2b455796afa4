# SPDX-License-Identifier: BSD-3-Clause
"""`fit(tbptt=)`: windows written out with layers and states by hand, lengths, masks, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers

RNG = np.random.default_rng(11)
X = RNG.standard_normal((12, 10, 3)).astype(np.float32)
Y = RNG.standard_normal((12, 10, 2)).astype(np.float32)
N = np.array([10, 7, 1, 4, 10, 8, 3, 3, 10, 5, 6, 2])
OPTIONS = {"batch_size": 6, "shuffle": False, "verbose": 0}


def network(optimizer="adam", masked=False, seed=4, **recurrent):
    lf.utils.set_random_seed(seed)
    first = [layers.Masking()] if masked else []
    model = Sequential(
        [
            Input((None, 3)),
            *first,
            layers.LSTM(5, return_sequences=True, **recurrent),
            layers.GRU(4, return_sequences=True),
            layers.Dense(2),
        ]
    )
    model.compile(optimizer, "mse")
    return model


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def close(a, b, atol=2e-6):
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=atol)


@pytest.mark.parametrize("steps", [10, 11, 1000])
@pytest.mark.parametrize("lengths", [None, N])
def test_long_windows_are_plain_training(steps, lengths):
    plain, cut = network(dropout=0.2), network(dropout=0.2)
    lf.utils.set_random_seed(5)
    a = plain.fit(X, Y, epochs=2, lengths=lengths, **OPTIONS)
    lf.utils.set_random_seed(5)
    b = cut.fit(X, Y, epochs=2, lengths=lengths, tbptt=steps, **OPTIONS)
    assert equal(plain, cut) and a.history == b.history


def by_hand(steps, lengths=None, weights=None, optimizer="adam"):
    """The same training with states as inputs and outputs, plain arrays that no gradient passes."""
    x, h, c, g = Input((None, 3)), Input((5,)), Input((5,)), Input((4,))
    y, h2, c2 = layers.LSTM(5, return_sequences=True, return_state=True)(x, initial_state=[h, c])
    y, g2 = layers.GRU(4, return_sequences=True, return_state=True)(y, initial_state=[g])
    model = Model([x, h, c, g], [layers.Dense(2)(y), h2, c2, g2])
    model.set_weights(network().get_weights())
    model.compile(optimizer)
    losses = []
    for at in range(0, len(X), 6):
        rows = slice(at, at + 6)
        states = [np.zeros((6, size), np.float32) for size in (5, 5, 4)]
        for start in range(0, 10, steps):
            stop = min(10, start + steps)
            n = np.full(6, stop - start)
            if lengths is not None:
                n = np.clip(lengths[rows] - start, 0, stop - start)
                if not n.any():
                    break
            within = (np.arange(stop - start) < n[:, None]).astype(float)
            w = within if weights is None else within * weights[rows, start:stop]
            (y, *states), tape = model.forward([X[rows, start:stop], *states], lengths=[n, None, None, None])
            error = y.astype(np.float64) - Y[rows, start:stop]
            losses.append((((error**2).mean(-1) * w).sum() / within.sum(), stop - start))
            grads, _, _ = tape.backward([error * w[..., None] / within.sum(), None, None, None])
            model.apply_gradients(grads)
    return model, losses


@pytest.mark.parametrize("steps", [1, 3, 5, 9])
@pytest.mark.parametrize("kind", ["plain", "lengths", "weights", "lengths and weights"])
def test_windows_by_hand(steps, kind):
    options = {}
    if "lengths" in kind:
        options["lengths"] = N
    if "weights" in kind:
        options["weights"] = RNG.uniform(0.5, 2, (12, 10))
    expected, losses = by_hand(steps, **options)
    model = network()
    if "weights" in options:
        options["sample_weight"] = options.pop("weights")
    history = model.fit(X, Y, tbptt=steps, **OPTIONS, **options).history
    assert int(model.optimizer.iterations) == int(expected.optimizer.iterations) == len(losses)
    close(model, expected)
    mean = np.average([loss for loss, _ in losses], weights=[length for _, length in losses])
    assert history["loss"][0] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("steps", [3, 4])
def test_masks_are_lengths(steps):
    """Right-padded data through Masking: windows with no step left are no steps of the optimizer either."""
    x = X * (np.arange(10) < N[:, None])[..., None].astype(np.float32)
    cut, masked = network(), network(masked=True)
    cut.fit(x, Y, lengths=N, tbptt=steps, **OPTIONS)
    masked.fit(x, Y, tbptt=steps, **OPTIONS)
    assert int(cut.optimizer.iterations) == int(masked.optimizer.iterations)
    close(cut, masked)


def test_weights_of_samples_and_stream_batches():
    weight = RNG.uniform(0.5, 2, 12)
    a, b, c = network(), network(), network()
    a.fit(X, Y, sample_weight=weight, tbptt=4, **OPTIONS)
    b.fit(X, Y, sample_weight=np.repeat(weight[:, None], 10, 1), tbptt=4, **OPTIONS)
    batches = [(X[:6], Y[:6], weight[:6]), (X[6:], Y[6:], weight[6:])]
    c.fit(iter(batches), tbptt=4, verbose=0)
    close(a, b)
    assert equal(a, c)
    network().fit(iter([(X[:6], Y[:6]), (X[6:, :3], Y[6:, :3])]), tbptt=4, verbose=0)  # lengths may vary


def test_ids_several_inputs_and_outputs_and_a_model_inside():
    def build():
        lf.utils.set_random_seed(2)
        ids, x, fact, h = Input((None,), dtype="int32"), Input((None, 3)), Input((4,)), Input((6,))
        inner = Sequential([Input((None, 3)), layers.SimpleRNN(4, return_sequences=True)])
        both = layers.Concatenate()([layers.Embedding(7, 2)(ids), inner(x)])
        y = layers.GRU(6, return_sequences=True)(both, initial_state=[h])
        model = Model([ids, x, fact, h], [layers.Dense(2, name="p")(y), layers.Dense(1, name="q")(y)])
        model.compile("adam", "mse", metrics={"q": ["mae"], "p": ["mse"]}, weighted_metrics={"p": ["mae"]})
        return model

    ids = RNG.integers(0, 7, (12, 10))
    fact, h = RNG.standard_normal((12, 4)), RNG.standard_normal((12, 6))
    ys = [Y, Y[..., :1]]
    plain, cut = build(), build()
    plain.fit([ids, X, fact, h], ys, **OPTIONS)
    cut.fit([ids, X, fact, h], ys, tbptt=10, **OPTIONS)
    assert equal(plain, cut)
    # A learning rate of 0: the forward passes of the windows are those of the whole, so all logs agree.
    for model in (plain, cut):
        model.compile(
            lf.optimizers.SGD(0.0),
            "mse",
            metrics={"q": ["mae"], "p": ["mse"]},
            weighted_metrics={"p": ["mae"]},
        )
        model.set_weights(plain.get_weights())
    a = plain.fit([ids, X, fact, h], ys, **OPTIONS).history
    b = cut.fit([ids, X, fact, h], ys, tbptt=3, **OPTIONS).history
    assert list(a) == list(b) == ["loss", "p_loss", "p_mae", "p_mse", "q_loss", "q_mae"]
    for name in a:
        assert a[name] == pytest.approx(b[name], rel=1e-5)


def test_a_model_inside_that_is_not_trained_hands_its_state_on():
    def build(**window):
        lf.utils.set_random_seed(6)
        inner = Sequential([Input((None, 3)), layers.LSTM(4, return_sequences=True)])
        inner.trainable = False
        model = Sequential([Input((None, 3)), inner, layers.GRU(3, return_sequences=True), layers.Dense(2)])
        model.compile(lf.optimizers.SGD(0.0), "mse")
        return model.fit(X, Y, **OPTIONS, **window).history["loss"][0]

    assert build(tbptt=3) == pytest.approx(build(), rel=1e-6)


def test_states_do_not_leak_into_the_next_batch():
    twice, once = network(lf.optimizers.SGD(0.0)), network(lf.optimizers.SGD(0.0))
    x, y = np.concatenate([X[:6], X[:6]]), np.concatenate([Y[:6], Y[:6]])
    a = twice.fit(x, y, tbptt=4, **OPTIONS).history["loss"]
    assert a == pytest.approx(once.fit(X[:6], Y[:6], tbptt=4, **OPTIONS).history["loss"], rel=1e-12)


def test_stateful_layers_keep_their_states():
    """Windows of stateful layers go on by themselves, from batch to batch too: as if the cuts were batches."""

    def build():
        lf.utils.set_random_seed(2)
        model = Sequential(
            [
                Input(batch_shape=(6, None, 3)),
                layers.LSTM(5, return_sequences=True, stateful=True),
                layers.Dense(2),
            ]
        )
        model.compile("adam", "mse")
        return model

    cut, batches = build(), build()
    cut.fit(X, Y, tbptt=5, epochs=2, **OPTIONS)
    x, y = (np.concatenate([a[:6, :5], a[:6, 5:], a[6:, :5], a[6:, 5:]]) for a in (X, Y))
    batches.fit(x, y, epochs=2, **OPTIONS)
    assert equal(cut, batches)
    for a, b in zip(cut.layers[0].states, batches.layers[0].states, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_learns_what_needs_the_state():
    """Cumulative sums over 60 steps in windows of 10. Without handed-on states windows start at 0, and a network trained
    on such windows leaves 0.75 to 0.8 of the variance; with them 0.03 to 0.14, over eight seeds of the data."""
    lf.utils.set_random_seed(0)
    x = np.random.default_rng(0).choice([-1.0, 1.0], (64, 60, 1)).astype(np.float32)
    y = np.tanh(x.cumsum(axis=1) / 4)
    model = Sequential([Input((None, 1)), layers.GRU(8, return_sequences=True), layers.Dense(1)])
    model.compile(lf.optimizers.Adam(0.02), "mse")
    model.fit(x, y, batch_size=16, epochs=30, tbptt=10, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.25 * y.var()


def test_a_seed_decides_at_any_number_of_threads():
    results = []
    for threads in (1, 2, 2):
        lf.set_num_threads(threads)
        model = network(dropout=0.2, recurrent_dropout=0.2)
        history = model.fit(X, Y, batch_size=6, epochs=2, tbptt=3, verbose=0).history
        results.append((model, history))
    for model, history in results[1:]:
        assert equal(model, results[0][0]) and history == results[0][1]


# --- what is refused


def refused(model, match, x=X, y=Y, **options):
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(ValueError, match=match):
        model.fit(x, y, **{"tbptt": 4, "verbose": 0, **options})
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert int(model.optimizer.iterations) == 0


def test_outputs_without_a_time_axis():
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2, name="last")])
    refused(model, "output 'last'.*no time axis", y=Y[:, 0])
    x = Input((None, 3))
    h = layers.LSTM(4, return_sequences=True)(x)
    model = Model(x, [layers.Dense(2, name="p")(h), layers.Dense(2, name="q")(layers.LSTM(2)(h))])
    refused(model, "output 'q'", y=[Y, Y[:, 0]])


def test_layers_that_walk_backwards():
    for layer in (
        layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="both"),
        layers.GRU(4, return_sequences=True, go_backwards=True, name="both"),
    ):
        refused(Sequential([Input((None, 3)), layer, layers.Dense(2)]), "layer 'both'.*backwards")
        inner = Sequential([Input((None, 3)), layer])
        refused(Sequential([Input((None, 3)), inner, layers.Dense(2)]), "layer 'both'")


def test_states_from_other_layers():
    x = Input((None, 3))
    state = layers.LSTM(4)(x)
    y = layers.GRU(4, return_sequences=True, name="decoder")(x, initial_state=[state])
    refused(Model(x, layers.Dense(2)(y)), "'decoder'.*another layer")


class Repeat(layers.Layer):
    """(B, H) to (B, 10, H), whatever the number of steps."""

    def forward(self, x, call):
        return np.repeat(x[:, None], 10, axis=1)

    def backward(self, dy, call):
        return dy.sum(axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 10, input_shape[-1])


class OwnRecurrent(layers.Layer):
    """Has a state and does not hand it on."""

    state_size = (3,)

    def forward(self, x, call):
        return x

    def backward(self, dy, call):
        return dy


def test_recurrent_layers_that_do_not_hand_on_their_state():
    model = Sequential([Input((None, 3)), OwnRecurrent(name="mine"), layers.Dense(2)])
    refused(model, "state of layer 'mine' of class OwnRecurrent")


def test_shapes():
    def model():
        return Sequential([Input((None, 3)), layers.LSTM(4, return_sequences=True), layers.Dense(2)])

    refused(model(), "tbptt must be a positive integer", tbptt=0)
    refused(model(), "tbptt must be a positive integer", tbptt=2.0)
    refused(model(), "y", y=Y[:, :9])
    fixed = Sequential([Input((10, 3)), layers.LSTM(4), Repeat()])
    fixed.add(layers.LSTM(2, return_sequences=True, name="end"))
    refused(fixed, "output 'end' has shape .*for 4 steps")
    a, b = Input((None, 3)), Input((None, 3))
    first, second = layers.LSTM(2, return_sequences=True), layers.LSTM(2)
    merged = layers.Concatenate()([first(a), Repeat()(second(b))])
    refused(Model([a, b], layers.Dense(2)(merged)), "one common time axis", x=[X, X[:, :5]])
