# SPDX-License-Identifier: BSD-3-Clause
"""What a layer becomes in a frozen model."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import activations

__all__ = ["FrozenGraph", "FrozenLayer", "frozen_activation"]


class FrozenLayer(NamedTuple):
    """An operation of the native program: the method of `_core.Program`, its arguments beside slots and name,
    why a stream cannot run it (None where it can), the operation that continues it, and whether masks end here."""

    kind: str
    arguments: dict[str, Any]
    stream_refusal: str | None = None
    following: FrozenLayer | None = None
    ends_mask: bool = False


class FrozenGraph(NamedTuple):
    """Several operations with what they read: numbers below `inputs` are inputs of the layer, others count the operations
    before. The last one makes the layer's output."""

    inputs: int
    operations: tuple[tuple[FrozenLayer, tuple[int, ...]], ...]


def frozen_activation(layer: Any) -> tuple[str, FrozenLayer | None]:
    """The native activation of `layer`'s operation, and the operation behind it if its activation is a layer.

    Raises
    ------
    ValueError
        If the activation has no native form.
    """
    activation = layer.activation
    name = activations.native_name(activation)
    if name is not None:
        return name, None
    if not activations.is_layer(activation):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: its activation has no native form")
    form = activation.frozen()
    if form is not None and not isinstance(form, FrozenLayer):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: its activation is no single operation")
    return "linear", form
