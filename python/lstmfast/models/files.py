# SPDX-License-Identifier: BSD-3-Clause
"""A model as a configuration, files, text and copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any

from ..layers.base import Layer
from ..utils.interactive_logging import print_msg
from . import config as _config

__all__ = ["ModelFiles"]

#: Models that nothing but a graph can describe.
_BUILT_IN = ("Functional", "Model")
#: What Keras 3 exports to.
_EXPORT_FORMATS = ("tf_saved_model", "onnx", "openvino", "litert", "torch")


class ModelFiles:
    """The part of `Model` that leaves the process and comes back."""

    optimizer: Any

    # --- copies and pickles: the optimizer's native part is made anew

    def __getstate__(self: Any) -> dict[str, Any]:
        state: dict[str, Any] = {**Layer.__getstate__(self), "_train": None, "_own_metrics": None}
        state.update(_objective=None, _trackers=None)
        optimizer = self.optimizer
        if getattr(optimizer, "built", False):
            arrays = [variable.numpy() for variable in optimizer.variables]
            state["optimizer"] = (type(optimizer), optimizer.get_config(), arrays)
        return state

    def __setstate__(self: Any, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.optimizer, tuple):
            cls, config, arrays = self.optimizer
            self.optimizer = cls.from_config(config)
            self.optimizer.build(self.trainable_variables)
            for variable, array in zip(self.optimizer.variables, arrays, strict=True):
                variable.assign(array)

    # --- configuration, files, text

    def get_config(self: Any) -> dict[str, Any]:
        """The graph as a configuration; of a model that writes `call`, the arguments of its ``__init__``.

        Raises
        ------
        NotImplementedError
            If such arguments are other things than numbers, strings, flags, and lists and dicts of such: the class
            must write `get_config` then.
        """
        return _config.subclassed_config(self) if self._by_call else _config.functional_config(self)

    @classmethod
    def from_config(cls: Any, config: dict[str, Any], custom_objects: Any = None) -> Any:
        if (
            not {"name", "layers", "input_layers", "output_layers"} <= set(config)
            and cls.__name__ not in _BUILT_IN
        ):
            return _config.subclassed_from_config(cls, config)
        return _config.functional_from_config(cls, config, custom_objects)

    def get_build_config(self: Any) -> dict[str, Any] | None:
        return None if self._build_shape is None else {"input_shape": self._build_shape}

    def save(
        self: Any,
        filepath: str | os.PathLike[str] | IO[bytes],
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the model to a file; see `lstmfast.saving.save_model`."""
        from ..saving import save_model

        save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(
        self: Any,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        max_shard_size: float | None = None,
    ) -> None:
        """Write the weights alone.

        Parameters
        ----------
        filepath : str or path-like
            The ending decides: ``.weights.h5`` is Keras 3's format (needs h5py; with the optimizer's state, as
            Keras does it), ``.npz`` NumPy's, anything else safetensors.
        overwrite : bool
            Whether an existing file may be replaced.
        max_shard_size : float, optional
            Gigabytes (2**30 bytes) of arrays a file may hold: the weights go into as many files as that takes, in Keras's
            form, and `filepath`, which then ends in ``.weights.json``, gets the index of them.

        Raises
        ------
        ValueError
            If the model is not built, the ending is another format's, the file exists, or one array is larger than a
            file may be.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from lstmfast import Input, Sequential, layers
        >>> model = Sequential([Input((None, 3)), layers.GRU(2)])
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.npz"
        >>> model.save_weights(path)
        >>> model.load_weights(path)
        """
        from .weights import save_weights

        save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(
        self: Any, filepath: str | os.PathLike[str], skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Set the weights from a file of `save_weights`, of `save`, or of Keras; its content shows the format.

        Parameters
        ----------
        filepath : str or path-like
        skip_mismatch : bool
            Leave layers alone whose weights in the file differ in number or shape, with a warning, rather than
            raise.
        **kwargs
            ``by_name`` (for Keras's older ``.h5`` files): whether weights belong to the layer of the same name rather than to
            the one at the same place. ``objects_to_skip`` (for ``.weights.h5`` files): layers that keep their weights.

        Raises
        ------
        ValueError
            If the file does not fit the model; no weight has changed then.
        FileNotFoundError
            If there is no such file.
        """
        from .weights import load_weights

        unknown = {key: value for key, value in kwargs.items() if key not in ("by_name", "objects_to_skip")}
        if unknown:
            raise ValueError(f"Invalid keyword arguments: {unknown}")
        load_weights(self, filepath, skip_mismatch, **kwargs)

    def export(self: Any, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:
        """Not available: raises a ValueError that says what there is instead."""
        if format not in _EXPORT_FORMATS:
            raise ValueError(
                f"Unrecognized format={format}. Supported formats are, in Keras: {list(_EXPORT_FORMATS)}."
            )
        raise ValueError(
            f"Model.export(format={format!r}) is not supported: lstmfast writes no TensorFlow, ONNX or OpenVINO "
            "artifacts. Use model.freeze() for inference, or model.save('model.keras') and export with Keras 3."
        )

    def to_json(self: Any, **kwargs: Any) -> str:
        """The configuration as JSON."""
        import json

        from ..saving.registry import serialize_model

        return json.dumps(serialize_model(self), **kwargs)

    def summary(
        self: Any,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        Parameters
        ----------
        line_length : int, optional
            Width of the table; by default that of the terminal less 4, at most 88 (108 with connections).
        positions : list of float, optional
            Where the columns end, as shares of the width.
        print_fn : callable, optional
            Takes the whole text, once, in place of `print`.
        expand_nested : bool
            Show the layers of models inside.
        show_trainable : bool
            Add a column.
        layer_range : pair of str, optional
            Names (or regular expressions that match their beginning) of the first and the last layer shown.

        Raises
        ------
        ValueError
            If the width does not suffice or `layer_range` matches no layer.
        """
        from .summary import summary_text

        text = summary_text(self, line_length, positions, expand_nested, show_trainable, layer_range)
        print_msg(text) if print_fn is None else print_fn(text + "\n")
