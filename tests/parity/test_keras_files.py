# SPDX-License-Identifier: BSD-3-Clause
"""`.keras` files between lstmfast and the real Keras 3, both ways, and hostile ones."""

import io
import json
import zipfile

import numpy as np
import pytest
from peers import keras

import lstmfast as lf
from lstmfast import saving

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore:Layer 'flatten:UserWarning"
)


# ---- models, written once for both libraries (K is keras or lstmfast) --------------------------------------

RNG = np.random.default_rng(0)
SEQUENCES = RNG.normal(size=(12, 6, 3)).astype("float32")
SEQUENCES[3, 4:] = SEQUENCES[5, 2:] = 0
IDS = RNG.integers(1, 9, (12, 6))
IDS[2, 3:] = IDS[4, 5:] = 0
SIDE = RNG.normal(size=(12, 2)).astype("float32")


def lstm_stack(K):
    L = K.layers
    m = K.Sequential(
        [
            L.Input((6, 3)),
            L.Masking(),
            L.LSTM(5, return_sequences=True, dropout=0.1),
            L.Dropout(0.2),
            L.LSTM(4, recurrent_dropout=0.1),
            L.Dense(3),
            L.Activation("softmax"),
        ]
    )
    return m, SEQUENCES, np.arange(12) % 3, "sparse_categorical_crossentropy", ["accuracy"]


def text_classifier(K):
    L = K.layers
    m = K.Sequential(
        [
            L.Input((6,)),
            L.Embedding(9, 4, mask_zero=True),
            L.SimpleRNN(5, activation="relu", return_sequences=True),
            L.Flatten(),
            L.Dense(1, activation="sigmoid", kernel_regularizer="l2"),
        ]
    )
    return m, IDS, np.arange(12)[:, None] % 2, "binary_crossentropy", ["accuracy"]


def options_of_the_lstm(K):
    L = K.layers
    m = K.Sequential(
        [
            L.Input((6, 3)),
            L.LSTM(4, return_sequences=True, go_backwards=True, use_bias=False, activation="relu"),
            L.LSTM(3, unit_forget_bias=False, recurrent_activation="hard_sigmoid", bias_initializer="ones"),
            L.Dense(1),
        ]
    )
    return m, SEQUENCES, SIDE[:, :1], "mse", ["mae"]


def functional(K):
    """Shared layers, states, masks, several inputs, branches whose Dense layers Keras orders by depth."""
    L = K.layers
    ids, side = L.Input((6,), name="ids"), L.Input((2,), name="side")
    table = L.Embedding(9, 4, mask_zero=True)
    y, h, c = L.LSTM(5, return_state=True)(table(ids))
    z = L.LSTM(5)(L.Embedding(9, 4)(ids), initial_state=[h, c])
    flat = L.Dense(4, name="zzz")(side)
    deep = L.Dense(4, name="aaa")(L.Dense(4, activation="tanh")(side))
    joined = L.Concatenate()([y, z, flat, deep])
    m = K.Model([ids, side], L.Dense(3, activation="softmax")(L.Dropout(0.1)(joined)))
    return m, [IDS, SIDE], np.arange(12) % 3, "sparse_categorical_crossentropy", ["accuracy"]


def masked_branches(K):
    L = K.layers
    a, b = L.Input((6, 3)), L.Input((6, 3))
    masked, plain = L.LSTM(4)(L.Masking()(a)), L.LSTM(4)(L.Dropout(0.1)(b))
    m = K.Model([a, b], L.Dense(2)(L.Concatenate()([plain, masked])))
    return m, [SEQUENCES, SEQUENCES[::-1].copy()], SIDE, "mse", None


MODELS = [lstm_stack, text_classifier, options_of_the_lstm, functional, masked_branches]
OPTIMIZERS = ["adam", "sgd", "rmsprop"]


def train(K, make, optimizer="adam", epochs=2):
    K.utils.set_random_seed(0)
    model, x, y, loss, metrics = make(K)
    model.compile(optimizer, loss, metrics=metrics)
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0)
    return model, x, y


def assert_close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def optimizer_state(model):
    return [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in model.optimizer.variables]


# ---- both ways ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
def test_lstmfast_opens_what_keras_saves(tmp_path, make):
    model, x, _ = train(keras, make)
    model.save(tmp_path / "m.keras")
    ours = saving.load_model(tmp_path / "m.keras")
    assert_close(ours.predict(x, verbose=0), model.predict(x, verbose=0))
    assert ours.count_params() == model.count_params()


@pytest.mark.parametrize("make", MODELS)
def test_keras_opens_what_lstmfast_saves(tmp_path, make):
    model, x, y = train(lf, make)
    model.save(tmp_path / "m.keras")
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    assert_close(theirs.predict(x, verbose=0), model.predict(x, verbose=0))
    ours, keras_result = model.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0)
    assert_close(np.ravel(ours), np.ravel(keras_result))


@pytest.mark.parametrize("make", MODELS)
def test_lstmfast_opens_its_own(tmp_path, make):
    model, x, _ = train(lf, make)
    model.save(tmp_path / "m.keras")
    loaded = saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for a, b in zip(optimizer_state(model), optimizer_state(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_training_goes_on_in_the_other_library(tmp_path, source, optimizer):
    """Optimizer state crosses over: the next steps are the same in both."""
    first, second = (keras, lf) if source == "keras" else (lf, keras)
    model, x, y = train(first, options_of_the_lstm, optimizer)
    model.save(tmp_path / "m.keras")
    other = second.saving.load_model(tmp_path / "m.keras")
    for a, b in zip(optimizer_state(model), optimizer_state(other), strict=True):
        assert_close(a, b)
    for m in (model, other):
        m.fit(x, y, batch_size=12, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "metrics"),
    [
        (keras.losses.MeanSquaredError(), [keras.metrics.RootMeanSquaredError()]),
        (keras.losses.mean_squared_error, [keras.metrics.mean_absolute_error]),
        (keras.losses.Huber(), ["mae", keras.metrics.MeanSquaredError(name="second")]),
    ],
)
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, clipnorm=1.0),
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10), clipvalue=0.1),
    ],
)
def test_objects_in_the_compile_state(tmp_path, loss, metrics, optimizer):
    model, x, y, *_ = options_of_the_lstm(keras)
    model.compile(optimizer(), loss, metrics=metrics)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    ours = saving.load_model(tmp_path / "m.keras")
    assert_close(ours.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0))
    for m in (model, ours):
        m.fit(x, y, batch_size=12, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    ours.save(tmp_path / "n.keras")
    again = keras.saving.load_model(tmp_path / "n.keras")
    assert_close(again.evaluate(x, y, verbose=0), ours.evaluate(x, y, verbose=0))


def test_uncompiled_and_unbuilt(tmp_path):
    for K, other in ((keras, lf), (lf, keras)):
        model, x, *_ = lstm_stack(K)
        model.save(tmp_path / "m.keras")
        loaded = other.saving.load_model(tmp_path / "m.keras")
        assert not loaded.compiled
        assert_close(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        model = K.Sequential([K.layers.LSTM(3), K.layers.Dense(2)])
        y = np.asarray(model(SEQUENCES) if K is lf else model.predict(SEQUENCES, verbose=0))
        model.save(tmp_path / "b.keras")
        assert_close(other.saving.load_model(tmp_path / "b.keras").predict(SEQUENCES, verbose=0), y)


def test_mask_beside_an_initial_state(tmp_path):
    L = keras.layers
    ids = L.Input((6,))
    table = L.Embedding(9, 4, mask_zero=True)
    _, h, c = L.LSTM(5, return_state=True)(table(ids))
    model = keras.Model(ids, L.LSTM(5)(table(ids), initial_state=[h, c]))
    model.save(tmp_path / "m.keras")
    ours = saving.load_model(tmp_path / "m.keras")
    assert_close(ours.predict(IDS, verbose=0), model.predict(IDS, verbose=0))


def test_stateful_layer(tmp_path):
    model = keras.Sequential([keras.layers.Input(batch_shape=(2, 6, 3)), keras.layers.LSTM(4, stateful=True)])
    model.save(tmp_path / "m.keras")
    ours = saving.load_model(tmp_path / "m.keras")
    for _ in range(2):
        assert_close(
            ours.predict(SEQUENCES[:2], batch_size=2, verbose=0),
            model.predict(SEQUENCES[:2], batch_size=2, verbose=0),
        )


# ---- what lstmfast does not have ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda L: L.Lambda(lambda x: x), "Lambda"),
        (lambda L: L.RandomBrightness(0.1), "'RandomBrightness'"),
        (lambda L: L.LSTM(3, dtype="mixed_bfloat16"), "mixed_bfloat16"),
        (lambda L: L.Dense(3, dtype="float64"), "float64"),
    ],
)
def test_unsupported_layers_are_named(tmp_path, make, message):
    keras.Sequential([keras.layers.Input((6, 3)), make(keras.layers)]).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=message):
        saving.load_model(tmp_path / "m.keras")


def test_custom_layer_from_keras(tmp_path):
    @keras.saving.register_keras_serializable("parity")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    class OurTwice(lf.layers.Layer):
        def forward(self, x, call):
            return 2 * x

        def backward(self, dy, call):
            return 2 * dy

    model = keras.Sequential([keras.layers.Input((3,)), Twice(), keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="parity>Twice"):
        saving.load_model(tmp_path / "m.keras")
    ours = saving.load_model(tmp_path / "m.keras", custom_objects={"parity>Twice": OurTwice})
    assert_close(ours(SEQUENCES[:, 0]), model.predict(SEQUENCES[:, 0], verbose=0))


# ---- hostile archives --------------------------------------------------------------------------------------


@pytest.fixture
def members(tmp_path):
    """The parts of a good file from Keras."""
    model, *_ = lstm_stack(keras)
    model.save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def change_weights(members, change):
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return {**members, "model.weights.h5": buffer.getvalue()}


def change_config(members, change):
    config = json.loads(members["config.json"])
    change(config)
    return {**members, "config.json": json.dumps(config)}


KERNEL = "layers/lstm/cell/vars/0"


def refused(path, message):
    with pytest.raises(ValueError, match=message) as caught:
        saving.load_model(path)
    assert str(path) in str(caught.value)


def test_good_members_load(tmp_path, members):
    assert saving.load_model(write(tmp_path / "m.keras", members)).count_params() > 0


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_missing_member(tmp_path, members, name):
    del members[name]
    refused(write(tmp_path / "m", members), name)


def test_external_link(tmp_path, members):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["0"] = np.zeros((3, 20), "f4")

    def change(file):
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink(str(secret), "/0")

    refused(write(tmp_path / "m", change_weights(members, change)), "ExternalLink")


def test_virtual_data_set(tmp_path, members):
    def change(file):
        shape = file[KERNEL].shape
        del file[KERNEL]
        layout = h5py.VirtualLayout(shape, "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "0", shape)
        file["layers/lstm/cell/vars"].create_virtual_dataset("0", layout)

    refused(write(tmp_path / "m", change_weights(members, change)), "virtual")


def test_huge_chunked_array(tmp_path, members):
    def change(file):
        del file[KERNEL]
        file.create_dataset(KERNEL, (2**30, 2**30), "f4", chunks=(2**15, 2**14), compression="gzip")

    refused(write(tmp_path / "m", change_weights(members, change)), "filters|chunked")


def test_wrong_shape_and_missing_weight(tmp_path, members):
    def transpose(file):
        value = file[KERNEL][()]
        del file[KERNEL]
        file[KERNEL] = value.T.copy()

    def remove(file):
        del file["layers/lstm/cell/vars/2"]

    refused(write(tmp_path / "m", change_weights(members, transpose)), "has shape")
    refused(write(tmp_path / "m", change_weights(members, remove)), "expected 3 variables, but received 2")


def test_huge_units(tmp_path, members):
    def change(config):
        config["config"]["layers"][2]["config"]["units"] = 10**7

    refused(write(tmp_path / "m", change_config(members, change)), "more than the")


@pytest.mark.parametrize(
    ("module", "registered"),
    [("os", None), ("keras.layers", "evil>LSTM"), ("evil", "LSTM"), ("antigravity", None)],
)
def test_module_and_registered_name_import_nothing(tmp_path, members, module, registered):
    import sys

    def change(config):
        config["config"]["layers"][2].update(module=module, registered_name=registered)

    refused(write(tmp_path / "m", change_config(members, change)), "Could not locate class 'LSTM'")
    assert "antigravity" not in sys.modules and "evil" not in sys.modules


def test_zip_bomb(tmp_path, members):
    path = write(tmp_path / "m", members)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/bomb", bytes(30 << 20))
    refused(path, "bomb")


def test_path_trick(tmp_path, members):
    refused(write(tmp_path / "m", {**members, "../../evil": "x"}), "unacceptable name")


def test_optimizer_of_another_kind_starts_afresh(tmp_path):
    model, *_ = train(keras, lstm_stack)
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def change(file):
        del file["optimizer/vars"][str(len(file["optimizer/vars"]) - 1)]

    path = write(tmp_path / "n", change_weights(members, change))
    with pytest.warns(UserWarning, match="starts afresh"):
        saving.load_model(path)


def test_without_h5py(tmp_path, monkeypatch):
    import sys

    model, *_ = lstm_stack(lf)
    model.save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    for action in (lambda: model.save(tmp_path / "n.keras"), lambda: saving.load_model(tmp_path / "m.keras")):
        with pytest.raises(ImportError, match=r"lstmfast\[keras\]"):
            action()
    assert not (tmp_path / "n.keras").exists()


@pytest.mark.parametrize("call", [1, 2])
def test_a_functional_model_whose_output_is_that_of_a_model_inside(tmp_path, call):
    """Keras counts calls of such models from 1 in ``output_layers``, from 0 elsewhere."""

    def make(K):
        a = K.Input((6, 3))
        inner = K.Model(a, K.layers.LSTM(3, return_sequences=True)(a))
        b = K.Input((6, 3))
        first = inner(b)
        return K.Model(b, [first, inner(first)][call - 1])

    theirs, ours = make(keras), make(lf)
    assert ours.get_config()["output_layers"][1:] == theirs.get_config()["output_layers"][1:]
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    loaded, back = (
        lf.saving.load_model(tmp_path / "theirs.keras"),
        keras.saving.load_model(tmp_path / "ours.keras"),
    )
    np.testing.assert_allclose(loaded(SEQUENCES), theirs.predict(SEQUENCES, verbose=0), atol=1e-6)
    np.testing.assert_allclose(ours(SEQUENCES), back.predict(SEQUENCES, verbose=0), atol=1e-6)


def test_folders(tmp_path):
    for K, other in ((keras, lf), (lf, keras)):
        model, x, _ = train(K, lstm_stack)
        model.save(tmp_path / K.__name__, zipped=False)
        loaded = other.saving.load_model(tmp_path / K.__name__)
        assert_close(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
        with pytest.raises(ValueError, match="should not end in"):
            model.save(tmp_path / "m.keras", zipped=False)
    (tmp_path / "keras" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        saving.load_model(tmp_path / "keras")
    (tmp_path / "keras" / "config.json").unlink()
    with pytest.raises(ValueError, match="keras"):
        saving.load_model(tmp_path / "keras")
