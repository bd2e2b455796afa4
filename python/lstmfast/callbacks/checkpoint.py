# SPDX-License-Identifier: BSD-3-Clause
"""Saving the model as it trains."""

from __future__ import annotations

import os
import warnings

import numpy as np

from ..saving import path_of
from ..utils.interactive_logging import print_msg
from .base import Logs
from .monitors import MonitorCallback

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after each epoch or so many batches.

    Parameters
    ----------
    filepath : str or path
        With fields for `str.format`: ``"{epoch:02d}-{val_loss:.2f}.keras"``. Models: ``.safetensors``,
        ``.keras``, ``.h5``; weights: as `Model.save_weights` takes.
    monitor, mode
        See `MonitorCallback`.
    verbose : int
        1 says what it does.
    save_best_only : bool
        Only if the watched metric improved.
    save_weights_only : bool
        `Model.save_weights` instead of `Model.save`.
    save_freq : "epoch" or int
        After each epoch, or so many batches.
    initial_value_threshold : float, optional
        Worse than this is never saved with `save_best_only`.

    Raises
    ------
    ValueError
        If `save_freq` or the ending of `filepath` is none of these.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> folder = tempfile.mkdtemp()
    >>> saver = lf.callbacks.ModelCheckpoint(os.path.join(folder, "epoch-{epoch}.safetensors"))
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0, callbacks=[saver])
    >>> sorted(os.listdir(folder))
    ['epoch-1.safetensors', 'epoch-2.safetensors']
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode, initial_value_threshold)
        self.verbose = verbose
        self.filepath = path_of(filepath)
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self._batches_since_save = 0
        self._last_batch: int | None = None
        self._current_epoch = 0
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values"
            )
        endings = (
            (".weights.h5", ".safetensors", ".npz")
            if save_weights_only
            else (".keras", ".h5", ".safetensors")
        )
        if not self.filepath.endswith(endings):
            what = (
                "`save_weights_only=True` in `ModelCheckpoint`" if save_weights_only else "`ModelCheckpoint`"
            )
            raise ValueError(
                f"When using {what}, the filepath provided must end in one of {', '.join(endings)}. "
                f"Received: filepath={self.filepath}"
            )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._current_epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        last = self._last_batch
        self._batches_since_save += batch + 1 if last is None or batch <= last else batch - last
        self._last_batch = batch
        if self._batches_since_save >= int(self.save_freq):
            self._batches_since_save = 0
            self._save_model(self._current_epoch, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.monitor_op is None and (self.save_best_only or self.mode != "auto"):
            self._set_monitor_op()
        if self.save_freq == "epoch":
            self._save_model(epoch, None, logs)

    def _save_model(self, epoch: int, batch: int | None, logs: Logs | None) -> None:
        logs = logs or {}
        path = self._path(epoch, batch, logs)
        if not self._should_save(epoch, logs, path):
            return
        if os.path.isdir(path):
            raise OSError(
                "Please specify a non-directory filepath for ModelCheckpoint. Filepath used is an existing "
                f"directory: {path}"
            )
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
        if self.verbose > 0:
            print_msg(f"\nEpoch {epoch + 1}: finished saving model to {path}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        numbers = {} if batch is None or "batch" in logs else {"batch": batch + 1}
        try:
            return self.filepath.format(**{"epoch": epoch + 1, **numbers, **logs})
        except KeyError as error:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {error}'
            ) from None

    def _should_save(self, epoch: int, logs: Logs, path: str) -> bool:
        said = f"\nEpoch {epoch + 1}: "
        if not self.save_best_only:
            if self.verbose > 0:
                print_msg(f"{said}saving model to {path}")
            return True
        current = logs.get(self.monitor)
        if current is None:
            warnings.warn(f"Can save best model only with {self.monitor} available.", stacklevel=4)
            return True
        if np.ndim(current):
            warnings.warn(
                f"Can save best model only when `monitor` is a scalar value. Received: {current}. Falling "
                "back to `save_best_only=False`.",
                stacklevel=4,
            )
            return True
        best = "None" if self.best is None else f"{self.best:.5f}"
        improved = self._is_improvement(current, self.best)
        if improved:
            self.best = current
        if self.verbose > 0:
            change = f"improved from {best} to {current:.5f}, saving model to {path}"
            print_msg(f"{said}{self.monitor} " + (change if improved else f"did not improve from {best}"))
        return improved
