# SPDX-License-Identifier: BSD-3-Clause
"""Attention layers and EinsumDense against NumPy in float64 and differences."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.testing import check_gradients


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def softmax(scores, seen=None):
    scores = scores if seen is None else np.where(seen, scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 5, 4))


def test_dot_product_attention(inputs):
    q, v, k = inputs
    seen = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    asked = np.array([[1, 1, 0], [1, 1, 1]], bool)
    weights = softmax(q @ k.swapaxes(1, 2), seen[:, None] & np.tri(3, 5, dtype=bool))
    y, scores = layers.Attention()(
        [q, v, k], mask=[asked, seen], use_causal_mask=True, return_attention_scores=True
    )
    close(scores, weights)
    close(y, np.where(asked[..., None], weights @ v, 0))


def test_additive_attention(inputs):
    q, v, k = inputs
    layer = layers.AdditiveAttention()
    layer.ensure_built([a.shape for a in inputs])
    scale = layer.scale.numpy().astype("float64")
    close(layer([q, v, k]), softmax((np.tanh(q[:, :, None] + k[:, None]) * scale).sum(-1)) @ v)


@pytest.mark.parametrize("shared", [1, 2, 4])
def test_multi_head_attention(shared, inputs, rng):
    q, v, k = inputs
    layer = layers.MultiHeadAttention(4, 3, sliding_window=3)
    if shared < 4:
        layer = layers.GroupQueryAttention(3, 4, shared, sliding_window=3)
    layer.ensure_built([a.shape for a in inputs])
    values = [rng.standard_normal(w.shape) for w in layer.weights]
    layer.set_weights(values)
    wq, bq, wk, bk, wv, bv, wo, bo = values
    repeat = 4 // shared
    heads_q = np.einsum("btc,chd->bhtd", q, wq) + bq[:, None]
    heads_k = np.repeat(np.einsum("bsc,chd->bhsd", k, wk) + bk[:, None], repeat, axis=1)
    heads_v = np.repeat(np.einsum("bsc,chd->bhsd", v, wv) + bv[:, None], repeat, axis=1)
    given = rng.random((2, 3, 5)) < 0.7
    given[..., 0] = True
    near = np.abs(np.arange(3)[:, None] - np.arange(5)) < 3
    weights = softmax(heads_q @ heads_k.swapaxes(-1, -2) / np.sqrt(3), (given & near)[:, None])
    expected = np.einsum("bhtd,hdc->btc", weights @ heads_v, wo) + bo
    y, scores = layer(q, v, k, attention_mask=given, return_attention_scores=True)
    close(scores, weights)
    close(y, expected)
    close(layer(q, v, k, attention_mask=given), expected)
    np.testing.assert_array_equal(
        layer(q, v, k, value_mask=given[:, 0]), layer(q, v, k, key_mask=given[:, 0])
    )


def test_gradients(inputs):
    q, v, k = inputs
    made = [
        layers.Attention(True),
        layers.Attention(True, "concat"),
        layers.AdditiveAttention(),
        layers.MultiHeadAttention(2, 3, value_dim=2, output_shape=(2, 2), use_gate=True),
        layers.GroupQueryAttention(2, 4, 2),
    ]
    for layer in made:
        check_gradients(layer, [q, v, k], tolerance=5e-3, use_causal_mask=True)
    for layer in made[3:]:
        check_gradients(layer, [q, v, k], tolerance=5e-3, return_attention_scores=True)


def test_a_step_does_not_see_the_future(rng):
    x = rng.standard_normal((1, 6, 4)).astype("float32")
    later = x.copy()
    later[:, 4:] += 1
    for layer in (layers.MultiHeadAttention(2, 3), layers.GroupQueryAttention(3, 2, 1)):
        a, b = (layer(v, v, use_causal_mask=True) for v in (x, later))
        np.testing.assert_array_equal(a[:, :4], b[:, :4])
        assert not np.allclose(a[:, 4:], b[:, 4:])


def test_padding_in_a_graph_changes_nothing(rng):
    """Ids with more zeros behind them: the same outputs."""
    ids = lf.Input((None,), dtype="int32")
    e = layers.Embedding(9, 4, mask_zero=True)(ids)
    y = layers.GRU(3)(layers.MultiHeadAttention(2, 3)(e, e))
    model = lf.Model(ids, y)
    short = np.array([[3, 4, 5], [6, 0, 0]])
    close(model(np.pad(short, ((0, 0), (0, 4)))), model(short))


def test_einsum_dense(rng):
    x = rng.standard_normal((2, 3, 4))
    for equation, shape, bias in (("abc,cde->abde", (None, 2, 5), "de"), ("abc,bd->adc", (5, None), "c")):
        layer = layers.EinsumDense(equation, shape, bias_axes=bias)
        layer.build(x.shape)
        layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])
        close(layer(x), np.einsum(equation, x, layer.kernel.value.astype("f8")) + layer.bias.value)
        check_gradients(layer, x, tolerance=5e-3)


WRONG = [
    (lambda a, b: layers.Attention(dropout=2), "dropout"),
    (lambda a, b: layers.Attention()([a, b[:1]]), "shapes"),
    (lambda a, b: layers.Attention()([a[..., :2], b]), "shapes"),
    (lambda a, b: layers.MultiHeadAttention(2, 2)(a, b[:1]), "batch size"),
    (lambda a, b: layers.MultiHeadAttention(2, 2)(a[0], b), r"query \(B, T, n\)"),
    (lambda a, b: layers.MultiHeadAttention(2, 2, output_shape="x"), "output_shape"),
    (lambda a, b: layers.MultiHeadAttention(2, 2, dropout=0.1, flash_attention=True), "flash attention"),
    (lambda a, b: layers.GroupQueryAttention(2, 3, 2), "divisible"),
    (lambda a, b: layers.EinsumDense("ab", 3), "equation"),
    (lambda a, b: layers.EinsumDense("abc,cd->abd", (None, 3), lora_rank=2), "lora_rank"),
]


@pytest.mark.parametrize(("make", "match"), WRONG)
def test_errors(make, match):
    with pytest.raises(ValueError, match=match):
        make(np.zeros((2, 3, 4)), np.zeros((2, 5, 4)))


def test_other_features_than_before(rng):
    layer = layers.MultiHeadAttention(2, 2)
    layer(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="must have 4 features"):
        layer(np.zeros((2, 3, 5)), np.zeros((2, 3, 4)))


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (layers.Attention, "_calculate_scores"),
        (layers.AdditiveAttention, "_apply_scores"),
        (layers.MultiHeadAttention, "_compute_attention"),
        (layers.GroupQueryAttention, "_masked_softmax"),
    ],
)
def test_methods_that_would_change_nothing(base, method):
    """In Keras subclasses write them; that they would not be called must not go unnoticed."""
    with pytest.raises(TypeError, match=f"Own writes {method}, which nothing here calls"):
        type("Own", (base,), {method: lambda self: None})
    type("Own", (base,), {method: lambda self: None, "call": lambda self, x: x})
