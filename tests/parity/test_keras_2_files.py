# SPDX-License-Identifier: BSD-3-Clause
"""HDF5 files of whole models as Keras 2 wrote them, against models of the real Keras 3 with the same weights."""

import json

import numpy as np
import pytest
from file_data import SIDE, X, Y, assert_close, predictions_agree
from peers import keras

from lstmfast import saving

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore:Layer 'flatten:UserWarning"
)

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
