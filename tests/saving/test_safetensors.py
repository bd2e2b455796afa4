# SPDX-License-Identifier: BSD-3-Clause
"""The safetensors reader and writer: against the reference package both ways, and against files that lie."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmfast.saving import safetensors

DTYPES = ["bool", "u1", "i1", "<u2", "<i2", "<f2", "<u4", "<i4", "<f4", "<u8", "<i8", "<f8"]


def file_bytes(header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def sample_arrays():
    rng = np.random.default_rng(0)
    arrays = {f"a/{d}": (rng.normal(size=(3, 5)) * 50).astype(d) for d in DTYPES}
    arrays |= {"scalar": np.float32(2.5), "empty": np.zeros((0, 4), "f4"), "ünï": np.arange(3, dtype="f8")}
    arrays["strided"] = np.arange(24, dtype="f4").reshape(4, 6)[::2, ::3]
    arrays["fortran"] = np.asfortranarray(np.arange(6, dtype="i4").reshape(2, 3))
    arrays["big endian"] = np.arange(4, dtype=">f4")
    return arrays


# ---- what is right reads and writes right ------------------------------------------------------------------


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in right:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
        assert left[name].shape == np.shape(right[name])


def test_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    safetensors.save_file(sample_arrays(), path, {"key": "välue"})
    arrays, metadata = safetensors.load_file(path)
    assert_same(arrays, sample_arrays())
    assert metadata == {"key": "välue"}


def test_arrays_are_aligned_read_only_views(tmp_path):
    safetensors.save_file(sample_arrays(), tmp_path / "a")
    arrays, _ = safetensors.load_file(tmp_path / "a")
    for array in arrays.values():
        assert array.flags.aligned and not array.flags.owndata and not array.flags.writeable


def test_reference_reads_ours(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(sample_arrays(), tmp_path / "a", {"k": "v"})
    assert_same(reference.load_file(tmp_path / "a"), sample_arrays())
    with pytest.importorskip("safetensors").safe_open(tmp_path / "a", "np") as file:
        assert file.metadata() == {"k": "v"}


def test_ours_reads_reference(tmp_path):
    reference = pytest.importorskip("safetensors.numpy")
    arrays = {
        name: np.ascontiguousarray(a)
        for name, a in sample_arrays().items()
        if name not in ("big endian", "scalar")
    }
    reference.save_file(arrays, tmp_path / "a", {"k": "v"})
    loaded, metadata = safetensors.load_file(tmp_path / "a")
    assert_same(loaded, arrays)
    assert metadata == {"k": "v"}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda s: s != "__metadata__"),
        st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3)),
        max_size=6,
    )
)
def test_any_arrays_survive_and_reference_agrees(tmp_path_factory, spec):
    reference = pytest.importorskip("safetensors.numpy")
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    arrays = {
        name: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(d)
        for name, (d, shape) in spec.items()
        if name.isprintable()
    }
    safetensors.save_file(arrays, path)
    assert_same(safetensors.load_file(path)[0], arrays)
    assert_same(reference.load_file(path), arrays)


def test_bfloat16_widens_exactly():
    values = np.float32([1.5, -2.0, 0.0, np.inf, 3.0e38])
    bits = (values.view("<u4") >> 16).astype("<u2")
    arrays, _ = safetensors.parse(file_bytes({"x": entry("BF16", (5,), (0, 10))}, bits.tobytes()))
    assert arrays["x"].dtype == np.float32
    np.testing.assert_array_equal(arrays["x"].view("<u4") >> 16, bits)


def test_empty_file_of_no_arrays(tmp_path):
    safetensors.save_file({}, tmp_path / "a")
    assert safetensors.load_file(tmp_path / "a") == ({}, {})


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_unsupported_dtypes_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match="'x' with dtype"):
        safetensors.save_file({"x": array}, tmp_path / "a")
    assert not os.listdir(tmp_path)


# ---- what is wrong is refused ------------------------------------------------------------------------------

GOOD = {"a": entry(), "b": entry(offsets=(8, 16))}
HOSTILE = {
    "empty": (b"", "at least 8"),
    "seven bytes": (b"\0" * 7, "at least 8"),
    "header longer than the file": ((1000).to_bytes(8, "little") + b"{}", "truncated"),
    "oversize header": ((2**63).to_bytes(8, "little") + b"{}", "at most"),
    "largest header size": (b"\xff" * 8 + b"{}", "at most"),
    "no header": (file_bytes(b""), "begin with"),
    "header is a list": (file_bytes([1]), "begin with"),
    "not JSON": (file_bytes(b"{'a': 1}"), "not JSON"),
    "trailing text": (file_bytes(b"{}x"), "not JSON"),
    "not UTF-8": (file_bytes(b'{"\xff": 1}'), "not UTF-8"),
    "deep JSON": (file_bytes(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "too deeply"),
    "deep shape": (
        file_bytes(b'{"a":{"dtype":"F32","data_offsets":[0,0],"shape":' + b"[" * 900 + b"]" * 900 + b"}}"),
        "deep|shape",
    ),
    "duplicate name": (file_bytes(b'{"a": 1, "b": 2, "a": 1}'), "'a' occurs twice"),
    "duplicate key": (file_bytes(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "occurs twice"),
    "NaN": (file_bytes(b'{"a": NaN}'), "NaN"),
    "Infinity": (file_bytes(b'{"a": -Infinity}'), "Infinity"),
    "giant number": (file_bytes(b'{"a": ' + b"9" * 10_000 + b"}"), "digits|exactly"),
    "entry is a number": (file_bytes({"a": 1}), "exactly dtype, shape and data_offsets"),
    "entry lacks shape": (file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "exactly"),
    "entry has more": (file_bytes({"a": {**entry(), "x": 1}}, b"\0" * 8), "exactly"),
    "metadata is a list": (file_bytes({"__metadata__": ["x"]}), "__metadata__"),
    "metadata of numbers": (file_bytes({"__metadata__": {"x": 1}}), "__metadata__"),
    "unknown dtype": (file_bytes({"a": entry("F31")}, b"\0" * 8), "dtype 'F31'"),
    "dtype is a list": (file_bytes({"a": entry(["F32"])}, b"\0" * 8), "dtype"),
    "pickle dtype": (file_bytes({"a": entry("|O")}, b"\0" * 8), "dtype"),
    "negative size": (file_bytes({"a": entry(shape=(-2,))}, b"\0" * 8), "shape"),
    "two negative sizes": (file_bytes({"a": entry(shape=(-2, -1))}, b"\0" * 8), "shape"),
    "fractional size": (file_bytes({"a": entry(shape=(2.0,))}, b"\0" * 8), "shape"),
    "boolean size": (file_bytes({"a": entry(shape=(2, True))}, b"\0" * 8), "shape"),
    "shape is a string": (file_bytes({"a": {**entry(), "shape": "22"}}, b"\0" * 8), "shape"),
    "too many dimensions": (file_bytes({"a": entry(shape=(1,) * 33, offsets=(0, 4))}, b"\0" * 4), "shape"),
    "huge shape": (file_bytes({"a": entry(shape=(2**40, 2**40))}, b"\0" * 8), "takes"),
    "shape overflowing 64 bits to fit": (file_bytes({"a": entry(shape=(2**62, 4, 1))}, b"\0" * 8), "takes"),
    "huge empty shape": (file_bytes({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}), "impossible"),
    "size beyond 64 bits": (file_bytes({"a": entry(shape=(2**64,))}, b"\0" * 8), "shape"),
    "negative offset": (file_bytes({"a": entry(offsets=(-8, 0))}, b"\0" * 8), "outside"),
    "reversed offsets": (file_bytes({"a": entry(offsets=(8, 0))}, b"\0" * 8), "outside"),
    "offset beyond the file": (file_bytes({"a": entry(offsets=(0, 16), shape=(4,))}, b"\0" * 8), "outside"),
    "huge offset": (file_bytes({"a": entry(offsets=(0, 2**80))}, b"\0" * 8), "outside"),
    "fractional offset": (file_bytes({"a": entry(offsets=(0, 8.0))}, b"\0" * 8), "data_offsets"),
    "three offsets": (file_bytes({"a": entry(offsets=(0, 4, 8))}, b"\0" * 8), "data_offsets"),
    "shape and offsets disagree": (file_bytes({"a": entry(shape=(3,))}, b"\0" * 8), "takes 12 bytes, has 8"),
    "overlap": (file_bytes({"a": entry(), "b": entry(offsets=(4, 12))}, b"\0" * 12), "overlaps"),
    "same place": (file_bytes({"a": entry(), "b": entry()}, b"\0" * 8), "overlaps"),
    "hole at the start": (file_bytes({"a": entry(offsets=(4, 12))}, b"\0" * 12), "hole"),
    "hole between": (file_bytes({"a": entry(), "b": entry(offsets=(12, 20))}, b"\0" * 20), "hole"),
    "trailing bytes": (file_bytes({"a": entry()}, b"\0" * 9), "after the last array"),
    "data without arrays": (file_bytes({}, b"\0"), "after the last array"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(tmp_path, name):
    content, message = HOSTILE[name]
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            safetensors.load_file(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6  # nothing of the declared sizes was allocated
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_every_truncation_is_refused():
    whole = file_bytes(GOOD, b"\0" * 16)
    assert len(safetensors.parse(whole)[0]) == 2
    for size in range(len(whole)):
        with pytest.raises(ValueError):
            safetensors.parse(whole[:size])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_any_change_is_read_or_refused(position, patch):
    """Whatever stands in the header: a ValueError or arrays inside of the file, never another exception."""
    whole = bytearray(file_bytes(GOOD, bytes(range(16))))
    position %= len(whole)
    whole[position : position + len(patch)] = patch
    try:
        arrays, _ = safetensors.parse(bytes(whole))
    except ValueError:
        return
    assert sum(a.nbytes for a in arrays.values()) <= 16 * 2  # bfloat16 doubles


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        safetensors.load_file(tmp_path / "none")
