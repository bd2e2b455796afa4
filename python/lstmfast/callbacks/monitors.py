# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that watch a metric: stop, or learn more slowly."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..optimizers.state import check_numbers
from ..utils.interactive_logging import print_msg
from .base import Callback, Logs
from .loggers import learning_rates

__all__ = ["EarlyStopping", "MonitorCallback", "ReduceLROnPlateau"]


def each_metric(model: Any) -> Iterator[Any]:
    """The model's metrics, those of `compile` one by one."""
    for metric in getattr(model, "metrics", None) or ():
        yield from getattr(metric, "metrics", None) or (metric,)


class MonitorCallback(Callback):
    """Base of callbacks that watch a metric.

    Parameters
    ----------
    monitor : str
        Its name in the logs.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better; "auto" asks the metric.
    baseline : float, optional
        The value that the first one has to improve on.
    min_delta : float
        What counts as an improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        baseline: float | None = None,
        min_delta: float = 0,
    ) -> None:
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3
            )
            mode = "auto"
        if not isinstance(monitor, str):
            raise TypeError(f"monitor: expected the name of a loss or metric, got {monitor!r}")
        check_numbers(baseline=baseline, min_delta=min_delta)
        self.monitor = monitor
        self.mode = mode
        self.best = baseline
        self.min_delta = abs(min_delta)
        self.monitor_op: Callable[[Any, Any], Any] | None = None

    def _set_monitor_op(self) -> None:
        modes = {"min": operator.lt, "max": operator.gt}
        better = modes.get(self.mode) or self._better_by_itself()
        self.monitor_op = better
        if better is operator.lt:
            self.min_delta *= -1

    def _better_by_itself(self) -> Callable[[Any, Any], Any]:
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return operator.lt
        for metric in each_metric(self.model):
            if getattr(metric, "name", None) == name:
                direction = getattr(metric, "_direction", None)
                if direction is not None:
                    return operator.gt if direction == "up" else operator.lt
        raise ValueError(
            f"{type(self).__name__} callback received monitor={self.monitor}, but lstmfast isn't able to "
            "automatically determine whether that metric should be maximized or minimized. Pass `mode='max'` "
            "in order to monitor based on the highest metric value, or pass `mode='min'` in order to use the "
            "lowest value."
        )

    def _is_improvement(self, monitor_value: Any, reference_value: Any) -> bool:
        if reference_value is None:
            return True
        if self.monitor_op is None:
            self._set_monitor_op()
        assert self.monitor_op is not None
        return bool(self.monitor_op(monitor_value - self.min_delta, reference_value))


class EarlyStopping(MonitorCallback):
    """Stop when a metric has not improved for a number of epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        Less than this is no improvement.
    patience : int
        So many epochs without improvement are borne.
    verbose : int
        1 says when it stops.
    mode : {"auto", "min", "max"}
    baseline : float, optional
        Stop if the metric does not get past it.
    restore_best_weights : bool
        Put the best epoch's weights back at the end.
    start_from_epoch : int
        Look from this epoch on.

    Examples
    --------
    >>> from lstmfast.callbacks import EarlyStopping
    >>> EarlyStopping(monitor="val_accuracy", patience=3, restore_best_weights=True).patience
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        check_numbers(patience=patience, baseline=baseline, start_from_epoch=start_from_epoch)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.wait = 0
        self.stopped_epoch = 0
        self.restore_best_weights = restore_best_weights
        self.best_weights: Any = None
        self.best_epoch = 0
        self.start_from_epoch = start_from_epoch

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._is_improvement(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch > 0 and self.verbose > 0:
            print_msg(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print_msg(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs: Logs | None) -> Any:
        """The watched metric's value, or None and a warning."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            _warn_missing("Early stopping conditioned on", self.monitor, logs)
        return value


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a metric has not improved for a number of epochs.

    Parameters
    ----------
    monitor : str
    factor : float
        Below 1; the learning rate is multiplied by it.
    patience : int
        So many epochs without improvement are borne.
    verbose : int
        1 says what it does.
    mode : {"auto", "min", "max"}
    min_delta : float
        Less than this is no improvement.
    cooldown : int
        Epochs to wait after a change.
    min_lr : float
        Never below this.

    Raises
    ------
    ValueError
        If `factor` is 1 or more.

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile(lf.optimizers.SGD(2.0**-100), loss="mse")  # steps too small to change a weight
    >>> halve = lf.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1)
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=[halve])
    >>> float(model.optimizer.learning_rate) == 2.0**-102
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        check_numbers(factor=factor, patience=patience, cooldown=cooldown, min_lr=min_lr)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        self.factor = factor
        self.min_lr = min_lr
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether it still waits after a change."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = {} if logs is None else logs
        logs.update(learning_rates(self.model.optimizer))
        current = logs.get(self.monitor)
        if current is None:
            _warn_missing("Learning rate reduction is conditioned on", self.monitor, logs)
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def _reduce(self, epoch: int) -> bool:
        """Lower the learning rate; of a `MultiOptimizer` all of them. False if none was above `min_lr`."""
        optimizer = self.model.optimizer
        several = getattr(optimizer, "optimizers", None)
        reduced = False
        for each in [optimizer] if several is None else several:
            before = float(each.learning_rate)
            if before <= np.float32(self.min_lr):
                continue
            after = max(before * self.factor, self.min_lr)
            each.learning_rate = after
            reduced = True
            if self.verbose > 0:
                whose = "" if several is None else f"{each.name} "
                print_msg(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing {whose}learning rate to {after}.")
        return reduced


def _warn_missing(what: str, monitor: str, logs: Logs | None) -> None:
    warnings.warn(
        f"{what} metric `{monitor}` which is not available. Available metrics are: {','.join(logs or {})}",
        stacklevel=4,
    )
