# SPDX-License-Identifier: BSD-3-Clause
"""Keras's older HDF5 files that are damaged, hostile or not there; what lstmfast keeps in them beyond Keras."""

import json
import resource
import sys

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import saving
from lstmfast.layers import LSTM, Dense, Embedding, StringLookup

h5py = pytest.importorskip("h5py")

X = np.ones((2, 5, 3), np.float32)


def model():
    m = lf.Sequential([lf.Input((5, 3)), LSTM(4, name="lstm"), Dense(2, name="dense")])
    m.compile("adam", "mse")
    m.fit(X, np.ones((2, 2)), verbose=0)
    return m


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.h5"
    model().save(path)
    return path.read_bytes()


def changed(tmp_path, good, change):
    path = tmp_path / "bad.h5"
    path.write_bytes(good)
    with h5py.File(path, "a") as file:
        change(file)
    return path


def refused(path, match):
    with pytest.raises(ValueError, match=match) as caught:
        saving.load_model(path)
    assert path.name in str(caught.value)


def no_config(file):
    del file.attrs["model_config"]


def numbers_for_text(file):
    file.attrs["model_config"] = np.arange(3)


def two_texts(file):
    file.attrs["model_config"] = [b"{}", b"{}"]


def no_json(file):
    file.attrs["model_config"] = b"\xff\xfe{"


def deep(file):
    file.attrs["model_config"] = b'{"a":' * 20_000 + b"1" + b"}" * 20_000


def a_list(file):
    file.attrs["model_config"] = b"[1, 2]"


def no_model(file):
    file.attrs["model_config"] = json.dumps({"class_name": "Dense", "config": {"units": 3}})


def odd_nodes(file):
    layers = [
        {"class_name": "Dense", "name": "d", "config": {"units": 3, "name": "d"}, "inbound_nodes": [[[1, 2]]]}
    ]
    graph = {"name": "m", "layers": layers, "input_layers": [["d", 0, 0]], "output_layers": [["d", 0, 0]]}
    file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": graph})


def huge_layer(file):
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][1]["config"]["units"] = 10**6
    file.attrs["model_config"] = json.dumps(config)


def unknown_class(file):
    file.attrs["model_config"] = file.attrs["model_config"].replace('"LSTM"', '"os.system"')


def missing_array(file):
    name = file["model_weights/dense"].attrs["weight_names"][0]
    del file[f"model_weights/dense/{name}"]


def missing_name(file):
    group = file["model_weights/dense"]
    group.attrs["weight_names"] = list(group.attrs["weight_names"])[:1]


def surplus_layer(file):
    group = file["model_weights"]
    group.attrs["layer_names"] = [*group.attrs["layer_names"], "more"]
    more = group.create_group("more")
    more.attrs["weight_names"] = ["w"]
    more["w"] = np.zeros(2, "f4")


def wrong_shape(file):
    name = file["model_weights/dense"].attrs["weight_names"][0]
    del file[f"model_weights/dense/{name}"]
    file[f"model_weights/dense/{name}"] = np.zeros((3, 3), "f4")


def link_outside(file):
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.ExternalLink("/etc/passwd", "/")


def no_optimizer_config(file):
    file.attrs["training_config"] = b'{"loss": "mse"}'


def code_in_the_optimizer(file):
    file.attrs["training_config"] = json.dumps(
        {"loss": "mse", "optimizer_config": {"class_name": "__lambda__", "config": {"code": "4wEA"}}}
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (no_config, "No model config"),
        (numbers_for_text, "expected text"),
        (two_texts, "must be one text"),
        (no_json, "UTF-8|not JSON|damaged"),
        (deep, "nested too deeply"),
        (a_list, "JSON object"),
        (no_model, "expected a model"),
        (odd_nodes, "inbound_nodes"),
        (huge_layer, "more than the"),
        (unknown_class, r"os\.system"),
        (missing_array, "missing"),
        (missing_name, "Weight count mismatch"),
        (surplus_layer, "more"),
        (wrong_shape, "shape"),
        (link_outside, "ExternalLink"),
        (no_optimizer_config, "optimizer_config"),
        (code_in_the_optimizer, "byte code|compile state"),
    ],
)
def test_damaged_and_hostile(tmp_path, good, change, match):
    refused(changed(tmp_path, good, change), match)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated(tmp_path, good, share):
    path = tmp_path / "cut.h5"
    path.write_bytes(good[: int(len(good) * share)])
    refused(path, "cut")


def test_flipped_bytes(tmp_path, good):
    """Whatever byte is damaged: the model as it was, or one with other numbers, or a ValueError; nothing else."""
    rng = np.random.default_rng(0)
    path = tmp_path / "flipped.h5"
    for place in rng.integers(0, len(good), 150):
        data = bytearray(good)
        data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            with np.errstate(all="ignore"):
                saving.load_model(path, compile=False)
        except ValueError as error:
            assert "flipped.h5" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX's")
def test_a_text_that_claims_four_gigabytes(tmp_path, good):
    """The length of a text stands beside its place in the file's heap; here it lies."""
    place = good.find(b"model_config")
    length = len(h5py.File(write(tmp_path / "g.h5", good)).attrs["model_config"].encode())
    at = good.find(length.to_bytes(4, "little"), place)
    assert 0 < at - place < 200
    path = write(tmp_path / "bomb.h5", good[:at] + (0xFFFFFFF0).to_bytes(4, "little") + good[at + 4 :])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "bomb")
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    )  # KB on Linux, less elsewhere


def write(path, data):
    path.write_bytes(data)
    return path


def test_an_optimizer_of_another_kind_starts_afresh(tmp_path, good):
    def change(file):
        config = json.loads(file.attrs["training_config"])
        config["optimizer_config"] = {"class_name": "SGD", "config": {"learning_rate": 0.1}}
        file.attrs["training_config"] = json.dumps(config)

    path = changed(tmp_path, good, change)
    with pytest.warns(UserWarning, match="starts afresh"):
        loaded = saving.load_model(path)
    assert int(loaded.optimizer.iterations) == 0


def test_errors_change_nothing(tmp_path, good):
    m = model()
    before = m.get_weights()
    for change in (missing_array, wrong_shape, missing_name):
        with pytest.raises(ValueError, match=r"bad\.h5"):
            m.load_weights(changed(tmp_path, good, change))
    for a, b in zip(before, m.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_vocabularies_are_kept(tmp_path):
    lookup = StringLookup(name="lookup")
    lookup.adapt(["b", "a", "b"])
    m = lf.Sequential([lf.Input((1,), dtype="string"), lookup, Embedding(4, 2)])
    m.save(tmp_path / "m.h5")
    loaded = saving.load_model(tmp_path / "m.h5")
    assert loaded.get_layer("lookup").get_vocabulary() == lookup.get_vocabulary()


def test_folders_are_made(tmp_path):
    m = model()
    m.save(tmp_path / "some" / "where" / "m.h5")
    np.testing.assert_array_equal(saving.load_model(tmp_path / "some" / "where" / "m.h5")(X), m(X))


def test_a_model_that_writes_call(tmp_path):
    class Net(lf.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.one, self.rest = LSTM(units), [Dense(units), Dense(1)]
            self.units = units

        def call(self, x):
            return self.rest[1](self.rest[0](self.one(x)))

    m = Net()
    m(X)
    m.save(tmp_path / "m.h5")
    loaded = saving.load_model(tmp_path / "m.h5", custom_objects={"Net": Net})
    np.testing.assert_array_equal(loaded(X), m(X))


def test_without_h5py(tmp_path, good, monkeypatch):
    path = write(tmp_path / "m.h5", good)
    m = model()
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (
        lambda: m.save(tmp_path / "n.h5"),
        lambda: saving.load_model(path),
        lambda: m.load_weights(path),
    ):
        with pytest.raises(ImportError, match="lstmfast\\[keras\\]"):
            call()
    assert not (tmp_path / "n.h5").exists()
