# SPDX-License-Identifier: BSD-3-Clause
"""Masks that come with the outputs of layers called one after another, beside Keras's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from layer_parity import close, floats, keras

import lstmfast as lf

IDS = np.array([[1, 2, 0, 3, 0], [0, 0, 4, 1, 2], [1, 1, 1, 1, 1], [0, 3, 0, 0, 0]])


def mask_of(y):
    if isinstance(y, np.ndarray):
        return getattr(y, "_keras_mask", None)
    made = keras.src.backend.get_keras_mask(y)
    return None if made is None else made.numpy()


def values_of(layer):
    return [w.value.detach().numpy() for w in layer.weights]


def both(rng, chain):
    """What ``chain(layers)(ids)`` gives in both packages: `chain` makes layers and a function that calls them."""
    made = [chain(package.layers) for package in (keras, lf)]
    (theirs, expected_of), (ours, actual_of) = made
    expected = expected_of(IDS)
    actual_of(IDS)
    for a, b in zip(theirs, ours, strict=True):
        values = [floats(rng, *w.shape) for w in a.weights]
        a.set_weights(values), b.set_weights(values)
    return expected_of(IDS), actual_of(IDS), expected


def lstm(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.LSTM(4, return_sequences=True)
    return [first, second], lambda x: second(first(x))


def last_state(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.GRU(4)
    return [first, second], lambda x: second(first(x))


def through_dense(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.Dense(4, activation="tanh")
    third = layers.SimpleRNN(3, return_sequences=True)
    return [first, second, third], lambda x: third(layers.Dropout(0.5)(second(first(x))))


def both_directions(layers):
    first, second = (
        layers.Embedding(5, 3, mask_zero=True),
        layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
    )
    return [first, second], lambda x: second(first(x))


def pooled(layers):
    first = layers.Embedding(5, 3, mask_zero=True)
    return [first], lambda x: layers.GlobalAveragePooling1D()(first(x))


def added(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.Embedding(5, 3, mask_zero=True)
    return [first, second], lambda x: layers.Add()([first(x), second(x[:, ::-1].copy())])


def joined(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.Embedding(5, 2)
    return [first, second], lambda x: layers.Concatenate()([first(x), second(x)])


def attended(layers):
    first = layers.Embedding(5, 3, mask_zero=True)
    return [first], lambda x: layers.Attention()([first(x), first(x)])


def many_heads(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.MultiHeadAttention(2, 3)
    return [first, second], lambda x: second(first(x), first(x))


def masked(layers):
    first, second = layers.Embedding(5, 2, mask_zero=True), layers.LSTM(4, return_sequences=True)
    again = layers.Masking()
    return [first, second], lambda x: second(again(np.repeat(x[..., None], 3, axis=-1).astype("float32")))


def with_initial_state(layers):
    first, second = layers.Embedding(5, 3, mask_zero=True), layers.LSTM(4, return_sequences=True)
    state = [np.ones((4, 4), "float32")] * 2
    return [first, second], lambda x: second(first(x), initial_state=state)


CHAINS = [lstm, last_state, through_dense, both_directions, pooled, added, joined, attended, many_heads]


@pytest.mark.parametrize("chain", [*CHAINS, with_initial_state], ids=lambda c: c.__name__)
def test_chains(rng, chain):
    expected, actual, _ = both(rng, chain)
    close(np.asarray(actual), expected.detach().numpy())
    theirs, ours = mask_of(expected), mask_of(actual)
    assert (theirs is None) == (ours is None)
    if theirs is not None:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:Layer 'functional")  # Keras hands the mask on and warns that it does not
def test_models_take_masks_and_hand_them_on(rng):
    made = []
    for package in (keras, lf):
        layers = package.layers
        inputs = package.Input((None, 3))
        model = package.Model(inputs, layers.SimpleRNN(2, return_sequences=True)(layers.Dense(3)(inputs)))
        made.append((model, layers.Embedding(5, 3, mask_zero=True), layers.GRU(2)))
        made[-1][1](IDS), made[-1][2](made[-1][0](made[-1][1](IDS)))
    for a, b in zip(*made, strict=True):
        values = [floats(rng, *w.shape) for w in a.weights]
        a.set_weights(values), b.set_weights(values)
    between = [model(embedding(IDS)) for model, embedding, _ in made]
    np.testing.assert_array_equal(mask_of(between[1]), mask_of(between[0]))
    close(np.asarray(between[1]), between[0].detach().numpy())
    close(made[1][2](between[1]), made[0][2](between[0]).detach().numpy())


def test_masking():
    x = IDS[..., None].astype("float32")
    np.testing.assert_array_equal(mask_of(lf.layers.Masking()(x)), mask_of(keras.layers.Masking()(x)))


def test_an_explicit_mask_goes_on():
    x, mask = np.ones((2, 3, 4), "float32"), np.array([[True, False, True], [True, True, True]])
    for layer in ("Dropout", "LayerNormalization", "Activation"):
        arguments = {"Dropout": (0.5,), "Activation": ("relu",)}.get(layer, ())
        y = getattr(lf.layers, layer)(*arguments)(x, mask=mask)
        np.testing.assert_array_equal(mask_of(y), mask)


def test_arithmetic_has_no_mask():
    y = lf.layers.Masking()(np.ones((1, 2, 3)))
    assert type(y + 1) is np.ndarray and mask_of(y[:, 0]) is None and repr(y).startswith("array(")
    assert isinstance(y.sum(), np.float32)


def test_a_layer_that_does_not_understand_masks_says_so():
    y = lf.layers.Masking()(np.ones((1, 4, 3)))
    with pytest.warns(UserWarning, match="does not support masking"):
        z = lf.layers.Conv1D(2, 2)(y)
    assert mask_of(z) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lf.layers.Conv1D(2, 2)(np.ones((1, 4, 3)))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_batch_normalization_takes_masks_that_broadcast(rng, shape):
    x = floats(rng, 4, 5, 3) if len(shape) == 2 else floats(rng, 4, 5)
    mask = np.array([True, False, True, True]).reshape(shape)
    ours, theirs = lf.layers.BatchNormalization(), keras.layers.BatchNormalization()
    close(ours(x, mask=mask, training=True), theirs(x, mask=mask, training=True).detach().numpy())
    for a, b in zip(ours.get_weights(), values_of(theirs), strict=True):
        close(a, b)


@pytest.mark.parametrize("mask", [None, np.arange(12).reshape(4, 3) % 5 != 0], ids=["all", "mask"])
def test_batch_normalization_in_time_distributed_sees_each_step_alone(rng, mask):
    x = floats(rng, 4, 3, 2)
    ours = lf.layers.TimeDistributed(lf.layers.BatchNormalization())
    theirs = keras.layers.TimeDistributed(keras.layers.BatchNormalization())
    expected = theirs(x, training=True, mask=mask).detach().numpy()
    close(ours(x, training=True, mask=mask), expected)
    for a, b in zip(ours.get_weights(), values_of(theirs), strict=True):
        close(a, b)
    close(ours(x), theirs(x).detach().numpy())


def test_pooling_with_channels_first_takes_a_mask_of_time(rng):
    x, mask = floats(rng, 2, 3, 4), np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool)
    ours = lf.layers.GlobalAveragePooling1D("channels_first")(x, mask)
    close(ours, keras.layers.GlobalAveragePooling1D("channels_first")(x, mask).numpy())


def test_losses_of_a_call(rng):
    x = floats(rng, 3, 4)
    for package in (lf, keras):
        layer = package.layers.Dense(
            2, kernel_regularizer="l2", activity_regularizer="l1", kernel_initializer="ones"
        )
        layer(x)
        found = [float(getattr(loss, "detach", lambda loss=loss: loss)()) for loss in layer.losses]
        if package is lf:
            expected = found
        else:
            np.testing.assert_allclose(expected, found, rtol=1e-5)
    assert len(expected) == 2


def test_output_shapes_of_stacked_cells():
    shapes = []
    for package in (lf, keras):
        layers = package.layers
        stacked = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_state=True)
        shapes.append([list(part) for part in stacked.compute_output_shape((2, 3, 5))])
    assert [len(part) for part in shapes[0]] == [len(part) for part in shapes[1]]
    assert [tuple(s) for s in shapes[0][1]] == [tuple(s) for s in shapes[1][1]]
