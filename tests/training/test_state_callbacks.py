# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that hold a training's state: backups, averages in the weights' place, curves for TensorBoard."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.callbacks.event_file import EventFile, crc32c


def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(20, 5, 3)).astype(np.float32), rng.normal(size=(20, 2)).astype(np.float32)


def make_model(**options: Any) -> lf.Sequential:
    lf.utils.clear_session()
    lf.utils.set_random_seed(3)
    model = lf.Sequential([lf.Input((5, 3)), lf.layers.LSTM(4), lf.layers.Dropout(0.2), lf.layers.Dense(2)])
    model.compile(lf.optimizers.Adam(0.05, **options), loss="mse", metrics=["mae"])
    return model


class Interrupt(lf.callbacks.Callback):
    def __init__(self, epoch: int, batch: int) -> None:
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def interrupted(folder: Path, x: Any, y: Any, backup: Any, epoch: int = 3, batch: int = 1) -> lf.Sequential:
    model = make_model()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=4, epochs=6, verbose=0, callbacks=[backup, Interrupt(epoch, batch)])
    return model


def restored(backup: Any) -> lf.Sequential:
    model = make_model()
    model.set_weights([w + 1 for w in model.get_weights()])
    lf.utils.set_random_seed(99)
    backup.set_model(model)
    backup.on_train_begin()
    return model


# ---- backups


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    x, y = data(rng)
    whole = make_model()
    whole.fit(x, y, batch_size=4, epochs=6, verbose=0)
    folder = tmp_path / "backup"
    interrupted(folder, x, y, lf.callbacks.BackupAndRestore(folder))
    backup = lf.callbacks.BackupAndRestore(folder)
    model = restored(backup)
    assert model._initial_epoch == 3
    model.fit(x, y, batch_size=4, epochs=6, initial_epoch=3, verbose=0)
    for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    backup.on_train_end()
    assert not folder.exists()


def test_backups_of_batches(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = data(rng)
    backup = lf.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=2)
    stopped = interrupted(tmp_path, x, y, backup, epoch=1, batch=2)  # the 8th: a backup was just made
    model = restored(lf.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert model._initial_epoch == 1
    for a, b in zip(stopped.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_backup_before_the_last(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = data(rng)
    interrupted(tmp_path, x, y, lf.callbacks.BackupAndRestore(tmp_path, double_checkpoint=True))
    (tmp_path / "latest.safetensors").write_bytes(b"torn")
    assert restored(lf.callbacks.BackupAndRestore(tmp_path))._initial_epoch == 2
    (tmp_path / "latest.safetensors.bkp").unlink()
    with pytest.raises(ValueError):
        restored(lf.callbacks.BackupAndRestore(tmp_path))


def test_a_backup_of_another_model_changes_nothing(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = data(rng)
    interrupted(tmp_path, x, y, lf.callbacks.BackupAndRestore(tmp_path))
    for units, extra in ((5, []), (4, [lf.layers.Dense(2)])):
        model = lf.Sequential([lf.Input((5, 3)), lf.layers.LSTM(units), lf.layers.Dense(2), *extra])
        model.compile(lf.optimizers.Adam(), loss="mse")
        before = model.get_weights()
        backup = lf.callbacks.BackupAndRestore(tmp_path)
        backup.set_model(model)
        with pytest.raises(ValueError, match=r"shape|arrays"):
            backup.on_train_begin()
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_finished_training_leaves_nothing_behind(tmp_path: Path, rng: np.random.Generator) -> None:
    x, y = data(rng)
    folder = tmp_path / "backup"
    make_model().fit(x, y, verbose=0, callbacks=[lf.callbacks.BackupAndRestore(folder)])
    assert not folder.exists()
    kept = lf.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
    make_model().fit(x, y, verbose=0, callbacks=[kept])
    assert os.listdir(folder) == ["latest.safetensors"]


@pytest.mark.parametrize("options", [{"backup_dir": ""}, {"save_freq": "day"}, {"save_freq": 0}])
def test_wrong_backups(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"backup_dir|save_freq"):
        lf.callbacks.BackupAndRestore(**{"backup_dir": "b", **options})


# ---- averages


class Seen(lf.callbacks.Callback):
    """The weights in evaluations and at the ends of epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.tested: list[Any] = []
        self.ended: list[Any] = []

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.tested.append(self.model.get_weights()[0])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ended.append(self.model.get_weights()[0])


@pytest.mark.parametrize("on_epoch", [False, True])
def test_averages_are_evaluated_and_weights_trained(on_epoch: bool, rng: np.random.Generator) -> None:
    x, y = data(rng)
    plain, averages = make_model(use_ema=True, ema_momentum=0.7), []

    class Averages(lf.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            averages.append((plain.get_weights()[0], plain.optimizer._averages[0].numpy()))

    plain.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[Averages()])
    model, seen = make_model(use_ema=True, ema_momentum=0.7), Seen()
    swap = lf.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)
    model.fit(x, y, batch_size=4, epochs=3, verbose=0, validation_data=(x, y), callbacks=[swap, seen])
    for epoch, (weights, average) in enumerate(averages):
        np.testing.assert_array_equal(seen.tested[5 * epoch], average)
        np.testing.assert_array_equal(seen.ended[epoch], average if on_epoch else weights)
    weights = model.get_weights()
    if on_epoch:
        np.testing.assert_array_equal(weights[0], averages[-1][1])
    swap = lf.callbacks.SwapEMAWeights()
    model.evaluate(x, y, verbose=0, callbacks=[swap])
    model.predict(x, verbose=0, callbacks=[swap])
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


def test_averages_that_there_are_not(rng: np.random.Generator) -> None:
    x, y = data(rng)
    with pytest.raises(ValueError, match="use_ema=True"):
        make_model().fit(x, y, verbose=0, callbacks=[lf.callbacks.SwapEMAWeights()])


# ---- TensorBoard


def test_checksums() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4, has those of 32 bytes
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_frames(tmp_path: Path) -> None:
    file = EventFile(tmp_path)
    file.scalar("loss", 0.5, 300)
    file.close()
    raw, records = Path(file.path).read_bytes(), []
    while raw:
        (length,) = struct.unpack("<Q", raw[:8])
        records.append(raw[12 : 12 + length])
        raw = raw[16 + length :]
    assert len(records) == 2 and b"brain.Event:2" in records[0]
    assert b"loss" in records[1] and struct.pack("<f", 0.5) in records[1]
    with pytest.raises(ValueError):
        file.scalar("loss", 0.5, 301)


def curves(folder: Path) -> Any:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder), size_guidance={"histograms": 0})
    found.Reload()
    return found


def test_tensorboard_reads_what_is_written(tmp_path: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("tensorboard")
    x, y = data(rng)
    board = lf.callbacks.TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    model = make_model()
    history = model.fit(
        x, y, batch_size=4, epochs=3, verbose=0, validation_data=(x, y), callbacks=[board]
    ).history
    train, validation = curves(tmp_path / "train"), curves(tmp_path / "validation")
    for key, tag in (("loss", "epoch_loss"), ("mae", "epoch_mae")):
        for found, name in ((train, key), (validation, f"val_{key}")):
            scalars = found.Scalars(tag)
            assert [s.step for s in scalars] == [0, 1, 2]
            assert [s.value for s in scalars] == pytest.approx(history[name], rel=1e-6)
    assert [s.value for s in train.Scalars("epoch_learning_rate")] == pytest.approx([0.05] * 3)
    assert [s.step for s in train.Scalars("batch_loss")] == list(range(0, 15, 2))
    assert len(train.Scalars("batch_steps_per_second")) == 15
    assert all(s.value > 0 for s in train.Scalars("epoch_steps_per_second"))
    assert [s.step for s in validation.Scalars("evaluation_loss_vs_iterations")] == [5, 10, 15]
    tags = train.Tags()["histograms"]
    assert len(tags) == len(model.weights)
    histograms = train.Histograms(tags[0])
    assert [h.step for h in histograms] == [0, 2]
    value, weights = histograms[-1].histogram_value, model.weights[0].numpy()
    assert value.num == weights.size and sum(value.bucket) == weights.size
    assert (value.min, value.max) == pytest.approx((weights.min(), weights.max()))
    assert value.sum == pytest.approx(weights.sum(dtype=float))
    model.evaluate(x, y, verbose=0, callbacks=[board])
    assert not board._files


@pytest.mark.parametrize(
    "options",
    [
        {"write_images": True},
        {"profile_batch": 2},
        {"embeddings_freq": 1},
        {"embeddings_metadata": "m"},
        {"update_freq": "day"},
        {"update_freq": 0},
        {"histogram_freq": -1},
    ],
)
def test_wrong_boards(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        lf.callbacks.TensorBoard(**options)
