# SPDX-License-Identifier: BSD-3-Clause
"""Sequential and functional models: building, structure, masks, configurations, tapes."""

import copy
import pickle
import zipfile

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.models import clone_model


def test_a_sequential_with_an_input_is_built():
    model = Sequential([Input((None, 4)), layers.LSTM(3), layers.Dense(2)])
    assert model.built and model.input_shape == (None, None, 4) and model.output_shape == (None, 2)
    assert [type(layer).__name__ for layer in model.layers] == ["LSTM", "Dense"]


@pytest.mark.parametrize("options", [{"input_shape": (5, 4)}, {"batch_input_shape": (2, 5, 4)}])
def test_old_ways_to_give_the_shape(options):
    model = Sequential()
    model.add(layers.LSTM(3, **options))
    assert model.built and model.input_shape[1:] == (5, 4)
    assert Sequential([layers.Dense(2, input_dim=3)]).input_shape == (None, 3)


def test_a_deferred_build(rng):
    model = Sequential([layers.LSTM(3, return_sequences=True), layers.Dense(2)])
    for use in (
        lambda: model.set_weights([]),
        lambda: model.summary(),
        lambda: model.executor,
    ):
        if use.__code__.co_names[-1:] == ("summary",):
            continue
        with pytest.raises(ValueError, match="built"):
            use()
    with pytest.raises(AttributeError, match="no defined output shape"):
        _ = model.output_shape
    assert model.get_weights() == []
    assert model(rng.standard_normal((2, 5, 4))).shape == (2, 5, 2)
    assert model.input_shape == (None, 5, 4)
    assert model(rng.standard_normal((3, 9, 4))).shape == (3, 9, 2)


def test_a_failed_build_leaves_the_model_unbuilt():
    model = Sequential([layers.LSTM(3), layers.LSTM(3)])
    with pytest.raises(ValueError, match="ndim=3"):
        model.build((None, None, 4))
    assert not model.built and all(not layer.built for layer in model.layers)
    model.pop()
    model.build((None, None, 4))
    assert model.count_params() == 4 * 12 + 3 * 12 + 12


def test_add_and_pop(rng):
    model = Sequential([Input((4,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="unique names"):
        model.add(layers.Dense(2, name=model.layers[0].name))
    with pytest.raises(ValueError, match="Only instances"):
        model.add("dense")
    with pytest.raises(ValueError, match="Input"):
        model.add(Input((3,)))
    with pytest.raises(ValueError, match="ndim"):
        model.add(layers.LSTM(2))
    assert len(model.layers) == 1
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    assert model.pop().units == 2 and model.output_shape == (None, 3)
    assert model(rng.standard_normal((2, 4))).shape == (2, 3)


def test_only_the_last_layer_may_have_several_outputs(rng):
    model = Sequential([Input((None, 2)), layers.LSTM(3, return_state=True)])
    y, h, c = model(rng.standard_normal((2, 4, 2)))
    np.testing.assert_array_equal(y, h)
    assert c.shape == (2, 3)
    with pytest.raises(ValueError, match="several outputs"):
        model.add(layers.Dense(1))


@pytest.mark.parametrize(
    ("x", "error"),
    [(np.zeros((2, 4)), "shape"), (np.zeros((2, 5, 3)), "shape"), (np.zeros((0, 5, 4)), "empty"),
     (np.zeros((2, 0, 4)), "empty"), ([np.zeros((2, 5, 4))] * 2, "2 arrays"), ({"other": np.zeros((2, 5, 4))}, "other")],
)  # fmt: skip
def test_wrong_arrays(x, error):
    model = Sequential([Input((None, 4), name="x"), layers.LSTM(3)])
    with pytest.raises(ValueError, match=error):
        model(x)


def test_not_numeric():
    with pytest.raises(TypeError, match=r"input 'x'.*numeric"):
        Sequential([Input((2,), name="x"), layers.Dense(3)])(np.array([["a", "b"]]))


def test_a_last_axis_of_one_may_be_left_out(rng):
    model = Sequential([Input((None, 1)), layers.LSTM(3)])
    x = rng.standard_normal((2, 5))
    np.testing.assert_array_equal(model(x), model(x[..., None]))


def functional():
    series, facts = Input((None, 4), name="series"), Input((3,), name="facts")
    a = layers.LSTM(5, name="lstm")(layers.Masking(name="masking")(series))
    z = layers.Concatenate(name="joined")([a, facts])
    return Model(
        [series, facts], [layers.Dense(1, name="one")(z), layers.Dense(2, name="two")(z)], name="both"
    )


def test_inputs_by_list_and_by_name(rng):
    model = functional()
    x, f = rng.standard_normal((2, 6, 4)), rng.standard_normal((2, 3))
    one, two = model([x, f])
    for other in (model({"series": x, "facts": f}), model((x, f))):
        np.testing.assert_array_equal(other[0], one)
        np.testing.assert_array_equal(other[1], two)
    assert model.input_names == ["series", "facts"] and model.output_names == ["one", "two"]
    with pytest.raises(ValueError, match="Missing data for input"):
        model({"series": x})
    with pytest.raises(ValueError, match="same number of samples"):
        model([x, f[:1]])
    with pytest.raises(ValueError, match="2 arrays"):
        model(x)


def test_outputs_by_name(rng):
    x = Input((3,))
    model = Model(x, {"b": layers.Dense(1)(x), "a": layers.Dense(2)(x)})
    y = model(rng.standard_normal((4, 3)))
    assert y["a"].shape == (4, 2) and y["b"].shape == (4, 1)
    assert model.predict(rng.standard_normal((4, 3)), verbose=0)["a"].shape == (4, 2)


def test_get_layer():
    model = functional()
    assert model.get_layer("lstm").units == 5 and model.get_layer(index=0).name == "series"
    for wrong in ({"name": "x"}, {"index": 99}, {}, {"name": "lstm", "index": 0}):
        with pytest.raises(ValueError):
            model.get_layer(**wrong)


def test_disconnected_graphs():
    a, b = Input((3,)), Input((3,))
    y = layers.Dense(2)(a)
    with pytest.raises(ValueError, match="is not connected to `inputs`"):
        Model(b, y)
    with pytest.raises(ValueError, match="is not connected to `inputs`"):
        Model(y, layers.Concatenate()([layers.Dense(1)(y), b]))
    with pytest.raises(ValueError, match="twice"):
        Model([a, a], y)
    with pytest.raises(ValueError, match="used 2 times"):
        Model(a, layers.Dense(1, name="d")(layers.Dense(1, name="d")(a)))
    with pytest.raises(ValueError, match="KerasTensors"):
        Model(np.zeros(3), y)


def test_a_model_from_the_middle_of_another_shares_its_layers(rng):
    whole = Sequential(
        [Input((None, 3)), layers.LSTM(4, return_sequences=True), layers.GRU(2), layers.Dense(1)]
    )
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    first = Model(whole.inputs, whole.layers[0].output)
    second = Model(whole.layers[0].output, whole.layers[-1].output)
    np.testing.assert_array_equal(second(first(x)), whole(x))
    assert second.weights == whole.weights[3:]
    y, tape = second.forward(first(x))
    assert [g.shape for g in tape.backward(np.ones_like(y))[0]] == [v.shape for v in second.weights]
    np.testing.assert_array_equal(Model.from_config(second.get_config())(first(x)).shape, (2, 1))
    np.testing.assert_array_equal(whole(x), second(first(x)))


def test_a_shared_layer_has_one_set_of_weights_and_sums_gradients(rng):
    x = Input((None, 3))
    lstm = layers.LSTM(3, return_sequences=True)
    model = Model(x, lstm(lstm(x)))
    assert len(model.weights) == 3
    data = rng.standard_normal((2, 4, 3)).astype("float32")
    y, tape = model.forward(data)
    np.testing.assert_array_equal(y, lstm(lstm(data)))
    dy = rng.standard_normal(y.shape).astype("float32")
    grads, dx, _ = tape.backward(dy)
    numeric_check(model, data, dy, grads, dx, rng)


def numeric_check(model, x, dy, grads, dx, rng):
    """Directional derivatives of sum(y * dy)."""
    arrays = [(v._data, g, v) for v, g in zip(model.trainable_variables, grads, strict=True)] + [
        (x, dx, None)
    ]
    for array, gradient, variable in arrays:
        direction = rng.standard_normal(array.shape).astype("float32")
        old, values = array.copy(), []
        for sign in (1, -1):
            array[...] = old + np.float32(sign * 1e-2) * direction
            if variable is not None:
                variable.touch()
            values.append(float((model(x).astype("float64") * dy).sum()))
        array[...] = old
        if variable is not None:
            variable.touch()
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(
            float((gradient * direction).sum()), rel=2e-2, abs=2e-2
        )


def test_initial_states_in_a_graph(rng):
    source, target = Input((None, 3)), Input((None, 2))
    _, h, c = layers.LSTM(4, return_state=True)(source)
    y = layers.LSTM(4, return_sequences=True)(target, initial_state=[h, c])
    model = Model([source, target], layers.Dense(2)(y))
    xs = [rng.standard_normal((2, t, n)).astype("float32") for t, n in ((5, 3), (4, 2))]
    out, tape = model.forward(xs)
    grads, (dsource, dtarget), dstates = tape.backward(np.ones_like(out))
    assert np.abs(dsource).max() > 0 and dtarget.shape == xs[1].shape and len(dstates) == 2
    encoder, decoder = (layer for layer in model.layers if isinstance(layer, layers.LSTM))
    y1, *states = encoder(xs[0])
    np.testing.assert_array_equal(out, model.layers[-1](decoder(xs[1], initial_state=states)))
    again = Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(xs), out)


def test_models_inside_models(rng):
    inner = Sequential(
        [Input((None, 3)), layers.LSTM(4, return_sequences=True), layers.LSTM(2)], name="inner"
    )
    x = Input((None, 3))
    model = Model(x, layers.Dense(1)(inner(x)))
    data = rng.standard_normal((2, 5, 3)).astype("float32")
    y, tape = model.forward(data)
    np.testing.assert_array_equal(y, model.layers[-1](inner(data)))
    dy = np.ones_like(y)
    grads, dx, _ = tape.backward(dy)
    assert len(grads) == 8
    numeric_check(model, data, dy, grads, dx, rng)
    again = clone_model(model)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(data), y)
    model.compile("adam", "mse")
    model.fit(data, np.zeros((2, 1)), epochs=2, verbose=0)


def test_masks_reach_the_layers_they_should(rng):
    ids = np.array([[3, 1, 0, 0], [2, 2, 2, 0]])
    embedding, lstm = layers.Embedding(5, 3, mask_zero=True), layers.LSTM(4)
    model = Sequential([Input((None,), dtype="int32"), embedding, layers.Dropout(0.5), layers.Dense(3), lstm])
    h = model.layers[2](embedding(ids))
    np.testing.assert_array_equal(model(ids), lstm(h, mask=ids != 0))
    x = rng.standard_normal((2, 4, 3))
    x[0, 2:] = 0
    masked = Sequential(
        [Input((None, 3)), layers.Masking(), layers.LSTM(4, return_sequences=True), layers.LSTM(2)]
    )
    first, second = masked.layers[1:]
    mask = np.any(x != 0, axis=-1)
    np.testing.assert_array_equal(masked(x), second(first(x, mask=mask), mask=mask))


def test_a_layer_that_cannot_take_a_mask_warns():
    x = layers.Embedding(5, 3, mask_zero=True)(Input((4,), dtype="int32"))
    with pytest.warns(UserWarning, match="does not support masking"):
        layers.Flatten()(x)


def test_lengths_go_through_the_model(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(4, return_sequences=True), layers.SimpleRNN(2)])
    x, n = rng.standard_normal((3, 6, 3)).astype("float32"), np.array([6, 2, 4])
    y = model(x, lengths=n)
    for b, length in enumerate(n):
        np.testing.assert_array_equal(y[b], model(x[b : b + 1, :length])[0])
    np.testing.assert_array_equal(model.predict(x, lengths=n, batch_size=2, verbose=0), y)
    with pytest.raises(ValueError, match="lengths"):
        model(x, lengths=[1, 2])


@pytest.mark.parametrize(
    "make", [functional, lambda: Sequential([Input((5, 2)), layers.LSTM(3), layers.Dense(1)])]
)
def test_configurations(make):
    model = make()
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]


def test_a_sequential_not_built_survives_its_configuration():
    model = Sequential([layers.LSTM(3), layers.Dense(1)])
    again = Sequential.from_config(model.get_config())
    assert not again.built and [layer.name for layer in again.layers] == [
        layer.name for layer in model.layers
    ]


def test_the_tape_is_used_once(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(2)])
    y, tape = model.forward(rng.standard_normal((2, 4, 3)))
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        tape.backward(np.ones((2, 3)))
    first, *_ = tape.backward(np.ones_like(y))
    with pytest.raises(ValueError, match="used already"):
        tape.backward(np.ones_like(y))
    kept = [g.copy() for g in first]
    _, tape2 = model.forward(rng.standard_normal((2, 4, 3)))
    tape2.backward(np.ones_like(y))
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_training_loop_of_ones_own(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile("adam")
    x, target = (
        rng.standard_normal((8, 4, 3)).astype("float32"),
        rng.standard_normal((8, 1)).astype("float32"),
    )
    values = []
    for _ in range(30):
        y, tape = model.forward(x, training=True)
        values.append(float(((y - target) ** 2).mean()))
        grads, _, _ = tape.backward(2 * (y - target) / y.size)
        model.apply_gradients(grads)
    assert values[-1] < values[0]
    assert int(model.optimizer.iterations) == 30


def test_summary(capsys):
    Sequential([Input((None, 4)), layers.LSTM(3), layers.Dense(2)], name="small").summary()
    text = capsys.readouterr().out
    assert 'Model: "small"' in text and "(None, 3)" in text and "Total params: 104" in text
    lines = []
    functional().summary(print_fn=lines.append, show_trainable=True)
    assert "Connected to" in lines[0] and "masking[0][0]" in lines[0]
    Sequential([layers.LSTM(3)]).summary(print_fn=lines.append)
    assert "0 (unbuilt)" in lines[1]


def test_weights_files(tmp_path):
    model = functional()
    model.save_weights(tmp_path / "w.safetensors")
    other = functional()
    other.load_weights(tmp_path / "w.safetensors")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="does not fit"):
        Sequential([Input((2,)), layers.Dense(1)]).load_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"weights\.h5"):
        model.save_weights(tmp_path / "w.h5")


@pytest.mark.parametrize("ending", [".npz", ".safetensors", ".weights.h5"])
def test_weights_in_every_format(tmp_path, ending):
    if ending == ".weights.h5":
        pytest.importorskip("h5py")
    path = tmp_path / f"w{ending}"
    model, other = functional(), functional()
    model.save_weights(path)
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="exists"):
        model.save_weights(path, overwrite=False)
    start = Sequential(
        [Input((None, 4), name="series"), layers.LSTM(5, name="lstm"), layers.Dense(9, name="head")]
    )
    start.save_weights(path)
    wider = Sequential(
        [Input((None, 4), name="series"), layers.LSTM(5, name="lstm"), layers.Dense(8, name="head")]
    )
    before = wider.get_weights()
    with pytest.raises(ValueError, match="shape"):
        wider.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, wider.get_weights(), strict=True))
    with pytest.warns(UserWarning, match="skipped.*head"):
        wider.load_weights(path, skip_mismatch=True)
    expected = start.get_weights()[:3] + before[3:]
    for a, b in zip(wider.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_hostile_npz(tmp_path):
    model = Sequential([Input((2,)), layers.Dense(1, use_bias=False, name="d")])
    path = tmp_path / "w.npz"
    np.savez(path, **{"layers/d/kernel": np.array([[object()]])}, allow_pickle=True)
    with pytest.raises(ValueError, match="declares"):
        model.load_weights(path)
    header = np.lib.format.magic(1, 0) + (118).to_bytes(2, "little")
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("layers/d/kernel.npy", header + text.ljust(117).encode() + b"\n")
    with pytest.raises(ValueError, match="declares"):
        model.load_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("layers/d/kernel.npy", b"nothing")
    with pytest.raises(ValueError, match="cannot be loaded"):
        model.load_weights(path)


def test_prediction_has_the_same_bits_in_any_batch(rng):
    model = Sequential(
        [Input((None, 5)), layers.LSTM(9, return_sequences=True), layers.Dense(3, activation="softmax")]
    )
    x = rng.standard_normal((13, 6, 5)).astype("float32")
    whole = model(x)
    for size in (1, 2, 5, 13, 64):
        np.testing.assert_array_equal(model.predict(x, batch_size=size, verbose=0), whole)


def test_frozen_layers(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(4, name="a"), layers.Dense(1, name="b")])
    model.get_layer("a").trainable = False
    assert [v.path for v in model.trainable_variables] == [f"{model.name}/b/kernel", f"{model.name}/b/bias"]
    before = model.get_weights()
    model.compile("adam", "mse")
    model.fit(rng.standard_normal((8, 4, 3)), np.ones((8, 1)), epochs=2, verbose=0)
    after = model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before[:3], after[:3], strict=True))
    assert not np.array_equal(before[3], after[3])


def test_stateful_models(rng):
    model = Sequential([Input(batch_shape=(2, None, 3)), layers.LSTM(4, stateful=True)])
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    first = model(x)
    assert not np.array_equal(model(x), first)
    model.reset_states()
    np.testing.assert_array_equal(model(x), first)


def test_a_stateful_model_takes_whole_batches(rng):
    model = Sequential([Input(batch_shape=(4, 3, 2)), layers.LSTM(3, stateful=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((8, 3, 2)), np.zeros(8)
    model.fit(x, y, verbose=0, shuffle=False)
    assert model.predict(x, verbose=0).shape == (8, 1)
    for action in (
        lambda: model.fit(x[:6], y[:6], verbose=0),
        lambda: model.predict(x, batch_size=2, verbose=0),
    ):
        with pytest.raises(ValueError, match="batches of 4"):
            action()


def test_copies_and_pickles(rng):
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2)])
    x = rng.standard_normal((2, 5, 3))
    y = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(x), y)
        other.set_weights([w * 2 for w in other.get_weights()])
        np.testing.assert_array_equal(model(x), y)


def test_arrays_mapped_from_a_file_are_copied(rng, tmp_path):
    joblib = pytest.importorskip("joblib")  # GridSearchCV maps arrays of more than a megabyte
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2)])
    model.compile("adam", "mse")
    x, y = rng.standard_normal((8, 5, 3)), rng.standard_normal((8, 2))
    model.fit(x, y, shuffle=False, verbose=0)
    joblib.dump(model, tmp_path / "model")
    other = joblib.load(tmp_path / "model", mmap_mode="r")
    for m in (model, other):
        m.fit(x, y, shuffle=False, verbose=0)
    np.testing.assert_array_equal(other(x), model(x))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_copies_of_a_trained_model_train_on(rng, optimizer):
    inner = Sequential([Input((None, 3)), layers.LSTM(4, return_sequences=True)])
    model = Sequential([Input((None, 3)), inner, layers.GRU(3), layers.Dense(2)])
    model.compile(optimizer, "mse", metrics=["mae"])
    x, y = rng.standard_normal((8, 5, 3)), rng.standard_normal((8, 2))
    model.fit(x, y, epochs=2, verbose=0)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    before = model.get_weights()
    for m in others:
        m.fit(x, y, shuffle=False, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, shuffle=False, verbose=0)
    for other in others:
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert model.evaluate(x, y, verbose=0) == other.evaluate(x, y, verbose=0)
        for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_clone_is_compiled_with_the_callers_own_objects():
    class Own(lf.losses.MeanSquaredError):
        pass

    class Rate(lf.metrics.MeanAbsoluteError):
        pass

    model = Sequential([Input((3,)), layers.Dense(1)])
    model.compile(lf.optimizers.SGD(0.25), Own(), metrics=["mse", Rate()])
    clone = clone_model(model)
    assert type(clone.loss) is Own and clone.loss is not model.loss
    assert clone.optimizer is not model.optimizer and float(clone.optimizer.learning_rate) == 0.25
    clone.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


def test_top_level_names():
    for name in lf.__all__:
        assert hasattr(lf, name), name
