# SPDX-License-Identifier: BSD-3-Clause
"""Every backward of lstmfast.reference against finite differences in float64."""

import itertools

import numpy as np
import pytest

from lstmfast import reference as ref

TOLERANCE = 1e-7


def numeric_gradient(f, x, step=1e-3):
    """Sixth-order central differences of the scalar function f() with respect to the array x, in place."""
    grad = np.empty_like(x)
    flat, out = x.reshape(-1), grad.reshape(-1)
    for i in range(flat.size):
        old = flat[i]
        total = 0.0
        for weight, k in ((45.0, 1), (-9.0, 2), (1.0, 3)):
            flat[i] = old + k * step
            plus = f()
            flat[i] = old - k * step
            total += weight * (plus - f())
        flat[i] = old
        out[i] = total / (60.0 * step)
    return grad


def assert_close(actual, expected):
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE * scale)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (3, 1, 2), (1, 2, 2)])
def test_conv1d(stride, dilation, groups, rng):
    x, kernel, bias = rng.standard_normal((2, 9, 4)), rng.standard_normal((3, 4 // groups, 6)), np.zeros(6)
    dz = rng.standard_normal(ref.conv1d_forward(kernel, bias, x, stride, dilation).shape)

    def loss():
        return float((ref.conv1d_forward(kernel, bias, x, stride, dilation) * dz).sum())

    for got, array in zip(
        ref.conv1d_backward(kernel, x, dz, stride, dilation), (x, kernel, bias), strict=True
    ):
        assert_close(got, numeric_gradient(loss, array))


@pytest.mark.parametrize("name", ref.activation_names())
def test_activation(name, rng):
    x = rng.standard_normal((3, 5)) * 2
    for kink in (-3.0, -1.0, 0.0, 1.0, 3.0, 6.0):
        x[np.abs(x - kink) < 0.01] += 0.02  # differences must not straddle a kink
    dy = rng.standard_normal(x.shape)
    dx = ref.activation_backward(name, x, ref.activation_forward(name, x), dy)
    assert_close(dx, numeric_gradient(lambda: float((ref.activation_forward(name, x) * dy).sum()), x))


@pytest.mark.parametrize("name", sorted(set(ref.activation_names()) - {"gelu", "gelu_tanh", "silu"}))
def test_activation_backward_needs_no_x(name, rng):
    x, dy = rng.standard_normal((2, 3, 5))
    y = ref.activation_forward(name, x)
    assert_close(ref.activation_backward(name, None, y, dy), ref.activation_backward(name, x, y, dy))


def test_activations_at_extremes():
    x = np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]])
    for name in set(ref.activation_names()) - {"exponential"}:
        assert np.isfinite(ref.activation_forward(name, x)).all(), name


def test_dense(rng):
    w, b, x, dy = (rng.standard_normal(s) for s in ((4, 3), (3,), (5, 4), (5, 3)))
    y = ref.dense_forward(w, b, x, "tanh")
    dz = ref.activation_backward("tanh", None, y, dy)

    def loss():
        return float((ref.dense_forward(w, b, x, "tanh") * dy).sum())

    for got, array in zip(ref.dense_backward(w, x, dz), (x, w, b), strict=True):
        assert_close(got, numeric_gradient(loss, array))


def test_embedding(rng):
    ids = np.array([[1, 1, 5], [0, 1, 5]])
    table, dy = rng.standard_normal((6, 3)), rng.standard_normal((2, 3, 3))
    got = ref.embedding_backward(ids, dy, 6)
    assert_close(got, numeric_gradient(lambda: float((ref.embedding_forward(table, ids) * dy).sum()), table))


VARIANTS = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "mask": {"mask": True, "return_sequences": True},
    "mask_last": {"mask": True},
    "mask_backwards_last": {"mask": True, "go_backwards": True},
    "mask_zero": {"mask": True, "zero_output_for_mask": True, "return_sequences": True},
    "mask_zero_last": {"mask": True, "zero_output_for_mask": True},
    "lengths": {"lengths": True, "return_sequences": True},
    "lengths_last": {"lengths": True},
    "lengths_backwards": {"lengths": True, "go_backwards": True, "return_sequences": True},
    "lengths_and_mask": {"lengths": True, "mask": True, "zero_output_for_mask": True},
    "resets": {"resets": True, "return_sequences": True},
    "resets_backwards_last": {"resets": True, "go_backwards": True},
    "resets_mask_lengths": {"resets": True, "mask": True, "lengths": True, "return_sequences": True},
    "zoneout": {"zoneout": "random", "return_sequences": True, "resets": True},
    "zoneout_shares": {"zoneout": "shares", "mask": True},
    "zoneout_recurrent_mask": {"zoneout": "random", "recurrent_mask": "shared", "resets": True, "mask": True},
    "zoneout_mask_by_gate": {"zoneout": "random", "recurrent_mask": "gate", "return_sequences": True},
    "shared_recurrent_mask": {"recurrent_mask": "shared", "return_sequences": True},
    "recurrent_mask_by_gate": {"recurrent_mask": "gate", "return_sequences": True},
    "input_mask_by_gate": {"input_mask": True, "recurrent_mask": "gate", "return_sequences": True},
    "other_activations": {"activation": "softsign", "recurrent_activation": "silu"},
}


@pytest.mark.parametrize("cell", list(ref.CELLS))
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_sequence(cell, variant, rng):
    options = dict(VARIANTS[variant])
    units, outputs = 3, 2 if "projection" in cell else 3
    extra = ref.CELLS[cell].extra_shapes(units, outputs).values()
    options["extra"] = extra = [0.7 * rng.standard_normal(s) for s in extra]
    gates, n_states = ref.CELLS[cell].gates, ref.CELLS[cell].states
    n_batch, n_time, n_in = 4, 4, 2
    z = gates * units
    b_shape = (z,) if ref.CELLS[cell].biases == 1 else (2, z)
    w, u, b = (0.7 * rng.standard_normal(s) for s in ((n_in, z), (outputs, z), b_shape))
    x = rng.standard_normal((n_batch, n_time, n_in))
    initial = tuple(rng.standard_normal((n_batch, n)) for n in (outputs, units)[:n_states])
    if options.get("mask"):
        options["mask"] = np.array([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool)
    if options.get("zoneout") == "random":
        options["zoneout"] = [
            (rng.random((n_time, n_batch, n)) < 0.4) * 1.0 for n in (outputs, units)[:n_states]
        ]
    elif options.get("zoneout") == "shares":
        options["zoneout"] = [0.3, 0.1][:n_states]
    if options.get("resets"):
        options["resets"] = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    if options.get("lengths"):
        options["lengths"] = np.array([4, 2, 0, 1])
    if "recurrent_mask" in options:
        shape = (n_batch, outputs) if options["recurrent_mask"] == "shared" else (n_batch, gates, outputs)
        options["recurrent_mask"] = rng.integers(0, 2, shape) / 0.5
    if options.get("input_mask"):
        options["input_mask"] = rng.integers(0, 2, (n_batch, gates, n_in)) / 0.5
    y, states, tape = ref.recurrent_forward(cell, w, u, b, x, initial, **options)
    dy, dstates = rng.standard_normal(y.shape), [rng.standard_normal(s.shape) for s in states]

    def loss():
        y, states, _ = ref.recurrent_forward(cell, w, u, b, x, initial, **options)
        return float((y * dy).sum() + sum((s * d).sum() for s, d in zip(states, dstates, strict=True)))

    dx, dinitial, dw, du, db, *dextra = ref.recurrent_backward(tape, dy, dstates)
    pairs = [(dx, x), (dw, w), (du, u), (db, b), *zip(dinitial, initial, strict=True)]
    pairs += zip(dextra, extra, strict=True)
    for got, array in pairs:
        assert_close(got, numeric_gradient(loss, array))


def test_sequence_gradients_may_be_missing(rng):
    w, u, b, x = (rng.standard_normal(s) for s in ((2, 12), (3, 12), (12,), (2, 3, 2)))
    y, states, tape = ref.lstm_forward(w, u, b, x)
    dx, *_ = ref.lstm_backward(tape, None, (None, np.ones_like(states[1])))
    only_c, *_ = ref.lstm_backward(tape, np.zeros_like(y), (np.zeros_like(y), np.ones_like(states[1])))
    np.testing.assert_array_equal(dx, only_c)


@pytest.mark.parametrize(("cell", "n_states"), [("lstm", 2), ("simple_rnn", 1)])
def test_rules_of_masks_and_lengths(cell, n_states, rng):
    g = ref.CELLS[cell].gates
    w, u, b, x = (rng.standard_normal(s) for s in ((2, 3 * g), (3, 3 * g), (3 * g,), (2, 5, 2)))
    short, states, _ = ref.recurrent_forward(cell, w, u, b, x[:, :3], return_sequences=True)
    for kind, value in {"lengths": np.array([3, 3]), "mask": np.arange(5) < np.array([[3], [3]])}.items():
        y, ends, _ = ref.recurrent_forward(cell, w, u, b, x, return_sequences=True, **{kind: value})
        np.testing.assert_array_equal(y[:, :3], short)
        expected = np.zeros_like(y[:, 3:]) if kind == "lengths" else np.repeat(short[:, 2:], 2, axis=1)
        np.testing.assert_array_equal(y[:, 3:], expected)
        for a, e in itertools.zip_longest(ends, states):
            np.testing.assert_array_equal(a, e)
    start = tuple(rng.standard_normal((2, 3)) for _ in range(n_states))
    y, ends, _ = ref.recurrent_forward(cell, w, u, b, x, start, lengths=np.array([0, 0]))
    np.testing.assert_array_equal(y, start[0])
    np.testing.assert_array_equal(ends[-1], start[-1])


@pytest.mark.parametrize("weighted", [False, True])
def test_losses(weighted, rng):
    z, t = rng.standard_normal((4, 3)) * 3, rng.uniform(size=(4, 3))
    weight = rng.uniform(size=4) if weighted else None
    scale = np.ones(4) if weight is None else weight
    labels = np.array([0, 2, 1, 2])
    for f in (
        lambda: ref.softmax_cross_entropy(z, labels, None, weight),
        lambda: ref.softmax_cross_entropy(z, None, t, weight),
        lambda: ref.sigmoid_cross_entropy(z, t, weight),
        lambda: ref.mean_squared_error(z, t, weight),
    ):
        assert_close(f()[1], numeric_gradient(lambda f=f: float((f()[0] * scale).sum()), z))


def test_cross_entropies_are_stable_for_any_logits():
    z = np.array([[1e4, -1e4, 0.0]])
    loss, dz, p = ref.softmax_cross_entropy(z, np.array([1]))
    np.testing.assert_allclose(loss, 2e4)
    np.testing.assert_allclose(dz, [[1.0, -1.0, 0.0]], atol=1e-12)
    loss, _, p = ref.sigmoid_cross_entropy(z, np.array([[0.0, 1.0, 1.0]]))
    np.testing.assert_allclose(loss, (2e4 + np.log(2)) / 3)
    np.testing.assert_allclose(p, [[1.0, 0.0, 0.5]])


def test_optimizers_by_hand():
    p, g = [np.array([1.0, 2.0])], [np.array([0.5, -1.0])]
    np.testing.assert_allclose(ref.sgd(p, g, [0.0], 0.1)[0], [0.95, 2.1])
    velocity = [np.array([0.2, 0.2])]
    np.testing.assert_allclose(ref.sgd(p, g, velocity, 0.1, momentum=0.5)[0], [1.05, 2.2])
    np.testing.assert_allclose(velocity[0], [0.05, 0.2])
    velocity = [np.array([0.2, 0.2])]
    np.testing.assert_allclose(ref.sgd(p, g, velocity, 0.1, 0.5, nesterov=True)[0], [0.975, 2.2])
    first = ref.adam(p, g, [0.0], [0.0], 0.1, 0.9, 0.999, 0.0, step=1)[0]
    np.testing.assert_allclose(first, [0.9, 2.1])  # the first step has the size of the rate


def test_clip_global_norm():
    grads = [np.array([3.0]), np.array([[4.0]])]
    assert ref.global_norm(grads) == 5.0
    np.testing.assert_allclose([g.item() for g in ref.clip_global_norm(grads, 1.0)], [0.6, 0.8])
    np.testing.assert_array_equal(ref.clip_global_norm(grads, 6.0)[0], grads[0])


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_layer_norm(weighted, centered, rng):
    x, dy = rng.standard_normal((2, 3, 5))
    gamma, beta = rng.standard_normal((2, 5)) if weighted else (None, None)

    def loss():
        return float((ref.layer_norm_forward(x, gamma, beta, 0.1, centered)[0] * dy).sum())

    dx, dgamma, dbeta = ref.layer_norm_backward(x, dy, gamma, 0.1, centered)
    assert_close(dx, numeric_gradient(loss, x))
    if weighted:
        assert_close(dgamma, numeric_gradient(loss, gamma))
        assert_close(dbeta, numeric_gradient(loss, beta))


@pytest.mark.parametrize("masked", [True, False])
def test_attention(masked, rng):
    q, k, v = (rng.standard_normal(shape) for shape in ((2, 3, 4, 2), (2, 5, 2, 2), (2, 5, 2, 3)))
    mask = rng.random((2, 4, 3, 5)) > 0.3 if masked else None
    drop = rng.random((2, 4, 3, 5)) if masked else None
    dcontext, dp = rng.standard_normal((2, 3, 4, 3)), rng.standard_normal((2, 4, 3, 5))

    def loss():
        context, p = ref.attention_forward(q, k, v, 0.7, mask, drop)
        return float((context * dcontext).sum() + (p * dp).sum())

    p = ref.attention_forward(q, k, v, 0.7, mask, drop)[1]
    for got, array in zip(
        ref.attention_backward(q, k, v, 0.7, p, drop, dcontext, dp), (q, k, v), strict=True
    ):
        assert_close(got, numeric_gradient(loss, array))
