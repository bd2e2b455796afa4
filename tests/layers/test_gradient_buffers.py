# SPDX-License-Identifier: BSD-3-Clause
"""A layer's weights some of which have a gradient already, from another use: the others' buffers hold old numbers."""

import numpy as np
import pytest

from lstmfast import layers

CASES = {
    "dense": lambda: layers.Dense(3),
    "einsum": lambda: layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"),
    "convolution": lambda: layers.Conv1D(3, 2),
    "separable": lambda: layers.SeparableConv1D(3, 2),
    "depthwise": lambda: layers.DepthwiseConv1D(2),
    "transposed": lambda: layers.Conv1DTranspose(3, 2),
    "lstm": lambda: layers.LSTM(3, return_sequences=True, peephole=True),
    "gru": lambda: layers.GRU(3),
    "normalization": lambda: layers.LayerNormalization(),
    "batch": lambda: layers.BatchNormalization(),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_each_weight_may_have_a_gradient_before(make, rng):
    x = rng.normal(size=(2, 5, 4)).astype(np.float32)
    layer = make()
    dy = rng.normal(size=layer(x).shape).astype(np.float32)
    variables = layer.trainable_variables

    def gradients(first=None):
        for variable in variables:
            variable.add_grad(np.full(variable.shape, 1e6, np.float32))  # an earlier step's
            variable.clear_grad()
        if first is not None:
            first.add_grad(np.ones(first.shape, np.float32))
        call = layers.Call(True, True, True)
        layer.forward(x, call)
        layer.backward(dy, call)
        return [variable.grad.copy() for variable in variables]

    plain = gradients()
    for first in variables:
        for variable, a, b in zip(variables, plain, gradients(first), strict=True):
            expected = a + 1 if variable is first else a
            np.testing.assert_allclose(b, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))
