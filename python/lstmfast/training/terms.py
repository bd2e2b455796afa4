# SPDX-License-Identifier: BSD-3-Clause
"""The terms of the loss: which losses `compile` was given for which of a model's outputs, by Keras's rules.

A loss may stand for one output or for a list, tuple or dict of them; an output may have several losses. What was given is
walked beside the structure of the outputs: a value alone goes to each output, a list with a loss for each of them is taken
in their order, containers of one type go together part by part, and the entries of a list (or tuple) that meets anything
else are losses of all that it meets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import losses
from ..losses.joint import joint_value_and_grads
from ..symbolic import KerasTensor, flatten, map_leaves, of_type, packed

if TYPE_CHECKING:
    from ..models.model import Model

__all__ = ["Term", "leaves", "outputs_with_loss", "terms_of"]


@dataclass(slots=True)
class Term:
    """One loss.

    Attributes
    ----------
    loss : Loss
    weight : float
    label : str
        Before ``_loss`` in logs.
    output : int or None
        Number of its output; None for one of several together.
    places : int, or list, tuple or dict
        The outputs' numbers, in their structure.
    numbers : list of int
        The same, in a row.
    total : float
        Of the loss over samples, for the log of several terms.
    """

    loss: losses.Loss
    weight: float
    label: str
    output: int | None
    places: Any
    numbers: list[int]
    total: float = 0.0

    def together(self, ys: list[Any], preds: list[Any], weights: list[Any]) -> tuple[Any, list[Any]]:
        """Value and gradients of a loss of several outputs, from the targets, predictions and weights of all.

        Raises
        ------
        ValueError
            If the sample weights of its outputs differ: it has one value for a sample of all.
        """
        first, *others = (weights[k] for k in self.numbers)
        if any(not (w is first or np.array_equal(w, first)) for w in others):
            raise ValueError(
                f"sample_weight: loss {self.loss.name!r} of several outputs together needs the same weights for all of them"
            )
        return joint_value_and_grads(
            self.loss,
            map_leaves(ys.__getitem__, self.places),
            map_leaves(preds.__getitem__, self.places),
            first,
        )

    def symbolic(self, ys: list[Any], preds: list[Any], weights: list[Any]) -> Any:
        """The loss as a part of a graph."""
        from .. import ops  # which are not loaded for nothing

        y, pred = map_leaves(ys.__getitem__, self.places), map_leaves(preds.__getitem__, self.places)
        value = self.loss(y, pred, weights[self.numbers[0]])
        return ops.sum(value) if value.shape else value


@dataclass(slots=True)
class _Given:
    """A loss as `compile` got it, None too, with its weight."""

    loss: Any
    weight: Any = None


def terms_of(model: Model, loss: Any, loss_weights: Any, y_shapes: list[Any]) -> list[Term]:
    """The terms in Keras's order.

    Raises
    ------
    ValueError
        If numbers of losses, weights and outputs do not match.
    KeyError
        If a dict or list of losses has an entry for what is no output.
    """
    names = [None] * len(y_shapes) if model._traced else model.output_names
    shapes = [t.shape for t in model.executor.graph.outputs]
    terms = []
    for given, places, path in _chosen(model, loss, loss_weights):
        numbers = flatten(places)
        output = numbers[0] if isinstance(places, int) else None
        resolved = (
            losses.resolve(given.loss)
            if output is None
            else losses.resolve(given.loss, y_shapes[output], shapes[output])
        )
        assert resolved is not None
        label = _label(path, places, names, resolved.name)
        weight = 1.0 if given.weight is None else float(given.weight)
        terms.append(Term(resolved, weight, label, output, places, numbers))
    if len(terms) > 1 and isinstance(model._output_structure, KerasTensor):
        warnings.warn(
            f"loss={loss}: of several losses of a model's only output the first counts, as in Keras",
            stacklevel=2,
        )
        del terms[1:]
    return terms


def outputs_with_loss(model: Model, loss: Any) -> list[int]:
    """Numbers of the outputs that any loss judges."""
    return sorted({k for _, places, _ in _chosen(model, loss, None) for k in flatten(places)})


def _chosen(model: Model, loss: Any, loss_weights: Any) -> list[tuple[_Given, Any, tuple[Any, ...]]]:
    """Losses with their weights, the outputs for which they stand, and the way to those."""
    structure, names = model._output_structure, model.output_names
    places = packed(model._ordered(structure), range(len(names)))
    if not isinstance(structure, dict):
        loss = _by_names(loss, names, "loss")
        loss_weights = _by_names(loss_weights, names, "loss_weights")
    given = _wrapped(loss)
    if isinstance(given, _Given) and _nested(loss_weights):
        given = map_leaves(lambda _: _Given(loss), places)
    _weigh(given, loss_weights)
    if isinstance(given, _Given):
        given = map_leaves(lambda _: given, places)
    return list(_walk(given, places, ()))


def _nested(value: Any) -> bool:
    """Whether it is a container, and no configuration of an object."""
    return isinstance(value, (list, tuple)) or (isinstance(value, dict) and "class_name" not in value)


def _by_names(given: Any, names: list[str], what: str) -> Any:
    """A dict by the outputs' names as a list in their order, with None for what it lacks."""
    if not isinstance(given, dict) or not _nested(given):
        return given
    if not set(given) <= set(names):
        raise ValueError(
            f"Invalid `{what}`: Expected keys {names} in {what} dict, but found {what}.keys()={list(given)}"
        )
    return [given.get(name) for name in names]


def _wrapped(loss: Any) -> Any:
    """`_Given` for each loss, in its structure."""
    if not _nested(loss):
        return _Given(loss)
    if isinstance(loss, dict):
        return {key: _wrapped(part) for key, part in loss.items()}
    return of_type(loss, [_wrapped(part) for part in loss])


def leaves(given: Any) -> list[Any]:
    """As `flatten`, with each None; configurations of objects are leaves."""
    return [one.loss for one in flatten(_wrapped(given))]


def _weigh(given: Any, weights: Any) -> None:
    """Give each loss its weight: they go together in the order of their leaves."""
    if weights is None:
        return
    if not isinstance(weights, (list, tuple, dict, float, int)):
        raise ValueError(
            "Expected `loss_weights` argument to be a float (single output case) or a list, tuple, or dict (multiple "
            f"output case). Received instead: loss_weights={weights} of type {type(weights)}"
        )
    if isinstance(given, dict) and isinstance(weights, dict):  # what it lacks is not weighted
        unknown = [key for key in weights if key not in given]
        if unknown:
            raise ValueError(
                f"loss_weights: there are no losses for the keys {unknown}, but for {list(given)}"
            )
        given = {key: given[key] for key in weights}
    of_losses, numbers = flatten(given), leaves(weights)
    if len(of_losses) != len(numbers):
        raise ValueError(
            f"`loss_weights` must match the number of losses, got {len(of_losses)} losses and {len(numbers)} weights."
        )
    for one, weight in zip(of_losses, numbers, strict=True):
        if weight is not None and not isinstance(weight, (int, float, np.number)):
            raise ValueError(f"loss_weights: expected numbers, got {weight!r}")
        one.weight = weight


def _walk(given: Any, places: Any, path: tuple[Any, ...]) -> Iterator[tuple[_Given, Any, tuple[Any, ...]]]:
    """Losses and outputs side by side; see the top of this file."""
    if isinstance(given, (list, tuple)):
        alone = all(isinstance(part, _Given) for part in given)
        if alone and len(given) == len(flatten(places)):
            given = packed(places, given)
        elif not isinstance(places, type(given)):
            for part in given:
                yield from _walk(part, places, path)
            return
    if isinstance(given, _Given):
        if given.loss is not None:
            yield given, places, path
        return
    if not isinstance(given, type(places)):
        raise KeyError(
            f"The path: {path} in the `loss` argument, can't be found in the model's output (`y_pred`)."
        )
    for key, part in given.items() if isinstance(given, dict) else enumerate(given):
        if isinstance(part, _Given) and part.loss is None:
            continue
        if key not in places if isinstance(given, dict) else key >= len(places):
            raise KeyError(
                f"The path: {(*path, key)} in the `loss` argument, can't be found in either the model's output (`y_pred`) "
                "or in the labels (`y_true`)."
            )
        yield from _walk(part, places[key], (*path, key))


def _label(path: tuple[Any, ...], places: Any, names: Sequence[str | None], of_loss: str) -> str:
    """The way to the outputs, ended by the last key or the layer's name. Outputs that a model's own `call` gives in a list
    have no names: there it is the name of the loss.
    """
    if isinstance(places, int) and not (path and isinstance(path[-1], str)):
        path = (*path[:-1], names[places] or of_loss)
    if path:
        return "/".join(map(str, path))
    if isinstance(places, dict):
        return "_".join(map(str, places))
    return "_".join(names[k] or of_loss for k in flatten(places))
