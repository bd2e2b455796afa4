# SPDX-License-Identifier: BSD-3-Clause
"""A table of vectors that also leads back: from vectors to a value for each id (Press and Wolf 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core
from ...symbolic import is_symbolic
from ..arrays import as_float32
from ..call import Call
from ..eager import in_trace, is_training
from ..frozen import FrozenLayer
from .embedding import Embedding

__all__ = ["ReversibleEmbedding"]

Array = npt.NDArray[Any]


class ReversibleEmbedding(Embedding):
    """An `Embedding` whose call with ``reverse=True`` gives logits: the vectors times the transposed table.

    Parameters
    ----------
    input_dim, output_dim
        As in `Embedding`.
    tie_weights : bool
        The way back has the same table; else one of its own.
    embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero
        As in `Embedding`.
    reverse_dtype : str, optional
        ``"float32"``, in which lstmfast computes anyway.
    logit_soft_cap : float, optional
        Logits are kept between plus and minus this by ``cap * tanh(logits / cap)``.
    **kwargs
        See `Layer`.

    Notes
    -----
    Ids (batch, time) give (batch, time, output_dim); vectors (batch, time, output_dim), in a call with `reverse`,
    (batch, time, input_dim). Weights: embeddings (input_dim, output_dim), with ``tie_weights=False`` also
    reverse_embeddings (output_dim, input_dim). No mask comes of a reverse call.

    Raises
    ------
    ValueError
        If a size is not a positive integer, ids are out of range, or vectors have another size than `output_dim`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ReversibleEmbedding
    >>> layer = ReversibleEmbedding(100, 8)
    >>> hidden = layer(np.array([[4, 1, 7]]))
    >>> layer(hidden, reverse=True).shape
    (1, 3, 100)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        if reverse_dtype not in (None, "float32"):
            raise ValueError(
                f"reverse_dtype={reverse_dtype!r} is not supported: lstmfast computes in float32"
            )
        self.tie_weights, self.reverse_dtype = bool(tie_weights), reverse_dtype
        self.logit_soft_cap = logit_soft_cap
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            shape = (self.output_dim, self.input_dim)
            self.reverse_embeddings = self.add_weight(
                shape, self.embeddings_initializer, "reverse_embeddings"
            )

    def takes_ids(self, arguments: dict[str, Any]) -> bool:
        return not arguments.get("reverse")

    def __call__(  # type: ignore[override]
        self, inputs: Any, reverse: bool = False, training: bool | None = None, **kwargs: Any
    ) -> Any:
        """Vectors of ids; or, with `reverse`, a logit for each id from vectors.

        Parameters
        ----------
        inputs : array_like of ids, or of floats (..., output_dim)
        reverse : bool
        training : bool, optional
            Without meaning here.

        Returns
        -------
        numpy.ndarray
        """
        if not reverse:
            return super().__call__(inputs, training=training, **kwargs)
        inputs = in_trace(inputs, training)
        if is_symbolic(inputs):
            tensor = self.record(inputs, {"reverse": True})
            tensor.has_mask = False
            return tensor
        x = as_float32(inputs, f"inputs of layer {self.name!r}")
        self._check_vectors(x.shape)
        self.ensure_built((None,))
        call = Call(is_training(training))
        call.arguments = {"reverse": True}
        return self.forward(x, call)

    def _check_vectors(self, shape: Any) -> None:
        if len(shape) < 2 or shape[-1] != self.output_dim:
            raise ValueError(
                f"inputs of layer {self.name!r} with reverse=True must be vectors of {self.output_dim} numbers, got "
                f"shape {tuple(shape)}"
            )

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        return self.compute_output_shape(
            shapes, **{key: arguments[key] for key in ("reverse",) if key in arguments}
        )

    def compute_output_shape(self, input_shape: Any, reverse: bool = False) -> Any:
        if not reverse:
            return super().compute_output_shape(input_shape)
        self._check_vectors(input_shape)
        return (*input_shape[:-1], self.input_dim)

    def compute_mask(self, inputs: Array, mask: Any = None) -> Any:
        """None, as in Keras: a mask comes with the output of a call with ids."""
        return None

    def forward(self, x: Array, call: Call) -> Array:
        if not call.arguments.get("reverse"):
            if self.mask_zero:
                call.output_mask = np.not_equal(x, 0)
            return super().forward(x, call)
        source = self.embeddings if self.tie_weights else self.reverse_embeddings

        def pack() -> Any:
            kernel = source._data.T if self.tie_weights else source._data
            return _core.DenseWeights(np.ascontiguousarray(kernel), None)

        weights = self.packed((source,), pack)
        rows = np.ascontiguousarray(x, np.float32).reshape(-1, self.output_dim)
        y = _core.dense_forward(weights, rows, "linear")
        capped = None
        if self.logit_soft_cap is not None:
            cap = np.float32(self.logit_soft_cap)
            capped = np.tanh(y / cap)
            y = capped * cap
        if call.save:
            call.saved = (weights, rows, capped, x.shape)
        return y.reshape(*x.shape[:-1], self.input_dim)

    def backward(self, dy: Array, call: Call) -> Any:
        if not call.arguments.get("reverse"):
            return super().backward(dy, call)
        weights, rows, capped, shape = call.saved
        dz = np.ascontiguousarray(dy, np.float32).reshape(-1, self.input_dim)
        if capped is not None:
            dz = np.ascontiguousarray(dz * (1 - capped * capped))
        if self.tie_weights:
            dkernel = np.empty((self.output_dim, self.input_dim), np.float32)
            dx = _core.dense_backward(weights, rows, dz, dkernel, None, False, call.needs_dx)
            self.embeddings.add_grad(dkernel.T)
        else:
            out, accumulate = self.reverse_embeddings.grad_out()
            dx = _core.dense_backward(weights, rows, dz, out, None, accumulate, call.needs_dx)
        return None if dx is None else dx.reshape(shape)

    def frozen(self) -> FrozenLayer:
        if any(node.kwargs.get("reverse") for node in self.inbound_nodes):
            raise ValueError(f"layer {self.name!r} cannot be frozen: it is called with reverse=True")
        return super().frozen()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "tie_weights": self.tie_weights,
            "reverse_dtype": self.reverse_dtype,
            "logit_soft_cap": self.logit_soft_cap,
        }
