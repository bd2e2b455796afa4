# SPDX-License-Identifier: BSD-3-Clause
"""Variables: the named arrays that layers learn and optimizers change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt

from .symbolic import KerasTensor, current_trace

__all__ = ["Variable", "grad_outs", "is_traced", "trial"]

Array = npt.NDArray[Any]

#: While a model file is read this holds a function (shape, dtype) -> array that stands in for every
#: initializer: values that the file replaces need not be drawn, and a file cannot ask for more memory than
#: it has bytes for.
weight_supplier: ContextVar[Callable[[Sequence[int], str], Array] | None] = ContextVar(
    "weight_supplier", default=None
)

#: In a `trial`: the variables that were assigned, by their ids, with the values before.
_trial: ContextVar[dict[int, tuple[Variable, Array]] | None] = ContextVar("trial", default=None)

#: Arguments that come by position, behind the value: ours, and Keras's.
_ORDER = ("name", "trainable", "regularizer", "constraint", "dtype")
_KERAS_ORDER = ("shape", "dtype", "trainable")


class Variable:
    """A named, C-contiguous array with a version, and its gradient in the current training step.

    Parameters
    ----------
    value : array_like, or str, dict or callable
        Initial value, copied. float64 and Python floats become float32; integers stay integers. Or an initializer, which
        makes it in `shape`, as in Keras.
    name : str
        Last part of `path`, such as ``"kernel"``.
    trainable : bool
        Whether optimizers change it.
    regularizer, constraint : callable, optional
        Penalty added to the loss; projection applied after each step.
    dtype : str, optional
        Convert to it first; of the floating types there is only float32.
    shape : tuple of int, optional
        For an initializer.
    initializer : optional
        Keras's name for `value`.
    *args
        `name`, `trainable`, `regularizer`, `constraint` and `dtype`; or, if the first is a tuple, Keras's `shape`, `dtype` and
        `trainable`.

    Attributes
    ----------
    version : int
        Grows with each change of the value; packed copies of weights are keyed by it.

    Raises
    ------
    TypeError
        If `value` is not numeric.

    Examples
    --------
    >>> from lstmfast.variables import Variable
    >>> v = Variable([[1.0, 2.0]], name="kernel")
    >>> v.shape, v.dtype, v.version
    ((1, 2), 'float32', 0)
    >>> v.assign([[3.0, 4.0]])
    >>> v.numpy(), v.version
    (array([[3., 4.]], dtype=float32), 1)
    """

    __slots__ = (
        "_data",
        "_grad",
        "_grad_live",
        "constraint",
        "name",
        "path",
        "regularizer",
        "trainable",
        "version",
    )

    def __init__(
        self,
        value: Any = None,
        *args: Any,
        name: str | None = None,
        trainable: bool = True,
        regularizer: Callable[..., Any] | None = None,
        constraint: Callable[..., Any] | None = None,
        dtype: Any = None,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
    ) -> None:
        order = _KERAS_ORDER if args and isinstance(args[0], (tuple, list)) else _ORDER
        if len(args) > len(order):
            raise TypeError(
                f"Variable() takes at most {len(order) + 1} positional arguments, got {len(args) + 1}"
            )
        if args:
            by_name: dict[str, Any] = dict(zip(order, args, strict=False))
            name, trainable = by_name.get("name", name), by_name.get("trainable", trainable)
            dtype = by_name.get("dtype", dtype)
            shape, regularizer = by_name.get("shape", shape), by_name.get("regularizer", regularizer)
            constraint = by_name.get("constraint", constraint)
        name = "variable" if name is None else name
        value = initializer if value is None else value
        if isinstance(value, (str, dict)) or callable(value):
            value = _made_by(value, shape, dtype)
        data = np.array(value, dtype, order="C")
        if data.dtype.kind not in "fiub":
            raise TypeError(f"value of variable {name!r} must be numeric, got dtype {data.dtype}")
        self._data: Array = data.astype(np.float32, copy=False) if data.dtype.kind == "f" else data
        self._grad: Array | None = None
        self._grad_live = False
        self.name = name
        self.path = name
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint
        self.version = 0

    # --- value

    @property
    def value(self) -> Array:
        """Read-only view of the current value."""
        trace = current_trace.get()
        if trace is not None:
            return trace.symbolic(self)  # type: ignore[no-any-return]
        view = self._data.view()
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> str:
        return self._data.dtype.name

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def size(self) -> int:
        return self._data.size

    def numpy(self) -> Array:
        """A copy of the value."""
        _outside_of_traces(self)
        return self._data.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        _outside_of_traces(self)
        if copy is False and dtype is not None and np.dtype(dtype) != self._data.dtype:
            raise ValueError(f"variable {self.path!r} has dtype {self.dtype}, {dtype} needs a copy")
        return self.value if copy is False else np.array(self._data, dtype=dtype)

    def check(self, value: npt.ArrayLike) -> Array:
        """`value` as an array of this variable's shape and dtype.

        Raises
        ------
        ValueError, TypeError
            If the shape differs, or the type cannot be converted to this one.
        """
        _outside_of_traces(self)
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"value of variable {self.path!r} must be numeric, got dtype {array.dtype}")
        if array.shape != self._data.shape:
            raise ValueError(
                f"value of variable {self.path!r} must have shape {self._data.shape}, got {array.shape}"
            )
        return array.astype(self._data.dtype, copy=False)

    def assign(self, value: npt.ArrayLike) -> None:
        """Copy `value` in; shapes must be equal. In a `call` of operations each pass of the layer through data does it."""
        trace, before = current_trace.get(), _trial.get()
        if trace is not None:
            trace.assign(self, value)
            return
        if before is not None:
            before.setdefault(id(self), (self, self._data.copy()))
            if isinstance(value, KerasTensor):
                return
        self._data[...] = self.check(value)
        self.version += 1

    def assign_add(self, value: npt.ArrayLike) -> None:
        """Add `value`; see `assign`."""
        self.assign(self + value)

    def assign_sub(self, value: npt.ArrayLike) -> None:
        """Subtract `value`; see `assign`."""
        self.assign(self - value)

    def touch(self) -> None:
        """Say that `_data` was changed in place, so that packed copies are made anew."""
        self.version += 1

    # --- gradient of the current step

    @property
    def grad(self) -> Array | None:
        """Gradient in the current training step, or None before a backward call reached this variable."""
        return self._grad if self._grad_live else None

    def grad_out(self) -> tuple[Array, bool]:
        """Where a backward call puts its gradient: ``(buffer, accumulate)``.

        The first call of a step gives ``accumulate=False``: overwrite the buffer, whatever it holds. Later
        ones (a layer used twice in the graph) give True: add to it.
        """
        grad = self._grad
        if grad is None:
            grad = self._grad = np.empty(self._data.shape, np.float32)
        accumulate = self._grad_live
        self._grad_live = True
        return grad, accumulate

    def add_grad(self, value: npt.ArrayLike) -> None:
        """`grad_out` for gradients made by NumPy: set or add `value`."""
        buffer, accumulate = self.grad_out()
        if accumulate:
            buffer += value
        else:
            buffer[...] = value

    def clear_grad(self) -> None:
        """Forget the gradient; the buffer is kept and not cleared."""
        self._grad_live = False

    # --- use as an array or a number: everything but ==, which tells variables apart

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __float__(self) -> float:
        return float(_plain(self))

    def __int__(self) -> int:
        return int(_plain(self))

    def __index__(self) -> int:
        _outside_of_traces(self)
        return int(self._data.item().__index__())

    def __bool__(self) -> bool:
        return bool(_plain(self))

    def __format__(self, spec: str) -> str:
        return format(self._data.item(), spec) if spec else str(self)

    def __neg__(self) -> Any:
        return -_plain(self)

    def __abs__(self) -> Any:
        return abs(_plain(self))

    def __add__(self, other: Any) -> Any:
        return _plain(self) + _plain(other)

    def __radd__(self, other: Any) -> Any:
        return _plain(other) + _plain(self)

    def __sub__(self, other: Any) -> Any:
        return _plain(self) - _plain(other)

    def __rsub__(self, other: Any) -> Any:
        return _plain(other) - _plain(self)

    def __mul__(self, other: Any) -> Any:
        return _plain(self) * _plain(other)

    def __rmul__(self, other: Any) -> Any:
        return _plain(other) * _plain(self)

    def __truediv__(self, other: Any) -> Any:
        return _plain(self) / _plain(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _plain(other) / _plain(self)

    def __floordiv__(self, other: Any) -> Any:
        return _plain(self) // _plain(other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _plain(other) // _plain(self)

    def __mod__(self, other: Any) -> Any:
        return _plain(self) % _plain(other)

    def __rmod__(self, other: Any) -> Any:
        return _plain(other) % _plain(self)

    def __pow__(self, other: Any) -> Any:
        return _plain(self) ** _plain(other)

    def __rpow__(self, other: Any) -> Any:
        return _plain(other) ** _plain(self)

    def __matmul__(self, other: Any) -> Any:
        return _plain(self) @ _plain(other)

    def __rmatmul__(self, other: Any) -> Any:
        return _plain(other) @ _plain(self)

    def __lt__(self, other: Any) -> Any:
        return _plain(self) < _plain(other)

    def __le__(self, other: Any) -> Any:
        return _plain(self) <= _plain(other)

    def __gt__(self, other: Any) -> Any:
        return _plain(self) > _plain(other)

    def __ge__(self, other: Any) -> Any:
        return _plain(self) >= _plain(other)

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Attributes of a pickle; joblib may have mapped their arrays from a file that nobody may write."""
        for name, value in state[1].items():
            mapped = isinstance(value, np.ndarray) and not value.flags.writeable
            setattr(self, name, np.array(value) if mapped else value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def grad_outs(*variables: Variable | None) -> tuple[list[Any], bool]:
    """`Variable.grad_out` of several for one backward call: their buffers, and whether it adds to all or overwrites all.

    Where only some have a gradient already, as a kernel that a loss uses by itself, the others begin with zeros.
    """
    given = [v for v in variables if v is not None]
    accumulate = any(v._grad_live for v in given)
    for variable in given:
        if accumulate and not variable._grad_live:
            variable.add_grad(0.0)
    return [None if v is None else v.grad_out()[0] for v in variables], accumulate


def _plain(other: Any) -> Any:
    if not isinstance(other, Variable):
        return other
    trace = current_trace.get()
    return other._data if trace is None else trace.symbolic(other)


def _made_by(initializer: Any, shape: Sequence[int] | None, dtype: Any) -> Array:
    from . import initializers

    if shape is None:
        raise ValueError(
            "When creating a Variable from an initializer, the `shape` argument should be specified. Received: "
            f"initializer={initializer} and shape=None"
        )
    make: Any = initializers.get(initializer)
    return np.asarray(make(tuple(shape), dtype=np.dtype(dtype or np.float32).name))


@contextmanager
def trial() -> Iterator[dict[int, Any]]:
    """A `call` is only tried, for shapes or for the form of its graph: at the end variables have the values of before."""
    before: dict[int, tuple[Variable, Array]] = {}
    outer = _trial.set(before)
    try:
        yield before
    finally:
        _trial.reset(outer)
        for variable, value in before.values():
            variable.assign(value)


def _outside_of_traces(variable: Variable) -> None:
    if current_trace.get() is not None:
        raise TypeError(
            f"variable {variable.path!r} has no values while a `call` is traced with symbolic inputs"
        )


def is_traced(value: Any) -> bool:
    """Whether a function records what it does with it: a symbolic tensor, or a variable while a `call` is traced.

    Examples
    --------
    >>> from lstmfast import Input
    >>> from lstmfast.variables import Variable, is_traced
    >>> is_traced(Input((3,))), is_traced(Variable([1.0]))
    (True, False)
    """
    return isinstance(value, KerasTensor) or (isinstance(value, Variable) and current_trace.get() is not None)
