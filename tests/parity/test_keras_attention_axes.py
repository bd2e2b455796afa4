# SPDX-License-Identifier: BSD-3-Clause
"""Attention over inputs with more axes than (batch, time, features), against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from attention_parity import close, compare
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


@settings(max_examples=40, deadline=None)
@given(
    axes=st.sampled_from(
        [(4, None), (4, 1), (4, 2), (4, -2), (4, (1, 2)), (4, (2, 1)), (5, (2, 3)), (5, 3), (5, (1, 3))]
    ),
    output_shape=st.sampled_from([None, 5, (2, 3)]),
    use_gate=st.booleans(),
    use_bias=st.booleans(),
    with_key=st.booleans(),
    scores=st.booleans(),
    seen=st.sampled_from([None, "pairs", "all"]),
    seed=st.integers(0, 2**16),
)
def test_multi_head_attention(axes, output_shape, use_gate, use_bias, with_key, scores, seen, seed):
    rng = np.random.default_rng(seed)
    rank, over = axes
    options = {
        "num_heads": 2,
        "key_dim": 3,
        "value_dim": 2,
        "attention_axes": over,
        "output_shape": output_shape,
    }
    ours, theirs = (
        k.layers.MultiHeadAttention(**options, use_gate=use_gate, use_bias=use_bias) for k in (lf, keras)
    )
    names = range(1, rank - 1) if over is None else (over,) if isinstance(over, int) else over
    attended = [axis + rank if axis < 0 else axis for axis in names]
    query = [int(n) for n in rng.integers(1, 4, rank - 1)]
    value = [int(rng.integers(1, 4)) if axis in attended else n for axis, n in enumerate(query)]
    x = [
        rng.standard_normal((*shape, int(rng.integers(1, 5)))).astype("float32")
        for shape in (query, value, value)
    ]
    x = x if with_key else x[:2]
    call = Call()
    call.arguments = {"return_attention_scores": scores}
    given_mask = {}
    if seen is not None:
        pairs = [shape[axis] for shape in (query, value) for axis in attended]
        apart = [query[axis] for axis in range(rank - 1) if axis not in attended]
        mask = rng.random(pairs if seen == "pairs" else [*apart, 2, *pairs]) < 0.7
        last = tuple(range(mask.ndim - len(attended), mask.ndim))
        mask |= ~mask.any(axis=last, keepdims=True)  # torch's gradient of rows that see nothing is not one
        given_mask["attention_mask"] = torch.tensor(mask)
        x = [*x, mask] if with_key else [*x, x[1], mask]
        call.arguments |= {"attention_mask": True} | ({} if with_key else {"key": False})

    def run(tensors):
        key = tensors[2] if with_key else None
        return theirs(tensors[0], tensors[1], key=key, return_attention_scores=scores, **given_mask)

    compare(ours, theirs, x, call, run, rng, value_twice=seen is not None and not with_key)
    assert ours.get_config() | {"name": ""} == theirs.get_config() | {"name": ""}
    shapes = [a.shape for a in x[: 3 if with_key else 2]]
    assert ours.compute_output_shape(*shapes) == theirs.compute_output_shape(*shapes)
    assert (
        ours.output_shapes(shapes, {"return_attention_scores": True})[1]
        == ours(*x[: len(shapes)], return_attention_scores=True)[1].shape
    )


@pytest.mark.parametrize("over", [1, 2])
def test_masks_of_steps_and_causal(over, rng):
    """Of an axis among others: as one batch beside the other."""
    x = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    mask = rng.random((2, 3, 4)) < 0.7
    layer = lf.layers.MultiHeadAttention(2, 3, attention_axes=over, sliding_window=3)
    y = layer(x, x, value_mask=mask, use_causal_mask=True)
    flat = lf.layers.MultiHeadAttention(2, 3, sliding_window=3)
    moved, seen = np.moveaxis(x, over, 2).reshape(-1, x.shape[over], 5), np.moveaxis(mask, over, 2)
    flat.build(moved.shape, moved.shape)
    flat.set_weights([w.reshape(v.shape) for w, v in zip(layer.get_weights(), flat.weights, strict=True)])
    expected = flat(moved, moved, value_mask=seen.reshape(moved.shape[:2]), use_causal_mask=True)
    expected = np.moveaxis(expected.reshape(*np.moveaxis(x, over, 2).shape), 2, over)
    close(y, expected)
    with pytest.raises(ValueError, match="mask must have shape"):
        layer(x, x, value_mask=mask[:, :2])
    leading = layer(x, x, value_mask=mask[..., 0])
    close(leading, layer(x, x, value_mask=np.repeat(mask[..., :1], 4, axis=2)))


@settings(max_examples=25, deadline=None)
@given(
    options=st.sampled_from(
        [{}, {"use_scale": True}, {"score_mode": "concat"}, {"score_mode": "concat", "use_scale": True}]
    ),
    additive=st.booleans(),
    with_key=st.booleans(),
    scores=st.booleans(),
    causal=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_attention(options, additive, with_key, scores, causal, seed):
    rng = np.random.default_rng(seed)
    b, h, t, s, d = (int(n) for n in rng.integers(1, 5, 5))
    x = [rng.standard_normal((b, h, n, d)).astype("float32") for n in ((t, s, s) if with_key else (t, s))]
    if additive:  # Keras's adds axes for three only
        ours, call = lf.layers.AdditiveAttention(), Call()
        y = ours(x)
        flat = [a.reshape(-1, *a.shape[2:]) for a in x]
        close(y.reshape(-1, *y.shape[2:]), ours.forward(flat, call))
        return
    ours, theirs = (k.layers.Attention(**options) for k in (lf, keras))
    call = Call()
    call.arguments = {"return_attention_scores": scores, "use_causal_mask": causal}
    compare(ours, theirs, x, call, lambda tensors: theirs(tensors, **call.arguments), rng)


def test_graph_and_files(rng, tmp_path):
    def network(k):
        x = k.Input((3, 4, 5))
        y = k.layers.MultiHeadAttention(2, 3, attention_axes=2, name="a")(x, x)
        y = k.layers.Attention(name="b")([y, x])
        return k.Model(x, k.layers.MultiHeadAttention(2, 3, name="c")(y, y))

    ours, theirs = network(lf), network(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    close(ours(x), theirs.predict(x, verbose=0))
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours(x))
    close(lf.saving.load_model(tmp_path / "theirs.keras")(x), ours(x))
