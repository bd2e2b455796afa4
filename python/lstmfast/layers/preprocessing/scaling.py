# SPDX-License-Identifier: BSD-3-Clause
"""A fixed scale and shift of numbers, before or behind what is learned: Normalization and Rescaling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ..arguments import is_integer
from ..arrays import as_float32
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer

__all__ = ["Normalization", "Rescaling"]

Array = npt.NDArray[Any]

#: Keras's backend epsilon, below which no standard deviation counts.
_EPSILON = np.float32(1e-7)


class Normalization(Layer):
    """Subtracts a known mean and divides by a known standard deviation: those of data seen by `adapt`, or given.

    Parameters
    ----------
    axis : int, sequence of int or None
        Axes along which each index has a mean and variance of its own; None for one of each.
    mean, variance : float or array_like, optional
        Known beforehand, in place of `adapt`; of a shape that broadcasts to that of the axes.
    invert : bool
        Do the reverse: multiply by the standard deviation and add the mean.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output float32 of any shape. Weights, if `mean` is not given: mean, variance (sizes of the axes) and
    Keras's count, which nothing changes. None of them is trained.

    Raises
    ------
    ValueError
        If only one of `mean` and `variance` is given or they do not fit, an axis does not exist or its size is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Normalization
    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
    >>> layer(np.array([[1.0, 40.0]]))
    array([[0., 2.]], dtype=float32)
    >>> Normalization(mean=1.0, variance=4.0, invert=True)(np.array([[1.5]]))
    array([[4.]], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        given = () if axis is None else (axis,) if is_integer(axis) else axis
        if not isinstance(given, (list, tuple)) or not all(map(is_integer, given)):
            raise TypeError(f"axis: expected an int, a tuple of ints or None, got {axis!r}")
        self.axis = tuple(int(k) for k in given)
        if (mean is None) != (variance is None):
            raise ValueError(
                "When setting values directly, both `mean` and `variance` must be set. Received: "
                f"mean={mean} and variance={variance}"
            )
        self.input_mean, self.input_variance, self.invert = mean, variance, bool(invert)
        self._given: tuple[Array, Array] | None = None
        if mean is not None:
            self._given = (as_float32(mean, "mean"), as_float32(variance, "variance"))
            shape, other = self._given[0].shape, self._given[1].shape
            if shape != other:
                raise ValueError(
                    "When setting values directly, `mean` and `variance` must have the same shape. Received: "
                    f"mean shape {shape} and variance shape {other}"
                )
            if len(shape) > len(self.axis):
                raise ValueError(
                    "The rank of `mean` must be less than or equal to the number of axes "
                    f"({len(self.axis)}). Received: mean shape {shape} for axis {self.axis}"
                )
        self._kept: tuple[int, ...] = ()

    def build(self, input_shape: Any) -> None:
        ndim = len(input_shape)
        if any(not -ndim <= k < ndim for k in self.axis):
            raise ValueError(
                "All `axis` values must be in the range [-ndim, ndim). Received inputs with "
                f"ndim={ndim}, while axis={self.axis}"
            )
        kept = tuple(sorted({k % ndim for k in self.axis}))
        unknown = [k for k in kept if input_shape[k] is None]
        if unknown:
            raise ValueError(
                f"All `axis` values to be kept must have a known shape. Received axis={self.axis}, inputs.shape="
                f"{tuple(input_shape)}, with unknown axis at index {unknown[0]} (layer {self.name!r})"
            )
        sizes = tuple(input_shape[k] for k in kept)
        if self._given is None:
            self.adapt_mean = self.add_weight(sizes, "zeros", "mean", trainable=False)
            self.adapt_variance = self.add_weight(sizes, "ones", "variance", trainable=False)
            self.count = self.add_weight((), "zeros", "count", trainable=False, dtype="int32")
        else:
            try:
                np.broadcast_to(self._given[0], sizes)
            except ValueError:
                raise ValueError(
                    f"mean and variance of layer {self.name!r} have shape {self._given[0].shape}, which does not "
                    f"broadcast to {sizes}, the sizes of axis={self.axis} of inputs of shape {tuple(input_shape)}"
                ) from None
        self._kept = kept
        self._ndim, self._sizes = ndim, sizes
        self.built = True

    @property
    def mean(self) -> Array | None:
        """As it broadcasts over an input of the shape for which the layer was built; None before."""
        return self._statistic(0) if self.built else None

    @property
    def variance(self) -> Array | None:
        """As it broadcasts over an input of the shape for which the layer was built; None before."""
        return self._statistic(1) if self.built else None

    def _statistic(self, which: int) -> Array:
        if self._given is None:
            value = (self.adapt_mean, self.adapt_variance)[which]._data
        else:
            value = np.broadcast_to(self._given[which], self._sizes)
        shape = [1] * self._ndim
        for size, axis in zip(self._sizes, self._kept, strict=True):
            shape[axis] = size
        return value.reshape(shape)

    def _deviation(self) -> Array:
        return np.maximum(np.sqrt(self._statistic(1)), _EPSILON)

    def adapt(self, data: Any) -> None:
        """Learn mean and variance from data, in place of what the layer knew.

        Parameters
        ----------
        data : array, or an iterable of batches
            An array, a tensor or a table; a list, a generator, a `PyDataset` or what else gives batches, of which the
            first entry counts where they are tuples.

        Raises
        ------
        ValueError
            If there are no data, they have no elements, a shape does not fit, or the layer was given a `mean`.
        TypeError
            If a batch is not an array of numbers.
        """
        if self._given is not None:
            raise ValueError(
                f"layer {self.name!r} was made with `mean` and `variance`: there is nothing for adapt() to learn"
            )
        total: Any = 0
        mean: Any = 0.0
        squares: Any = 0.0
        for batch in _batches(data, self.name):
            self._check_batch(batch)
            others = tuple(k for k in range(batch.ndim) if k not in self._kept)
            count = int(np.prod([batch.shape[k] for k in others], dtype=np.int64))
            here = batch.mean(axis=others, dtype=np.float64)
            around = batch - np.expand_dims(here, others)
            # Chan et al. 1979: sums of squared deviations of two sets, joined.
            step = here - mean
            squares = (
                squares
                + np.square(around).sum(axis=others)
                + np.square(step) * (total * count / (total + count))
            )
            mean = mean + step * (count / (total + count))
            total += count
        if not total:
            raise ValueError(
                f"adapt() of layer {self.name!r} received an empty iterable: expected at least one batch"
            )
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(squares / total)

    def _check_batch(self, batch: Array) -> None:
        if batch.size == 0:
            raise ValueError(f"adapt() of layer {self.name!r} received an empty array of shape {batch.shape}")
        if not self.built:
            self.ensure_built(batch.shape)
        elif batch.ndim != self._ndim or tuple(batch.shape[k] for k in self._kept) != self._sizes:
            raise ValueError(
                f"layer {self.name!r} was built for inputs of {self._ndim} axes, with sizes {self._sizes} along "
                f"axis={self.axis}; adapt() received data of an incompatible shape, {batch.shape}"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        deviation, mean = self._deviation(), self._statistic(0)
        if not _broadcasts(mean.shape, x.shape):
            raise ValueError(
                f"layer {self.name!r} was built for inputs of {self._ndim} axes, with sizes {self._sizes} along "
                f"axis={self.axis}, got shape {x.shape}"
            )
        if self.invert:
            y = x * deviation
            y += mean
        else:
            y = x - mean
            y /= deviation
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        deviation = self._deviation()
        return np.asarray(dy * deviation if self.invert else dy / deviation)

    def frozen(self) -> FrozenLayer:
        if self._kept not in ((), (self._ndim - 1,)):
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: its axis={self.axis} is another than the last"
            )
        deviation, mean = self._deviation().reshape(1, -1), self._statistic(0).reshape(1, -1)
        if self.invert:
            return _two_steps("multiply", deviation, "add", mean)
        return _two_steps("subtract", mean, "divide", deviation)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "invert": self.invert,
            "mean": None if self.input_mean is None else np.array(self.input_mean).tolist(),
            "variance": None if self.input_variance is None else np.array(self.input_variance).tolist(),
        }


def _batches(data: Any, name: str) -> Iterable[Array]:
    """`data` as float64 arrays: one, or those that it gives one after another."""
    from ...training.convert import is_array_like, plain

    if is_array_like(data) or hasattr(data, "detach"):
        yield _numbers(plain(data), name)
        return
    if isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
        raise TypeError(
            f"adapt() of layer {name!r} expects an array or an iterable of batches, got {type(data).__name__}"
        )
    for batch in data:
        first = batch[0] if isinstance(batch, tuple) and batch else batch
        if not hasattr(first, "shape"):
            raise TypeError(
                f"adapt() of layer {name!r} expects an array or an iterable of arrays with a `.shape` (a list "
                f"counts as one of batches), got an element of type {type(first).__name__}"
            )
        yield _numbers(plain(first), name)


def _numbers(batch: Any, name: str) -> Array:
    array = np.asarray(batch)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data of adapt() of layer {name!r} must be numeric, got dtype {array.dtype}")
    return array.astype(np.float64)


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of `shape` broadcasts to `target`."""
    sizes = zip(shape[::-1], target[::-1], strict=False)
    return len(shape) <= len(target) and all(m in (1, n) for m, n in sizes)


def _two_steps(first: str, one: Array, second: str, other: Array) -> FrozenLayer:
    """Two operations of the frozen model, each with a number, or one for each feature."""
    arguments = [
        {"kind": kind, "constants": constants.copy(), "reverse": False}
        for kind, constants in ((first, one), (second, other))
    ]
    return FrozenLayer("arithmetic", arguments[0], following=FrozenLayer("arithmetic", arguments[1]))


class Rescaling(Layer):
    """``x * scale + offset``.

    Parameters
    ----------
    scale, offset : float or array_like
        Numbers, or arrays that broadcast to the input.
    **kwargs
        See `Layer`.

    Raises
    ------
    TypeError
        If they are not numeric.
    ValueError
        If they would make an input larger.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Rescaling
    >>> Rescaling(1 / 127.5, offset=-1)(np.array([[0, 255]]))
    array([[-1.,  1.]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self._scale, self._offset = as_float32(scale, "scale"), as_float32(offset, "offset")
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        self._check(x.shape)
        y = x * self._scale
        y += self._offset
        return y

    def _check(self, shape: tuple[int, ...]) -> None:
        for argument, value in (("scale", self._scale), ("offset", self._offset)):
            if not _broadcasts(value.shape, shape):
                raise ValueError(
                    f"{argument} of layer {self.name!r} has shape {value.shape}, which does not broadcast to inputs "
                    f"of shape {shape}"
                )

    def backward(self, dy: Array, call: Call) -> Array:
        return np.asarray(dy * self._scale)

    def frozen(self) -> FrozenLayer:
        if any(
            value.size not in (1, value.shape[-1:][0] if value.ndim else 1)
            for value in (self._scale, self._offset)
        ):
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: its scale or offset varies along other axes than the last"
            )
        return _two_steps("multiply", self._scale.reshape(1, -1), "add", self._offset.reshape(1, -1))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": serialize_keras_object(self.scale),
            "offset": serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Rescaling:
        made = {key: deserialize_keras_object(config[key]) for key in ("scale", "offset") if key in config}
        return cls(**(config | made))
