# SPDX-License-Identifier: BSD-3-Clause
"""Objects to configurations and back, in the dict form of Keras 3, without ever trusting a name from a file.

``{"module", "class_name", "config", "registered_name"}`` describes an object. Keras imports what `module`
says when it knows no better; here `module` only chooses between our own tables ("keras.losses" and
"keras.metrics" both have a MeanSquaredError), and a name is looked up there, in the caller's `custom_objects`
and among the classes that the running program registered. A name that is in none of these is an error;
nothing is imported, unpickled or unmarshalled.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from .custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    is_registered,
    register_keras_serializable,
)

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "object_sharing_scope",
    "register_keras_serializable",
    "serialize_keras_object",
]

#: Our modules that hold serializable things, by the word that stands for them in Keras's module names. The
#: order decides where a bare name is searched first. A fixed list: no text from a file ever becomes part of
#: an import.
_KINDS = (
    "layers",
    "models",
    "optimizers.schedules",
    "optimizers",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "random",
    "ops",  # behind the losses: some are named alike, and only files of Keras 2, which has no operations, name no module
)
_FUNCTION_KINDS = ("activations", "losses", "metrics", "initializers")

_NOT_SERIALIZED = ("get", "serialize", "deserialize")
_ARRAY_DTYPES = (
    *("bool", "float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)

_shared_objects: ContextVar[dict[int, Any] | None] = ContextVar("shared_objects", default=None)
#: While a model is described: how often each layer occurs, by id; and the number of each that occurs often.
_occurrences: ContextVar[Counter[int] | None] = ContextVar("occurrences", default=None)
_share_numbers: ContextVar[Mapping[int, int]] = ContextVar(
    "share_numbers", default=types.MappingProxyType({})
)


class InvalidConfigError(TypeError, ValueError):
    """A configuration that does not fit its class: a TypeError as in Keras, and a ValueError as all else that is wrong with
    a file.
    """


@contextlib.contextmanager
def object_sharing_scope() -> Iterator[None]:
    """Inside it, equal ``shared_object_id`` give one object: a layer used twice stays one layer."""
    token = _shared_objects.set({})
    try:
        yield
    finally:
        _shared_objects.reset(token)


# ---- our own tables ----------------------------------------------------------------------------------------


@functools.cache
def _table(kind: str) -> dict[str, Any]:
    """Name -> class or function, of what one of our modules exports."""
    module: Any = importlib.import_module(f"lstmfast.{kind}")
    if kind == "ops":  # the functions are public there, a file names their classes
        return dict(module.operation.CLASSES)
    table: dict[str, Any] = {}
    for name in getattr(module, "__all__", dir(module)):
        obj = getattr(module, name, None)
        is_class = inspect.isclass(obj) and hasattr(obj, "from_config")
        is_function = kind in _FUNCTION_KINDS and inspect.isfunction(obj) and name not in _NOT_SERIALIZED
        if (is_class or is_function) and obj.__module__.startswith("lstmfast.") and name[0] != "_":
            table[name] = obj
    if kind == "models" and "Model" in table:
        table.setdefault("Functional", table["Model"])
    return table


def _kind_of(module: Any) -> tuple[str, ...]:
    """The tables that a config's `module` stands for; empty if the module is neither Keras's nor ours."""
    if module is None:
        return _KINDS
    parts = module.split(".") if isinstance(module, str) else []
    if not parts or parts[0] not in ("keras", "lstmfast", "builtins"):
        return ()
    if "schedules" in parts:
        return ("optimizers.schedules",)
    named = tuple(kind for kind in _KINDS if kind in parts)
    if "activations" in named:  # the module has operations, too
        named += ("ops",)
    return named or _KINDS  # "keras" alone: Sequential, Model


def _home(cls: type) -> str | None:
    """Which of our tables exports this class, or None for a user's class."""
    for kind in _KINDS:
        if _table(kind).get(cls.__name__) is cls:
            return kind
    return None


# ---- object -> config --------------------------------------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Describe an object as Keras 3 does: plain values as they are, objects as a dict that JSON can hold.

    Parameters
    ----------
    obj : object
        A layer, model, optimizer, loss, metric, initializer...: anything with `get_config`; a named function;
        None, str, number, bytes, NumPy array; lists, tuples and dicts of these.

    Returns
    -------
    object
        For an object the dict ``{"module", "class_name", "config", "registered_name"}``, with
        ``build_config`` and ``compile_config`` where it has them.

    Raises
    ------
    TypeError
        If the object has no `get_config`.
    ValueError
        If it is a lambda: a file can only name functions.
    """
    if obj is None or isinstance(obj, (str, int, float, bool)):
        return obj.item() if isinstance(obj, np.generic) else obj  # np.float64 is a float
    if isinstance(obj, (list, tuple)):
        return [serialize_keras_object(value) for value in obj]
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, slice):
        parts = {part: serialize_keras_object(getattr(obj, part)) for part in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if isinstance(obj, np.ndarray):
        if obj.ndim == 0:
            return obj.item()
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": str(obj.dtype)}}
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, types.FunctionType):
        return _serialize_function(obj)
    if not hasattr(obj, "get_config"):
        raise TypeError(
            f"Cannot serialize object {obj!r} of type {type(obj)}. To be serializable, a class must "
            "implement the `get_config()` method."
        )
    return _serialize_instance(obj)


def serialize_model(model: Any) -> dict[str, Any]:
    """`serialize_keras_object` of a model; a layer in several of the models inside gets a ``shared_object_id``."""
    counts: Counter[int] = Counter()
    token = _occurrences.set(counts)
    try:
        config: dict[str, Any] = serialize_keras_object(model)
    finally:
        _occurrences.reset(token)
    often = [key for key, count in counts.items() if count > 1]
    if not often:
        return config
    numbers = _share_numbers.set({key: number for number, key in enumerate(often, 1)})
    try:
        config = serialize_keras_object(model)
    finally:
        _share_numbers.reset(numbers)
    return config


def _serialize_function(function: types.FunctionType) -> dict[str, Any]:
    if function.__name__ == "<lambda>":
        raise ValueError("A lambda cannot be saved: a model file only names functions. Use a named function.")
    builtin = any(_table(kind).get(function.__name__) is function for kind in _FUNCTION_KINDS)
    name = get_registered_name(function)
    module = "builtins" if builtin else _module_of(function)
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _module_of(obj: Any) -> str | None:
    return None if obj.__module__ == "__main__" else obj.__module__


def _serialize_instance(obj: Any) -> dict[str, Any]:
    config = obj.get_config()
    if not isinstance(config, dict):
        raise TypeError(f"The `get_config()` method of {obj!r} should return a dict. It returned: {config!r}")
    cls = type(obj)
    kind = None if is_registered(cls) else _home(cls)
    result: dict[str, Any]
    if kind == "models":
        functional = cls.__name__ != "Sequential"
        result = {
            "module": "keras.src.models.functional" if functional else "keras",
            "class_name": "Functional" if functional else "Sequential",
            "config": serialize_keras_object(config),
            "registered_name": "Functional" if functional else None,
        }
    elif kind == "ops":
        result = {
            "module": cls.keras_module,
            "class_name": cls.__name__,
            "config": serialize_keras_object(config),
            "registered_name": cls.__name__,
        }
    else:
        result = {
            "module": f"keras.{kind}" if kind else _module_of(cls),
            "class_name": cls.__name__,
            "config": serialize_keras_object(config),
            "registered_name": None if kind else get_registered_name(cls),
        }
    for key, method in (("build_config", "get_build_config"), ("compile_config", "get_compile_config")):
        extra = getattr(obj, method, lambda: None)()
        if extra:
            result[key] = serialize_keras_object(extra)
    counts = _occurrences.get()
    if counts is not None and hasattr(obj, "inbound_nodes"):
        counts[id(obj)] += 1
    number = _share_numbers.get().get(id(obj))
    return result if number is None else {**result, "shared_object_id": number}


# ---- config -> object --------------------------------------------------------------------------------------


def deserialize_keras_object(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """Make the object that a configuration describes: the reverse of `serialize_keras_object`.

    Parameters
    ----------
    config : object
        What `serialize_keras_object` gave, or what Keras 3 wrote.
    custom_objects : mapping of str to class or function, optional
        The caller's own names; they go before all others.
    safe_mode : bool
        Must be True. Keras's False allows byte code in files; lstmfast never runs any.
    module_objects : mapping of str to class or function, optional
        With it, a plain string is a name in this mapping (as in ``activations.deserialize("relu")``).

    Raises
    ------
    ValueError
        If a name is unknown, or the configuration holds byte code, or does not fit its class.
    TypeError
        If `config` is of a type that no configuration has.

    Examples
    --------
    >>> deserialize_keras_object({"units": 3, "shape": [None, 2]})
    {'units': 3, 'shape': [None, 2]}
    """
    if not safe_mode:
        raise ValueError(
            "safe_mode=False is not supported: lstmfast never runs code from a file; use custom_objects"
        )
    if isinstance(config, str):
        custom = get_registered_object(config, custom_objects, module_objects)
        return config if custom is None else custom
    if config is None or isinstance(config, (int, float, bool)):
        return config
    if isinstance(config, (list, tuple)):
        return [deserialize_keras_object(value, custom_objects) for value in config]
    if not isinstance(config, dict):
        if module_objects is not None:
            return config  # already an object
        raise TypeError(f"Could not parse config: {config!r}")
    if "class_name" not in config or "config" not in config:
        return {key: deserialize_keras_object(value, custom_objects) for key, value in config.items()}
    class_name, inner = config["class_name"], config["config"]
    if not isinstance(class_name, str):
        raise ValueError(f"class_name must be a string, got {class_name!r}")
    if class_name.startswith("__"):
        return _deserialize_special(class_name, inner)
    if class_name == "function":
        return _find(inner, config, custom_objects, module_objects, function=True)
    return _deserialize_instance(config, custom_objects, module_objects)


def _deserialize_special(class_name: str, inner: Any) -> Any:
    """Keras's markers for values that JSON lacks."""
    if class_name == "__lambda__":
        raise ValueError(
            "The configuration holds a Python lambda's byte code, which carries a risk of arbitrary code execution: "
            "lstmfast never runs it."
        )
    if class_name == "__typespec__" and not isinstance(inner, (list, tuple)):
        raise InvalidConfigError(
            f"Expected 'config' to be a list or a tuple for a __typespec__ class name, instead got {type(inner)}"
        )
    if class_name == "__bytes__" and isinstance(inner, dict) and isinstance(inner.get("value"), str):
        return inner["value"].encode("utf-8")
    if class_name in ("__numpy__", "__tensor__") and isinstance(inner, dict):
        dtype = inner.get("dtype")
        if isinstance(dtype, str) and dtype in _ARRAY_DTYPES:
            return np.array(inner.get("value"), dtype)
    if class_name == "__slice__" and isinstance(inner, dict):
        parts = [deserialize_keras_object(inner.get(part)) for part in ("start", "stop", "step")]
        if all(part is None or type(part) is int or isinstance(part, np.ndarray) for part in parts):
            return slice(*parts)
    if class_name == "__ellipsis__":
        return Ellipsis
    raise ValueError(
        f"The configuration holds {class_name!r}, which lstmfast does not know or not in this form."
    )


def _find(
    name: Any,
    config: dict[str, Any],
    custom_objects: Mapping[str, Any] | None,
    module_objects: Mapping[str, Any] | None,
    function: bool = False,
) -> Any:
    """Look a class or function up: custom objects under its registered name or name, then our tables."""
    what = "function" if function else "class"
    if not isinstance(name, str):
        raise InvalidConfigError(
            f"Expected 'config' to be a non-null str for a {what} classname, instead got {name!r}"
        )
    module, registered = config.get("module"), config.get("registered_name")
    for candidate in (registered, name):
        custom = get_registered_object(candidate, custom_objects)
        if custom is not None:
            return custom
    if function and module == "builtins" and ">" not in name:  # Keras up to 3.6 left the package out
        for table in (custom_objects or {}, get_custom_objects()):
            custom = next((obj for key, obj in table.items() if key.endswith(f">{name}")), None)
            if custom is not None:
                return custom
    # A registered name other than the class's own is a custom object's: a built-in does not stand in for it.
    kinds = _kind_of(module)
    if kinds and registered in (None, "", name, "function" if function else name):
        tables = [_table(kind) for kind in kinds if not function or kind in _FUNCTION_KINDS]
        # A layer may stand where a function is expected: as an activation.
        given = [] if module_objects is None else [module_objects]
        for table in given + (tables if not given or kinds == ("layers",) else []):
            found = table.get(name)
            if found is not None and inspect.isclass(found) != function:
                return found
    if kinds and any(name in _table(kind) for kind in kinds):
        raise InvalidConfigError(
            f"Could not locate {what} {name!r} (module {module!r}, registered name {registered!r}): it resolved to a Keras "
            "built-in, which does not stand in for a custom object that is not known here."
        )
    raise InvalidConfigError(
        f"Could not locate {what} {name!r} (module {module!r}, registered name {registered!r}): it is "
        "not a part of lstmfast. Nothing is imported because a file names it; pass your "
        f"own classes and functions as custom_objects={{{str(registered or name)!r}: ...}}."
    )


def _deserialize_instance(
    config: dict[str, Any], custom_objects: Mapping[str, Any] | None, module_objects: Mapping[str, Any] | None
) -> Any:
    class_name, inner = config["class_name"], config["config"]
    inner = {} if inner is None else inner
    if not isinstance(inner, dict):
        raise InvalidConfigError(f"Expected 'config' to be a dict for {class_name}, instead got {inner!r}")
    shared, shared_id = _shared_objects.get(), config.get("shared_object_id")
    if shared is not None and isinstance(shared_id, int) and shared_id in shared:
        return shared[shared_id]
    if class_name == "DTypePolicy":
        return _dtype_name(inner)
    cls = _find(class_name, config, custom_objects, module_objects)
    if isinstance(cls, types.FunctionType):
        return cls
    if not hasattr(cls, "from_config"):
        raise InvalidConfigError(
            f"Unable to reconstruct an instance of '{class_name}' because the class is missing a `from_config()` method."
        )
    with CustomObjectScope(custom_objects):
        try:
            instance = cls.from_config(_without_keras_extras(inner))
            _build_as_before(instance, config.get("build_config"))
        except (TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
            label = inner.get("name", class_name)
            told = f"The config of {class_name} {label!r} does not fit the class: {error}"
            if isinstance(error, InvalidConfigError):
                raise InvalidConfigError(told) from error
            if isinstance(error, TypeError):
                raise InvalidConfigError(
                    f"{cls} could not be deserialized properly. Please ensure that components that are Python object "
                    "instances (layers, models, etc.) returned by `get_config()` are explicitly deserialized in the "
                    f"model's `from_config()` method. {told}"
                ) from error
            raise ValueError(told) from error
    if shared is not None and isinstance(shared_id, int):
        shared[shared_id] = instance
    return instance


def _build_as_before(instance: Any, build_config: Any) -> None:
    """Build a layer for the shape that the configuration notes; not while a file is read, whose model is built whole."""
    from ..variables import weight_supplier

    known = isinstance(build_config, dict) and bool(build_config) and weight_supplier.get() is None
    if known and hasattr(instance, "build_from_config") and not hasattr(instance, "nested_forward"):
        instance.build_from_config(build_config)


def _dtype_name(config: Mapping[str, Any]) -> str:
    name = config.get("name")
    if name not in ("float32", "int32", "int64"):  # layers that give no integers refuse the latter themselves
        raise ValueError(
            f"The configuration asks for the dtype policy {name!r}; lstmfast computes in 'float32'."
        )
    return str(name)


#: Keras's configuration entries that stand for features lstmfast does not have: accepted at the value that
#: turns them off.
_KERAS_EXTRAS: dict[str, Any] = {
    "quantization_config": None,
    "lora_rank": None,
    "lora_alpha": None,
    "sparse": False,
    "ragged": False,
    "optional": False,
}


def _without_keras_extras(config: dict[str, Any]) -> dict[str, Any]:
    result = {}
    for key, value in config.items():
        if key in _KERAS_EXTRAS:
            if value is not None and value != _KERAS_EXTRAS[key]:
                raise ValueError(f"The configuration has {key}={value!r}, which lstmfast does not support.")
        elif key == "dtype" and isinstance(value, dict):
            result[key] = deserialize_keras_object(value)
        else:
            result[key] = value
    return result
