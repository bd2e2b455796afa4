# SPDX-License-Identifier: BSD-3-Clause
"""Reshape, Permute, RepeatVector, Flatten, cropping, padding, up-sampling, Lambda, Identity against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_any_reshaping(data, seed):
    rng = np.random.default_rng(seed)
    batch, time, width = (data.draw(st.integers(1, 6)) for _ in range(3))
    name = data.draw(st.sampled_from(["Flatten", "Reshape", "Permute", "Cropping1D", "ZeroPadding1D", "UpSampling1D",
                                      "Identity"]))  # fmt: skip
    options = {}
    if name == "Reshape":
        options = {"target_shape": data.draw(st.sampled_from([(-1,), (width, time), (1, -1), (time, 1, -1), (-1, time),
                                                              (time * width,), (-1, 1, width, 1)]))}  # fmt: skip
    elif name == "Permute":
        options = {"dims": data.draw(st.sampled_from([(1, 2), (2, 1)]))}
    elif name == "Cropping1D":
        before = data.draw(st.integers(0, time - 1))
        options = {"cropping": (before, data.draw(st.integers(0, time - 1 - before)))}
    elif name == "ZeroPadding1D":
        sizes = data.draw(st.one_of(st.integers(0, 3), st.tuples(st.integers(0, 3), st.integers(0, 3))))
        options = {"padding": sizes, "data_format": data.draw(st.sampled_from([None, "channels_first"]))}
    elif name == "UpSampling1D":
        options = {"size": data.draw(st.integers(1, 4))}
    elif name == "Flatten":
        options = {"data_format": data.draw(st.sampled_from([None, "channels_first", "channels_last"]))}
    mask = rng.random((batch, time)) < 0.5 if data.draw(st.booleans()) else None
    compare(lambda k: getattr(k.layers, name)(**options), floats(rng, batch, time, width), rng, mask)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


def test_repeat_vector(rng):
    compare(lambda k: k.layers.RepeatVector(4), floats(rng, 3, 5), rng)
    same_configuration(lambda k: k.layers.RepeatVector(4, name="a", trainable=False))


def test_permute_of_many_axes(rng):
    compare(lambda k: k.layers.Permute((3, 1, 4, 2)), floats(rng, 2, 3, 4, 5, 6), rng)


def half(x):
    return x * 0.5


def test_lambda(rng):
    x = floats(rng, 3, 4)
    np.testing.assert_array_equal(lf.layers.Lambda(half)(x), keras.layers.Lambda(half)(x).numpy())
    for options in ({}, {"output_shape": (4,)}, {"arguments": {"a": 1}}):
        ours = lf.layers.Lambda(half, **options, name="a").get_config()
        theirs = keras.layers.Lambda(half, **options, name="a").get_config()
        for config in (ours, theirs):  # a function of the user: each package has its own name for where it is
            config["function"] = config["function"]["class_name"]
        assert ours == theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Reshape((2, -1, -1)),
        lambda k: k.layers.Reshape((2, -2)),
        lambda k: k.layers.Reshape(6),
        lambda k: k.layers.Reshape((5,))(np.ones((2, 3, 4))),
        lambda k: k.layers.Reshape((5, -1))(np.ones((2, 3, 4))),
        lambda k: k.layers.Permute((0, 1)),
        lambda k: k.layers.Permute(1),
        lambda k: k.layers.Permute((1, 1)),
        lambda k: k.layers.Permute((2, 1))(np.ones((2, 3))),
        lambda k: k.layers.RepeatVector(2.0),
        lambda k: k.layers.RepeatVector(True),
        lambda k: k.layers.RepeatVector(0),
        lambda k: k.layers.RepeatVector(2)(np.ones((2, 3, 4))),
        lambda k: k.layers.Cropping1D(-1),
        lambda k: k.layers.Cropping1D((1, 2, 3)),
        lambda k: k.layers.Cropping1D("a"),
        lambda k: k.layers.Cropping1D(3)(np.ones((2, 3, 4))),
        lambda k: k.layers.Cropping1D(1)(np.ones((2, 3))),
        lambda k: k.layers.Cropping1D((2, 1))(k.Input((3, 2))),
        lambda k: k.layers.ZeroPadding1D(-1),
        lambda k: k.layers.ZeroPadding1D(1, data_format="x"),
        lambda k: k.layers.UpSampling1D(1.5),
        lambda k: k.layers.UpSampling1D(0),
        lambda k: k.layers.Flatten(data_format="x"),
        lambda k: k.layers.Lambda(3),
        lambda k: k.layers.Identity(evil=1),
    ],
)
def test_errors(make):
    same_error(make)
