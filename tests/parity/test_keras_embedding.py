# SPDX-License-Identifier: BSD-3-Clause
"""Embedding and Masking against the real Keras 3: values, masks in graphs, training with constraints, arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(3,), (2, 5), (2, 3, 4), (1, 1)]),
    words=st.integers(1, 9),
    width=st.integers(1, 5),
    mask_zero=st.booleans(),
    dtype=st.sampled_from(["int32", "int64", "uint8", "float32"]),
    seed=st.integers(0, 2**16),
)
def test_embedding(shape, words, width, mask_zero, dtype, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, words, shape).astype(dtype)
    ours, theirs = (k.layers.Embedding(words, width, mask_zero=mask_zero) for k in (lf, keras))
    ours.build(shape)
    theirs.build(shape)
    theirs.set_weights(ours.get_weights())
    call = Call(save=True)
    y, expected = ours.forward(ids, call), theirs(torch.tensor(ids))
    np.testing.assert_array_equal(y, expected.detach().numpy())
    dy = rng.standard_normal(y.shape).astype("float32")
    ours.backward(dy, call)
    (expected * torch.tensor(dy)).sum().backward()
    close(ours.embeddings.grad, theirs.embeddings.value.grad.numpy())
    mask, theirs_mask = ours.compute_mask(ids), theirs.compute_mask(torch.tensor(ids))
    assert (mask is None) == (theirs_mask is None)
    if mask_zero:
        np.testing.assert_array_equal(mask, theirs_mask.numpy())
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from([(2, 3), (2, 5, 3), (2, 3, 2, 3)]),
    value=st.sampled_from([0.0, -1.0, 1.5, [0.0, 1.0, -1.0]]),
    seed=st.integers(0, 2**16),
)
def test_masking(shape, value, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 3, shape).astype("float32") / 2
    x[rng.random(shape[:-1]) < 0.4] = value
    given = np.array(value, "float32") if isinstance(value, list) else value
    ours, theirs = lf.layers.Masking(given), keras.layers.Masking(given)
    call = Call(save=True, needs_dx=True)
    tensor = torch.tensor(x, requires_grad=True)
    y, expected = ours.forward(x, call), theirs(tensor)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    np.testing.assert_array_equal(ours.compute_mask(x), theirs.compute_mask(torch.tensor(x)).numpy())
    dy = rng.standard_normal(shape).astype("float32")
    (expected * torch.tensor(dy)).sum().backward()
    np.testing.assert_array_equal(ours.backward(dy, call), tensor.grad.numpy())


def test_masking_with_an_array_is_saved(tmp_path, rng):
    model = lf.Sequential([lf.Input((4, 3)), lf.layers.Masking(np.array([1.0, 2.0, 3.0])), lf.layers.GRU(2)])
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    x[0, 2:] = [1, 2, 3]
    model.save(tmp_path / "m.safetensors")
    again = lf.saving.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises(ValueError, match="mask_value is an array"):
        model.freeze()


INITIALIZERS = ["uniform", "zeros", "random_normal", "glorot_uniform", "identity"]


@pytest.mark.parametrize("initializer", INITIALIZERS)
@pytest.mark.parametrize(
    "extra", [{}, {"mask_zero": True, "embeddings_constraint": "unit_norm", "trainable": False}]
)
def test_configuration(initializer, extra):
    options = {"embeddings_initializer": initializer, "embeddings_regularizer": "l1", "name": "e", **extra}
    ours, theirs = (k.layers.Embedding(4, 4, **options) for k in (lf, keras))
    assert ours.get_config() == theirs.get_config()
    assert lf.layers.Embedding.from_config(theirs.get_config()).get_config() == theirs.get_config()
    ours.build((None,))
    theirs.build((None,))
    if initializer in ("zeros", "identity"):
        np.testing.assert_array_equal(ours.get_weights()[0], theirs.get_weights()[0])


@pytest.mark.parametrize(("args", "options", "match"), [
    ((0, 3), {}, "input_dim"), ((3, 2.5), {}, "output_dim"), ((True, 3), {}, "input_dim"),
    ((3, 3), {"lora_rank": 2}, "lora_rank"), ((3, 3), {"lora_rank": 2, "lora_alpha": 1.0}, "lora"),
    ((3, 3), {"quantization_config": "int8"}, "quantization_config"),
])  # fmt: skip
def test_refused(args, options, match):
    with pytest.raises(ValueError, match=match):
        lf.layers.Embedding(*args, **options)
    if not options:
        with pytest.raises(ValueError, match=match):
            keras.layers.Embedding(*args)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_with_masks_constraint_and_regularizer(optimizer, rng):
    """A table used by two inputs, through layers that pass the mask on: the same losses and weights."""

    def make(k):
        first, second = (
            k.Input((5,), dtype="int32", name="first"),
            k.Input((4,), dtype="int32", name="second"),
        )
        table = k.layers.Embedding(
            7,
            3,
            mask_zero=True,
            embeddings_constraint=k.constraints.MaxNorm(0.5),
            embeddings_regularizer="l2",
            name="t",
        )
        a = k.layers.LSTM(4, name="a")(k.layers.Dense(3, "tanh", name="d")(table(first)))
        b = k.layers.RNN(k.layers.GRUCell(4, name="cell"), name="b")(table(second))
        model = k.Model(
            [first, second], k.layers.Dense(1, name="out")(k.layers.Concatenate(name="c")([a, b]))
        )
        model.compile(optimizer, "mse")
        return model

    ours, theirs = make(lf), make(keras)
    by_path = {v.path: v for v in ours.weights}
    for v in theirs.weights:
        v.assign(by_path[v.path].numpy())
    x = [rng.integers(0, 7, (12, 5)).astype("int32"), rng.integers(0, 7, (12, 4)).astype("int32")]
    x[0][:, 0], x[1][:, 0] = (
        1,
        2,
    )  # a first step that counts: before it, outputs are h0 here and 0 in Keras on torch
    y = rng.standard_normal((12, 1)).astype("float32")
    for _ in range(8):
        assert ours.train_on_batch(x, y) == pytest.approx(float(theirs.train_on_batch(x, y)), rel=1e-4)
    for v in theirs.weights:
        np.testing.assert_allclose(by_path[v.path].numpy(), v.numpy(), atol=1e-5, err_msg=v.path)
    assert np.linalg.norm(by_path["t/embeddings"].numpy(), axis=0).max() <= 0.5 + 1e-6
