# SPDX-License-Identifier: BSD-3-Clause
"""Wrong calls raise what they raise in Keras 3, or a kind of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import keras, torch  # noqa: F401 - Keras's backend

import lstmfast as lf

X = np.ones((2, 5, 3), np.float32)
Y = np.ones((2, 2), np.float32)


def model(K: Any, loss: str = "mse", **arguments: Any) -> Any:
    made = K.Sequential([K.Input((5, 3)), K.layers.LSTM(2), K.layers.Dense(2)])
    made.compile("sgd", loss, **arguments)
    return made


def twice(layer: Any) -> None:
    layer(X)
    layer(X[..., :2])


WRONG: dict[str, Callable[[Any], Any]] = {
    "units 0": lambda K: K.layers.LSTM(0),
    "units -1": lambda K: K.layers.GRU(-1),
    "dense units": lambda K: K.layers.Dense(0),
    "dense none": lambda K: K.layers.Dense(),
    "unknown argument": lambda K: K.layers.LSTM(2, no_such=1),
    "activation name": lambda K: K.layers.Dense(2, activation="nonsense"),
    "activation number": lambda K: K.layers.Dense(2, activation=3),
    "initializer name": lambda K: K.layers.Dense(2, kernel_initializer="nonsense"),
    "regularizer name": lambda K: K.layers.Dense(2, kernel_regularizer="nonsense"),
    "constraint name": lambda K: K.layers.Dense(2, kernel_constraint="nonsense"),
    "lstm rank": lambda K: K.layers.LSTM(2)(np.ones((2, 3), np.float32)),
    "gru rank 4": lambda K: K.layers.GRU(2)(np.ones((2, 3, 4, 5), np.float32)),
    "symbolic rank": lambda K: K.layers.SimpleRNN(2)(K.Input((3,))),
    "other width": lambda K: twice(K.layers.LSTM(2)),
    "dense other width": lambda K: twice(K.layers.Dense(2)),
    "dropout 1.5": lambda K: K.layers.Dropout(1.5),
    "dropout -1": lambda K: K.layers.Dropout(-1),
    "spatial dropout rank": lambda K: K.layers.SpatialDropout1D(0.5)(K.Input((3,))),
    "conv kernel 0": lambda K: K.layers.Conv1D(2, 0),
    "conv filters 0": lambda K: K.layers.Conv1D(0, 2),
    "conv padding": lambda K: K.layers.Conv1D(2, 2, padding="nonsense"),
    "conv strides and dilation": lambda K: K.layers.Conv1D(2, 2, strides=2, dilation_rate=2),
    "conv groups": lambda K: K.layers.Conv1D(3, 2, groups=2),
    "conv too short": lambda K: K.layers.Conv1D(2, 9)(K.Input((5, 3))),
    "add array": lambda K: K.layers.Add()(X),
    "add shapes": lambda K: K.layers.Add()([X, np.ones((2, 4, 3), np.float32)]),
    "concatenate shapes": lambda K: K.layers.Concatenate()([X, np.ones((2, 4, 3), np.float32)]),
    "subtract three": lambda K: K.layers.Subtract()([X, X, X]),
    "dot axes": lambda K: K.layers.Dot(axes="x"),
    "dot shapes": lambda K: K.layers.Dot(axes=1)([X[:, :, 0], np.ones((2, 4), np.float32)]),
    "reshape": lambda K: K.layers.Reshape((4, 4))(K.Input((3, 5))),
    "permute": lambda K: K.layers.Permute((1, 3)),
    "repeat": lambda K: K.layers.RepeatVector("x"),
    "cropping": lambda K: K.layers.Cropping1D((3, 3))(K.Input((5, 3))),
    "mha heads": lambda K: K.layers.MultiHeadAttention(0, 2),
    "embedding negative": lambda K: K.layers.Embedding(5),
    "merge mode": lambda K: K.layers.Bidirectional(K.layers.LSTM(2), merge_mode="nonsense"),
    "bidirectional no layer": lambda K: K.layers.Bidirectional(3),
    "time distributed no layer": lambda K: K.layers.TimeDistributed(3),
    "time distributed rank": lambda K: K.layers.TimeDistributed(K.layers.Dense(2))(K.Input((3,))),
    "rnn no cell": lambda K: K.layers.RNN(3),
    "stacked no cells": lambda K: K.layers.StackedRNNCells([3]),
    "stateful without batch": lambda K: K.layers.LSTM(2, stateful=True)(K.Input((5, 3))),
    "layer norm axis": lambda K: K.layers.LayerNormalization(axis="x"),
    "batch norm axis": lambda K: K.layers.BatchNormalization(axis=7)(K.Input((5, 3))),
    "group norm groups": lambda K: K.layers.GroupNormalization(2)(K.Input((5, 3))),
    "unit norm axis": lambda K: K.layers.UnitNormalization(axis="x"),
    "optimizer name": lambda K: K.optimizers.get("nonsense"),
    "optimizer number": lambda K: K.optimizers.get(3),
    "learning rate argument": lambda K: K.optimizers.Adam(no_such=1),
    "two clips": lambda K: K.optimizers.SGD(clipnorm=1.0, clipvalue=1.0),
    "ema momentum": lambda K: K.optimizers.SGD(use_ema=True, ema_momentum=2.0),
    "nesterov": lambda K: K.optimizers.SGD(momentum=2.0),
    "loss name": lambda K: K.losses.get("nonsense"),
    "loss reduction": lambda K: K.losses.MeanSquaredError(reduction="nonsense"),
    "metric name": lambda K: K.metrics.get("nonsense"),
    "auc curve": lambda K: K.metrics.AUC(curve="nonsense"),
    "auc thresholds": lambda K: K.metrics.AUC(num_thresholds=1),
    "precision thresholds": lambda K: K.metrics.Precision(thresholds=[-1]),
    "fbeta": lambda K: K.metrics.FBetaScore(beta=-1.0),
    "schedule": lambda K: K.optimizers.schedules.PiecewiseConstantDecay([1, 2], [1.0]),
    "variance scale": lambda K: K.initializers.VarianceScaling(scale=-1),
    "variance mode": lambda K: K.initializers.VarianceScaling(mode="nonsense"),
    "orthogonal rank": lambda K: K.initializers.Orthogonal()((3,)),
    "identity rank": lambda K: K.initializers.Identity()((3,)),
    "monitor mode": lambda K: model(K).fit(
        X, Y, verbose=0, callbacks=[K.callbacks.ReduceLROnPlateau(factor=2.0)]
    ),
    "callbacks checkpoint": lambda K: K.callbacks.ModelCheckpoint("x", save_freq="nonsense"),
    "lr scheduler": lambda K: model(K).fit(
        X, Y, verbose=0, callbacks=[K.callbacks.LearningRateScheduler(lambda e, lr: "x")]
    ),
    "backup": lambda K: K.callbacks.BackupAndRestore(""),
    "fit without compile": lambda K: K.Sequential([K.Input((3,)), K.layers.Dense(1)]).fit(X[:, 0], X[:, 0]),
    "evaluate without compile": lambda K: K.Sequential([K.Input((3,)), K.layers.Dense(1)]).evaluate(
        X[:, 0], X[:, 0]
    ),
    "fit lengths": lambda K: model(K).fit(X, np.ones((3, 2), np.float32), verbose=0),
    "fit validation_split": lambda K: model(K).fit(X, Y, validation_split=2.0, verbose=0),
    "fit target shape": lambda K: model(K).fit(X, np.ones((2, 7), np.float32), verbose=0),
    "predict rank": lambda K: model(K).predict(X[0, 0], verbose=0),
    "predict width": lambda K: model(K).predict(X[..., :2], verbose=0),
    "compile optimizer": lambda K: model(K).compile("nonsense"),
    "fit loss name": lambda K: model(K, "nonsense").fit(X, Y, verbose=0),
    "fit metric name": lambda K: model(K, metrics=["nonsense"]).fit(X, Y, verbose=0),
    "class weight": lambda K: model(K).fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(2), verbose=0),
    "get_layer": lambda K: model(K).get_layer("nonsense"),
    "get_layer index": lambda K: model(K).get_layer(index=9),
    "get_layer nothing": lambda K: model(K).get_layer(),
    "set_weights number": lambda K: model(K).set_weights([]),
    "set_weights shape": lambda K: model(K).set_weights([np.ones((1, 1))] * 5),
    "pop empty": lambda K: K.Sequential().pop(),
    "add no layer": lambda K: K.Sequential().add(3),
    "same name": lambda K: K.Sequential([K.layers.Dense(1, name="a"), K.layers.Dense(1, name="a")]),
    "model of arrays": lambda K: K.Model(X, X),
    "disconnected": lambda K: K.Model(K.Input((3,)), K.layers.Dense(1)(K.Input((3,)))),
    "load nothing": lambda K: K.models.load_model("nonsense.keras"),
    "save extension": lambda K: model(K).save("nonsense.txt"),
    "load_weights extension": lambda K: model(K).load_weights("nonsense.txt"),
    "to_categorical negative": lambda K: K.utils.to_categorical([5], 3),
    "pad_sequences": lambda K: K.utils.pad_sequences(3),
    "pad_sequences padding": lambda K: K.utils.pad_sequences([[1]], padding="nonsense"),
    "pad_sequences truncating": lambda K: K.utils.pad_sequences([[1, 2]], maxlen=1, truncating="nonsense"),
    "split_dataset": lambda K: K.utils.split_dataset([1, 2, 3], left_size="x"),
    "deserialize": lambda K: K.saving.deserialize_keras_object(
        {"class_name": "Nonsense", "module": "keras.layers", "config": {}, "registered_name": None}
    ),
    "layers deserialize": lambda K: K.layers.deserialize({"class_name": "Nonsense", "config": {}}),
}
#: Where Keras's error is one of what it is made of, ours a ValueError.
ACCIDENTS = {
    "other width": RuntimeError,  # of PyTorch's product
    "predict width": RuntimeError,
    "fit target shape": RuntimeError,
    "batch norm axis": IndexError,
    "pop empty": IndexError,
    "to_categorical negative": IndexError,
    "evaluate without compile": AttributeError,
}


def raised(function: Callable[[Any], Any], library: Any) -> type[Exception]:
    try:
        function(library)
    except Exception as error:
        assert str(error)
        return type(error)
    raise AssertionError(f"nothing was raised by {library.__name__}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", WRONG)
def test_kind_of_error(name: str) -> None:
    theirs, ours = raised(WRONG[name], keras), raised(WRONG[name], lf)
    if name in ACCIDENTS:
        assert theirs is ACCIDENTS[name] and issubclass(ours, ValueError)
    else:
        assert issubclass(ours, theirs)
