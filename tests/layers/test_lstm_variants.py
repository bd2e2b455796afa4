# SPDX-License-Identifier: BSD-3-Clause
"""The LSTM's peepholes, projection and layer normalization: against PyTorch, arguments, wrappers, files."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import Call

OPTIONS = {
    "peephole": {"peephole": True},
    "projection": {"projection": 3},
    "peephole_projection": {"peephole": True, "projection": 4},
    "layer_norm": {"layer_norm": True},
    "layer_norm_projection": {"layer_norm": True, "projection": 4},
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

    def norm(v, gain, offset):
        return torch.nn.functional.layer_norm(v, v.shape[1:], gain, offset, eps=1e-3)

    for t in range(x.shape[1]):
        from_x, from_h = x[:, t] @ w, h @ u
        if layer.layer_norm:
            from_h, from_x = norm(from_h, *extra[:2]), norm(from_x, *extra[2:4])
        z_i, z_f, z_a, z_o = (from_x + from_h + b).chunk(4, dim=1)
        before = c
        if layer.peephole:
            z_i, z_f = z_i + extra[0][0] * before, z_f + extra[0][1] * before
        c = torch.sigmoid(z_f) * before + torch.sigmoid(z_i) * torch.tanh(z_a)
        if layer.peephole:
            z_o = z_o + extra[0][2] * c
        h = torch.sigmoid(z_o) * torch.tanh(norm(c, *extra[4:6]) if layer.layer_norm else c)
        if layer.projection:
            h = h @ extra[-1]
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
    assert not set(plain) & {"peephole", "projection", "layer_norm"}
    config = layers.LSTM(4, **options).get_config()
    assert {key: config[key] for key in set(config) - set(plain)} == options
    again = layers.LSTM.from_config(config)
    assert again.get_config() == config


@pytest.mark.parametrize("argument", ["peephole", "layer_norm"])
@pytest.mark.parametrize("value", [1, "yes", None, np.ones(2)], ids=str)
def test_flags_must_be_flags(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be True or False"):
        layers.LSTM(4, **{argument: value})


def test_peepholes_and_layer_norm_do_not_mix():
    with pytest.raises(ValueError, match="peephole=True with layer_norm=True is not supported"):
        layers.LSTM(4, peephole=True, layer_norm=True)


def test_weights_of_layer_norm():
    layer = layers.LSTM(3, layer_norm=True, projection=2)
    layer.build((None, None, 5))
    expected = {"kernel": (5, 12), "recurrent_kernel": (2, 12), "bias": (12,)}
    for name, size in (("recurrent", 12), ("kernel", 12), ("state", 3)):
        expected |= {f"{name}_norm_gamma": (size,), f"{name}_norm_beta": (size,)}
    expected["projection_kernel"] = (3, 2)
    assert {v.name: v.shape for v in layer.weights} == expected
    assert [v.name for v in layer.weights] == list(expected)
    for v in layer.weights[3:9]:
        np.testing.assert_array_equal(v.value, 1.0 if v.name.endswith("gamma") else 0.0)


@pytest.mark.parametrize("large", [1.0, 1e4])
def test_layer_norm_keeps_its_digits_far_from_zero(large, rng):
    """All columns of the kernel have the same large part, which rounds the sums; a variance from squares would drown."""
    layer = made(4, rng, units=19, layer_norm=True, return_sequences=True)
    weights = layer.get_weights()
    weights[0] = weights[0] + np.float32(large)
    layer.set_weights(weights)
    weights = layer.get_weights()
    x = (rng.standard_normal((3, 6, 4)) * 0.1 + [1.0, 0.0, 0.0, 0.0]).astype("float32")
    expected = lf.reference.lstm_forward(*weights[:3], x, layer_norm=weights[3:], return_sequences=True)[0]
    np.testing.assert_allclose(layer(x), expected, rtol=0, atol=1e-5 + 1e-6 * large)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, np.float32(2)], ids=repr)
def test_projection_must_be_a_size(value):
    with pytest.raises(ValueError, match="`projection` must be a positive integer or None"):
        layers.LSTM(4, projection=value)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("units", "size"), [(5, 3), (33, 17), (20, 1)])
def test_projection_against_torch_lstm(units, size, batch_first, rng):
    """The real torch.nn.LSTM(proj_size=), float64, two directions as the weights of one each."""
    torch = pytest.importorskip("torch")
    b, t, n = 4, 7, 6
    other = torch.nn.LSTM(n, units, proj_size=size, batch_first=batch_first, dtype=torch.float64)
    layer = made(n, rng, units=units, projection=size, return_sequences=True, return_state=True)
    w, u, bias, projection = layer.get_weights()
    with torch.no_grad():
        for name, value in [
            ("weight_ih", w.T),
            ("weight_hh", u.T),
            ("bias_ih", bias),
            ("weight_hr", projection.T),
        ]:
            getattr(other, f"{name}_l0").copy_(torch.tensor(value))
        other.bias_hh_l0.zero_()
    x = rng.standard_normal((b, t, n)).astype("float32")
    x_torch = torch.tensor(x if batch_first else x.swapaxes(0, 1), dtype=torch.float64, requires_grad=True)
    y, (h, c) = other(x_torch)
    call = Call(save=True, needs_dx=True)
    got = layer.forward(x, call)
    y = y if batch_first else y.swapaxes(0, 1)
    d_outputs = [rng.standard_normal(a.shape).astype("float32") for a in got]
    for a, e in zip(got, (y, h[0], c[0]), strict=True):
        np.testing.assert_allclose(a, e.detach().numpy(), rtol=0, atol=5e-6)
    sum((e * torch.tensor(d)).sum() for e, d in zip((y, h[0], c[0]), d_outputs, strict=True)).backward()
    dx = layer.backward(tuple(d_outputs), call)
    e_dx = x_torch.grad.numpy()
    expected = [e_dx if batch_first else e_dx.swapaxes(0, 1)]
    for name in ("weight_ih", "weight_hh", "bias_ih", "weight_hr"):
        expected.append(getattr(other, f"{name}_l0").grad.numpy().T)
    for a, want in zip([dx, *(v.grad for v in layer.weights)], expected, strict=True):
        np.testing.assert_allclose(a, want, rtol=0, atol=1e-5 * max(1.0, np.abs(want).max()))


def test_shapes_with_a_projection(rng):
    layer = made(4, rng, units=6, projection=2, return_state=True)
    assert [v.shape for v in layer.weights] == [(4, 24), (2, 24), (24,), (6, 2)]
    assert [v.name for v in layer.weights][3] == "projection_kernel"
    assert [a.shape for a in layer(np.zeros((3, 5, 4)))] == [(3, 2), (3, 2), (3, 6)]
    assert layer.compute_output_shape((None, 5, 4)) == ((None, 2), (None, 2), (None, 6))
    with pytest.raises(ValueError, match=r"initial_state\[0\].*\(3, 2\)"):
        layer(np.zeros((3, 5, 4)), initial_state=[np.zeros((3, 6)), np.zeros((3, 6))])
    inputs = lf.Input((5, 4))
    y, h, c = layer(inputs)
    assert (y.shape, h.shape, c.shape) == ((None, 2), (None, 2), (None, 6))
    with pytest.raises(ValueError, match="needs as many units"):
        layers.Bidirectional(
            layers.LSTM(6, projection=2),
            "sum",
            backward_layer=layers.LSTM(6, projection=3, go_backwards=True),
        )


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
    lf.utils.set_random_seed(1)
    x = rng.standard_normal((16, 5, 3)).astype("float32")
    y = x.cumsum(axis=1)[:, -1, :2]
    first = layers.Bidirectional(layers.LSTM(6, return_sequences=True, **options))
    model = lf.Sequential([first, layers.LSTM(4, **options), layers.Dense(2)])
    model.compile(optimizer=lf.optimizers.Adam(0.02), loss="mse")
    losses = model.fit(x, y, epochs=60, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = lf.models.load_model(path)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded.fit(x, y, epochs=1, verbose=0)
    with pytest.raises(ValueError, match=f"Keras has no {next(iter(options))}="):
        model.save(tmp_path / "model.keras")
