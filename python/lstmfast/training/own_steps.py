# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `train_step`, `test_step`, `predict_step`, `compute_loss` or `compute_metrics` themselves."""

from __future__ import annotations

import functools
import inspect
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers.attributes import assignments, containers_in_attributes, held_in_attributes
from ..metrics.base import Metric
from ..symbolic import flatten, map_leaves
from .batching import DataSet

if TYPE_CHECKING:
    from ..models.executor import Run
    from .objective import Objective

__all__ = [
    "OwnStep",
    "check_same_loss",
    "compute_own",
    "data_of",
    "judge",
    "logs_of",
    "overrides",
    "own_metrics",
    "parts_of",
    "predict_by",
    "predicted",
    "results_of",
    "tell_metrics",
]

#: How far a loss of a `compute_loss` without a gradient may be from that of `compile`, whose gradient it gets.
_SAME_LOSS = 1e-4
_OF_COMPILE = frozenset(
    {
        "_compile_arguments",
        "_compile_config",
        "_own_metrics",
        "_objective",
        "_trackers",
        "_train",
        "optimizer",
    }
)


def overrides(model: Any, name: str) -> bool:
    """Whether the model's class writes this method of `Trainer` anew."""
    return getattr(type(model), name) is not getattr(_trainer(), name)


@functools.cache
def _trainer() -> type[Any]:
    from .trainer import Trainer

    return Trainer


@dataclass(slots=True)
class _Known:
    """Metrics that were found when there had been so many `assignments`, and lists and dicts as long as these."""

    assignments: int
    metrics: list[Any]
    containers: list[tuple[Any, int]]

    def holds(self) -> bool:
        if self.assignments != assignments[0]:
            return False
        return not self.containers or all(len(held) == length for held, length in self.containers)


def own_metrics(model: Any) -> list[Any]:
    """Metrics in the model's attributes, and those of its layers that are no models."""
    known = vars(model).get("_own_metrics")
    # The walk through all attributes takes 75 us on a small model, and every batch asks twice.
    if known is None or not known.holds():
        found = held_in_attributes(model, Metric, _OF_COMPILE)
        containers = containers_in_attributes(model)
        for layer in model._sublayers():
            if not hasattr(layer, "nested_forward"):
                found += layer.metrics
                containers += containers_in_attributes(layer)
        lengths = [(held, len(held)) for held in containers]
        known = vars(model)["_own_metrics"] = _Known(assignments[0], list(dict.fromkeys(found)), lengths)
    return list(known.metrics)


def logs_of(model: Any, objective: Objective) -> dict[str, Any]:
    """`results_of`, or what the model's own `compute_metrics` returned last."""
    return model._own_logs or results_of(model, objective)


def results_of(model: Any, objective: Objective) -> dict[str, Any]:
    """Loss and metrics so far, those in attributes too, by name."""
    own = own_metrics(model)
    if not own:
        return objective.logs()
    logs = objective.logs()
    for metric in own:
        result = metric.result()
        values = result if isinstance(result, dict) else {metric.name: result}
        logs |= {name: float(v) if np.ndim(v) == 0 else np.asarray(v) for name, v in values.items()}
    return dict(sorted(logs.items()))


def _packed(structure: Any, arrays: list[Any]) -> Any:
    by_id = {id(t): a for t, a in zip(flatten(structure), arrays, strict=True)}
    return map_leaves(lambda t: by_id[id(t)], structure)


def parts_of(model: Any, batch: DataSet) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of a batch in the structures of the model's inputs and outputs, or in their own."""
    x = _packed(model._input_structure, batch.xs)
    if batch.forms is not None:
        y, weight = (map_leaves(batch.free.__getitem__, form) for form in batch.forms)
        return x, y, weight
    y, weight = (
        None if all(a is None for a in arrays) else _packed(model._output_structure, arrays)
        for arrays in (batch.ys, batch.weights)
    )
    return x, y, weight


def data_of(model: Any, batch: DataSet) -> Any:
    """A batch as Keras hands it to `train_step`: x, (x, y) or (x, y, sample_weight)."""
    if batch.lengths is not None or batch.resets is not None:
        raise ValueError(f"{type(model).__name__} has steps of its own, which take no `lengths` or `resets`")
    x, y, weight = parts_of(model, batch)
    if weight is not None:
        return x, y, weight
    if y is not None:
        return x, y
    return (x,) if isinstance(x, (list, tuple)) else x


def predict_by(model: Any, batch: DataSet) -> tuple[list[Any], Any]:
    """Arrays that the model's own `predict_step` gives for a batch, and their structure with numbers in their place."""
    x = data_of(
        model, DataSet(batch.xs, [None] * len(batch.ys), [None] * len(batch.ys), batch.lengths, batch.resets)
    )
    made = model.predict_step(x)
    numbers = itertools.count()
    order = {id(leaf): next(numbers) for leaf in flatten(made)}
    return [np.asarray(leaf) for leaf in flatten(made)], map_leaves(lambda leaf: order[id(leaf)], made)


class OwnStep:
    """The model's own `train_step` or `test_step`, called with batches.

    Attributes
    ----------
    logs : dict
        What it returned last.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model, self.name = model, name
        self.logs: dict[str, Any] = {}

    def __call__(self, batch: DataSet) -> None:
        logs = getattr(self.model, self.name)(data_of(self.model, batch))
        if not isinstance(logs, dict):
            raise TypeError(
                f"`{self.name}` must return a dict of values by name, got {type(logs).__name__} from "
                f"{type(self.model).__name__}"
            )
        self.logs = {
            name: value
            if isinstance(value, dict)
            else float(value)
            if np.ndim(value) == 0
            else np.asarray(value)
            for name, value in logs.items()
        }


def compute_own(model: Any, parts: tuple[Any, Any, Any, Any], training: bool) -> Any:
    """The model's own `compute_loss` of x, y, y_pred and sample_weight."""
    arguments = dict(zip(("x", "y", "y_pred", "sample_weight"), parts, strict=True))
    if "training" in inspect.signature(model.compute_loss).parameters:
        arguments["training"] = training
    return model.compute_loss(**arguments)


def judge(model: Any, batch: DataSet, run: Run, training: bool) -> float:
    """The loss of the batch by the model's own `compute_loss`."""
    x, y, weight = parts_of(model, batch)
    model._batch_penalty = run.penalty
    try:
        return float(compute_own(model, (x, y, predicted(model, run), weight), training))
    finally:
        model._batch_penalty = None


def check_same_loss(model: Any, value: float, loss: float, reason: str) -> None:
    """Raise a NotImplementedError if a `compute_loss` whose gradient is not known gives another loss than that of `compile`,
    which has the only gradient there is.
    """
    if abs(value - loss) > _SAME_LOSS * max(1.0, abs(loss)):
        raise NotImplementedError(
            f"`compute_loss` of {type(model).__name__} gives {value:g}, the loss of `compile` is {loss:g}: there is no automatic "
            f"differentiation, but of what uses `lstmfast.ops` and layers alone ({reason}). Else give `compile` a loss with its "
            "gradient, or write `train_step` with `forward`, `Tape.backward` and `apply_gradients`"
        )


def tell_metrics(model: Any, batch: DataSet, run: Run) -> None:
    """Give the model's own `compute_metrics` a batch, whose loss has been counted; what it returns are the logs."""
    if overrides(model, "compute_metrics"):
        x, y, weight = parts_of(model, batch)
        logs = model.compute_metrics(x, y, predicted(model, run), weight)
        model._own_logs = {name: float(v) if np.ndim(v) == 0 else v for name, v in logs.items()}


def predicted(model: Any, run: Run) -> Any:
    return model.pack_outputs([run.values[slot] for slot in model.executor.output_slots])
