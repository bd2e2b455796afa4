# SPDX-License-Identifier: BSD-3-Clause
"""Data sets in memory: checked once, then cut into batches with little work a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, flatten, map_leaves
from .convert import plain
from .structure import along_outputs, has_nested_outputs, output_keys
from .terms import outputs_with_loss

if TYPE_CHECKING:
    from ..models.model import Model

__all__ = ["DataSet", "batch_size_for", "positive_int", "prepare", "split", "with_class_weights"]

Array = npt.NDArray[Any]


@dataclass(slots=True)
class DataSet:
    """Arrays of a data set; the first axis of each is the samples.

    Attributes
    ----------
    xs : list of arrays, one for each input, None for an optional one
    ys, weights : list of arrays or None, one for each output
    lengths : list of arrays or None, one for each input; or None
    resets : (N, T) bool array or None
    free : list of arrays
        Targets, then sample weights, in other structures than the outputs': for steps that a model writes itself.
    forms : tuple or None
        These structures, of places in `free`; `ys` and `weights` hold nothing then.
    """

    xs: list[Any]
    ys: list[Array | None]
    weights: list[Array | None]
    lengths: list[Any] | None
    resets: Array | None = None
    free: list[Any] = field(default_factory=list)
    forms: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        return len(next(x for x in self.xs if x is not None))

    def _lists(self) -> list[list[Any]]:
        return [self.xs, self.ys, self.weights, self.lengths or [], [self.resets], self.free]

    def _made(self, lists: list[list[Any]]) -> DataSet:
        xs, ys, weights, lengths, (resets,), free = lists
        return DataSet(xs, ys, weights, None if self.lengths is None else lengths, resets, free, self.forms)

    def part(self, start: int, stop: int) -> DataSet:
        """Samples start .. stop - 1, as views."""
        return self._made([[None if a is None else a[start:stop] for a in group] for group in self._lists()])

    def batches(self, size: int, order: Array | None = None) -> Iterator[DataSet]:
        """Batches of `size` samples, the last one smaller; in the given order of samples.

        The arrays of a shuffled batch are overwritten by the next one.
        """
        n = len(self)
        count = math.ceil(n / size)
        if order is None:
            if count == 1 and size >= n:
                yield self
                return
            for k in range(count):
                yield self.part(k * size, min(n, (k + 1) * size))
            return
        size = min(size, n)
        whole = self._made(
            [
                [None if a is None else np.empty((size, *a.shape[1:]), a.dtype) for a in group]
                for group in self._lists()
            ]
        )
        pairs = [
            (a, buffer)
            for group, buffers in zip(self._lists(), whole._lists(), strict=True)
            for a, buffer in zip(group, buffers, strict=True)
            if a is not None
        ]
        for k in range(count):
            chosen = order[k * size : (k + 1) * size]
            m = len(chosen)
            # mode="clip" lets take write straight into `out`; nothing is clipped, `order` is a permutation.
            for a, buffer in pairs:
                a.take(chosen, 0, buffer if m == size else buffer[:m], "clip")
            yield whole if m == size else whole.part(0, m)


def batch_size_for(model: Model, batch_size: Any, n: int) -> int:
    """The size of the batches: as given, or 32; a model with state takes only whole batches of its fixed size.

    Raises
    ------
    ValueError
        If it is not a positive integer, or does not fit the model and the number of samples.
    """
    stateful = [layer for layer in model.layers if getattr(layer, "stateful", False)]
    fixed = model.executor.graph.inputs[0].shape[0] if stateful else None
    size = positive_int(batch_size, "batch_size", fixed or 32)
    if fixed is not None and (size != fixed or n % fixed):
        raise ValueError(
            f"layer {stateful[0].name!r} keeps states for batches of {fixed}: batch_size must be {fixed} and the number "
            f"of samples a multiple of it, got batch_size={size} and {n} samples"
        )
    return size


def positive_int(value: Any, name: str, default: int | None = None) -> int:
    """`value` as a positive int, `default` for None; ValueError that names the argument."""
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def prepare(
    model: Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    lengths: Any = None,
    resets: Any = None,
) -> DataSet:
    """Everything that `fit` and `evaluate` were given as a `DataSet`, converted and checked.

    Raises
    ------
    ValueError
        If shapes or numbers of samples differ, an array is empty, ids are out of range, weights are not
        finite.
    TypeError
        If data is not made of numeric arrays.
    """
    if x is None:
        raise ValueError("x is missing")
    x, y, sample_weight, lengths = plain(x), plain(y), plain(sample_weight), plain(lengths)
    if not isinstance(x, (list, tuple, dict, np.ndarray)):
        raise TypeError(
            "x must be an array, a list or dict of arrays, or give batches (a generator, an iterable, a "
            f"PyDataset); got {type(x).__name__}"
        )
    xs = model._standardize(x)
    executor = model.executor
    n = len(xs[0] if xs[0] is not None else next(a for a in xs if a is not None))
    for layer, number in executor.input_layers:
        if xs[number] is not None:
            layer.check_values(xs[number])
    free: list[Any] = []
    forms: tuple[Any, Any] | None = None
    try:
        ys = _targets(model, y, n)
        weights = _sample_weights(model, sample_weight, n, ys)
    except (ValueError, TypeError):
        if not _has_own_steps(model):
            raise
        ys, weights = [None] * len(model.output_names), [None] * len(model.output_names)
        if isinstance(y, (list, tuple, dict)) and isinstance(sample_weight, np.ndarray):
            sample_weight = map_leaves(lambda _: sample_weight, y)  # as Keras, the same for all
        forms = (_freed(y, n, "y", free), _freed(sample_weight, n, "sample_weight", free))
    lengths, resets = model.lengths_of(lengths, xs), model.resets_of(plain(resets), xs)
    data = DataSet(xs, ys, weights, lengths, resets, free, forms)
    return data if class_weight is None else with_class_weights(data, class_weight)


def _has_own_steps(model: Any) -> bool:
    """Whether the model's class says itself what it does with targets."""
    from .own_steps import overrides

    return any(overrides(model, name) for name in ("train_step", "test_step", "compute_loss"))


def _of_samples(value: Any, n: int, what: str) -> Array:
    """Numbers with an entry for each of n samples, fractions as float32; ValueError or TypeError for anything else."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged
        raise ValueError(f"{what} must be an array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what} must be numeric, got dtype {array.dtype}")
    if array.ndim < 1 or len(array) != n:
        raise ValueError(
            f"{what} must have one entry for each of the {n} samples of x, got shape {array.shape}"
        )
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _freed(given: Any, n: int, what: str, free: list[Any]) -> Any:
    """The structure of what was given with places in `free`, to which its arrays are appended."""

    def place(value: Any) -> int:
        free.append(_of_samples(value, n, what))
        return len(free) - 1

    return map_leaves(place, given)


def with_class_weights(data: DataSet, class_weight: Any) -> DataSet:
    """The data set with the weights of its samples' classes."""
    if any(w is not None for w in data.weights):
        raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
    if len(data.ys) != 1 or data.ys[0] is None:
        raise ValueError("`class_weight` is only supported for Models with a single output.")
    return DataSet(data.xs, data.ys, [_class_weights(data.ys[0], class_weight)], data.lengths, data.resets)


def _targets(model: Model, y: Any, n: int) -> list[Array | None]:
    names, tensors = model.executor.output_names, model.executor.graph.outputs
    if y is None:
        return [None] * len(names)
    if isinstance(y, np.ndarray) and isinstance(model._output_structure, KerasTensor):
        given: list[Any] = [y]
    elif has_nested_outputs(model):
        given = along_outputs(model, y, "y")
    elif isinstance(y, dict):
        keys = output_keys(model)
        unknown = [key for key in y if key not in keys]
        if unknown:
            raise ValueError(f"y is a dict with keys {list(y)}, the model's outputs are {keys}")
        given = [y.get(key) for key in keys]
    elif len(names) == 1:
        single = isinstance(y, (list, tuple)) and len(y) == 1 and np.ndim(y[0]) >= 1 and len(y[0]) == n
        given = [y[0] if single and n != 1 else y]
    elif isinstance(y, (list, tuple)) and len(y) == len(names):
        given = (
            flatten(list(y))
            if all(v is not None for v in y) and not isinstance(y[0], (list, tuple))
            else list(y)
        )
    else:
        # Of the outputs with a loss alone, as in Keras
        with_loss = outputs_with_loss(model, model._compile_arguments["loss"])
        values = list(y) if isinstance(y, (list, tuple)) else [y]
        if len(values) != len(with_loss) or any(v is None for v in values):
            raise ValueError(f"y must be a list or dict of {len(names)} arrays, for the outputs {names}")
        of_output = dict(zip(with_loss, values, strict=True))
        given = [of_output.get(k) for k in range(len(names))]
    targets: list[Array | None] = []
    for name, tensor, value in zip(names, tensors, given, strict=True):
        what = "y" if len(names) == 1 else f"y[{name!r}]"
        if value is None:
            targets.append(None)
            continue
        array = _of_samples(value, n, what)
        if array.dtype.kind != "f" and array.dtype.itemsize < 8:
            array = array.astype(np.int64)
        if array.ndim == len(tensor.shape) - 1 and tensor.shape[-1] == 1:
            array = array[..., None]  # once, rather than in every batch
        targets.append(np.ascontiguousarray(array))
    return targets


def _sample_weights(model: Model, given: Any, n: int, ys: list[Array | None]) -> list[Array | None]:
    if given is None:
        return [None] * len(ys)
    names = output_keys(model)
    if has_nested_outputs(model) and isinstance(given, (dict, list, tuple)):
        values = along_outputs(model, given, "sample_weight")
    elif isinstance(given, dict):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise ValueError(
                f"sample_weight is a dict with keys {list(given)}, the model's outputs are {names}"
            )
        values = [given.get(name) for name in names]
    elif isinstance(given, (list, tuple)) and len(names) > 1 and len(given) == len(names):
        values = list(given)
    else:
        values = [given] * len(names)
    weights: list[Array | None] = []
    for tensor, value, y in zip(model.outputs, values, ys, strict=True):
        if value is None or y is None:
            weights.append(None)
            continue
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"sample_weight must be numeric, got dtype {array.dtype}")
        array = np.ascontiguousarray(array, np.float32)
        if array.ndim > 1 and array.ndim == len(tensor.shape) and array.shape[-1] == 1:
            array = array[..., 0]
        if not 1 <= array.ndim < max(2, len(tensor.shape)) or len(array) != n:
            raise ValueError(
                f"sample_weight must have shape ({n},), or with time steps ({n}, T), got {np.shape(value)}"
            )
        if array.ndim > 1 and y.ndim > 1 and array.shape[1] not in (1, y.shape[1]):
            raise ValueError(f"sample_weight of shape {array.shape} does not fit y of shape {y.shape}")
        if not np.isfinite(array).all():
            raise ValueError("sample_weight must be finite")
        weights.append(array)
    return weights


def _class_weights(y: Array, class_weight: Any) -> Array:
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight must be a dict of class to weight, got {type(class_weight).__name__}")
    labels = y
    if labels.ndim > 1:
        labels = labels.argmax(axis=-1) if labels.shape[-1] != 1 else labels[..., 0]
    if labels.ndim > 1:
        raise ValueError("`class_weight` needs one class a sample; use sample_weight for time steps")
    if not np.isfinite(labels).all():
        raise ValueError("y must be finite")
    numbers = np.round(labels).astype(np.int64)
    classes, places = np.unique(numbers, return_inverse=True)
    for key, weight in class_weight.items():
        whole = isinstance(key, (int, float, np.number)) and float(key).is_integer()
        number = isinstance(weight, (int, float, np.number))
        if not whole or not number or not math.isfinite(weight):
            raise ValueError(
                f"class_weight must map class numbers to finite weights, got {key!r}: {weight!r}"
            )
    table = np.array([float(class_weight.get(int(c), 1.0)) for c in classes], np.float32)
    return np.ascontiguousarray(table[places.reshape(-1)])


def split(data: DataSet, validation_split: float) -> tuple[DataSet, DataSet]:
    """The first part for training and the last for validation, before any shuffling (Keras's rule)."""
    n = len(data)
    at = math.floor(n * (1.0 - validation_split))
    if at == 0 or at == n:
        raise ValueError(
            f"Training data contains {n} samples, which is not sufficient to split it into a validation and "
            "training "
            f"set as specified by `validation_split={validation_split}`. Either provide more data, or a "
            "different "
            "value for the `validation_split` argument."
        )
    return data.part(0, at), data.part(at, n)
