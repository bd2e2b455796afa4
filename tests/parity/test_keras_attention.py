# SPDX-License-Identifier: BSD-3-Clause
"""Attention layers and EinsumDense against the real Keras 3: outputs, gradients, masks, configurations, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attention_parity import close, compare, masks_for
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call
from lstmfast.testing import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

MASKED = st.sampled_from(["neither", "query", "value", "both"])


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(["Attention", "AdditiveAttention"]),
    score_mode=st.sampled_from(["dot", "concat"]),
    use_scale=st.booleans(),
    with_key=st.booleans(),
    scores=st.booleans(),
    causal=st.booleans(),
    masked=MASKED,
    seed=st.integers(0, 2**16),
)
def test_attention(kind, score_mode, use_scale, with_key, scores, causal, masked, seed):
    rng = np.random.default_rng(seed)
    b, t, s, d = (int(n) for n in rng.integers(1, 5, 4))
    x = [rng.standard_normal((b, n, d)).astype("float32") for n in ((t, s, s) if with_key else (t, s))]
    options = {"use_scale": use_scale}
    if kind == "Attention":
        options["score_mode"] = score_mode
    ours, theirs = (getattr(k.layers, kind)(**options) for k in (lf, keras))
    mask = masks_for(rng, (b, t), (b, s), masked)
    call = Call(mask=None if mask is None else [*mask, None][: len(x)])
    call.arguments = {"return_attention_scores": scores, "use_causal_mask": causal}

    def run(tensors):
        given = None if mask is None else [None if m is None else torch.tensor(m) for m in mask]
        return theirs(tensors, mask=given, **call.arguments)

    compare(ours, theirs, x, call, run, rng)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    options=st.fixed_dictionaries(
        {
            "num_heads": st.integers(1, 3),
            "key_dim": st.integers(1, 4),
            "value_dim": st.sampled_from([None, 1, 3]),
            "use_bias": st.booleans(),
            "output_shape": st.sampled_from([None, 5, (2, 3)]),
            "use_gate": st.booleans(),
            "sliding_window": st.sampled_from([None, 1, 2]),
        }
    ),
    with_key=st.booleans(),
    scores=st.booleans(),
    causal=st.booleans(),
    masked=st.sampled_from(["neither", "value"]),
    attention=st.sampled_from([None, 2, 3, 4]),
    seed=st.integers(0, 2**16),
)
def test_multi_head_attention(options, with_key, scores, causal, masked, attention, seed):
    rng = np.random.default_rng(seed)
    b, t, s = (int(n) for n in rng.integers(1, 5, 3))
    sizes = rng.integers(1, 6, 3)
    x = [rng.standard_normal((b, n, m)).astype("float32") for n, m in zip((t, s, s), sizes, strict=True)]
    x = x if with_key else x[:2]
    ours, theirs = (k.layers.MultiHeadAttention(**options) for k in (lf, keras))
    mask = masks_for(rng, (b, t), (b, s), masked)
    call = Call(mask=None if mask is None else [*mask, None][: len(x)])
    call.arguments = {"return_attention_scores": scores, "use_causal_mask": causal}
    given = {}
    if mask is not None:
        given["value_mask"] = torch.tensor(mask[1])
    if attention is not None:
        shape = {2: (t, s), 3: (b, t, s), 4: (b, options["num_heads"], t, s)}[attention]
        if attention == 4 and mask is not None:
            return  # Keras adds axes of its own in another place
        seen = rng.random(shape) < 0.7
        given["attention_mask"] = torch.tensor(seen if attention != 2 else np.broadcast_to(seen, (b, t, s)))
        x = [*x, seen] if with_key else [*x, x[1], seen]
        call.arguments["attention_mask"] = True
        if not with_key:
            call.arguments["key"] = False
    flags = {key: call.arguments[key] for key in ("return_attention_scores", "use_causal_mask")}

    seen = ours._mask(x, call)
    assume(seen is None or seen.any(axis=-1).all())  # torch's gradient of rows that see nothing is not one

    def run(tensors):
        key = tensors[2] if with_key else None
        return theirs(tensors[0], tensors[1], key=key, **given, **flags)

    compare(ours, theirs, x, call, run, rng, value_twice=attention is not None and not with_key)


@settings(max_examples=20, deadline=None)
@given(
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (3, 3)]),
    use_gate=st.booleans(),
    with_key=st.booleans(),
    scores=st.booleans(),
    causal=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_group_query_attention(heads, use_gate, with_key, scores, causal, seed):
    rng = np.random.default_rng(seed)
    b, t, s = (int(n) for n in rng.integers(1, 5, 3))
    x = [rng.standard_normal((b, n, 3)).astype("float32") for n in ((t, s, s) if with_key else (t, s))]
    ours, theirs = (k.layers.GroupQueryAttention(4, *heads, use_gate=use_gate) for k in (lf, keras))
    call = Call()
    call.arguments = {"return_attention_scores": scores, "use_causal_mask": causal}

    def run(tensors):
        return theirs(tensors[0], tensors[1], key=tensors[2] if with_key else None, **call.arguments)

    compare(ours, theirs, x, call, run, rng)


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_queries_that_see_nothing(scores, dropout, rng):
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    ours, theirs = (k.layers.MultiHeadAttention(2, 3, dropout=dropout) for k in (lf, keras))
    seen = rng.random((2, 4, 4)) < 0.5
    seen[0, 1], seen[1, :, :] = False, False
    ours.ensure_built([x.shape, x.shape])
    theirs.build(x.shape, x.shape)
    theirs.set_weights(ours.get_weights())
    y = ours(x, x, attention_mask=seen, return_attention_scores=scores)
    expected = theirs(x, x, attention_mask=seen, return_attention_scores=scores)
    for a, b in zip(*(v if scores else [v] for v in (y, expected)), strict=True):
        close(a, b.detach().numpy())
    causal = ours(x, x, use_causal_mask=True, query_mask=np.ones((2, 4), bool))
    close(causal, theirs(x, x, use_causal_mask=True).detach().numpy())


EQUATIONS = [
    ("abc,cd->abd", (None, 5), "d", (2, 3, 4)),
    ("abc,cde->abde", (None, 2, 3), "de", (2, 3, 4)),
    ("abcd,cde->abe", (None, 5), "e", (2, 3, 4, 2)),
    ("abc,cde->abde", (None, 2, 3), "e", (2, 3, 4)),
    ("abc,cde->abde", (None, 2, 3), "d", (2, 3, 4)),
    ("ab,bc->ac", 5, None, (3, 4)),
    ("...x,xy->...y", 5, "y", (2, 3, 4)),
    ("...x,xy->...y", 5, "y", (2, 4)),
    ("ab...,bc->ac...", (5, None), "c", (2, 3, 4)),
    ("abc,bd->adc", (5, None), "d", (2, 3, 4)),
    ("abc,dc->abd", (None, 5), "d", (2, 3, 4)),
    ("abc,bcd->abd", (3, 5), "bd", (2, 3, 4)),
    ("abc,ce->abe", (3, 5), "be", (2, 3, 4)),
]


@pytest.mark.parametrize(("equation", "output_shape", "bias_axes", "shape"), EQUATIONS)
@pytest.mark.parametrize("activation", [None, "tanh", "gelu"])
def test_einsum_dense(equation, output_shape, bias_axes, shape, activation, rng):
    options = {"output_shape": output_shape, "bias_axes": bias_axes, "activation": activation, "name": "e"}
    ours, theirs = (k.layers.EinsumDense(equation, **options) for k in (lf, keras))
    x = rng.standard_normal(shape).astype("float32")
    compare(ours, theirs, [x], Call(), lambda tensors: theirs(tensors[0]), rng)
    # Keras gives None where `output_shape` says so; ours knows the input's sizes.
    for a, b in zip(ours.compute_output_shape(shape), theirs.compute_output_shape(shape), strict=False):
        assert a == b or b is None or "." in equation
    assert ours.compute_output_shape(shape) == ours(x).shape
    assert [(v.path, v.shape) for v in ours.weights] == [(v.path, tuple(v.shape)) for v in theirs.weights]
    assert ours.get_config() == theirs.get_config()
    assert lf.layers.EinsumDense.from_config(theirs.get_config()).get_config() == theirs.get_config()


@pytest.mark.parametrize(
    ("equation", "output_shape", "bias_axes"),
    [
        ("abc", 5, None),
        ("abc,cd->abd", (None, 5), "z"),
        ("abc,cd->abd", (7, 5), None),
    ],
)
def test_einsum_dense_errors(equation, output_shape, bias_axes):
    for k in (lf, keras):
        with pytest.raises(ValueError):
            k.layers.EinsumDense(equation, output_shape, bias_axes=bias_axes).build((2, 3, 4))


CONFIGURATIONS = [
    ("Attention", (), {}),
    ("Attention", (True, "concat", 0.1, 3), {}),
    ("AdditiveAttention", (False, 0.2), {"seed": 1}),
    ("GroupQueryAttention", (3, 4, 2), {}),
    ("GroupQueryAttention", (3, 4, 4, 0.1, False, 2), {"kernel_regularizer": "l2", "use_gate": True, "seed": 4}),
    ("MultiHeadAttention", (2, 3), {}),
    ("MultiHeadAttention", (2, 3, 4, 0.1, False, (5, 6), 1), {"sliding_window": 3, "kernel_initializer": "he_normal",
     "kernel_regularizer": "l2", "bias_constraint": "non_neg", "use_gate": True, "seed": 4, "trainable": False}),
]  # fmt: skip


def as_json(config):
    return json.loads(json.dumps(config))


@pytest.mark.parametrize(("kind", "args", "kwargs"), CONFIGURATIONS)
def test_configuration(kind, args, kwargs):
    ours, theirs = (getattr(k.layers, kind)(*args, name="a", **kwargs) for k in (lf, keras))
    expected = theirs.get_config()
    assert ours.get_config() == expected
    assert type(ours).from_config(expected).get_config() == expected
    for k, layer in ((lf, ours), (keras, theirs)):
        q, v = k.Input((4, 3)), k.Input((5, 3))
        layer([q, v]) if kind in ("Attention", "AdditiveAttention") else layer(q, v)
    assert [(v.path, v.shape) for v in ours.weights] == [(v.path, tuple(v.shape)) for v in theirs.weights]
    assert len(ours.trainable_variables) == len(theirs.trainable_variables)
    assert as_json(ours.get_config()) == as_json(theirs.get_config())
    assert as_json(ours.get_build_config()) == as_json(theirs.get_build_config())


ERRORS = [
    ("Attention", {"score_mode": "sum"}),
    ("GroupQueryAttention", {"head_dim": 2, "num_query_heads": 3, "num_key_value_heads": 2}),
    ("MultiHeadAttention", {"num_heads": 0, "key_dim": 2}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": -1}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 2, "value_dim": 1.5}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 2, "sliding_window": 0}),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 2, "attention_axes": "time"}),
]


@pytest.mark.parametrize(("kind", "options"), ERRORS, ids=str)
def test_argument_errors(kind, options):
    for k in (lf, keras):
        with pytest.raises(
            ValueError, match=list(options)[-1] if options.get("num_heads") != 0 else "num_heads"
        ):
            getattr(k.layers, kind)(**options)


def test_input_errors(rng):
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4))
    for k in (lf, keras):
        for inputs in (a, [a], [a, a, a, a]):
            with pytest.raises(ValueError, match=r"must be called on a list|accepts inputs list"):
                k.layers.Attention()(inputs)
        with pytest.raises(ValueError, match="mask"):
            k.layers.Attention()([a, b], mask=np.ones((2, 3), bool))
        with pytest.raises(ValueError, match="must be equal"):
            k.layers.MultiHeadAttention(2, 2)(a, a, key=b)
    with pytest.raises(ValueError, match="attention_mask"):
        lf.layers.MultiHeadAttention(2, 2)(a, b, attention_mask=np.ones((5, 3), bool))
    for axes in ((1, 2), 2, -1, (1, 1), 0):
        with pytest.raises(ValueError, match="attention_axes"):
            lf.layers.MultiHeadAttention(2, 2, attention_axes=axes)(a, a)
    for shape in ((2, 3, 5, 4), (2, 4)):
        with pytest.raises(ValueError, match="as many"):
            lf.layers.MultiHeadAttention(2, 2)(a, np.ones(shape))
    with pytest.raises(ValueError, match="one size of axis 1"):
        lf.layers.MultiHeadAttention(2, 2, attention_axes=2)(np.ones((2, 3, 4, 5)), np.ones((2, 2, 4, 5)))
    with pytest.raises(ValueError, match="lengths"):
        model = lf.Model(x := lf.Input((3, 4)), lf.layers.Attention()([x, x]))
        model(a, lengths=[1, 2])


def graph(k):
    """Ids with padding through every attention, an attention mask as an input, scores as an output.

    No tensor is used again behind a MultiHeadAttention that took it: Keras on torch strips its mask there.
    """
    ids, seen = k.Input((5,), dtype="int32", name="ids"), k.Input((5, 5), name="seen")
    e = k.layers.Embedding(7, 4, mask_zero=True, name="e")(ids)
    b = k.layers.Attention(use_scale=True, name="b")([e, e])
    query, value, key, memory = (k.layers.LayerNormalization(name=name)(e) for name in ("q", "v", "k", "m"))
    a = k.layers.MultiHeadAttention(2, 3, use_gate=True, name="a")(query, b, use_causal_mask=True)
    c, scores = k.layers.MultiHeadAttention(2, 3, name="c")(
        a, value, key=key, attention_mask=seen, return_attention_scores=True
    )
    n = k.layers.BatchNormalization(name="n")(c)
    d = k.layers.AdditiveAttention(name="d")([n, memory])
    g = k.layers.GroupQueryAttention(3, 4, 2, use_gate=True, name="g")(d, d)
    out = k.layers.LSTM(3, name="out")(g)
    return k.Model([ids, seen], [out, scores, k.layers.LayerNormalization(name="last")(n)])


def test_graphs_and_files(tmp_path, rng):
    pytest.importorskip("h5py")
    ours, theirs = graph(lf), graph(keras)
    values = {v.path: rng.standard_normal(v.shape).astype("float32") * 0.5 for v in ours.weights}
    for model in (ours, theirs):
        for v in model.weights:
            v.assign(np.abs(values[v.path]) if "moving" in v.path else values[v.path])
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2], [3, 0, 0, 0, 0]], "int32")
    seen = (rng.random((3, 5, 5)) < 0.8).astype("float32")
    x = [ids, seen]

    def same(outputs, others):
        for a, b in zip(outputs, others, strict=True):
            close(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))

    same(ours.predict(x, verbose=0), theirs(x))
    assert [layer.name for layer in ours.layers] == [
        layer.name for layer in theirs.layers if not layer.name.startswith(("any", "not_equal", "convert"))
    ]
    ours.save(tmp_path / "ours.keras")
    same(keras.saving.load_model(tmp_path / "ours.keras")(x), ours.predict(x, verbose=0))
    theirs.save(tmp_path / "theirs.keras")
    same(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs(x))
    ours.save(tmp_path / "ours.safetensors")
    same(
        lf.saving.load_model(tmp_path / "ours.safetensors").predict(x, verbose=0), ours.predict(x, verbose=0)
    )
    check_gradients(ours, x, tolerance=1e-2, samples=20)


@pytest.mark.parametrize("training", [False, True])
def test_by_differences(training, rng):
    q, v = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 5, 4))
    layers = lf.layers
    for layer in (layers.Attention(True, dropout=0.3), layers.Attention(True, "concat"), layers.AdditiveAttention(),
                  layers.MultiHeadAttention(2, 3, dropout=0.3, use_gate=True)):  # fmt: skip
        for scores in (False, True):
            check_gradients(layer, [q, v], training=training, tolerance=5e-3, return_attention_scores=scores)


def test_dropout(rng):
    x = np.ones((4, 50, 3), "float32")
    layer = lf.layers.Attention(dropout=0.5, seed=1)
    _, weights = layer([x, x], training=True, return_attention_scores=True)
    assert 0.4 < (weights == 0).mean() < 0.6
    np.testing.assert_allclose(weights[weights > 0], 2 / 50, rtol=1e-5)
    _, weights = layer([x, x], return_attention_scores=True)
    np.testing.assert_allclose(weights, 1 / 50, rtol=1e-5)


def test_scores_asked_for_in_a_graph_are_no_hindrance_to_training(rng):
    """`fit` finds the outputs' shapes of a call that gives two arrays where the layer alone gives one."""
    x, y = rng.normal(size=(12, 4, 3)), rng.normal(size=(12, 4, 3))
    losses = []
    for k in (lf, keras):
        given = k.Input((4, 3))
        context, scores = k.layers.Attention(use_scale=True)([given, given], return_attention_scores=True)
        model = k.Model(given, k.layers.Dense(3, kernel_initializer="ones", name="out")(context))
        model.compile("sgd", "mse")
        history = model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0).history
        losses.append(history["loss"])
        np.testing.assert_allclose(k.Model(given, scores).predict(x, verbose=0).sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
