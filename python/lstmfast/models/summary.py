# SPDX-License-Identifier: BSD-3-Clause
"""The table that `Model.summary` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..symbolic import KerasTensor

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .model import Model


def summary_text(
    model: Model, line_length: int | None = None, expand_nested: bool = False, show_trainable: bool = False
) -> str:
    """Layers with output shapes and numbers of weights, then the totals."""
    from .model import Model
    from .sequential import Sequential

    linear = isinstance(model, Sequential)
    header = ["Layer (type)", "Output Shape", "Param #"]
    if not linear:
        header.append("Connected to")
    if show_trainable:
        header.append("Trainable")
    rows: list[list[str]] = []

    def add(layer: Layer, owner: Model, indent: str) -> None:
        row = [
            f"{indent}{layer.name} ({type(layer).__name__})",
            _output_shape(layer),
            f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
        ]
        if not linear:
            row.append(_connections(layer, owner))
        if show_trainable:
            row.append("Y" if layer.trainable else "N")
        rows.append(row)
        if expand_nested and isinstance(layer, Model):
            for inner in layer.layers:
                add(inner, layer, indent + "    ")

    for layer in model.layers:
        add(layer, model, "")
    trainable = sum(v.size for v in model.trainable_variables)
    total = sum(v.size for v in model.variables)
    state = (
        sum(v.size for v in getattr(model.optimizer, "variables", [])) if model.optimizer is not None else 0
    )
    lines = [f'Model: "{model.name}"', *_table(header, rows, line_length)]
    lines.append(f" Total params: {total + state:,} ({_bytes(total + state)})")
    lines.append(f" Trainable params: {trainable:,} ({_bytes(trainable)})")
    lines.append(f" Non-trainable params: {total - trainable:,} ({_bytes(total - trainable)})")
    if state:
        lines.append(f" Optimizer params: {state:,} ({_bytes(state)})")
    return "\n".join(lines)


def _output_shape(layer: Layer) -> str:
    if not layer.inbound_nodes:
        return "?"
    shapes = [str(t.shape) for t in layer.inbound_nodes[-1].outputs if isinstance(t, KerasTensor)]
    return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"


def _connections(layer: Layer, owner: Model) -> str:
    in_model = {id(node) for node in owner.executor.graph.nodes}
    names = []
    for node in layer.inbound_nodes:
        if id(node) in in_model:
            for tensor in node.parents:
                origin = tensor.origin
                names.append(
                    f"{origin.layer.name}[{origin.layer.inbound_nodes.index(origin)}][{tensor.index}]"
                )
    return ", ".join(names) or "-"


def _bytes(n: int) -> str:
    size = 4.0 * n
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError


def _table(header: list[str], rows: list[list[str]], line_length: int | None) -> list[str]:
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    if line_length is not None:
        spare = line_length - (sum(widths) + 3 * len(widths) + 1)
        widths[0] += max(0, spare)

    def line(cells: Any) -> str:
        cells = [
            cell.rjust(width) if title == "Param #" else cell.ljust(width)
            for cell, width, title in zip(cells, widths, header, strict=True)
        ]
        return "│ " + " │ ".join(cells) + " │"

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    return [
        rule("┌", "┬", "┐"),
        line(header),
        rule("├", "┼", "┤"),
        *(line(row) for row in rows),
        rule("└", "┴", "┘"),
    ]
