# SPDX-License-Identifier: BSD-3-Clause
"""A function of arrays that is also an operation of a graph: what `lstmfast.ops` is made of.

``@operation(...)`` turns a NumPy function into a public one that computes at once when it is given arrays, and adds
a node to the graph when one of its arguments is symbolic. The node's layer is of a class made for the function, with
the name, configuration and call that Keras 3 gives its operation, so that files can be read on both sides.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from ..layers.base import Layer
from ..layers.call import Call
from ..layers.frozen import FrozenLayer
from ..symbolic import KerasTensor, Node, current_trace, is_symbolic, map_leaves
from ..utils.naming import unique_name
from ..variables import Variable
from . import classes
from .rules import as_array, broadcast, contiguous, evaluated, promoted, settled, unbroadcast

__all__ = ["CLASSES", "Operation", "operation"]

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

#: Every operation's class by its name, which is Keras's.
CLASSES: dict[str, type[Operation]] = {}


@dataclass(frozen=True)
class _Place:
    """Stands in a recorded call for the symbolic tensor of this number."""

    number: int


class Operation(Layer):
    """One operation of a graph; made by the functions of `lstmfast.ops` and by operators, not by hand.

    No mask goes through an operation, as in Keras. Valid lengths of rows go on where steps stay apart.
    """

    is_operation = True
    #: The function; names of its arguments that a call gives, and of those that belong to the configuration.
    function: ClassVar[Callable[..., Any]]
    call_names: ClassVar[tuple[str, ...]] = ()
    config_names: ClassVar[tuple[str, ...]] = ()
    #: Arguments of the call that are no arrays.
    plain_names: ClassVar[tuple[str, ...]] = ()
    #: ``(dy, y, *call arguments, **configuration)`` to the gradient of each argument; None where there is none.
    gradients: ClassVar[tuple[Callable[..., Any] | None, ...]] = ()
    #: Shape and dtype of the output from the arguments; True: every element is treated alone.
    shape_rule: ClassVar[Callable[..., Any]]
    dtype_rule: ClassVar[Any] = None
    elementwise: ClassVar[bool] = False
    #: ``(lengths, *call arguments, **configuration)`` to output, its lengths, and the gradient; or None.
    ragged: ClassVar[Callable[..., Any] | None] = None
    frozen_rule: ClassVar[Callable[..., FrozenLayer | None] | None] = None  # see `native.py`
    exact: ClassVar[bool] = False
    #: A call gives the only argument, a list, as that many arguments.
    variadic: ClassVar[bool] = False
    #: Arguments of a call that were left out are written, too, as Keras does for some.
    writes_all: ClassVar[bool] = False
    #: Arrays, which are not those of a graph, may be of complex numbers.
    complex_too: ClassVar[bool] = False
    keras_module: ClassVar[str] = ""
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, name: str | None = None, **config: Any) -> None:
        super().__init__(name=name)
        if len(args) > len(self.config_names):
            raise TypeError(
                f"operation {type(self).__name__} takes {len(self.config_names)} arguments, got {len(args)}"
            )
        config = {**dict(zip(self.config_names, args, strict=False)), **config}
        unknown = sorted(set(config) - set(self.config_names))
        if unknown:
            raise TypeError(
                f"operation {type(self).__name__} has no argument {unknown[0]!r}, expected some of {self.config_names}"
            )
        missing = [key for key in self.config_names if key not in config and key not in self._defaults]
        if missing:
            raise TypeError(f"operation {type(self).__name__} needs the argument {missing[0]!r}")
        given = {key: config.get(key, self._defaults.get(key)) for key in self.config_names}
        if given.get("data_format", "") is None:
            given["data_format"] = "channels_last"
        self.config = {key: _as_tuples(value) for key, value in given.items()}
        self.passes_gradients = bool(self.gradients)
        self.built = True

    def __getattr__(self, key: str) -> Any:
        """The configuration's parts are attributes too, as of Keras's operations."""
        if key in type(self).config_names:
            return self.__dict__["config"][key]
        raise AttributeError(f"operation {type(self).__name__} has no attribute {key!r}")

    # --- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = _in_trace(self._named(args, kwargs))
        if not is_symbolic(values):
            return self._compute(values)[0]
        tensors: list[KerasTensor] = []

        def placed(value: Any) -> Any:
            if isinstance(value, KerasTensor):
                tensors.append(value)
                return _Place(len(tensors) - 1)
            if isinstance(value, (str, bytes)) and not any(
                value is values.get(key) for key in self.plain_names
            ):
                raise TypeError(f"operation {self.name!r} takes tensors, arrays and numbers, got {value!r}")
            if isinstance(value, np.ndarray) and value.dtype.kind == "c":
                raise TypeError(f"operation {self.name!r}: a graph holds no complex numbers")
            float64 = isinstance(value, np.ndarray) and value.dtype == np.float64
            return value.astype(np.float32) if float64 else value

        return self.record(tensors, {"template": map_leaves(placed, values)})

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the function makes of arrays."""
        return self._compute(self._named(args, kwargs))[0]

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Symbolic tensors of the shapes and dtypes that a call gives; none of a graph."""
        shapes, dtype = self._output_spec(self._named(args, kwargs))
        return self._tensors(shapes, dtype)

    @staticmethod
    def _tensors(shapes: Any, dtype: Any) -> Any:
        if not isinstance(shapes, list):
            return KerasTensor(tuple(shapes), dtype, unique_name("keras_tensor"))
        dtypes = dtype if isinstance(dtype, list) else [dtype] * len(shapes)
        return [
            KerasTensor(tuple(shape), kind, unique_name("keras_tensor"))
            for shape, kind in zip(shapes, dtypes, strict=True)
        ]

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a call by their names."""
        names = self.call_names
        if self.variadic:
            args = (list(args),)
        if len(args) > len(names):
            raise TypeError(f"operation {self.name!r} takes {len(names)} arguments, got {len(args)}")
        values = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in names or key in values:
                raise TypeError(f"operation {self.name!r} got an unexpected argument {key!r}")
            values[key] = value
        for key in names:
            if key not in values:
                if key not in self._defaults:
                    raise TypeError(f"operation {self.name!r} needs the argument {key!r}")
                values[key] = self._defaults[key]
        return {key: _as_key(values[key]) if key in self.plain_names else values[key] for key in names}

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        values = self._filled(kwargs["template"], inputs)
        made = self._tensors(*self._output_spec(values))
        Node(self, list(inputs), kwargs, made if isinstance(made, list) else [made])
        return made

    @staticmethod
    def _filled(template: Any, values: Sequence[Any]) -> Any:
        """A recorded call's arguments with these values at the places of tensors."""
        return map_leaves(lambda leaf: values[leaf.number] if isinstance(leaf, _Place) else leaf, template)

    def _output_spec(self, values: dict[str, Any]) -> tuple[Any, Any]:
        """The shape and the dtype of what a call gives, or lists of them; nothing is computed."""
        try:
            dtype: Any = self.dtype_rule
            if dtype is None:
                dtype = promoted(value for key, value in values.items() if key not in self.plain_names)
            elif callable(dtype):
                dtype = dtype(*values.values(), **self.config)
            return type(self).shape_rule(*values.values(), **self.config), dtype
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"operation {self.name!r}: {error}") from error

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        tensors = [KerasTensor(tuple(shape)) for shape in shapes]
        made, _ = self._output_spec(self._filled(arguments["template"], tensors))
        return made[0] if isinstance(made, list) and len(made) == 1 else made

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        values = self._filled(kwargs["template"], inputs)
        if self.variadic:
            return list(values[self.call_names[0]]), {}
        while len(values) > 1 and not self.writes_all:  # as in Keras, what was left out is not written
            key = next(reversed(values))
            if key not in self._defaults or values[key] is not self._defaults[key]:
                break
            values.popitem()
        return list(values.values()), {}

    # --- passes

    @classmethod
    def compute(cls, values: dict[str, Any], config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What the function makes of these arguments, and the arguments as arrays.

        NaN and infinity are results: as in Keras nobody is warned, ``where(x > 0, log(x), 0)`` is as good as any.
        """
        plain = cls.plain_names
        arrays = {
            key: value if key in plain else as_array(value, cls.complex_too) for key, value in values.items()
        }
        with np.errstate(all="ignore"):
            y = evaluated(cls.function, arrays, config)
        return (y if cls.exact else settled(y, arrays.values())), arrays

    def _compute(self, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return self.compute(values, self.config)

    def forward(self, x: list[Array], call: Call) -> Any:
        values = self._filled(call.arguments["template"], x)
        rule = None
        if call.lengths is not None and self.ragged is not None:
            arrays, ragged = values, type(self).ragged
            with np.errstate(all="ignore"):
                y, call.output_lengths, rule = ragged(call.lengths, **values, **self.config)  # type: ignore[misc]
        else:
            y, arrays = self._compute(values)
            if call.lengths is not None:
                self._pass_lengths(x, y, call)
        if call.save:
            call.saved = (arrays, y, rule)
        return y[0] if isinstance(y, list) and len(y) == 1 else y

    def _pass_lengths(self, x: list[Array], y: Any, call: Call) -> None:
        """Lengths go on, if no time step has a part in what becomes of another."""
        parts = y if isinstance(y, list) else [y]
        axis, rank = self.config.get("axis"), max(x[0].ndim, parts[0].ndim)
        axes = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
        apart = self.elementwise or (axis is not None and all(a % rank >= 2 for a in axes))
        if not apart:
            raise ValueError(
                f"operation {self.name!r} cannot be used with lengths: it mixes the time steps of a row"
            )
        if any(a.shape[:2] == parts[0].shape[:2] for a in x):
            call.output_lengths = call.lengths if len(parts) == 1 else (call.lengths,) * len(parts)  # type: ignore[assignment]

    def backward(self, dy: Any, call: Call) -> list[Array | None]:
        with np.errstate(all="ignore"):
            return self._gradients(dy, call)

    def _gradients(self, dy: Any, call: Call) -> list[Array | None]:
        arrays, y, rule = call.saved
        template = call.arguments["template"]
        number = sum(isinstance(leaf, _Place) for leaf in _leaves(list(template.values())))
        found: list[Array | None] = [None] * number
        if rule is not None:
            return [np.asarray(rule(dy), np.float32)]
        for key, gradient in zip(self.call_names, self.gradients, strict=False):
            places = template[key]
            several = isinstance(places, (list, tuple))
            wanted = [p for p in (places if several else [places]) if isinstance(p, _Place)]
            if gradient is None or not wanted:
                continue
            made = gradient(dy, y, *arrays.values(), **self.config)
            for place, array, g in zip(
                places if several else [places],
                arrays[key] if several else [arrays[key]],
                made if several else [made],
                strict=True,
            ):
                if isinstance(place, _Place) and array.dtype.kind == "f":
                    found[place.number] = contiguous(unbroadcast(g, array.shape))
        return found

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    # --- configuration

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer:
        rule: Any = type(self).frozen_rule
        values = self._filled(node.kwargs["template"], inputs)
        form = None if rule is None else rule(*values.values(), **self.config)
        if form is None:
            raise ValueError(
                f"operation {self.name!r} of class {type(self).__name__} cannot be frozen: it has no native form for "
                f"inputs of shapes {[x.shape for x in inputs]}"
            )
        ended: FrozenLayer = form._replace(ends_mask=True)
        return ended

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, **self.config}

    def get_build_config(self) -> None:
        """Nothing: Keras does not build operations."""

    def __repr__(self) -> str:
        return f"<Operation name={self.name}>"


def operation(
    name: str,
    gradients: Any = None,
    *,
    home: str = "numpy",
    config: str = "",
    plain: str = "",
    shape: Callable[..., Any] | None = None,
    dtype: Any = None,
    ragged: Callable[..., Any] | None = None,
    frozen: Callable[..., Any] | None = None,
    exact: bool = False,
    variadic: bool = False,
    writes_all: bool = False,
    complex_too: bool = False,
    base: type[Operation] = Operation,
) -> Callable[[F], F]:
    """A decorator: the NumPy function as a public one that also takes symbolic tensors.

    Parameters
    ----------
    name : str
        Of the class, Keras's.
    gradients : callable or tuple of callable or None, optional
        See `Operation.gradients`; none where nothing can be differentiated.
    home : str
        The module of `keras.src.ops` that has the class.
    config, plain : str
        Names of arguments that the configuration holds, and of those that are no arrays.
    shape, dtype, ragged, frozen : optional
        See `Operation`. By default arrays are broadcast and every element is treated alone.
    exact : bool
        The function itself sees to the dtype of its result.
    variadic, writes_all, complex_too : bool
        See `Operation`.
    base : type, optional
        See `composed.py`.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        config_names = tuple(config.split())
        cls: Any = type(
            name,
            (base,),
            {
                "__doc__": f"`lstmfast.ops.{function.__name__}` in a graph.",
                "__module__": classes.__name__,
                "function": staticmethod(function),
                "call_names": tuple(key for key in signature.parameters if key not in config_names),
                "config_names": config_names,
                "plain_names": tuple(plain.split()),
                "gradients": gradients if isinstance(gradients, tuple) else (gradients,) if gradients else (),
                "shape_rule": staticmethod(shape or broadcast),
                "dtype_rule": staticmethod(dtype) if callable(dtype) else dtype,
                "elementwise": shape is None,
                "ragged": None if ragged is None else staticmethod(ragged),
                "frozen_rule": None if frozen is None else staticmethod(frozen),
                "exact": exact,
                "variadic": variadic,
                "writes_all": writes_all,
                "complex_too": complex_too,
                "keras_module": f"keras.src.ops.{home}",
                "_defaults": {
                    key: p.default for key, p in signature.parameters.items() if p.default is not p.empty
                },
            },
        )
        CLASSES[name] = cls
        setattr(classes, name, cls)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            settings = {key: _as_tuples(given.pop(key)) for key in config_names}
            given = _in_trace(given)
            if is_symbolic(given):
                return cls(**settings)(*(given[cls.call_names[0]] if variadic else given.values()))
            return cls.compute(given, settings)[0]

        return run  # type: ignore[return-value]

    return decorate


def _in_trace(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments; while a `call` is traced, variables among them as symbolic tensors."""
    trace = current_trace.get()
    if trace is None:
        return values
    return map_leaves(lambda v: trace.symbolic(v) if isinstance(v, Variable) else v, values)  # type: ignore[no-any-return]


def _as_tuples(value: Any) -> Any:
    """Lists, which JSON makes of tuples, as tuples again."""
    return tuple(_as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _as_key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in _leaves(item)]
    return [structure]
