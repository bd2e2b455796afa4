# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of a `compute_loss` that a model's class writes anew: what it does with symbolic tensors is a graph, as what
a layer's `call` does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers.base import Layer
from ..layers.call import Call
from ..layers.keras_call import TRACES
from ..symbolic import KerasTensor, leaves_along
from .own_steps import compute_own, judge, own_metrics, parts_of, predicted

if TYPE_CHECKING:
    from ..models.executor import Run
    from .batching import DataSet

__all__ = ["OwnLoss"]

#: So far the value of the graph may be from that of the arrays, relative to it: sums in another order.
_ROUNDING = 1e-5


class _Traceable(Layer):
    """`compute_loss` as a layer of x, y, y_pred, sample_weight and what regularizers add."""

    def __init__(self, model: Any) -> None:
        super().__init__(name="compute_loss")
        self.model, self.built = model, True

    def call(self, inputs: Any, **_: Any) -> Any:
        model = self.model
        with _deaf(model):
            vars(model)["_traced_losses"] = inputs["losses"]
            try:
                value = compute_own(
                    model, tuple(inputs[k] for k in ("x", "y", "y_pred", "sample_weight")), True
                )
            finally:
                del vars(model)["_traced_losses"]
        if isinstance(value, KerasTensor) and value.shape:
            raise ValueError(f"it gives a value of shape {value.shape}, not a number")
        return value


@contextmanager
def _deaf(model: Any) -> Iterator[None]:
    """Keep symbolic values from the metrics that the model holds."""
    held = own_metrics(model)
    for metric in held:
        vars(metric)["update_state"] = lambda *_, **__: None
    try:
        yield
    finally:
        for metric in held:
            vars(metric).pop("update_state", None)


class OwnLoss:
    """Value and gradients of the model's own `compute_loss`, where it uses `lstmfast.ops` and layers alone.

    It is called with arrays for each batch, which updates its metrics and gives the value. The gradient is that of a graph
    which is kept for batches of one signature, as long as it gives the same value: what `compute_loss` reads elsewhere may
    change, as the weight of a term that a callback sets.

    Parameters
    ----------
    model : Model
    regularized : list of Variable
        The trainable ones with a regularizer.

    Attributes
    ----------
    reason : str
        Why it has no gradient, where a call gave none.
    """

    def __init__(self, model: Any, regularized: list[Any]) -> None:
        self.layer = _Traceable(model)
        self.regularized = regularized
        self.reason = ""

    def __call__(self, batch: DataSet, run: Run) -> tuple[float, tuple[list[Any], list[Any]] | None]:
        """The loss, and with it the gradients of the model's outputs and the parts that the regularizers' values have in
        the loss; None for these if it cannot be traced. Weights that it uses itself have their gradients then.

        Raises
        ------
        NotImplementedError
            If it leaves out or multiplies what activity regularizers add.
        """
        value = judge(self.layer.model, batch, run, training=True)
        traced = self._forward(batch, run)
        if traced is not None and not _same(traced[0], value):
            TRACES.pop(self.layer, None)
            traced = self._forward(batch, run)
        if traced is None:
            return value, None
        found, _ = traced[1].backward(np.ones((), np.float32))
        shares = [0.0 if g is None else float(g) for g in found["losses"]]
        if run.penalty and shares.pop(0) != 1.0:
            raise NotImplementedError(
                f"`compute_loss` of {type(self.layer.model).__name__} must add `self.losses` as they are: the model has "
                "activity regularizers or layers that add losses"
            )
        model = self.layer.model
        return value, (leaves_along(model._output_structure, found["y_pred"]), shares)

    def _forward(self, batch: DataSet, run: Run) -> tuple[float, Any] | None:
        """The value by the graph, and what goes back through it."""
        from ..models.composed import forward_traced  # made of models itself

        model = self.layer.model
        x, y, weight = parts_of(model, batch)
        penalties = [run.penalty] if run.penalty else []
        values = [*penalties, *(v.regularizer(v._data) for v in self.regularized)]
        inputs = {
            "x": x,
            "y": y,
            "y_pred": predicted(model, run),
            "sample_weight": weight,
            "losses": [np.asarray(value, np.float32) for value in values],
        }
        call = Call(True, save=True, needs_dx=True)
        value, traced = forward_traced(self.layer, inputs, call)
        if not traced:
            self.reason = value
            return None
        return float(value), call.saved


def _same(a: float, b: float) -> bool:
    """Whether they differ by rounding alone."""
    return abs(a - b) <= _ROUNDING * max(abs(a), abs(b)) or not (math.isfinite(a) and math.isfinite(b))
