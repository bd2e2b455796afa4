# SPDX-License-Identifier: BSD-3-Clause
"""Windows over time series against plain loops; splits; packing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast.utils import (
    pack_x_y_sample_weight,
    split_dataset,
    timeseries_dataset_from_array,
    unpack_x_y_sample_weight,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    total=st.integers(3, 40),
    length=st.integers(1, 8),
    stride=st.integers(1, 2),
    rate=st.integers(1, 2),
    batch=st.one_of(st.none(), st.integers(1, 7)),
    start=st.one_of(st.none(), st.integers(0, 2)),
    cut=st.integers(0, 5),
    missing=st.integers(0, 5),
)
def test_windows(
    total: int,
    length: int,
    stride: int,
    rate: int,
    batch: int | None,
    start: int | None,
    cut: int,
    missing: int,
) -> None:
    rng = np.random.default_rng(total)
    data, targets = rng.normal(size=(total, 3)), rng.integers(0, 9, max(total - missing, 3))
    end = total - cut if cut and total - cut > (start or 0) else None
    windows, labels = [], []
    position = start or 0
    while position + (length - 1) * rate < (total if end is None else end) and position < len(targets):
        windows.append([data[position + i * rate] for i in range(length)])
        labels.append(targets[position])
        position += stride
    dataset = timeseries_dataset_from_array(
        data, targets, length, stride, rate, batch, start_index=start, end_index=end
    )
    assert len(dataset) == -(-len(windows) // (batch or 1))
    batches = list(dataset)
    if windows:
        join: Any = np.stack if batch is None else np.concatenate
        np.testing.assert_array_equal(join([w for w, _ in batches]), windows)
        np.testing.assert_array_equal(join([t for _, t in batches]), labels)
        np.testing.assert_array_equal(dataset[-1][0], batches[-1][0])
        assert all(len(w) == batch for w, _ in batches[:-1] if batch)
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    alone = timeseries_dataset_from_array(data, None, length, batch_size=4)
    assert all(isinstance(w, np.ndarray) for w in alone)


def test_shuffled_windows() -> None:
    data = np.arange(50)
    made = [
        list(timeseries_dataset_from_array(data, data, 3, batch_size=8, shuffle=True, seed=s))
        for s in (1, 1, 2)
    ]
    first, again, other = (np.concatenate([t for _, t in batches]) for batches in made)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(np.sort(first), np.arange(48))
    assert all((w[:, 0] == t).all() for w, t in made[0])
    lf.utils.set_random_seed(5)
    one = timeseries_dataset_from_array(data, None, 3, shuffle=True)[0]
    lf.utils.set_random_seed(5)
    np.testing.assert_array_equal(one, timeseries_dataset_from_array(data, None, 3, shuffle=True)[0])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"start_index": -1}, "`start_index` must be 0 or greater"),
        ({"start_index": 10}, "`start_index` must be lower than the length"),
        ({"start_index": 5, "end_index": 5}, "`end_index` must be higher than `start_index`"),
        ({"end_index": 10}, "`end_index` must be lower than the length"),
        ({"end_index": -1}, "`end_index` must be higher than 0"),
        ({"sampling_rate": 0}, "`sampling_rate` must be higher than 0"),
        ({"sampling_rate": 10}, "`sampling_rate` must be lower than the length"),
        ({"sequence_stride": 0}, "`sequence_stride` must be higher than 0"),
        ({"sequence_stride": 10}, "`sequence_stride` must be lower than the length"),
        ({"sequence_length": 0}, "sequence_length: expected 1 or more, got 0"),
        ({"batch_size": 0}, "batch_size: expected 1 or more, or None, got 0"),
        ({"data": 3.0}, "data: expected an axis of time"),
    ],
)
def test_refused_windows(options: dict[str, Any], error: str) -> None:
    arguments = {"data": np.arange(10), "targets": None, "sequence_length": 3, **options}
    with pytest.raises(ValueError, match=error):
        timeseries_dataset_from_array(**arguments)


@pytest.mark.parametrize(
    ("sizes", "left", "right"),
    [
        ({"left_size": 3}, range(3), range(3, 10)),
        ({"right_size": 3}, range(7), range(7, 10)),
        ({"left_size": 0.25}, range(2), range(2, 10)),  # 2.5 rounds to even
        ({"left_size": 2, "right_size": 0.3}, range(2), range(7, 10)),
        ({"left_size": 0.5, "right_size": 0.5}, range(5), range(5, 10)),
    ],
)
def test_splits(sizes: dict[str, Any], left: range, right: range) -> None:
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    a, b = split_dataset((x, y), **sizes)
    assert isinstance(a, tuple) and a[1].tolist() == list(left) and b[1].tolist() == list(right)
    np.testing.assert_array_equal(a[0], x[list(left)])
    assert isinstance(split_dataset([x, y], **sizes)[0], list)
    assert split_dataset(y, **sizes)[1].tolist() == list(right)


def test_shuffled_splits() -> None:
    y = np.arange(30)
    (a, b), (c, _), (d, _) = (split_dataset(y, 10, shuffle=True, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a, c) and not np.array_equal(a, d)
    assert np.array_equal(np.sort(np.concatenate([a, b])), y)


@pytest.mark.parametrize(
    ("dataset", "sizes", "error"),
    [
        ("text", {"left_size": 1}, TypeError),
        ([1, 2], {"left_size": 1}, TypeError),
        (np.arange(4), {}, ValueError),
        (np.arange(4), {"left_size": 4}, ValueError),
        (np.arange(4), {"left_size": 0}, ValueError),
        (np.arange(4), {"left_size": 1.0}, ValueError),
        (np.arange(4), {"left_size": 0.1}, ValueError),
        (np.arange(4), {"left_size": "1"}, TypeError),
        (np.arange(4), {"left_size": 0.6, "right_size": 0.6}, ValueError),
        (np.arange(4), {"left_size": 3, "right_size": 2}, ValueError),
        ((np.arange(4), np.arange(3)), {"left_size": 1}, ValueError),
        ([], {"left_size": 1}, ValueError),
    ],
)
def test_refused_splits(dataset: Any, sizes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        split_dataset(dataset, **sizes)


def test_packing() -> None:
    assert pack_x_y_sample_weight(1) == 1 and pack_x_y_sample_weight([1]) == ([1],)
    assert pack_x_y_sample_weight(1, 2) == (1, 2) and pack_x_y_sample_weight(1, 2, 3) == (1, 2, 3)
    for data in (1, (1,), [1, 2], (1, 2, 3)):
        x, y, weight = unpack_x_y_sample_weight(data)
        assert x == 1 and y in (None, 2) and weight in (None, 3)
    with pytest.raises(ValueError, match="expected to be in format"):
        unpack_x_y_sample_weight((1, 2, 3, 4))


@pytest.mark.parametrize(
    "name", ["sequence_length", "sequence_stride", "sampling_rate", "batch_size", "start_index", "end_index"]
)
@pytest.mark.parametrize("value", [1.5, "a", True])
def test_windows_are_counted_in_whole_steps(name, value):
    arguments = {"sequence_length": 2, name: value}
    with pytest.raises(ValueError, match=f"{name}: expected an integer, got {value!r}"):
        timeseries_dataset_from_array(np.arange(9.0), None, **arguments)


def test_split_of_structures_and_samples():
    x, y = np.arange(10).reshape(5, 2), np.arange(5)
    left, right = split_dataset({"a": (x, y), "b": [y]}, left_size=3)
    np.testing.assert_array_equal(left["a"][0], x[:3])
    np.testing.assert_array_equal(right["b"][0], y[3:])
    assert isinstance(left["a"], tuple) and isinstance(left["b"], list)

    class Samples:
        def __len__(self):
            return 5

        def __getitem__(self, number):
            return {"x": x[number], "y": y[number]}

    left, right = split_dataset(Samples(), right_size=0.4)
    np.testing.assert_array_equal(left["x"], x[:3])
    np.testing.assert_array_equal(right["y"], y[3:])
    left, _ = split_dataset(Samples(), left_size=4, shuffle=True, seed=1)
    np.testing.assert_array_equal(left["x"][:, 0], 2 * left["y"])
    for wrong in ("text", 5, [x, "a"], (n for n in "ab")):
        with pytest.raises(TypeError, match="The `dataset` argument must be"):
            split_dataset(wrong, left_size=1)
    for wrong in ((), {}):
        with pytest.raises(ValueError, match="at least one array"):
            split_dataset(wrong, left_size=1)


def test_split_of_tensors_and_torch_data_sets():
    torch = pytest.importorskip("torch")
    x, y = torch.arange(10).reshape(5, 2), torch.arange(5)
    for dataset in ((x, y), torch.utils.data.TensorDataset(x, y)):
        left, right = split_dataset(dataset, left_size=3)
        for parts, rows in ((left, slice(None, 3)), (right, slice(3, None))):
            assert isinstance(parts, tuple) and all(isinstance(a, np.ndarray) for a in parts)
            np.testing.assert_array_equal(parts[0], x.numpy()[rows])
            np.testing.assert_array_equal(parts[1], y.numpy()[rows])
