# SPDX-License-Identifier: BSD-3-Clause
"""The names that a program adds to those of lstmfast: registered classes and functions, scopes."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "is_registered",
    "register_keras_serializable",
]

T = TypeVar("T")

_GLOBAL_OBJECTS: dict[str, Any] = {}
_GLOBAL_NAMES: dict[Any, str] = {}
_scoped_objects: ContextVar[Mapping[str, Any]] = ContextVar(
    "scoped_objects", default=types.MappingProxyType({})
)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: `load_model` finds this class or function under ``package>name``, without `custom_objects`.

    Parameters
    ----------
    package : str
        First part of the registered name.
    name : str, optional
        Second part; the class's own name by default.

    Returns
    -------
    callable
        The decorator, which returns its argument.

    Examples
    --------
    >>> @register_keras_serializable("my_package")
    ... class Doubler:
    ...     def get_config(self):
    ...         return {}
    >>> from lstmfast.saving import serialize_keras_object
    >>> serialize_keras_object(Doubler())["registered_name"]
    'my_package>Doubler'
    """

    def decorator(obj: T) -> T:
        if inspect.isclass(obj) and not hasattr(obj, "get_config"):
            raise ValueError(
                f"Cannot register a class that does not have a get_config() method: {obj.__name__}"
            )
        registered = f"{package}>{name if name is not None else obj.__name__}"  # type: ignore[attr-defined]
        _GLOBAL_OBJECTS[registered] = obj
        _GLOBAL_NAMES[obj] = registered
        return obj

    return decorator


def get_registered_name(obj: Any) -> str:
    """The name an object is registered under, or else its Python name."""
    return _GLOBAL_NAMES.get(obj) or str(obj.__name__)


def is_registered(obj: Any) -> bool:
    """Whether `register_keras_serializable` was applied to this class or function."""
    return obj in _GLOBAL_NAMES


def get_registered_object(
    name: str | None,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The custom object of this name, or None: the caller's first, then scopes, then what is registered."""
    for table in (custom_objects, _scoped_objects.get(), _GLOBAL_OBJECTS, module_objects):
        if table and isinstance(name, str) and name in table:
            return table[name]
    return None


def get_custom_objects() -> dict[str, Any]:
    """The live dict of everything registered with `register_keras_serializable`."""
    return _GLOBAL_OBJECTS


class CustomObjectScope:
    """Context manager: inside it, names of `custom_objects` are known to deserialization.

    Examples
    --------
    >>> with CustomObjectScope({"twice": lambda x: 2 * x}):
    ...     get_registered_object("twice")(4)
    8
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self) -> CustomObjectScope:
        self._token = _scoped_objects.set({**_scoped_objects.get(), **self.custom_objects})
        return self

    def __exit__(self, *exception: object) -> None:
        _scoped_objects.reset(self._token)


custom_object_scope = CustomObjectScope
