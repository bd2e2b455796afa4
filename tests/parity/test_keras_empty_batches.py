# SPDX-License-Identifier: BSD-3-Clause
"""Layers called with no rows give none, of the shape and type that Keras gives; other empty axes are refused where nothing can
come out."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

STEPS = {
    "Activation": ("softmax",), "ActivityRegularization": (0.1,), "AdaptiveAveragePooling1D": (2,), "AveragePooling1D": (2,),
    "BatchNormalization": (), "Conv1D": (3, 2), "Conv1DTranspose": (3, 2), "Cropping1D": (1,), "Dense": (3, "gelu"),
    "DepthwiseConv1D": (2,), "Dropout": (0.5,), "ELU": (), "Flatten": (), "GRU": (3,), "GaussianNoise": (0.1,),
    "GlobalAveragePooling1D": (), "GroupNormalization": (2,), "Identity": (), "LSTM": (3,), "LayerNormalization": (),
    "LeakyReLU": (), "Masking": (), "MaxPooling1D": (2,), "PReLU": (), "Permute": ((2, 1),), "RMSNormalization": (), "ReLU": (),
    "Rescaling": (2.0,), "Reshape": ((-1,),), "SeparableConv1D": (3, 2), "SimpleRNN": (3,), "Softmax": (),
    "SpatialDropout1D": (0.5,), "UnitNormalization": (), "UpSampling1D": (2,), "ZeroPadding1D": (2,),
}  # fmt: skip
OTHERS = {
    "sequences": lambda k: (k.layers.GRU(3, return_sequences=True), np.zeros((0, 5, 4))),
    "wrapped": lambda k: (k.layers.Bidirectional(k.layers.LSTM(3)), np.zeros((0, 5, 4))),
    "each step": lambda k: (k.layers.TimeDistributed(k.layers.Dense(3)), np.zeros((0, 5, 4))),
    "cells": lambda k: (k.layers.RNN([k.layers.LSTMCell(3), k.layers.GRUCell(2)]), np.zeros((0, 5, 4))),
    "ConvLSTM1D": lambda k: (k.layers.ConvLSTM1D(3, 2), np.zeros((0, 4, 5, 2))),
    "EinsumDense": lambda k: (k.layers.EinsumDense("ab,bc->ac", 3), np.zeros((0, 4))),
    "Embedding": lambda k: (k.layers.Embedding(5, 3), np.zeros((0, 4), "int32")),
    "Discretization": lambda k: (k.layers.Discretization([0.0, 1.0]), np.zeros((0, 4))),
    "CategoryEncoding": lambda k: (k.layers.CategoryEncoding(4), np.zeros((0, 3), "int32")),
    "spectrogram": lambda k: (k.layers.STFTSpectrogram(), np.zeros((0, 300, 1))),
    "Attention": lambda k: (k.layers.Attention(), [np.zeros((0, 5, 4)), np.zeros((0, 6, 4))]),
    "Concatenate": lambda k: (k.layers.Concatenate(1), [np.zeros((0, 5, 4)), np.zeros((0, 6, 4))]),
    "Dot": lambda k: (k.layers.Dot(2), [np.zeros((0, 5, 4)), np.zeros((0, 6, 4))]),
}


def assert_alike(make):
    results = []
    for k in (lf, keras):
        layer, x = make(k)
        floats = [
            a.astype("float32") if a.dtype.kind == "f" else a for a in (x if isinstance(x, list) else [x])
        ]
        y = layer(floats if isinstance(x, list) else floats[0])
        results.append((tuple(y.shape), str(y.dtype).removeprefix("torch.")))
    (shape, dtype), (their_shape, their_dtype) = results
    assert shape == their_shape
    assert dtype[:3] == their_dtype[:3]  # of integers these are wider


@pytest.mark.parametrize("name", STEPS)
def test_layers(name):
    assert_alike(lambda k: (getattr(k.layers, name)(*STEPS[name]), np.zeros((0, 5, 4))))


@pytest.mark.parametrize("case", OTHERS)
def test_other_layers(case):
    assert_alike(OTHERS[case])


def test_several_outputs():
    y, *states = lf.layers.LSTM(3, return_state=True, return_sequences=True)(np.zeros((0, 5, 4)))
    assert [a.shape for a in (y, *states)] == [(0, 5, 3), (0, 3), (0, 3)]
    y, scores = lf.layers.MultiHeadAttention(2, 3)(
        np.zeros((0, 5, 4)), np.zeros((0, 6, 4)), return_attention_scores=True
    )
    assert (y.shape, scores.shape) == ((0, 5, 4), (0, 2, 5, 6))


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 0, 4)])
def test_other_empty_axes(shape):
    for layer in (lf.layers.LSTM(3), lf.layers.LayerNormalization(), lf.layers.GlobalMaxPooling1D()):
        with pytest.raises(ValueError, match="must not be empty"):
            layer(np.zeros(shape))
