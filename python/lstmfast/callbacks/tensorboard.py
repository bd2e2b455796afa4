# SPDX-License-Identifier: BSD-3-Clause
"""Curves for TensorBoard."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .base import Callback, Logs
from .loggers import learning_rates

if TYPE_CHECKING:
    from .event_file import EventFile

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Writes losses, metrics, the learning rate and histograms of weights for TensorBoard, under Keras's names.
    Writing needs no package; ``pip install tensorboard`` and ``tensorboard --logdir logs`` show them.

    Parameters
    ----------
    log_dir : str or path
        Training goes to its folder "train", validation to "validation".
    histogram_freq : int
        Histograms of all weights after so many epochs each; 0 for none.
    write_graph : bool
        Taken as Keras has it; graphs are not written.
    write_images : bool
        Only False: images are not written.
    write_steps_per_second : bool
    update_freq : "epoch", "batch" or int
        Write metrics after each epoch only, after each batch as well, or after so many.
    profile_batch, embeddings_freq : int
        Only 0.
    embeddings_metadata
        Only None.

    Raises
    ------
    ValueError
        If an argument asks for what is not written, or is out of its range.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> board = lf.callbacks.TensorBoard(tempfile.mkdtemp())
    >>> history = model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0, callbacks=[board])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        for name, value in (
            ("write_images", write_images),
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value:
                raise ValueError(f"{name}: this is not written, expected the default, got {value!r}")
        if update_freq not in ("epoch", "batch") and not (isinstance(update_freq, int) and update_freq > 0):
            raise ValueError(f"update_freq: expected 'epoch', 'batch' or a positive int, got {update_freq!r}")
        if histogram_freq < 0:
            raise ValueError(f"histogram_freq: expected 0 or more, got {histogram_freq}")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self._files: dict[str, EventFile] = {}
        self._batch = 0  # of all epochs
        self._batch_of_epoch = 0
        self._epoch_start = self._batch_start = 0.0
        self._training = False

    def _file(self, part: str) -> EventFile:
        from .event_file import EventFile  # brings sockets along

        if part not in self._files:
            self._files[part] = EventFile(os.path.join(self.log_dir, part))
        return self._files[part]

    def _scalars(self, part: str, logs: Logs, step: int) -> None:
        for name, value in logs.items():
            if np.ndim(value) == 0:
                self._file(part).scalar(name, float(value), step)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._training = True
        self._batch = 0

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._training = False
        self._close()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._batch_of_epoch = self._batch
        self._epoch_start = time.perf_counter()

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        self._batch_start = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        step = self._batch
        self._batch += 1
        if self.write_steps_per_second:
            rate = 1.0 / max(time.perf_counter() - self._batch_start, 1e-9)
            self._scalars("train", {"batch_steps_per_second": rate}, step)
        if self.update_freq != "epoch" and step % int(self.update_freq) == 0:
            self._scalars("train", {f"batch_{name}": v for name, v in (logs or {}).items()}, step)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = dict(logs or {})
        optimizer = self.model.optimizer
        if optimizer is not None:
            logs.update(learning_rates(optimizer))
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._epoch_start, 1e-9)
            logs["steps_per_second"] = (self._batch - self._batch_of_epoch) / seconds
        train = {f"epoch_{k}": v for k, v in logs.items() if not k.startswith("val_")}
        validation = {f"epoch_{k[4:]}": v for k, v in logs.items() if k.startswith("val_")}
        self._scalars("train", train, epoch)
        self._scalars("validation", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for variable in self.model.weights:
                self._file("train").histogram(f"{variable.path}/histogram", variable.value, epoch)
        for file in self._files.values():
            file.flush()

    def on_test_end(self, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        if optimizer is None:
            return
        step = int(optimizer.iterations)
        named = {f"evaluation_{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._scalars("validation", named, step)
        if not self._training:
            self._close()
