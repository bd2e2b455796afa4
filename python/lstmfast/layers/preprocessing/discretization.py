# SPDX-License-Identifier: BSD-3-Clause
"""Numbers into the numbers of the ranges they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from .encoding import encode, encoded_shape, frozen_encoding, refuse_sparse

__all__ = ["Discretization"]

Array = npt.NDArray[Any]


class Discretization(Layer):
    """Tells in which of several ranges each number lies.

    Parameters
    ----------
    bin_boundaries : sequence of float, optional
        Where one range ends and the next begins, which has the boundary; ascending. The first range has no lower end,
        the last no upper one.
    num_bins : int, optional
        In place of the boundaries: how many ranges `adapt` shall find, with about equally many numbers in each.
    epsilon : float
        How exactly `adapt` finds them: a share of the data.
    output_mode : str
        ``"int"``: the range's number; ``"one_hot"``, ``"multi_hot"``, ``"count"`` as of `CategoryEncoding`.
    sparse : False
        Not supported.
    dtype, name : optional
        See `Layer`.

    Notes
    -----
    Input float32 of any shape; output int32 of the same shape, or float32 vectors. No gradient passes through.

    Raises
    ------
    ValueError
        If not exactly one of `bin_boundaries` and `num_bins` is given, or the boundaries do not ascend.
    RuntimeError
        If the layer is called before it knows boundaries.

    Examples
    --------
    >>> from lstmfast.layers import Discretization
    >>> Discretization([0.0, 1.0, 2.0])([[-1.5, 1.0, 3.4, 0.5]])
    array([[0, 2, 3, 1]], dtype=int32)
    >>> layer = Discretization(num_bins=4)
    >>> layer.adapt([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]])
    >>> layer([[-1.0, 2.0, 9.0]])
    array([[0, 1, 3]], dtype=int32)
    """

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
        refuse_sparse(sparse)
        if output_mode not in ("int", "one_hot", "multi_hot", "count"):
            raise ValueError(
                "Unknown value for `output_mode` argument of layer Discretization. Expected one of ('int', 'one_hot', "
                f"'multi_hot', 'count'). Received: output_mode={output_mode!r}"
            )
        if num_bins is not None and (not is_integer(num_bins) or num_bins < 0):
            raise ValueError(
                f"`num_bins` must be greater than or equal to 0. Received: `num_bins={num_bins}`"
            )
        if num_bins is not None and bin_boundaries is not None:
            raise ValueError(
                f"Both `num_bins` and `bin_boundaries` should not be set. Received: `num_bins={num_bins}` and "
                f"`bin_boundaries={bin_boundaries}`"
            )
        if num_bins is None and bin_boundaries is None:
            raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")
        if (
            isinstance(epsilon, bool)
            or not isinstance(epsilon, (int, float, np.number))
            or not 0 < epsilon <= 1
        ):
            raise ValueError(f"epsilon: expected a share above 0 and at most 1, got {epsilon!r}")
        self.bin_boundaries = bin_boundaries if bin_boundaries is None else _checked(bin_boundaries)
        self.num_bins, self.epsilon = num_bins, float(epsilon)
        self.output_mode, self.sparse = output_mode, False
        self.makes_integers = output_mode == "int"
        self._summary = np.empty((2, 0), np.float32)
        self._build_at_init()

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Find boundaries between ranges that hold about equally many numbers.

        Parameters
        ----------
        data : array, or an iterable of batches
        steps : int, optional
            Batches to take from an iterable.

        Raises
        ------
        ValueError
            If the layer was made with `bin_boundaries`, or there are no numbers.
        TypeError
            If the data are not numeric.
        """
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with `bin_boundaries`, use `num_bins` "
                "instead."
            )
        whole = hasattr(data, "__array__") or not hasattr(data, "__iter__")
        before = self._summary
        self.reset_state()
        try:
            for number, batch in enumerate([data] if whole else data):
                if steps is not None and number >= steps:
                    break
                self.update_state(batch)
            if not self._summary.size:
                raise ValueError(f"adapt() of layer {self.name!r} received no numbers")
        except BaseException:
            self._summary = before
            raise
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Take a batch into account, of which `finalize_state` makes boundaries."""
        numbers = np.asarray(data)
        if numbers.dtype.kind not in "fiub":
            raise TypeError(
                f"data of adapt() of layer {self.name!r} must be numeric, got dtype {numbers.dtype}"
            )
        summary = _summarized(numbers.astype(np.float32), self.epsilon)
        merged = np.concatenate((summary, self._summary), axis=1)
        self._summary = _compressed(merged[:, np.argsort(merged[0])], self.epsilon)

    def finalize_state(self) -> None:
        """Set the boundaries from what `update_state` has seen."""
        if self.num_bins:
            self.bin_boundaries = _compressed(self._summary, 1.0 / self.num_bins)[0, :-1].tolist()

    def reset_state(self) -> None:
        """Forget what `update_state` has seen."""
        self._summary = np.empty((2, 0), np.float32)

    def _depth(self) -> int | None:
        return self.num_bins if self.bin_boundaries is None else len(self.bin_boundaries) + 1

    @property
    def output_dtype(self) -> str:
        """Type of the outputs: ``"int32"`` in mode ``"int"``, else ``"float32"``."""
        return "int32" if self.output_mode == "int" else "float32"

    def _output_dtypes(self, count: int) -> list[str]:
        return [self.output_dtype] * count

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return tuple(input_shape)
        return encoded_shape(input_shape, self.output_mode, self._depth())

    def forward(self, x: Array, call: Call) -> Array:
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to either pass the `bin_boundaries` argument at construction time or call `adapt(dataset)` "
                f"before you can start using the `Discretization` layer {self.name!r}."
            )
        if call.save:
            call.saved = x.shape
        indices = np.digitize(x, self.bin_boundaries).astype(np.int32)
        if self.output_mode == "int":
            return indices
        return encode(indices, self.output_mode, len(self.bin_boundaries) + 1, np.float32)

    def backward(self, dy: Array, call: Call) -> Array:
        return np.zeros(call.saved, np.float32)  # steps have no slope

    def frozen(self) -> FrozenLayer:
        if self.bin_boundaries is None:
            raise ValueError(f"layer {self.name!r} cannot be frozen: it has no boundaries yet, call `adapt`")
        if any(len(node.inputs.shape) != 2 for node in self.inbound_nodes):
            raise ValueError(f"layer {self.name!r} cannot be frozen: its input is not (batch, features)")
        following = None
        if self.output_mode != "int":
            following = frozen_encoding(self, self.output_mode, len(self.bin_boundaries) + 1)
        boundaries = np.array(self.bin_boundaries, np.float64)
        return FrozenLayer("discretize", {"boundaries": boundaries}, "it makes ids of vectors", following)

    def get_config(self) -> dict[str, Any]:
        return {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": False,
            "name": self.name,
            "dtype": "float32",
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Discretization:
        boundaries = config.get("bin_boundaries")
        if boundaries is None or config.get("num_bins") is None:
            return cls(**config)
        layer = cls(**{**config, "bin_boundaries": None})  # an adapted layer knows both
        layer.bin_boundaries = _checked(boundaries)
        return layer


def _checked(boundaries: Any) -> list[float]:
    array = np.asarray(boundaries)
    if array.dtype.kind not in "fiub" and array.size:
        raise TypeError(f"bin_boundaries must be numeric, got dtype {array.dtype}")
    if array.ndim != 1 or not (np.diff(array) >= 0).all():
        raise ValueError(f"bin_boundaries must be a list of ascending numbers, got {boundaries!r}")
    return [float(b) for b in array]


def _summarized(values: Array, epsilon: float) -> Array:
    """Every so many of the sorted values, at most ``1 / epsilon`` of them, and how many each stands for."""
    values = np.sort(values, axis=None)
    step = max(values.size / (1.0 / epsilon), 1.0)
    chosen = values[int(step - 1) :: int(step)]
    return np.stack([chosen, np.full_like(chosen, step)])


def _compressed(summary: Array, epsilon: float) -> Array:
    """The summary at ``1 / epsilon`` equal shares of its weight, by linear interpolation (Keras's rule)."""
    if summary.shape[1] * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    up_to = weights / weights[-1]
    values = np.interp(shares, up_to, summary[0])
    counts = np.diff(np.interp(shares, up_to, weights), prepend=0)
    return np.stack((values, counts)).astype(np.float32)
