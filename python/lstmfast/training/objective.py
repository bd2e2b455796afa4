# SPDX-License-Identifier: BSD-3-Clause
"""What `compile` asked for, matched with a model's outputs: losses with gradients, and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import losses, metrics
from ..layers.properties import layers_inside
from .structure import has_nested_outputs, loss_label, metric_prefix, output_keys, per_output

if TYPE_CHECKING:
    from ..models.executor import Run
    from ..models.model import Model

__all__ = ["NO_LOSS", "Objective", "check_loss"]

NO_LOSS = "No loss to compute. Provide a `loss` argument in `compile()`."

Array = npt.NDArray[Any]


@dataclass(slots=True)
class _Output:
    name: str
    label: str  # before "_loss" in logs
    prefix: str  # of the names of metrics in logs
    slot: int
    loss: losses.Loss | None
    weight: float
    fused_step: int | None
    metrics: list[Any]
    weighted_metrics: list[Any]
    total: float = 0.0  # of the loss over samples, for the log of several outputs
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

    def __post_init__(self) -> None:
        from .own_steps import overrides

        executor = self.model.executor
        self._updates_metrics = not overrides(self.model, "compute_metrics")
        self._fuses = self._updates_metrics and not overrides(self.model, "compute_loss")
        names = output_keys(self.model)
        shapes = [t.shape for t in executor.graph.outputs]
        chosen = per_output(self.model, self.arguments["loss"], "loss")
        weights = _loss_weights(self.model, self.arguments["loss_weights"], names)
        plain = _metrics_per_output(self.model, self.arguments["metrics"], names, "metrics")
        weighted = _metrics_per_output(
            self.model, self.arguments["weighted_metrics"], names, "weighted_metrics"
        )
        self.outputs = []
        for k, (name, slot) in enumerate(zip(names, executor.output_slots, strict=True)):
            y_shape = self.y_shapes[k]
            loss = losses.resolve(_only(chosen[k], name), y_shape, shapes[k])
            fused = None
            if self._fuses and loss is not None and getattr(loss, "fused_activation", None) is not None:
                fused = executor.fusable(k, loss.fused_activation)  # type: ignore[arg-type]
            resolved = [
                [metrics.resolve(m, y_shape or (), shapes[k]) for m in group[k]]
                for group in (plain, weighted)
            ]
            label = name if loss is None else loss_label(self.model, k, loss)
            prefix = f"{before}_" if len(names) > 1 and (before := metric_prefix(self.model, k)) else ""
            self.outputs.append(
                _Output(name, label, prefix, slot, loss, weights[k], fused, resolved[0], resolved[1])
            )
        self.deferred = frozenset(o.fused_step for o in self.outputs if o.fused_step is not None)
        self.has_loss = any(o.loss is not None for o in self.outputs)
        self._several = sum(o.loss is not None for o in self.outputs) > 1
        self.named_metrics = self._named_metrics()
        self.loss_total = 0.0
        self.samples = 0.0
        #: What part of its samples' steps a batch holds: below 1 for windows of truncated back-propagation.
        self.share = 1.0

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
        return [
            LossTracker(model, f"{output.label}_loss", self.outputs.index(output))
            for output in self._losses_in_order()
        ]

    def _losses_in_order(self) -> list[_Output]:
        """Outputs that have a loss, as Keras lists them: a dict of losses for a dict of outputs keeps its own order."""
        judged = [output for output in self.outputs if output.loss is not None]
        given = self.arguments["loss"]
        if isinstance(given, dict) and isinstance(self.model._output_structure, dict):
            order = {str(key): place for place, key in enumerate(given)}
            judged.sort(key=lambda output: order.get(output.name, len(order)))
        return judged

    # --- a batch

    def compute(
        self, run: Run, ys: list[Any], weights: list[Any], gradients: bool
    ) -> tuple[float, list[Array | None]]:
        """Loss with the run's penalties, and gradients of the outputs; metrics take the batch in."""
        total = run.penalty
        dys: list[Any] = []
        samples = 0
        for output, y, weight in zip(self.outputs, ys, weights, strict=True):
            dy: Any = None
            samples = samples or len(run.values[output.slot])
            if y is None:
                if output.loss is not None:
                    raise ValueError(f"{self._what(output)} is missing: the output has a loss")
            else:
                pred = run.values[output.slot]
                mask = _mask_of(run, output.slot, pred)
                loss = output.loss
                if loss is not None:
                    if output.fused_step is not None:
                        fused: Any = loss
                        value, dy, pred = fused.value_grad_and_pred(y, pred, weight, mask)
                    elif gradients:
                        value, dy = loss.value_and_grad(y, pred, weight, mask)
                    else:
                        value = loss(y, pred, weight, mask)
                    value = float(value.sum() if isinstance(value, np.ndarray) else value)
                    if self._several:
                        output.total += value * len(pred) * self.share
                    if output.weight != 1.0:
                        value *= output.weight
                        dy = dy * np.float32(output.weight) if gradients else None
                    total += value
                if self._updates_metrics and (output.metrics or output.weighted_metrics):
                    if self.share == 1.0:
                        output.update_metrics(y, pred, weight, mask)
                    else:
                        output.windows.append((y, pred, weight, mask))
            dys.append(dy if gradients else None)
        self._batch = samples * self.share
        return total, dys

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
        for output in self.outputs:
            output.total = 0.0
            output.windows.clear()
        for _, metric in self.named_metrics:
            metric.reset_state()

    def logs(self) -> dict[str, Any]:
        """Loss and metrics so far, by name, in Keras's (alphabetical) order."""
        n = self.samples or 1
        values: dict[str, Any] = {"loss": self.loss_total / n}
        if self._several:
            for output in self.outputs:
                if output.loss is not None:
                    values[f"{output.label}_loss"] = output.total / n
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
        order += [metric.name for _, metric in self.named_metrics if metric.name in logs]
        if self._several:
            order += [f"{output.label}_loss" for output in self._losses_in_order()]
        values = [logs[name] for name in dict.fromkeys([*order, *sorted(logs)])]
        return values[0] if len(values) == 1 else values

    def _what(self, output: _Output) -> str:
        """How errors call an output's targets."""
        return f"y[{output.name!r}]" if len(self.outputs) > 1 else "y"

    def check_targets(self, ys: list[Any], output_shapes: list[Any]) -> None:
        """Raise a ValueError or TypeError if targets of a data set will not do."""
        for output, y, shape in zip(self.outputs, ys, output_shapes, strict=True):
            if output.loss is None:
                continue
            what = self._what(output)
            if y is None:
                raise ValueError(f"{what} is missing: the output has a loss")
            output.loss.check_targets(y, shape, what)


def check_loss(model: Any, objective: Objective, run: Run | None = None) -> None:
    """Raise a ValueError if there is nothing to train for: no loss, no regularizer, and no layer that could add to the loss;
    or, in a `run`, none that did.
    """
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


def _only(loss: Any, output: str) -> Any:
    """An output's loss, which may stand in a list of one."""
    if not isinstance(loss, (list, tuple)):
        return loss
    if len(loss) != 1:
        raise ValueError(
            f"loss: expected one loss for the output {output!r}, got {len(loss)}: {loss}. Several losses for an output, or "
            "one for several outputs together, are not supported: add them in `call` by `add_loss`, or write one function"
        )
    return loss[0]


def _loss_weights(model: Model, given: Any, names: list[str]) -> list[float]:
    if given is None:
        return [1.0] * len(names)
    if not isinstance(given, (list, tuple, dict, float, int)):
        raise ValueError(
            "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, or dict "
            "(multiple "
            f"output case). Received instead: loss_weights={given} of type {type(given)}"
        )
    if isinstance(given, (int, float)) and len(names) > 1:
        raise ValueError(
            f"`loss_weights` must match the number of losses, got {len(names)} losses and 1 weight."
        )
    weights = per_output(model, given, "loss_weights")
    wrong = next((w for w in weights if not (w is None or isinstance(w, (int, float, np.number)))), None)
    if wrong is not None:
        raise ValueError(f"loss_weights: expected one number for each output, got {wrong!r}")
    return [1.0 if w is None else float(w) for w in weights]


def _metrics_per_output(model: Model, given: Any, names: list[str], what: str) -> list[list[Any]]:
    if not given:
        return [[] for _ in names]
    if not isinstance(given, (list, tuple, dict)):
        raise ValueError(
            f"Expected `{what}` argument to be a list, tuple, or dict. Received instead: {what}={given} of "
            "type "
            f"{type(given)}"
        )
    if isinstance(given, dict) and "class_name" not in given:
        groups = per_output(model, given, what)
    elif has_nested_outputs(model):
        groups = per_output(model, list(given), what)
    elif len(names) == 1:
        groups = [given if len(given) != 1 or not isinstance(given[0], (list, tuple)) else given[0]]
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
