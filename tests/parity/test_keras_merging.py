# SPDX-License-Identifier: BSD-3-Clause
"""Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate and Dot against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
SEEDS = st.integers(0, 2**32 - 1)
NAMES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]


@st.composite
def shapes(draw, count):
    """Shapes that broadcast: of one rank, or with axes missing at the front."""
    batch = draw(st.integers(1, 4))
    full = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    found = []
    for _ in range(count):
        rank = draw(st.integers(1, len(full))) if draw(st.booleans()) else len(full)
        tail = [n if draw(st.booleans()) else 1 for n in full[len(full) - rank :]]
        found.append((batch, *(tail if draw(st.booleans()) else full[len(full) - rank :])))
    return found


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES), seed=SEEDS)
def test_any_shapes(data, name, seed):
    rng = np.random.default_rng(seed)
    count = 2 if name == "Subtract" else data.draw(st.integers(1, 4))
    compare(lambda k: getattr(k.layers, name)(), [floats(rng, *s) for s in data.draw(shapes(count))], rng)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=st.sampled_from([*NAMES, "Concatenate"]), seed=SEEDS)
def test_any_masks(data, name, seed):
    rng = np.random.default_rng(seed)
    batch, time, width = (data.draw(st.integers(1, 4)) for _ in range(3))
    count = 2 if name == "Subtract" else data.draw(st.integers(1, 4))
    widths = [1 if name != "Concatenate" and data.draw(st.booleans()) else width for _ in range(count)]
    masks = [rng.random((batch, time)) < 0.6 if data.draw(st.booleans()) else None for _ in range(count)]
    x = [floats(rng, batch, time, w) for w in widths]
    if count > 1 and data.draw(st.booleans()):
        x[1][:] = np.broadcast_to(x[0][..., :1], x[1].shape)  # ties
    compare(lambda k: getattr(k.layers, name)(), x, rng, masks)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_any_dot(data, seed):
    rng = np.random.default_rng(seed)
    batch, common = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    x, axes = [], []
    for _ in range(2):
        rest = data.draw(st.lists(st.integers(1, 4), max_size=2))
        axis = data.draw(st.integers(0, len(rest)))
        x.append(floats(rng, batch, *rest[:axis], common, *rest[axis:]))
        axes.append(axis + 1)
    options = {"axes": tuple(axes), "normalize": data.draw(st.booleans())}
    if axes[0] == axes[1] and data.draw(st.booleans()):
        options["axes"] = axes[0]
    least = 1e-6
    if options["normalize"]:  # what is along a vector cancels in its gradient
        least = max(4 / np.linalg.norm(a, axis=axis).min() for a, axis in zip(x, axes, strict=True))
    compare(lambda k: k.layers.Dot(**options), x, rng, least=least)


def test_dot_of_nothing(rng):
    """Vectors of length 0 stay 0, and so does their gradient's projection."""
    x = [floats(rng, 2, 3), np.zeros((2, 3), np.float32)]
    y = lf.layers.Dot(1, normalize=True)(x)
    np.testing.assert_array_equal(y, np.zeros((2, 1)))


def test_functions(rng):
    x = [floats(rng, 3, 4), floats(rng, 3, 4)]
    for name in (*NAMES, "Concatenate", "Dot"):
        ours, theirs = getattr(lf.layers, name.lower())(x), getattr(keras.layers, name.lower())(x)
        close(ours, theirs.numpy())
    assert lf.layers.add([lf.Input((4,)), lf.Input((1,))]).shape == (None, 4)


@pytest.mark.parametrize("name", NAMES)
def test_configuration(name):
    same_configuration(lambda k: getattr(k.layers, name)(name="a", trainable=False))


@pytest.mark.parametrize("options", [{"axes": 1}, {"axes": (1, 2), "normalize": True}, {"axes": -1}])
def test_dot_configuration(options):
    same_configuration(lambda k: k.layers.Dot(**options, name="a"))


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Add()(ones(2, 3)),
        lambda k: k.layers.Add()([ones(2, 3), ones(2, 4)]),
        lambda k: k.layers.Add()([ones(2, 3), ones(3, 3)]),
        lambda k: k.layers.Add()(k.Input((3,))),
        lambda k: k.layers.Add()([k.Input((3,)), k.Input((4,))]),
        lambda k: k.layers.Subtract()([ones(2, 3)]),
        lambda k: k.layers.Subtract()([ones(2, 3)] * 3),
        lambda k: k.layers.Dot(axes=(1,)),
        lambda k: k.layers.Dot(axes="a"),
        lambda k: k.layers.Dot(axes=(1, 1.5)),
        lambda k: k.layers.Dot(axes=0)([ones(2, 3), ones(2, 3)]),
        lambda k: k.layers.Dot(axes=1)([ones(2, 3), ones(2, 4)]),
        lambda k: k.layers.Dot(axes=1)([ones(2, 3)] * 3),
        lambda k: k.layers.Dot(axes=1)(ones(2, 3)),
    ],
)
def test_errors(make):
    same_error(make)


def network(k):
    """Branches with and without masks that meet again, in either package."""
    x, z = k.Input((5, 3), name="x"), k.Input((5, 3), name="z")
    masked = k.layers.Masking(name="masking")(x)
    a = k.layers.LSTM(4, return_sequences=True, name="a")(masked)
    b = k.layers.GRU(4, return_sequences=True, name="b")(k.layers.Masking(name="masking_z")(z))
    c = k.layers.Dense(4, name="c")(z)
    joined = k.layers.Add(name="both")([a, b])
    loose = k.layers.Maximum(name="loose")([a, c])
    scores = k.layers.Dot(axes=2, name="scores")([joined, loose])
    picked = k.layers.Dot(axes=(2, 1), name="picked")([scores, loose])
    y = k.layers.Multiply(name="product")([joined, k.layers.Minimum(name="low")([a, b])])
    last = k.layers.SimpleRNN(3, name="last")(y)
    return k.Model([x, z], [last, k.layers.SimpleRNN(2, name="free")(loose), picked])


def test_masks_in_a_model_and_files(rng, tmp_path):
    ours = network(lf)
    x, z = floats(rng, 3, 5, 3), floats(rng, 3, 5, 3)
    x[0, 3:], x[1], z[0, 1:4] = 0, 0, 0
    expected = ours([x, z])
    ours.save(tmp_path / "ours.keras")
    theirs = keras.models.load_model(tmp_path / "ours.keras")
    for a, b in zip(expected, theirs([x, z]), strict=True):
        close(a, b.detach().numpy())
    network(keras).save(tmp_path / "theirs.keras")
    again, there = (
        lf.saving.load_model(tmp_path / "theirs.keras"),
        keras.models.load_model(tmp_path / "theirs.keras"),
    )
    for a, b in zip(again([x, z]), there([x, z]), strict=True):
        close(a, b.detach().numpy())


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_masks_of_symbolic_inputs(axis):
    """The masks are arrays, the inputs have open axes: as Keras's for arrays."""
    rng = np.random.default_rng(6)
    masks = [rng.random((2, 4)) < 0.5 for _ in range(2)]
    ours, theirs = lf.layers.Concatenate(axis=axis), keras.layers.Concatenate(axis=axis)
    inputs, arrays = [lf.Input((4, 5)), lf.Input((4, 5))], [floats(rng, 2, 4, 5), floats(rng, 2, 4, 5)]
    ours(inputs), theirs(arrays)
    assert ours.compute_mask(inputs, [None, None]) is None
    for some in (masks, [masks[0], None]):
        tensors = [None if mask is None else keras.ops.convert_to_tensor(mask) for mask in some]
        want = theirs.compute_mask([keras.ops.convert_to_tensor(a) for a in arrays], tensors)
        np.testing.assert_array_equal(ours.compute_mask(arrays, some), np.asarray(want))
    np.testing.assert_array_equal(ours.compute_mask(inputs, masks), ours.compute_mask(arrays, masks))
