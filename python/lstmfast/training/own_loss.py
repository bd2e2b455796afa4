# SPDX-License-Identifier: BSD-3-Clause
"""The gradient of a `compute_loss` that a model's class writes anew: what it does with symbolic tensors is a graph, as what
a layer's `call` does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers.base import Layer
from ..layers.call import Call
from ..symbolic import KerasTensor

if TYPE_CHECKING:
    from ..models.executor import Run
    from .batching import DataSet

__all__ = ["OwnLoss", "compute_own"]


def compute_own(model: Any, parts: tuple[Any, Any, Any, Any], training: bool) -> Any:
    """The model's own `compute_loss` of x, y, y_pred and sample_weight."""
    arguments = dict(zip(("x", "y", "y_pred", "sample_weight"), parts, strict=True))
    if "training" in inspect.signature(model.compute_loss).parameters:
        arguments["training"] = training
    return model.compute_loss(**arguments)


class _Traceable(Layer):
    """`compute_loss` as a layer of x, y, y_pred, sample_weight and what regularizers add.

    Attributes
    ----------
    updates : bool
        It updates metrics that the model holds.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(name="compute_loss")
        self.model, self.built = model, True
        self.updates: list[bool] = []

    def call(self, inputs: Any, **_: Any) -> Any:
        model = self.model
        with _deaf(model, self.updates):
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
def _deaf(model: Any, heard: list[bool]) -> Iterator[None]:
    """Keep symbolic values from the metrics that the model holds; `heard` tells whether there were any."""
    from .own_steps import own_metrics

    held = own_metrics(model)

    def update_state(*_: Any, **__: Any) -> None:
        heard[:] = [True]

    for metric in held:
        vars(metric)["update_state"] = update_state
    try:
        yield
    finally:
        for metric in held:
            vars(metric).pop("update_state", None)


class OwnLoss:
    """Value and gradients of the model's own `compute_loss`, where it uses `lstmfast.ops` and layers alone.

    Parameters
    ----------
    model : Model
    regularized : list of Variable
        The trainable ones with a regularizer.

    Attributes
    ----------
    reason : str
        Why it has no gradient, where a call gave None.
    """

    def __init__(self, model: Any, regularized: list[Any]) -> None:
        self.layer = _Traceable(model)
        self.regularized = regularized
        self.reason = ""

    def __call__(self, batch: DataSet, run: Run) -> tuple[float, list[Any], list[Any]] | None:
        """The loss, the gradients of the model's outputs, and the parts that the regularizers' values have in the loss; None
        if it cannot be traced. Weights that it uses itself have their gradients then.

        Raises
        ------
        NotImplementedError
            If it leaves out or multiplies what activity regularizers add.
        """
        from ..models.composed import TracedCall, forward_traced
        from .own_steps import parts_of, predicted

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
        saved: Any = call.saved
        assert isinstance(saved, TracedCall)
        found, _ = saved.backward(np.ones((), np.float32))
        shares = [0.0 if g is None else float(g) for g in found["losses"]]
        if penalties and shares.pop(0) != 1.0:
            raise NotImplementedError(
                f"`compute_loss` of {type(model).__name__} must add `self.losses` as they are: the model has activity "
                "regularizers or layers that add losses"
            )
        return float(value), _leaves(found["y_pred"]), shares


def _leaves(gradients: Any) -> list[Any]:
    """As `flatten`, with None for outputs that have no part in the loss."""
    if isinstance(gradients, dict):
        return [leaf for key in sorted(gradients) for leaf in _leaves(gradients[key])]
    if isinstance(gradients, (list, tuple)):
        return [leaf for part in gradients for leaf in _leaves(part)]
    return [gradients]
