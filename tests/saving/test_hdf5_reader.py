# SPDX-License-Identifier: BSD-3-Clause
"""HDF5 files that point elsewhere or lie about sizes: each refused, nothing outside of the file opened."""

import io
import tracemalloc

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

from lstmfast.saving.hdf5_reader import WeightFile  # noqa: E402

PATH = "layers/dense/vars"


def make(fill):
    """The bytes of a file whose `layers/dense/vars` group was filled by `fill(group)`."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file.create_group(PATH))
    return buffer.getvalue()


def refused(data, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message), WeightFile(data) as file:
            file.arrays(PATH)
        assert tracemalloc.get_traced_memory()[1] < 20e6 + len(data)
    finally:
        tracemalloc.stop()


@pytest.fixture
def secret(tmp_path):
    """A file that a hostile one points at."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["vars/0"] = np.full((2, 2), 42, "f4")
    return path


def test_reads_arrays_in_numeric_order():
    arrays = [np.full((2,), n, "f4") for n in range(12)] + [np.int64(7)]

    def fill(group):
        for number, array in enumerate(arrays):
            group[str(number)] = array

    with WeightFile(make(fill)) as file:
        result = file.arrays(PATH)
        assert file.arrays("layers/none/vars") == []
        assert file.has("layers") and not file.has("optimizer")
    assert len(result) == 13
    for left, right in zip(result, arrays, strict=True):
        np.testing.assert_array_equal(left, right)


def test_not_hdf5():
    with pytest.raises(ValueError, match="not an HDF5 file"):
        WeightFile(b"nonsense" * 100)


@pytest.mark.parametrize("place", ["0", ".."])
def test_external_link(secret, place):
    def fill(group):
        if place == "0":
            group["0"] = h5py.ExternalLink(str(secret), "/vars/0")
        else:  # the group itself
            del group.file[PATH]
            group.file[PATH] = h5py.ExternalLink(str(secret), "/vars")

    refused(make(fill), "ExternalLink")


def test_soft_link():
    def fill(group):
        group.file["elsewhere"] = np.zeros(2, "f4")
        group["0"] = h5py.SoftLink("/elsewhere")

    refused(make(fill), "SoftLink")


def test_virtual_data_set(secret):
    def fill(group):
        layout = h5py.VirtualLayout((2, 2), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "vars/0", (2, 2))
        group.create_virtual_dataset("0", layout)

    refused(make(fill), "virtual")


def test_external_storage(tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(np.full(4, 42, "f4").tobytes())

    def fill(group):
        group.create_dataset("0", (4,), "f4", external=[(str(raw), 0, 16)])

    refused(make(fill), "another file")


@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**62,), (10**6,)])
def test_huge_shape_that_stores_nothing(shape):
    refused(
        make(lambda group: group.create_dataset("0", shape, "u1" if len(shape) == 1 else "f4")),
        "more than the file holds",
    )


def test_huge_shape_of_bfloat16():
    refused(make(lambda group: group.create_dataset("0", (1 << 40,), "V2")), "more than the file holds")


def test_huge_chunks():
    refused(
        make(lambda group: group.create_dataset("0", (2**15, 2**14), "f4", chunks=(2**15, 2**14))), "chunked"
    )


def test_filter_bomb():
    def fill(group):
        group.create_dataset(
            "0", data=np.zeros(10**7, "f4"), chunks=(10**6,), compression="gzip", compression_opts=9
        )

    refused(make(fill), "filters")


def test_filter_plugin():
    def fill(group):
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((4,))
        # An unknown filter would make HDF5 look for a plug-in library to load; "optional" lets us write it
        # without one.
        properties.set_filter(31999, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(group.id, b"0", h5py.h5t.IEEE_F32LE, space, properties)

    refused(make(fill), "filters|chunked")


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", "b"], "S1"),
        np.zeros(2, "V8"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "c8"),
        np.zeros(2, "bool"),
    ],
)
def test_other_dtypes(value):
    def fill(group):
        group["0"] = value

    refused(make(fill), "dtype")


def test_variable_length_and_reference_dtypes():
    refused(make(lambda g: g.create_dataset("0", (2,), h5py.special_dtype(vlen=str))), "dtype")
    refused(make(lambda g: g.create_dataset("0", (2,), h5py.special_dtype(ref=h5py.Reference))), "dtype")


def test_group_in_place_of_an_array():
    refused(make(lambda group: group.create_group("0")), "must be an array")


def test_array_in_place_of_a_group():
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/dense"] = np.zeros(2, "f4")
    refused(buffer.getvalue(), "must be a group")


def test_numbers_with_a_gap():
    def fill(group):
        group["0"] = group["2"] = np.zeros(2, "f4")

    refused(make(fill), "missing")


def test_empty_data_set():
    refused(
        make(lambda group: group.create_dataset("0", dtype="f4", shape=None, data=h5py.Empty("f4"))),
        "is empty",
    )


def test_damage_is_a_value_error():
    """Any byte changed: an array or a ValueError."""
    whole = make(lambda group: group.create_dataset("0", data=np.arange(6, dtype="f4")))
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        try:
            with WeightFile(bytes(data)) as file:
                file.arrays(PATH)
        except ValueError:
            pass


def test_truncation_is_a_value_error():
    whole = make(lambda group: group.create_dataset("0", data=np.arange(6, dtype="f4")))
    for size in range(0, len(whole), 37):
        with pytest.raises(ValueError), WeightFile(whole[:size]) as file:
            file.arrays(PATH)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_texts_in_attributes(libver):
    """Of variable and of fixed length, alone and in lists, in both versions of object headers, with continuations."""
    buffer = io.BytesIO()
    texts = {f"a{n}": "é" * n for n in range(1, 5)}
    with h5py.File(buffer, "w", libver=libver) as file:
        group = file.create_group("inside/group")
        for name, text in texts.items():
            group.attrs[name] = text
        group.attrs["list"] = ["one", "two"]
        group.attrs["part0"], group.attrs["part1"] = np.array([b"a", b"bc"]), np.array([b"d"])
    with WeightFile(buffer.getvalue()) as file:
        for name, text in texts.items():
            assert file.text("inside/group", name) == text
        assert file.texts("inside/group", "list") == ["one", "two"]
        assert file.texts("inside/group", "part") == ["a", "bc", "d"]
        assert file.texts("inside/group", "none") == [] and file.text("inside", "none") is None
        with pytest.raises(ValueError, match="one text"):
            file.text("inside/group", "list")


def test_attributes_outside_of_the_header_are_refused():
    """More than Keras writes: the library moves them to a heap of their own, which is not looked into."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        for n in range(40):
            file.attrs[f"a{n}"] = "text"
    with WeightFile(buffer.getvalue()) as file, pytest.raises(ValueError, match="in the object's header"):
        file.text("", "a1")
