# SPDX-License-Identifier: BSD-3-Clause
"""Models: `Sequential` for a line of layers, `Model` for any graph of them."""

from typing import Any

from .cloning import clone_model
from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]


def load_model(
    filepath: Any, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True
) -> Model:
    """See `lstmfast.saving.load_model`."""
    from ..saving import load_model

    return load_model(filepath, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode)


def save_model(
    model: Model, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **kwargs: Any
) -> None:
    """See `lstmfast.saving.save_model`."""
    from ..saving import save_model

    save_model(model, filepath, overwrite=overwrite, zipped=zipped, **kwargs)


def model_from_json(json_string: str | bytes, custom_objects: Any = None) -> Model:
    """The model that `Model.to_json` described, lstmfast's or Keras 3's, with new weights; compiled if it was.

    Parameters
    ----------
    json_string : str
    custom_objects : mapping of str to class or function, optional

    Raises
    ------
    ValueError
        If the text is no configuration of a model, or names a class that is neither lstmfast's nor in
        `custom_objects`.

    Examples
    --------
    >>> from lstmfast import Input, Sequential, layers
    >>> from lstmfast.models import model_from_json
    >>> text = Sequential([Input((None, 3)), layers.LSTM(4)]).to_json()
    >>> model_from_json(text).output_shape
    (None, 4)
    """
    from ..saving.model_state import compile_model, json_to_config
    from ..saving.registry import deserialize_keras_object, object_sharing_scope

    config = json_to_config(json_string)
    with object_sharing_scope():
        model = deserialize_keras_object(config, custom_objects)
    if not isinstance(model, Model):
        raise ValueError(f"the configuration describes a {type(model).__name__}, expected a model")
    compile_model(model, config, custom_objects)
    return model
