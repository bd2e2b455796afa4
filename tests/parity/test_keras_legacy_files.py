# SPDX-License-Identifier: BSD-3-Clause
"""Keras's older files of whole models, ``.h5``, between lstmfast and the real Keras 3."""

import numpy as np
import pytest
from file_data import IDS, SIDE, X, Y, assert_close, predictions_agree
from peers import keras

import lstmfast as lf
from lstmfast import saving

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore:Layer 'flatten:UserWarning"
)


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


def trained(K, make, optimizer="adam"):
    K.utils.set_random_seed(0)
    model, x = make(K)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, Y, batch_size=4, verbose=0)
    return model, x


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
