# SPDX-License-Identifier: BSD-3-Clause
"""Attention in frozen models: the bits of the model where the same kernels run, float32 accuracy where the layer uses NumPy."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from frozen_cases import randomized, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers, ops


def close(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * max(np.abs(b).max(), 1e-30)


@st.composite
def heads(draw):
    """(layer, arguments of the call, sizes) of multi-head attention."""
    groups, shared = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    options = {
        "use_bias": draw(st.booleans()),
        "use_gate": draw(st.booleans()),
        "dropout": draw(st.sampled_from([0.0, 0.3])),
        "sliding_window": draw(st.sampled_from([None, 1, 3])),
    }
    size = draw(st.sampled_from([1, 3, 8, 17]))
    if draw(st.booleans()):
        layer = layers.MultiHeadAttention(groups, size, value_dim=draw(st.sampled_from([None, 5])), **options)
    else:
        layer = layers.GroupQueryAttention(size, groups * shared, shared, **options)
    arguments = {"use_causal_mask": draw(st.booleans())}
    return layer, arguments, draw(st.integers(1, 3)), draw(st.integers(1, 19)), draw(st.integers(1, 19))


def masks(rng, shape, masked):
    return rng.random(shape) < 0.6 if masked else None


@settings(max_examples=60, deadline=None)
@given(heads(), st.booleans(), st.booleans(), st.booleans(), st.sampled_from([None, "full", "row"]))
def test_heads(case, with_key, query_masked, value_masked, attention_mask):
    layer, arguments, batch, steps, keys = case
    rng = np.random.default_rng(3)
    query, value, key = Input((None, 6)), Input((None, 6)), Input((None, 7))
    tensors, data = [query, value], [rng.normal(size=(batch, n, 6)) for n in (steps, keys)]
    if with_key:
        tensors, data = [*tensors, key], [*data, rng.normal(size=(batch, keys, 7))]
    inputs = list(tensors)
    if attention_mask:
        rows = steps if attention_mask == "full" else 1
        pairs = Input((None, None))
        inputs.append(pairs)
        arguments = {**arguments, "attention_mask": pairs}
        data.append(rng.random((batch, rows, keys)) < 0.7)
    model = randomized(Model(inputs, layer(*tensors, **arguments)))
    data = [a.astype(np.float32) for a in data]
    given_masks = [masks(rng, (batch, steps), query_masked), masks(rng, (batch, keys), value_masked)]
    given_masks += [masks(rng, (batch, keys), value_masked)] * with_key + [None] * bool(attention_mask)
    frozen = model.freeze()
    for mask in (None, given_masks):
        y = model(data, mask=mask)
        assert same_bits(frozen(data, mask=mask), y)
        with lf.threads(1):
            assert same_bits(frozen(data, mask=mask), y)
        first = [a[:1] for a in data]
        one = None if mask is None else [None if m is None else m[:1] for m in mask]
        assert same_bits(frozen(first, mask=one), y[:1])


def test_constant_attention_masks(rng):
    seen = np.tril(np.ones((5, 5), bool))

    class Causal(layers.Layer):
        def __init__(self):
            super().__init__()
            self.attention = layers.MultiHeadAttention(2, 3)

        def call(self, x):
            return self.attention(x, x, attention_mask=ops.cast(seen, "bool"))

    model = Sequential([Input((5, 4)), Causal()])
    plain = Input((5, 4))
    other = Model(plain, layers.MultiHeadAttention(2, 3)(plain, plain, use_causal_mask=True))
    randomized(model)
    other.set_weights(model.get_weights())
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    assert same_bits(model.freeze()(x), model(x))
    assert same_bits(model.freeze()(x), other.freeze()(x))
    with pytest.raises(ValueError, match=r"(5, 4)|5"):
        model.freeze()(x[:, :4])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("with_key", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Attention(),
        lambda: layers.Attention(use_scale=True),
        lambda: layers.Attention(score_mode="concat", use_scale=True),
        lambda: layers.AdditiveAttention(),
        lambda: layers.AdditiveAttention(use_scale=False),
    ],
)
def test_products_and_sums(layer, with_key, causal, rng):
    """Not the bits of NumPy's products, which add in another order."""
    inputs = [Input((None, 5)), Input((None, 5)), *([Input((None, 5))] if with_key else [])]
    model = randomized(Model(inputs, layer()(inputs, use_causal_mask=causal)))
    frozen = model.freeze()
    for batch, steps, keys in ((1, 1, 1), (3, 7, 4), (2, 4, 33)):
        data = [rng.normal(size=(batch, n, 5)).astype("float32") for n in (steps, keys, keys)][: len(inputs)]
        mask = [rng.random(a.shape[:2]) < 0.6 for a in data]
        for given_mask in (None, mask):
            y = frozen(data, mask=given_mask)
            assert close(y, model(data, mask=given_mask))
            with lf.threads(1):
                assert same_bits(frozen(data, mask=given_mask), y)
            first = None if given_mask is None else [m[:1] for m in given_mask]
            assert same_bits(frozen([a[:1] for a in data], mask=first), y[:1])


def encoder(width=8, blocks=2, vocabulary=None):
    x = inputs = Input((None,)) if vocabulary else Input((None, width))
    if vocabulary:
        x = layers.Embedding(vocabulary, width, mask_zero=True)(x)
    for _ in range(blocks):
        a = layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x)
        x = layers.LayerNormalization()(layers.add([x, layers.Dropout(0.1)(a)]))
        h = Sequential([layers.Dense(16, activation="gelu"), layers.Dense(width)])(x)
        x = layers.LayerNormalization()(layers.add([x, h]))
    x = layers.GlobalAveragePooling1D()(x)
    return randomized(Model(inputs, layers.Dense(3, activation="softmax")(x)))


def test_a_transformer_encoder(rng):
    model = encoder()
    frozen = model.freeze()
    copy = pickle.loads(pickle.dumps(frozen))
    for batch, steps in ((1, 1), (4, 13), (9, 31)):
        x = rng.normal(size=(batch, steps, 8)).astype("float32")
        mask = rng.random((batch, steps)) < 0.7
        mask[:, 0] = True
        for given_mask in (None, mask):
            y = model(x, mask=given_mask)
            assert same_bits(frozen(x, mask=given_mask), y)
            assert same_bits(copy(x, mask=given_mask), y)
    words = encoder(vocabulary=11)
    ids = rng.integers(0, 11, (6, 9))
    ids[:, 0] = 1
    assert same_bits(words.freeze()(ids), words(ids))


def test_many_callers_at_once(rng):
    model = encoder()
    frozen = model.freeze()
    batches = [rng.normal(size=(n, 5 + 3 * n, 8)).astype("float32") for n in (1, 2, 5, 8) * 6]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(frozen, batches))
    assert all(same_bits(y, model(x)) for x, y in zip(batches, results, strict=True))


def test_every_instruction_set(rng):
    """Each in a process of its own: the model's bits there, and the same numbers on all."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np, lstmfast as lf\n"
        "from test_frozen_attention import encoder, same_bits\n"
        "lf.utils.set_random_seed(0)\n"
        "model = encoder()\n"
        "x = np.random.default_rng(1).normal(size=(5, 21, 8)).astype('float32')\n"
        "y = model.freeze()(x)\n"
        "assert same_bits(y, model(x))\n"
        "print(y.astype('float64').tobytes().hex())"
    )
    results = []
    for isa in lf.available_isas():
        env = {**os.environ, "LSTMFAST_ISA": isa}
        run = [sys.executable, "-c", code, os.path.dirname(__file__)]
        out = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout
        results.append(np.frombuffer(bytes.fromhex(out.strip())))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=0, atol=1e-5)


def test_what_is_refused(rng):
    x = Input((None, 4))
    attention = layers.MultiHeadAttention(2, 3, name="heads")
    model = Model(x, attention(x, x))
    with pytest.raises(ValueError, match="layer 'heads' cannot run in a stream: it needs all time steps"):
        model.freeze().stream()
    data = rng.normal(size=(2, 5, 4)).astype("float32")
    for run in (model, model.freeze()):
        with pytest.raises(ValueError, match=r"layer 'heads'.* does not take lengths"):
            run(data, lengths=[5, 2])
    with pytest.raises(ValueError, match="layer 'heads' cannot be frozen: it returns its scores"):
        Model(x, attention(x, x, return_attention_scores=True)).freeze()
    image = Input((3, 5, 4))
    over = layers.MultiHeadAttention(2, 3, attention_axes=2, name="rows")
    with pytest.raises(ValueError, match="layer 'rows' cannot be frozen: its inputs have shapes"):
        Model(image, over(image, image)).freeze()
    wide = layers.MultiHeadAttention(2, 3, output_shape=(2, 2), name="wide")
    with pytest.raises(ValueError, match="layer 'wide' cannot be frozen: its output_shape"):
        Model(x, wide(x, x)).freeze()
    scores = layers.Attention(name="scores")
    with pytest.raises(ValueError, match="layer 'scores' cannot be frozen: it returns its scores"):
        Model(x, scores([x, x], return_attention_scores=True)[0]).freeze()
    with pytest.raises(ValueError, match="layer 'scores' cannot run in a stream"):
        Model(x, scores([x, x])).freeze().stream()


def test_a_projection_by_einsum(rng):
    x = Input((None, 4))
    dense = layers.EinsumDense("abc,cd->abd", (None, 3), activation="relu", bias_axes="d", name="product")
    model = randomized(Model(x, dense(x)))
    data = rng.normal(size=(2, 5, 4)).astype("float32")
    assert same_bits(model.freeze()(data), model(data))
    split = layers.EinsumDense("abc,cde->abde", (None, 3, 2), name="split")
    with pytest.raises(ValueError, match="layer 'split' cannot be frozen: only a product of the last axis"):
        Model(x, layers.Reshape((-1,))(split(x))).freeze()
