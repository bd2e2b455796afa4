# SPDX-License-Identifier: BSD-3-Clause
"""Hooks into training, and the list that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["Callback", "CallbackList", "History", "LambdaCallback"]

Logs = dict[str, Any]


class Callback:
    """Base of all callbacks: override the hooks you need.

    Attributes
    ----------
    model : Model
        The model in training; set ``model.stop_training = True`` to end it after this epoch.
    params : dict
        "verbose", "epochs" and "steps" of this call.

    Examples
    --------
    >>> from lstmfast.callbacks import Callback
    >>> class Announce(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, logs["loss"])
    >>> Announce().on_epoch_end(0, {"loss": 0.5})
    0 0.5
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Called by the training loop before it starts."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Called by the training loop before it starts."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same as `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch of training."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch of training and its validation; `logs` holds the epoch's metrics."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step of training."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step of training; `logs` holds the metrics of the epoch so far."""
        self.on_batch_end(batch, logs=logs)

    def on_gradients(self, batch: int, gradients: list[Any], logs: Logs | None = None) -> Any:
        """Between the backward pass and the optimizer's step of `fit`; with `tbptt`, for each window of a batch.

        Parameters
        ----------
        batch : int
        gradients : list of numpy.ndarray or None
            In the order of ``model.trainable_variables``, regularizers included, before the optimizer clips
            them; None for a variable that no loss depends on. Changes in place count. The arrays are used
            again for the next step: copy what is to be kept.
        logs : dict
            ``{"loss": ...}`` of this batch.

        Returns
        -------
        None, list or False
            None: go on with `gradients`. A list of arrays of the same shapes (or None: leave the variable as
            it is): take these. False: leave the optimizer's step out; callbacks behind are not asked.

        Examples
        --------
        Steps with the mean gradient of two batches:

        >>> from lstmfast.callbacks import Callback
        >>> class EveryOther(Callback):
        ...     def on_gradients(self, batch, gradients, logs=None):
        ...         if batch % 2 == 0:
        ...             self.kept = [g.copy() for g in gradients]
        ...             return False
        ...         return [(a + b) / 2 for a, b in zip(self.kept, gradients)]
        """

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of evaluation."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of prediction."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before training."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After training."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before evaluation, validation too."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After prediction."""


class History(Callback):
    """Keeps each epoch's metrics: what `fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
    epoch : list of int

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=3, verbose=0)
    >>> history.epoch, len(history.history["loss"])
    ([0, 1, 2], 3)
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self


class LambdaCallback(Callback):
    """Functions as hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end : callable, optional
    on_train_batch_begin, on_train_batch_end : callable, optional
        With the arguments of the hooks: ``(epoch, logs)``, ``(batch, logs)`` or ``(logs)``.
    **kwargs
        Other hooks by name, and attributes.

    Examples
    --------
    >>> from lstmfast.callbacks import LambdaCallback
    >>> LambdaCallback(on_train_begin=lambda logs: print("start")).on_train_begin({})
    start
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.__dict__.update(kwargs)
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }
        self.__dict__.update({name: hook for name, hook in hooks.items() if hook is not None})


class CallbackList(Callback):
    """Calls several callbacks in order; those that leave a hook as it is are not called for it.

    Parameters
    ----------
    callbacks : Callback or iterable of Callback, optional
    add_history, add_progbar : bool
        Add a `History` and a `ProgbarLogger` if there is none.
    model : Model, optional
    **params
        "verbose", "epochs", "steps".

    Raises
    ------
    TypeError
        If an element is not a callback.

    Examples
    --------
    >>> from lstmfast.callbacks import CallbackList
    >>> hooks = CallbackList(add_history=True, epochs=1, steps=1, verbose=0)
    >>> hooks.on_train_begin()
    >>> hooks.on_epoch_end(0, {"loss": 1.0})
    >>> hooks.history.history
    {'loss': [1.0]}
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Any] | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        from .progress import ProgbarLogger

        super().__init__()
        self.callbacks: list[Any] = list(_flat(callbacks))
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                raise TypeError(f"callbacks: expected Callback objects, got {callback!r}")
        if add_history and not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        self._hooks: dict[str, list[Callable[..., Any]]] = {}
        self.set_model(model)
        self.set_params(params)

    @property
    def history(self) -> History | None:
        return next((c for c in self.callbacks if isinstance(c, History)), None)

    def append(self, callback: Callback) -> None:
        """One more callback."""
        self.callbacks.append(callback)
        self._hooks.clear()

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        if params:
            for callback in self.callbacks:
                callback.set_params(params)

    def set_model(self, model: Any) -> None:
        if model is None:
            return
        super().set_model(model)
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    def wants(self, hook: str) -> bool:
        """Whether any callback does something at this hook: if not, its logs need not be made.

        Examples
        --------
        >>> from lstmfast.callbacks import CallbackList
        >>> CallbackList(add_history=True).wants("on_train_batch_end")
        False
        """
        return bool(self._of(hook))

    def _of(self, hook: str) -> list[Callable[..., Any]]:
        found = self._hooks.get(hook)
        if found is None:
            found = self._hooks[hook] = [getattr(c, hook) for c in self.callbacks if _overrides(c, hook)]
        return found

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_batch_begin"):
            hook(batch, {} if logs is None else logs)

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_batch_end"):
            hook(batch, {} if logs is None else logs)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_epoch_begin"):
            hook(epoch, {} if logs is None else logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_epoch_end"):
            hook(epoch, {} if logs is None else logs)

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_train_batch_begin"):
            hook(batch, {} if logs is None else logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_train_batch_end"):
            hook(batch, {} if logs is None else logs)

    def on_gradients(self, batch: int, gradients: list[Any], logs: Logs | None = None) -> Any:
        count = len(gradients)
        for hook in self._of("on_gradients"):
            given = hook(batch, gradients, logs)
            if given is None:
                continue
            if isinstance(given, (bool, np.bool_)) and not given:
                return False
            if not isinstance(given, (list, tuple)) or len(given) != count:
                got = f"one of {len(given)}" if isinstance(given, (list, tuple)) else repr(given)
                raise ValueError(
                    f"on_gradients must return None, False, or a list of {count} arrays, one for each trainable "
                    f"variable; got {got}"
                )
            gradients = list(given)
        if len(gradients) != count:
            raise ValueError(f"on_gradients must leave {count} arrays in the list, it has {len(gradients)}")
        return gradients

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_test_batch_begin"):
            hook(batch, {} if logs is None else logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_test_batch_end"):
            hook(batch, {} if logs is None else logs)

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_predict_batch_begin"):
            hook(batch, {} if logs is None else logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        for hook in self._of("on_predict_batch_end"):
            hook(batch, {} if logs is None else logs)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_train_begin"):
            hook({} if logs is None else logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_train_end"):
            hook({} if logs is None else logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_test_begin"):
            hook({} if logs is None else logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_test_end"):
            hook({} if logs is None else logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_predict_begin"):
            hook({} if logs is None else logs)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        for hook in self._of("on_predict_end"):
            hook({} if logs is None else logs)


#: A step of training calls these as well.
_ALSO = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def _overrides(callback: Any, hook: str) -> bool:
    plain = getattr(Callback, hook)
    own = getattr(callback, hook, plain)
    if getattr(own, "__func__", own) is not plain:
        return True
    also = _ALSO.get(hook)
    return also is not None and _overrides(callback, also)


def _flat(callbacks: Any) -> Iterable[Any]:
    if callbacks is None:
        return
    if isinstance(callbacks, (list, tuple)):
        for callback in callbacks:
            yield from _flat(callback)
    else:
        yield callbacks
