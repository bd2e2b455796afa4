# SPDX-License-Identifier: BSD-3-Clause
"""What both model formats share: configurations as JSON, a model made from one, its arrays put in."""

from __future__ import annotations

import contextlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..symbolic import shapes_of_config
from .registry import InvalidConfigError, deserialize_keras_object, object_sharing_scope, serialize_model

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = [
    "assign_all",
    "cannot_load",
    "compile_model",
    "config_to_json",
    "json_to_config",
    "make_model",
    "optimizer_variables",
    "warn_of_skipped",
]

Array = npt.NDArray[Any]

#: A configuration takes about 2 KB a layer; parsed JSON may take 30 times its text's memory.
MAX_CONFIG_BYTES = 16 << 20
#: Largest num_thresholds and the like in a file; Keras's default is 200.
MAX_COUNT = 100_000


def config_to_json(model: Model) -> str:
    """The model's configuration, with build and compile state, in Keras 3's dict form."""
    return json.dumps(serialize_model(model), separators=(",", ":"))


def json_to_config(text: str | bytes) -> dict[str, Any]:
    """Parse a configuration; a ValueError for whatever is not a JSON object of a sane size and depth."""
    if len(text) > MAX_CONFIG_BYTES:
        raise ValueError(
            f"the model's configuration takes {len(text)} bytes, at most {MAX_CONFIG_BYTES} are accepted"
        )
    try:
        config = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError("the model's configuration is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"the model's configuration is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the model's configuration is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise ValueError("the model's configuration must be a JSON object")
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice in one object of the model's configuration")
    return result


def make_model(config: dict[str, Any], custom_objects: Mapping[str, Any] | None, data_bytes: int) -> Model:
    """The model that `config` describes, its weights allocated but not set.

    Parameters
    ----------
    config : dict
        In Keras 3's form, from `json_to_config`.
    custom_objects : mapping, optional
        The caller's own names.
    data_bytes : int
        Bytes of arrays in the file. A configuration whose weights take more is refused before they are
        allocated: otherwise a file of one kilobyte could ask for a terabyte.
    """
    from ..models import Model

    with object_sharing_scope(), _weight_budget(data_bytes):
        try:
            model = deserialize_keras_object(config, custom_objects)
            if not isinstance(model, Model):
                raise ValueError(f"the configuration describes a {type(model).__name__}, expected a model")
            shape = _build_shape(config)
            if not model.built and shape is not None:
                model.build(shape)
        except (RecursionError, OverflowError, NotImplementedError) as error:
            raise ValueError(f"the model's configuration cannot be used: {error}") from error
    return model


def _build_shape(config: Mapping[str, Any]) -> Any:
    """The input shape, or shapes, a model without an Input was built with, where the configuration states them."""
    build = config.get("build_config")
    return shapes_of_config(build.get("input_shape")) if isinstance(build, dict) else None


@contextlib.contextmanager
def _weight_budget(data_bytes: int) -> Iterator[None]:
    """While it lasts, `add_weight` takes its memory from here, uninitialised: the file's values follow."""
    from ..variables import weight_supplier

    left = data_bytes

    def supply(shape: Sequence[int], dtype: str = "float32") -> Array:
        nonlocal left
        left -= math.prod(shape) * np.dtype(dtype).itemsize
        if left < 0:
            raise ValueError(
                f"the configuration describes weights that take more than the {data_bytes} bytes of arrays "
                f"in the file (at a weight of shape {tuple(shape)})"
            )
        return np.empty(tuple(shape), dtype)

    token = weight_supplier.set(supply)
    try:
        yield
    finally:
        weight_supplier.reset(token)


def assign_all(values: Sequence[tuple[str, Variable, Array]]) -> None:
    """Put every array into its variable, having checked all of them first."""
    for label, variable, array in values:
        if tuple(array.shape) != tuple(variable.shape):
            raise ValueError(
                f"{label} has shape {array.shape} in the file, which must match the model's {tuple(variable.shape)}"
            )
        if np.dtype(variable.dtype).kind != array.dtype.kind:
            raise ValueError(
                f"{label} has dtype {array.dtype} in the file, the model expects {variable.dtype}"
            )
    for _, variable, array in values:
        variable.assign(array.astype(variable.dtype, copy=False))


def _check_counts(config: Any) -> None:
    """Refuse counts by which a metric of a hostile file would allocate without end (AUC's num_thresholds)."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key.startswith("num_") and isinstance(value, (int, float)) and value > MAX_COUNT:
                raise ValueError(f"the compile state has {key}={value}, at most {MAX_COUNT} is accepted")
            _check_counts(value)
    elif isinstance(config, list):
        for value in config:
            _check_counts(value)


def compile_model(model: Model, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None) -> None:
    """Compile as the configuration says, if it says so, and build the optimizer's variables."""
    from .registry import CustomObjectScope

    compile_config = config.get("compile_config")
    if not compile_config:
        return
    if not isinstance(compile_config, dict):
        raise ValueError(f"compile_config must be a dict, got {type(compile_config).__name__}")
    with CustomObjectScope(custom_objects):
        try:
            _check_counts(compile_config)
            model.compile_from_config(compile_config)
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"the model's compile state cannot be restored (compile=False skips it): {error}"
            ) from error


def optimizer_variables(model: Model) -> list[Variable]:
    """The optimizer's state, in Keras's order; empty for a model that is not compiled or has not trained."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not getattr(optimizer, "built", False):
        return []
    return list(optimizer.variables)


def cannot_load(path: Any, error: ValueError | RecursionError) -> ValueError:
    """The error of a loader: it names the file, and is a TypeError too if `error` is."""
    name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    kind = InvalidConfigError if isinstance(error, InvalidConfigError) else ValueError
    told = "its configuration is nested too deeply" if isinstance(error, RecursionError) else error
    return kind(f"{name!r} cannot be loaded: {told}")


def warn_of_skipped(layer: str, found: list[Any], expected: list[Any]) -> None:
    """Say that `skip_mismatch` left a layer's weights as they are."""
    warnings.warn(
        f"A layer that does not fit is skipped: the weights of {layer!r} have shapes {found} in the file, the "
        f"model has {expected}.",
        stacklevel=6,
    )
