# SPDX-License-Identifier: BSD-3-Clause
"""What a program prints, warns of and names by itself, by both libraries."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
X = np.random.default_rng(0).normal(size=(8, 5, 3)).astype(np.float32)
Y = X.sum(axis=(1, 2))[:, None]


def small_model(library: Any) -> Any:
    library.utils.clear_session()
    layers = library.layers
    model = library.Sequential([library.Input((5, 3)), layers.GRU(4), layers.Dense(1)])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape, scale=0.3).astype(np.float32) for w in model.get_weights()])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def without_times(text: str) -> str:
    return re.sub(r"\d+(s|ms|us)\b", "-", text)


@pytest.mark.parametrize("epochs", [1, 2])
def test_lines_of_verbose_2(epochs, capsys):
    shown = []
    for library in (keras, lf):
        model = small_model(library)
        stop = library.callbacks.EarlyStopping("loss", verbose=1, min_delta=1e9, patience=epochs - 1)
        model.fit(X, Y, 2, epochs, verbose=2, callbacks=[stop], shuffle=False, validation_data=(X, Y))
        model.evaluate(X, Y, verbose=2)
        model.predict(X, batch_size=3, verbose=2)
        shown.append(without_times(capsys.readouterr().out))
    assert shown[0] == shown[1]


def test_what_callbacks_add_to_the_logs_of_an_epoch():
    seen = []
    for library in (keras, lf):
        model = small_model(library)

        class Ends(library.callbacks.Callback):  # type: ignore[name-defined, misc]
            def on_train_end(self, logs=None):
                seen.append(sorted(logs))

        schedule = library.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[schedule, Ends()])
        seen.append(sorted(model.history.history))
    assert seen[:2] == seen[2:]


def pool(library: Any) -> Any:
    """A layer of one's own that composes others."""

    class Pool(library.layers.Layer):  # type: ignore[name-defined, misc]
        def build(self, input_shape):
            self.dense = library.layers.Dense(1)
            self.dense.build(input_shape)

        def call(self, x):
            return library.ops.sum(x * library.ops.softmax(self.dense(x), axis=1), axis=1)

    return Pool()


def test_a_layer_that_is_traced_uses_no_names():
    names = []
    for library in (keras, lf):
        library.utils.clear_session()
        layers = library.layers
        model = library.Sequential([library.Input((5, 3)), pool(library), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, verbose=0)
        inputs = library.Input((5, 3))
        rest = library.Model(inputs, layers.Dense(1)(layers.LSTM(2)(inputs)))
        names.append([layer.name for layer in rest.layers])
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("log", 0), ("rsqrt", 0), ("sqrt", -1), ("exp", 1000), ("reciprocal", 0), ("arccos", 2), ("log1p", -2)],
)
def test_infinity_and_nan_are_results(name, value):
    x = np.full((2, 3), value, np.float32)
    inputs = lf.Input((3,))
    model = lf.Model(inputs, getattr(lf.ops, name)(inputs))
    model.compile(loss="mse")
    expected = keras.ops.convert_to_numpy(getattr(keras.ops, name)(torch.from_numpy(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(getattr(lf.ops, name)(x), expected)
        np.testing.assert_array_equal(model(x), expected)
        y, tape = model.forward(x, training=True)
        tape.backward(np.ones_like(y))


def test_data_that_end_early_are_a_user_warning():
    for library in (keras, lf):
        batches = ((X[:4], Y[:4]) for _ in range(2))
        with pytest.warns(UserWarning, match="ran out of data"):
            small_model(library).fit(batches, steps_per_epoch=3, epochs=1, verbose=0, shuffle=False)


def test_names_at_the_top():
    for name in ("Initializer", "InputSpec", "Loss", "Metric", "Optimizer", "Regularizer"):
        assert getattr(lf, name).__name__ == getattr(keras, name).__name__ == name
    assert lf.version() == lf.__version__


def test_settings_of_the_program():
    settings = keras.config
    for name, default in (
        ("epsilon", settings.epsilon()),
        ("floatx", settings.floatx()),
        ("image_data_format", settings.image_data_format()),
    ):
        assert getattr(lf.config, name)() == default
        getattr(lf.config, f"set_{name}")(default)
        with pytest.raises(ValueError, match="Received: "):
            getattr(lf.config, f"set_{name}")("channels_first")
    lf.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="policy must be 'float32'"):
        lf.config.set_dtype_policy("mixed_float16")
    assert settings.is_interactive_logging_enabled() == lf.config.is_interactive_logging_enabled()
    assert all(hasattr(settings, name) for name in lf.config.__all__)


def test_weights_without_a_part_in_the_loss():
    told = []
    for library in (keras, lf):
        library.utils.clear_session()
        layers, ops = library.layers, library.ops
        inputs = library.Input((5, 3))
        h = layers.GRU(4, name="cut", kernel_regularizer="l2")(inputs)
        outputs = layers.Dense(1, name="top")(ops.one_hot(ops.argmax(h, axis=-1), 4))
        model = library.Model(inputs, outputs)
        model.compile("sgd", "mse")
        with pytest.warns(UserWarning, match="Gradients do not exist") as caught:
            model.fit(X, Y, batch_size=4, verbose=0)
        told.append(str(caught[0].message))
    assert told[0] == told[1]
