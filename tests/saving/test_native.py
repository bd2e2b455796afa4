# SPDX-License-Identifier: BSD-3-Clause
"""Models in the native format: everything comes back, and files that lie are refused without harm."""

import json
import tracemalloc

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers, saving
from lstmfast.layers.properties import layers_inside
from lstmfast.saving import safetensors


def small_model(compiled=True, trained=True):
    lf.utils.set_random_seed(1)
    model = lf.Sequential(
        [
            layers.Input((None, 3)),
            layers.Masking(),
            layers.LSTM(4, return_sequences=True, name="encoder"),
            layers.Dropout(0.2),
            layers.SimpleRNN(3),
            layers.Dense(2, activation="softmax", kernel_regularizer="l2", name="output"),
        ]
    )
    if compiled:
        model.compile(lf.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        if trained:
            model.fit(*data(), epochs=2, verbose=0)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 6, 3)).astype(np.float32), rng.integers(0, 2, 20)


def rewrite(source, target, change_metadata=None, change_arrays=None, change_model=None):
    arrays, metadata = safetensors.load_file(source)
    arrays = {name: np.array(a) for name, a in arrays.items()}
    if change_model is not None:
        config = json.loads(metadata["model"])
        metadata["model"] = json.dumps(change_model(config) or config)
    if change_metadata is not None:
        change_metadata(metadata)
    if change_arrays is not None:
        change_arrays(arrays)
    safetensors.save_file(arrays, target, metadata)
    return target


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    small_model().save(path)
    return path


def refused(path, message, **options):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            saving.load_model(path, **options)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


# ---- round trips -------------------------------------------------------------------------------------------


def test_predictions_and_configuration_survive(tmp_path):
    model = small_model()
    model.save(tmp_path / "m.safetensors")
    loaded = saving.load_model(tmp_path / "m.safetensors")
    x, _ = data()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.get_config() == model.get_config()
    assert loaded.name == model.name


def test_training_goes_on_as_if_never_saved(saved):
    model, loaded = small_model(), saving.load_model(saved)
    for m in (model, loaded):
        lf.utils.set_random_seed(5)
        m.fit(*data(), epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(np.asarray(loaded.optimizer.iterations)) == 4


def seeded_model(zoneout=0.2, seeded=True):
    lf.utils.set_random_seed(1)

    def seed(n):
        return n if seeded else None

    model = lf.Sequential(
        [
            layers.Input((None, 3)),
            layers.GaussianNoise(0.1, seed=seed(1)),
            layers.LSTM(4, dropout=0.2, recurrent_dropout=0.2, return_sequences=True, seed=seed(2)),
            lf.Sequential(
                [layers.SpatialDropout1D(0.2, seed=seed(3)), layers.GRU(3, zoneout=zoneout, seed=seed(4))]
            ),
            layers.Dropout(0.2, seed=seed(5)),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(lf.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=1, verbose=0)
    return model


@pytest.mark.parametrize("name", ["m", "m.keras", "m.h5"])
@pytest.mark.parametrize("seeded", [True, False])
def test_random_numbers_go_on(tmp_path, name, seeded):
    """As if the training had not been interrupted, whether the layers were given seeds or drew theirs."""
    if name != "m":
        pytest.importorskip("h5py")
    model = seeded_model(zoneout=0.2 if name == "m" else 0.0, seeded=seeded)
    model.save(tmp_path / name)
    loaded = saving.load_model(tmp_path / name)
    anew = saving.load_model(tmp_path / name)
    for layer in layers_inside(anew):
        if hasattr(layer, "seed_generator"):
            layer.seed_generator.state.assign([int(layer.seed_generator.state.numpy()[0]), 0])
    for m in (model, loaded, anew):
        m.fit(*data(), epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(model.get_weights(), anew.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["m.weights.h5", "m.weights.json"])
def test_random_numbers_go_on_with_weights_alone(tmp_path, name):
    pytest.importorskip("h5py")
    model, other = seeded_model(zoneout=0.0), seeded_model(zoneout=0.0)
    other.fit(*data(), epochs=2, verbose=0)
    model.save_weights(tmp_path / name, max_shard_size=1 if name.endswith("json") else None)
    other.load_weights(tmp_path / name)
    for m in (model, other):
        m.fit(*data(), epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_from_before_the_states_were_arrays(tmp_path):
    model = seeded_model()
    model.save(tmp_path / "m")
    tensors, metadata = safetensors.load_file(tmp_path / "m")
    old = {name: array for name, array in tensors.items() if not name.startswith("seed_generators/")}
    safetensors.save_file(old, tmp_path / "old", {**metadata, "generators": '[{"bit_generator": "PCG64"}]'})
    np.testing.assert_array_equal(saving.load_model(tmp_path / "old")(data()[0]), model(data()[0]))


@pytest.mark.parametrize(
    "states",
    [
        {"seed_generators/0": np.zeros(2, np.uint32)},
        {f"seed_generators/{n}": np.zeros(3, np.uint32) for n in range(5)},
        {f"seed_generators/{n}": np.zeros(2, np.float32) for n in range(5)},
        {f"seed_generators/{n + 1}": np.zeros(2, np.uint32) for n in range(5)},
        {f"seed_generators/{n}": np.zeros(2, np.uint32) for n in range(6)},
    ],
)
def test_damaged_random_numbers(tmp_path, states):
    seeded_model().save(tmp_path / "m")
    tensors, metadata = safetensors.load_file(tmp_path / "m")
    kept = {name: array for name, array in tensors.items() if not name.startswith("seed_generators/")}
    safetensors.save_file({**kept, **states}, tmp_path / "n", metadata)
    refused(tmp_path / "n", "random numbers")


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_every_optimizer_comes_back(tmp_path, optimizer):
    model = small_model(compiled=False)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(*data(), epochs=1, verbose=0)
    model.save(tmp_path / "m")
    loaded = saving.load_model(tmp_path / "m")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


def test_compiled_but_not_trained(tmp_path):
    small_model(trained=False).save(tmp_path / "m")
    saving.load_model(tmp_path / "m").fit(*data(), epochs=1, verbose=0)


def test_not_compiled(tmp_path):
    small_model(compiled=False).save(tmp_path / "m")
    assert not saving.load_model(tmp_path / "m").compiled


def test_compile_false(saved):
    assert not saving.load_model(saved, compile=False).compiled


def test_functional_model_with_shared_layers_and_states(tmp_path):
    x, side = layers.Input((5, 3), name="seq"), layers.Input((2,), name="side")
    rnn = layers.SimpleRNN(3, return_state=True)
    y, state = rnn(layers.Masking()(x))
    y2, _ = rnn(x, initial_state=state)
    joined = layers.Concatenate()([y, y2, side])
    model = lf.Model([x, side], [layers.Dense(2)(joined), layers.Flatten()(joined)])
    model.save(tmp_path / "m")
    loaded = saving.load_model(tmp_path / "m")
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(4, 5, 3)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)]
    inputs[0][1, 3:] = 0
    for a, b in zip(model.predict(inputs, verbose=0), loaded.predict(inputs, verbose=0), strict=True):
        np.testing.assert_array_equal(a, b)


def test_embedding_model(tmp_path):
    model = lf.Sequential(
        [
            layers.Input((4,)),
            layers.Embedding(9, 3, mask_zero=True),
            layers.LSTM(3),
            layers.Activation("relu"),
        ]
    )
    model.save(tmp_path / "m")
    ids = np.array([[1, 2, 0, 0], [3, 4, 5, 8]])
    np.testing.assert_array_equal(saving.load_model(tmp_path / "m")(ids), model(ids))


def test_names_of_the_arrays(saved):
    names = set(safetensors.load_file(saved)[0])
    assert {f"layers/encoder/{n}" for n in ("kernel", "recurrent_kernel", "bias")} <= names
    assert {"layers/output/kernel", "optimizer/0/iteration", "optimizer/1/learning_rate"} <= names
    assert sum(name.startswith("optimizer/") for name in names) == 2 + 2 * 8


def test_unbuilt_model(tmp_path):
    model = lf.Sequential([layers.LSTM(2), layers.Dense(1)])
    model.save(tmp_path / "m")
    loaded = saving.load_model(tmp_path / "m")
    assert not loaded.built and [type(layer).__name__ for layer in loaded.layers] == ["LSTM", "Dense"]


def test_model_built_by_its_first_call(tmp_path):
    model = lf.Sequential([layers.LSTM(2), layers.Dense(1)])
    x = np.ones((2, 3, 4), np.float32)
    y = model(x)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(saving.load_model(tmp_path / "m")(x), y)


class Scale(layers.Layer):
    """A user's own layer with a weight."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")
        super().build(input_shape)

    def forward(self, x, call):
        return x * self.gain.value * np.float32(self.factor)

    def backward(self, dy, call):
        return dy * self.gain.value * np.float32(self.factor)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def custom_model():
    model = lf.Sequential([layers.Input((3,)), Scale(3.0), layers.Dense(1)])
    model.layers[0].gain.assign([1.0, 2.0, 3.0])
    return model


def test_custom_layer_needs_custom_objects(tmp_path):
    model = custom_model()
    model.save(tmp_path / "m")
    refused(tmp_path / "m", r"Could not locate class 'Scale'.*custom_objects")
    loaded = saving.load_model(tmp_path / "m", custom_objects={"Scale": Scale})
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_registered_layer(tmp_path):
    registered = saving.register_keras_serializable("tests")(type("Registered", (Scale,), {}))
    try:
        model = lf.Sequential([layers.Input((3,)), registered(4.0)])
        model.save(tmp_path / "m")
        assert isinstance(saving.load_model(tmp_path / "m").layers[0], registered)
    finally:
        del saving.get_custom_objects()["tests>Registered"]
    refused(tmp_path / "m", "tests>Registered")


def test_custom_objects_may_hold_functions(tmp_path):
    def own_loss(y_true, y_pred):
        return float(np.mean((y_pred - y_true) ** 2)), 2 * (y_pred - y_true) / y_pred.size

    model = lf.Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile("sgd", own_loss)
    model.save(tmp_path / "m")
    refused(tmp_path / "m", "own_loss")
    loaded = saving.load_model(tmp_path / "m", custom_objects={"own_loss": own_loss})
    loaded.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)


# ---- saving: errors leave the old file ---------------------------------------------------------------------


def test_lambda_cannot_be_saved(tmp_path):
    model = lf.Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile("sgd", lambda y_true, y_pred: (0.0, 0 * y_pred))
    with pytest.raises(ValueError, match="lambda"):
        model.save(tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("name", ["m.pkl", "m.onnx"])
def test_unknown_ending(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.safetensors"):
        small_model(compiled=False).save(tmp_path / name)


def test_not_a_model(tmp_path):
    with pytest.raises(TypeError, match="model must be a Model"):
        saving.save_model(layers.Dense(1), tmp_path / "m")
    with pytest.raises(TypeError, match="filepath"):
        saving.load_model(3)


def test_overwrite_false(saved):
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="overwrite"):
        saving.save_model(small_model(), saved, overwrite=False)
    assert saved.read_bytes() == before


# ---- loading: content, damage, lies ------------------------------------------------------------------------


def test_content_counts_not_the_name(saved):
    other = saved.rename(saved.with_name("renamed.keras"))
    assert saving.load_model(other).count_params() == small_model().count_params()


@pytest.mark.parametrize("content", [b"", b"short", b"\x80\x04pickled" * 10, b"GIF89a" * 10])
def test_no_model_file(tmp_path, content):
    (tmp_path / "m").write_bytes(content)
    refused(tmp_path / "m", "not a model file")


def test_hdf5_file_is_named(tmp_path):
    (tmp_path / "m").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(tmp_path / "m", "HDF5 file")


def test_directory(tmp_path):
    refused(tmp_path, "directory")


def test_every_truncation_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    path = tmp_path / "cut"
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError):
            saving.load_model(path)


def test_arrays_without_a_model(tmp_path):
    safetensors.save_file({"x": np.zeros(3)}, tmp_path / "m")
    refused(tmp_path / "m", "no lstmfast model")


@pytest.mark.parametrize("version", ["2", "", "-1", "1.0", "9" * 5000, "x"])
def test_newer_or_odd_version(saved, tmp_path, version):
    refused(rewrite(saved, tmp_path / "m", lambda m: m.update(format_version=version)), "format version")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ("{", "not JSON"),
        ("[" * 10**5, "too deeply"),
        ('{"a":1,"a":2}', "twice"),
        ("{}", "expected a model"),
        ('{"class_name": 3, "config": {}}', "class_name must be a string"),
    ],
)
def test_broken_configuration(saved, tmp_path, text, message):
    refused(rewrite(saved, tmp_path / "m", lambda m: m.update(model=text)), message)


def test_missing_array(saved, tmp_path):
    def remove(arrays):
        del arrays[next(name for name in arrays if name.endswith("recurrent_kernel"))]

    refused(rewrite(saved, tmp_path / "m", change_arrays=remove), "missing|more than")


def test_surplus_array(saved, tmp_path):
    refused(
        rewrite(saved, tmp_path / "m", change_arrays=lambda a: a.update({"layers/x/y": np.zeros(2)})),
        "not expected",
    )


def test_wrong_shape(saved, tmp_path):
    def transpose(arrays):
        arrays["layers/output/kernel"] = arrays["layers/output/kernel"].T.copy()

    refused(rewrite(saved, tmp_path / "m", change_arrays=transpose), "has shape")


def test_wrong_dtype(saved, tmp_path):
    def integers(arrays):
        name = next(name for name in arrays if name.endswith("/bias"))
        arrays[name] = arrays[name].astype("i4")

    refused(rewrite(saved, tmp_path / "m", change_arrays=integers), "has dtype")


def test_optimizer_state_that_does_not_fit(saved, tmp_path):
    def remove(arrays):
        del arrays[next(name for name in arrays if name.startswith("optimizer/5"))]

    path = rewrite(saved, tmp_path / "m", change_arrays=remove)
    refused(path, "optimizer")
    saving.load_model(path, compile=False)


@pytest.mark.parametrize("units", [10**5, 10**9, 2**62])
def test_declared_size_beyond_the_file(saved, tmp_path, units):
    """A kilobyte that asks for terabytes: refused before anything of that size is allocated."""

    def enlarge(config):
        for layer in config["config"]["layers"]:
            if "units" in layer["config"]:
                layer["config"]["units"] = units

    refused(
        rewrite(saved, tmp_path / "m", change_model=enlarge),
        "more than the .* bytes of arrays|cannot be used|does not fit",
    )


@pytest.mark.parametrize("value", [-1, 0, "4", None, 2.5, [4], {"a": 1}])
def test_odd_units(saved, tmp_path, value):
    def change(config):
        config["config"]["layers"][2]["config"]["units"] = value

    refused(rewrite(saved, tmp_path / "m", change_model=change), "cannot be loaded")


@pytest.mark.parametrize(
    ("layer", "arguments"),
    [
        ("Masking", {}),
        ("Dropout", {"rate": 0.5}),
        ("Activation", {"activation": "relu"}),
        ("Flatten", {}),
        ("Concatenate", {}),
        ("LSTM", {"units": 1, "stateful": True}),
        ("SimpleRNN", {"units": 1, "stateful": True}),
        ("Dense", {"units": 1}),
        ("Add", {}),
        ("AveragePooling1D", {"pool_size": 2}),
        ("Conv1D", {"filters": 1, "kernel_size": 1}),
        ("Conv1D", {"filters": 1, "kernel_size": 10**9}),
        ("AdaptiveMaxPooling1D", {"output_size": 10**9}),
        ("Conv1DTranspose", {"filters": 1, "kernel_size": 1, "strides": 10**9}),
        ("DepthwiseConv1D", {"kernel_size": 10**9}),
        ("SeparableConv1D", {"filters": 1, "kernel_size": 1}),
        ("Cropping1D", {}),
        ("GlobalAveragePooling1D", {}),
        ("Lambda", {"function": {"class_name": "function", "config": "relu", "module": "builtins"}}),
        ("Permute", {"dims": [2, 1]}),
        ("PReLU", {}),
        ("Reshape", {"target_shape": [-1]}),
        ("Softmax", {}),
        ("SpatialDropout1D", {"rate": 0.5}),
        ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"units": 1}}}),
        ("UpSampling1D", {"size": 10**9}),
        ("ZeroPadding1D", {"padding": 10**9}),
    ],
)
def test_declared_input_beyond_the_file(tmp_path, layer, arguments):
    """Input shapes of terabytes, and states for billions of rows, allocate nothing while a file is read."""
    layers = [
        {"class_name": "InputLayer", "config": {"batch_shape": [10**10, 10**10, 3]}},
        {"class_name": layer, "config": {"name": "x", **arguments}},
    ]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    metadata = {"format": "lstmfast", "format_version": "1", "model": json.dumps(config)}
    safetensors.save_file({}, tmp_path / "m", metadata)
    tracemalloc.start()
    try:
        saving.load_model(tmp_path / "m")
    except ValueError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10e6


def test_optimizer_state_under_names_without_those_of_models(tmp_path):
    """Versions before the paths of a Sequential's weights began with its name wrote the slots' names without it."""
    x, y = np.ones((4, 5, 3), np.float32), np.ones((4, 1), np.float32)
    model = lf.Sequential([layers.LSTM(4), layers.Dense(1)], name="stack")
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "new.safetensors")
    arrays, metadata = safetensors.load_file(tmp_path / "new.safetensors")
    older = {name.replace("/stack_", "/"): array for name, array in arrays.items()}
    assert older.keys() != arrays.keys()
    safetensors.save_file(older, tmp_path / "old.safetensors", metadata)
    again = saving.load_model(tmp_path / "old.safetensors")
    for ours, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    mixed = {name.replace("kernel_momentum", "gain_momentum"): array for name, array in arrays.items()}
    safetensors.save_file(mixed, tmp_path / "mixed.safetensors", metadata)
    with pytest.raises(ValueError, match="does not fit the optimizer"):
        saving.load_model(tmp_path / "mixed.safetensors")
