# SPDX-License-Identifier: BSD-3-Clause
"""What `compile` asked for, matched with a model's outputs: losses with gradients, and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import metrics
from ..layers.properties import layers_inside
from .structure import has_nested_outputs, metric_prefix, output_keys, per_output
from .terms import Term, leaves, terms_of

if TYPE_CHECKING:
    from ..models.executor import Run
    from ..models.model import Model
    from .batching import DataSet

__all__ = ["NO_LOSS", "Objective", "check_loss"]

NO_LOSS = "No loss to compute. Provide a `loss` argument in `compile()`."

Array = npt.NDArray[Any]


@dataclass(slots=True)
class _Output:
    name: str
    prefix: str  # of the names of metrics in logs
    slot: int
    fused_step: int | None  # an activation that its only loss takes over
    metrics: list[Any]
    weighted_metrics: list[Any]
    windows: list[tuple[Any, ...]] = field(default_factory=list)  # of a batch, until `finish_windows`

    def update_metrics(self, y: Array, pred: Array, weight: Any, mask: Any) -> None:
        for metric in self.metrics:
            metric.update(y, pred, None, mask)
        for metric in self.weighted_metrics:
            metric.update(y, pred, weight, mask)


@dataclass
class Objective:
    """Losses and metrics of a model's outputs.

    Parameters
    ----------
    model : Model
        Built.
    arguments : dict
        Of `compile`: loss, loss_weights, metrics, weighted_metrics.
    y_shapes : list of tuple or None
        Shapes of the targets, one for each output.

    Raises
    ------
    ValueError
        If losses or metrics do not match the outputs.
    """

    model: Model
    arguments: dict[str, Any]
    y_shapes: list[tuple[int, ...] | None]
    outputs: list[_Output] = field(init=False)
    terms: list[Term] = field(init=False)

    def __post_init__(self) -> None:
        from .own_steps import overrides

        executor = self.model.executor
        self._updates_metrics = not overrides(self.model, "compute_metrics")
        self._fuses = self._updates_metrics and not overrides(self.model, "compute_loss")
        names = output_keys(self.model)
        shapes = [t.shape for t in executor.graph.outputs]
        plain = _metrics_per_output(self.model, self.arguments["metrics"], names, "metrics")
        weighted = _metrics_per_output(
            self.model, self.arguments["weighted_metrics"], names, "weighted_metrics"
        )
        self.terms = terms_of(
            self.model, self.arguments["loss"], self.arguments["loss_weights"], self.y_shapes
        )
        self.outputs = []
        for k, (name, slot) in enumerate(zip(names, executor.output_slots, strict=True)):
            of_output, of_weighted = (
                [metrics.resolve(m, self.y_shapes[k] or (), shapes[k]) for m in group[k]]
                for group in (plain, weighted)
            )
            prefix = f"{before}_" if len(names) > 1 and (before := metric_prefix(self.model, k)) else ""
            self.outputs.append(_Output(name, prefix, slot, self._fused_step(k), of_output, of_weighted))
        self.deferred = frozenset(o.fused_step for o in self.outputs if o.fused_step is not None)
        self.has_loss = bool(self.terms)
        self._several = len(self.terms) > 1
        self.named_metrics = self._named_metrics()
        self._measured = self._updates_metrics and bool(self.named_metrics)
        self.loss_total = 0.0
        self.samples = 0.0
        #: What part of its samples' steps a batch holds: below 1 for windows of truncated back-propagation.
        self.share = 1.0

    def _fused_step(self, number: int) -> int | None:
        """The step of an output's activation, if one loss alone judges the output and can take the activation over."""
        judging = [term for term in self.terms if number in term.numbers]
        if not self._fuses or len(judging) != 1 or judging[0].output is None:
            return None
        activation = judging[0].loss.fused_activation
        return None if activation is None else self.model.executor.fusable(number, activation)

    def _named_metrics(self) -> list[tuple[str, Any]]:
        """(name in logs, metric), with Keras's rules where names meet."""
        named: dict[str, Any] = {}
        counts: dict[str, int] = {}

        def take(name: str) -> str:
            count = counts[name] = counts.get(name, 0) + 1
            return name if count == 1 else f"{name}_{count - 1}"

        for output in self.outputs:
            for metric in output.metrics:
                named[take(output.prefix + metric.name)] = metric
        for output in self.outputs:
            for metric in output.weighted_metrics:
                name = output.prefix + metric.name
                named[take(f"{output.prefix}weighted_{metric.name}" if name in counts else name)] = metric
        return list(named.items())

    def loss_trackers(self, model: Model) -> list[metrics.Metric]:
        """The means of the outputs' losses as metrics, where there are several."""
        from .tracked import LossTracker

        if not self._several:
            return []
        return [LossTracker(model, f"{term.label}_loss", k) for k, term in enumerate(self.terms)]

    # --- a batch

    def compute(self, run: Run, batch: DataSet, gradients: bool) -> tuple[float, list[Array | None]]:
        """Loss with the run's penalties, and gradients of the outputs; metrics take the batch in.

        Targets in a structure of their own have only the loss that the model's own `compute_loss` makes of them.
        """
        ys, weights = batch.ys, batch.weights
        total = run.penalty
        preds = [run.values[output.slot] for output in self.outputs]
        masks = [_mask_of(run, output.slot, p) for output, p in zip(self.outputs, preds, strict=True)]
        dys: list[Any] = [None] * len(preds)
        for term in self.terms if batch.forms is None else ():
            k = term.output
            if k is None:
                value, found = self._together(term, run, ys, preds, weights)
            else:
                y = ys[k]
                if y is None:
                    raise ValueError(f"{self._what(k)} is missing: the output has a loss")
                loss: Any = term.loss
                if self.outputs[k].fused_step is not None:
                    value, dy, preds[k] = loss.value_grad_and_pred(y, preds[k], weights[k], masks[k])
                elif gradients:
                    value, dy = loss.value_and_grad(y, preds[k], weights[k], masks[k])
                else:
                    value, dy = loss(y, preds[k], weights[k], masks[k]), None
                found = [dy]
            value = float(value.sum() if isinstance(value, np.ndarray) else value)
            if self._several:
                term.total += value * len(preds[term.numbers[0]]) * self.share
            weight = term.weight
            total += value if weight == 1.0 else value * weight
            if gradients:
                for k, dy in zip(term.numbers, found, strict=True):
                    if weight != 1.0:
                        dy = dy * np.float32(weight)
                    dys[k] = dy if dys[k] is None else dys[k] + dy
        if self._measured:
            self._measure(ys, preds, weights, masks)
        self._batch = len(preds[0]) * self.share
        return total, dys

    def _together(
        self, term: Term, run: Run, ys: list[Any], preds: list[Any], weights: list[Any]
    ) -> tuple[Any, list[Any]]:
        """A loss of several outputs. Their masks do not reach it, as in Keras; lengths would be a mistake."""
        for k in term.numbers:
            if ys[k] is None:
                raise ValueError(f"{self._what(k)} is missing: the output has a loss")
            if run.lengths[self.outputs[k].slot] is not None and preds[k].ndim >= 3:
                raise ValueError(
                    f"lengths: loss {term.loss.name!r} of several outputs together cannot leave out steps"
                )
        return term.together(ys, preds, weights)

    def _measure(self, ys: list[Any], preds: list[Any], weights: list[Any], masks: list[Any]) -> None:
        """Metrics take the batch in, or keep it until its other windows are there."""
        for output, *batch in zip(self.outputs, ys, preds, weights, masks, strict=True):
            if batch[0] is None or not (output.metrics or output.weighted_metrics):
                continue
            if self.share == 1.0:
                output.update_metrics(*batch)
            else:
                output.windows.append(tuple(batch))

    def add(self, loss: float) -> None:
        """Take the loss of the batch that `compute` saw last, penalties included, into the mean."""
        self.loss_total += loss * self._batch
        self.samples += self._batch

    def finish_windows(self) -> None:
        """After a batch that came in windows along time (`share` below 1): metrics see it as a whole."""
        self.share = 1.0
        for output in self.outputs:
            windows, output.windows = output.windows, []
            if windows:
                y, pred, weight, mask = zip(*windows, strict=True)
                whole_weight = weight[0]
                if whole_weight is not None and whole_weight.ndim > 1:
                    whole_weight = np.concatenate(weight, axis=1)
                whole_mask = None if mask[0] is None else np.concatenate(mask, axis=1)
                output.update_metrics(
                    np.concatenate(y, axis=1), np.concatenate(pred, axis=1), whole_weight, whole_mask
                )

    # --- logs

    def reset(self) -> None:
        """Forget all batches."""
        self.loss_total, self.samples, self.share = 0.0, 0.0, 1.0
        for term in self.terms:
            term.total = 0.0
        for output in self.outputs:
            output.windows.clear()
        for _, metric in self.named_metrics:
            metric.reset_state()

    def logs(self) -> dict[str, Any]:
        """Loss and metrics so far, by name, in Keras's (alphabetical) order."""
        n = self.samples or 1
        values: dict[str, Any] = {"loss": self.loss_total / n}
        if self._several:
            for term in self.terms:
                values[f"{term.label}_loss"] = term.total / n
        for name, metric in self.named_metrics:
            result = metric.result()
            values[name] = float(result) if np.ndim(result) == 0 else np.asarray(result)
        return dict(sorted(values.items())) if len(values) > 1 else values

    def flatten(self, logs: dict[str, Any]) -> Any:
        """Values as `evaluate` returns them, in Keras's order; a number if there is one.

        The loss, metrics of one output as they were given to `compile`, losses of outputs, and the others by name:
        those of several outputs, whose names Keras changes.
        """
        order = ["loss"]
        order += [metric.name for _, metric in self.named_metrics]
        if self._several:
            order += [f"{term.label}_loss" for term in self.terms]
        rest = [name for name in sorted(logs) if name not in order]
        values = [logs[name] for name in [*order, *rest] if name in logs]
        return values[0] if len(values) == 1 else values

    def _what(self, number: int) -> str:
        """How errors call an output's targets."""
        return f"y[{self.outputs[number].name!r}]" if len(self.outputs) > 1 else "y"

    def check_targets(self, ys: list[Any], output_shapes: list[Any]) -> None:
        """Raise a ValueError or TypeError if targets of a data set will not do."""
        for term in self.terms:
            for k in term.numbers:
                if ys[k] is None:
                    raise ValueError(f"{self._what(k)} is missing: the output has a loss")
            if term.output is not None:
                term.loss.check_targets(ys[term.output], output_shapes[term.output], self._what(term.output))


def check_loss(model: Any, objective: Objective, run: Run | None = None) -> None:
    """Raise a ValueError if there is nothing to train for: no loss, no regularizer, and no layer that could add to the loss;
    or, in a `run`, none that did. A `compute_loss` of the model's own is something.
    """
    from .own_steps import overrides

    if overrides(model, "compute_loss"):
        return
    if objective.has_loss or any(v.regularizer is not None for v in model.trainable_variables):
        return
    layers = [model, *layers_inside(model)]
    if any(layer.activity_regularizer is not None for layer in layers):
        return
    if run is not None:
        added = bool(run.penalty) or run.adds_losses
    else:
        added = any(not type(layer).__module__.startswith("lstmfast.") for layer in layers)
    if not added:
        raise ValueError(NO_LOSS)


def _mask_of(run: Run, slot: int, pred: Array) -> Array | None:
    """Steps of an output that count: its mask, or those within its lengths."""
    mask = run.masks[slot]
    lengths = run.lengths[slot]
    if lengths is not None and pred.ndim >= 3:
        within = np.arange(pred.shape[1]) < lengths[:, None]
        mask = within if mask is None else mask & within
    return mask  # type: ignore[no-any-return]


def _metrics_per_output(model: Model, given: Any, names: list[str], what: str) -> list[list[Any]]:
    if not given:
        return [[] for _ in names]
    if not isinstance(given, (list, tuple, dict)):
        raise ValueError(
            f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: {what}={given} of "
            "type "
            f"{type(given)}"
        )
    if len(names) == 1:  # all are its own, whatever names are there
        return [leaves(given)]
    if isinstance(given, dict) and "class_name" not in given:
        groups = per_output(model, given, what)
    elif has_nested_outputs(model):
        groups = per_output(model, list(given), what)
    elif len(given) == len(names):
        groups = list(given)
    else:
        raise ValueError(
            f"{what} must be a list with one entry for each of the outputs {names}, or a dict by their names"
        )
    return [_as_list(group) for group in groups]


def _as_list(group: Any) -> list[Any]:
    if group is None:
        return []
    return list(group) if isinstance(group, (list, tuple)) else [group]
