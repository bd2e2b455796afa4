# SPDX-License-Identifier: BSD-3-Clause
"""check_gradients accepts what is right and names what is wrong."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import Layer
from lstmfast.testing import check_gradients


class Affine(Layer):
    """``tanh(x * a + b)``, wrong where it is told to be."""

    supports_masking = True

    def __init__(self, wrong=None, single=False, **kwargs):
        super().__init__(**kwargs)
        self.wrong, self.single = wrong, single

    def build(self, input_shape):
        self.a = self.add_weight((input_shape[-1],), "ones", "a")
        self.b = self.add_weight((input_shape[-1],), "zeros", "b")

    def forward(self, x, call):
        y = np.tanh(x * self.a.value + self.b.value)
        call.saved = (x, y)
        return y.astype(np.float32) if self.single else y

    def backward(self, dy, call):
        x, y = call.saved
        dz = dy * (1 - y * y)
        if self.wrong != "missing":
            self.a.add_grad(
                (dz * x).reshape(-1, x.shape[-1]).sum(axis=0) * (1.01 if self.wrong == "a" else 1)
            )
        self.b.add_grad(dz.reshape(-1, x.shape[-1]).sum(axis=0))
        dx = dz * self.a.value * (1.01 if self.wrong == "x" else 1)
        return dx[:, :1] if self.wrong == "shape" else dx


@pytest.mark.parametrize("single", [False, True])
def test_right_and_wrong(single, rng):
    x = rng.standard_normal((4, 3))
    errors = check_gradients(Affine(single=single, name="right"), x)
    assert sorted(errors) == ["right/a", "right/b", "x"]
    # float64 differences leave the rounding of the float32 gradients alone.
    assert max(errors.values()) < (5e-4 if single else 1e-6)
    for wrong, name in (("a", "in wrong/a:"), ("x", "in x:"), ("missing", "in wrong/a:")):
        with pytest.raises(AssertionError, match=name):
            check_gradients(Affine(wrong, single, name="wrong"), x)
    with pytest.raises(AssertionError, match=r"gradient of x has shape \(4, 1\), expected \(4, 3\)"):
        check_gradients(Affine("shape", single), x)


BUILT_IN = [
    (layers.LSTM(3, return_sequences=True, return_state=True), (2, 4, 3), {}),
    (layers.GRU(3, dropout=0.3, recurrent_dropout=0.2), (2, 4, 3), {"training": True}),
    (layers.GRU(3, dropout=0.3, seed=3), (2, 4, 3), {"training": True}),
    (layers.LSTM(3, stateful=True), (2, 4, 3), {}),
    (layers.SimpleRNN(3), (2, 4, 3), {"mask": np.array([[1, 1, 0, 0], [0, 1, 0, 1]], bool)}),
    (layers.SimpleRNN(3, go_backwards=True), (2, 4, 3), {"lengths": np.array([2, 4])}),
    (layers.GRU(3), (2, 4, 3), {"initial_state": [np.full((2, 3), 0.3)]}),
    (layers.Bidirectional(layers.LSTM(3, activity_regularizer="l2"), merge_mode="mul"), (2, 4, 3), {}),
    (layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), (2, 4, 3), {}),
    (layers.Dense(4, "tanh", activity_regularizer="l2"), (3, 5), {}),
    (layers.Dropout(0.4), (3, 5), {"training": True}),
]


@pytest.mark.parametrize(("layer", "shape", "options"), BUILT_IN, ids=lambda v: getattr(v, "name", ""))
def test_built_in_layers(layer, shape, options, rng):
    states = getattr(layer, "states", None)
    check_gradients(layer, rng.standard_normal(shape), tolerance=2e-3, **options)
    assert all(v.grad is None for v in layer.weights)
    if isinstance(states, list):
        assert not any(s.numpy().any() for s in layer.states)


def test_embedding_and_concatenate(rng):
    assert list(check_gradients(layers.Embedding(5, 3, name="e"), rng.integers(0, 5, (2, 3)))) == [
        "e/embeddings"
    ]
    parts = [rng.standard_normal((2, n)) for n in (2, 3)]
    assert sorted(check_gradients(layers.Concatenate(), parts)) == ["x[0]", "x[1]"]


@pytest.mark.parametrize("training", [False, True])
def test_models(training, rng):
    series, ids = lf.Input((4, 3)), lf.Input((4,), dtype="int32")
    joined = layers.Concatenate()([series, layers.Embedding(5, 2, mask_zero=True)(ids)])
    h = layers.Dropout(0.2)(Affine(name="affine")(layers.LSTM(4, return_sequences=True)(joined)))
    model = lf.Model([series, ids], [layers.Dense(2, activity_regularizer="l2")(h), h])
    before = model.get_weights()
    x = [rng.standard_normal((2, 4, 3)), np.array([[1, 2, 0, 0], [3, 4, 1, 0]])]
    errors = check_gradients(model, x, training=training, tolerance=3e-3)
    assert len(errors) == 1 + len(model.trainable_variables)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_large_array_is_sampled(rng):
    layer = Affine(name="large")
    assert max(check_gradients(layer, rng.standard_normal((50, 40)), samples=7).values()) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3, np.ones((2, 2))), TypeError, "layer"),
        ((layers.Dense(2), np.array([["a"]])), TypeError, "numeric"),
        ((layers.LSTM(2), np.ones((2, 2))), ValueError, "ndim"),
    ],
)
def test_wrong_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        check_gradients(*arguments)


def test_wrong_options():
    for options in ({"tolerance": 0}, {"tolerance": float("nan")}, {"samples": 0}):
        with pytest.raises(ValueError, match="positive"):
            check_gradients(layers.Dense(2), np.ones((2, 2)), **options)
