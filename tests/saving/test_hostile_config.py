# SPDX-License-Identifier: BSD-3-Clause
"""Configurations that name code: nothing is imported, called or unmarshalled because a file says so."""

import builtins
import importlib
import json
import marshal
import os
import pickle
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers, saving
from lstmfast.saving import safetensors
from lstmfast.saving.registry import deserialize_keras_object, serialize_keras_object


@pytest.fixture
def no_side_effects(monkeypatch, tmp_path):
    """Ways from a name to code raise AssertionError, which nothing in lstmfast turns into ValueError."""
    # First import what lstmfast itself imports lazily, from fixed names.
    model = lf.Sequential([layers.Input((3, 2)), layers.LSTM(2)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "warm")
    saving.load_model(tmp_path / "warm")
    with pytest.raises(ValueError):
        deserialize_keras_object({"class_name": "function", "config": "none"})

    def forbidden(*args, **kwargs):
        raise AssertionError(f"called with {args}")

    for module, names in (
        (importlib, ("import_module",)),
        (os, ("system", "popen", "remove")),
        (subprocess, ("Popen",)),
        (pickle, ("load", "loads")),
        (marshal, ("load", "loads")),
        (builtins, ("eval", "exec")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    modules = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('pwned', 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    assert "evil" not in sys.modules
    assert not (tmp_path / "pwned").exists()
    assert not {m for m in set(sys.modules) - modules if not m.startswith(("lstmfast", "numpy"))}


def obj(class_name, config, module="keras.layers", registered_name=None):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered_name}


HOSTILE_OBJECTS = {
    "function of os": obj("function", "system", "os", "system"),
    "class of a module on the path": obj("Evil", {}, "evil", "evil>Evil"),
    "module on the path, registered name of ours": obj("Evil", {}, "evil", "LSTM"),
    "our name, foreign module": obj("LSTM", {"units": 2}, "evil"),
    "our name, foreign registered name": obj("LSTM", {"units": 2}, "keras.layers", "evil>LSTM"),
    "subprocess": obj("Popen", {"args": ["touch", "pwned"]}, "subprocess"),
    "numpy function": obj("function", "load", "numpy", "load"),
    "builtin function": obj("function", "eval", "builtins", "eval"),
    "Keras utility": obj("function", "get_file", "keras.utils", "get_file"),
    "our own saver": obj("function", "load_model", "lstmfast.saving", "load_model"),
    "our own demo": obj("function", "run", "lstmfast.demo", "run"),
    "dunder": obj("__builtins__", {}, "lstmfast.layers"),
    "module attribute": obj("np", {}, "lstmfast.layers"),
    "dotted name": obj("base.Layer", {}, "lstmfast.layers"),
    "lambda marker": {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}},
    "type spec": {
        "class_name": "__typespec__",
        "spec_name": "Evil",
        "module": "evil",
        "config": [],
        "registered_name": None,
    },
    "Lambda layer": obj(
        "Lambda", {"name": "x", "function": {"class_name": "__lambda__", "config": {"code": "4wAAAAA="}}}
    ),
    "object array": {"class_name": "__numpy__", "config": {"value": ["x"], "dtype": "object"}},
    "structured array": {"class_name": "__numpy__", "config": {"value": [1], "dtype": "O,O"}},
    "class name is a list": obj(["LSTM"], {}),
    "function name is a dict": obj("function", {"a": 1}),
    "config is a list": obj("LSTM", [1]),
    "surplus argument": obj("LSTM", {"units": 2, "evil": 1}),
    "missing argument": obj("LSTM", {}),
    "other dtype policy": obj(
        "LSTM", {"units": 2, "dtype": obj("DTypePolicy", {"name": "mixed_float16"}, "keras")}
    ),
    "quantized": obj("Dense", {"units": 2, "quantization_config": {"a": 1}}),
}


@pytest.mark.parametrize("name", HOSTILE_OBJECTS)
def test_hostile_object(no_side_effects, name):
    with pytest.raises(ValueError):
        deserialize_keras_object(HOSTILE_OBJECTS[name])


@pytest.mark.parametrize("name", HOSTILE_OBJECTS)
def test_hostile_layer_in_a_model_file(no_side_effects, tmp_path, name):
    """The same objects as a layer of a native model file."""
    config = obj(
        "Sequential",
        {"name": "s", "layers": [obj("InputLayer", {"batch_shape": [None, 3]}), HOSTILE_OBJECTS[name]]},
        "keras",
    )
    metadata = {"format": "lstmfast", "format_version": "1", "model": json.dumps(config)}
    safetensors.save_file({}, tmp_path / "m", metadata)
    with pytest.raises(ValueError):
        saving.load_model(tmp_path / "m")


SLOTS = [
    "activation",
    "recurrent_activation",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
]
VALUES = [
    "system",
    "os.system",
    "evil",
    "evil.Evil",
    "__import__",
    "__builtins__",
    "np",
    "numpy",
    "get",
    "__class__",
    "_core",
    "Any",
    obj("function", "system", "os", "system"),
    obj("Evil", {}, "evil", "evil>Evil"),
    obj("Popen", {"args": ["touch", "pwned"]}, "subprocess"),
    obj("function", "eval", "builtins", "eval"),
    {"class_name": "__lambda__", "config": {"value": ["4wAAAAA=", None, None]}},
    obj("Sequential", {"layers": []}, "keras"),
    {"class_name": "GlorotUniform"},
    ["relu"],
    3,
]


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("value", VALUES, ids=[json.dumps(v)[:40] for v in VALUES])
def test_hostile_value_in_a_layer(no_side_effects, slot, value):
    with pytest.raises(ValueError):
        deserialize_keras_object(obj("LSTM", {"units": 2, slot: value}))


@pytest.mark.parametrize("slot", ["optimizer", "loss", "metrics", "weighted_metrics"])
@pytest.mark.parametrize("value", VALUES, ids=[json.dumps(v)[:40] for v in VALUES])
def test_hostile_compile_state(no_side_effects, tmp_path, slot, value):
    model = lf.Sequential([layers.Input((3,)), layers.Dense(2)])
    config = serialize_keras_object(model)
    config["compile_config"] = {"optimizer": "sgd", "loss": "mse", "metrics": None}
    config["compile_config"][slot] = (
        [value] if slot.endswith("metrics") and isinstance(value, (str, dict)) else value
    )
    arrays = {f"layers/{model.layers[-1].name}/{v.name}": v.numpy() for v in model.weights}
    safetensors.save_file(
        arrays, tmp_path / "m", {"format": "lstmfast", "format_version": "1", "model": json.dumps(config)}
    )
    with pytest.raises(ValueError):
        saving.load_model(tmp_path / "m")
    assert saving.load_model(tmp_path / "m", compile=False).count_params() == 8


@pytest.mark.parametrize(
    "module",
    [None, "lstmfast.layers", "keras.layers", "keras.src.layers.rnn.lstm", "lstmfast.layers.rnn.lstm"],
)
def test_our_own_names_in_every_spelling(module):
    config = {"module": module, "class_name": "LSTM", "config": {"units": 3, "name": "l"}}
    for registered_name in (None, "LSTM"):
        assert deserialize_keras_object({**config, "registered_name": registered_name}).units == 3
    del config["module"]
    assert deserialize_keras_object(config).units == 3


def test_loss_and_metric_of_one_name():
    loss = deserialize_keras_object(obj("MeanSquaredError", {}, "keras.losses"))
    metric = deserialize_keras_object(obj("MeanSquaredError", {}, "keras.metrics"))
    assert isinstance(loss, lf.losses.Loss)
    assert isinstance(metric, lf.metrics.Metric)


def test_keras_names_optimizers_by_their_backend():
    config = obj("Adam", {"learning_rate": 0.5}, "keras.src.backend.torch.optimizers.torch_adam", "Adam")
    assert float(np.asarray(deserialize_keras_object(config).learning_rate)) == 0.5


def test_plain_values():
    value = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}
    assert deserialize_keras_object(serialize_keras_object(value)) == value
    array = np.arange(6, dtype="f4").reshape(2, 3)
    np.testing.assert_array_equal(deserialize_keras_object(serialize_keras_object(array)), array)
    assert deserialize_keras_object(serialize_keras_object(b"xy")) == b"xy"
    assert serialize_keras_object(np.float32(1.5)) == 1.5


def test_objects_without_a_configuration():
    with pytest.raises(TypeError, match="get_config"):
        serialize_keras_object(object())
    with pytest.raises(ValueError, match="lambda"):
        serialize_keras_object(lambda x: x)
    with pytest.raises(TypeError, match="Could not parse"):
        deserialize_keras_object({1, 2})
    with pytest.raises(ValueError, match="safe_mode"):
        deserialize_keras_object({}, safe_mode=False)


def test_counts_that_would_allocate_without_end(tmp_path):
    model = lf.Sequential([layers.Input((3,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy", metrics=[lf.metrics.AUC()])
    config = serialize_keras_object(model)
    config["compile_config"]["metrics"][0]["config"]["num_thresholds"] = 2**40
    arrays = {f"layers/{model.layers[-1].name}/{v.name}": v.numpy() for v in model.weights}
    metadata = {"format": "lstmfast", "format_version": "1", "model": json.dumps(config)}
    safetensors.save_file(arrays, tmp_path / "m", metadata)
    with pytest.raises(ValueError, match="num_thresholds"):
        saving.load_model(tmp_path / "m")


def functional_model():
    x, side = layers.Input((5, 3), name="seq"), layers.Input((2,), name="side")
    rnn = layers.SimpleRNN(3, return_state=True)
    y, state = rnn(layers.Masking()(x))
    y2, _ = rnn(x, initial_state=state)
    joined = layers.Concatenate()([y, y2, side])
    flat = layers.Flatten()(layers.Dropout(0.1)(layers.LSTM(2)(x)))
    model = lf.Model([x, side], [layers.Dense(2, kernel_regularizer="l2")(joined), flat])
    model.compile(lf.optimizers.Adam(1e-3), ["mse", "mae"], metrics=[["mae"], ["mse"]])
    return model


def places(tree, path=()):
    """Paths to all values in nested dicts and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


ODD = [None, True, -1, 0, 2**31, 2**63, 1e308, "", "x", "relu", [], [1], [None], {}, [["seq", 0, 0]], "\0"]
ODD.append({"class_name": "LSTM", "config": {}})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore")
def test_any_change_of_a_configuration_is_loaded_or_refused(tmp_path, seed):
    """Entries removed or replaced at random places: a model or a ValueError, never another exception."""
    functional_model().save(tmp_path / "good")
    arrays, metadata = safetensors.load_file(tmp_path / "good")
    arrays = {name: array.copy() for name, array in arrays.items()}
    rng = random.Random(seed)
    refused = 0
    for _ in range(80):
        config = json.loads(metadata["model"])
        *path, last = rng.choice(list(places(config)))
        parent = config
        for key in path:
            parent = parent[key]
        if rng.random() < 0.2:
            del parent[last]
        else:
            parent[last] = rng.choice(ODD)
        safetensors.save_file(arrays, tmp_path / "m", {**metadata, "model": json.dumps(config)})
        try:
            saving.load_model(tmp_path / "m")
        except ValueError:
            refused += 1
    assert refused > 20


def test_a_configuration_nested_too_deeply(tmp_path):
    """Deep enough for our walk through it, if not for the JSON reader."""
    pytest.importorskip("h5py")
    path = tmp_path / "m.keras"
    lf.Sequential([lf.Input((3,)), lf.layers.Dense(1)]).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for depth in (300, 900, 5000):
        config = json.loads(members["config.json"])
        text = json.dumps(config)[:-1] + ', "more": ' + "[" * depth + "]" * depth + "}"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in {**members, "config.json": text.encode()}.items():
                archive.writestr(name, data)
        try:
            saving.load_model(path)
        except ValueError as error:
            assert "nested too deeply" in str(error)
