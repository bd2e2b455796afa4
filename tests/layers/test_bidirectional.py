# SPDX-License-Identifier: BSD-3-Clause
"""Bidirectional: against two layers of its own, reference.py and finite differences; states, masks, models."""

import copy
import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast import reference as ref
from lstmfast.layers import Bidirectional, Call

KINDS = [layers.LSTM, layers.SimpleRNN]
MODES = ["concat", "sum", "mul", "ave", None]


def fill(layer, rng):
    layer.set_weights([rng.standard_normal(v.shape) / np.sqrt(v.shape[0]) for v in layer.weights])
    return layer


def made(kind, rng, units=4, n=3, mode="concat", **options):
    layer = Bidirectional(kind(units, **options), merge_mode=mode)
    layer.build((None, None, n))
    return fill(layer, rng)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1e-6, float(np.abs(b).max(initial=0))))


def merged(mode, a, b):
    """Our own definition of the merge modes, in float64."""
    if mode is None:
        return (a, b)
    together = {"concat": np.concatenate([a, b], axis=-1)}
    if a.shape == b.shape:
        together.update(sum=a + b, mul=a * b, ave=(a + b) / 2)
    return (together[mode],)


def split(mode, dy, a, b):
    """Gradients of a and b from those of merged(mode, a, b)."""
    if mode is None:
        return dy
    (d,) = dy
    if mode == "concat":
        return d[..., : a.shape[-1]], d[..., a.shape[-1] :]
    return {"sum": (d, d), "ave": (d / 2, d / 2)}[mode] if mode != "mul" else (d * b, d * a)


def reference(layer, x, given, initial):
    """Both directions by reference.py: outputs in the input's order, states, tapes."""
    results = []
    for one, state in zip((layer.forward_layer, layer.backward_layer), initial, strict=True):
        y, states, tape = ref.recurrent_forward(
            one.cell_name,
            *one.get_weights(),
            x,
            initial_state=state,
            **given,
            return_sequences=one.return_sequences,
            go_backwards=one.go_backwards,
            zero_output_for_mask=one.return_sequences,
        )
        results.append((y, states, tape))
    return results


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("extra", ["none", "state", "mask", "lengths", "mask_and_lengths"])
def test_against_the_reference(kind, mode, sequences, extra, rng):
    b, t, n, h = 5, 7, 3, 4
    return_state = extra != "none"
    layer = made(kind, rng, h, n, mode, return_sequences=sequences, return_state=return_state)
    x = rng.standard_normal((b, t, n)).astype("float32")
    given = {}
    if "mask" in extra:
        given["mask"] = rng.integers(0, 2, (b, t)).astype(bool)
    if "lengths" in extra:
        given["lengths"] = np.array([7, 1, 0, 4, 6], np.int32)
    k = len(layer.state_size) // 2
    initial, flat = (None, None), None
    if extra == "state":
        flat = tuple(rng.standard_normal((b, h)).astype("float32") for _ in range(2 * k))
        initial = (flat[:k], flat[k:])
    call = Call(save=True, needs_dx=True, initial_state=flat, **given)
    out = layer.forward(x, call)
    out = out if isinstance(out, tuple) else (out,)

    (ya, sa, ta), (yb, sb, tb) = reference(layer, x, given, initial)
    yb = yb[:, ::-1] if sequences else yb
    expected = merged(mode, ya, yb)
    expected += (*sa, *sb) if return_state else ()
    assert len(out) == len(expected)
    for a, e in zip(out, expected, strict=True):
        close(a, e)

    d = [rng.standard_normal(a.shape).astype("float32") for a in out]
    dx = layer.backward(tuple(d) if len(d) > 1 else d[0], call)
    n_out = len(merged(mode, ya, yb))
    da, db = split(mode, d[:n_out], ya, yb)
    db = db[:, ::-1] if sequences else db
    states = d[n_out:]
    dxa, ia, *wa = ref.recurrent_backward(ta, da, states[:k])
    dxb, ib, *wb = ref.recurrent_backward(tb, db, states[k:])
    close(dx, dxa + dxb)
    for v, e in zip(layer.weights, (*wa, *wb), strict=True):
        close(v.grad, e)
    for a, e in zip(call.d_initial_state, (*ia, *ib), strict=True):
        close(a, e)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequences", [False, True])
def test_the_backward_layer_is_a_layer_on_the_turned_input(kind, sequences, rng):
    layer = made(kind, rng, mode=None, return_sequences=sequences, return_state=True)
    plain = kind(4, return_sequences=sequences, return_state=True)
    plain.build((None, None, 3))
    x = rng.standard_normal((3, 6, 3)).astype("float32")
    ours = layer(x)
    k = plain.n_states
    for weights, turn, y, states in (
        (layer.get_weights()[:3], False, ours[0], ours[2 : 2 + k]),
        (layer.get_weights()[3:], True, ours[1], ours[2 + k :]),
    ):
        plain.set_weights(weights)
        expected, *ends = plain(x[:, ::-1] if turn else x)
        np.testing.assert_array_equal(y, expected[:, ::-1] if turn and sequences else expected)
        for a, e in zip(states, ends, strict=True):
            np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize("mode", MODES)
def test_lengths_start_the_backward_layer_at_the_last_valid_step(mode, rng):
    layer = made(layers.LSTM, rng, mode=mode, return_sequences=True, return_state=True)
    x = rng.standard_normal((4, 7, 3)).astype("float32")
    n = np.array([7, 3, 0, 5])
    garbage = np.where(np.arange(7)[None, :, None] < n[:, None, None], x, np.float32(np.nan))
    ours = layer(garbage, lengths=n)
    outputs = 2 if mode is None else 1
    for b, length in enumerate(n):
        if length:
            alone = layer(x[b : b + 1, :length])
            for a, e in zip(ours[:outputs], alone[:outputs], strict=True):
                np.testing.assert_array_equal(a[b, :length], e[0])
            for a, e in zip(ours[outputs:], alone[outputs:], strict=True):
                np.testing.assert_array_equal(a[b], e[0])
        for a in ours[:outputs]:
            assert (a[b, length:] == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_masked_steps_are_zero_and_change_nothing(mode, rng):
    layer = made(layers.SimpleRNN, rng, mode=mode, return_sequences=True)
    x = rng.standard_normal((1, 6, 3)).astype("float32")
    mask = np.array([[False, True, False, True, True, False]])
    y, dense = layer(x, mask=mask), layer(x[:, mask[0]])
    for a, e in zip(y if mode is None else (y,), dense if mode is None else (dense,), strict=True):
        assert (a[~mask] == 0).all()
        np.testing.assert_array_equal(a[mask], e[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.4, 0.3)], ids=str)
def test_backward_is_the_derivative(mode, rates, rng):
    """Directional derivatives in float32, with the same dropout masks drawn again."""
    layer = made(
        layers.LSTM, rng, mode=mode, return_sequences=True, dropout=rates[0], recurrent_dropout=rates[1]
    )
    x = rng.standard_normal((3, 5, 3)).astype("float32")

    def run(x, save=False):
        call = Call(training=True, save=save, needs_dx=True, rng=np.random.default_rng(5))
        out = layer.forward(x, call)
        return out if isinstance(out, tuple) else (out,), call

    out, call = run(x, save=True)
    w = tuple(rng.standard_normal(a.shape).astype("float32") for a in out)
    dx = layer.backward(w if len(w) > 1 else w[0], call)
    for array, gradient in [(x, dx), *((v._data, v.grad) for v in layer.weights)]:
        direction = rng.standard_normal(array.shape).astype("float32")
        old, step, values = array.copy(), np.float32(1e-2), []
        for sign in (1, -1):
            array[...] = old + sign * step * direction
            for v in layer.weights:
                v.touch()
            values.append(
                sum(float((a.astype("float64") * b).sum()) for a, b in zip(run(x)[0], w, strict=True))
            )
        array[...] = old
        for v in layer.weights:
            v.touch()
        numeric = (values[0] - values[1]) / (2 * float(step))
        assert numeric == pytest.approx(float((gradient * direction).sum()), rel=2e-2, abs=2e-2)


def test_a_gradient_of_one_direction_alone(rng):
    layer = made(layers.LSTM, rng, mode=None, return_state=True)
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    call = Call(save=True, needs_dx=True)
    a, b, *states = layer.forward(x, call)
    dx = layer.backward((None, np.ones_like(b), None, None, None, None), call)
    assert all(v.grad is None for v in layer.forward_layer.weights)
    assert all(v.grad is not None for v in layer.backward_layer.weights)
    assert [d.shape for d in call.d_initial_state] == [(2, 4)] * 4
    assert not any(d.any() for d in call.d_initial_state[:2]) and call.d_initial_state[2].any()
    call = Call(save=True, needs_dx=True)
    layer.forward(x, call)
    for v in layer.weights:
        v.clear_grad()
    zeros = [np.zeros_like(s) for s in states]
    np.testing.assert_array_equal(layer.backward((np.zeros_like(a), np.ones_like(b), *zeros), call), dx)


def test_other_backward_layer(rng):
    back = layers.SimpleRNN(2, activation="relu", return_sequences=True, return_state=True, go_backwards=True)
    layer = Bidirectional(
        layers.LSTM(4, return_sequences=True, return_state=True, name="a"), backward_layer=back, name="bi"
    )
    assert layer.backward_layer is back and layer.forward_layer.name == "forward_a"
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    y, *states = layer(x)
    assert y.shape == (2, 5, 6) and [s.shape for s in states] == [(2, 4), (2, 4), (2, 2)]
    np.testing.assert_array_equal(y[..., 4:], back(x)[0][:, ::-1])
    assert [tuple(s) for s in layer.compute_output_shape((None, 5, 3))] == [
        (None, 5, 6),
        *[(None, 4)] * 2,
        (None, 2),
    ]
    again = layer(x, initial_state=[np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 2))])
    np.testing.assert_array_equal(again[0], y)
    turned = Bidirectional(layers.LSTM(4, go_backwards=True), backward_layer=layers.LSTM(4))
    assert turned(x).shape == (2, 8)


def test_a_built_backward_layer_keeps_its_weights(rng):
    back = layers.LSTM(4, go_backwards=True)
    back.build((None, None, 3))
    kept = back.get_weights()
    layer = Bidirectional(layers.LSTM(4), backward_layer=back)
    with pytest.raises(ValueError, match=back.name):
        layer.build((None, None, 5))
    assert not layer.built and not layer.forward_layer.built
    layer(np.zeros((1, 2, 3)))
    for a, b in zip(back.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_and_weights():
    lstm = layers.LSTM(4, name="x", activation="relu", seed=3)
    lstm.build((None, None, 3))
    layer = Bidirectional(lstm, name="bi")
    assert (layer.forward_layer.name, layer.backward_layer.name) == ("forward_x", "backward_x")
    assert not layer.built and layer.forward_layer is not lstm
    assert (layer.forward_layer.seed, layer.backward_layer.activation) == (3, lstm.activation)
    layer.build((None, None, 3))
    assert [v.path for v in layer.weights] == [
        f"bi/{way}_x/lstm_cell/{name}"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert layer.count_params() == 2 * lstm.count_params()
    values = [np.full(v.shape, k, np.float32) for k, v in enumerate(layer.weights)]
    same = Bidirectional(lstm, weights=values)
    same.build((None, None, 3))
    for a, b in zip(same.get_weights(), values, strict=True):
        np.testing.assert_array_equal(a, b)
    assert Bidirectional(layers.LSTM(2)).name.startswith("bidirectional")


def test_trainable(rng):
    x = np.zeros((1, 2, 3))
    layer = Bidirectional(layers.LSTM(2), trainable=False)
    layer(x)
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 6)
    assert not any(v.trainable for v in layer.weights)
    layer.trainable = True
    assert len(layer.trainable_weights) == 6
    layer.backward_layer.trainable = False
    assert [v.path for v in layer.trainable_weights] == [v.path for v in layer.forward_layer.weights]
    inside = Bidirectional(layers.LSTM(2, trainable=False))
    inside(x)
    assert not inside.trainable_weights


def test_stateful(rng):
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    layer = Bidirectional(layers.LSTM(4, return_sequences=True, stateful=True))
    with pytest.raises(ValueError, match="static"):
        layer.build((None, None, 3))
    assert layer.states is None
    layer.build((2, None, 3))
    plain = Bidirectional(layers.LSTM(4, return_sequences=True, return_state=True))
    plain.build((2, None, 3))
    plain.set_weights(layer.get_weights())
    first, *states = plain(x)
    np.testing.assert_array_equal(layer(x), first)
    for a, b in zip(layer.states, states, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(layer(x), plain(x, initial_state=states)[0])
    layer.reset_state()
    np.testing.assert_array_equal(layer(x), first)
    layer.reset_states(states)
    np.testing.assert_array_equal(layer(x), plain(x, initial_state=states)[0])
    with pytest.raises(ValueError, match="batch size"):
        layer(x[:1])
    before = [state.numpy() for state in layer.states]
    with pytest.raises(ValueError, match=r"initial_state\[1\].*backward"):
        layer.reset_state([*states[:3], np.zeros((2, 5))])
    for a, b in zip(layer.states, before, strict=True):
        np.testing.assert_array_equal(a, b)
    plain.reset_state()
    with pytest.raises(ValueError, match="stateful"):
        plain.reset_state(states)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bidirectional(3), "`layer`.*Received: 3"),
        (lambda: Bidirectional(layers.Dense(2)), "`layer`"),
        (lambda: Bidirectional(layers.LSTM), "`layer`"),
        (lambda: Bidirectional(layers.LSTM(2), backward_layer=layers.Dense(2)), "`backward_layer`"),
        (lambda: Bidirectional(layers.LSTM(2), merge_mode="product"), "merge_mode='product'"),
        (lambda: Bidirectional(layers.LSTM(2), merge_mode=["sum"]), "merge_mode"),
        (lambda: Bidirectional(layers.LSTM(2), backward_layer=layers.LSTM(2)), "go_backwards"),
        (lambda: Bidirectional(layers.LSTM(2, go_backwards=True)), "go_backwards"),
        (
            lambda: Bidirectional(
                layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_state=True)
            ),
            "return_state",
        ),
        (
            lambda: Bidirectional(
                layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, return_sequences=True)
            ),
            "return_sequences",
        ),
        (
            lambda: Bidirectional(
                layers.LSTM(2), backward_layer=layers.LSTM(2, go_backwards=True, stateful=True)
            ),
            "stateful",
        ),
        (
            lambda: Bidirectional(
                layers.LSTM(2), merge_mode="sum", backward_layer=layers.LSTM(3, go_backwards=True)
            ),
            "backward_layer.*3 and 2",
        ),
        (lambda: Bidirectional(layers.LSTM(2), units=3), "units"),
        (lambda: Bidirectional(layers.LSTM(2), trainable="yes"), "trainable"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_inputs(rng):
    layer, x = Bidirectional(layers.LSTM(2), name="bi"), np.zeros((3, 5, 2))
    with pytest.raises(ValueError, match=r"bi.*initial_state|initial_state.*'bi' must be 4 arrays"):
        layer(x, initial_state=[np.zeros((3, 2))] * 2)
    with pytest.raises(ValueError, match=r"initial_state\[1\].*backward_lstm.*\(3, 2\)"):
        layer(x, initial_state=[np.zeros((3, 2))] * 3 + [np.zeros((2, 2))])
    with pytest.raises(ValueError, match="mask"):
        layer(x, mask=np.ones((3, 4), bool))
    with pytest.raises(ValueError, match="lengths"):
        layer(x, lengths=np.array([1, 2, 6]))
    with pytest.raises(ValueError, match="'bi'"):
        layer(x[0])
    with pytest.raises(ValueError, match="'bi'"):
        layer(np.zeros((3, 5, 4)))
    with pytest.raises(TypeError, match="'bi'"):
        layer(np.full((3, 5, 2), "a"))
    with pytest.raises(ValueError, match="empty"):
        layer(np.zeros((3, 0, 2)))
    with pytest.raises(ValueError, match="must be known"):
        Bidirectional(layers.LSTM(2)).build((None, None, None))
    few = Bidirectional(layers.LSTM(2), weights=[np.zeros((2, 8))])
    with pytest.raises(ValueError, match="`weights`"):
        few(x)
    assert not few.built and not few.forward_layer.built and not few.weights


# ---- in models ---------------------------------------------------------------------------------------------


def stack(k=lf):
    return k.Sequential(
        [
            k.Input((6, 3)),
            layers.Masking(),
            Bidirectional(layers.LSTM(4, return_sequences=True, kernel_regularizer="l2"), name="low"),
            Bidirectional(layers.SimpleRNN(3), merge_mode="ave", name="high"),
            layers.Dense(2),
        ]
    )


def decoder():
    """A functional model: states of one Bidirectional start the next; a pair of outputs."""
    x, z = lf.Input((None, 3)), lf.Input((None, 2))
    _, *states = Bidirectional(layers.LSTM(4, return_state=True), name="encoder")(x)
    decode = Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode=None, name="decoder")
    a, b = decode(z, initial_state=states)
    return lf.Model([x, z], [layers.Dense(1)(a), layers.Dense(1)(b)])


@pytest.mark.parametrize("make", [stack, decoder])
@pytest.mark.parametrize("suffix", ["safetensors", "keras"])
def test_files_and_clones(make, suffix, tmp_path, rng):
    if suffix == "keras":
        pytest.importorskip("h5py")
    model = make()
    x = [rng.standard_normal((4, 6, *t.shape[2:])).astype("float32") for t in model.inputs]
    x[0][1, 3:] = 0
    y = [np.zeros(t.shape[1:] if t.ndim == 2 else (6, 1)) for t in model.outputs]
    y = [np.broadcast_to(a, (4, *a.shape)) for a in y]
    x = x if len(x) > 1 else x[0]
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / f"m.{suffix}")
    loaded = lf.saving.load_model(tmp_path / f"m.{suffix}")
    clone = lf.models.clone_model(model)
    clone.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    for other in (loaded, clone, copy.deepcopy(clone), pickle.loads(pickle.dumps(clone))):
        for a, b in zip(other.predict(x, verbose=0), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    lines = []
    model.summary(print_fn=lines.append)
    assert "Bidirectional" in lines[0]


def test_symbolic_states_are_checked():
    x, h = lf.Input((None, 3)), lf.Input((4,))
    layer = Bidirectional(layers.LSTM(4))
    with pytest.raises(ValueError, match="initial_state"):
        layer(x, initial_state=[h, h])
    with pytest.raises(ValueError, match="initial_state"):
        layer(x, initial_state=[h, h, h, lf.Input((5,))])
    assert layer(x, initial_state=[h] * 4).shape == (None, 8)


def test_gradients_through_symbolic_states(rng):
    model = decoder()
    x, z = (rng.standard_normal((2, 5, n)).astype("float32") for n in (3, 2))
    outputs, tape = model.forward([x, z])
    w = [rng.standard_normal(a.shape).astype("float32") for a in outputs]
    grads, (dx, _), dstates = tape.backward(w)
    assert [len(d) for d in dstates] == [4, 4]
    direction, step, values = rng.standard_normal(x.shape).astype("float32"), 1e-2, []
    for sign in (1, -1):
        moved = model([x + np.float32(sign * step) * direction, z])
        values.append(sum(float((a.astype("float64") * b).sum()) for a, b in zip(moved, w, strict=True)))
    numeric = (values[0] - values[1]) / (2 * step)
    assert numeric == pytest.approx(float((dx * direction).sum()), rel=2e-2, abs=1e-3)
    assert all(g.any() for g in grads)


def test_lengths_reach_both_outputs_in_a_model(rng):
    x = lf.Input((None, 3))
    a, b = Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode=None)(x)
    model = lf.Model(x, [layers.LSTM(2)(a), layers.LSTM(2)(b)])
    data, n = rng.standard_normal((3, 6, 3)).astype("float32"), np.array([6, 2, 4])
    ours = model(data, lengths=n)
    for row, length in enumerate(n):
        alone = model(data[row : row + 1, :length])
        for a, b in zip(ours, alone, strict=True):
            np.testing.assert_array_equal(a[row], b[0])


def test_masks_reach_both_outputs_in_a_model(rng):
    x = lf.Input((None, 3))
    masked = layers.Masking()(x)
    a, b = Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode=None)(masked)
    assert a.has_mask and b.has_mask
    model = lf.Model(x, [layers.LSTM(2)(a), layers.LSTM(2)(b)])
    data = rng.standard_normal((1, 6, 3)).astype("float32")
    data[0, [0, 3, 5]] = 0
    for a, b in zip(model(data), model(data[:, [1, 2, 4]]), strict=True):
        np.testing.assert_array_equal(a, b)
    whole = Bidirectional(layers.LSTM(4, return_sequences=True, return_state=True))(masked)
    assert [t.has_mask for t in whole] == [True, False, False, False, False]
    assert not Bidirectional(layers.LSTM(4))(masked).has_mask


def test_a_frozen_layer_does_not_learn(rng):
    frozen = Bidirectional(layers.LSTM(4), trainable=False)
    model = lf.Sequential([lf.Input((5, 3)), frozen, layers.Dense(1)])
    model.compile("sgd", "mse")
    before = frozen.get_weights()
    model.fit(rng.standard_normal((8, 5, 3)), np.ones((8, 1)), verbose=0)
    for a, b in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(model.trainable_variables) == 2


def test_a_model_that_fails_to_build_stays_as_it_was(rng):
    inner = Bidirectional(layers.LSTM(4), merge_mode="sum")
    model = lf.Sequential([inner, Bidirectional(layers.LSTM(2))])
    with pytest.raises(ValueError, match="ndim"):
        model.build((None, 5, 3))
    assert not inner.built and not inner.forward_layer.built and not inner.weights
    model.pop()
    assert model(np.zeros((1, 5, 3))).shape == (1, 4)


def test_stateful_files(tmp_path, rng):
    model = lf.Sequential(
        [lf.Input(batch_shape=(2, 6, 3)), Bidirectional(layers.LSTM(4, stateful=True), name="bi")]
    )
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    model(x)
    model.save(tmp_path / "m.safetensors")
    loaded = lf.saving.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded(x), model(x))
    model.reset_states()
    assert not any(s.numpy().any() for s in model.get_layer("bi").states)


def test_activity_regularizer(rng):
    layer = Bidirectional(layers.LSTM(4), activity_regularizer="l2")
    model = lf.Sequential([lf.Input((5, 3)), layer])
    model.compile("sgd", "mse")
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    y = model.predict(x, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(0.01 * float((y**2).sum()) / 2, rel=1e-4)
    inside = lf.Sequential(
        [lf.Input((5, 3)), Bidirectional(layers.LSTM(4, activity_regularizer="l2"), merge_mode="sum")]
    )
    inside.compile("sgd", "mse")
    inside.set_weights(model.get_weights())
    penalty = inside.evaluate(x, y[:, :4] + y[:, 4:], verbose=0)
    assert penalty == pytest.approx(0.01 * float((y**2).sum()) / 2, rel=1e-4)


def test_a_class_of_ones_own(rng):
    class Mine(layers.LSTM):
        pass

    assert type(Bidirectional(Mine(3)).backward_layer) is Mine
