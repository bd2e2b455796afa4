# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization (Ioffe and Szegedy 2015) and renormalization (Ioffe 2017)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import _core, initializers
from ...saving.registry import serialize_keras_object
from ...variables import Variable
from ..building import fresh
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec
from .normalizing import (
    Affine,
    along,
    as_rows,
    checked_axes,
    copied,
    flat,
    from_rows,
    frozen_width,
    gradients_out,
    known_sizes,
    positive_axes,
)

__all__ = ["BatchNormalization"]

Array = npt.NDArray[Any]

#: Keras's backend epsilon, which it adds to the number of steps that count under a mask.
_EPSILON = 1e-7


class _Plain(NamedTuple):
    """What the backward pass in NumPy needs; of a batch that moved the averages also how many elements counted."""

    channels: tuple[int, ...]
    normal: Array
    inverse: Array
    counts: Array | None = None
    total: Any = None
    correction: tuple[Array, ...] | None = None


class BatchNormalization(Affine):
    """Mean 0 and variance 1 of each feature over the batch, then a learned scale and shift.

    In training the statistics are the batch's, and move averages that stand in for them in inference:
    ``moving = moving * momentum + batch * (1 - momentum)``. A layer with ``trainable=False`` always uses the averages
    and leaves them alone.

    Parameters
    ----------
    axis : int
        The features.
    momentum : float
    epsilon : float
        Added to the variance.
    center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
    gamma_constraint
        As in `LayerNormalization`.
    moving_mean_initializer, moving_variance_initializer : str, dict or callable
    renorm : bool
        Batch renormalization: in training outputs are corrected to what the move averages of mean and standard
        deviation would give, ``normal * r + d``, and no gradient goes through r and d.
    renorm_clipping : dict of str to float, optional
        Limits ``"rmin"``, ``"rmax"`` of r and ``"dmax"`` of d's magnitude.
    renorm_momentum : float
        That of the averages behind r and d.
    synchronized : False
        Not supported: there is one device.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output (batch, ..., features) float32. Weights: gamma, beta, moving_mean, moving_variance (features,);
    with `renorm` also moving_stddev, renorm_mean, renorm_stddev.
    With a mask (which must have one axis less than the input), and with lengths, the batch's statistics leave out the
    steps that do not count; they are normalized all the same. The moving averages change in the forward pass, so
    training one model in several threads at once mixes them.

    Raises
    ------
    ValueError
        If `axis` is out of range or its size unknown, an argument is wrong or not supported, or a mask does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import BatchNormalization
    >>> layer = BatchNormalization(epsilon=0)
    >>> layer(np.array([[1.0, 10.0], [3.0, 30.0]]), training=True)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> layer.moving_mean.numpy().round(2)
    array([0.02, 0.2 ], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: Any = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        if synchronized:
            raise ValueError("synchronized=True is not supported: there is one device to normalize on")
        if renorm:
            renorm_clipping = _checked_clipping(renorm_clipping or {})
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.axis = int(checked_axes(axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis))
        self.momentum = float(momentum)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.synchronized, self.renorm = False, bool(renorm)
        self.renorm_clipping, self.renorm_momentum = renorm_clipping, renorm_momentum

    def build(self, input_shape: Any) -> None:
        axes = positive_axes(self.axis, input_shape)
        shape = known_sizes(self, input_shape, axes)
        self._build_affine(shape, self.scale, self.center)
        self.moving_mean = self.add_weight(
            shape, self.moving_mean_initializer, "moving_mean", trainable=False
        )
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, "moving_variance", trainable=False
        )
        if self.renorm:
            self.moving_stddev = self.add_weight(shape, self._first_stddev, "moving_stddev", trainable=False)
            self.renorm_mean = self.add_weight(
                shape, fresh(self.moving_mean_initializer), "renorm_mean", trainable=False
            )
            self.renorm_stddev = self.add_weight(shape, self._first_stddev, "renorm_stddev", trainable=False)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: shape[0]})
        self.built = True

    def _first_stddev(self, shape: Any, dtype: Any = None) -> Array:
        values: Array = np.sqrt(fresh(self.moving_variance_initializer)(shape, dtype=dtype))
        return values

    def compute_output_shape(self, input_shape: Any) -> Any:
        positive_axes(self.axis, input_shape)
        return tuple(input_shape)

    def accepted_mask(self, mask: Any, x: Any) -> Any:
        return np.asarray(mask).astype(
            bool
        )  # of any shape that broadcasts to that of x without its last axis

    def forward(self, x: Array, call: Call) -> Array:
        channels = positive_axes(self.axis, x.shape)
        if call.mask is not None and call.mask.ndim != x.ndim - 1:
            raise ValueError(
                "The mask provided should be one dimension less than the inputs. Received: "
                f"mask.shape={call.mask.shape}, inputs.shape={x.shape}"
            )
        moves = call.training and self.trainable
        counts = self._counted(x, call) if moves else None
        if (
            x.dtype != np.float32
            or (moves and self.renorm)
            or (counts is not None and channels != (x.ndim - 1,))
        ):
            return self._forward_plain(x, call, channels, moves, counts)
        rows, which, total = as_rows(x, channels), None, 0.0
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if moves:
            if counts is not None:
                which = np.ascontiguousarray(np.broadcast_to(counts[..., 0], x.shape[:-1])).reshape(-1)
            total = len(rows) if which is None else np.count_nonzero(which) + _EPSILON
            mean, variance = _core.batch_moments(rows, which, total)
            _move(self.moving_mean, mean, self.momentum)
            _move(self.moving_variance, variance, self.momentum)
        mean = mean.astype(np.float32)
        scale = (1 / np.sqrt(variance + self.epsilon)).astype(np.float32)
        if call.save:
            call.saved = (channels, rows, mean, scale, which, total)
        y = _core.batch_norm_forward(rows, mean, scale, flat(self.gamma), flat(self.beta))
        return from_rows(y, x.shape, channels)

    def _forward_plain(
        self, x: Array, call: Call, channels: tuple[int, ...], moves: bool, counts: Array | None
    ) -> Array:
        """In NumPy: float64, for `check_gradients`, renormalization, and features that count in some steps only."""
        if not moves:
            inverse = 1 / np.sqrt(along(self.moving_variance.value, channels, x.ndim) + self.epsilon)
            normal = (x - along(self.moving_mean.value, channels, x.ndim)) * inverse
            if call.save:
                call.saved = _Plain(channels, normal, inverse)
            return self._affine(normal, channels)
        others = tuple(k for k in range(x.ndim) if k not in channels)
        if counts is None:
            total: Any = x.size // x.shape[self.axis]
            part = x
        else:
            total = np.broadcast_to(counts, x.shape).sum(axis=others, keepdims=True) + _EPSILON
            part = np.where(counts, x, x.dtype.type(0))
        # Sums over rows in float64: NumPy would add them one after another.
        mean = part.sum(axis=others, keepdims=True, dtype=np.float64) / total
        deviation = x - mean.astype(x.dtype)
        counted = deviation if counts is None else np.where(counts, deviation, x.dtype.type(0))
        variance = np.square(counted).sum(axis=others, keepdims=True, dtype=np.float64) / total
        inverse = (1 / np.sqrt(variance + self.epsilon)).astype(x.dtype)
        normal = deviation * inverse
        correction = None
        if self.renorm:
            correction = tuple(along(part, channels, x.ndim) for part in self._correct(mean, variance))
        else:
            _move(self.moving_mean, mean, self.momentum)
            _move(self.moving_variance, variance, self.momentum)
        if call.save:
            call.saved = _Plain(channels, normal, inverse, counts, total, correction)
        return self._affine(
            normal if correction is None else normal * correction[0] + correction[1], channels
        )

    def _correct(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Renormalization's r and d for a batch, whose statistics then enter the averages."""
        shape = self.moving_mean.shape
        mean, stddev = mean.reshape(shape), np.sqrt(variance.reshape(shape) + self.epsilon)
        usual = np.maximum(self.renorm_stddev.value, np.sqrt(self.epsilon))
        limits = self.renorm_clipping
        r = np.clip(stddev / usual, limits.get("rmin"), limits.get("rmax"))
        d = (mean - self.renorm_mean.value) / usual
        if limits.get("dmax") is not None:
            d = np.clip(d, -limits["dmax"], limits["dmax"])
        _move(self.renorm_mean, mean, self.renorm_momentum)
        _move(self.renorm_stddev, stddev, self.renorm_momentum)
        _move(self.moving_mean, mean, self.momentum)
        _move(self.moving_stddev, stddev, self.momentum)
        self.moving_variance.assign(np.maximum(np.square(self.moving_stddev.value) - self.epsilon, 0))
        return r.astype(np.float32), d.astype(np.float32)

    @staticmethod
    def _counted(x: Array, call: Call) -> Array | None:
        """Which elements enter the statistics, as it broadcasts over x; None for all."""
        counts = None if call.mask is None else call.mask[..., None]
        if call.lengths is not None and x.ndim >= 3:
            inside = np.arange(x.shape[1]) < call.lengths[:, None]
            inside = inside.reshape(inside.shape + (1,) * (x.ndim - 2))
            counts = inside if counts is None else counts & inside
        return counts

    def backward(self, dy: Array, call: Call) -> Array | None:
        if isinstance(call.saved, _Plain):
            return self._backward_plain(dy, call.saved)
        channels, rows, mean, scale, which, total = call.saved
        dgamma, dbeta, accumulate = gradients_out(self.gamma, self.beta)
        dx = _core.batch_norm_backward(
            rows,
            as_rows(np.asarray(dy, np.float32), channels),
            mean,
            scale,
            flat(self.gamma),
            which,
            total,
            dgamma,
            dbeta,
            accumulate,
            call.needs_dx,
        )
        return None if dx is None else from_rows(dx, dy.shape, channels)

    def _backward_plain(self, dy: Array, saved: _Plain) -> Array:
        channels, normal, inverse, counts, total, correction = saved
        if correction is None:
            d = self._affine_backward(dy, normal, channels)
        else:
            r, shift = correction
            d = self._affine_backward(dy, normal * r + shift, channels) * r
        if total is None:
            return np.asarray(d * inverse)
        others = tuple(k for k in range(dy.ndim) if k not in channels)
        mean = (d.sum(axis=others, keepdims=True, dtype=np.float64) / total).astype(dy.dtype)
        slope = ((d * normal).sum(axis=others, keepdims=True, dtype=np.float64) / total).astype(dy.dtype)
        through = mean + normal * slope  # by way of the batch's statistics
        if counts is not None:
            through = np.where(counts, through, dy.dtype.type(0))
        return np.asarray(inverse * (d - through))

    def frozen(self) -> FrozenLayer:
        frozen_width(self, self.axis)
        arguments = {
            "mean": self.moving_mean.value.astype(np.float32),
            "scale": (1 / np.sqrt(self.moving_variance.value + self.epsilon)).astype(np.float32),
            "gamma": copied(self.gamma),
            "beta": copied(self.beta),
        }
        return FrozenLayer("batch_normalization", arguments)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            **self._affine_config(),
            "moving_mean_initializer": serialize_keras_object(self.moving_mean_initializer),
            "moving_variance_initializer": serialize_keras_object(self.moving_variance_initializer),
            "synchronized": self.synchronized,
            "renorm": self.renorm,
            "renorm_clipping": self.renorm_clipping,
            "renorm_momentum": self.renorm_momentum,
        }


def _move(average: Variable, value: Array, momentum: float) -> None:
    """One step of a moving average."""
    average.assign(average.value * momentum + value.reshape(average.shape) * (1 - momentum))


def _checked_clipping(limits: Any) -> dict[str, float]:
    keys = ["rmax", "rmin", "dmax"]
    if not isinstance(limits, dict) or set(limits) - set(keys):
        raise ValueError(
            f"Received invalid keys for `renorm_clipping` argument: {limits}. Supported values: {keys}."
        )
    rmax, rmin, dmax = (limits.get(key) for key in keys)
    if rmax is not None and rmin is not None and rmax < rmin:
        raise ValueError(
            f"rmax should be greater than rmin in the `renorm_clipping` argument. Received: rmax={rmax}, rmin={rmin}."
        )
    if dmax is not None and dmax < 0:
        raise ValueError(
            f"dmax should be non-negative in the `renorm_clipping` argument. Received: dmax={dmax}."
        )
    return limits
