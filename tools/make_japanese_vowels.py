#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Make python/lstmfast/datasets/data/japanese_vowels.npz from the copy of the data inside the aeon package.

    pip download --no-deps aeon==1.6.0 -d /tmp/aeon
    python tools/make_japanese_vowels.py /tmp/aeon/aeon-1.6.0-py3-none-any.whl

aeon's JapaneseVowels_{TRAIN,TEST}.ts hold the UCI data with their variable lengths and six decimals. The
result has the same bytes on every run and every machine with the same zlib.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

MEMBER = "aeon/datasets/data/JapaneseVowels/JapaneseVowels_{}.ts"
TARGET = Path(__file__).parents[1] / "python/lstmfast/datasets/data/japanese_vowels.npz"


def read(text: str) -> tuple[list[np.ndarray], list[int]]:
    """Utterances (frames, 12) and speakers 0..8 of one .ts file: ``v,v,..:v,v,..:...:label`` per line."""
    utterances, speakers = [], []
    for line in text.splitlines():
        if line.strip() and line[0] not in "#@":
            *dimensions, label = line.strip().split(":")
            utterances.append(np.array([[float(value) for value in d.split(",")] for d in dimensions]).T)
            speakers.append(int(label) - 1)
    return utterances, speakers


def pack(
    train: tuple[list[np.ndarray], list[int]], test: tuple[list[np.ndarray], list[int]]
) -> dict[str, np.ndarray]:
    """The arrays of the file: values times 1e6 as 32-bit integers by coefficient, split into byte planes."""
    utterances = train[0] + test[0]
    values = np.concatenate(utterances)
    integers = np.rint(values * 1e6).astype("<i4")
    if not np.array_equal(integers / 1e6, values):
        raise SystemExit("the source has values of more than six decimals")
    if not np.all([np.any(u != 0, axis=1).all() for u in utterances]):
        raise SystemExit("the source has an all-zero frame, which padding could not be told from")
    planes = np.ascontiguousarray(np.ascontiguousarray(integers.T).view("u1").reshape(-1, 4).T)
    return {
        "planes": planes,
        "lengths": np.array([len(u) for u in utterances], "u1"),
        "speakers": np.array(train[1] + test[1], "u1"),
        "n_train": np.array(len(train[1]), "<u2"),
    }


def write(arrays: dict[str, np.ndarray], path: Path) -> None:
    """An .npz with fixed dates: the same data give the same bytes (np.savez_compressed stamps the time)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", (1999, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="aeon's wheel")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        train, test = (read(wheel.read(MEMBER.format(part)).decode("utf-8")) for part in ("TRAIN", "TEST"))
    write(pack(train, test), options.output)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
