# SPDX-License-Identifier: BSD-3-Clause
"""Evaluating with the moving average of the weights."""

from __future__ import annotations

from typing import Any

from .base import Callback, Logs

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Puts the moving average of the weights, which an optimizer with ``use_ema=True`` keeps, in their place for
    every evaluation and prediction, and the weights back behind it.

    Parameters
    ----------
    swap_on_epoch : bool
        Already at the end of each epoch, so that callbacks that follow, such as `ModelCheckpoint`, save the
        averages.

    Raises
    ------
    ValueError
        When it first has something to do: if the optimizer keeps no average.

    Notes
    -----
    Keras 3.15 does not put the weights back after a prediction; here they are.

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile(lf.optimizers.SGD(0.1, use_ema=True), loss="mse")
    >>> x, y = np.ones((8, 2)), np.zeros((8, 1))
    >>> history = model.fit(
    ...     x, y, verbose=0, validation_data=(x, y), callbacks=[lf.callbacks.SwapEMAWeights()]
    ... )
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._ema_weights_in_model = False

    def _averaged(self) -> list[tuple[Any, Any]]:
        """Variables and their averages, also of the optimizers inside the model's."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        averaging = [o for o in getattr(optimizer, "optimizers", [optimizer]) if o is not None and o.use_ema]
        if not averaging:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. Received: "
                f"use_ema={getattr(optimizer, 'use_ema', None)}"
            )
        return [pair for o in averaging for pair in zip(o._trainable, o._averages, strict=False)]

    def _swap(self, averages: bool) -> None:
        """Have the averages in the model, or the weights."""
        if self._ema_weights_in_model == averages:
            return
        for variable, average in self._averaged():
            weights = variable.numpy()
            variable.assign(average.value)
            average.assign(weights)
        self._ema_weights_in_model = averages

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._averaged()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if not self.swap_on_epoch:
            return
        self._swap(True)
        last = epoch == (self.params or {}).get("epochs", 0) - 1
        if last or self.model.stop_training:
            # The end of training puts the averages in the weights' place once more.
            for variable, average in self._averaged():
                average.assign(variable.value)

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._ema_weights_in_model = False

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._swap(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._swap(False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._swap(True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._swap(False)
