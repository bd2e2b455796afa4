# SPDX-License-Identifier: BSD-3-Clause
"""ReLU, LeakyReLU, PReLU, ELU, Softmax and every named activation on 3 axes against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
SEEDS = st.integers(0, 2**32 - 1)
SLOPES = st.sampled_from([0.0, 0.1, 0.2, 0.3, 1.0, 2.0])


@st.composite
def layer_and_options(draw):
    name = draw(st.sampled_from(["ReLU", "LeakyReLU", "ELU", "Softmax", "PReLU"]))
    if name == "ReLU":
        return name, {
            "max_value": draw(st.sampled_from([None, 0.5, 1.0, 6.0])),
            "negative_slope": draw(SLOPES),
            "threshold": draw(st.sampled_from([0.0, 0.3, 1.0])),
        }
    if name == "LeakyReLU":
        return name, {"negative_slope": draw(SLOPES)}
    if name == "ELU":
        return name, {"alpha": draw(SLOPES)}
    if name == "Softmax":
        return name, {"axis": draw(st.sampled_from([-1, 1, 2, -2, (1,), (1, 2), (-1, 1)]))}
    return name, {"shared_axes": draw(st.sampled_from([None, 1, [1], (2,), [1, 2]]))}


@settings(max_examples=120, deadline=None)
@given(case=layer_and_options(), shape=st.tuples(*[st.integers(1, 6)] * 3), seed=SEEDS)
def test_any_layer(case, shape, seed):
    name, options = case
    rng = np.random.default_rng(seed)
    mask = None if name == "Softmax" else rng.random(shape[:2]) < 0.5
    # What is along y cancels in the gradient of a softmax.
    least = 1.0 if name == "Softmax" else 1e-6
    compare(lambda k: getattr(k.layers, name)(**options), floats(rng, *shape), rng, mask, least)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_softmax_with_a_mask(data, seed):
    rng = np.random.default_rng(seed)
    x = floats(rng, 3, 4, 5)
    shape = data.draw(st.sampled_from([(3, 4, 5), (1, 4, 5), (3, 1, 5), (5,), (4, 1), (1, 1, 1)]))
    mask = rng.random(shape) < 0.5
    given_mask = mask.astype("float32") if data.draw(st.booleans()) else mask
    axis = data.draw(st.sampled_from([-1, 1, (1, 2)]))
    ours = lf.layers.Softmax(axis)(x, mask=given_mask)
    close(ours, keras.layers.Softmax(axis)(x, mask=given_mask).numpy())


def test_softmax_takes_a_fitting_mask_of_its_input(rng):
    compare(lambda k: k.layers.Softmax(), floats(rng, 3, 4), rng, rng.random((3, 4)) < 0.6, 1.0)


def names():
    return [
        n
        for n in sorted(dir(keras.activations))
        if n[0] != "_" and n not in ("get", "serialize", "deserialize")
    ]


@pytest.mark.parametrize("name", [n for n in names() if n not in ("threshold", "sparsemax")])
def test_activation_by_name(name, rng):
    """Every activation of Keras as the Activation layer, on 3 axes; sparsemax has another test: Keras's is for two."""
    x = floats(rng, 3, 4, 6) * 2
    make = lambda k: k.layers.Activation(name)  # noqa: E731
    if name == "glu":
        close(lf.activations.glu(x), keras.activations.glu(x).numpy())
        return
    compare(make, x, rng, rng.random((3, 4)) < 0.5, 1.0)
    same_configuration(lambda k: k.layers.Activation(name, name="a"))


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.ReLU(max_value=-1),
        lambda k: k.layers.ReLU(negative_slope=-0.1),
        lambda k: k.layers.ReLU(negative_slope=None),
        lambda k: k.layers.ReLU(threshold=-1.0),
        lambda k: k.layers.ReLU(threshold=None),
        lambda k: k.layers.LeakyReLU(-0.1),
        lambda k: k.layers.LeakyReLU(None),
        lambda k: k.layers.PReLU(shared_axes=[5])(np.ones((2, 3, 4))),
        lambda k: k.layers.PReLU()(k.Input((None, 4))),
        lambda k: k.layers.Softmax(5)(np.ones((2, 3))),
        lambda k: k.layers.Softmax()(np.ones((2, 3)), mask=np.ones((2, 4), bool)),
        lambda k: k.layers.Softmax()(np.ones((2, 3)), mask=np.ones((1, 2, 3), bool)),
        lambda k: k.layers.Activation("no_such_thing"),
    ],
)
def test_errors(make):
    same_error(make)
