# SPDX-License-Identifier: BSD-3-Clause
"""`compile`: which optimizer, losses and metrics a model trains with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from .. import optimizers
from .batching import positive_int
from .objective import NO_LOSS, Objective
from .own_steps import own_metrics

if TYPE_CHECKING:
    from ..callbacks import History
    from ..metrics import Metric
    from .batching import DataSet

_COMPILE_DEFAULTS = {
    "loss": None,
    "loss_weights": None,
    "metrics": None,
    "weighted_metrics": None,
    "run_eagerly": False,
    "steps_per_execution": 1,
    "jit_compile": False,
}


class Compiled:
    """The part of `Model` that knows how to train; `Trainer` does it."""

    _train: Any

    def _init_trainer(self) -> None:
        self.optimizer: Any = None
        self.compiled = False
        self.stop_training = False
        self.stop_evaluating = False
        self.stop_predicting = False
        self.history: History | None = None
        self._compile_arguments: dict[str, Any] = dict(_COMPILE_DEFAULTS)  # those in effect
        self._compile_config: dict[str, Any] = {}  # those of the last call
        self._objective: Objective | None = None
        self._trackers: list[Metric] | None = None
        self._train = None
        self._own_logs: dict[str, Any] = {}  # of a `compute_metrics` of the model's own
        self._batch_penalty: float | None = None  # while a `compute_loss` of the model's own runs

    # --- compile

    def compile(
        self: Any,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train. As in Keras, a further call without a loss keeps the loss and its weights, one without metrics
        of any kind keeps the metrics; all else is set anew.

        Parameters
        ----------
        optimizer : str, dict or Optimizer
        loss : str, dict, Loss or function, or a list or dict (by output names) of them
            Of several losses for one output, in a list, the sum counts. A loss may judge several outputs together,
            see the example. A function ``loss(y_true, y_pred)`` in NumPy gives ``(value, gradient with respect to
            y_pred)``: see `lstmfast.losses.FunctionLoss`, also for what weights and masks do. A class of your own
            derives from `lstmfast.losses.Loss`.
        loss_weights : float, or a list or dict of them, optional
            Each loss is multiplied by its own; a dict need not name all.
        metrics, weighted_metrics : list or dict, optional
            The weighted ones take sample weights into account. A function ``metric(y_true, y_pred)`` in NumPy
            gives a value for each sample or step, or one number: see `lstmfast.metrics.MeanMetricWrapper`.
        steps_per_execution : int
            Callbacks hear of one batch in so many; nothing else changes.
        run_eagerly, jit_compile, auto_scale_loss : optional
            Accepted for Keras's sake; they change nothing. A UserWarning if the first two are asked for together.

        Raises
        ------
        ValueError
            If a name is unknown. With the first data, if losses or metrics do not fit the outputs (KeyError for a loss
            where there is no output).

        Examples
        --------
        A loss of both outputs, beside one for each:

        >>> import numpy as np
        >>> from lstmfast import Input, Model, layers, ops
        >>> x = Input((3,))
        >>> model = Model(x, {"low": layers.Dense(1)(x), "high": layers.Dense(1)(x)})
        >>> def crossing(y_true, y_pred):
        ...     return ops.squeeze(ops.relu(y_pred["low"] - y_pred["high"]), -1)
        >>> model.compile("adam", [crossing, {"low": "mse", "high": "mae"}])
        >>> y = {"low": np.zeros((8, 1)), "high": np.ones((8, 1))}
        >>> sorted(model.fit(np.ones((8, 3)), y, verbose=0).history)
        ['high_loss', 'high_low_loss', 'loss', 'low_loss']
        """
        made = optimizers.get(optimizer)
        jit_compile = bool(jit_compile) and jit_compile != "auto"
        if jit_compile and run_eagerly:
            warnings.warn(
                "If `run_eagerly` is True, then `jit_compile` cannot also be True. Disabling `jit_compile`.",
                stacklevel=2,
            )
            jit_compile = False
        arguments = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        _check_compile(arguments)
        self.optimizer = made
        in_effect, before = dict(arguments), self._compile_arguments
        if loss is None:
            in_effect |= {name: before[name] for name in ("loss", "loss_weights")}
        if metrics is None and weighted_metrics is None:
            in_effect |= {name: before[name] for name in ("metrics", "weighted_metrics")}
        self._compile_arguments, self._compile_config = in_effect, arguments
        self.compiled = True
        self.stop_training = False
        self._reset_compiled()

    def _reset_compiled(self) -> None:
        self._objective = None
        self._trackers = None
        self._train = None

    @property
    def loss(self) -> Any:
        """The `loss` argument of `compile`."""
        return self._compile_arguments["loss"]

    @property
    def metrics(self: Any) -> list[Metric]:
        """As in Keras: the mean loss, the metrics of `compile` as one (its `metrics` has each, once data have shown
        which they are), and the means of each output's loss where several outputs have one."""
        if not self.compiled:
            return own_metrics(self)
        if self._trackers is None:
            from .tracked import CompileMetrics, LossTracker

            arguments = self._compile_arguments
            given = [arguments[name] for name in ("metrics", "weighted_metrics")]
            self._trackers = [LossTracker(self)]
            if any(one is not None for one in given):
                self._trackers.append(CompileMetrics(self))
        known: list[Metric] = list(self._trackers)
        if self._objective is not None:
            known += self._objective.loss_trackers(self)
        return known + own_metrics(self)

    @property
    def metrics_variables(self: Any) -> list[Any]:
        """The state of `metrics`."""
        return [variable for metric in self.metrics for variable in metric.variables]

    @property
    def run_eagerly(self) -> bool:
        """The argument of `compile`; there is no other way of running."""
        return bool(self._compile_arguments["run_eagerly"])

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._compile_arguments["run_eagerly"] = bool(value)

    @property
    def steps_per_execution(self) -> int:
        """The argument of `compile`: after so many batches callbacks hear of one."""
        return int(self._compile_arguments["steps_per_execution"])

    @steps_per_execution.setter
    def steps_per_execution(self, value: int) -> None:
        self._compile_arguments["steps_per_execution"] = positive_int(value, "steps_per_execution")

    @property
    def jit_compile(self) -> bool:
        """The argument of `compile`, of which "auto" stands for False: kernels are compiled already."""
        return bool(self._compile_arguments["jit_compile"])

    @jit_compile.setter
    def jit_compile(self, value: Any) -> None:
        self._compile_arguments["jit_compile"] = bool(value) and value != "auto"

    @property
    def losses(self: Any) -> list[float]:
        """What is added to the loss: penalties of layers in the last call with arrays, together, then those of the
        regularizers of trainable weights, one by one.
        """
        if "_traced_losses" in vars(self):  # while the graph of a `compute_loss` of the model's own is made
            return list(self._traced_losses)
        of_call = self._call_losses if self._batch_penalty is None else [self._batch_penalty]
        of_outputs = [float(penalty) for penalty in of_call if penalty]
        return [*of_outputs, *self._weight_penalties()]

    def _weight_penalties(self: Any) -> list[float]:
        regularized = [v for v in self.trainable_variables if v.regularizer is not None]
        return [float(v.regularizer(v._data)) for v in regularized]

    def compute_loss(
        self: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss of `compile` for a batch's targets and outputs, weight penalties included.

        A class of your own may write it anew: `fit` and `evaluate` call it for each batch. It trains if it uses
        `lstmfast.ops`, operators and layers alone; else it may only watch the loss of `compile`, not change it.

        Parameters
        ----------
        x : optional
            For Keras's sake; the loss does not depend on it.
        y, y_pred : array_like, or list or dict of them
            In the structure of the model's outputs.
        sample_weight : array_like, or list or dict, optional
        training : bool
            For Keras's sake.

        Raises
        ------
        ValueError
            If the model is not compiled with a loss and nothing else adds one, or shapes do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers
        >>> model = Sequential([Input((2,)), layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> model.compute_loss(y=np.zeros((3, 1)), y_pred=np.full((3, 1), 2.0))
        4.0
        """
        from .tracked import batch_loss

        self._need_compiled()
        if self.loss is None and not self.losses:
            raise ValueError(NO_LOSS)
        return batch_loss(self, y, y_pred, sample_weight)

    def compute_metrics(self: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Take a batch of targets and outputs into the metrics of `compile`; loss and metrics so far, by name.

        A class of your own may write it anew: `fit` and `evaluate` call it for each batch.
        """
        for metric in self.metrics:
            if metric.name == "compile_metrics":
                metric.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()  # type: ignore[no-any-return]

    def get_state_tree(self: Any, value_format: str = "backend_tensor") -> dict[str, Any]:
        """All state as NumPy arrays in nested dicts, by the parts of the variables' paths.

        Parameters
        ----------
        value_format : {"backend_tensor", "numpy_array"}
            Both give arrays.

        Returns
        -------
        dict
            With "trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables".

        Raises
        ------
        ValueError
            If two variables share a path.
        """
        from .tracked import state_tree

        return state_tree(self, value_format)

    def set_state_tree(self: Any, state_tree: dict[str, Any]) -> None:
        """Take the state from there; what is missing stays. Nothing changes on a ValueError."""
        from .tracked import set_state_tree

        set_state_tree(self, state_tree)

    def get_compile_config(self: Any) -> dict[str, Any] | None:
        """Arguments of the last `compile` in Keras 3's form; None if the model is not compiled."""
        if not self.compiled:
            return None
        from ..saving.registry import serialize_keras_object

        return {
            "optimizer": serialize_keras_object(self.optimizer),
            **{key: serialize_keras_object(value) for key, value in self._compile_config.items()},
        }

    def compile_from_config(self: Any, config: dict[str, Any]) -> None:
        """`compile` with what `get_compile_config` gave; makes the optimizer's variables.

        A class that writes `compile` anew must write this too; else it warns and leaves the model as it is.
        """
        if type(self).compile is not Compiled.compile:
            warnings.warn(
                "`compile()` was not called as part of model loading because the model's `compile()` method is custom. All "
                "subclassed Models that have `compile()` overridden should also override `get_compile_config()` and "
                "`compile_from_config(config)`. Alternatively, you can call `compile()` manually after loading.",
                stacklevel=2,
            )
            return
        from ..saving.registry import deserialize_keras_object

        known = {key: config.get(key, default) for key, default in _COMPILE_DEFAULTS.items()}
        self.compile(
            optimizer=config["optimizer"], **{k: deserialize_keras_object(v) for k, v in known.items()}
        )
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _need_compiled(self: Any) -> None:
        if not self.compiled:
            raise ValueError("You must call `compile()` before using the model.")

    def _objective_for(self: Any, data: DataSet, one_batch: bool = False) -> Objective:
        """Losses and metrics for this model and these targets, with the targets checked.

        One batch needs no look ahead: the losses refuse what is wrong in it before anything changes.
        """
        objective: Objective | None = self._objective
        if objective is None:
            objective = Objective(
                self, self._compile_arguments, [None if y is None else y.shape for y in data.ys]
            )
        if data.forms is None and (not one_batch or self._objective is None):
            objective.check_targets(data.ys, self._output_shapes(data))
        self._objective = objective
        return objective

    def _output_shapes(self: Any, data: DataSet) -> list[Any]:
        """Shapes of the outputs for this data: open axes filled in from the inputs."""
        shapes = [
            (len(data), *tensor.shape[1:]) if x is None else x.shape
            for x, tensor in zip(data.xs, self.executor.graph.inputs, strict=True)
        ]
        made = self.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])
        return list(made) if made and isinstance(made[0], (tuple, list)) else [made]

    def reset_metrics(self) -> None:
        """Forget the batches that loss and metrics have seen."""
        if self._objective is not None:
            self._objective.reset()
        self._own_logs = {}
        for metric in own_metrics(self):
            metric.reset_state()


def _check_compile(arguments: dict[str, Any]) -> None:
    """Unknown names fail at once; what needs the shapes of targets is checked with the first data."""
    from .. import losses, metrics

    def leaves(given: Any) -> list[Any]:
        if isinstance(given, dict) and "class_name" not in given:
            return [leaf for value in given.values() for leaf in leaves(value)]
        if isinstance(given, (list, tuple)):
            return [leaf for value in given for leaf in leaves(value)]
        return [] if given is None else [given]

    for loss in leaves(arguments["loss"]):
        if not (isinstance(loss, str) and loss.lower() in ("crossentropy", "ce")):
            losses.get(loss)
    for name in ("metrics", "weighted_metrics"):
        given = arguments[name]
        if given and not isinstance(given, (list, tuple, dict)):
            raise ValueError(
                f"Expected `{name}` argument to be a list, tuple, or dict. Received instead: {name}={given} "
                "of type "
                f"{type(given)}"
            )
        for metric in leaves(given):
            if not (isinstance(metric, str) and metric.lower() in ("accuracy", "acc", "crossentropy", "ce")):
                metrics.get(metric)
