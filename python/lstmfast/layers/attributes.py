# SPDX-License-Identifier: BSD-3-Clause
"""What layers hold in attributes: found by a walk, and a count of the assignments that may change it."""

from __future__ import annotations

from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from ..variables import Variable

__all__ = ["TrackedAttributes", "assignments", "containers_in_attributes", "held_in_attributes"]

_PLAIN = frozenset({str, int, float, bool, type(None)})
#: What neither is nor holds a metric or a layer.
_LEAVES = _PLAIN | {np.ndarray, Variable, FunctionType, MethodType, BuiltinFunctionType}
#: Attributes of `Layer`, `Model` and `Trainer` that change while a model runs and trains, or hold what `compile` was given.
_OWN = frozenset(
    (
        *("_call_losses", "_packed_weights", "_build_shape", "_given_arguments", "inbound_nodes"),
        *("states", "_states"),
        *(
            "_own_logs",
            "_own_metrics",
            "_objective",
            "_trackers",
            "_train",
            "_compile_arguments",
            "_compile_config",
            "optimizer",
        ),
        *("_trainable_variables", "_non_trainable_variables", "_extra", "_native_loops"),
    )
)

#: How many assignments to attributes of layers there were that may have changed which metrics a model holds.
assignments = [0]


class TrackedAttributes:
    """Notes assignments of metrics, layers and containers to attributes, as Keras's tracker does."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if type(value) not in _LEAVES and name not in _OWN:
            assignments[0] += 1

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        assignments[0] += 1


def held_in_attributes(owner: Any, kind: type[Any], without: frozenset[str] = frozenset()) -> list[Any]:
    """Objects of a kind in attributes, and in lists, tuples and dicts in attributes, nested too; each once."""
    found: dict[int, Any] = {}
    for value in _walk(vars(owner), without):
        if isinstance(value, kind) and value is not owner:
            found.setdefault(id(value), value)
    return list(found.values())


def containers_in_attributes(owner: Any) -> list[Any]:
    """Lists and dicts in attributes, nested too, to which something may be added that nobody assigns."""
    own_class = type(owner).__module__.startswith("lstmfast.")
    without = _OWN | {name for name in vars(owner) if own_class and name.startswith("_")}
    return [value for value in _walk(vars(owner), without) if isinstance(value, (list, dict))]


def _walk(attributes: dict[str, Any], without: frozenset[str]) -> Iterator[Any]:
    """The values, and those in containers behind these; nothing plain."""
    entered: set[int] = set()  # a container may hold itself
    left = [value for name, value in attributes.items() if type(value) not in _PLAIN and name not in without]
    left.reverse()
    while left:
        value = left.pop()
        if isinstance(value, (list, tuple, dict)):
            if id(value) in entered:
                continue
            entered.add(id(value))
            items = value.values() if isinstance(value, dict) else value
            left += reversed([item for item in items if type(item) not in _PLAIN])
        yield value
