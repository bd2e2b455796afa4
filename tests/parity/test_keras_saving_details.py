# SPDX-License-Identifier: BSD-3-Clause
"""Files and configurations at their edges: other dtypes, open files, configurations that fit nothing; by both libraries."""

import io

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*__array__ implementation:DeprecationWarning", "ignore::UserWarning:keras"
)

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
DTYPES = ["float16", "bfloat16", "float64", "mixed_float16", "float32"]


def stack(K, dtype=None):
    kwargs = {} if dtype is None else {"dtype": dtype}
    lstm = K.layers.LSTM(4, recurrent_initializer="glorot_uniform", name="a", **kwargs)
    return K.Sequential([K.Input((5, 3)), lstm, K.layers.Dense(2, name="b", **kwargs)], name="s")


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_other_dtypes(tmp_path, dtype, ending):
    theirs, ours = stack(keras, dtype), stack(lf)
    path = str(tmp_path / f"m{ending}")
    theirs.save_weights(path) if ending == ".weights.h5" else theirs.save(path)
    ours.load_weights(path)
    for weight, expected in zip(ours.weights, theirs.weights, strict=True):
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight.numpy(), expected.value.detach().double().numpy().astype("f4"))


def compiled(K):
    model = stack(K)
    model.compile("adam", "mse")
    model.fit(X, X[:, 0, :2], verbose=0)
    return model


def test_open_files():
    from keras.src.saving import saving_lib

    model, theirs = compiled(lf), compiled(keras)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    again = lf.saving.load_model(file)
    file.seek(0)
    read = saving_lib.load_model(file)
    for x, y, z in zip(model.weights, again.weights, read.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
        np.testing.assert_array_equal(x.numpy(), z.value.detach().numpy())
    np.testing.assert_array_equal(again.optimizer.variables[2].numpy(), model.optimizer.variables[2].numpy())
    file = io.BytesIO()
    saving_lib.save_model(theirs, file)
    file.seek(0)
    ours = lf.saving.load_model(file)
    for x, y in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.value.detach().numpy())
    with pytest.raises(ValueError, match="cannot be loaded"):
        lf.saving.load_model(io.BytesIO(b"no archive"))
    with pytest.raises(ValueError, match="zipped"):
        model.save(io.BytesIO(), zipped=False)


INVALID = {
    "a function's name": (
        {"class_name": "function", "config": ["a"]},
        TypeError,
        "Expected 'config' to be a non-null str",
    ),
    "no dict": ({"class_name": "Dense", "config": [1, 2, 3]}, TypeError, "Expected 'config' to be a dict"),
    "a lambda": (
        {"class_name": "__lambda__", "config": {"value": "4w=="}},
        ValueError,
        "arbitrary code execution",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_configurations_that_fit_nothing(case):
    config, kind, pattern = INVALID[case]
    for K in (keras, lf):
        with pytest.raises(kind, match=pattern):
            K.saving.deserialize_keras_object(config)


def test_objects_without_from_config(tmp_path):
    for K in (keras, lf):

        @K.saving.register_keras_serializable(package=f"details_{K.__name__}")
        class Growth:
            def __init__(self, factor):
                self.factor = factor

            def __call__(self, x):
                return x * self.factor

            def get_config(self):
                return {"factor": self.factor}

        x = K.Input((4,))
        path = str(tmp_path / f"{K.__name__}.keras")
        K.Model(x, K.layers.Dense(1, activation=Growth(0.5))(x)).save(path)
        with pytest.raises(TypeError, match="Unable to reconstruct an instance of 'Growth'"):
            K.saving.load_model(path)


def test_layers_that_do_not_deserialize_what_they_hold(tmp_path):
    for K in (keras, lf):

        @K.saving.register_keras_serializable(package=f"details_{K.__name__}")
        class Outer(K.layers.Layer):
            def __init__(self, first, **kwargs):
                super().__init__(**kwargs)
                self.first = first

            def call(self, x):
                return self.first(x)

            def get_config(self):
                return {**super().get_config(), "first": self.first}

        x = K.Input((4,))
        path = str(tmp_path / f"{K.__name__}.keras")
        K.Model(x, Outer(K.layers.Dense(2))(x)).save(path)
        with pytest.raises(TypeError, match="are explicitly deserialized"):
            K.saving.load_model(path)


def graph_config(*calls):
    layers = [
        {
            "class_name": "InputLayer",
            "name": "input_1",
            "config": {"batch_input_shape": [None, 10], "dtype": "float32", "name": "input_1"},
            "inbound_nodes": [],
        }
    ]
    for name, below in calls:
        node = {"class_name": "Dense", "name": name, "config": {"units": 10, "name": name}}
        layers.append({**node, "inbound_nodes": [[[below, 0, 0, {}]]]})
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [[calls[-1][0], 0, 0]]}
    return {"name": "graph", "layers": layers, **ends}


def test_graphs_in_the_form_of_keras_2():
    for K in (keras, lf):
        model = K.Model.from_config(graph_config(("a", "input_1"), ("b", "a")))
        assert [layer.name for layer in model.layers] == ["input_1", "a", "b"]
        with pytest.raises(ValueError, match="either has loops or disconnected nodes"):
            K.Model.from_config(graph_config(("a", "b"), ("b", "a")))
        with pytest.raises(ValueError, match="Missing node: b"):
            K.Model.from_config(graph_config(("a", "b")))


def test_variables_from_initializers():
    def made(K):
        variables = (
            K.Variable("ones", shape=(2, 3)),
            K.Variable(initializer=K.initializers.Constant(2.0), shape=(2,), dtype="float32", name="q"),
            K.Variable(K.initializers.Zeros(), (2,), "int32", trainable=False),
            K.Variable(lambda shape, dtype: np.full(shape, 3, dtype), (4,), "float32"),
            K.Variable(np.ones(3, np.float32), trainable=False, name="a"),
        )
        return [
            (np.array(v.numpy() if K is lf else v.value.detach()).tolist(), str(v.dtype), v.trainable)
            for v in variables
        ]

    assert made(keras) == made(lf)
    for K in (keras, lf):
        with pytest.raises(ValueError, match="`shape` argument should be specified"):
            K.Variable("ones")
