# SPDX-License-Identifier: BSD-3-Clause
"""The vocabularies of lookup layers in files: what a configuration and weights leave out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .hdf5_reader import WeightFile

__all__ = [
    "asset_names",
    "from_archive",
    "from_arrays",
    "load_assets",
    "save_assets",
    "to_archive",
    "to_arrays",
]

Array = npt.NDArray[Any]

_PREFIX, _TOKENS, _WEIGHTS = "vocabularies/", "tokens", "idf_weights"
_ASSET = "vocabulary.txt"


def _lookups(layer: Any, prefix: str = _PREFIX) -> Iterator[tuple[str, Any]]:
    """(path, layer) of every lookup layer in a model, or in what other layers hold."""
    used: dict[str, int] = {}
    for inner in layer._sublayers():
        number = used[inner.name] = used.get(inner.name, -1) + 1
        path = f"{prefix}{inner.name}" + (f"_{number}" if number else "") + "/"
        if hasattr(inner, "vocabulary_state"):
            yield path, inner
        else:
            yield from _lookups(inner, path)


def to_arrays(model: Layer) -> dict[str, Array]:
    """For a native file: the tokens of each lookup layer as JSON in bytes, and their weights."""
    arrays: dict[str, Array] = {}
    for path, layer in _lookups(model):
        state = layer.vocabulary_state()
        if state is not None:
            tokens, weights = state
            arrays[path + _TOKENS] = np.frombuffer(json.dumps(tokens).encode(), np.uint8)
            if weights is not None:
                arrays[path + _WEIGHTS] = weights
    return arrays


def from_arrays(model: Layer, arrays: dict[str, Array]) -> None:
    """Set what `to_arrays` gave; ValueError if it does not fit the model."""
    left = {name for name in arrays if name.startswith(_PREFIX)}
    for path, layer in _lookups(model):
        if path + _TOKENS in left:
            data = arrays[path + _TOKENS]
            try:
                tokens = json.loads(data.astype(np.uint8, casting="no").tobytes())
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f"the vocabulary of layer {layer.name!r} is damaged: {error}") from None
            _restore(layer, tokens, arrays.get(path + _WEIGHTS))
            left -= {path + _TOKENS, path + _WEIGHTS}
    if left:
        raise ValueError(f"its vocabularies do not fit its configuration: not expected {sorted(left)[:5]}")


def _restore(layer: Any, tokens: Any, weights: Any) -> None:
    if not isinstance(tokens, list):
        raise ValueError(
            f"the vocabulary of layer {layer.name!r} must be a list, got {type(tokens).__name__}"
        )
    try:
        layer.restore_vocabulary(tokens, weights)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the vocabulary of layer {layer.name!r} cannot be used: {error}") from None


def to_archive(group: str, layer: Any) -> tuple[dict[str, bytes], dict[str, Array]]:
    """For a ``.keras`` file: members of the archive, and named arrays for the layer's group of weights."""
    state = layer.vocabulary_state() if hasattr(layer, "vocabulary_state") else None
    if state is None:
        return {}, {}
    tokens, weights = state
    named = {} if weights is None else {_WEIGHTS: weights}
    if layer.get_config()["vocabulary"] is not None:  # Keras reads the one in the configuration
        return {}, named
    return {_member(group): _as_text(layer, tokens)}, named


def _as_text(layer: Any, tokens: list[Any]) -> bytes:
    """Tokens as Keras's files keep them, one a line; ValueError if one cannot be a line."""
    lines = [str(token) for token in tokens]
    broken = next((line for line in lines if line and line.splitlines() != [line]), None)
    if broken is not None or lines[-1:] == [""]:
        raise ValueError(
            f"the vocabulary of layer {layer.name!r} holds {broken or ''!r}, which Keras's files, a token a line, cannot "
            "keep: save the model natively (.safetensors)"
        )
    return "\n".join(lines).encode()


def save_assets(layer: Any, dir_path: str | os.PathLike[str]) -> None:
    """Write the vocabulary into a folder, unless it is in the layer's configuration."""
    if layer.get_config()["vocabulary"] is None:
        tokens = layer.get_vocabulary(include_special_tokens=True)
        Path(dir_path, _ASSET).write_bytes(_as_text(layer, tokens))


def load_assets(layer: Any, dir_path: str | os.PathLike[str]) -> None:
    """Set what `save_assets`, or Keras's, wrote; ValueError if it does not fit the layer."""
    config = layer.get_config()
    if config["vocabulary"] is None:
        tokens = _from_text(layer, Path(dir_path, _ASSET).read_bytes(), config)
        weights = (layer.vocabulary_state() or (None, None))[1] if config["output_mode"] == "tf_idf" else None
        _restore(layer, tokens, weights)


def from_archive(group: str, layer: Any, members: dict[str, bytes], weights: WeightFile) -> None:
    """Set what `to_archive`, or Keras, wrote; ValueError if it does not fit the layer."""
    member = members.get(_member(group))
    config = layer.get_config()
    if member is None and config["vocabulary"] is None:
        return
    idf = weights.named_array(f"{group}/{_WEIGHTS}") if config["output_mode"] == "tf_idf" else None
    tokens: list[Any]
    if member is None or config["vocabulary"] is not None:
        if idf is None:
            return
        tokens = layer.get_vocabulary()
    else:
        tokens = _from_text(layer, member, config)
    _restore(layer, tokens, idf)


def _from_text(layer: Any, text: bytes, config: dict[str, Any]) -> list[Any]:
    """The tokens that `_as_text` wrote."""
    try:
        tokens: list[Any] = text.decode("utf-8").splitlines()
        while tokens and tokens[-1] == "":
            tokens.pop()
        return [int(line) for line in tokens] if config.get("vocabulary_dtype") == "int64" else tokens
    except ValueError as error:
        raise ValueError(f"the vocabulary of layer {layer.name!r} is damaged: {error}") from None


def _member(group: str) -> str:
    return f"assets/{group.removesuffix('/vars')}/{_ASSET}"


def asset_names(groups: Iterator[tuple[str, Any, Any]]) -> dict[str, int | None]:
    """The members that `from_archive` reads, in the form of `zip_reader.read_members`."""
    return {_member(group): None for group, layer, _ in groups if hasattr(layer, "vocabulary_state")}
