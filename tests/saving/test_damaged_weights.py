# SPDX-License-Identifier: BSD-3-Clause
"""Files of weights that are damaged, or none: an error that says so, and the model as it was."""

import io
import random

import numpy as np
import pytest

from lstmfast import Input, Sequential, layers

X = np.ones((4, 5, 3), "float32")


def trained():
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, X[:, 0, :1], verbose=0)
    return model


def state(model):
    return [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)]


@pytest.mark.parametrize("ending", [".weights.h5", ".npz", ".safetensors", ".keras"])
def test_flipped_and_cut(ending, tmp_path):
    """Whatever happened to the bytes, loading succeeds or raises a ValueError and changes nothing."""
    if ending in (".weights.h5", ".keras"):
        pytest.importorskip("h5py")
    source, path = tmp_path / f"good{ending}", tmp_path / f"bad{ending}"
    model = trained()
    model.save(source) if ending == ".keras" else model.save_weights(source)
    data = source.read_bytes()
    model = trained()
    rng = random.Random(3)
    damaged = [data[:n] for n in (0, 1, 8, 30, len(data) // 2, len(data) - 1)]
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 5)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        damaged.append(bytes(changed))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        before = state(model)
        try:
            model.load_weights(path)
        except ValueError:
            refused += 1
            for old, new in zip(before, state(model), strict=True):
                np.testing.assert_array_equal(old, new)
        else:
            model = trained()
    assert refused >= 6


def test_damaged_optimizer_leaves_the_weights(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "m.weights.h5"
    trained().save_weights(path)
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "a") as file:
        del file["optimizer/vars/3"]
        file["optimizer/vars/3"] = np.ones(7, "float32")
    path.write_bytes(content.getbuffer())
    model = trained()
    before = state(model)
    with pytest.raises(ValueError, match=r"m\.weights\.h5' cannot be loaded: optimizer/.* has shape \(7,\)"):
        model.load_weights(path)
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("path", [None, 3, "", b"m.npz"])
def test_no_path(path):
    model = Sequential([Input((2,)), layers.Dense(1)])
    for action in (model.load_weights, model.save_weights, model.save):
        with pytest.raises(TypeError, match="filepath must be a str or a path"):
            action(path)


def test_a_directory(tmp_path):
    model = Sequential([Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="got the directory"):
        model.load_weights(tmp_path)
    with pytest.raises(ValueError, match="got the directory"):
        model.save_weights(tmp_path)
