# SPDX-License-Identifier: BSD-3-Clause
"""A picture of a model's graph: through Graphviz where its ``dot`` is installed, else with matplotlib."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["model_to_dot", "plot_model"]


class _Box(NamedTuple):
    name: str
    lines: list[str]


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> str:
    """The graph of a model in Graphviz's language; arguments as in `plot_model`, `subgraph` must be False.

    Examples
    --------
    >>> from lstmfast import Input, Sequential, layers, utils
    >>> "GRU" in utils.model_to_dot(Sequential([Input((None, 3)), layers.GRU(2)]))
    True
    """
    _checked_direction(rankdir)
    if expand_nested or subgraph:
        raise ValueError(
            "expand_nested and subgraph must be False: a model inside another is drawn as one box"
        )
    shown = (show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    boxes, edges = _graph(model, *shown)
    number = {box.name: k for k, box in enumerate(boxes)}
    lines = [
        f"digraph model {{ rankdir={rankdir}; dpi={dpi}; splines={_splines(splines)}; node [shape=box, fontname=Helvetica];"
    ]
    for box in boxes:
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in box.lines)
        lines.append(f'  n{number[box.name]} [label="{label}"];')
    lines += [f"  n{number[a]} -> n{number[b]};" for a, b in edges]
    return "\n".join([*lines, "}"]) + "\n"


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> None:
    """Draw a model's layers and what they pass to each other into a file.

    Parameters
    ----------
    model : Model
        Built.
    to_file : str or path-like
        The ending decides on the format (png, svg, pdf); ``.dot`` gets Graphviz's source.
    show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable : bool
        What a box says beside the layer's class.
    rankdir : {"TB", "LR"}
        From top to bottom, or left to right.
    expand_nested : bool
        Must be False: a model inside is drawn as one box.
    splines : {"ortho", "curved", "polyline", "spline", "line"}
        How Graphviz draws the edges.
    dpi : int

    Raises
    ------
    ValueError
        If the model is not built, or an argument has none of the values above.
    ImportError
        If neither Graphviz nor matplotlib is installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from lstmfast import Input, Sequential, layers, utils
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.dot"
    >>> utils.plot_model(Sequential([Input((None, 3)), layers.LSTM(4)]), path)
    >>> path.read_text().startswith("digraph")
    True
    """
    if expand_nested:
        raise ValueError("expand_nested=True is not supported: plot the inner model by itself")
    path = os.fspath(to_file)
    shown = (show_shapes, show_dtype, show_layer_names)
    source = model_to_dot(
        model,
        *shown,
        rankdir,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
    )
    ending = os.path.splitext(path)[1][1:] or "png"
    if ending == "dot":
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        return
    import shutil  # importing these takes as long as the rest of utils
    import subprocess

    program = shutil.which("dot")
    if program is not None:
        subprocess.run([program, f"-T{ending}", "-o", path], input=source.encode(), check=True)
        return
    boxes, edges = _graph(model, *shown, show_layer_activations, show_trainable)
    _figure(boxes, edges, rankdir == "TB").savefig(path, dpi=dpi, bbox_inches="tight")


def _splines(given: str) -> str:
    kinds = ("ortho", "curved", "polyline", "spline", "line")
    if given not in kinds:
        raise ValueError(f"splines must be one of {kinds}, got {given!r}")
    return given


def _checked_direction(rankdir: str) -> None:
    if rankdir not in ("TB", "LR"):
        raise ValueError(f"rankdir must be 'TB' or 'LR', got {rankdir!r}")


def _graph(
    model: Model, shapes: bool, dtype: bool, names: bool, activations: bool, trainable: bool
) -> tuple[list[_Box], list[tuple[str, str]]]:
    """A box for each layer, inputs included, and the pairs of names that an arrow joins."""
    graph = model.executor.graph
    boxes: dict[str, _Box] = {}
    edges: dict[tuple[str, str], None] = {}
    for node in graph.nodes:
        layer = node.layer
        if layer.name not in boxes:
            kind = type(layer).__name__
            lines = [f"{layer.name} ({kind})" if names else kind]
            if activations and hasattr(layer, "activation"):
                lines.append(f"Activation: {getattr(layer.activation, '__name__', layer.activation)}")
            if shapes:
                lines.append("Output shape: " + ", ".join(str(t.shape) for t in node.outputs))
            if dtype:
                lines.append("Output dtype: " + ", ".join(t.dtype for t in node.outputs))
            if trainable:
                lines.append("Trainable" if layer.trainable else "Non-trainable")
            boxes[layer.name] = _Box(layer.name, lines)
        for tensor in node.parents:
            edges[tensor.origin.layer.name, layer.name] = None
    return list(boxes.values()), list(edges)


def _figure(boxes: list[_Box], edges: list[tuple[str, str]], down: bool) -> Any:
    """The boxes in ranks by their distance from the inputs."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot_model needs Graphviz (its program dot) or matplotlib: pip install 'lstmfast[plot]'"
        ) from error
    rank: dict[str, int] = {}
    for box in boxes:  # in an order in which sources come first; a shared layer keeps its first place
        rank[box.name] = max((rank[a] + 1 for a, b in edges if b == box.name and a in rank), default=0)
    ranks: dict[int, list[str]] = {}
    for name, level in rank.items():
        ranks.setdefault(level, []).append(name)
    place = {}
    for level, names in ranks.items():
        for k, name in enumerate(names):
            across = k - (len(names) - 1) / 2
            place[name] = (across, -level) if down else (level, -across)
    broad = max(map(len, ranks.values()))
    size = (3.2 * broad, 0.9 * len(ranks)) if down else (3.2 * len(ranks), 0.9 * broad)
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for box in boxes:
        x, y = place[box.name]
        style = {"boxstyle": "round", "facecolor": "white", "edgecolor": "black"}
        axes.text(x, y, "\n".join(box.lines), ha="center", va="center", fontsize=9, bbox=style, zorder=2)
    for a, b in edges:
        arrow = {"arrowstyle": "->", "shrinkA": 12, "shrinkB": 12}
        axes.annotate("", xy=place[b], xytext=place[a], arrowprops=arrow, zorder=1)
    xs, ys = zip(*place.values(), strict=True)
    axes.set_xlim(min(xs) - 0.6, max(xs) + 0.6)
    axes.set_ylim(min(ys) - 0.6, max(ys) + 0.6)
    return figure
