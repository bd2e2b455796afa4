# SPDX-License-Identifier: BSD-3-Clause
"""The table that `Model.summary` prints, in Keras's form."""

from __future__ import annotations

import itertools
import re
import shutil
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..symbolic import KerasTensor

if TYPE_CHECKING:
    from ..layers.base import Layer
    from .model import Model

#: What each column's text is aligned to.
_ALIGN = {"Param #": str.rjust, "Trainable": str.center}


def summary_text(
    model: Model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> str:
    """Layers with output shapes and numbers of weights, then the totals."""
    linear = _is_line(model)
    header = ["Layer (type)", "Output Shape", "Param #"]
    ends, length = list(positions or (0.45, 0.80, 1.0)), 88
    if not linear:
        header.append("Connected to")
        ends, length = list(positions or (0.3, 0.56, 0.74, 1.0)), 108
    if show_trainable:
        header.append("Trainable")
        ends, length = [0.9 * p for p in ends] + [1.0], length + 12
    if len(ends) != len(header):
        raise ValueError(f"positions must have an entry for each of the columns {header}, got {positions}")
    widths = _widths(ends, line_length or min(length, shutil.get_terminal_size().columns - 4))
    rows: list[list[str]] = []

    def add(layer: Layer, level: int) -> None:
        row = [
            f"{'   ' * level}{'└ ' if level else ''}{layer.name} ({_class_name(layer)})",
            _output_shape(layer),
            f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
        ]
        if not linear:
            row.append(_connections(layer, model))
        if show_trainable:
            row.append("-" if not layer.weights else "Y" if layer.trainable else "N")
        rows.append(row)
        if expand_nested:
            for inner in getattr(layer, "layers", ()):
                add(inner, level + 1)

    layers = model.layers if _is_sequential(model) or model._by_call else model.operations
    first, last = _range(layers, layer_range)
    for layer in layers[first:last]:
        add(layer, 0)
    trainable = sum(v.size for v in model.trainable_variables)
    total = sum(v.size for v in model.weights)
    optimizer = model.optimizer if getattr(model.optimizer, "built", False) else None
    state = 0 if optimizer is None else sum(v.size for v in optimizer.variables)
    lines = [f'Model: "{model.name}"', *_table(header, rows, widths)]
    lines.append(f" Total params: {total + state:,} ({_bytes(total + state)})")
    lines.append(f" Trainable params: {trainable:,} ({_bytes(trainable)})")
    lines.append(f" Non-trainable params: {total - trainable:,} ({_bytes(total - trainable)})")
    if optimizer is not None:
        lines.append(f" Optimizer params: {state:,} ({_bytes(state)})")
    return "\n".join(lines)


def _is_sequential(model: Model) -> bool:
    from .sequential import Sequential

    return isinstance(model, Sequential)


def _is_line(model: Model) -> bool:
    """Whether every layer is called once, with the output of the one before."""
    if _is_sequential(model) or model._by_call:
        return True
    nodes = model.executor.graph.nodes
    chain = all([t.node for t in node.parents] == [before] for before, node in itertools.pairwise(nodes))
    return chain and len({id(node.layer) for node in nodes}) == len(nodes)


def _range(layers: list[Layer], given: Sequence[str] | None) -> tuple[int, int]:
    if given is None:
        return 0, len(layers)
    if isinstance(given, str) or len(given) != 2:
        raise ValueError(
            f"layer_range must be a list or tuple of length 2. Received: layer_range = {given} of "
            f"length {len(given)}"
        )
    if not all(isinstance(name, str) for name in given):
        raise ValueError(f"layer_range should contain string type only. Received: {given}")
    places = [[k for k, layer in enumerate(layers) if re.match(name, layer.name)] for name in given]
    if not all(places):
        raise ValueError(f"Passed layer_names do not match the layer names in the model. Received: {given}")
    lower, upper = min(places[0]), max(places[1])
    return (lower, upper + 1) if lower <= upper else (min(places[1]), max(places[0]) + 1)


def _class_name(layer: Layer) -> str:
    """What Keras calls the class: a model made of tensors is a `Functional` there."""
    name = type(layer).__name__
    return "Functional" if type(layer).__module__ == f"{__package__}.model" and name == "Model" else name


def _output_shape(layer: Layer) -> str:
    if not layer.inbound_nodes:
        return "?"
    shapes = [str(t.shape) for t in layer.inbound_nodes[-1].outputs if isinstance(t, KerasTensor)]
    return shapes[0] if len(shapes) == 1 else f"[{', '.join(shapes)}]"


def _connections(layer: Layer, model: Model) -> str:
    in_model = {id(node) for node in model.executor.graph.nodes}
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


def _widths(ends: list[float], length: int) -> list[int]:
    """Characters of text in each column of a table `length` wide, borders included."""
    widths, current = [], 0
    for end in ends:
        widths.append(int(end * length) - current)
        current += widths[-1]
    if min(widths) < 4:
        raise ValueError("Insufficient console width to print summary.")
    surplus = 3 * len(widths) + 1 + sum(widths) - length  # borders and margins, taken off the columns evenly
    for left in range(len(widths), 0, -1):
        part = round(surplus / left)
        widths[len(widths) - left] -= part
        surplus -= part
    return [max(1, width) for width in widths]


def _table(header: list[str], rows: list[list[str]], widths: list[int]) -> list[str]:
    def lines(cells: list[str], bar: str) -> list[str]:
        wrapped = [_wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
        texts = []
        for k in range(max(map(len, wrapped))):
            parts = [
                _ALIGN.get(title, str.ljust)(part[k] if k < len(part) else "", width)
                for part, width, title in zip(wrapped, widths, header, strict=True)
            ]
            texts.append(f"{bar} " + f" {bar} ".join(parts) + f" {bar}")
        return texts

    def rule(left: str, dash: str, middle: str, right: str) -> str:
        return left + middle.join(dash * (width + 2) for width in widths) + right

    table = [rule("┏", "━", "┳", "┓"), *lines(header, "┃"), rule("┡", "━", "╇", "┩")]
    for number, row in enumerate(rows):
        table += [rule("├", "─", "┼", "┤")] if number else []
        table += lines(row, "│")
    return [*table, rule("└", "─", "┴", "┘")]


def _wrap(text: str, width: int) -> list[str]:
    """Lines of whole words; a word that is too long is cut short."""
    indent = text[: len(text) - len(text.lstrip())]
    found = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    found[0] = indent + found[0].lstrip()
    return [line if len(line) <= width else line[: width - 1] + "…" for line in found]
