# SPDX-License-Identifier: BSD-3-Clause
"""Depthwise, separable and transposed convolutions and adaptive pooling against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")


def drawn_options(data) -> dict:
    stride = data.draw(st.integers(1, 4))
    return {
        "kernel_size": data.draw(st.integers(1, 5)),
        "strides": stride,
        "padding": data.draw(st.sampled_from(["valid", "same"])),
        "data_format": data.draw(st.sampled_from([None, "channels_first"])),
        "dilation_rate": data.draw(st.integers(1, 3)) if stride == 1 else 1,
        # Not gelu: PyTorch's cancels where it is small, to 1e-7 of 1 in `1 + erf`.
        "activation": data.draw(st.sampled_from([None, "relu", "tanh", "silu", "mish"])),
        "use_bias": data.draw(st.booleans()),
    }


def drawn_input(data, rng, options, least_time):
    batch, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    time = data.draw(st.integers(least_time, 16))
    shape = (batch, channels, time) if options["data_format"] else (batch, time, channels)
    return floats(rng, *shape)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_depthwise_or_separable_convolution(data, seed):
    rng = np.random.default_rng(seed)
    options = {**drawn_options(data), "depth_multiplier": data.draw(st.integers(1, 3))}
    name = data.draw(st.sampled_from(["DepthwiseConv1D", "SeparableConv1D"]))
    if name == "SeparableConv1D":
        options["filters"] = data.draw(st.integers(1, 7))
    reach = (options["kernel_size"] - 1) * options["dilation_rate"] + 1
    x = drawn_input(data, rng, options, reach if options["padding"] == "valid" else 1)
    compare(lambda k: getattr(k.layers, name)(**options), x, rng, least=0.1)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


@settings(max_examples=80, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_transposed_convolution(data, seed):
    rng = np.random.default_rng(seed)
    options = {**drawn_options(data), "filters": data.draw(st.integers(1, 7))}
    options["output_padding"] = data.draw(st.none() | st.integers(0, options["strides"] - 1))
    x = drawn_input(data, rng, options, 2)
    try:
        compare(lambda k: k.layers.Conv1DTranspose(**options), x, rng, least=0.1)
    except RuntimeError as error:  # PyTorch's own, for some kernels of one channel
        assume("grad_weight needs to be contiguous" not in str(error))
        raise
    same_configuration(lambda k: k.layers.Conv1DTranspose(**options, name="a"))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_adaptive_pooling(data, seed):
    rng = np.random.default_rng(seed)
    name = data.draw(st.sampled_from(["AdaptiveAveragePooling1D", "AdaptiveMaxPooling1D"]))
    options = {
        "output_size": data.draw(st.integers(1, 7)),
        "data_format": data.draw(st.sampled_from([None, "channels_last", "channels_first"])),
    }
    x = floats(rng, *data.draw(st.tuples(st.integers(1, 3), st.integers(1, 16), st.integers(1, 16))))
    compare(lambda k: getattr(k.layers, name)(**options), x, rng)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


OF_ALL_KINDS = {
    "depthwise": lambda k: k.layers.DepthwiseConv1D(
        (3,), name="a", depthwise_regularizer="l2", bias_initializer="ones", depthwise_constraint="non_neg",
        activity_regularizer="l1", depthwise_initializer="he_normal", trainable=False,
    ),
    "separable": lambda k: k.layers.SeparableConvolution1D(
        3, (2,), name="a", pointwise_regularizer="l2", bias_initializer="ones", pointwise_constraint="non_neg",
        activity_regularizer="l1", pointwise_initializer="he_normal", bias_constraint="max_norm",
    ),
    "transposed": lambda k: k.layers.Convolution1DTranspose(
        3, (2,), 2, output_padding=[1], name="a", kernel_regularizer="l2", bias_initializer="ones",
        kernel_constraint="non_neg", activity_regularizer="l1", kernel_initializer="he_normal",
    ),
    "adaptive": lambda k: k.layers.AdaptiveMaxPooling1D([3], name="a", trainable=False),
}  # fmt: skip


@pytest.mark.parametrize("kind", OF_ALL_KINDS)
def test_configuration(kind):
    same_configuration(OF_ALL_KINDS[kind])


@pytest.mark.parametrize("name", ["DepthwiseConv1D", "SeparableConv1D", "Conv1DTranspose"])
def test_softmax(name, rng):
    options = {"kernel_size": 2, "activation": "softmax"} | ({} if name[0] == "D" else {"filters": 4})
    compare(lambda k: getattr(k.layers, name)(**options), floats(rng, 2, 6, 3), rng, least=0.1)


@pytest.mark.parametrize("name", ["DepthwiseConv1D", "SeparableConv1D", "Conv1DTranspose"])
def test_initial_kernels_have_keras_s_limits(name):
    options = {"kernel_size": 7} | ({"depth_multiplier": 20} if name[0] == "D" else {"filters": 40})
    ours, theirs = getattr(lf.layers, name)(**options), getattr(keras.layers, name)(**options)
    for layer in (ours, theirs):
        layer.build((None, 20, 100))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(abs(a).max(), abs(b).max(), rtol=0.03)
        np.testing.assert_allclose(a.std(), b.std(), rtol=0.1)


def network(k):
    return k.Sequential(
        [k.Input((None, 3)), k.layers.SeparableConv1D(8, 3, padding="same", activation="relu", name="separable"),
         k.layers.DepthwiseConv1D(2, depth_multiplier=2), k.layers.AdaptiveAveragePooling1D(5),
         k.layers.Conv1DTranspose(6, 3, 2, name="up"), k.layers.AdaptiveMaxPooling1D(4), k.layers.LSTM(5),
         k.layers.Dense(2)]
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
        lambda k: k.layers.DepthwiseConv1D(0),
        lambda k: k.layers.DepthwiseConv1D(2, depth_multiplier=0),
        lambda k: k.layers.DepthwiseConv1D(2, strides=0),
        lambda k: k.layers.DepthwiseConv1D(2, padding="causal"),
        lambda k: k.layers.DepthwiseConv1D(2, data_format="x"),
        lambda k: k.layers.DepthwiseConv1D(5)(np.ones((2, 3, 4))),
        lambda k: k.layers.DepthwiseConv1D(2)(np.ones((2, 3))),
        lambda k: k.layers.SeparableConv1D(0, 3),
        lambda k: k.layers.SeparableConv1D(2, (3, 3)),
        lambda k: k.layers.SeparableConv1D(2, 3, depth_multiplier=-1),
        lambda k: k.layers.SeparableConv1D(2, 3, padding="causal"),
        lambda k: k.layers.SeparableConv1D(2, 5)(k.Input((3, 4))),
        lambda k: k.layers.Conv1DTranspose(0, 3),
        lambda k: k.layers.Conv1DTranspose(2, 3, padding="causal"),
        lambda k: k.layers.Conv1DTranspose(2, 3, strides=2, output_padding=2),
        lambda k: k.layers.Conv1DTranspose(2, 3, strides=2, output_padding=-1),
        lambda k: k.layers.Conv1DTranspose(2, 3, strides=2, dilation_rate=2),
        lambda k: k.layers.Conv1DTranspose(2, 3)(np.ones((2, 3))),
        lambda k: k.layers.AdaptiveMaxPooling1D("3"),
        lambda k: k.layers.AdaptiveMaxPooling1D(3.0),
        lambda k: k.layers.AdaptiveAveragePooling1D((3, 3)),
        lambda k: k.layers.AdaptiveAveragePooling1D(3, "x"),
    ],
)
def test_errors(make):
    same_error(make)
