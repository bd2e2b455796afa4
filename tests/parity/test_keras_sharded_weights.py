# SPDX-License-Identifier: BSD-3-Clause
"""Weights in several files with an index, and layers left out: between lstmfast and the real Keras 3."""

import json

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

h5py = pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:keras")

X = np.random.default_rng(0).normal(size=(8, 6, 3)).astype("float32")
KB = 1 / 1024**2  # in GB


def make(K, seed=0):
    K.utils.set_random_seed(seed)
    L = K.layers
    layers = [L.Input((6, 3)), L.Bidirectional(L.LSTM(8, return_sequences=True)), L.LSTM(9), L.Dense(2)]
    model = K.Sequential(layers)
    model.compile("adam", "mse")
    return model


def trained(K):
    model = make(K)
    model.fit(X, X[:, 0, :2], verbose=0)
    return model


@pytest.mark.parametrize("size", [2.4 * KB, 3 * KB, 1])
@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_both_ways(tmp_path, source, size):
    first, second = (keras, lf) if source == "keras" else (lf, keras)
    model, other = trained(first), make(second, 1)
    model.save_weights(tmp_path / "m.weights.json", max_shard_size=size)
    assert (len(list(tmp_path.glob("m_*.weights.h5"))) == 1) == (size == 1)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "m.weights.json")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for m in (model, other):
        m.fit(X, X[:, 0, :2], shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_same_files_as_keras(tmp_path):
    written = []
    for K in (keras, lf):
        folder = tmp_path / K.__name__
        folder.mkdir()
        trained(K).save_weights(folder / "m.weights.json", max_shard_size=2.4 * KB)
        index = json.loads((folder / "m.weights.json").read_text())
        shards = sorted(path.name for path in folder.iterdir())
        written.append((shards, index["weight_map"], index["metadata"]))
    assert written[0][0] == written[1][0] and len(written[0][0]) > 3
    seeds = 3 * 8  # of three recurrent layers: Keras's files do not hold their states
    assert written[0][2]["total_size"] == pytest.approx(
        written[1][2]["total_size"] - seeds, abs=4
    )  # the counter's type
    assert written[0][1].keys() == written[1][1].keys() - {"/seed_generators/vars"}


def test_endings_and_sizes(tmp_path):
    for K in (keras, lf):
        model = trained(K)
        with pytest.raises(ValueError, match=r"must end in `\.weights\.json`"):
            model.save_weights(tmp_path / "m.keras", max_shard_size=1)
        with pytest.raises(ValueError, match="maximum shard size"):
            model.save_weights(tmp_path / "m.weights.json", max_shard_size=0.1 * KB)
        with pytest.warns(UserWarning, match="renamed"):
            model.save_weights(tmp_path / "n.weights.h5", max_shard_size=1)
        assert (tmp_path / "n.weights.json").exists()
    for size in (0, -1.0, "1GB", True):
        with pytest.raises(ValueError, match="max_shard_size"):
            model.save_weights(tmp_path / "m.weights.json", max_shard_size=size)


@pytest.mark.parametrize("damage", ["../m_00000.weights.h5", "/etc/passwd", 3, "none.weights.h5"])
def test_an_index_that_points_elsewhere(tmp_path, damage):
    model = trained(lf)
    path = tmp_path / "m.weights.json"
    model.save_weights(path, max_shard_size=1)
    index = json.loads(path.read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], damage)
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"m\.weights\.json"):
        model.load_weights(path)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", '{"weight_map": []}'])
def test_a_damaged_index(tmp_path, text):
    path = tmp_path / "m.weights.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"m\.weights\.json|weights"):
        make(lf).load_weights(path)


def test_objects_to_skip(tmp_path):
    for K, other in ((keras, lf), (lf, keras)):
        model, second = make(K), make(other, 1)
        before = [a.copy() for a in second.get_weights()]
        model.save_weights(tmp_path / "m.weights.h5")
        second.load_weights(tmp_path / "m.weights.h5", objects_to_skip=[second.layers[-1]])
        for a, b in zip(model.get_weights()[:-2], second.get_weights()[:-2], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(before[-2], second.get_weights()[-2])
        K.saving.save_weights(model, tmp_path / "n.weights.h5", objects_to_skip=[model.layers[-1]])
        with pytest.raises(ValueError, match=r"could not be loaded|cannot be loaded"):
            second.load_weights(tmp_path / "n.weights.h5")
        for path, options in (("m.keras", {"by_name": True}), ("m.weights.h5", {"by_name": True})):
            model.save(tmp_path / "m.keras")
            with pytest.raises(ValueError, match="by_name"):
                model.load_weights(tmp_path / path, **options)
        with pytest.raises(ValueError, match="Invalid keyword"):
            model.load_weights(tmp_path / "m.weights.h5", unknown=1)


def test_files_that_are_not_there(tmp_path):
    """The same types of errors as in Keras."""
    (tmp_path / "text.keras").write_text("no zip archive")
    for K in (keras, lf):
        for name in ("none.keras", "none", "none.tf", "text.keras"):
            with pytest.raises(ValueError, match=name.replace(".", r"\.")):
                K.saving.load_model(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            K.saving.load_model(tmp_path / "none.h5")
        model = make(K)
        for name in ("none.weights.h5", "none.h5", "none.keras", "none.weights.json"):
            with pytest.raises(FileNotFoundError):
                model.load_weights(tmp_path / name)
        with pytest.raises(ValueError, match="File format not supported"):
            model.load_weights(tmp_path / "none.tf")
        with pytest.raises(ValueError, match=r"Invalid filepath extension"):
            model.save(tmp_path / "m.tf")
        with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
            model.save_weights(tmp_path / "m.h5")
        with pytest.raises(ValueError, match="not supported"):
            model.save(tmp_path / "m.keras", unknown=1)
        with pytest.raises(ValueError, match="save_format"):
            model.save(tmp_path / "m.x", save_format="tf")
