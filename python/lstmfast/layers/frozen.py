# SPDX-License-Identifier: BSD-3-Clause
"""What a layer becomes in a frozen model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .. import activations

if TYPE_CHECKING:
    from .core.lambda_layer import Lambda

__all__ = ["FrozenGraph", "FrozenLayer", "frozen_activation", "refuse_to_freeze_texts", "without_mask"]


class FrozenLayer(NamedTuple):
    """An operation of the native program: the method of `_core.Program`, its arguments beside slots and name,
    why a stream cannot run it (None where it can), the operation or the function that continues it, and whether masks end
    here."""

    kind: str
    arguments: dict[str, Any]
    stream_refusal: str | None = None
    following: FrozenLayer | Lambda | None = None
    ends_mask: bool = False


def without_mask(following: FrozenLayer | None = None) -> FrozenLayer:
    """The operation that hands its input on without its mask."""
    return FrozenLayer("activation", {"activation": "linear"}, following=following, ends_mask=True)


class FrozenGraph(NamedTuple):
    """Several operations with what they read: numbers below `inputs` are inputs of the layer, others count the operations
    before. The last one makes the layer's output."""

    inputs: int
    operations: tuple[tuple[FrozenLayer, tuple[int, ...]], ...]


def frozen_activation(layer: Any) -> tuple[str, FrozenLayer | Lambda | None]:
    """The native activation of `layer`'s operation, and what is behind it if its activation is a layer or the user's function.

    Raises
    ------
    ValueError
        If the activation has no native form.
    """
    activation = layer.activation
    name = activations.native_name(activation)
    if name is not None:
        return name, None
    if activations.is_composed(activation):
        from .core.lambda_layer import Lambda  # a layer, as those that this module serves

        return "linear", Lambda(activation, tuple, name=layer.name)  # of the input's shape
    if not activations.is_layer(activation):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: its activation has no native form")
    form = activation.frozen()
    if form is not None and not isinstance(form, FrozenLayer):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: its activation is no single operation")
    return "linear", form


def refuse_to_freeze_texts(layer: Any, reason: str) -> NoReturn:
    """Say what to freeze in place of a model with a layer of texts in it."""
    raise ValueError(
        f"layer {layer.name!r} of class {type(layer).__name__} cannot be frozen: {reason}, and a native program takes "
        "numbers only. Freeze the model behind it, `Model(layer.output, model.outputs)`, and call it with what the layer gives"
    )
