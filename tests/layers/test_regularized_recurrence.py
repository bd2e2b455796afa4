# SPDX-License-Identifier: BSD-3-Clause
"""Zoneout, variational dropout and rematerialization of the recurrent layers."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers
from lstmfast import reference as ref
from lstmfast.layers import Call

KINDS = [layers.LSTM, layers.GRU, layers.SimpleRNN]


@pytest.mark.parametrize("kind", KINDS)
def test_zoneout_in_inference_is_the_expected_mixture(kind, rng):
    layer = kind(7, zoneout=0.3, return_sequences=True)
    x = rng.standard_normal((3, 8, 4)).astype("float32")
    y = layer(x)
    want = ref.recurrent_forward(
        layer.cell_name, *layer.get_weights(), x, zoneout=[0.3] * layer.n_states, return_sequences=True
    )[0]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-6)


def test_a_pair_is_of_c_and_of_h(rng):
    layer = layers.LSTM(5, zoneout=(0.5, 0.05))
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    want = ref.recurrent_forward("lstm", *map(np.asarray, _built(layer, x)), x, zoneout=[0.05, 0.5])[0]
    np.testing.assert_allclose(layer(x), want, rtol=0, atol=1e-6)


def _built(layer, x):
    layer(x)
    return layer.get_weights()


@pytest.mark.parametrize("kind", KINDS)
def test_zoneout_keeps_about_its_share(kind, rng):
    lf.utils.set_random_seed(3)
    layer = kind(64, zoneout=0.25, return_sequences=True)
    x = rng.standard_normal((16, 30, 8)).astype("float32")
    y = layer(x, training=True)
    kept = (y[:, 1:] == y[:, :-1]).mean()
    assert abs(kept - 0.25) < 0.01
    assert not np.array_equal(y, layer(x, training=True))


def test_a_seed_gives_the_same_zoneout_at_any_thread_count(rng):
    x = rng.standard_normal((6, 40, 96)).astype("float32")
    results = []
    for threads in (1, 2, 3):
        lf.utils.set_random_seed(5)
        layer = layers.LSTM(160, zoneout=0.1, seed=9, return_sequences=True)
        with lf.threads(threads):
            results.append(layer(x, training=True))
    assert all(np.array_equal(results[0], y) for y in results[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_model_and_its_stream_give_the_same_bits(kind, rng):
    model = Sequential([Input((None, 3)), kind(9, zoneout=0.2, return_sequences=True), kind(5, zoneout=0.1)])
    x = rng.standard_normal((2, 11, 3)).astype("float32")
    frozen = model.freeze()
    assert np.array_equal(frozen(x), model(x))
    assert np.array_equal(frozen.stream(batch=2).push(x)[:, -1], model(x))
    stream = frozen.stream(batch=2)  # step by step: another path
    assert np.array_equal([stream.step(x[:, t]) for t in range(11)][-1], model(x))
    both = Sequential([Input((None, 3)), layers.Bidirectional(kind(4, zoneout=0.2))])
    assert np.array_equal(both.freeze()(x), both(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoneout": 1.0}, r"`zoneout` must be from 0 to below 1, got 1\.0"),
        ({"zoneout": -0.1}, "`zoneout` must be from 0 to below 1"),
        ({"zoneout": (0.1,)}, "`zoneout` must be a number or a pair of numbers"),
    ],
)
def test_bad_zoneout_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        layers.LSTM(4, **options)
    if isinstance(options["zoneout"], tuple):
        with pytest.raises(ValueError, match="`zoneout` must be a number"):
            layers.GRU(4, **options)


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU])
def test_variational_dropout_shares_a_mask_among_gates(kind, rng):
    layer = kind(6, dropout=0.4, recurrent_dropout=0.3, variational=True)
    x = np.ones((2, 3, 4), np.float32)
    layer(x)
    of_x, of_h = layer._dropout_masks(x, Call(True))
    assert of_x.shape == (2, 4) and of_h.shape == (2, 6)
    plain = kind(6, dropout=0.4, recurrent_dropout=0.3)
    assert plain._dropout_masks(x, Call(True))[1].shape == (2, plain.gates, 6)
    # The whole of it, by the reference, with the masks that the same seed draws.
    layer = kind(6, dropout=0.4, recurrent_dropout=0.3, variational=True, seed=4)
    x = rng.standard_normal((2, 5, 4)).astype("float32")
    weights = _built(layer, x)
    y = layer(x, training=True)
    again = kind(6, dropout=0.4, recurrent_dropout=0.3, variational=True, seed=4)
    of_x, of_h = again._dropout_masks(x, Call(True))
    want = ref.recurrent_forward(layer.cell_name, *weights, x * of_x[:, None], recurrent_mask=of_h)[0]
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-6)


REMAT = {
    "plain": {},
    "last": {"return_sequences": False},
    "backwards": {"go_backwards": True},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 2},
    "zoneout": {"zoneout": 0.3, "seed": 2},
    "state": {"return_state": True},
}


@pytest.mark.parametrize("given", ["nothing", "mask", "lengths", "resets", "initial_state"])
@pytest.mark.parametrize("name", REMAT)
@pytest.mark.parametrize("kind", KINDS)
def test_remat_changes_no_bit_forward_and_no_gradient(kind, name, given, rng):
    options = {"return_sequences": True, **REMAT[name]}
    x = rng.standard_normal((3, 29, 4)).astype("float32")
    call_options = {
        "nothing": {},
        "mask": {"mask": rng.random((3, 29)) > 0.3},
        "lengths": {"lengths": np.array([29, 0, 13], np.int32)},
        "resets": {"resets": rng.random((3, 29)) > 0.8},
        "initial_state": {},
    }[given]
    first = kind(6, **options)
    weights = _built(first, x)
    if given == "initial_state":
        state = tuple(rng.standard_normal((3, 6)).astype("float32") for _ in range(first.n_states))
        call_options = {"initial_state": state}
    results = []
    for remat in (False, True):
        layer = kind(6, **options, remat=remat)
        layer.build(x.shape)
        layer.set_weights(weights)
        call = Call(True, save=True, needs_dx=True, **call_options)
        out = layer.forward(x, call)
        outputs = out if layer.return_state else (out,)
        dys = [np.sin(np.arange(y.size, dtype=np.float32)).reshape(y.shape) for y in outputs]
        dx = layer.backward(tuple(dys) if layer.return_state else dys[0], call)
        grads = [dx, *call.d_initial_state, *(v.grad.copy() for v in layer.weights)]
        results.append((outputs, grads))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert np.array_equal(a, b)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=2e-6 * max(1, np.abs(a).max()))


def test_remat_trains_in_models_and_in_both_directions(rng):
    lf.utils.set_random_seed(0)
    x = rng.standard_normal((8, 40, 3)).astype("float32")
    y = x.mean(axis=1)
    model = Sequential(
        [
            Input((None, 3)),
            layers.Bidirectional(layers.LSTM(8, return_sequences=True, remat=True)),
            layers.GRU(8, remat=True),
            layers.Dense(3),
        ]
    )
    model.compile(lf.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_the_configuration_says_what_keras_does_not_know(tmp_path, rng):
    layer = layers.LSTM(3, zoneout=(0.1, 0.2), variational=True, remat=True)
    again = layers.LSTM.from_config(layer.get_config())
    assert (again.zoneout, again.variational, again.remat) == ([0.1, 0.2], True, True)
    assert not {"zoneout", "variational", "remat"} & set(layers.GRU(3).get_config())
    model = Sequential([Input((None, 2)), layers.GRU(3, zoneout=0.2, remat=True)])
    model.save(tmp_path / "m.safetensors")
    loaded = lf.saving.load_model(tmp_path / "m.safetensors")
    assert loaded.layers[0].zoneout == 0.2 and loaded.layers[0].remat
