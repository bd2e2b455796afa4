# SPDX-License-Identifier: BSD-3-Clause
"""The context of one call of one layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ..random import SeedGenerator

__all__ = ["Call"]

Array = npt.NDArray[Any]


class Call:
    """One call of one layer: what it is given besides its input, and what it leaves for its backward pass.

    Layers keep no state of a call themselves, so one layer may be used many times in a graph and by many
    threads.

    Attributes
    ----------
    training : bool
        Dropout is on.
    save : bool
        `backward` will follow: keep what it needs in `saved`.
    needs_dx : bool
        `backward` must return the gradient of the input; if False it may return None.
    mask : (B, T) bool array or None
        True where a time step counts; a list for layers with several inputs.
    lengths : (B,) int32 array or None
        Number of valid steps in each right-padded row.
    initial_state : tuple of (B, H) arrays or None
    resets : (B, T) bool array or None
        Where the states of recurrent layers are the initial ones again before a step.
    carried_state : tuple of (B, H) arrays or None
        Where recurrent layers begin, if it is not their initial state: it is there that resets lead. For a model inside
        another: a list with one for each of its steps.
    final_state : tuple of (B, H) arrays or None
        Set by `forward` of recurrent layers that are not stateful: truncated back-propagation carries it on.
    rng : numpy.random.Generator
        Source of random numbers in training.
    defer_activation : bool
        Return the values before the last activation: the loss applies it (`lstmfast.losses`).
    arguments : dict
        Further arguments of the call, for layers that have such (``use_causal_mask`` of attention).
    saved : object
        Whatever `forward` leaves for `backward`.
    output_mask : array or None
        A mask that `forward` made on its way: spares a call of `compute_mask`.
    output_lengths : (B,) int32 array or None
        Set by `forward` where lengths of the output depend on more than those of the input: in place of
        `Layer.output_lengths`.
    penalty : float
        Of activity regularizers of layers inside this one, set by `forward`; a model adds it to the loss.
    added : list or None
        Not None once `Layer.add_loss` was called, in the layer or inside it: `backward` gives gradients then even where
        nothing depends on the output. Holds the symbolic losses while a `call` is traced; numbers are in `penalty`.
    d_initial_state, d_carried_state : tuple of arrays or None
        Set by `backward` of recurrent layers.
    d_arguments : dict or None
        Set by `backward` of layers that get arrays among their `arguments`: gradients under the same keys.
    """

    __slots__ = (
        "_rng",
        "added",
        "arguments",
        "carried_state",
        "d_arguments",
        "d_carried_state",
        "d_initial_state",
        "defer_activation",
        "final_state",
        "initial_state",
        "lengths",
        "mask",
        "needs_dx",
        "output_lengths",
        "output_mask",
        "penalty",
        "resets",
        "save",
        "saved",
        "training",
    )

    def __init__(
        self,
        training: bool = False,
        save: bool = False,
        needs_dx: bool = False,
        mask: Any = None,
        lengths: Array | None = None,
        initial_state: Any = None,
        rng: np.random.Generator | None = None,
        defer_activation: bool = False,
        resets: Array | None = None,
    ) -> None:
        self.training = training
        self.save = save
        self.needs_dx = needs_dx
        self.mask = mask
        self.lengths = lengths
        self.initial_state = initial_state
        self.resets = resets
        self._rng = rng
        self.defer_activation = defer_activation
        self.arguments: dict[str, Any] = {}
        self.saved: Any = None
        self.output_mask: Any = None
        self.output_lengths: Array | None = None
        self.penalty = 0.0
        self.added: list[Any] | None = None
        self.carried_state: Any = None
        self.d_initial_state: Any = None
        self.d_carried_state: Any = None
        self.d_arguments: dict[str, Any] | None = None
        self.final_state: Any = None

    def take_losses(self, inner: Call) -> None:
        """Make what a layer inside adds to the loss part of what this one adds."""
        self.penalty += inner.penalty
        if inner.added is not None:
            self.added = []

    @property
    def given_rng(self) -> np.random.Generator | None:
        """The generator that the caller asked for: for calls of layers inside."""
        return self._rng

    @property
    def rng(self) -> np.random.Generator:
        """The generator that the caller asked for, or the global one."""
        if self._rng is None:
            from ..random import global_generator

            return global_generator()
        return self._rng

    def randomness(self, layer: Any) -> np.random.Generator | SeedGenerator:
        """What a layer draws from: the caller's generator, if the layer has no seed of its own, else its `seed_generator`."""
        if self._rng is not None and layer.seed is None:
            return self._rng
        source: SeedGenerator = layer.seed_generator
        return source
