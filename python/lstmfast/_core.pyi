# SPDX-License-Identifier: BSD-3-Clause
# The extension module's types; tests/packaging/test_stub.py holds this against the binary.
from __future__ import annotations
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

class DenseWeights:
    """A Dense layer's weights, packed for the kernels; immutable."""
    def __init__(self, kernel: Floats, bias: Floats | None = None, isa: str = '') -> None:
        ...
    @property
    def nbytes(self) -> int:
        ...
class RecurrentWeights:
    """A recurrent cell's weights, packed for the kernels; immutable."""
    def __init__(self, cell: str, kernel: Floats, recurrent_kernel: Floats, bias: Floats | None = None, activation: str = 'tanh', recurrent_activation: str = 'sigmoid', isa: str = '') -> None:
        ...
    @property
    def nbytes(self) -> int:
        ...
class RecurrentTape:
    """What a recurrent forward pass keeps for one backward pass."""
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
class ParameterGroup:
    """Parameters of a model, updated in place by one call."""
    def __init__(self, values: Sequence[Floats], grads: Sequence[Floats], slots: int = 0, isa: str = '') -> None:
        """values and grads: lists of writable float32 arrays, kept by reference; slots: running means a parameter."""
    def adam(self, learning_rate: float, beta_1: float, beta_2: float, epsilon: float, step: int) -> None:
        ...
    def clip_global_norm(self, max_norm: float) -> float:
        """Scales all gradients; returns the norm before."""
    def clip_norm(self, max_norm: float) -> None:
        """Scales each gradient by its own norm."""
    def clip_value(self, max_value: float) -> None:
        """Clips each element to -max_value..max_value."""
    def global_norm(self) -> float:
        """Euclidean norm of all gradients."""
    def norms(self) -> NDArray[np.float64]:
        """Euclidean norm of each gradient."""
    def sgd(self, learning_rate: float, momentum: float = 0.0, nesterov: bool = False) -> None:
        ...
    def slot(self, k: int) -> list[Floats]:
        """The k-th running mean of each parameter; writable."""
    @property
    def size(self) -> int:
        """Elements of all parameters."""
def activation_backward(name: str, x: Floats | None, y: Floats | None, dy: Floats) -> Floats:
    """dx. x may be None except for gelu, gelu_tanh and silu; those need no y."""
def activation_forward(name: str, x: Floats, out: Floats | None = None) -> Floats:
    """Any shape, softmax over the last axis; out may be x."""
def activation_names() -> list[str]:
    """Activations that have kernels."""
def available_isas() -> list[str]:
    ...
def cache_sizes() -> tuple[int, int, int]:
    ...
def compiled_isas() -> list[str]:
    ...
def cpus_allowed() -> int:
    ...
def dense_backward(weights: DenseWeights, x: Floats, dz: Floats, dkernel: Floats, dbias: Floats | None, accumulate: bool = False, needs_dx: bool = True) -> Floats | None:
    ...
def dense_forward(weights: DenseWeights, x: Floats, activation: str = 'linear', out: Floats | None = None) -> Floats:
    ...
def embedding_backward(ids: NDArray[Any], dy: Floats, dtable: Floats, accumulate: bool = False) -> None:
    """Adds the rows of dy up into dtable (V, E), or overwrites it."""
def embedding_forward(table: Floats, ids: NDArray[Any]) -> Floats:
    """table (V, E)[ids], ids of any shape, int32 or int64."""
def get_num_threads() -> int:
    ...
def has_openmp() -> bool:
    ...
def isa() -> str:
    ...
def mean_squared_error(pred: Floats, target: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """(loss (M,), dpred (M, C)); the mean over C."""
def recurrent_backward(weights: RecurrentWeights, tape: RecurrentTape, dy: Floats | None, dstates: Sequence[Floats | None] | None, dkernel: Floats, drecurrent: Floats, dbias: Floats | None, accumulate: bool = False, needs_dx: bool = True) -> tuple[Floats | None, tuple[Floats, ...]]:
    ...
def recurrent_forward(weights: RecurrentWeights, x: Floats, initial_state: Sequence[Floats | None] | None = None, mask: NDArray[np.bool] | None = None, lengths: NDArray[np.int32] | None = None, recurrent_mask: Floats | None = None, return_sequences: bool = False, go_backwards: bool = False, zero_output_for_mask: bool = False, save: bool = False, out: Floats | None = None) -> tuple[Floats, tuple[Floats, ...], RecurrentTape | None]:
    ...
def release_memory() -> int:
    """Give recycled scratch memory back to the system; returns the bytes."""
def set_num_threads(n: int) -> None:
    ...
def sigmoid_cross_entropy(logits: Floats, targets: Floats, weight: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """(loss (M,), dlogits (M, C), probabilities (M, C)); the mean over C."""
def softmax_cross_entropy(logits: Floats, labels: NDArray[np.int64] | None = None, targets: Floats | None = None, weight: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """(loss (M,), dlogits (M, C), probabilities (M, C)) from logits (M, C) and labels (M,) or targets (M, C)."""
__version__: str = '0.1.0'
testing: Any
