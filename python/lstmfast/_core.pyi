# SPDX-License-Identifier: BSD-3-Clause
# The extension module's types; tests/packaging/test_stub.py holds this against the binary.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float32]

class DenseWeights:
    """A Dense layer's weights, packed for the kernels; immutable."""
    def __init__(self, kernel: _Floats, bias: _Floats | None = None, isa: str = "") -> None: ...
    @property
    def nbytes(self) -> int: ...

class Conv1DWeights:
    """A convolution's weights, packed for the kernels; immutable."""
    def __init__(
        self, kernel: _Floats, bias: _Floats | None = None, groups: int = 1, isa: str = ""
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...

class RecurrentWeights:
    """A recurrent cell's weights, packed for the kernels; immutable."""
    def __init__(
        self,
        cell: str,
        kernel: _Floats,
        recurrent_kernel: _Floats,
        bias: _Floats | None = None,
        activation: str = "tanh",
        recurrent_activation: str = "sigmoid",
        isa: str = "",
        extra: Sequence[_Floats] = (),
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...

class RecurrentTape:
    """What a recurrent forward pass keeps for one backward pass."""
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

_Cell = tuple[str, _Floats, _Floats, _Floats | None, str, str, Sequence[_Floats]]

class Program:
    """Prepacked operations on numbered slots, run in one call."""
    def __init__(self, slots: int, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def activation(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], activation: str
    ) -> None: ...
    def bidirectional(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        forward: _Cell,
        backward: _Cell,
        merge: str,
        return_sequences: bool,
        go_backwards: bool,
        zero_output_for_mask: bool,
        zoneout: tuple[float, float],
    ) -> None: ...
    def concatenate(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def conv1d(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kernel: _Floats,
        bias: _Floats | None,
        stride: int,
        dilation: int,
        groups: int,
        padding: str,
        activation: str,
    ) -> None: ...
    def dense(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kernel: _Floats,
        bias: _Floats | None,
        activation: str,
    ) -> None: ...
    def embedding(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], table: _Floats, mask_zero: bool
    ) -> None: ...
    def pooling(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        pool: str,
        size: int,
        stride: int,
        same: bool,
    ) -> None: ...
    def global_pooling(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], pool: str, keepdims: bool
    ) -> None: ...
    def merge(self, name: str, inputs: Sequence[int], outputs: Sequence[int], join: str) -> None: ...
    def arithmetic(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kind: str,
        constants: _Floats | None,
        reverse: bool,
    ) -> None: ...
    def pick(self, name: str, inputs: Sequence[int], outputs: Sequence[int], step: int) -> None: ...
    def end_mask(self) -> None: ...
    def leaky(self, name: str, inputs: Sequence[int], outputs: Sequence[int], slopes: _Floats) -> None: ...
    def batch_normalization(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        mean: _Floats,
        scale: _Floats,
        gamma: _Floats | None,
        beta: _Floats | None,
    ) -> None: ...
    def group_normalization(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        width: int,
        groups: int,
        gamma: _Floats | None,
        beta: _Floats | None,
        epsilon: float,
    ) -> None: ...
    def unit_normalization(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def reshape(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], steps: int, width: int
    ) -> None: ...
    def discretize(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], boundaries: NDArray[np.float64]
    ) -> None: ...
    def lookup(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        keys: NDArray[np.int64],
        values: NDArray[np.int64],
        other: int,
        buckets: int,
    ) -> None: ...
    def encode(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], mode: str, depth: int, strict: bool
    ) -> None: ...
    def transpose(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def resample(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], times: int, before: int, behind: int
    ) -> None: ...
    def repeat(self, name: str, inputs: Sequence[int], outputs: Sequence[int], steps: int) -> None: ...
    def differs(self, name: str, inputs: Sequence[int], outputs: Sequence[int], value: float) -> None: ...
    def mask_values(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def carry_mask(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def give_mask(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def refuse_mask(self, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None: ...
    def adaptive_pooling(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], pool: str, windows: int
    ) -> None: ...
    def transposed_convolution(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        kernel: _Floats,
        bias: _Floats | None,
        stride: int,
        dilation: int,
        cut: int,
        steps_at_zero: int,
        activation: str,
    ) -> None: ...
    def attention(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        heads: int,
        key_heads: int,
        key_size: int,
        value_size: int,
        scale: float,
        causal: bool,
        window: int,
        pairs: NDArray[np.bool] | None,
        query_mask_hides: bool,
        key_mask_hides: bool,
        zero_blind: bool,
    ) -> None: ...
    def additive_attention(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        value_size: int,
        inner: float,
        outer: _Floats,
        causal: bool,
    ) -> None: ...
    def rectifier(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        max_value: float | None,
        negative_slope: float,
        threshold: float,
    ) -> None: ...
    def masking(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], value: float, clears: bool
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def normalization(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        width: int,
        gamma: _Floats | None,
        beta: _Floats | None,
        epsilon: float,
        centered: bool,
    ) -> None: ...
    def recurrent(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        cell: _Cell,
        return_sequences: bool,
        go_backwards: bool,
        zero_output_for_mask: bool,
        zoneout: tuple[float, float],
    ) -> None: ...
    def run(
        self,
        xs: Sequence[NDArray[Any]],
        lengths: Sequence[NDArray[np.int32] | None] | None = None,
        masks: Sequence[NDArray[np.bool] | None] | None = None,
        outs: Sequence[_Floats | None] | None = None,
    ) -> Any:
        """The output, or a tuple of them."""

class Stream:
    """A program run step by step."""
    def __init__(self, program: Program, batch: int) -> None: ...
    @property
    def batch(self) -> int: ...
    def get_states(self) -> list[_Floats]: ...
    def push(self, x: NDArray[Any], out: _Floats | None = None) -> _Floats: ...
    def reset(self, rows: Sequence[int] | None = None) -> None: ...
    def set_states(self, states: Sequence[_Floats]) -> None: ...
    def step(self, x: Any, out: _Floats | None = None) -> _Floats:
        """One step: x (B, I) to (B, O), float32; or (B,) ids. `out`, a (B, O) float32 array, is written and returned.

        Raises ValueError or TypeError if an array does not fit, RuntimeError if another thread is using the stream.
        """
    @property
    def steps_directly(self) -> bool: ...
    @property
    def takes_ids(self) -> bool: ...

class ParameterGroup:
    """Parameters of a model, updated in place by one call."""
    def __init__(
        self, values: Sequence[_Floats], grads: Sequence[_Floats], slots: int = 0, isa: str = ""
    ) -> None:
        """values and grads: lists of writable float32 arrays, kept by reference; slots: running means a parameter."""
    def adadelta(self, learning_rate: float, rho: float, epsilon: float) -> None: ...
    def adagrad(self, learning_rate: float, epsilon: float) -> None: ...
    def adam(
        self,
        learning_rate: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        step: int,
        amsgrad: bool = False,
    ) -> None: ...
    def adamax(
        self, learning_rate: float, beta_1: float, beta_2: float, epsilon: float, step: int
    ) -> None: ...
    def average_values(self, k: int, keep: float) -> None:
        """Slot k becomes keep times itself and 1 - keep times the values."""
    def clip_global_norm(self, max_norm: float) -> float:
        """Scales all gradients; returns the norm before."""
    def clip_norm(self, max_norm: float) -> None:
        """Scales each gradient by its own norm."""
    def clip_value(self, max_value: float) -> None:
        """Clips each element to -max_value..max_value."""
    def global_norm(self) -> float:
        """Euclidean norm of all gradients."""
    def hold_gradients(self, k: int) -> None:
        """Adds gradients to slot k."""
    def lion(self, learning_rate: float, beta_1: float, beta_2: float) -> None: ...
    def nadam(
        self, learning_rate: float, beta_1: float, beta_2: float, epsilon: float, step: int, product: float
    ) -> None: ...
    def norms(self) -> NDArray[np.float64]:
        """Euclidean norm of each gradient."""
    def release_gradients(self, k: int, factor: float) -> None:
        """Gradients become factor times their sum with slot k, which becomes 0."""
    def rmsprop(
        self, learning_rate: float, rho: float, momentum: float, epsilon: float, centered: bool = False
    ) -> None: ...
    def scale_gradients(self, factor: float) -> None:
        """Multiplies all gradients."""
    def scale_values(self, factors: Sequence[float]) -> None:
        """Multiplies each parameter by its factor."""
    def sgd(self, learning_rate: float, momentum: float = 0.0, nesterov: bool = False) -> None: ...
    def slot(self, k: int) -> list[_Floats]:
        """The k-th running mean of each parameter; writable."""
    @property
    def size(self) -> int:
        """Elements of all parameters."""

def activation_backward(name: str, x: _Floats | None, y: _Floats | None, dy: _Floats) -> _Floats:
    """dx. x may be None except for gelu, gelu_tanh and silu; those need no y."""

def activation_forward(name: str, x: _Floats, out: _Floats | None = None) -> _Floats:
    """Any shape, softmax over the last axis; out may be x."""

def activation_names() -> list[str]:
    """Activations that have kernels."""

def attention_backward(
    q: _Floats,
    k: _Floats,
    v: _Floats,
    scale: float,
    probabilities: _Floats,
    drop: _Floats | None,
    dcontext: _Floats | None,
    dprobabilities: _Floats | None,
) -> tuple[_Floats, _Floats, _Floats]:
    """(dq, dk, dv)."""

def attention_forward(
    q: _Floats,
    k: _Floats,
    v: _Floats,
    scale: float,
    mask: NDArray[np.bool] | None,
    drop: _Floats | None,
    zero_blind: bool,
    keep: bool,
) -> tuple[_Floats, _Floats | None]:
    """(context (B, T, N, V), probabilities (B, N, T, S) or None) from q (B, T, N, K), k (B, S, M, K), v (B, S, M, V), M a
    divisor of N; mask and drop have the shape of the probabilities."""

def available_isas() -> list[str]: ...
def batch_moments(
    x: _Floats, counts: NDArray[np.bool] | None, total: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean (C,), variance (C,)) float64 of the columns of x (M, C), over rows where counts (M,) is True, sums divided by
    total."""

def batch_norm_backward(
    x: _Floats,
    dy: _Floats,
    mean: _Floats,
    scale: _Floats,
    gamma: _Floats | None,
    counts: NDArray[np.bool] | None,
    total: float,
    dgamma: _Floats | None,
    dbeta: _Floats | None,
    accumulate: bool,
    needs_dx: bool,
) -> _Floats | None:
    """dx (M, C) or None; total as in batch_moments, 0 where mean and scale are not x's own. dgamma and dbeta are written
    where they are arrays."""

def batch_norm_forward(
    x: _Floats, mean: _Floats, scale: _Floats, gamma: _Floats | None, beta: _Floats | None
) -> _Floats:
    """(x - mean) * scale * gamma + beta of the columns of x (M, C)."""

def cache_sizes() -> tuple[int, int, int]: ...
def compiled_isas() -> list[str]: ...
def cpus_allowed() -> int: ...
def gil_work() -> int:
    """Operations from which a call releases the interpreter lock."""

def conv1d_backward(
    weights: Conv1DWeights,
    x: _Floats,
    dz: _Floats,
    stride: int,
    dilation: int,
    dkernel: _Floats,
    dbias: _Floats | None,
    accumulate: bool = False,
    needs_dx: bool = True,
) -> _Floats | None: ...
def conv1d_forward(
    weights: Conv1DWeights,
    x: _Floats,
    stride: int = 1,
    dilation: int = 1,
    activation: str = "linear",
    out: _Floats | None = None,
) -> _Floats:
    """Whole windows of x (batch, time, channels) to (batch, outputs, filters)."""

def conv1d_input_gradient(
    weights: Conv1DWeights, dz: _Floats, time: int, stride: int = 1, dilation: int = 1
) -> _Floats:
    """The transposed convolution: dz (batch, outputs, filters) to dx (batch, time, channels)."""

def ctc_beam_search(
    logits: _Floats, input_lengths: NDArray[np.int64], blank: int, beam_width: int, top_paths: int
) -> tuple[NDArray[np.int32], _Floats]:
    """(paths (top_paths, B, T) int32, best first and filled up with -1; log-probabilities (B, top_paths))."""

def ctc_loss(
    logits: _Floats,
    labels: NDArray[np.int64],
    label_lengths: NDArray[np.int64],
    input_lengths: NDArray[np.int64],
    blank: int,
    weight: _Floats | None = None,
    gradient: bool = True,
    isa: str = "",
) -> tuple[_Floats, _Floats | None]:
    """(loss (B,), dlogits (B, T, C) or None) from logits (B, T, C) and labels (B, L) int64."""

def dense_backward(
    weights: DenseWeights,
    x: _Floats,
    dz: _Floats,
    dkernel: _Floats,
    dbias: _Floats | None,
    accumulate: bool = False,
    needs_dx: bool = True,
) -> _Floats | None: ...
def dense_forward(
    weights: DenseWeights, x: _Floats, activation: str = "linear", out: _Floats | None = None
) -> _Floats: ...
def embedding_backward(ids: NDArray[Any], dy: _Floats, dtable: _Floats, accumulate: bool = False) -> None:
    """Adds the rows of dy up into dtable (V, E), or overwrites it."""

def dropout(key: int, rate: float, x: _Floats) -> _Floats:
    """x times a mask that key determines: 0 with probability rate, else 1 / (1 - rate). Of a gradient: the way back."""

def dropout_mask(key: int, rate: float, shape: Sequence[int]) -> _Floats:
    """The mask itself."""

def embedding_forward(table: _Floats, ids: NDArray[Any]) -> _Floats:
    """table (V, E)[ids], ids of any shape, int32 or int64."""

def get_num_threads() -> int: ...
def has_openmp() -> bool: ...
def isa() -> str: ...
def layer_norm_backward(
    x: _Floats,
    dy: _Floats,
    gamma: _Floats | None,
    moments: _Floats,
    centered: bool,
    dgamma: _Floats | None,
    dbeta: _Floats | None,
    accumulate: bool,
    needs_dx: bool,
) -> _Floats | None:
    """dx (M, C) or None; dgamma and dbeta (C,) are written where they are arrays."""

def layer_norm_forward(
    x: _Floats, gamma: _Floats | None, beta: _Floats | None, epsilon: float, centered: bool, keep: bool
) -> tuple[_Floats, _Floats | None]:
    """(y (M, C), moments (M, 2) or None) from rows x (M, C), gamma (C,) and beta (C,) or None; not centered: divided by
    the root mean square. keep: also what the way back needs."""

def meeting_ns() -> int: ...
def mean_squared_error(
    pred: _Floats, target: _Floats, weight: _Floats | None = None
) -> tuple[_Floats, _Floats]:
    """(loss (M,), dpred (M, C)); the mean over C."""

def orthonormalize(a: NDArray[np.float64], isa: str = "") -> bool:
    """Makes the columns of a (m, n) float64, m >= n, orthonormal in place; False, a being half done, where they are nearly dependent."""

def recurrent_backward(
    weights: RecurrentWeights,
    tape: RecurrentTape,
    dy: _Floats | None,
    dstates: Sequence[_Floats | None] | None,
    dkernel: _Floats,
    drecurrent: _Floats,
    dbias: _Floats | None,
    accumulate: bool = False,
    needs_dx: bool = True,
    dextra: Sequence[_Floats] = (),
) -> tuple[_Floats | None, tuple[_Floats, ...], tuple[_Floats, ...] | None]: ...
def recurrent_forward(
    weights: RecurrentWeights,
    x: _Floats,
    initial_state: Sequence[_Floats | None] | None = None,
    mask: NDArray[np.bool] | None = None,
    lengths: NDArray[np.int32] | None = None,
    recurrent_mask: _Floats | None = None,
    input_mask: _Floats | None = None,
    return_sequences: bool = False,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
    save: bool = False,
    out: _Floats | None = None,
    resets: NDArray[np.bool] | None = None,
    zoneout: tuple[float, float] = (0.0, 0.0),
    zoneout_key: int | None = None,
    first_step: int = 0,
    carried_state: Sequence[_Floats] | None = None,
) -> tuple[_Floats, tuple[_Floats, ...], RecurrentTape | None]: ...
def recurrent_tape_gates(weights: RecurrentWeights, tape: RecurrentTape) -> tuple[_Floats, _Floats] | None:
    """The gates buffer (V, B, T, H) and the state a unit (B, T, H) of a forward pass with save=True; NaN at steps that do
    not count. None if the cell keeps none."""

def release_memory() -> int:
    """Give recycled scratch memory back to the system; returns the bytes."""

def set_num_threads(n: int) -> None: ...
def sigmoid_cross_entropy(
    logits: _Floats, targets: _Floats, weight: _Floats | None = None
) -> tuple[_Floats, _Floats, _Floats]:
    """(loss (M,), dlogits (M, C), probabilities (M, C)); the mean over C."""

def softmax_cross_entropy(
    logits: _Floats,
    labels: NDArray[np.int64] | None = None,
    targets: _Floats | None = None,
    weight: _Floats | None = None,
) -> tuple[_Floats, _Floats, _Floats]:
    """(loss (M,), dlogits (M, C), probabilities (M, C)) from logits (M, C) and labels (M,) or targets (M, C)."""

__version__: str = "0.1.0"
testing: Any
