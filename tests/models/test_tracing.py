# SPDX-License-Identifier: BSD-3-Clause
"""`Model.trace` beside the specification in float64, for every cell, direction, mask and place in a model."""

import numpy as np
import pytest

from lstmfast import Input, Model, Sequential, _core, layers, reference

#: Where a cell's `step` in reference_cells.py keeps each gate; layer normalization keeps normalized c, so c apart.
KEPT = {
    "lstm": {"i": 0, "f": 1, "c_tilde": 2, "o": 3, "c": 5},
    "lstm_peephole": {"i": 5, "f": 6, "c_tilde": 7, "o": 8, "c": 10},
    "lstm_layer_norm": {"i": 4, "f": 5, "c_tilde": 6, "o": 7},
    "gru": {"z": 3, "r": 4, "h_tilde": 6},
    "gru_reset_before": {"z": 2, "r": 3, "h_tilde": 5},
    "simple_rnn": {},
}

CELLS = {
    "lstm": lambda **k: layers.LSTM(5, **k),
    "lstm_relu": lambda **k: layers.LSTM(5, activation="relu", recurrent_activation="hard_sigmoid", **k),
    "lstm_silu": lambda **k: layers.LSTM(5, activation="silu", recurrent_activation="gelu", **k),
    "lstm_peephole": lambda **k: layers.LSTM(18, peephole=True, **k),
    "lstm_layer_norm": lambda **k: layers.LSTM(19, layer_norm=True, **k),
    "lstm_projection": lambda **k: layers.LSTM(9, projection=4, **k),
    "lstm_layer_norm_projection": lambda **k: layers.LSTM(9, projection=4, layer_norm=True, **k),
    "gru": lambda **k: layers.GRU(17, **k),
    "gru_silu": lambda **k: layers.GRU(17, activation="sigmoid", recurrent_activation="silu", **k),
    "gru_reset_before": lambda **k: layers.GRU(6, reset_after=False, **k),
    "simple_rnn": lambda **k: layers.SimpleRNN(7, **k),
}


def expected(layer, x, mask=None, lengths=None, initial=None):
    """Gates and states of every step that counts, NaN elsewhere, out of the reference's tape."""
    y, _, tape = reference.recurrent_forward(
        layer.cell_name,
        *(layer.kernel.value, layer.recurrent_kernel.value, layer.bias.value, x),
        *(initial, mask, lengths),
        activation=layer.activation.__name__,
        recurrent_activation=layer.recurrent_activation.__name__,
        return_sequences=True,
        go_backwards=layer.go_backwards,
        extra=[v.value for v in layer._extra],
    )
    cell = layer.cell_name.removesuffix("_projection")
    units = layer.units
    found = {key: np.full((*x.shape[:2], units), np.nan) for key in KEPT[cell]}
    for kept, t in zip(tape.steps, tape.order, strict=True):
        kept = kept[1] if cell != layer.cell_name else kept  # (h before the projection, the rest)
        flat = kept[2] if cell == "lstm" else kept
        for key, place in KEPT[cell].items():
            found[key][:, t] = flat[place]
    found["h"] = y[:, ::-1] if layer.go_backwards else y
    if cell == "lstm_layer_norm":
        c, found["c"] = (
            np.zeros((len(x), units)) if initial is None else initial[1],
            np.full((*x.shape[:2], units), np.nan),
        )
        for t in tape.order:
            new = found["f"][:, t] * c + found["i"][:, t] * found["c_tilde"][:, t]
            c = np.where(tape.active[:, t, None], new, c)
            found["c"][:, t] = new
    for value in found.values():
        value[~tape.active] = np.nan
    return found


def assert_traced(found, prefix, wanted):
    own = {key for key in found if key.startswith(prefix) and "/" not in key.removeprefix(prefix)}
    assert own == {prefix + key for key in wanted}
    for key, value in wanted.items():
        scale = max(1.0, np.nanmax(np.abs(value)))
        np.testing.assert_allclose(found[prefix + key], value, rtol=0, atol=1e-5 * scale, err_msg=key)


def randomized(model, rng):
    model.set_weights([rng.normal(scale=0.5, size=w.shape).astype("float32") for w in model.weights])
    return model


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("excluded", [None, "mask", "lengths"])
def test_gates_are_those_of_the_specification(cell, backwards, excluded, rng):
    layer = CELLS[cell](go_backwards=backwards, return_sequences=cell == "gru", name="r")
    model = randomized(Sequential([Input((None, 3)), layer, layers.Dense(2, name="top")]), rng)
    x = rng.standard_normal((4, 6, 3)).astype("float32")
    given = {}
    if excluded == "mask":
        given["mask"] = rng.random((4, 6)) < 0.6
    if excluded == "lengths":
        given["lengths"] = np.array([6, 0, 3, 1])
    found = model.trace(x, **given)
    assert_traced(found, "r/", expected(layer, x, **given))
    np.testing.assert_array_equal(found["top"], model(x, **given))


@pytest.mark.parametrize("isa_name", ["avx512", "avx2", "sse2"])
def test_other_widths_of_vectors(isa_name, rng):
    import lstmfast as lf

    if isa_name not in lf.available_isas():
        pytest.skip("not on this machine")
    layer = layers.LSTM(19, name="r")
    randomized(Sequential([Input((None, 3)), layer]), rng)
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    weights = _core.RecurrentWeights(
        "lstm", layer.kernel.value, layer.recurrent_kernel.value, layer.bias.value, isa=isa_name
    )
    _, _, tape = _core.recurrent_forward(weights, x, save=True)
    gates, c = _core.recurrent_tape_gates(weights, tape)
    wanted = expected(layer, x)
    for number, key in enumerate(("i", "f", "c_tilde", "o")):
        np.testing.assert_allclose(gates[number], wanted[key], atol=1e-5)
    np.testing.assert_allclose(c, wanted["c"], atol=1e-5)
    _core.recurrent_backward(
        *(weights, tape, None, [np.ones((2, 19), "float32"), None]),
        *(np.empty_like(layer.kernel.value), np.empty_like(layer.recurrent_kernel.value), None),
    )
    with pytest.raises(ValueError, match="used already"):
        _core.recurrent_tape_gates(weights, tape)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize("merge", ["concat", None])
def test_both_directions(cell, merge, rng):
    layer = layers.Bidirectional(CELLS[cell](return_sequences=True), merge_mode=merge, name="b")
    x = Input((None, 3))
    model = randomized(Model(x, layer(x)), rng)
    data, lengths = rng.standard_normal((3, 5, 3)).astype("float32"), np.array([5, 2, 4])
    found = model.trace(data, lengths=lengths)
    wanted = {
        "forward": expected(layer.forward_layer, data, lengths=lengths),
        "backward": expected(layer.backward_layer, data, lengths=lengths),
    }
    for name, arrays in wanted.items():
        assert_traced(found, f"b/{name}/", arrays)
    outputs = model(data, lengths=lengths)
    if merge is None:
        for k, y in enumerate(outputs):
            np.testing.assert_array_equal(found[f"b[{k}]"], y)
    else:
        np.testing.assert_array_equal(found["b"], outputs)


def test_places_in_a_model(rng):
    """A model inside, a shared layer, initial states, a mask that a layer makes."""
    inner = Sequential([Input((None, 4)), layers.GRU(4, return_sequences=True, name="gru")], name="inner")
    ids, start = Input((None,), dtype="int32"), Input((4,))
    shared = layers.SimpleRNN(4, return_sequences=True, name="shared")
    h = layers.Embedding(7, 4, mask_zero=True, name="table")(ids)
    h = shared(shared(inner(h)))
    y, last = layers.GRU(4, return_state=True, name="end")(h, initial_state=start)
    model = randomized(Model([ids, start], layers.Concatenate(name="both")([y, last])), rng)
    data, state = np.array([[3, 1, 2, 0], [4, 0, 0, 0]]), rng.standard_normal((2, 4)).astype("float32")
    found = model.trace([data, state])
    np.testing.assert_array_equal(found["both"], model([data, state]))
    mask = data != 0
    assert_traced(found, "inner/gru/", expected(inner.layers[0], found["table"], mask))
    assert_traced(found, "shared/", expected(shared, found["inner"], mask))
    assert_traced(found, "shared:1/", expected(shared, found["shared"], mask))
    # Keras hands no mask to a call with an initial state.
    assert_traced(found, "end/", expected(model.get_layer("end"), found["shared:1"], initial=[state]))
    np.testing.assert_array_equal(found["end[0]"], found["end[1]"])
    np.testing.assert_array_equal(found["end/h"][:, -1], found["end[1]"])


def test_a_stateful_layer_goes_on_from_its_states_and_keeps_them(rng):
    lstm = layers.LSTM(4, stateful=True, return_sequences=True, name="lstm")
    model = randomized(Sequential([Input(batch_shape=(2, 3, 3)), lstm]), rng)
    x = rng.standard_normal((2, 3, 3)).astype("float32")
    model(x)
    states = [s.numpy() for s in lstm.states]
    found = model.trace(x)
    for a, b in zip(states, lstm.states, strict=True):
        np.testing.assert_array_equal(a, b)
    assert_traced(found, "lstm/", expected(lstm, x, initial=states))
    np.testing.assert_array_equal(found["lstm"], model(x))


def test_dropout_is_off_and_errors_are_the_models(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(4, dropout=0.5, recurrent_dropout=0.5, name="lstm")])
    x = rng.standard_normal((2, 3, 3)).astype("float32")
    assert_traced(model.trace(x), "lstm/", expected(model.layers[0], x))
    with pytest.raises(ValueError, match="shape"):
        model.trace(x[:, :, :2])
    with pytest.raises(ValueError, match="lengths"):
        model.trace(x, lengths=[4, 1])


def test_cells_resets_and_zoneout(rng):
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    resets = np.zeros((2, 6), bool)
    resets[:, 3] = True
    rnn = layers.RNN(layers.LSTMCell(4), return_sequences=True, name="rnn")
    gru = layers.Bidirectional(layers.GRU(3, zoneout=0.3, return_sequences=True), name="both")
    own = layers.RNN([layers.LSTMCell(4), layers.GRUCell(2)], name="stack")
    model = randomized(Sequential([Input((None, 3)), rnn, gru, own]), rng)
    found = model.trace(x, resets=resets)
    parts = [model.trace(part) for part in np.split(x, 2, axis=1)]
    for key in ("rnn/c", "rnn/h", "both/forward/h", "both/backward/z", "both"):
        np.testing.assert_array_equal(found[key], np.concatenate([p[key] for p in parts], axis=1))
    np.testing.assert_array_equal(found["rnn/h"], found["rnn"])
    np.testing.assert_array_equal(found["stack"], model(x, resets=resets))
    assert not any(key.startswith("stack/") for key in found)
