# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of training and of what happens inside a model, drawn with matplotlib (``pip install 'lstmfast[plot]'``).

Every function draws into `ax`, or into a new figure of pyplot's, and returns the Axes. None shows anything: call
``matplotlib.pyplot.show()``, or ``ax.figure.savefig(...)``, which needs no display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_confusion_matrix", "plot_gate_map", "plot_gates", "plot_history", "plot_predictions"]

Array = npt.NDArray[Any]


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("lstmfast.plotting needs matplotlib: pip install 'lstmfast[plot]'") from error
    return pyplot.subplots()[1]


def plot_history(history: Any, metrics: str | Sequence[str] = "loss", *, ax: Axes | None = None) -> Axes:
    """Training curves: a line for each metric over the epochs, dashed on the validation data.

    Parameters
    ----------
    history : History or dict
        What `fit` returned, or its ``history``.
    metrics : str or list of str
        Names without ``val_``.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the history lacks a metric.

    Examples
    --------
    >>> from lstmfast import plotting
    >>> ax = plotting.plot_history({"loss": [3.0, 2.0], "val_loss": [3.5, 2.5]})
    >>> [line.get_label() for line in ax.lines]
    ['loss', 'val_loss']
    """
    logs: Mapping[str, Any] = history if isinstance(history, Mapping) else getattr(history, "history", {})
    epochs = None if isinstance(history, Mapping) else getattr(history, "epoch", None)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    missing = [name for name in names if name not in logs]
    if missing or not names:
        raise ValueError(f"metrics: the history has no {missing}, it has {list(logs)}")
    ax = _axes(ax)
    for name in names:
        values = np.asarray(logs[name], float)
        steps = np.arange(len(values)) if epochs is None else np.asarray(epochs[: len(values)])
        (line,) = ax.plot(steps + 1, values, label=name)
        validation = logs.get(f"val_{name}")
        if validation is not None:
            # Fewer values than epochs: validation_freq was above 1; they are of the last epochs of equal shares.
            at = np.linspace(0, len(steps), len(validation) + 1)[1:].round().astype(int) - 1
            color = line.get_color()
            ax.plot(steps[at] + 1, np.asarray(validation, float), "--", color=color, label=f"val_{name}")
    ax.set_xlabel("epoch")
    ax.set_ylabel(names[0] if len(names) == 1 else "")
    ax.legend()
    return ax


def plot_gates(
    trace: Mapping[str, Array],
    layer: str,
    *,
    keys: Sequence[str] | None = None,
    row: int = 0,
    unit: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Gates and states of a recurrent layer over time, as lines.

    Parameters
    ----------
    trace : dict of str to array
        From `Model.trace`.
    layer : str
        The layer's name, ``"lstm"``; with its direction for Bidirectional, ``"bidirectional/forward"``.
    keys : list of str, optional
        Which of ``i``, ``f``, ``c_tilde``, ``o``, ``c``, ``h``...; by default all that the layer has.
    row : int
        Which sequence of the batch.
    unit : int, optional
        One unit; by default the mean over all.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the trace lacks the layer or a key, or `row` or `unit` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Input, Sequential, layers, plotting
    >>> model = Sequential([Input((None, 2)), layers.GRU(3, name="gru")])
    >>> ax = plotting.plot_gates(model.trace(np.ones((1, 5, 2))), "gru")
    >>> [line.get_label() for line in ax.lines]
    ['h_tilde', 'z', 'r', 'h']
    """
    own = [key.removeprefix(f"{layer}/") for key in trace if key.startswith(f"{layer}/")]
    own = [key for key in own if "/" not in key]
    chosen = own if keys is None else list(keys)
    missing = [key for key in chosen if key not in own]
    if missing or not chosen:
        raise ValueError(f"the trace has no {missing or 'gates'} of layer {layer!r}, it has {sorted(trace)}")
    lines = {}
    for key in chosen:
        values = _row(trace[f"{layer}/{key}"], row)
        if unit is not None and not -values.shape[1] <= unit < values.shape[1]:
            raise ValueError(f"unit must be one of {values.shape[1]}, got {unit!r}")
        lines[key] = values.mean(axis=1) if unit is None else values[:, unit]
    ax = _axes(ax)
    for key, values in lines.items():
        ax.plot(np.arange(len(values)), values, label=key)
    ax.set_xlabel("step")
    ax.set_title(f"{layer}, {'mean of units' if unit is None else f'unit {unit}'}")
    ax.legend()
    return ax


def plot_gate_map(trace: Mapping[str, Array], key: str, *, row: int = 0, ax: Axes | None = None) -> Axes:
    """One gate or state of all units over time, as an image: time to the right, a unit a line.

    Parameters
    ----------
    trace : dict of str to array
        From `Model.trace`.
    key : str
        For example ``"lstm/f"``. Steps that do not count stay blank.
    row : int
        Which sequence of the batch.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        If the trace has no such array (B, T, units), or `row` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Input, Sequential, layers, plotting
    >>> model = Sequential([Input((None, 2)), layers.LSTM(3, name="lstm")])
    >>> ax = plotting.plot_gate_map(model.trace(np.ones((1, 5, 2))), "lstm/f")
    >>> ax.images[0].get_array().shape
    (3, 5)
    """
    if key not in trace:
        raise ValueError(f"key: the trace has no {key!r}, it has {sorted(trace)}")
    values = _row(trace[key], row)
    gate = key.rpartition("/")[2] in ("i", "f", "o", "z", "r")
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    ax = _axes(ax)
    image = ax.imshow(
        values.T,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="viridis" if gate else "RdBu_r",
        vmin=0.0 if gate else -largest,
        vmax=max(1.0, largest) if gate else largest,
    )
    ax.figure.colorbar(image, ax=ax)
    ax.set_xlabel("step")
    ax.set_ylabel("unit")
    ax.set_title(key)
    return ax


def _row(array: Array, row: int) -> Array:
    if array.ndim != 3:
        raise ValueError(f"an array (B, T, units) is needed, got shape {array.shape}")
    if not -len(array) <= row < len(array):
        raise ValueError(f"row must be one of {len(array)}, got {row!r}")
    return np.asarray(array[row])


def plot_confusion_matrix(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    labels: Sequence[Any] | None = None,
    normalize: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """How often each class (a line) was taken for each class (a column), as an image with numbers.

    Parameters
    ----------
    y_true, y_pred : (N,) array_like
        Classes; or, for `y_pred`, (N, C) probabilities of the classes in `labels`, by default 0 .. C - 1.
    labels : sequence, optional
        The classes in their order; by default all that occur, sorted.
    normalize : bool
        Shares of each line rather than counts.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        If the numbers of samples differ, or a class is not among `labels`.

    Examples
    --------
    >>> from lstmfast import plotting
    >>> ax = plotting.plot_confusion_matrix(["a", "b", "b"], ["a", "b", "a"])
    >>> ax.images[0].get_array().tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    true, predicted = np.asarray(y_true).ravel(), np.asarray(y_pred)
    if predicted.ndim == 2 and predicted.shape[1] > 1:
        classes = np.arange(predicted.shape[1]) if labels is None else np.asarray(labels)
        if len(classes) != predicted.shape[1]:
            raise ValueError(
                f"labels must name the {predicted.shape[1]} columns of y_pred, got {len(classes)}"
            )
        predicted = classes[predicted.argmax(axis=1)]
    predicted = predicted.ravel()
    if len(true) != len(predicted) or not len(true):
        raise ValueError(
            f"y_true and y_pred must have equally many samples, got {len(true)} and {len(predicted)}"
        )
    names = np.unique(np.concatenate([true, predicted])) if labels is None else np.asarray(labels)
    places = {name: k for k, name in enumerate(names.tolist())}
    unknown = sorted({*true.tolist(), *predicted.tolist()} - places.keys())
    if unknown:
        raise ValueError(f"labels lack the classes {unknown}")
    counts = np.zeros((len(names), len(names)))
    for a, b in zip(true.tolist(), predicted.tolist(), strict=True):
        counts[places[a], places[b]] += 1
    if normalize:
        counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = _axes(ax)
    image = ax.imshow(counts, cmap="Blues", vmin=0)
    ax.figure.colorbar(image, ax=ax)
    middle = counts.max() / 2
    for (line, column), value in np.ndenumerate(counts):
        text = f"{value:.2f}" if normalize else f"{value:.0f}"
        color = "white" if value > middle else "black"
        ax.text(column, line, text, ha="center", va="center", color=color)
    ax.set_xticks(np.arange(len(names)), [str(name) for name in names.tolist()])
    ax.set_yticks(np.arange(len(names)), [str(name) for name in names.tolist()])
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def plot_predictions(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, *, time: npt.ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """A series and what a model predicted of it.

    Parameters
    ----------
    y_true, y_pred : (T,) or (T, F) array_like
        F features share a colour each; predictions are dashed.
    time : (T,) array_like, optional
        Places on the axis; 0 .. T - 1 by default.
    ax : matplotlib.axes.Axes, optional

    Raises
    ------
    ValueError
        If the shapes differ or are none of the above.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import plotting
    >>> t = np.linspace(0, 6, 50)
    >>> ax = plotting.plot_predictions(np.sin(t), np.sin(t + 0.1), time=t)
    >>> len(ax.lines)
    2
    """
    true, predicted = np.asarray(y_true, float), np.asarray(y_pred, float)
    if predicted.shape == (*true.shape, 1):
        predicted = predicted[..., 0]
    if true.shape != predicted.shape or true.ndim not in (1, 2) or not true.size:
        raise ValueError(
            f"y_true and y_pred must have one shape, (T,) or (T, F), got {true.shape} and {predicted.shape}"
        )
    steps = np.arange(len(true)) if time is None else np.asarray(time)
    if steps.shape != (len(true),):
        raise ValueError(f"time must have shape ({len(true)},), got {steps.shape}")
    ax = _axes(ax)
    columns = [true[:, None], predicted[:, None]] if true.ndim == 1 else [true, predicted]
    for k in range(columns[0].shape[1]):
        suffix = "" if columns[0].shape[1] == 1 else f" {k}"
        (line,) = ax.plot(steps, columns[0][:, k], label=f"true{suffix}")
        ax.plot(steps, columns[1][:, k], "--", color=line.get_color(), label=f"predicted{suffix}")
    ax.set_xlabel("step")
    ax.legend()
    return ax
