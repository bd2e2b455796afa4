# SPDX-License-Identifier: BSD-3-Clause
"""Texts in the folders of a directory, as batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..random import make_default_seed
from .interactive_logging import print_msg

__all__ = ["TextDataset", "text_dataset_from_directory"]

Array = npt.NDArray[Any]


class TextDataset:
    """Batches of texts: has a length, gives a batch by number, and may be iterated over any number of times.

    Made by `text_dataset_from_directory`. A batch's files are read when it is asked for. Batches are ``(texts, labels)``,
    or texts alone; texts are an array of str objects.

    Attributes
    ----------
    class_names : list of str or None
    file_paths : list of str
    """

    def __init__(
        self,
        file_paths: list[str],
        labels: Array | None,
        class_names: list[str] | None,
        batch_size: int | None,
        max_length: int | None,
    ) -> None:
        self.file_paths, self.class_names, self.batch_size = file_paths, class_names, batch_size
        self._labels, self._max_length = labels, max_length

    def __len__(self) -> int:
        return -(-len(self.file_paths) // (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        index %= count
        size = self.batch_size
        if size is None:
            text = self._read(self.file_paths[index])
            return text if self._labels is None else (text, self._labels[index])
        part = slice(index * size, (index + 1) * size)
        paths = self.file_paths[part]
        texts = np.empty(len(paths), object)
        texts[:] = [self._read(path) for path in paths]
        return texts if self._labels is None else (texts, self._labels[part])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def _read(self, path: str) -> str:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read(self._max_length)


def text_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "numpy",
    verbose: bool = True,
) -> Any:
    """The ``.txt`` files of a directory in batches, labelled by the folders they stand in: Keras's
    ``keras.utils.text_dataset_from_directory``, without TensorFlow.

    Parameters
    ----------
    directory : path
        Has a folder for each class.
    labels : "inferred", None, or a list of int
        None: all files at any depth, without labels; a list: the labels of these files in the order of their paths.
    label_mode : str or None
        ``"int"``: int32 (B,); ``"categorical"``: float32 (B, classes), one-hot; ``"binary"``: float32 (B, 1), of two
        classes; None: no labels.
    class_names : sequence of str, optional
        The folders to use, in this order; all in alphabetical order by default.
    batch_size : int, optional
        None gives texts one by one.
    max_length : int, optional
        Characters of a text that are read at most.
    shuffle : bool
        Files in random order, drawn once; else in the order of their paths.
    seed : int, optional
        For the order, which is Keras's; drawn from the global generator if not given.
    validation_split : float, optional
        Share of the files, the last, that is left to validation.
    subset : str, optional
        ``"training"`` or ``"validation"``, or ``"both"`` for a list of the two data sets.
    follow_links : bool
        Go into folders that symbolic links lead to.
    format : str
        Only "numpy": Keras's "tf" and "grain" stand for data sets of those packages.
    verbose : bool
        Tell how many files there are.

    Returns
    -------
    TextDataset, or a list of two

    Raises
    ------
    ValueError
        If an argument is out of its range, or there are no files.
    FileNotFoundError
        If there is no such directory.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from lstmfast.utils import text_dataset_from_directory
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> for folder, text in (("bad", "no"), ("good", "yes")):
    ...     (root / folder).mkdir()
    ...     _ = (root / folder / "1.txt").write_text(text)
    >>> dataset = text_dataset_from_directory(root, shuffle=False)
    Found 2 files belonging to 2 classes.
    >>> dataset[0]
    (array(['no', 'yes'], dtype=object), array([0, 1], dtype=int32))
    """
    _check(labels, label_mode, class_names, format, batch_size, max_length)
    _check_split(validation_split, subset, shuffle, seed)
    if labels is None or label_mode is None:
        labels = label_mode = None
    directory = os.fspath(directory)
    paths, numbers, names = _listed(directory, labels, class_names, follow_links)
    if verbose:
        classes = "" if names is None else f" belonging to {len(names)} classes"
        print_msg(f"Found {len(paths)} files{classes}.")
    if label_mode == "binary" and len(names or ()) != 2:
        raise ValueError(
            f'When passing `label_mode="binary"`, there must be exactly 2 class_names. Received: class_names={names}'
        )
    if shuffle:  # by the generator that Keras uses, so that a seed gives the same split
        order = np.arange(len(paths))
        np.random.RandomState((make_default_seed() if seed is None else seed) % 2**32).shuffle(order)
        paths = [paths[k] for k in order]
        numbers = None if numbers is None else numbers[order]
    targets = _targets(numbers, label_mode, len(names or ()))
    held_out = int((validation_split or 0) * len(paths))
    parts = {
        None: slice(None),
        "training": slice(0, len(paths) - held_out),
        "validation": slice(len(paths) - held_out, None),
    }
    made = []
    for part in ("training", "validation") if subset == "both" else (subset,):
        chosen = paths[parts[part]]
        if not chosen:
            raise ValueError(
                f"No {part + ' ' if part else ''}text files found in directory {directory}. Allowed format: .txt"
            )
        if part and verbose:
            print_msg(f"Using {len(chosen)} files for {part}.")
        some = None if targets is None else targets[parts[part]]
        made.append(TextDataset(chosen, some, names, batch_size, max_length))
    return made if subset == "both" else made[0]


def _check(
    labels: Any, label_mode: Any, class_names: Any, format: str, batch_size: Any, max_length: Any
) -> None:
    if format != "numpy":
        raise ValueError(f"format: only 'numpy', batches are arrays, got {format!r}")
    if labels is not None and not isinstance(labels, (list, tuple)) and labels != "inferred":
        raise ValueError(
            "`labels` argument should be a list/tuple of integer labels, of the same size as the number of text files in "
            f'the target directory, "inferred" or None. Received: labels={labels}'
        )
    if class_names and labels != "inferred":
        raise ValueError(
            f'You can only pass `class_names` if `labels="inferred"`. Received: labels={labels}, and '
            f"class_names={class_names}"
        )
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            '`label_mode` argument must be one of "int", "categorical", "binary", or None. Received: '
            f"label_mode={label_mode}"
        )
    for name, value in (("batch_size", batch_size), ("max_length", max_length)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1
        ):
            raise ValueError(f"{name}: expected 1 or more, or None, got {value!r}")


def _check_split(validation_split: Any, subset: Any, shuffle: bool, seed: Any) -> None:
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {validation_split}")
    if bool(validation_split) != bool(subset):
        raise ValueError("If `subset` is set, `validation_split` must be set, and inversely.")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", received: {subset}')
    if validation_split and shuffle and seed is None:
        raise ValueError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` argument, to make sure that "
            "there is no overlap between the training and validation subset."
        )


def _listed(
    directory: str, labels: Any, class_names: Sequence[str] | None, follow_links: bool
) -> tuple[list[str], Array | None, list[str] | None]:
    """Paths, class numbers and class names."""
    if labels != "inferred":
        paths = _files(directory, follow_links)
        if labels is None:
            return paths, None, None
        if len(labels) != len(paths):
            raise ValueError(
                "Expected the lengths of `labels` to match the number of files in the target directory. len(labels) is "
                f"{len(labels)} while we found {len(paths)} files in directory {directory}."
            )
        return paths, np.asarray(labels, np.int32), [str(label) for label in sorted(set(labels))]
    folders = [
        name for name in sorted(os.listdir(directory))
        if os.path.isdir(os.path.join(directory, name)) and not name.startswith(".")
    ]  # fmt: skip
    names = folders if class_names is None else list(class_names)
    if not set(names) <= set(folders):
        raise ValueError(
            "The `class_names` passed did not match the names of the subdirectories of the target directory. Expected: "
            f"{folders} (or a subset of it), but received: class_names={class_names}"
        )
    groups = [_files(os.path.join(directory, name), follow_links) for name in names]
    numbers = np.repeat(np.arange(len(names), dtype=np.int32), [len(group) for group in groups])
    return [path for group in groups for path in group], numbers, names


def _files(directory: str, follow_links: bool) -> list[str]:
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"no such directory: {directory!r}")
    walk = sorted(os.walk(directory, followlinks=follow_links), key=lambda entry: entry[0])
    return [
        os.path.join(root, name)
        for root, _, names in walk
        for name in sorted(names)
        if name.lower().endswith(".txt")
    ]


def _targets(numbers: Array | None, label_mode: str | None, classes: int) -> Array | None:
    if numbers is None:
        return None
    if label_mode == "binary":
        return numbers.astype(np.float32)[:, None]
    if label_mode == "categorical":
        return np.asarray(numbers[:, None] == np.arange(classes)).astype(np.float32)
    return numbers
