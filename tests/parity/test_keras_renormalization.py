# SPDX-License-Identifier: BSD-3-Clause
"""Batch renormalization and spectral normalization against Keras: several steps of both, configurations, files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, floats, keras, same_configuration, same_error, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")


def steps_agree(ours, theirs, x, rng, least=0.1, **call_options):
    """Three steps of training and one of inference: outputs, gradients, all weights after each."""
    for layer in (ours, theirs):
        if not layer.built:
            layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    for training in (True, True, True, False):
        x = x + floats(rng, *x.shape) / 2 if x.dtype.kind == "f" else x
        call = Call(training, save=True, needs_dx=True, mask=call_options.get("mask"))
        y = ours.forward(x, call)
        given_x = torch.tensor(x, requires_grad=x.dtype.kind == "f")
        given = {key: torch.tensor(value) for key, value in call_options.items()}
        expected = theirs(given_x, training=training, **given)
        close(y, expected.detach().numpy(), "y", least)
        dy = floats(rng, *y.shape)
        dx = ours.backward(dy, call)
        (expected * torch.tensor(dy)).sum().backward()
        if given_x.grad is not None:
            close(dx, given_x.grad.numpy(), "dx", least)
        for a, b in zip(ours.weights, theirs.weights, strict=True):
            assert (a.path, a.trainable) == (b.path, b.trainable)
            close(a.value, b.value.detach().numpy(), a.path, least)
            if b.trainable:
                close(a.grad, b.value.grad.numpy(), f"d {a.path}", max(least, 1.0))
                b.value.grad = None
                a.clear_grad()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5, 3), (2, 4, 3), (2, 3, 2, 3)]),
    masked=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "center": st.booleans(),
            "scale": st.booleans(),
            "epsilon": st.sampled_from([1e-3, 0.1]),
            "momentum": st.sampled_from([0.99, 0.5]),
            "renorm_momentum": st.sampled_from([0.99, 0.3]),
            "renorm_clipping": st.sampled_from(
                [None, {"rmax": 1.2, "rmin": 0.8}, {"dmax": 0.3}, {"rmax": 1.1}]
            ),
            "axis": st.sampled_from([-1, 1]),
        }
    ),
    seed=st.integers(0, 2**16),
)
def test_batch_renormalization(shape, masked, options, seed):
    rng = np.random.default_rng(seed)
    x = floats(rng, *shape) * 2 + 1
    mask = {}
    if masked:
        mask["mask"] = rng.random(shape[:-1]) < 0.7
        mask["mask"].reshape(-1)[:3] = True
    ours, theirs = (k.layers.BatchNormalization(renorm=True, name="a", **options) for k in (lf, keras))
    if masked and options["axis"] == 1 and len(shape) > 2:
        return  # Keras's masked statistics are of the last axis
    steps_agree(ours, theirs, x, rng, **mask)


def test_first_deviations_are_roots_of_the_variance_initializer():
    ours, theirs = (
        k.layers.BatchNormalization(renorm=True, moving_variance_initializer=k.initializers.Constant(4.0))
        for k in (lf, keras)
    )
    for layer in (ours, theirs):
        layer.build((None, 3))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30, deadline=None)
@given(
    layer=st.sampled_from(
        [
            (lambda k: k.layers.Dense(3, name="d"), (2, 4)),
            (lambda k: k.layers.Dense(3, activation="tanh", use_bias=False, name="d"), (2, 3, 4)),
            (lambda k: k.layers.Conv1D(3, 2, name="d"), (2, 5, 4)),
            (lambda k: k.layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="d"), (2, 3, 4)),
        ]
    ),
    power_iterations=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_spectral_normalization(layer, power_iterations, seed):
    rng = np.random.default_rng(seed)
    make, shape = layer
    ours, theirs = (k.layers.SpectralNormalization(make(k), power_iterations, name="a") for k in (lf, keras))
    steps_agree(ours, theirs, floats(rng, *shape), rng)


def test_spectral_normalization_of_embeddings(rng):
    ours, theirs = (k.layers.SpectralNormalization(k.layers.Embedding(7, 3)) for k in (lf, keras))
    ids = rng.integers(0, 7, (2, 5))
    expected = theirs(ids.astype("float32"))
    ours(ids)
    theirs.set_weights(ours.get_weights())
    expected = theirs(ids.astype("float32"), training=True)
    close(ours(ids, training=True), expected.detach().numpy())
    close(ours.vector_u.value, theirs.vector_u.value.detach().numpy())


def test_a_kernel_of_zeros_stays():
    layer = lf.layers.SpectralNormalization(lf.layers.Dense(2, kernel_initializer="zeros"))
    np.testing.assert_array_equal(layer(np.ones((1, 3)), training=True), np.zeros((1, 2)))


def test_lengths_pass_through_and_it_freezes(rng):
    model = lf.Sequential(
        [lf.Input((None, 3)), lf.layers.SpectralNormalization(lf.layers.Conv1D(4, 2)), lf.layers.GRU(2)]
    )
    x, lengths = floats(rng, 2, 6, 3), np.array([6, 3])
    y = model(x, lengths=lengths)
    np.testing.assert_array_equal(y[1:], model(x[1:, :3]))
    np.testing.assert_array_equal(model.freeze()(x, lengths=lengths), y)


def test_configurations():
    same_configuration(
        lambda k: k.layers.BatchNormalization(
            renorm=True, renorm_clipping={"rmax": 2.0}, renorm_momentum=0.5, name="a"
        )
    )
    same_configuration(lambda k: k.layers.BatchNormalization(renorm=True, name="a"))
    same_configuration(
        lambda k: k.layers.SpectralNormalization(k.layers.Dense(2, name="d"), 3, name="a"), nested=True
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping={"r": 1.0}),
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping={"rmax": 0.5, "rmin": 1.0}),
        lambda k: k.layers.BatchNormalization(renorm=True, renorm_clipping={"dmax": -1.0}),
        lambda k: k.layers.SpectralNormalization(k.layers.Dense(2), 0),
        lambda k: k.layers.SpectralNormalization(k.layers.ReLU())(np.ones((2, 3))),
        lambda k: k.layers.SpectralNormalization(3),
    ],
)
def test_errors(make):
    same_error(make)


def network(k):
    return k.Sequential(
        [k.Input((6, 3)), k.layers.SpectralNormalization(k.layers.Conv1D(4, 2)),
         k.layers.BatchNormalization(renorm=True, momentum=0.5, renorm_clipping={"rmax": 1.5, "dmax": 1.0}),
         k.layers.LSTM(3), k.layers.SpectralNormalization(k.layers.Dense(2), 2)]
    )  # fmt: skip


def test_training_and_files(rng, tmp_path):
    ours, theirs = network(lf), network(keras)
    theirs.set_weights(ours.get_weights())
    x, y = floats(rng, 9, 6, 3), floats(rng, 9, 2)
    for model in (ours, theirs):
        model.compile("adam", "mse")
    for _ in range(5):
        np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), rtol=1e-5)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours.predict(x, verbose=0))
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs.predict(x, verbose=0))
