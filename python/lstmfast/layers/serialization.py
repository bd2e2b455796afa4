# SPDX-License-Identifier: BSD-3-Clause
"""A layer as a configuration with its class's name, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..saving.registry import deserialize_keras_object, serialize_keras_object
from .base import Layer

__all__ = ["deserialize", "serialize"]


def serialize(layer: Layer) -> dict[str, Any]:
    """Describe a layer: class and arguments, in Keras 3's form, without weights.

    Parameters
    ----------
    layer : Layer

    Raises
    ------
    TypeError
        If `layer` is no layer.

    Examples
    --------
    >>> from lstmfast import layers
    >>> layers.serialize(layers.Dense(3))["class_name"]
    'Dense'
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer: expected a Layer, got {layer!r}")
    config: dict[str, Any] = serialize_keras_object(layer)
    return config


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Make the layer that `serialize` described; its weights are new.

    Parameters
    ----------
    config : dict
    custom_objects : mapping of str to class or function, optional
        Classes and functions of your own, by name.

    Raises
    ------
    ValueError
        If the configuration does not describe a layer, or names something unknown.

    Examples
    --------
    >>> from lstmfast import layers
    >>> layers.deserialize(layers.serialize(layers.Dense(3))).units
    3
    """
    layer = deserialize_keras_object(config, custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"config: expected the configuration of a layer, got {config!r}")
    return layer
