# SPDX-License-Identifier: BSD-3-Clause
"""Which activations the kernels of cells have, and what goes with others (`composed_step`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import activations

if TYPE_CHECKING:
    from .recurrent import RecurrentLayer

__all__ = ["build_activations", "check_activations", "native_activations"]

#: What `composed_step` writes with operations, by `cell_name`.
_CELLS = ("lstm", "gru", "gru_reset_before", "simple_rnn")


def native_activations(layer: RecurrentLayer) -> tuple[str | None, str | None]:
    """The names of a layer's activations in the kernels of cells; None for one that these do not have."""
    one, two = map(activations.native_name, (layer.activation, layer.recurrent_activation))
    return None if one == "softmax" else one, None if two == "softmax" else two


def check_activations(layer: RecurrentLayer) -> None:
    """Refuse what only kernels do, together with an activation that they do not have."""
    given = {"activation": layer.activation, "recurrent_activation": layer.recurrent_activation}
    foreign = [
        (argument, function)
        for (argument, function), name in zip(given.items(), native_activations(layer), strict=True)
        if name is None
    ]
    only_native = {
        "zoneout": any(layer._zoneout),
        "remat": layer.remat,
        "peephole, projection or layer_norm": layer.cell_name not in _CELLS,
    }
    wrong = [argument for argument, value in only_native.items() if value]
    if foreign and wrong:
        argument, function = foreign[0]
        raise ValueError(
            f"{argument}={getattr(function, '__name__', function)!r} is not supported inside a recurrent layer with "
            f"{wrong[0]}"
        )


def build_activations(layer: RecurrentLayer, batch: int | None) -> None:
    """`build` of activations that are layers; those with weights are refused: nothing would keep them in files."""
    for function in (layer.activation, layer.recurrent_activation):
        if activations.is_layer(function):
            function.ensure_built((batch, layer.units))  # type: ignore[attr-defined]
            if function.weights:  # type: ignore[attr-defined]
                raise ValueError(
                    f"an activation with weights is not supported inside recurrent layer {layer.name!r}, got {function!r}"
                )
