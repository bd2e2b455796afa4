# SPDX-License-Identifier: BSD-3-Clause
"""ConvLSTM1D against the real Keras 3: outputs, states, gradients, configurations, files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, floats
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


@st.composite
def options(draw):
    strides, spread = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    return {
        "filters": draw(st.integers(1, 4)),
        "kernel_size": draw(st.integers(1, 4)),
        "strides": strides,
        "dilation_rate": spread,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "data_format": draw(st.sampled_from(["channels_last", "channels_first"])),
        "activation": draw(st.sampled_from(["tanh", "relu", "softmax"])),
        "recurrent_activation": draw(st.sampled_from(["sigmoid", "hard_sigmoid"])),
        "use_bias": draw(st.booleans()),
        "unit_forget_bias": draw(st.booleans()),
        "return_sequences": draw(st.booleans()),
        "go_backwards": draw(st.booleans()),
    }


@settings(max_examples=25, deadline=None)
@given(options(), st.booleans(), st.booleans(), st.integers(0, 2**16))
def test_like_keras(options, masked, given_states, seed):
    rng = np.random.default_rng(seed)
    x = floats(rng, 2, 4, 9, 3)
    x = np.ascontiguousarray(x.swapaxes(2, 3)) if options["data_format"] == "channels_first" else x
    mask = rng.random((2, 4)) > 0.3 if masked else None
    ours, theirs = (package.layers.ConvLSTM1D(**options, return_state=True) for package in (lf, keras))
    ours.ensure_built(x.shape)
    theirs.build(x.shape)
    values = [floats(rng, *v.shape) / np.float32(3) for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    states = [floats(rng, *s) for s in theirs.compute_output_shape(x.shape)[1:]] if given_states else None
    if given_states and masked:
        mask[:, -1 if options["go_backwards"] else 0] = True  # before the first valid step backends differ

    call = Call(save=True, needs_dx=True, mask=mask)
    call.initial_state = None if states is None else tuple(states)
    results = ours.forward(x, call)
    t = torch.tensor(x, requires_grad=True)
    expected = theirs(
        t,
        initial_state=None if states is None else [torch.tensor(s) for s in states],
        mask=None if mask is None else torch.tensor(mask),
    )
    for y, e in zip(results, expected, strict=True):
        close(y, e.detach().numpy())
    dys = [floats(rng, *y.shape) for y in results]
    dx = ours.backward(tuple(dys), call)
    sum((e * torch.tensor(d)).sum() for e, d in zip(expected, dys, strict=True)).backward()
    close(dx, t.grad.numpy(), "dx", least=1e-2)
    for variable, other in zip(ours.weights, theirs.weights, strict=True):
        close(variable.grad, other.value.grad.numpy(), variable.name, least=1e-2)

    shape = (None, None, *x.shape[2:])
    assert ours.compute_output_shape(shape) == tuple(map(tuple, theirs.compute_output_shape(shape)))
    configs = [layer.get_config() for layer in (ours, theirs)]
    for config in configs:
        del config["name"]
    assert {k: str(v) for k, v in configs[0].items()} == {k: str(v) for k, v in configs[1].items()}
    assert type(ours).from_config(ours.get_config()).filters == options["filters"]


def test_files_in_both_directions(tmp_path, rng):
    x = floats(rng, 2, 4, 6, 3)
    for ours, theirs in ((lf, keras), (keras, lf)):
        inputs = ours.Input((None, 6, 3))
        hidden = ours.layers.ConvLSTM1D(4, 3, padding="same", return_sequences=True)(inputs)
        y = ours.layers.Bidirectional(ours.layers.ConvLSTM1D(2, 3, name="inner"))(hidden)
        model = ours.Model(inputs, y)
        path = tmp_path / f"{ours.__name__}.keras"
        model.save(path)
        close(theirs.saving.load_model(path).predict(x, verbose=0), model.predict(x, verbose=0))


def test_dropout_is_that_of_keras_on_average(rng):
    """Masks differ, so means over many rows are compared: of a layer that is nearly linear."""
    x = np.ones((20000, 2, 2, 1), np.float32)
    options = {"filters": 1, "kernel_size": 1, "activation": "linear", "recurrent_activation": "sigmoid"}
    found = []
    for package in (lf, keras):
        layer = package.layers.ConvLSTM1D(**options, dropout=0.5, recurrent_dropout=0.5, seed=1)
        layer.build(x.shape)
        layer.set_weights([np.full(v.shape, 0.1, np.float32) for v in layer.weights])
        y = layer(x if package is lf else torch.tensor(x), training=True)
        y = y if package is lf else y.detach().numpy()
        found.append((y.mean(), y.std()))
    np.testing.assert_allclose(found[0], found[1], rtol=0.03)  # of 40000 draws
