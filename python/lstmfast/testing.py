# SPDX-License-Identifier: BSD-3-Clause
"""Checks for layers of your own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .layers.arrays import checked_lengths, checked_mask, shapes_of
from .layers.base import Layer
from .layers.call import Call
from .layers.keras_call import has_traces
from .layers.properties import layers_inside
from .variables import Variable

__all__ = ["check_gradients"]

Array = npt.NDArray[Any]

#: Steps of the differences. In float64 truncation and rounding balance near eps**(1/5) for the fourth-order formula;
#: in float32 a larger step keeps rounding small beside the difference.
_STEPS = {"float64": 1e-3, "float32": 2e-2}


def check_gradients(
    layer: Layer,
    x: Any,
    *,
    training: bool = False,
    mask: Any = None,
    lengths: Any = None,
    initial_state: Any = None,
    tolerance: float = 1e-3,
    samples: int = 100,
    seed: int = 0,
    **arguments: Any,
) -> dict[str, float]:
    """Compare a layer's `backward`, or a model's, with differences of its `forward`.

    A random weighting of all outputs (and the penalties of activity regularizers) is differentiated both ways, by
    every input, initial state and trainable weight. Differences are of fourth order (Fornberg 1988, "Generation of
    finite difference formulas on arbitrarily spaced grids"), in float64 where `forward` keeps to the types it is
    given, in float32 where it does not, as in native kernels.

    Parameters
    ----------
    layer : Layer or Model
        Built for the shape of `x` if it is not yet.
    x : array_like, or a list of them
        A point at which the layer is smooth: away from the kink of relu, say. Ids are left alone.
    training : bool
        Run as in training. Random numbers are the same in every run.
    mask, lengths, initial_state
        As in calling the layer; for a model `mask` and `lengths`.
    tolerance : float
        Largest accepted difference, relative to the largest element of the gradient (or to 1% of the largest of all
        gradients where an array's are smaller: what cancels leaves rounding).
    samples : int
        Elements of an array that are checked, at random if it has more.
    seed : int
        Of the weighting, the sample and the layer's random numbers.
    **arguments
        Further arguments of calls that the layer has (as ``use_causal_mask`` of attention).

    Returns
    -------
    dict of str to float
        Error of every array as `tolerance` counts it, by name: ``"x"`` or ``"x[0]"``, ``"x[1]"``...,
        ``"initial_state[0]"``..., and the weights' paths.

    Raises
    ------
    AssertionError
        If an error exceeds the tolerance or a gradient has the wrong shape; the message names the arrays.
    ValueError, TypeError
        If an argument does not fit the layer.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Layer
    >>> from lstmfast.testing import check_gradients
    >>> class Cube(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), "ones", "factor")
    ...     def forward(self, x, call):
    ...         call.saved = x
    ...         return self.factor.value * x**3
    ...     def backward(self, dy, call):
    ...         self.factor.add_grad((dy * call.saved**3).sum(axis=0))
    ...         return dy * self.factor.value * 3 * call.saved  # wrong: the square is missing
    >>> try:
    ...     check_gradients(Cube(name="cube"), np.array([[1.0, 2.0], [0.5, 3.0]]))
    ... except AssertionError as error:
    ...     print(str(error).split(":")[0])
    backward of layer 'cube' differs from differences of forward in x
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be a Layer or a Model, got {layer!r}")
    if not tolerance > 0 or samples < 1:
        raise ValueError(f"tolerance and samples must be positive, got {tolerance!r} and {samples!r}")
    options = {"mask": mask, "lengths": lengths, "initial_state": initial_state}
    subject: _Layer | _Model
    if hasattr(layer, "executor"):
        if initial_state is not None or arguments:
            raise ValueError("initial_state and further arguments are a layer's: a model has inputs for them")
        subject = _Model(layer, x, training, options, seed)
    else:
        subject = _Layer(layer, x, training, options, arguments, seed)
    try:
        errors = _errors(subject, samples, seed)
    finally:
        subject.start.restore()
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    if wrong:
        found = ", ".join(f"{error:.2g} in {name}" for name, error in errors.items())
        raise AssertionError(
            f"backward of layer {layer.name!r} differs from differences of forward in {', '.join(wrong)}: relative "
            f"errors are {found}; accepted is {tolerance:g}"
        )
    return errors


class _Layer:
    """A layer as a function of `arrays` (inputs and initial states) and weights."""

    def __init__(
        self, layer: Layer, x: Any, training: bool, options: Any, arguments: dict[str, Any], seed: int
    ) -> None:
        x = layer._convert(x)
        layer.ensure_built(shapes_of(x))
        if has_traces(layer):  # whose layers inside are built by trying
            layer.output_shapes(shapes_of(x), arguments)
        layer.check_input(x)
        self.layer, self.training, self.seed, self.arguments = layer, training, seed, arguments
        self.several = isinstance(x, list)
        inputs = x if self.several else [x]
        self.mask, self.lengths = checked_mask(options["mask"], x), checked_lengths(options["lengths"], x)
        state = options["initial_state"]
        self.states = [] if state is None else list(layer._checked_state(state, len(inputs[0])))  # type: ignore[attr-defined]
        self.n_inputs = len(inputs)
        self.arrays = [*inputs, *self.states]
        names = [f"x[{k}]" for k in range(len(inputs))] if self.several else ["x"]
        self.names = [*names, *(f"initial_state[{k}]" for k in range(len(self.states)))]
        self.differentiable = [a.dtype.kind == "f" and not layer.integer_inputs for a in inputs]
        self.differentiable += [True] * len(self.states)
        self.variables = list(layer.trainable_variables)
        self.start = _Start(layer)
        self.in_float64 = True

    def run(self, arrays: list[Array], save: bool = False) -> tuple[list[Array], float, Call]:
        self.start.restore()
        call = Call(self.training, save, save, self.mask, self.lengths, rng=np.random.default_rng(self.seed))
        if self.states:
            call.initial_state = tuple(arrays[self.n_inputs :])
        call.arguments = self.arguments
        inputs = arrays[: self.n_inputs]
        y = self.layer.forward(inputs if self.several else inputs[0], call)
        outputs = list(y) if isinstance(y, (tuple, list)) else [y]
        regularizer: Any = self.layer.activity_regularizer
        penalty = float(call.penalty)
        if regularizer is not None:
            penalty += sum(float(regularizer(a)) / len(a) for a in outputs)
        return outputs, penalty, call

    def gradients(self, dys: list[Array]) -> tuple[list[Array], list[Any]]:
        """(outputs, gradients of `arrays` and then of `variables`, None where there is none)."""
        for variable in self.variables:
            variable.clear_grad()
        outputs, _, call = self.run(self.arrays, save=True)
        regularizer: Any = self.layer.activity_regularizer
        if regularizer is not None:
            dys = [d + regularizer.gradient(a) / len(a) for d, a in zip(dys, outputs, strict=True)]
        given = [np.ascontiguousarray(d, np.float32) for d in dys]
        dx = self.layer.backward(tuple(given) if len(given) > 1 else given[0], call)
        found = [*(dx if self.several else [dx]), *((call.d_initial_state or ()) if self.states else ())]
        found += [None] * (len(self.arrays) - len(found))
        return outputs, [*found, *_taken(self.variables)]


class _Model:
    """A model, likewise; its inputs are its only arrays."""

    def __init__(self, model: Any, x: Any, training: bool, options: Any, seed: int) -> None:
        self.arrays: list[Array] = model._standardize(x)
        self.executor, self.training, self.seed = model.executor, training, seed
        self.masks = model.masks_of(options["mask"], self.arrays)
        self.lengths = model.lengths_of(options["lengths"], self.arrays)
        self.names = ["x"] if len(self.arrays) == 1 else [f"x[{k}]" for k in range(len(self.arrays))]
        self.differentiable = [not integers for integers in self.executor.integer_inputs]
        self.variables = list(model.trainable_variables)
        self.start = _Start(model)
        self.in_float64 = False  # its layers get float32

    def run(self, arrays: list[Array], save: bool = False) -> tuple[list[Array], float, Any]:
        self.start.restore()
        plan = self.executor.gradient_plan(of_inputs=True) if save else None
        rng = np.random.default_rng(self.seed)
        run = self.executor.forward(arrays, self.training, plan, self.masks, self.lengths, rng=rng)
        return [run.values[slot] for slot in self.executor.output_slots], float(run.penalty), run

    def gradients(self, dys: list[Array]) -> tuple[list[Array], list[Any]]:
        self.executor.clear_gradients(self.variables)
        outputs, _, run = self.run(self.arrays, save=True)
        found = self.executor.backward(run, [np.ascontiguousarray(d, np.float32) for d in dys])
        return outputs, [*found, *_taken(self.variables)]


def _taken(variables: list[Variable]) -> list[Any]:
    """Copies of the gradients, which are forgotten."""
    grads = [None if v.grad is None else v.grad.copy() for v in variables]
    for variable in variables:
        variable.clear_grad()
    return grads


def _errors(subject: _Layer | _Model, samples: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    shapes = [np.shape(a) for a in subject.run(subject.arrays)[0]]
    weighting = [rng.standard_normal(shape) for shape in shapes]
    _, gradients = subject.gradients(weighting)
    names = [*subject.names, *(v.path for v in subject.variables)]
    values = [*subject.arrays, *(v._data for v in subject.variables)]
    wanted = [*subject.differentiable, *(True for _ in subject.variables)]
    differences = None
    picks = {
        name: rng.permutation(value.size)[:samples]
        for name, value, take in zip(names, values, wanted, strict=True)
        if take
    }
    if subject.in_float64:
        differences = _differences(subject, weighting, names, picks, "float64")
    if differences is None:
        differences = _differences(subject, weighting, names, picks, "float32")
    assert differences is not None
    largest = max((float(np.abs(d).max(initial=0)) for d in differences.values()), default=0.0)
    errors = {}
    for name, value, gradient in zip(names, values, gradients, strict=True):
        if name not in picks:
            continue
        if gradient is not None and np.shape(gradient) != value.shape:
            raise AssertionError(
                f"the gradient of {name} has shape {np.shape(gradient)}, expected {value.shape}"
            )
        expected = differences[name]
        found = np.zeros(len(expected)) if gradient is None else np.ravel(gradient)[picks[name]]
        scale = max(float(np.abs(expected).max(initial=0)), 0.01 * largest, 1e-12)
        errors[name] = float(np.abs(found - expected).max(initial=0)) / scale
    return errors


def _differences(
    subject: _Layer | _Model, weighting: list[Array], names: list[str], picks: dict[str, Array], dtype: str
) -> dict[str, Array] | None:
    """Derivatives by the picked elements of every array; None if `forward` does not compute in this type."""
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in subject.arrays]
    with _weights_as(subject.variables, dtype):
        if dtype == "float64":
            try:
                outputs = subject.run(arrays)[0]
            except TypeError:  # native kernels take float32 alone
                return None
            if any(y.dtype != np.float64 for y in outputs):
                return None
        places: dict[str, tuple[Array, Callable[[], None]]] = {
            name: (array, lambda: None) for name, array in zip(subject.names, arrays, strict=True)
        }
        places.update({v.path: (v._data, v.touch) for v in subject.variables})
        return {
            name: np.array([
                _derivative(subject, arrays, weighting, *places[name], int(k), _STEPS[dtype]) for k in picks[name]
            ])
            for name in names
            if name in picks
        }  # fmt: skip


def _derivative(
    subject: _Layer | _Model,
    arrays: list[Array],
    weighting: list[Array],
    array: Array,
    touch: Callable[[], None],
    index: int,
    step: float,
) -> float:
    flat = array.reshape(-1)
    before = flat[index].copy()
    step *= max(1.0, abs(float(before)))
    total = 0.0
    for distance, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
        flat[index] = before + distance * step
        touch()
        moved = float(flat[index]) - float(before)  # what float32 made of it
        outputs, penalty, _ = subject.run(arrays)
        value = sum(
            float(np.sum(w * np.asarray(y, np.float64))) for w, y in zip(weighting, outputs, strict=True)
        )
        total += weight * (value + penalty) * (distance * step / moved)
    flat[index] = before
    touch()
    return total / step


@contextlib.contextmanager
def _weights_as(variables: list[Variable], dtype: str) -> Iterator[None]:
    kept = [v._data for v in variables]
    for variable in variables:
        variable._data = variable._data.astype(dtype)
        variable.touch()
    try:
        yield
    finally:
        for variable, data in zip(variables, kept, strict=True):
            variable._data = data
            variable.touch()


class _Start:
    """Moving statistics, states and random numbers as they were, before every run and in the end."""

    def __init__(self, layer: Layer) -> None:
        layers: list[Any] = [layer, *layers_inside(layer)]
        self._fixed = [(v, v._data.copy()) for v in layer.non_trainable_variables]
        self._states = [
            (one, [state.numpy() for state in one._states])
            for one in layers
            if getattr(one, "_states", None) is not None
        ]

    def restore(self) -> None:
        for variable, data in self._fixed:
            variable._data[...] = data
            variable.touch()
        for layer, states in self._states:
            layer.states = states
