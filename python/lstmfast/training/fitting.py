# SPDX-License-Identifier: BSD-3-Clause
"""`fit`, and single steps of training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.splitting import unpack_x_y_sample_weight
from .batching import DataSet, batch_size_for, positive_int, prepare, split, with_class_weights
from .compiling import Compiled
from .limits import limited_epochs
from .objective import check_loss
from .own_steps import OwnStep, logs_of, overrides
from .stepping import TrainStep
from .streams import ArrayBatches, Batches, StreamBatches, is_stream
from .truncated import TruncatedStep, check_model

if TYPE_CHECKING:
    from ..callbacks import CallbackList, History

__all__ = ["Fitting", "refuse_beside_batches"]


class Fitting(Compiled):
    """The part of `Model` that trains."""

    def fit(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        lengths: Any = None,
        tbptt: int | None = None,
        resets: Any = None,
    ) -> History:
        """Train for a number of epochs.

        Parameters
        ----------
        x : array_like, or list or dict (by input names) of them; or what gives batches
            Arrays may be NumPy's, tensors, pandas tables, anything with ``__array__`` or ``to_numpy``.
            Batches come from a generator, a PyTorch `DataLoader` or any iterable, or from a
            `lstmfast.utils.PyDataset` or any object with ``__getitem__`` and ``__len__``. A batch is ``(x,)``,
            ``(x, y)``, ``(x, y, sample_weight)``, ``(x, y, sample_weight, lengths)`` or the same with resets
            behind (None for what is not there). They are read one ahead on a thread; what reads them must not
            use the model. A generator stays open for another `fit`, unless nobody else holds it.
        y : array_like, or list or dict (by output names) of them
            Not with batches.
        batch_size : int, optional
            32 by default. Without meaning for batches.
        epochs : int
            Number of the last epoch.
        verbose : {"auto", 0, 1, 2}
            Nothing, a progress bar (also "auto"), or a line an epoch.
        callbacks : list of Callback, optional
        validation_split : float
            Share of the samples, from the end, on which the model is evaluated after each epoch.
        validation_data : tuple, or what gives batches, optional
            A batch as above, in place of `validation_split`.
        shuffle : bool
            Draw a new order of the samples, or of the batches of a sequence, for each epoch, from the global
            seed. Without meaning for generators and other iterables.
        class_weight : dict of int to float, optional
        sample_weight : array_like, optional
            (N,), or (N, T) for outputs with time steps; or a list or dict of them.
        initial_epoch : int
        steps_per_epoch, validation_steps : int, optional
            End an epoch, or a validation, after this many batches. The next epoch goes on behind them; the
            next validation begins anew, but for a generator. Needed where there is no end.
        validation_batch_size : int, optional
        validation_freq : int or list of int
            Every how many epochs, or in which, to validate.
        lengths : (N,) int array, optional
            Valid steps of right-padded rows. Steps behind do not count in the loss.
        tbptt : int, optional
            Truncated back-propagation through time (Williams and Peng 1990): a batch is cut into windows of
            this many time steps, and the optimizer steps after each. States go from window to window, their
            gradients do not; each batch begins with the initial states (those of stateful layers stay). The
            outputs must have a time axis, along which y and sample weights are cut too. Windows in which no
            step counts, by `lengths` or masks, are left out. Dropout draws new masks for each window; layers
            that look along the time axis see the window alone. The logged loss is the mean over the windows
            by their lengths. With `tbptt` not below the number of steps, this is plain back-propagation.
        resets : (N, T) bool array, optional
            Where it is True, all recurrent layers start from their initial states before that step: a new
            episode begins in the sequence. No gradient crosses it.

        Returns
        -------
        History
            Also in ``model.history``, where it holds the epochs done when a callback, an error or Ctrl-C ends
            the training. Ctrl-C never cuts a step of the optimizer in two.

        Raises
        ------
        ValueError, TypeError
            If an argument or the data will not do. Arguments, arrays and the first batch of a stream are
            checked before the first step.

        Warns
        -----
        RuntimeWarning
            Once, if the loss of a batch is NaN or infinite, with the epoch, the batch, and whether the input
            or the target is the cause; and if there are fewer batches than `steps_per_epoch`.

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers
        >>> def batches():
        ...     rng = np.random.default_rng(0)
        ...     while True:
        ...         x = rng.standard_normal((8, 100, 1), np.float32)
        ...         yield x, x.cumsum(axis=1)
        >>> model = Sequential([Input((None, 1)), layers.LSTM(8, return_sequences=True), layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> history = model.fit(batches(), epochs=2, steps_per_epoch=3, tbptt=25, verbose=0)
        >>> len(history.history["loss"]), int(model.optimizer.iterations)
        (2, 24)
        """
        from .interrupts import InterruptGuard

        self._need_compiled()
        if batch_size is not None:
            positive_int(batch_size, "batch_size")
        epochs = limited_epochs(_epochs(epochs, initial_epoch))
        limit = None if steps_per_epoch is None else positive_int(steps_per_epoch, "steps_per_epoch")
        if tbptt is not None:
            tbptt = positive_int(tbptt, "tbptt")
        validation_split = 0.0 if validation_split is None else validation_split
        if not isinstance(validation_split, (int, float, np.number)) or not 0 <= validation_split < 1:
            raise ValueError(f"validation_split must be from 0 to 1 (exclusive), got {validation_split!r}")
        if validation_data is not None or validation_split:
            _check_frequency(validation_freq)
        if validation_steps is not None:
            validation_steps = positive_int(validation_steps, "validation_steps")
        with ExitStack() as stack:
            data: DataSet | None = None
            if is_stream(x):
                refuse_beside_batches(x, y=y, sample_weight=sample_weight, lengths=lengths, resets=resets)
                if validation_split and validation_data is None:
                    raise ValueError(
                        "validation_split needs arrays, and x gives batches: use validation_data"
                    )
                stream = StreamBatches(self, x, class_weight, shuffle, limit)
                batches: Batches = stack.enter_context(closing(stream))
                objective = self._objective_for(stream.first)
            else:
                data = prepare(self, x, y, sample_weight, None, lengths, resets)
                objective = self._objective_for(data)
            validation = self._validation(stack, validation_data, validation_steps)
            # A generator that nobody else holds ends with `batches`, even where this frame lives on in a traceback.
            x = y = sample_weight = lengths = resets = validation_data = None
            own = OwnStep(self, "train_step") if overrides(self, "train_step") else None
            if own is None:
                check_loss(self, objective)
            if tbptt is not None:
                check_model(self.executor)
            if validation is None and validation_split:
                assert data is not None
                data, validation = split(data, validation_split)
            if data is not None:
                if class_weight is not None:  # as in Keras, only in training
                    data = with_class_weights(data, class_weight)
                batch_size = batch_size_for(self, batch_size, len(data))
                batches = ArrayBatches(data, batch_size, shuffle, limit)
            if isinstance(validation, DataSet):
                if validation_batch_size is not None:
                    batch_size = positive_int(validation_batch_size, "validation_batch_size")
                size = batch_size_for(self, batch_size, len(validation))
                validation = ArrayBatches(validation, size, limit=validation_steps)
            hooks = self._callback_list(callbacks, verbose, epochs, batches.steps, history=True)
            guard = stack.enter_context(InterruptGuard())
            step = TrainStep(
                self, objective, hooks.on_gradients if hooks.wants("on_gradients") else None, guard
            )
            train: Any = own or (step if tbptt is None else TruncatedStep(step, tbptt))
            logs: dict[str, Any] = {}
            self.stop_training = False
            self._initial_epoch = initial_epoch  # which BackupAndRestore may set
            hooks.on_train_begin()
            for epoch in range(self._initial_epoch, epochs):
                self.reset_metrics()
                hooks.on_epoch_begin(epoch)
                step.epoch = epoch
                if not self._train_epoch(train, step, batches, hooks):
                    break  # out of data
                logs = own.logs if own is not None else logs_of(self, objective)
                if validation is not None and _due(epoch, validation_freq):
                    val_logs = self._evaluate(validation, hooks)
                    logs.update({f"val_{name}": value for name, value in val_logs.items()})
                # Sorted as in Keras; what callbacks add is not part of the result.
                hooks.on_epoch_end(epoch, dict(sorted(logs.items())))
                if self.stop_training:
                    break
            if int(self.optimizer.iterations):  # else there are no averages yet
                self.optimizer.finalize_variable_values(step.trainable)
            hooks.on_train_end(logs)
        return hooks.history  # type: ignore[no-any-return]

    def _train_epoch(self: Any, train: Any, step: TrainStep, batches: Batches, hooks: CallbackList) -> int:
        """Train with the batches of one epoch; returns how many there were."""
        begins, ends = hooks.wants("on_train_batch_begin"), hooks.wants("on_train_batch_end")
        objective, every = step.objective, self.steps_per_execution

        def end(last: int) -> None:
            logs = train.logs if isinstance(train, OwnStep) else logs_of(self, objective)
            hooks.on_train_batch_end(last, logs)

        number = step.number = 0
        try:
            for batch in batches.epoch():
                if begins and number % every == 0:
                    hooks.on_train_batch_begin(number)
                train(batch)
                number += 1
                step.number = number
                if ends and number % every == 0:
                    end(number - 1)
                if self.stop_training:
                    break
            if ends and number % every:  # as in Keras, the number that the last one would have had
                end(number - number % every + every - 1)
        except Exception as error:
            if isinstance(batches, StreamBatches):
                error.add_note(f"in epoch {step.epoch + 1}, batch {number + 1} (both counted from 1)")
            raise
        return number

    def _validation(
        self: Any, stack: ExitStack, given: Any, steps: int | None
    ) -> DataSet | StreamBatches | None:
        """`validation_data`, checked; what gives batches is closed with `stack`."""
        if given is None:
            return None
        if is_stream(given):
            stream = StreamBatches(self, given, limit=steps, what="validation_steps")
            stack.enter_context(closing(stream))
            self._objective_for(stream.first)
            return stream
        if not isinstance(given, (list, tuple)) or not 2 <= len(given) <= 5:
            raise ValueError(
                "validation_data must be a tuple (x, y), (x, y, sample_weight), (x, y, sample_weight, lengths) or the "
                "same with resets, or give such batches"
            )
        x, y, sample_weight, lengths, resets = (*given, None, None, None)[:5]
        data = prepare(self, x, y, sample_weight, None, lengths, resets)
        self._objective_for(data)
        return data

    def train_on_batch(
        self: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        lengths: Any = None,
        resets: Any = None,
    ) -> Any:
        """One step on one batch; returns its loss and metrics, as `evaluate` does."""
        self._need_compiled()
        data = prepare(self, x, y, sample_weight, class_weight, lengths, resets)
        objective = self._objective_for(data, one_batch=True)
        if overrides(self, "train_step"):
            self.reset_metrics()
            own = OwnStep(self, "train_step")
            own(data)
            return own.logs if return_dict else objective.flatten(own.logs)
        check_loss(self, objective)
        self.reset_metrics()
        self._step_for(objective)(data)
        logs = logs_of(self, objective)
        return logs if return_dict else objective.flatten(logs)

    def _step_for(self: Any, objective: Any) -> TrainStep:
        step = self._train
        if step is None or step.objective is not objective or step.plan is not self.executor.gradient_plan():
            step = self._train = TrainStep(self, objective)
        return step  # type: ignore[no-any-return]

    def train_step(self: Any, data: Any) -> dict[str, Any]:
        """One step of training with a batch: what `fit` does with each. A class of your own may write it anew.

        Parameters
        ----------
        data : array, or tuple
            x, (x, y) or (x, y, sample_weight), in the structures of the model's inputs and outputs.

        Returns
        -------
        dict
            Loss and metrics so far, by name; `fit` shows them, and those after the last batch are the epoch's.

        Raises
        ------
        ValueError
            If the model has no loss, or the data do not fit.

        Examples
        --------
        A model that learns to give back its input:

        >>> import numpy as np
        >>> from lstmfast import Input, Model, layers, losses, metrics
        >>> class Autoencoder(Model):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.code, self.decoded = layers.Dense(2), layers.Dense(4)
        ...         self.loss_function, self.mean = losses.MeanSquaredError(), metrics.Mean(name="loss")
        ...     def call(self, x):
        ...         return self.decoded(self.code(x))
        ...     def train_step(self, x):
        ...         y, tape = self.forward(x, training=True)
        ...         value, dy = self.loss_function.value_and_grad(x, y)
        ...         self.apply_gradients(tape.backward(dy)[0])
        ...         self.mean.update_state(value)
        ...         return {"loss": self.mean.result()}
        >>> model = Autoencoder()
        >>> model.compile("adam")
        >>> sorted(model.fit(np.ones((8, 4), np.float32), verbose=0).history)
        ['loss']
        """
        x, y, weight = unpack_x_y_sample_weight(data)
        batch = prepare(self, x, y, weight)
        objective = self._objective_for(batch, one_batch=True)
        check_loss(self, objective)
        self._step_for(objective)(batch)
        return logs_of(self, objective)

    def apply_gradients(self: Any, grads: Sequence[Any]) -> None:
        """One step of the optimizer with gradients of ``trainable_variables`` (from `Tape.backward`).

        With `forward`, a loop of one's own; it gives the same bits as `fit` on the same batches, but where
        `fit` lets the loss take a softmax or sigmoid over, and without weight regularizers, which the loop
        adds itself.

        Raises
        ------
        ValueError
            If the model is not compiled, or number or shapes of gradients do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers, losses
        >>> model = Sequential([Input((None, 4)), layers.LSTM(3), layers.Dense(1)])
        >>> model.compile("adam")
        >>> loss = losses.MeanSquaredError()
        >>> for _ in range(3):
        ...     y, tape = model.forward(np.ones((2, 5, 4)), training=True)
        ...     value, dy = loss.value_and_grad(np.zeros((2, 1)), y)
        ...     grads, dx, dstates = tape.backward(dy)
        ...     model.apply_gradients(grads)
        """
        if self.optimizer is None:
            raise ValueError("You must call `compile()` before using the model.")
        grads, variables = list(grads), self.variables_in_use()[0]
        if not grads and variables:
            raise ValueError(f"grads: expected one for each of the {len(variables)} variables, got none")
        self.optimizer.apply(grads, variables)


def refuse_beside_batches(x: Any, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"When providing `x` as a {type(x).__name__}, `{name}` should not be passed: it is part of "
                "each batch"
            )


def _epochs(epochs: Any, initial_epoch: Any) -> int:
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")
    return int(epochs)


def _check_frequency(frequency: Any) -> None:
    """Raise a ValueError if `frequency` is neither a positive integer nor a collection of epochs."""
    epochs = (
        frequency if isinstance(frequency, (list, tuple, set, frozenset, range, np.ndarray)) else [frequency]
    )
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0 for n in epochs):
        raise ValueError(
            f"validation_freq must be a positive integer or a list of epochs, counted from 1, got {frequency!r}"
        )


def _due(epoch: int, frequency: Any) -> bool:
    if isinstance(frequency, (int, np.integer)):
        return (epoch + 1) % int(frequency) == 0
    return (epoch + 1) in frequency
