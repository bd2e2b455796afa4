# SPDX-License-Identifier: BSD-3-Clause
"""The LSTM's peepholes: against PyTorch, arguments, wrappers, files."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import Call

OPTIONS = {
    "peephole": {"peephole": True},
}


@pytest.fixture(params=OPTIONS)
def options(request):
    return OPTIONS[request.param]


def randomize(layer, rng):
    layer.set_weights([rng.standard_normal(v.shape) / np.sqrt(v.shape[0]) for v in layer.weights])


def made(n, rng, batch=None, **options):
    layer = layers.LSTM(options.pop("units", 5), **options)
    layer.build((batch, None, n))
    randomize(layer, rng)
    return layer


def torch_lstm(torch, layer, weights, x, h, c):
    """The equations of the class's docstring, step by step in PyTorch."""
    w, u, b, *extra = weights
    outputs = []
    for t in range(x.shape[1]):
        z_i, z_f, z_a, z_o = (x[:, t] @ w + h @ u + b).chunk(4, dim=1)
        before = c
        if layer.peephole:
            z_i, z_f = z_i + extra[0][0] * before, z_f + extra[0][1] * before
        c = torch.sigmoid(z_f) * before + torch.sigmoid(z_i) * torch.tanh(z_a)
        if layer.peephole:
            z_o = z_o + extra[0][2] * c
        h = torch.sigmoid(z_o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs, dim=1), h, c


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 6, 4, 15), (5, 4, 7, 33)], ids=str)
def test_against_torch_autograd(options, shape, rng):
    torch = pytest.importorskip("torch")
    b, t, n, units = shape
    layer = made(n, rng, units=units, return_sequences=True, return_state=True, **options)
    x = rng.standard_normal((b, t, n)).astype("float32")
    call = Call(save=True, needs_dx=True)
    call.initial_state = tuple(rng.standard_normal((b, k)).astype("float32") for k in layer.state_size)

    def double(a):
        return torch.tensor(a, dtype=torch.float64, requires_grad=True)

    leaves = [double(a) for a in (x, *call.initial_state)]
    weights = [double(w) for w in layer.get_weights()]
    expected = torch_lstm(torch, layer, weights, *leaves)
    got = layer.forward(x, call)
    d_outputs = [rng.standard_normal(y.shape).astype("float32") for y in got]
    sum((e * torch.tensor(d)).sum() for e, d in zip(expected, d_outputs, strict=True)).backward()
    dx = layer.backward(tuple(d_outputs), call)
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, e.detach().numpy(), rtol=0, atol=5e-6)
    gradients = [dx, *call.d_initial_state, *(v.grad for v in layer.weights)]
    for a, leaf in zip(gradients, [*leaves, *weights], strict=True):
        want = leaf.grad.numpy()
        np.testing.assert_allclose(a, want, rtol=0, atol=1e-5 * max(1.0, np.abs(want).max()))


def test_configuration_says_only_what_differs(options):
    plain = layers.LSTM(4).get_config()
    assert not set(plain) & {"peephole"}
    config = layers.LSTM(4, **options).get_config()
    assert {key: config[key] for key in set(config) - set(plain)} == options
    again = layers.LSTM.from_config(config)
    assert again.get_config() == config


@pytest.mark.parametrize("value", [1, "yes", None, np.ones(2)], ids=str)
def test_peephole_must_be_a_flag(value):
    with pytest.raises(ValueError, match="`peephole` must be True or False"):
        layers.LSTM(4, peephole=value)


def test_peepholes_start_as_the_plain_lstm(rng):
    plain = made(3, rng, units=6, return_sequences=True)
    layer = layers.LSTM(6, peephole=True, return_sequences=True)
    layer.build((None, None, 3))
    assert [v.name for v in layer.weights] == ["kernel", "recurrent_kernel", "bias", "peephole_kernel"]
    layer.set_weights([*plain.get_weights(), np.zeros((3, 6))])
    x = rng.standard_normal((4, 5, 3)).astype("float32")
    np.testing.assert_array_equal(layer(x), plain(x))


def test_stateful_goes_on_where_it_was(options, rng):
    layer = made(3, rng, batch=2, return_sequences=True, stateful=True, **options)
    plain = layers.LSTM(5, return_sequences=True, **options)
    plain.build((None, None, 3))
    plain.set_weights(layer.get_weights())
    x = rng.standard_normal((2, 7, 3)).astype("float32")
    np.testing.assert_array_equal(np.concatenate([layer(x[:, :3]), layer(x[:, 3:])], axis=1), plain(x))


@pytest.mark.parametrize("merge_mode", ["concat", "sum", None])
def test_both_directions(options, merge_mode, rng):
    x = rng.standard_normal((3, 6, 4)).astype("float32")
    both = layers.Bidirectional(layers.LSTM(5, return_sequences=True, **options), merge_mode=merge_mode)
    both.build((None, None, 4))
    randomize(both, rng)
    half = len(both.weights) // 2
    parts = []
    for k, backwards in enumerate((False, True)):
        one = layers.LSTM(5, return_sequences=True, go_backwards=backwards, **options)
        one.build((None, None, 4))
        one.set_weights(both.get_weights()[k * half : (k + 1) * half])
        parts.append(one(x)[:, ::-1] if backwards else one(x))
    expected = {"concat": np.concatenate(parts, axis=-1), "sum": parts[0] + parts[1], None: parts}[merge_mode]
    got = both(x)
    assert both.compute_output_shape((3, 6, 4)) == (
        tuple(p.shape for p in parts) if merge_mode is None else expected.shape
    )
    for a, e in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, e)


def test_training_and_files(options, rng, tmp_path):
    x = rng.standard_normal((16, 5, 3)).astype("float32")
    y = x.cumsum(axis=1)[:, -1, :2]
    first = layers.Bidirectional(layers.LSTM(6, return_sequences=True, **options))
    model = lf.Sequential([first, layers.LSTM(4, **options), layers.Dense(2)])
    model.compile(optimizer=lf.optimizers.Adam(0.02), loss="mse")
    losses = model.fit(x, y, epochs=20, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = lf.models.load_model(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded.fit(x, y, epochs=1, verbose=0)
    with pytest.raises(ValueError, match=f"Keras has no {next(iter(options))}="):
        model.save(tmp_path / "model.keras")
