# SPDX-License-Identifier: BSD-3-Clause
"""What all metrics share, and those that are means: state in plain floats, so that a step costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import initializers
from ..utils.naming import unique_name
from ..variables import Variable
from .state import StateVariable, swapped, tracked

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum", "same_rank"]

Array = npt.NDArray[Any]


_DTYPES = (
    *("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
)


def checked_dtype(dtype: Any) -> str:
    """The name of a metric's type; float32 for None."""
    if dtype is None:
        return "float32"
    if isinstance(dtype, dict):  # a dtype policy of a Keras file
        dtype = dtype.get("config", {}).get("name")
    name = {"int": "int32", "float": "float32"}.get(dtype, dtype) if isinstance(dtype, str) else dtype
    if not isinstance(name, str):
        try:
            name = np.dtype(name).name
        except TypeError:
            name = None
    if name not in _DTYPES:
        raise ValueError(f"dtype: expected one of {_DTYPES}, got {dtype!r}")
    return str(name)


class Metric:
    """Base of all metrics: a number that is gathered over batches.

    A subclass writes `update_state`, `result` and `reset_state` (which need not be written if all state is
    in variables made by `add_variable`).

    Parameters
    ----------
    dtype : str, optional
        Any of NumPy's real types: `dtype` and configurations say it, as in Keras. Numbers are added up in double
        precision whatever it is.
    name : str, optional
        The class's name in snake case by default.

    Raises
    ------
    ValueError
        If `dtype` is no type.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.metrics import Metric
    >>> class LargestError(Metric):
    ...     def __init__(self, name="largest_error"):
    ...         super().__init__(name=name)
    ...         self.largest = 0.0
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.largest = max(self.largest, float(np.abs(y_true - y_pred).max()))
    ...     def result(self):
    ...         return self.largest
    ...     def reset_state(self):
    ...         self.largest = 0.0
    >>> LargestError()(np.zeros(2), np.array([1.0, -3.0]))
    3.0
    """

    #: "up" or "down": what an improvement is. Callbacks that watch the metric ask for it.
    _direction: str | None = None

    #: What a built-in metric keeps in plain attributes: (name of the variable, attribute).
    _state: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self._dtype = checked_dtype(dtype)
        self.name = name or unique_name(type(self).__name__)
        self._variables: list[Variable] = []

    @property
    def dtype(self) -> str:
        return self._dtype

    @property
    def variables(self) -> list[Variable | StateVariable]:
        """The state: what `add_variable` made, and that of metrics among the attributes.

        Built-in metrics keep theirs in numbers, which these variables read and write.
        """
        made: list[Variable | StateVariable] = [StateVariable(self, *names) for names in self._state]
        made += self._variables
        for value in tracked(self, (Metric, Variable)):
            if isinstance(value, Metric):
                made += value.variables
            elif not any(value is v for v in made):
                made.append(value)
        return made

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """A variable for the state of a metric of one's own.

        Parameters
        ----------
        shape : sequence of int
        initializer : str, Initializer or callable, optional
            Zeros by default.
        dtype : str, optional
            float32 by default.
        aggregation : str, optional
            How Keras joins the variable's copies on several devices; here there is one.
        name : str, optional
        """
        make = initializers.get(initializer) or initializers.Zeros()
        variable = Variable(make(tuple(shape), dtype), name=name or "variable", trainable=False)
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """`add_variable` under its older name."""
        return self.add_variable(shape, initializer, dtype, name=name)

    # --- without a state of its own

    def stateless_update_state(
        self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any
    ) -> list[Array]:
        """What `update_state` would make of these values of `variables`; the metric itself stays as it is."""
        with swapped(self, metric_variables) as variables:
            self.update_state(*args, **kwargs)
            return [v.numpy() for v in variables]

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` for these values of `variables`."""
        with swapped(self, metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Array]:
        """The values of `variables` after `reset_state`; the metric itself stays as it is."""
        with swapped(self) as variables:
            self.reset_state()
            return [v.numpy() for v in variables]

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take a batch in: ``(y_true, y_pred, sample_weight=None)``, for means of plain values ``(values,
        sample_weight)``."""
        raise NotImplementedError(f"{type(self).__name__} does not implement update_state()")

    def update(self, y_true: Array, y_pred: Array, sample_weight: Any = None, mask: Any = None) -> None:
        """`update_state` for the training loop; `mask` (B, T) counts where it does in Keras, in means over
        steps."""
        self.update_state(y_true, y_pred, sample_weight=sample_weight)

    def result(self) -> Any:
        """The metric over all batches since `reset_state`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Metric:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """Weighted mean of values.

    Examples
    --------
    >>> from lstmfast.metrics import Mean
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.update_state(8.0, sample_weight=2.0)
    >>> mean.result()
    5.0
    """

    _state = (("total", "total"), ("count", "count"))

    def __init__(self, name: str = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = 0.0
        self.count = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        """Take one number in."""
        self.total += float(value) * weight
        self.count += weight

    def update_state(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> None:
        """Take an array in; beyond the first axis it is averaged, so that `count` counts samples."""
        values = np.asarray(values)
        if sample_weight is None:
            samples = len(values) if values.ndim else 1
            if values.size:
                inner = values.size // samples
                whole = np.count_nonzero(values) if values.dtype == np.bool_ else values.sum(dtype=np.float64)
                self.total += float(whole) / inner
                self.count += samples
            return
        weights = np.asarray(sample_weight, np.float64)
        if not values.ndim:  # one number for the batch counts by all weights
            values = np.broadcast_to(values, weights.shape)
        values, weights = weigh(values.astype(np.float64), weights)
        inner = weights.size // len(weights) if weights.ndim and len(weights) else 1
        self.total += float((values * weights).sum()) / inner
        self.count += float(weights.sum()) / inner

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = 0.0
        self.count = 0.0


class Sum(Metric):
    """Weighted sum of values.

    Examples
    --------
    >>> from lstmfast.metrics import Sum
    >>> Sum()([1.0, 2.0, 3.0], sample_weight=[1.0, 1.0, 0.0])
    3.0
    """

    _state = (("total", "total"),)

    def __init__(self, name: str = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = 0.0

    def update_state(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> None:
        values = np.asarray(values, np.float64)
        if sample_weight is not None:
            weights = np.asarray(sample_weight, np.float64)
            values, weights = weigh(values, weights, np.sum)
            values = values * weights
        self.total += float(values.sum())

    def result(self) -> float:
        return self.total

    def reset_state(self) -> None:
        self.total = 0.0


class MeanMetricWrapper(Mean):
    """The mean of a function ``fn(y_true, y_pred, **kwargs)``; `compile` makes one of a function among `metrics`.

    The function gives a value for each sample, (B,), or time step, (B, T); masks, `lengths` and (in
    `weighted_metrics`) sample weights weigh them. Or it gives one number for the batch: then batches count
    the same, whatever their size, or by the sum of their weights where there are some.

    Parameters
    ----------
    fn : callable
    name, dtype
        As for `Metric`.
    **kwargs
        Passed on to `fn`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import losses, metrics
    >>> metrics.MeanMetricWrapper(losses.mean_absolute_error)(np.zeros((2, 1)), np.float32([[1], [2]]))
    1.5
    """

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(name=name or unique_name(type(self).__name__), dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs
        from .. import losses

        if isinstance(fn, losses.Loss) or fn in losses.FUNCTIONS:
            self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if isinstance(values, tuple):  # a loss function (values, gradient)
            values = values[0]
        if values is None or np.asarray(values).dtype.kind not in "fiub":
            raise TypeError(
                f"metric function {self.name!r} must return numbers, one for each sample or time step, or one for "
                f"the batch; got {values!r:.200}"
            )
        super().update_state(values, sample_weight)

    def update(self, y_true: Array, y_pred: Array, sample_weight: Any = None, mask: Any = None) -> None:
        if mask is not None:
            weights = np.asarray(mask, np.float32)
            if sample_weight is not None:
                given = np.asarray(sample_weight, np.float32)
                given = given[..., 0] if given.ndim > weights.ndim and given.shape[-1] == 1 else given
                weights = weights * given.reshape(given.shape + (1,) * (weights.ndim - given.ndim))
            sample_weight = weights
        self.update_state(y_true, y_pred, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        fixed = {"fn": serialize_keras_object(self._fn), **serialize_keras_object(self._fn_kwargs)}
        return {**super().get_config(), **fixed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Metric:
        if "fn" in config:
            from ..saving.registry import deserialize_keras_object

            config = deserialize_keras_object(dict(config))
        return cls(**config)


class NamedMean(MeanMetricWrapper):
    """A `MeanMetricWrapper` whose class stands for the function."""

    default_name: str
    _function: Callable[..., Any]

    def __init__(self, name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        if kwargs and type(self).__init__ is NamedMean.__init__:
            raise TypeError(
                f"{type(self).__name__}: expected the arguments name and dtype, got {sorted(kwargs)}"
            )
        super().__init__(type(self)._function, name=name or self.default_name, dtype=dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Metric:
        return cls(**config)


def weigh(values: Array, weights: Array, reduce: Any = np.mean) -> tuple[Array, Array]:
    """Values and weights of one shape: values are reduced over axes that the weights lack, weights broadcast
    to values."""
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    elif values.ndim == weights.ndim + 1 and values.shape[-1] == 1 and values.ndim > 2:
        values = values[..., 0]
    if values.ndim > weights.ndim:
        values = reduce(values, axis=tuple(range(weights.ndim, values.ndim)))
    try:
        return values, np.broadcast_to(weights, values.shape)
    except ValueError:
        raise ValueError(
            f"sample_weight: expected shape {values.shape} or the first axes of it, got {weights.shape}"
        ) from None


def same_rank(a: Array, b: Array) -> tuple[Array, Array]:
    """Keras's rule: a last axis of length 1 comes or goes where ranks differ by one."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        return (a, b[..., None]) if b.ndim == 1 else (a[..., 0], b)
    if b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        return (a[..., None], b) if a.ndim == 1 else (a, b[..., 0])
    return a, b
