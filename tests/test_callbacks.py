# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks, driven by hand with a stand-in for the model."""

import csv
import math
import re

import numpy as np
import pytest

from lstmfast import callbacks, metrics, optimizers


class Model:
    """What callbacks use of a model."""

    def __init__(self):
        self.optimizer = optimizers.SGD(1.0)
        self.stop_training = False
        self.weights = [np.zeros(1)]
        self.metrics = [metrics.BinaryAccuracy(name="accuracy")]
        self.saved = []

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=True):
        self.saved.append(path)

    def save_weights(self, path, overwrite=True):
        self.saved.append(path)


def drive(hooks, logs, batches=2, model=None):
    """As `fit` calls them; returns the model."""
    model = model or Model()
    every = callbacks.CallbackList(
        hooks, add_history=True, model=model, verbose=0, epochs=len(logs), steps=batches
    )
    every.on_train_begin()
    for epoch, of_epoch in enumerate(logs):
        model.weights = [np.array([float(epoch)])]
        every.on_epoch_begin(epoch)
        for batch in range(batches):
            every.on_train_batch_begin(batch)
            every.on_train_batch_end(batch, dict(of_epoch))
        every.on_epoch_end(epoch, dict(of_epoch))
        if model.stop_training:
            break
    every.on_train_end()
    return model


def losses(*values):
    return [{"loss": value, "val_loss": value} for value in values]


def test_history():
    model = drive(None, [{"loss": 2.0, "val_loss": 3.0}, {"loss": 1.0, "val_loss": 2.0}])
    assert model.history.history == {"loss": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    assert model.history.epoch == [0, 1]


def test_only_the_hooks_that_are_written_are_called():
    seen = []

    class Batches(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append(batch)

    every = callbacks.CallbackList(
        [Batches(), [callbacks.LambdaCallback(on_train_begin=seen.append)]], add_history=True
    )
    assert every.wants("on_train_batch_end") and not every.wants("on_train_batch_begin")
    assert not callbacks.CallbackList(add_history=True).wants("on_train_batch_end")
    every.on_train_begin("start")
    every.on_train_batch_end(3)
    assert seen == ["start", 3]


def test_every_hook_reaches_a_callback():
    seen = []
    names = [name for name in dir(callbacks.Callback) if name.startswith("on_")]
    every = callbacks.CallbackList(
        callbacks.LambdaCallback(**{n: lambda *a, n=n: seen.append(n) for n in names})
    )
    for name in names:
        arguments = (
            ({},) if name.endswith(("train_begin", "train_end", "test_begin", "test_end")) else (0, {})
        )
        getattr(every, name)(*(({},) if "predict_begin" in name or "predict_end" in name else arguments))
    assert seen == names


def test_early_stopping_by_patience():
    model = drive(callbacks.EarlyStopping(patience=2), losses(5, 4, 4.5, 4.2, 1))
    assert model.stop_training and model.history.epoch == [0, 1, 2, 3]


def test_early_stopping_restores_the_best_weights(capsys):
    stop = callbacks.EarlyStopping(patience=1, restore_best_weights=True, verbose=1)
    model = drive(stop, losses(5, 3, 4, 1))
    assert model.weights[0] == 1.0 and stop.best_epoch == 1 and stop.stopped_epoch == 2
    assert "Epoch 3: early stopping" in capsys.readouterr().out
    assert drive(callbacks.EarlyStopping(restore_best_weights=True), losses(5, 4, 3)).weights[0] == 2.0


def test_early_stopping_options():
    assert drive(callbacks.EarlyStopping(min_delta=0.5, patience=1), losses(5, 4.8, 1)).history.epoch == [
        0,
        1,
    ]
    assert drive(callbacks.EarlyStopping(baseline=2.0, patience=2), losses(5, 4, 4.5, 1)).history.epoch == [
        0,
        1,
        2,
    ]
    assert drive(callbacks.EarlyStopping(start_from_epoch=2), losses(5, 6, 7, 8)).history.epoch == [
        0,
        1,
        2,
        3,
    ]
    upward = callbacks.EarlyStopping(monitor="val_accuracy")
    assert drive(upward, [{"val_accuracy": a} for a in (0.5, 0.6, 0.55)]).stop_training
    with pytest.warns(UserWarning, match="not available"):
        drive(callbacks.EarlyStopping(), [{"loss": 1.0}])
    with pytest.raises(ValueError, match="mode='max'"):
        drive(callbacks.EarlyStopping(monitor="val_strange"), [{"val_strange": 1.0}])
    with pytest.warns(UserWarning, match="unknown"):
        callbacks.EarlyStopping(mode="up")


def test_checkpoints(tmp_path, capsys):
    path = str(tmp_path / "new" / "{epoch:02d}-{val_loss:.1f}.keras")
    model = drive(callbacks.ModelCheckpoint(path, save_best_only=True, verbose=1), losses(3, 4, 2))
    assert [p.rsplit("/", 1)[1] for p in model.saved] == ["01-3.0.keras", "03-2.0.keras"]
    assert "did not improve from 3.00000" in capsys.readouterr().out
    assert (tmp_path / "new").is_dir()
    model = drive(
        callbacks.ModelCheckpoint(tmp_path / "m.safetensors", save_freq=3), losses(3, 4, 2), batches=2
    )
    assert len(model.saved) == 2
    model = drive(callbacks.ModelCheckpoint(tmp_path / "w.weights.h5", save_weights_only=True), losses(3, 4))
    assert len(model.saved) == 2
    threshold = callbacks.ModelCheckpoint(
        tmp_path / "m.keras", save_best_only=True, initial_value_threshold=2.5
    )
    assert len(drive(threshold, losses(3, 2)).saved) == 1
    with pytest.warns(UserWarning, match="only with val_loss available"):
        drive(callbacks.ModelCheckpoint(tmp_path / "m.keras", save_best_only=True), [{"loss": 1.0}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filepath": "m.pickle"}, "must end in"),
        ({"filepath": "m.keras", "save_weights_only": True}, "must end in"),
        ({"filepath": "m.keras", "save_freq": "day"}, "save_freq"),
    ],
)
def test_wrong_checkpoints(options, message):
    with pytest.raises(ValueError, match=message):
        callbacks.ModelCheckpoint(**options)


def test_checkpoint_paths_that_cannot_be(tmp_path):
    with pytest.raises(KeyError, match="accuracy"):
        drive(callbacks.ModelCheckpoint("{accuracy}.keras"), losses(1))
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(OSError, match="directory"):
        drive(callbacks.ModelCheckpoint(tmp_path / "m.keras"), losses(1))


def test_reduce_on_plateau(capsys):
    reduce = callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.2, verbose=1)
    model = drive(reduce, losses(5, 4, 4, 4, 4, 4, 4, 4, 4))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.2)
    assert model.history.history["learning_rate"][:6] == pytest.approx([1, 1, 1, 1, 0.5, 0.5])
    assert "reducing learning rate to 0.5" in capsys.readouterr().out
    slow = callbacks.ReduceLROnPlateau(factor=0.5, patience=1, cooldown=3)
    assert float(drive(slow, losses(4, 4, 4, 4)).optimizer.learning_rate) == 0.5
    with pytest.raises(ValueError, match="factor"):
        callbacks.ReduceLROnPlateau(factor=1.0)


def test_learning_rate_scheduler():
    model = drive(callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5), losses(1, 1, 1))
    assert model.history.history["learning_rate"] == [0.5, 0.25, 0.125]
    model = drive(callbacks.LearningRateScheduler(lambda epoch: 1.0 / (epoch + 1)), losses(1, 1))
    assert model.history.history["learning_rate"] == [1.0, 0.5]
    with pytest.raises(ValueError, match="float"):
        drive(callbacks.LearningRateScheduler(lambda epoch: "fast"), losses(1))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    drive(callbacks.CSVLogger(path, separator=";"), [{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}])
    drive(callbacks.CSVLogger(path, separator=";", append=True), [{"loss": 0.5}])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert [row["loss"] for row in rows] == ["2.0", "1.0", "0.5"]
    assert [row["val_loss"] for row in rows] == ["NA", "3.0", "NA"]


def test_terminate_on_nan(capsys):
    model = drive(callbacks.TerminateOnNaN(), losses(1.0, math.nan, 1.0))
    assert model.stop_training and model.history.epoch == [0, 1]
    assert "Invalid loss" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="inf"):
        drive(callbacks.TerminateOnNaN(raise_error=True), losses(math.inf))


@pytest.mark.parametrize("steps", [2, None])
def test_progress_bar(steps, capsys):
    every = callbacks.CallbackList(add_progbar=True, verbose=1, epochs=2, steps=steps)
    every.on_train_begin()
    for epoch in range(2):
        every.on_epoch_begin(epoch)
        for batch in range(2):
            every.on_train_batch_end(batch, {"loss": 0.25})
        every.on_test_begin()
        every.on_test_batch_end(0, {"loss": 9.0})
        every.on_test_end({"loss": 9.0})
        every.on_epoch_end(epoch, {"loss": 0.25, "val_loss": 1e-5})
    every.on_train_end()
    out = capsys.readouterr().out
    assert "Epoch 1/2" in out and "Epoch 2/2" in out
    assert "loss: 0.2500 - val_loss: 1.0000e-05" in out and "loss: 9" not in out


def test_one_line_an_epoch(capsys):
    every = callbacks.CallbackList(add_progbar=True, verbose=2, epochs=1, steps=3)
    every.on_train_begin()
    every.on_epoch_begin(0)
    every.on_train_batch_end(2, {})
    every.on_epoch_end(0, {"loss": 0.25, "each": np.array([1.0, 2.0])})
    shown = capsys.readouterr().out
    assert re.fullmatch(r"3/3 - 0s - \d+us/step - loss: 0.2500 - each: \[1.0, 2.0\]\n", shown), shown
    every.on_train_end()
    every.on_test_begin()
    every.on_test_batch_end(0, {"loss": 1.0})
    every.on_test_end({"loss": 1.0})
    assert capsys.readouterr().out.startswith("1/3 - 0s - ")


@pytest.mark.parametrize("wrong", [3, callbacks.History, "history"])
def test_what_is_no_callback(wrong):
    with pytest.raises(TypeError, match="callbacks"):
        callbacks.CallbackList([wrong])


@pytest.mark.parametrize(("make", "match"), [
    (lambda: callbacks.EarlyStopping(3), "monitor: expected the name"),
    (lambda: callbacks.EarlyStopping(patience="a"), "patience: expected a number, got 'a'"),
    (lambda: callbacks.EarlyStopping(min_delta="a"), "min_delta"),
    (lambda: callbacks.EarlyStopping(baseline="a"), "baseline"),
    (lambda: callbacks.EarlyStopping(start_from_epoch="a"), "start_from_epoch"),
    (lambda: callbacks.ReduceLROnPlateau(factor="a"), "factor"),
    (lambda: callbacks.ReduceLROnPlateau(cooldown="a"), "cooldown"),
    (lambda: callbacks.ReduceLROnPlateau(min_lr="a"), "min_lr"),
    (lambda: callbacks.ModelCheckpoint(None), "filepath must be a str or a path"),
    (lambda: callbacks.CSVLogger(3), "filename must be a str or a path"),
    (lambda: callbacks.LearningRateScheduler(0.1), "schedule: expected a function"),
])  # fmt: skip
def test_arguments(make, match):
    """Said when the callback is made, not when epochs have passed."""
    with pytest.raises(TypeError, match=match):
        make()


def test_checkpoints_in_a_format_that_is_not_written():
    with pytest.raises(ValueError, match=r"must end in one of \.keras, \.h5, \.safetensors"):
        callbacks.ModelCheckpoint("model.tf")
