# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `call`: how their graph is made, what they refuse, copies and files."""

import copy
import pickle

import numpy as np
import pytest

from lstmfast import Input, Model, Sequential, layers, models, saving

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)


class Small(Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.lstm, self.dense = layers.LSTM(units), layers.Dense(2)

    def call(self, x):
        return self.dense(self.lstm(x))


class Flat(Model):
    """Its weights depend on the number of steps."""

    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(2)

    def call(self, x):
        return self.dense(self.flatten(x))


def test_built_by_data_by_build_and_as_a_layer():
    by_data, by_build = Small(), Small()
    assert not by_data.built and by_data.layers == [by_data.lstm, by_data.dense] and by_data.weights == []
    by_data(X)
    by_build.build((None, None, 3))
    assert by_data.built and by_build.built
    by_build.set_weights(by_data.get_weights())
    assert np.array_equal(by_data(X), by_build(X))
    expected = by_data.dense(by_data.lstm(X))
    assert np.array_equal(by_data(X), expected)
    inner = Small()
    outer = Sequential([Input((5, 3)), inner, layers.Dense(1)])
    assert outer.output_shape == (None, 1) and inner.built
    outer.compile("sgd", "mse")
    before = [w.copy() for w in inner.get_weights()]
    outer.fit(X, np.ones((4, 1)), verbose=0)
    assert any(not np.array_equal(a, b) for a, b in zip(before, inner.get_weights(), strict=True))


def test_compiled_before_it_is_built():
    model = Small()
    model.compile("adam", "mse")
    assert sorted(model.fit(X, np.ones((4, 2)), verbose=0).history) == ["loss"]
    assert model.weights[0].path.startswith(f"{model.name}/")


def test_sizes_stay_open_where_call_does_not_need_them():
    model = Small()
    model(X)
    assert model(X[:, :2]).shape == (4, 2)
    flat = Flat()
    flat(X)
    with pytest.raises(
        ValueError, match=r"depends on the sizes of its input: it was built for \(None, 5, 3\)"
    ):
        flat(X[:, :4])
    assert flat(X[:2]).shape == (2, 2)


def test_what_call_must_not_do():
    class Makes(Model):
        def call(self, x):
            return layers.Dense(2)(x)

    class Leaves(Model):
        def call(self, x):
            return np.ones(3)

    for make, message in (
        (Makes, "no attribute"),
        (Leaves, "must return"),
    ):
        model = make()
        with pytest.raises(ValueError, match=message):
            model(X)
        assert not model.built and model.weights == []
    with pytest.raises(ValueError, match="has not been built"):
        Model().summary()


def test_training_goes_to_layers():
    class Noisy(Model):
        def __init__(self):
            super().__init__()
            self.dropout = layers.Dropout(0.5)

        def call(self, x, training=False):
            return self.dropout(x, training=training)

    model = Noisy()
    assert np.array_equal(model(X), X)
    assert (model(X, training=True) == 0).any()


def test_configuration_clone_copies_and_native_file(tmp_path):
    model = Small(4, name="mine")
    model(X)
    model.compile("adam", "mse")
    model.fit(X, np.ones((4, 2)), verbose=0)
    config = model.get_config()
    assert config["units"] == 4 and config["name"] == "mine" and "layers" not in config
    assert Small.from_config(config).get_config() == config
    assert isinstance(models.clone_model(model), Small)
    with pytest.raises(ValueError, match="clone_function"):
        models.clone_model(model, clone_function=lambda layer: layer)
    expected = model(X)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin(X), expected)
        twin.fit(X, np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = saving.load_model(tmp_path / "m.safetensors", custom_objects={"Small": Small})
    assert np.array_equal(loaded(X), expected)
    logs = [
        m.fit(X, np.ones((4, 2)), epochs=2, verbose=0, shuffle=False).history["loss"] for m in (model, loaded)
    ]
    assert logs[0] == logs[1]


def test_arguments_that_a_configuration_cannot_hold():
    class Holds(Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def call(self, x):
            return self.layer(x)

    with pytest.raises(NotImplementedError, match="must override `get_config\\(\\)`"):
        Holds(layers.Dense(1)).get_config()


def test_frozen_traced_and_printed(capsys):
    model = Small()
    model(X)
    assert np.array_equal(model.freeze()(X), model(X))
    assert model.trace(X)[f"{model.lstm.name}/h"].shape == (4, 5, 3)
    model.summary()
    printed = capsys.readouterr().out
    assert (
        "Connected to" not in printed
        and f"{model.lstm.name} (LSTM)" in printed
        and "Total params: 92" in printed
    )


def test_inputs_in_dicts_of_another_order():
    late, early = Input((2,), name="z"), Input((3,), name="a")
    model = Model(
        {"z": late, "a": early}, layers.Concatenate()([layers.Dense(1)(late), layers.Dense(1)(early)])
    )
    arrays = {"z": np.ones((2, 2), np.float32), "a": np.ones((2, 3), np.float32)}
    assert model(arrays).shape == (2, 2)
    with pytest.raises(ValueError, match="doesn't match the expected structure"):
        model([arrays["a"], arrays["z"]])
    with pytest.raises(ValueError, match="not optional"):
        model({"z": None, "a": arrays["a"]})


def test_operations_are_no_layers():
    a, b = Input((2,)), Input((2,))
    model = Model([a, b], layers.Dense(1)(a + b))
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "InputLayer", "Dense"]
    assert len(model.operations) == 4


def test_a_class_with_further_arguments_comes_back():
    class Scaled(Model):
        def __init__(self, *args, factor=1, **kwargs):
            super().__init__(*args, **kwargs)
            self.factor = factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    x = Input((3,))
    model = Scaled(inputs=x, outputs=layers.Dense(5)(x), factor=3)
    assert Scaled.from_config(model.get_config()).factor == 3


class Fixed(Model):
    """A graph made in `__init__`; its configuration is not the graph's."""

    def __init__(self, units=3):
        x = Input((5, 3))
        super().__init__(x, layers.Dense(2)(layers.LSTM(units)(x)))
        self.units = units

    def get_config(self):
        return {"units": self.units}


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_a_graph_made_in_init_comes_back(tmp_path, ending):
    if ending == ".keras":
        pytest.importorskip("h5py")
    model = Fixed(4)
    model.save(tmp_path / f"m{ending}")
    loaded = saving.load_model(tmp_path / f"m{ending}", custom_objects={"Fixed": Fixed})
    assert loaded.units == 4 and np.array_equal(loaded(X), model(X))


def test_a_layer_as_activation_comes_back():
    layer = layers.Dense(2, activation=layers.ReLU(max_value=0.5, name="mine"))
    twin = layers.deserialize(layers.serialize(layer))
    assert isinstance(twin.activation, layers.ReLU) and twin.activation.name == "mine"


def test_a_state_tree_needs_names_of_their_own():
    class Twice(Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(2, name="same"), layers.Dense(2, name="same")

        def call(self, x):
            return self.b(self.a(x))

    model = Twice()
    assert model(np.ones((1, 3))).shape == (1, 2)
    with pytest.raises(ValueError, match="found twice"):
        model.get_state_tree()


class Nested(Model):
    """Layers in containers in containers, one that holds itself, and a layer under two names."""

    def __init__(self):
        super().__init__()
        self.z_shared = layers.Dense(3)
        self.a_shared = self.z_shared
        self.blocks = {"p": [layers.Dense(3), (layers.Dense(3), [layers.Dense(3)])], "q": [layers.Dense(3)]}
        self.blocks["itself"] = self.blocks

    def call(self, x):
        first, (second, (third,)) = self.blocks["p"]
        for layer in (self.z_shared, first, second, third, self.blocks["q"][0]):
            x = layer(x)
        return x


@pytest.mark.parametrize("ending", [".safetensors", ".keras", ".weights.h5"])
def test_files_hold_layers_in_containers_in_containers(tmp_path, ending):
    if ending != ".safetensors":
        pytest.importorskip("h5py")
    model, x = Nested(), np.ones((2, 3), np.float32)
    expected = model(x)
    assert len(model.weights) == 10
    if ending == ".weights.h5":
        model.save_weights(tmp_path / f"m{ending}")
        loaded = Nested()
        with pytest.raises(ValueError, match="loading weights into a model that has not yet been built"):
            loaded.load_weights(tmp_path / f"m{ending}")
        loaded(x)
        loaded.load_weights(tmp_path / f"m{ending}")
    else:
        model.save(tmp_path / f"m{ending}")
        loaded = saving.load_model(tmp_path / f"m{ending}", custom_objects={"Nested": Nested})
    assert np.array_equal(loaded(x), expected)


def test_a_compile_of_its_own_is_not_called_by_loading(tmp_path):
    class Compiles(Small):
        def compile(self, first, second):
            super().compile(first, "mse")
            self.second = second

    model = Compiles()
    model(X)
    model.compile("sgd", "adam")
    model.save(tmp_path / "m.safetensors")
    with pytest.warns(UserWarning, match="`compile\\(\\)` was not called"):
        loaded = saving.load_model(tmp_path / "m.safetensors", custom_objects={"Compiles": Compiles})
    assert not loaded.compiled and np.array_equal(loaded(X), model(X))
