# SPDX-License-Identifier: BSD-3-Clause
"""Zoneout together with recurrent dropout and with every variant of the LSTM, in layers and models."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers
from lstmfast import reference as ref
from lstmfast.layers import Call
from lstmfast.random import draw_key

UNITS = 7
VARIANTS = {
    "lstm": (layers.LSTM, {}),
    "peephole": (layers.LSTM, {"peephole": True}),
    "layer_norm": (layers.LSTM, {"layer_norm": True}),
    "projection": (layers.LSTM, {"projection": 5}),
    "peephole_projection": (layers.LSTM, {"peephole": True, "projection": 5}),
    "layer_norm_projection": (layers.LSTM, {"layer_norm": True, "projection": 5}),
    "gru": (layers.GRU, {}),
    "gru_reset_before": (layers.GRU, {"reset_after": False}),
    "simple_rnn": (layers.SimpleRNN, {}),
}
every_variant = pytest.mark.parametrize("name", VARIANTS)


def made(variant_name, rng, features=4, **options):
    """A layer with random weights."""
    kind, variant = VARIANTS[variant_name]
    rates = (0.3, 0.2) if kind is layers.LSTM else 0.3  # of c and of h
    layer = kind(UNITS, **{"zoneout": rates, **variant, **options})
    layer.build((None, None, features))
    layer.set_weights([0.5 * rng.standard_normal(w.shape).astype("float32") for w in layer.get_weights()])
    return layer


def in_float64(layer, x, **options):
    weights = layer.get_weights()
    return ref.recurrent_forward(layer.cell_name, *weights[:3], x, extra=weights[3:], **options)


def drawn_zoneout(layer, key, batch, time):
    """What is kept, (T, B, size) for each state, as docs/decisions/0008 says that it is drawn."""
    rates = [np.float32(rate) for rate in layer._zoneout]
    return [
        np.array(
            [
                [ref.random_bits(key, (k, b, t), size) < int(rates[k] * 2.0**32) for b in range(batch)]
                for t in range(time)
            ],
            float,
        )
        for k, size in enumerate(layer.state_size)
    ]


@every_variant
@pytest.mark.parametrize("variational", [False, True])
def test_training_with_recurrent_dropout_is_the_specification(name, variational, rng):
    layer = made(
        name, rng, recurrent_dropout=0.4, dropout=0.3, variational=variational, seed=11, return_sequences=True
    )
    x = rng.standard_normal((3, 9, 4)).astype("float32")
    call = Call(True, save=True, needs_dx=True)
    y = layer.forward(x, call)
    dy = rng.standard_normal(y.shape).astype("float32")
    dx = layer.backward(dy, call)

    # The layer's own generator draws zoneout's key first, then the masks.
    again = made(name, rng, recurrent_dropout=0.4, dropout=0.3, variational=variational, seed=11)
    keeps = drawn_zoneout(layer, draw_key(again.seed_generator), 3, 9)
    of_x, of_h = again._dropout_masks(x, Call(True))
    shared = of_x.ndim == 2
    used = x * of_x[:, None] if shared else x
    want, _, tape = in_float64(
        layer,
        used,
        return_sequences=True,
        zoneout=keeps,
        recurrent_mask=of_h,
        input_mask=None if shared else of_x,
    )
    want_dx, _, *want_grads = ref.recurrent_backward(tape, dy)
    got = [y, dx, *(v.grad for v in layer.weights)]
    wanted = [want, want_dx * of_x[:, None] if shared else want_dx, *want_grads]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(0.1, np.abs(b).max()))


@every_variant
def test_inference_is_the_expected_mixture_frozen_and_in_streams_too(name, rng):
    layer = made(name, rng, return_sequences=True, recurrent_dropout=0.5)
    model = Sequential([Input((None, 4)), layer])
    x = rng.standard_normal((2, 11, 4)).astype("float32")
    y = model(x)
    rates = layer._zoneout[: layer.n_states]
    want = in_float64(layer, x, return_sequences=True, zoneout=rates)[0]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-5 * max(1, np.abs(want).max()))
    frozen = model.freeze()
    assert np.array_equal(frozen(x), y)
    stream = frozen.stream(batch=2)
    parts = [stream.push(x[:, :6]), *(stream.step(x[:, t])[:, None] for t in range(6, 11))]
    assert np.array_equal(np.concatenate(parts, axis=1), y)
    last = layers.Bidirectional(made(name, rng))
    both = Sequential([Input((None, 4)), last])
    assert np.array_equal(both.freeze()(x), both(x))
    backwards = last.backward_layer
    want = in_float64(backwards, x, go_backwards=True, zoneout=rates)[0]
    np.testing.assert_allclose(
        both(x)[:, layer.output_size :], want, rtol=0, atol=1e-5 * max(1, np.abs(want).max())
    )


@every_variant
def test_a_trace_shows_the_mixed_states(name, rng):
    layer = made(name, rng, return_sequences=True, return_state=True, name="r")
    x = rng.standard_normal((2, 6, 4)).astype("float32")
    inputs = lf.Input((None, 4))
    model = lf.Model(inputs, layer(inputs))
    y, *states = model(x)
    found = model.trace(x)
    assert np.array_equal(found["r/h"], y)
    for key, state in zip("hc", states, strict=False):
        assert np.array_equal(found[f"r/{key}"][:, -1], state)


@every_variant
def test_remat_changes_no_bit_forward_and_no_gradient(name, rng):
    x = rng.standard_normal((3, 29, 4)).astype("float32")
    dy = rng.standard_normal((3, 29, made(name, rng).output_size)).astype("float32")
    given = {"mask": rng.random((3, 29)) > 0.3, "resets": rng.random((3, 29)) > 0.8}
    weights, results = None, []
    for remat in (False, True):
        layer = made(name, rng, remat=remat, recurrent_dropout=0.3, seed=5, return_sequences=True)
        if weights is not None:
            layer.set_weights(weights)
        weights = layer.get_weights()
        call = Call(True, save=True, needs_dx=True, **given)
        y = layer.forward(x, call)
        results.append([y, layer.backward(dy, call), *(v.grad.copy() for v in layer.weights)])
    assert np.array_equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1:], results[1][1:], strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-6 * max(1, np.abs(a).max()))


@every_variant
def test_a_stateful_layer_goes_on_where_it_was(name, rng):
    kind, variant = VARIANTS[name]
    x = rng.standard_normal((2, 12, 4)).astype("float32")
    whole = made(name, rng, return_sequences=True)
    layer = kind(UNITS, zoneout=whole.zoneout, **variant, stateful=True, return_sequences=True)
    layer.build((2, None, 4))
    layer.set_weights(whole.get_weights())
    assert np.array_equal(np.concatenate([layer(x[:, :5]), layer(x[:, 5:])], axis=1), whole(x))


@every_variant
def test_a_seeded_fit_gives_the_same_bits_at_any_number_of_threads(name, rng):
    kind, variant = VARIANTS[name]
    variant = {**variant, "projection": 40} if "projection" in variant else variant
    options = {**variant, "zoneout": 0.15, "recurrent_dropout": 0.2, "seed": 3}
    x = rng.standard_normal((32, 20, 16)).astype("float32")
    y = x.mean(axis=1)
    results = []
    for threads in (1, 2):
        lf.utils.set_random_seed(1)
        model = Sequential(
            [
                Input((None, 16)),
                layers.Bidirectional(kind(48, return_sequences=True, **options)),
                kind(64, **options),
                layers.Dense(16),
            ]
        )
        model.compile(lf.optimizers.Adam(0.01), "mse")
        with lf.threads(threads):
            losses = model.fit(x, y, batch_size=16, epochs=6, verbose=0).history["loss"]
        results.append([np.array(losses), *model.get_weights()])
        assert losses[-1] < losses[0]
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("name", ["peephole", "layer_norm_projection", "gru"])
def test_truncated_training(name, rng):
    kind, variant = VARIANTS[name]
    x = rng.standard_normal((8, 60, 3)).astype("float32")
    y = 0.1 * np.cumsum(x, axis=1)
    lf.utils.set_random_seed(2)
    recurrent = kind(24, zoneout=0.1, recurrent_dropout=0.1, return_sequences=True, **variant)
    model = Sequential([Input((None, 3)), recurrent, layers.Dense(3)])
    model.compile(lf.optimizers.Adam(0.02), "mse")
    losses = model.fit(x, y, batch_size=8, epochs=25, tbptt=20, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


@every_variant
def test_a_native_file_brings_it_back(name, rng, tmp_path):
    model = Sequential([Input((None, 4)), made(name, rng, recurrent_dropout=0.2)])
    model.save(tmp_path / "m.safetensors")
    loaded = lf.saving.load_model(tmp_path / "m.safetensors")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    x = rng.standard_normal((2, 5, 4)).astype("float32")
    assert np.array_equal(loaded(x), model(x))
