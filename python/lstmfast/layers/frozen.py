# SPDX-License-Identifier: BSD-3-Clause
"""What a layer becomes in a frozen model."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["FrozenGraph", "FrozenLayer"]


class FrozenLayer(NamedTuple):
    """An operation of the native program: the method of `_core.Program`, its arguments beside slots and name,
    why a stream cannot run it (None where it can), the operation that continues it, and whether masks end here."""

    kind: str
    arguments: dict[str, Any]
    stream_refusal: str | None = None
    following: FrozenLayer | None = None
    ends_mask: bool = False


class FrozenGraph(NamedTuple):
    """Several operations with what they read: numbers below `inputs` are inputs of the layer, others count the operations
    before. The last one makes the layer's output."""

    inputs: int
    operations: tuple[tuple[FrozenLayer, tuple[int, ...]], ...]
