# SPDX-License-Identifier: BSD-3-Clause
"""Zip archives that lie: bombs, path tricks, duplicates, links; nothing large is allocated."""

import os
import stat
import tracemalloc
import warnings
import zipfile

import pytest

from lstmfast.saving.zip_reader import read_members

LIMITS = {"config.json": 1 << 20, "model.weights.h5": None}


def make(path, members, compression=zipfile.ZIP_STORED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore")  # "Duplicate name"
        for name, data in members:
            archive.writestr(name, data)
    return path


def refused(path, message):
    before = set(os.listdir(path.parent))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_members(path, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert set(os.listdir(path.parent)) == before


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_reads_the_members_asked_for(tmp_path, compression):
    path = make(tmp_path / "a", [("config.json", "{}"), ("x/y.txt", "z"), ("x/", "")], compression)
    assert read_members(path, LIMITS) == {"config.json": b"{}"}


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "a\\evil", "C:evil", "a//b", "./config.json", "."]
)
def test_names_that_leave_the_archive(tmp_path, name):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    refused(make(tmp_path / "a", [("config.json", "{}"), (info, "evil")]), "unacceptable name")
    assert not (tmp_path.parent / "evil").exists()


def test_name_with_nul(tmp_path):
    path = make(tmp_path / "a", [("config.json", "{}"), ("evilXtail", "evil")])
    path.write_bytes(path.read_bytes().replace(b"evilXtail", b"evil\0tail"))
    refused(path, "unacceptable name")


def test_duplicate_members(tmp_path):
    refused(make(tmp_path / "a", [("config.json", "{}"), ("config.json", "[]")]), "two members")


def test_symbolic_link(tmp_path):
    info = zipfile.ZipInfo("model.weights.h5")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(make(tmp_path / "a", [("config.json", "{}"), (info, "/etc/passwd")]), "symbolic link")


def test_bomb_by_ratio(tmp_path):
    refused(make(tmp_path / "a", [("model.weights.h5", bytes(50 << 20))], zipfile.ZIP_DEFLATED), "bomb")


def test_bomb_in_a_member_that_is_not_read(tmp_path):
    refused(
        make(tmp_path / "a", [("config.json", "{}"), ("assets/x", bytes(50 << 20))], zipfile.ZIP_DEFLATED),
        "bomb",
    )


def test_bomb_by_absolute_size(tmp_path):
    refused(make(tmp_path / "a", [("config.json", os.urandom(2 << 20))]), "at most 1048576")


def test_small_declared_size_of_a_large_stream(tmp_path):
    """10 bytes in the directory, 8 MB in the stream: no more than 10 are inflated, their sum is wrong."""
    path = make(tmp_path / "a", [("model.weights.h5", bytes(8 << 20))], zipfile.ZIP_DEFLATED)
    data = path.read_bytes().replace((8 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    refused(path, "damaged|CRC")


def test_large_declared_size_of_a_small_stream(tmp_path):
    path = make(tmp_path / "a", [("model.weights.h5", b"abcde" * 7)])
    data = path.read_bytes().replace((35).to_bytes(4, "little"), (90).to_bytes(4, "little"))
    path.write_bytes(data)
    refused(path, "damaged|bytes|not accepted")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression(tmp_path, compression):
    refused(make(tmp_path / "a", [("config.json", "{}" * 100)], compression), "compression method")


def test_encryption(tmp_path):
    path = make(tmp_path / "a", [("config.json", "{}")])
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    path.write_bytes(data)
    refused(path, "encrypted")


def test_too_many_members(tmp_path):
    refused(make(tmp_path / "a", [(str(n), "") for n in range(10_001)]), "10001 members")


def test_every_truncation_is_refused(tmp_path):
    whole = make(tmp_path / "a", [("config.json", "{}"), ("model.weights.h5", "abc")]).read_bytes()
    path = tmp_path / "b"
    for size in range(len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError):
            read_members(path, LIMITS)
