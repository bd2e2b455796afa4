# SPDX-License-Identifier: BSD-3-Clause
"""Keras's older files of whole models, ``.h5``: between lstmfast and the real Keras 3, and as Keras 2 wrote them."""

import json

import numpy as np
import pytest
from peers import keras

import lstmfast as lf
from lstmfast import saving

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore:Layer 'flatten:UserWarning"
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6, 3)).astype("float32")
IDS = RNG.integers(1, 9, (8, 6))
IDS[2, 3:] = 0
SIDE = RNG.normal(size=(8, 4)).astype("float32")


# ---- models, written once for both libraries (K is keras or lstmfast) --------------------------------------


def stack(K):
    L = K.layers
    return K.Sequential(
        [
            L.Input((6, 3)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.BatchNormalization(),
            L.GRU(5, return_sequences=True),
            L.TimeDistributed(L.Dense(3, kernel_regularizer="l2")),
            L.RNN([L.LSTMCell(3), L.GRUCell(2)]),
            L.Dense(2, activation="softmax", kernel_constraint=K.constraints.MaxNorm(2)),
        ]
    ), X


def masked(K):
    L = K.layers
    return K.Sequential(
        [L.Input((6,)), L.Embedding(9, 4, mask_zero=True), L.LSTM(5), L.Dense(2, activation="softmax")]
    ), IDS


def graph(K):
    """Models inside, one of them used twice; weights that are not trained; branches in an order of Keras's own."""
    L = K.layers
    a, b = L.Input((6, 3), name="a"), L.Input((4,), name="b")
    encoder = K.Sequential([L.Input((4,)), L.Dense(4, activation="tanh"), L.BatchNormalization(), L.Dense(4)])
    s = L.Input((6, 4))
    inner = K.Model(s, [L.GlobalMaxPooling1D()(L.Conv1D(3, 2)(s)), L.LSTM(4)(s)], name="inner")
    y, h, c = L.LSTM(4, return_sequences=True, return_state=True)(a)
    y = L.MultiHeadAttention(2, 3)(y, y)
    frozen = L.Dense(2, name="frozen")
    frozen.trainable = False
    joined = L.Concatenate()([*inner(y), encoder(b), encoder(h), L.Dense(4, name="aaa")(b), frozen(c)])
    return K.Model([a, b], L.Dense(2, name="end", activation="softmax")(joined)), [X, SIDE]


MODELS = [stack, masked, graph]
Y = np.arange(8) % 2


def trained(K, make, optimizer="adam"):
    K.utils.set_random_seed(0)
    model, x = make(K)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, Y, batch_size=4, verbose=0)
    return model, x


def assert_close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def predictions_agree(ours, theirs, x):
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


# ---- both ways ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_lstmfast_opens_what_keras_saves(tmp_path, make, ending):
    theirs, x = trained(keras, make)
    theirs.save(tmp_path / f"m{ending}")
    ours = saving.load_model(tmp_path / f"m{ending}")
    predictions_agree(ours, theirs, x)
    assert_close(ours.evaluate(x, Y, verbose=0), theirs.evaluate(x, Y, verbose=0))
    for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        assert a.shape == b.shape


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_training_goes_on_in_lstmfast(tmp_path, optimizer):
    theirs, x = trained(keras, stack, optimizer)
    theirs.save(tmp_path / "m.h5")
    ours = lf.models.load_model(tmp_path / "m.h5")
    for model in (ours, theirs):
        model.fit(x, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_keras_opens_what_lstmfast_saves(tmp_path, make):
    ours, x = trained(lf, make)
    ours.save(tmp_path / "m.h5")
    theirs = keras.saving.load_model(tmp_path / "m.h5")
    predictions_agree(ours, theirs, x)
    assert_close(ours.evaluate(x, Y, verbose=0), theirs.evaluate(x, Y, verbose=0))


@pytest.mark.parametrize("make", MODELS)
def test_lstmfast_opens_its_own(tmp_path, make):
    model, x = trained(lf, make)
    model.save(tmp_path / "m.h5")
    loaded = saving.load_model(tmp_path / "m.h5")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", MODELS)
def test_the_layout_is_that_of_keras(tmp_path, make):
    """Names of layers and weights, in the same order, with arrays of the same shapes."""
    listed = []
    for K in (keras, lf):
        K.utils.clear_session()
        trained(K, make)[0].save(tmp_path / "m.h5")
        with h5py.File(tmp_path / "m.h5") as file:
            group = file["model_weights"]
            layers = [str(name) for name in group.attrs["layer_names"]]
            shapes = [[group[n][str(w)].shape for w in group[n].attrs["weight_names"]] for n in layers]
            listed.append([pair for pair in zip(layers, shapes, strict=True) if pair[1]])
            assert {"model_config", "training_config", "keras_version", "backend"} <= set(file.attrs)
            assert "optimizer_weights" in file
    assert listed[0] == listed[1]


def test_objects_in_the_compile_state(tmp_path):
    """A loss and a metric have the same name: the file does not say which is which, their places do."""
    theirs, x = stack(keras)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5))
    theirs.compile(
        optimizer, keras.losses.MeanSquaredError(), metrics=[keras.metrics.MeanSquaredError(), "mae"]
    )
    theirs.fit(x, SIDE[:, :2], verbose=0)
    theirs.save(tmp_path / "m.h5")
    ours = saving.load_model(tmp_path / "m.h5")
    for model in (ours, theirs):
        model.fit(x, SIDE[:, :2], shuffle=False, verbose=0)
    assert_close(ours.evaluate(x, SIDE[:, :2], verbose=0), theirs.evaluate(x, SIDE[:, :2], verbose=0))
    ours.save(tmp_path / "n.h5")
    again = keras.saving.load_model(tmp_path / "n.h5")
    assert_close(again.evaluate(x, SIDE[:, :2], verbose=0), ours.evaluate(x, SIDE[:, :2], verbose=0))


def test_without_the_optimizer(tmp_path):
    for K, other in ((keras, lf), (lf, keras)):
        model, _ = trained(K, masked)
        model.save(tmp_path / "m.h5", include_optimizer=False)
        assert not other.saving.load_model(tmp_path / "m.h5").compiled
        model.save(tmp_path / "m.h5")
        assert not other.saving.load_model(tmp_path / "m.h5", compile=False).compiled


def test_more_names_than_an_attribute_holds(tmp_path):
    """Keras splits such lists: layer_names0, layer_names1..."""

    def wide(K):
        a = K.Input((2,))
        layers = [K.layers.Dense(1, name=f"{'long' * 60}_{n:04}") for n in range(300)]
        inner = K.Model(a, [layer(a) for layer in layers], name="inner")
        b = K.Input((2,))
        return K.Model(b, K.layers.Concatenate()([*[layer(b) for layer in layers], *inner(b)]))

    ours, theirs = wide(lf), wide(keras)
    for a, b in zip(theirs.layers, ours.layers, strict=True):
        if not isinstance(b, lf.Model):
            b.set_weights(a.get_weights())
    x = SIDE[:, :2]
    predictions_agree(ours, theirs, x)
    theirs.save(tmp_path / "theirs.h5")
    ours.save(tmp_path / "ours.h5")
    for name in ("ours", "theirs"):
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert "layer_names1" in file["model_weights"].attrs
            assert "weight_names1" in file["model_weights/inner"].attrs
    predictions_agree(saving.load_model(tmp_path / "theirs.h5"), theirs, x)
    predictions_agree(ours, keras.saving.load_model(tmp_path / "ours.h5"), x)


@keras.saving.register_keras_serializable("test")
class TheirScale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


class Scale(lf.layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        return x * self.scale


def test_a_custom_layer(tmp_path):
    theirs = keras.Sequential([keras.Input((6, 3)), TheirScale(), keras.layers.LSTM(2)])
    theirs.layers[0].set_weights([np.float32([1, 2, 3])])
    theirs.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="TheirScale"):
        saving.load_model(tmp_path / "m.h5")
    ours = saving.load_model(tmp_path / "m.h5", custom_objects={"TheirScale": Scale})
    predictions_agree(ours, theirs, X)
    ours = saving.load_model(tmp_path / "m.h5", custom_objects={"test>TheirScale": Scale})
    predictions_agree(ours, theirs, X)


# ---- weights alone -----------------------------------------------------------------------------------------


def weights_of(file, model):
    """What Keras's `save_weights("x.h5")` was, up to version 2: the contents of ``model_weights`` at the root."""
    keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.parametrize("make", MODELS)
def test_weights_by_place_and_by_name(tmp_path, make):
    theirs, x = trained(keras, make)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        weights_of(file, theirs)
    theirs.save(tmp_path / "m.h5")
    for path in (tmp_path / "w.h5", tmp_path / "m.h5"):
        ours = make(lf)[0]
        ours.load_weights(path)
        predictions_agree(ours, theirs, x)
    names = [layer.name for layer in theirs.layers if layer.weights]
    ours, before = saving.load_model(tmp_path / "m.h5"), theirs.get_weights()
    ours.set_weights([np.zeros_like(a) for a in ours.get_weights()])
    ours.layers[-1].name = "another"
    ours.load_weights(tmp_path / "w.h5", by_name=True)
    assert not np.any(ours.layers[-1].get_weights()[0])
    assert (
        len(names) > 1
        and sum(map(np.sum, ours.get_weights())) != 0
        and len(before) == len(ours.get_weights())
    )


def test_weights_that_do_not_fit(tmp_path):
    theirs, _ = stack(keras)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        weights_of(file, theirs)
    for K in (keras, lf):
        L = K.layers
        fewer = K.Sequential([L.Input((6, 3)), L.LSTM(2)])
        with pytest.raises(ValueError, match="Layer count mismatch"):
            fewer.load_weights(tmp_path / "w.h5")
        model, _ = stack(K)
        model.pop()
        model.add(L.Dense(3, name="last"))
        before = model.get_weights()
        with pytest.raises(ValueError, match=r"[Ss]hape"):
            model.load_weights(tmp_path / "w.h5")
        with pytest.warns(UserWarning, match="mismatch in shape"):
            model.load_weights(tmp_path / "w.h5", skip_mismatch=True)
        for a, b in zip(model.get_weights()[:-2], theirs.get_weights()[:-2], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(model.get_weights()[-2], before[-2])


# ---- as Keras 2 wrote them ---------------------------------------------------------------------------------
# TensorFlow is not here: the files are made from the layout as tf.keras 2.x documents and writes it.

RECURRENT = {
    "trainable": True,
    "dtype": "float32",
    "return_sequences": False,
    "return_state": False,
    "go_backwards": False,
    "stateful": False,
    "unroll": False,
    "time_major": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}},
    "recurrent_initializer": {
        "class_name": "Orthogonal",
        "config": {"gain": 1.0, "seed": None, "dtype": "float32"},
        "shared_object_id": 2,
    },
    "bias_initializer": {"class_name": "Zeros", "config": {"dtype": "float32"}, "shared_object_id": 3},
    "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.01}},
    "recurrent_regularizer": None,
    "bias_regularizer": None,
    "activity_regularizer": None,
    "kernel_constraint": None,
    "recurrent_constraint": None,
    "bias_constraint": None,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
    "implementation": 2,
}


def layer(kind, name, nodes=None, **config):
    described = {"class_name": kind, "config": {"name": name, **config}}
    return described if nodes is None else {**described, "name": name, "inbound_nodes": nodes}


def recurrent(kind, name, units, nodes=None, **config):
    config = {**RECURRENT, "units": units, **config}
    if kind != "GRU":
        config["unit_forget_bias"] = True
    return layer(kind, name, nodes, **config)


def dense(name, units, nodes=None, **config):
    return layer("Dense", name, nodes, units=units, trainable=True, dtype="float32", **config)


def write_keras_2(path, class_name, config, weights, training=None, state=()):
    """`weights` {layer: [(name, array)]}, `state` [(name, array)]."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = b"2.11.0", b"tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": class_name, "config": config}).encode()
        if training is not None:
            file.attrs["training_config"] = json.dumps(training).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            inside = group.create_group(name)
            inside.attrs["weight_names"] = [f"{name}/{key}:0".encode() for key, _ in arrays]
            for key, array in arrays:
                inside[f"{name}/{key}:0"] = array
        group.create_group("top_level_model_weights").attrs["weight_names"] = np.zeros(0)
        if state:
            group = file.create_group("optimizer_weights")
            group.attrs["weight_names"] = [name.encode() for name, _ in state]
            for name, array in state:
                group[name] = array


def named(layer, *keys):
    return list(zip(keys, layer.get_weights(), strict=True))


LSTM_KEYS = ("lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias")


def randomize(model):
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.1, 0.9, a.shape).astype("f") for a in model.get_weights()])


def sequence_in_keras_3():
    L = keras.layers
    model = keras.Sequential(
        [
            L.Input((6, 3)),
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.BatchNormalization(),
            L.GRU(3, reset_after=False, return_sequences=True),
            L.GRU(2),
            L.Dense(2, activation="softmax"),
        ]
    )
    randomize(model)
    return model


def sequence_in_keras_2(first, as_list=False):
    """`first`: the InputLayer, or the shape in the first layer's arguments."""
    inner = recurrent("LSTM", "lstm", 4, return_sequences=True)
    wrapper = {"trainable": True, "dtype": "float32", "layer": inner, "merge_mode": "concat"}
    old = recurrent("GRU", "gru", 3, return_sequences=True)
    new = recurrent("GRU", "gru_1", 2, reset_after=True)
    if not as_list:
        old["config"]["reset_after"] = False
    norm = {"trainable": True, "dtype": "float32", "axis": [2], "momentum": 0.99, "epsilon": 0.001}
    layers = [
        layer("Bidirectional", "bidirectional", **wrapper),
        layer("BatchNormalization", "batch_normalization", **norm),
        old,
        new,
        dense("dense", 2, activation="softmax"),
    ]
    if first == "layer":
        layers[0]["config"]["batch_input_shape"] = [None, 6, 3]
    else:
        layers.insert(
            0, layer("InputLayer", "input_1", batch_input_shape=[None, 6, 3], sparse=False, ragged=False)
        )
    return layers if as_list else {"name": "sequential_1", "layers": layers}


def weights_of_sequence(model):
    both, norm, old, new, end = model.layers
    keys = [f"{way}_lstm/{key}" for way in ("forward", "backward") for key in LSTM_KEYS]
    cell = ("kernel", "recurrent_kernel", "bias")
    return {
        "bidirectional": named(both, *keys),
        "batch_normalization": named(norm, "gamma", "beta", "moving_mean", "moving_variance"),
        "gru": named(old, *cell),
        "gru_1": named(new, *cell),
        "dense": named(end, "kernel", "bias"),
    }


@pytest.mark.parametrize(("first", "as_list"), [("layer", False), ("input", False), ("layer", True)])
def test_a_sequence_of_keras_2(tmp_path, first, as_list):
    theirs = sequence_in_keras_3()
    config = sequence_in_keras_2(first, as_list)
    write_keras_2(tmp_path / "m.h5", "Sequential", config, weights_of_sequence(theirs))
    ours = saving.load_model(tmp_path / "m.h5")
    predictions_agree(ours, theirs, X)
    assert [layer.name for layer in ours.layers] == list(weights_of_sequence(theirs))
    assert ours.get_layer("gru").reset_after is False and ours.get_layer("gru_1").reset_after is True
    assert ours.get_layer("gru").kernel_regularizer.l2 == pytest.approx(0.01)


ADAM = {
    "class_name": "Adam",
    "config": {"name": "Adam", "learning_rate": 0.01, "decay": 0.0, "beta_1": 0.8, "beta_2": 0.99}
    | {"epsilon": 1e-07, "amsgrad": False},
}
METRICS = [[{"class_name": "MeanMetricWrapper", "config": {"name": "acc", "dtype": "float32"}}]]
METRICS[0][0]["config"]["fn"] = "sparse_categorical_accuracy"
LOSS = {
    "class_name": "SparseCategoricalCrossentropy",
    "config": {
        "reduction": "auto",
        "name": "xent",
        "from_logits": False,
        "fn": "sparse_categorical_crossentropy",
    },
}


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", LOSS])
def test_the_optimizer_of_keras_2(tmp_path, new, loss):
    """Up to 2.10 all m stand before all v; after that each m has its v beside it."""
    theirs = sequence_in_keras_3()
    for which in theirs.layers:
        for one in (which, getattr(which, "forward_layer", which), getattr(which, "backward_layer", which)):
            if hasattr(one, "kernel_regularizer") and "dense" not in one.name:
                getattr(one, "cell", one).kernel_regularizer = None
    theirs.compile(keras.optimizers.Adam(0.01, 0.8, 0.99), "sparse_categorical_crossentropy", metrics=["acc"])
    theirs.fit(X, Y, verbose=0)
    config = json.loads(
        json.dumps(sequence_in_keras_2("layer")).replace(
            '{"class_name": "L2", "config": {"l2": 0.01}}', "null"
        )
    )
    optimizer = theirs.optimizer
    m = [v.numpy() for v in optimizer._momentums]
    v = [v.numpy() for v in optimizer._velocities]
    steps = np.int64(optimizer.iterations.numpy())
    if new:
        state = [("iteration:0", steps)]
        for n, pair in enumerate(zip(m, v, strict=True)):
            state += [(f"Adam/m/{n}/kernel:0", pair[0]), (f"Adam/v/{n}/kernel:0", pair[1])]
        described = {**ADAM, "class_name": "Custom>Adam"}
        described["config"] = {**ADAM["config"], "jit_compile": True, "is_legacy_optimizer": False}
    else:
        state = [("Adam/iter:0", steps), *((f"Adam/{n}/kernel/m:0", a) for n, a in enumerate(m))]
        state += [(f"Adam/{n}/kernel/v:0", a) for n, a in enumerate(v)]
        described = ADAM
    training = {"loss": loss, "metrics": METRICS, "weighted_metrics": None, "loss_weights": None}
    training |= {"sample_weight_mode": None, "optimizer_config": described}
    write_keras_2(tmp_path / "m.h5", "Sequential", config, weights_of_sequence(theirs), training, state)
    ours = saving.load_model(tmp_path / "m.h5")
    for model in (ours, theirs):
        model.fit(X, Y, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert_close(ours.evaluate(X, Y, verbose=0), theirs.evaluate(X, Y, verbose=0))
    assert (
        list(ours.evaluate(X, Y, verbose=0, return_dict=True)) == ["acc", "loss"]
        or "acc" in ours.metrics_names
    )


def test_decay_of_keras_2(tmp_path):
    """``decay`` made of the learning rate what the schedule InverseTimeDecay does."""
    theirs = sequence_in_keras_3()
    described = {"class_name": "SGD", "config": {"name": "SGD", "lr": 0.1, "decay": 0.5, "momentum": 0.0}}
    training = {"loss": "mse", "metrics": None, "loss_weights": None, "optimizer_config": described}
    config = sequence_in_keras_2("layer")
    write_keras_2(tmp_path / "m.h5", "Sequential", config, weights_of_sequence(theirs), training)
    ours = saving.load_model(tmp_path / "m.h5")
    ours.fit(X, SIDE[:, :2], batch_size=4, verbose=0)
    assert float(ours.optimizer.learning_rate) == pytest.approx(0.1 / (1 + 0.5 * 2))


def test_a_graph_of_keras_2(tmp_path):
    """Calls as lists; states behind the sequences; a model inside whose calls count from 1; two outputs."""
    L = keras.layers
    a, b = keras.Input((6, 3)), keras.Input((4,))
    encoder = keras.Sequential([L.Input((4,)), L.Dense(4, activation="relu")])
    y, h, _ = (first := L.LSTM(4, return_sequences=True, return_state=True))(a)
    k = (second := L.LSTM(4))(y, initial_state=[h, encoder(b)])
    attended = L.Attention()([y, (heads := L.MultiHeadAttention(2, 3))(y, y)])
    joined = L.Concatenate()([k, L.GlobalAveragePooling1D()(attended), encoder(h)])
    theirs = keras.Model([a, b], [(end := L.Dense(2))(joined), encoder(k)])
    randomize(theirs)

    plain = {"trainable": True, "dtype": "float32"}
    shape = {"batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "ragged": False}
    inside = {"name": "encoder", "layers": [layer("InputLayer", "dense_input", **shape)]}
    inside["layers"].append(dense("dense", 4, activation="relu"))
    heads_config = {**plain, "num_heads": 2, "key_dim": 3, "value_dim": 3, "dropout": 0.0, "use_bias": True}
    heads_config |= {"output_shape": None, "attention_axes": [1], "query_shape": [None, 6, 4]}
    heads_config |= {"key_shape": [None, 6, 4], "value_shape": [None, 6, 4]}
    layers = [
        layer("InputLayer", "a", [], batch_input_shape=[None, 6, 3], dtype="float32"),
        layer("InputLayer", "b", [], **shape),
        recurrent("LSTM", "lstm", 4, [[["a", 0, 0, {}]]], return_sequences=True, return_state=True),
        {
            "class_name": "Sequential",
            "config": inside,
            "name": "encoder",
            "inbound_nodes": [[["b", 0, 0, {}]], [["lstm", 0, 1, {}]], [["lstm_1", 0, 0, {}]]],
        },
        recurrent("LSTM", "lstm_1", 4, [[["lstm", 0, 0, {}], ["lstm", 0, 1, {}], ["encoder", 1, 0, {}]]]),
        layer("MultiHeadAttention", "mha", [[["lstm", 0, 0, {"value": ["lstm", 0, 0]}]]], **heads_config),
        layer("Attention", "attention", [[["lstm", 0, 0, {}], ["mha", 0, 0, {}]]], causal=False, **plain),
        layer("GlobalAveragePooling1D", "pool", [[["attention", 0, 0, {}]]], **plain),
        layer(
            "Concatenate",
            "join",
            [[["lstm_1", 0, 0, {}], ["pool", 0, 0, {}], ["encoder", 2, 0, {}]]],
            axis=-1,
        ),
        dense("end", 2, [[["join", 0, 0, {}]]]),
    ]
    config = {"name": "model", "layers": layers, "input_layers": [["a", 0, 0], ["b", 0, 0]]}
    config["output_layers"] = [["end", 0, 0], ["encoder", 3, 0]]
    keys = [f"{n}/{k}" for n in ("query", "key", "value", "attention_output") for k in ("kernel", "bias")]
    weights = {
        "a": [],
        "lstm": named(first, *LSTM_KEYS),
        "encoder": named(encoder, "dense/kernel", "dense/bias"),
        "lstm_1": named(second, *LSTM_KEYS),
        "mha": named(heads, *keys),
        "end": named(end, "kernel", "bias"),
    }
    metrics = [
        [{"class_name": "MeanMetricWrapper", "config": {"name": "end_mae", "fn": "mean_absolute_error"}}],
        [{"class_name": "MeanMetricWrapper", "config": {"name": "encoder_mse", "fn": "mean_squared_error"}}],
    ]
    training = {"loss": {"end": "mse", "encoder": "mae"}, "metrics": metrics, "loss_weights": None}
    training["optimizer_config"] = {"class_name": "RMSprop", "config": {"learning_rate": 0.01, "decay": 0.0}}
    write_keras_2(tmp_path / "m.h5", "Functional", config, weights, training)
    ours = saving.load_model(tmp_path / "m.h5")
    for left, right in zip(
        ours.predict([X, SIDE], verbose=0), theirs.predict([X, SIDE], verbose=0), strict=True
    ):
        assert_close(left, right)
    theirs.compile("rmsprop", ["mse", "mae"], metrics=[["mae"], ["mse"]])
    targets = [SIDE[:, :2], SIDE]
    plain_loss = theirs.evaluate([X, SIDE], targets, verbose=0)
    for which in ours.layers:
        if which.name.startswith("lstm"):
            which.kernel_regularizer = None
    result = ours.evaluate([X, SIDE], targets, verbose=0, return_dict=True)
    assert result["end_mae"] == pytest.approx(plain_loss[-2], rel=1e-5)
    assert result["encoder_mse"] == pytest.approx(plain_loss[-1], rel=1e-5)
    with h5py.File(tmp_path / "m.h5", "a") as file:  # Keras before 2.4 called them Model
        file.attrs["model_config"] = json.dumps({"class_name": "Model", "config": config})
    again = saving.load_model(tmp_path / "m.h5", compile=False)
    np.testing.assert_array_equal(again([X, SIDE])[0], ours([X, SIDE])[0])


def test_what_keras_2_could_and_lstmfast_cannot(tmp_path):
    theirs = sequence_in_keras_3()
    config = sequence_in_keras_2("layer")
    for change, message in (
        (lambda c: c["layers"][2]["config"].update(time_major=True), "time_major"),
        (lambda c: c["layers"].append(layer("Lambda", "l", function=["4wEA", None, None])), "byte code"),
        (lambda c: c["layers"].append(layer("CuDNNLSTM", "l", units=2)), "CuDNNLSTM"),
        (
            lambda c: c["layers"][-1]["config"].update(
                dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}
            ),
            "mixed_float16",
        ),
    ):
        changed = json.loads(json.dumps(config))
        change(changed)
        write_keras_2(tmp_path / "m.h5", "Sequential", changed, weights_of_sequence(theirs))
        with pytest.raises(ValueError, match=message) as caught:
            saving.load_model(tmp_path / "m.h5")
        assert "m.h5" in str(caught.value)
