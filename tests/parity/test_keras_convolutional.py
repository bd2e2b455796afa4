# SPDX-License-Identifier: BSD-3-Clause
"""Conv1D against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


@settings(max_examples=120, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_convolution(data, seed):
    rng = np.random.default_rng(seed)
    groups, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    options = {
        "filters": groups * data.draw(st.integers(1, 6)),
        "kernel_size": data.draw(st.integers(1, 5)),
        "strides": stride,
        "padding": data.draw(st.sampled_from(["valid", "same", "causal"])),
        "data_format": data.draw(st.sampled_from([None, "channels_first"])),
        "dilation_rate": data.draw(st.integers(1, 3)) if stride == 1 else 1,
        "groups": groups,
        # Not gelu: PyTorch's cancels where it is small, to 1e-7 of 1 in `1 + erf`.
        "activation": data.draw(st.sampled_from([None, "relu", "tanh", "silu", "mish"])),
        "use_bias": data.draw(st.booleans()),
    }
    reach = (options["kernel_size"] - 1) * options["dilation_rate"] + 1
    time = data.draw(st.integers(reach if options["padding"] == "valid" else 1, 16))
    channels = groups * data.draw(st.integers(1, 4))
    shape = (data.draw(st.integers(1, 3)), time, channels)
    if options["data_format"]:
        shape = (shape[0], channels, time)
    compare(lambda k: k.layers.Conv1D(**options), floats(rng, *shape), rng, least=0.1)
    same_configuration(lambda k: k.layers.Conv1D(**options, name="a"))


def test_softmax(rng):
    compare(lambda k: k.layers.Conv1D(4, 2, activation="softmax"), floats(rng, 2, 6, 3), rng, least=0.1)


def test_configuration():
    same_configuration(
        lambda k: k.layers.Convolution1D(
            3, (2,), name="a", kernel_regularizer="l2", bias_initializer="ones", kernel_constraint="non_neg",
            activity_regularizer="l1", kernel_initializer="he_normal", trainable=False,
        )
    )  # fmt: skip


def test_initial_kernel_has_keras_s_limits():
    ours, theirs = lf.layers.Conv1D(50, 7), keras.layers.Conv1D(50, 7)
    for layer in (ours, theirs):
        layer.build((None, 20, 30))
    a, b = ours.get_weights()[0], theirs.get_weights()[0]
    assert a.shape == b.shape
    np.testing.assert_allclose(abs(a).max(), abs(b).max(), rtol=0.01)
    np.testing.assert_allclose(a.std(), b.std(), rtol=0.05)


def network(k):
    return k.Sequential(
        [k.Input((None, 3)), k.layers.Conv1D(8, 3, padding="causal", activation="relu", name="conv"),
         k.layers.MaxPooling1D(2), k.layers.LSTM(5), k.layers.Dense(2)]
    )  # fmt: skip


def test_training_and_files(rng, tmp_path):
    ours, theirs = network(lf), network(keras)
    theirs.set_weights(ours.get_weights())
    x, y = floats(rng, 9, 12, 3), floats(rng, 9, 2)
    for model in (ours, theirs):
        model.compile("adam", "mse")
    for _ in range(5):
        np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), rtol=1e-5)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours.predict(x, verbose=0))
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs.predict(x, verbose=0))


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Conv1D(0, 3),
        lambda k: k.layers.Conv1D(-2, 3),
        lambda k: k.layers.Conv1D(2, 0),
        lambda k: k.layers.Conv1D(2, (3, 3)),
        lambda k: k.layers.Conv1D(2, 3, strides=0),
        lambda k: k.layers.Conv1D(2, 3, padding="x"),
        lambda k: k.layers.Conv1D(2, 3, groups=0),
        lambda k: k.layers.Conv1D(3, 3, groups=2),
        lambda k: k.layers.Conv1D(2, 3, strides=2, dilation_rate=2),
        lambda k: k.layers.Conv1D(2, 3, data_format="x"),
        lambda k: k.layers.Conv1D(2, 5)(np.ones((2, 3, 4))),
        lambda k: k.layers.Conv1D(2, 2, dilation_rate=3)(k.Input((3, 4))),
        lambda k: k.layers.Conv1D(2, 2, groups=2)(np.ones((2, 3, 5))),
        lambda k: k.layers.Conv1D(2, 2)(np.ones((2, 3))),
        lambda k: k.layers.Conv1D(2, 2, activation="no_such_thing"),
    ],
)
def test_errors(make):
    same_error(make)
