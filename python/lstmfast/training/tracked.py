# SPDX-License-Identifier: BSD-3-Clause
"""Keras's view of a compiled model: its loss and metrics as `Model.metrics`, one batch's loss, all state as a tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..metrics import Mean, Metric
from ..symbolic import is_symbolic
from .structure import along_outputs, has_nested_outputs, output_keys

__all__ = ["CompileMetrics", "LossTracker", "batch_loss", "state_tree"]

Array = npt.NDArray[Any]


class LossTracker(Mean):
    """The mean loss over the batches since `reset_metrics`; over one term of it where `number` is given.

    Parameters
    ----------
    model : Model
    name : str
    number : int, optional
        Of the term.
    """

    def __init__(self, model: Any, name: str = "loss", number: int | None = None) -> None:
        Metric.__init__(self, name=name)  # the objective keeps the sums
        self._model = model
        self._number = number

    def _holder(self) -> tuple[Any, str]:
        objective = self._model._objective
        if self._number is None or objective is None:
            return objective, "loss_total"
        return objective.terms[self._number], "total"

    @property
    def total(self) -> float:
        holder, name = self._holder()
        return 0.0 if holder is None else float(getattr(holder, name))

    @total.setter
    def total(self, value: float) -> None:
        holder, name = self._holder()
        if holder is not None:
            setattr(holder, name, float(value))

    @property
    def count(self) -> float:
        objective = self._model._objective
        return 0.0 if objective is None else float(objective.samples)

    @count.setter
    def count(self, value: float) -> None:
        if self._model._objective is not None:
            self._model._objective.samples = float(value)

    def __repr__(self) -> str:
        return f"<Mean name={self.name}>"


class CompileMetrics(Metric):
    """The metrics of `compile` together.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Any) -> None:
        super().__init__(name="compile_metrics")
        self._model = model

    @property
    def built(self) -> bool:
        return self._model._objective is not None

    @property
    def metrics(self) -> list[Metric]:
        """One by one; none before data have shown which they are."""
        return [metric for _, metric in self._model._objective.named_metrics] if self.built else []

    @property
    def variables(self) -> list[Any]:
        return [variable for metric in self.metrics for variable in metric.variables]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch of targets and outputs in, in the structure of the model's outputs; weights alike or one array."""
        model = self._model
        ys, preds = _leaves(model, y_true), _leaves(model, y_pred)
        weights = _weights(model, sample_weight, len(preds))
        objective = objective_for(model, ys)
        for output, y, pred, weight in zip(objective.outputs, ys, preds, weights, strict=True):
            if y is not None:
                output.update_metrics(np.asarray(y), np.asarray(pred), weight, None)

    def result(self) -> dict[str, Any]:
        """Values by name.

        Raises
        ------
        ValueError
            Before data.
        """
        if not self.built:
            raise ValueError("Cannot get result() since the metric has not yet been built.")
        return {name: metric.result() for name, metric in self._model._objective.named_metrics}

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()


def objective_for(model: Any, ys: list[Any]) -> Any:
    """The model's objective; made for targets like these if there is none yet."""
    from .objective import Objective

    if model._objective is None:
        shapes = [None if y is None else np.shape(y) for y in ys]
        model._objective = Objective(model, model._compile_arguments, shapes)
    return model._objective


def batch_loss(model: Any, y: Any, y_pred: Any, sample_weight: Any) -> Any:
    """See `Model.compute_loss`."""
    ys, preds = _leaves(model, y), _leaves(model, y_pred)
    weights = _weights(model, sample_weight, len(preds))
    total: Any = sum(model.losses)
    symbolic = is_symbolic((ys, preds, weights))
    for term in objective_for(model, ys).terms:
        if any(ys[k] is None for k in term.numbers):
            continue
        k = term.output
        if symbolic:
            value: Any = term.symbolic(ys, preds, weights)
        elif k is None:
            value = np.sum(term.together(ys, preds, weights)[0])
        else:
            value = np.sum(term.loss(ys[k], preds[k], weights[k]))
        total = total + (value if term.weight == 1.0 else term.weight * value)
    return total if symbolic else float(total)


def _leaves(model: Any, given: Any) -> list[Any]:
    """One entry for each output from an array, a list, or a dict by output names."""
    if has_nested_outputs(model):
        return along_outputs(model, given, "y and y_pred")
    names = output_keys(model)
    if isinstance(given, Mapping):
        return [given.get(name) for name in names]
    several = isinstance(given, (list, tuple)) and (
        len(names) > 1 or (len(given) == 1 and np.ndim(given[0]) > 0)
    )
    leaves = list(given) if several else [given]
    if len(leaves) != len(names):
        raise ValueError(
            f"y and y_pred: expected one array for each of the outputs {names}, got {len(leaves)}"
        )
    return leaves


def _weights(model: Any, given: Any, count: int) -> list[Any]:
    if isinstance(given, (Mapping, list, tuple)) and count > 1:
        return _leaves(model, given)
    return [given] * count


def state_tree(model: Any, value_format: str) -> dict[str, Any]:
    """See `Model.get_state_tree`."""
    if value_format not in ("backend_tensor", "numpy_array"):
        raise ValueError(
            f"Invalid `value_format` argument. Expected one of {{'numpy_array', 'backend_tensor'}}. Received: "
            f"value_format={value_format}"
        )
    return {group: _tree(variables) for group, variables in _groups(model).items()}


def set_state_tree(model: Any, tree: Mapping[str, Any]) -> None:
    """See `Model.set_state_tree`."""
    groups = _groups(model)
    changes: list[tuple[Any, Any]] = []
    for group, values in tree.items():
        if group not in groups:
            raise ValueError(f"state_tree: expected keys among {list(groups)}, got {group!r}")
        known = {variable.path: variable for variable in groups[group]}
        for path, value in _flat(values):
            if path not in known:
                raise ValueError(f"state_tree[{group!r}]: the model has no variable {path!r}")
            if np.shape(value) != known[path].shape:
                raise ValueError(
                    f"state_tree[{group!r}]: variable {path!r} has shape {known[path].shape}, got {np.shape(value)}"
                )
            changes.append((known[path], value))
    for variable, value in changes:
        variable.assign(np.asarray(value))


def _groups(model: Any) -> dict[str, list[Any]]:
    return {
        "trainable_variables": model.trainable_variables,
        "non_trainable_variables": model.non_trainable_variables,
        "optimizer_variables": [] if model.optimizer is None else model.optimizer.variables,
        "metrics_variables": model.metrics_variables,
    }


def _tree(variables: list[Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for variable in variables:
        *outer, last = variable.path.split("/")
        place = tree
        for part in outer:
            place = place.setdefault(part, {})
        if last in place:
            raise ValueError(
                f"The following variable path is found twice in the model: '{variable.path}'. `get_state_tree()` can "
                "only be called when all variable paths are unique. Make sure to give unique names to your layers "
                "(and other objects)."
            )
        place[last] = variable.numpy()
    return tree


def _flat(tree: Any, path: str = "") -> Any:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, f"{path}/{key}" if path else key)
    else:
        yield path, tree
