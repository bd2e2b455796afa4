# SPDX-License-Identifier: BSD-3-Clause
"""Normalization layers against the real Keras 3: outputs, gradients, moving statistics, configurations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call
from lstmfast.testing import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    # Not below 0.1: the gradient of a normalized vector of few elements is the rest of sums that cancel.
    scale = max(float(np.abs(expected).max(initial=0.0)), 0.1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def compare(kind, options, x, rng, training=False, mask=None):
    """Ours against Keras's in float64: Keras's float32 loses digits where the variance is small beside the mean."""
    ours, theirs = (
        getattr(lf.layers, kind)(**options),
        getattr(keras.layers, kind)(dtype="float64", **options),
    )
    for layer in (ours, theirs):
        if not layer.built:
            layer.build(x.shape)
    values = [rng.uniform(0.5, 2, v.shape).astype("float32") for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    call = Call(training, save=True, needs_dx=True, mask=mask)
    call_options = {"training": training} if isinstance(theirs, keras.layers.BatchNormalization) else {}
    if mask is not None:
        call_options["mask"] = torch.tensor(mask)
    y = ours.forward(x, call)
    xt = torch.tensor(x.astype("float64"), requires_grad=True)
    yt = theirs(xt, **call_options)
    close(y, yt.detach().numpy(), "y")
    assert y.dtype == np.float32
    dy = rng.standard_normal(y.shape).astype("float32")
    dx = ours.backward(dy, call)
    (yt * torch.tensor(dy)).sum().backward()
    close(dx, xt.grad.numpy(), "dx")
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        close(a.value, keras.ops.convert_to_numpy(b.value), a.path)
        if b.trainable:
            close(a.grad, b.value.grad.numpy(), f"d {a.path}")


SHAPES = [(3, 6), (2, 4, 6), (2, 3, 2, 6)]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["LayerNormalization", "RMSNormalization", "UnitNormalization"]),
    shape=st.sampled_from(SHAPES),
    center=st.booleans(),
    scale=st.booleans(),
    epsilon=st.sampled_from([1e-3, 1e-6, 0.1]),
    data=st.data(),
)
def test_over_features(kind, shape, center, scale, epsilon, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    n = len(shape)
    axes = [-1, n - 1, [-1], [n - 1], *([] if n < 3 else [[n - 2, n - 1], [-2, -1], (-1, -2), [1, n - 1]])]
    if kind == "LayerNormalization":
        axes += [] if n == 2 else [[0, n - 1]]
    axis = data.draw(st.sampled_from(axes))
    if kind == "UnitNormalization" and isinstance(axis, list):
        axis = tuple(axis)
    options = {"axis": axis}
    if kind == "LayerNormalization":
        options.update(center=center, scale=scale, epsilon=epsilon, rms_scaling=data.draw(st.booleans()))
    elif kind == "RMSNormalization":
        options["epsilon"] = epsilon
    x = rng.standard_normal(shape).astype("float32") * 2 + 1
    if kind == "RMSNormalization" and axis == [1, n - 1] and n > 3:
        return  # Keras on torch multiplies along the wrong axes
    compare(kind, options, x, rng)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    groups=st.sampled_from([1, 2, 3, 6, -1]),
    center=st.booleans(),
    scale=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_groups(shape, groups, center, scale, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype("float32") * 2 + 1
    # A large epsilon: Keras multiplies out (x - mean) / deviation, and loses digits in groups with a small one.
    options = {"groups": groups, "center": center, "scale": scale, "epsilon": 0.1}
    compare("GroupNormalization", options, x, rng)
    x = np.moveaxis(x, -1, 1)
    options["axis"] = 1
    compare("GroupNormalization", options, x, rng)


@settings(max_examples=50, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    training=st.booleans(),
    trainable=st.booleans(),
    masked=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "center": st.booleans(),
            "scale": st.booleans(),
            "momentum": st.sampled_from([0.99, 0.5]),
            "epsilon": st.sampled_from([1e-3, 0.1]),
        }
    ),
    axis=st.sampled_from([-1, 1]),
    seed=st.integers(0, 2**16),
)
def test_batch(shape, training, trainable, masked, options, axis, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype("float32") * 2 + 1
    mask = rng.random(shape[:-1]) < 0.7 if masked else None
    if masked:
        mask.reshape(-1)[:2] = True
    options = {**options, "axis": axis, "trainable": trainable}
    compare("BatchNormalization", options, x, rng, training, mask)


CONFIGURATIONS = [
    ("LayerNormalization", {}),
    ("LayerNormalization", {"axis": [1, 2], "center": False, "gamma_regularizer": "l2", "beta_constraint": "non_neg",
                            "gamma_initializer": "zeros", "epsilon": 0.1}),
    ("LayerNormalization", {"rms_scaling": True}),
    ("RMSNormalization", {"axis": 2, "epsilon": 0.1}),
    ("UnitNormalization", {"axis": [1, 2]}),
    ("GroupNormalization", {"groups": 2, "scale": False}),
    ("GroupNormalization", {"groups": -1}),
    ("BatchNormalization", {}),
    ("BatchNormalization", {"axis": 1, "momentum": 0.9, "moving_mean_initializer": "ones", "beta_regularizer": "l1"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CONFIGURATIONS)
def test_configuration(kind, options):
    ours, theirs = (getattr(k.layers, kind)(name="a", **options) for k in (lf, keras))
    for _ in range(2):
        expected = theirs.get_config()
        assert ours.get_config() == expected
        assert type(ours).from_config(expected).get_config() == expected
        for layer in (ours, theirs):
            if not layer.built:
                layer.build((None, 3, 4))
    assert [(v.path, v.shape, v.trainable) for v in ours.weights] == [
        (v.path, tuple(v.shape), v.trainable) for v in theirs.weights
    ]
    assert ours.compute_output_shape((None, 3, 4)) == theirs.compute_output_shape((None, 3, 4))


ERRORS = [
    ("LayerNormalization", {"axis": "1"}),
    ("LayerNormalization", {"axis": 5}),
    ("UnitNormalization", {"axis": None}),
    ("GroupNormalization", {"groups": 0}),
    ("GroupNormalization", {"groups": 3}),
    ("GroupNormalization", {"groups": 8}),
    ("BatchNormalization", {"synchronized": True}),
    ("UnitNormalization", {"axis": 7}),
]


@pytest.mark.parametrize(("kind", "options"), ERRORS, ids=str)
def test_errors(kind, options):
    raised = []
    for k in (lf, keras):
        with pytest.raises((ValueError, TypeError, IndexError)) as info:
            getattr(k.layers, kind)(**options)(k.Input((3, 4)))
        raised.append(info.type if info.type is not IndexError else ValueError)
    assert raised[0] is raised[1]


def test_masks_pass_through_and_training_agrees(rng):
    def make(k):
        model = k.Sequential(
            [
                k.Input((5, 3)),
                k.layers.Masking(),
                k.layers.BatchNormalization(momentum=0.5),
                k.layers.LSTM(4, return_sequences=True),
                k.layers.LayerNormalization(),
                k.layers.GRU(3),
                k.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse")
        return model

    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((12, 5, 3)).astype("float32")
    x[:4, 3:] = 0
    y = rng.standard_normal((12, 1)).astype("float32")
    for _ in range(5):
        assert ours.train_on_batch(x, y) == pytest.approx(float(theirs.train_on_batch(x, y)), rel=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(b).max()))
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_by_differences(training, rng):
    """In float64: no rounding to hide behind."""
    x = rng.standard_normal((4, 3, 6))
    layers = lf.layers
    made = [
        *(layers.LayerNormalization(axis=axis) for axis in (-1, 1, [1, 2])),
        *(layers.RMSNormalization(axis=axis) for axis in (-1, 1)),
        layers.UnitNormalization(),
        layers.GroupNormalization(3),
        layers.BatchNormalization(),
    ]
    for layer in made:
        assert max(check_gradients(layer, x, training=training).values()) < 1e-5
    mask = rng.random((4, 3)) < 0.6
    layer = lf.layers.BatchNormalization()
    assert max(check_gradients(layer, x, training=training, mask=mask).values()) < 1e-5
    lengths = np.array([3, 1, 2, 0])
    assert max(check_gradients(layer, x, training=training, lengths=lengths).values()) < 1e-5
    by_mask, by_lengths = lf.layers.BatchNormalization(), lf.layers.BatchNormalization()
    y = by_mask(x, training=training, mask=np.arange(3) < lengths[:, None])
    np.testing.assert_array_equal(y, by_lengths(x, training=training, lengths=lengths))


def test_many_rows_keep_their_precision(rng):
    """Sums over a million rows are exact to float32, also far from 0."""
    x = (rng.standard_normal((1_000_000, 2)) + 100).astype("float32")
    layer = lf.layers.BatchNormalization(momentum=0.0, epsilon=1e-6)
    y = layer(x, training=True)
    exact = x.astype("float64")
    np.testing.assert_allclose(layer.moving_mean.numpy(), exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(layer.moving_variance.numpy(), exact.var(axis=0), rtol=1e-5)
    expected = (exact[:9] - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-6)
    # x itself has 24 bits: at 100 the deviations of about 1 carry 4e-6 of it.
    np.testing.assert_allclose(y[:9], expected, atol=1e-5)


def test_files_both_ways(tmp_path, rng):
    pytest.importorskip("h5py")

    def make(k):
        return k.Sequential([
            k.Input((5, 4)), k.layers.BatchNormalization(), k.layers.LayerNormalization(), k.layers.RMSNormalization(),
            k.layers.UnitNormalization(), k.layers.GroupNormalization(2), k.layers.LSTM(3),
        ])  # fmt: skip

    x = rng.standard_normal((3, 5, 4)).astype("float32")
    ours, theirs = make(lf), make(keras)
    ours.layers[0](x, training=True)
    theirs.layers[0](x, training=True)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    close(keras.saving.load_model(tmp_path / "ours.keras")(x).detach().numpy(), ours.predict(x, verbose=0))
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs(x).detach().numpy())
    ours.save(tmp_path / "ours.safetensors")
    np.testing.assert_array_equal(
        lf.saving.load_model(tmp_path / "ours.safetensors").predict(x, verbose=0), ours.predict(x, verbose=0)
    )
