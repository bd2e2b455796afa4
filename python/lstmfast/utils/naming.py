# SPDX-License-Identifier: BSD-3-Clause
"""Names for objects that got none: ``dense``, ``dense_1``, ``dense_2``, as Keras counts them."""

from __future__ import annotations

import gc
import re
from collections import Counter
from contextvars import ContextVar
from typing import Any

__all__ = ["clear_session", "names_given", "object_name", "to_snake_case", "unique_name"]

#: How often each name was given; `models.composed` counts anew for what it makes and throws away.
names_given: ContextVar[Counter[str]] = ContextVar("names_given", default=Counter())  # noqa: B039 - one for all threads


def to_snake_case(name: str) -> str:
    """``"SimpleRNN"`` to ``"simple_rnn"``, by Keras's rule.

    Examples
    --------
    >>> from lstmfast.utils.naming import to_snake_case
    >>> to_snake_case("LSTM"), to_snake_case("SimpleRNN"), to_snake_case("TimeDistributed")
    ('lstm', 'simple_rnn', 'time_distributed')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(prefix: str) -> str:
    """`prefix` in snake case, with ``_1``, ``_2``... appended from its second use on."""
    name = to_snake_case(prefix)
    given = names_given.get()
    count = given[name]
    given[name] += 1
    return f"{name}_{count}" if count else name


def object_name(obj: Any) -> str:
    """The `name` of an object, else its `__name__` in snake case, else its class's."""
    name = getattr(obj, "name", None)
    if isinstance(name, str):
        return name
    return to_snake_case(getattr(obj, "__name__", type(obj).__name__))


def clear_session(free_memory: bool = True) -> None:
    """Start the automatic names of layers, metrics and optimizers afresh.

    Parameters
    ----------
    free_memory : bool
        Collect what is no longer used, in circles too.

    Examples
    --------
    >>> from lstmfast.utils.naming import clear_session, unique_name
    >>> clear_session()
    >>> unique_name("LSTM"), unique_name("LSTM")
    ('lstm', 'lstm_1')
    """
    names_given.get().clear()
    if free_memory:
        gc.collect()
