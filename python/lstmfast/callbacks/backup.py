# SPDX-License-Identifier: BSD-3-Clause
"""Going on with a training that was interrupted."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .. import random
from ..variables import Variable
from .base import Callback, Logs

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Keeps the state of a training in a folder, and goes on from there if the same program is run again.

    The state is the model's weights, the optimizer's variables, the epoch, the states of the layers' random numbers and the
    global random generator: from backups of whole epochs the training goes on as if nothing had happened. It is one file
    that is replaced at once or not at all.

    Parameters
    ----------
    backup_dir : str or path
        A folder for this alone.
    save_freq : "epoch" or int
        After each epoch, or so many batches; then the interrupted epoch starts again.
    double_checkpoint : bool
        Keep the backup before the last one, too, and take it if the last cannot be read.
    delete_checkpoint : bool
        Delete the folder when training has ended.

    Raises
    ------
    ValueError
        If an argument is out of its range, or a backup does not fit the model.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("adam", loss="mse")
    >>> backup = lf.callbacks.BackupAndRestore(tempfile.mkdtemp())
    >>> history = model.fit(np.ones((4, 2)), np.zeros((4, 1)), epochs=2, verbose=0, callbacks=[backup])
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        if save_freq != "epoch" and (
            isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1
        ):
            raise ValueError(
                f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. Expected either "
                "'epoch' or an integer value."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "latest.safetensors")
        self._previous = self._path + ".bkp"
        self._epoch = 0
        self._batches = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._batches = 0
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        if not os.path.exists(self._path):
            return
        try:
            self._restore(self._path)
        except (OSError, ValueError):
            if not os.path.exists(self._previous):
                raise
            self._restore(self._previous)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch + 1
        if self.save_freq == "epoch":
            self._save()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches >= int(self.save_freq):
            self._batches = 0
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        import shutil  # at import time it would cost more than this whole package of callbacks

        if self.delete_checkpoint and os.path.isdir(self.backup_dir):
            shutil.rmtree(self.backup_dir)

    def _variables(self) -> dict[str, Variable]:
        from ..saving.generators import seed_states

        groups = {"weights": self.model.weights, "optimizer": self.model.optimizer.variables}
        groups["seeds"] = seed_states(self.model)
        return {f"{name}/{i}": v for name, group in groups.items() for i, v in enumerate(group)}

    def _save(self) -> None:
        import json
        import shutil

        from ..saving.safetensors import save_file

        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint and os.path.exists(self._path):
            shutil.copyfile(self._path, self._previous)
        state = {"epoch": self._epoch, "random": random.global_generator().bit_generator.state}
        arrays = {name: v.value for name, v in self._variables().items()}
        save_file(arrays, self._path, {"training": json.dumps(state)})

    def _restore(self, path: str) -> None:
        from ..saving.safetensors import load_file

        arrays, metadata = load_file(path)
        state = _checked(metadata.get("training"), path)
        variables = self._variables()
        if arrays.keys() != variables.keys():
            raise ValueError(
                f"{path}: is a backup of {len(arrays)} arrays, the model and its optimizer have {len(variables)}"
            )
        values = {name: v.check(arrays[name]) for name, v in variables.items()}
        generator = np.random.default_rng()
        try:
            generator.bit_generator.state = state["random"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: holds no state of a random generator: {error}") from None
        for name, variable in variables.items():
            variable.assign(values[name])
        random.global_generator().bit_generator.state = state["random"]
        #: `fit` starts with this epoch.
        self.model._initial_epoch = state["epoch"]


def _checked(text: str | None, path: str) -> dict[str, Any]:
    import json

    try:
        state = json.loads(text or "")
    except ValueError:
        state = None
    epoch = state.get("epoch") if isinstance(state, dict) else None
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        raise ValueError(f"{path}: is not a backup of a training")
    return state  # type: ignore[no-any-return]
