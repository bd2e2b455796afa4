# SPDX-License-Identifier: BSD-3-Clause
"""Every kernel in plain NumPy float64: the specification, and what the tests compare the kernels with.

Nothing here is fast and nothing in the package calls it at run time; activations and cells are in
`reference_cells.py`, optimizers in `reference_optimizers.py`, normalization in `reference_normalization.py`,
attention in `reference_attention.py`.
Dimensions: ``B`` batch, ``T`` time, ``I`` inputs, ``H`` units, ``G`` gates; ``M`` rows, ``K`` inputs, ``N`` outputs
of a dense layer, ``C`` columns.
Forward functions return what the backward function of the same name needs; every backward function is checked
against finite differences in ``tests/test_reference.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .reference_attention import attention_backward as attention_backward
from .reference_attention import attention_forward as attention_forward
from .reference_cells import CELLS as CELLS
from .reference_cells import Array, States, _f64, _sigmoid
from .reference_cells import activation_backward as activation_backward
from .reference_cells import activation_forward as activation_forward
from .reference_cells import activation_names as activation_names
from .reference_normalization import layer_norm_backward as layer_norm_backward
from .reference_normalization import layer_norm_forward as layer_norm_forward
from .reference_optimizers import adadelta as adadelta
from .reference_optimizers import adagrad as adagrad
from .reference_optimizers import adam as adam
from .reference_optimizers import adamax as adamax
from .reference_optimizers import clip_global_norm as clip_global_norm
from .reference_optimizers import global_norm as global_norm
from .reference_optimizers import lion as lion
from .reference_optimizers import nadam as nadam
from .reference_optimizers import rmsprop as rmsprop
from .reference_optimizers import sgd as sgd

# --- Dense, Conv1D and Embedding


def dense_forward(kernel: Any, bias: Any, x: Any, activation: str = "linear") -> Array:
    """``y = f(x W + b)``, x (M, K), W (K, N), b (N,) or None."""
    z = _f64(x) @ _f64(kernel)
    return activation_forward(activation, z if bias is None else z + _f64(bias))


def dense_backward(kernel: Any, x: Any, dz: Any) -> tuple[Array, Array, Array]:
    """``dx = dz W^T``, ``dW = x^T dz``, ``db`` = dz summed over rows; dz: before the activation."""
    x, dz = _f64(x), _f64(dz)
    return dz @ _f64(kernel).T, x.T @ dz, dz.sum(axis=0)


def conv1d_forward(kernel: Any, bias: Any, x: Any, stride: int = 1, dilation: int = 1) -> Array:
    """``y[b, t] = bias + sum over k of x[b, t*stride + k*dilation] W[k]`` over whole windows: x (B, T, C),
    W (K, C/groups, F), bias (F,) or None; group g's filters see the channels of group g."""
    kernel, x = _f64(kernel), _f64(x)
    taps, width, filters = kernel.shape
    outputs = (x.shape[1] - (taps - 1) * dilation - 1) // stride + 1
    groups = x.shape[2] // width
    y = np.zeros((len(x), outputs, filters)) + (0 if bias is None else _f64(bias))
    for tap, g in np.ndindex(taps, groups):
        f, c = np.arange(filters).reshape(groups, -1)[g], slice(g * width, (g + 1) * width)
        steps = x[:, tap * dilation :: stride, c][:, :outputs]
        y[..., f] += steps @ kernel[tap][:, f]
    return np.asarray(y)


def conv1d_backward(
    kernel: Any, x: Any, dz: Any, stride: int = 1, dilation: int = 1
) -> tuple[Array, Array, Array]:
    """dx, dW and db from dz (B, outputs, F), the gradient before the activation."""
    kernel, x, dz = _f64(kernel), _f64(x), _f64(dz)
    taps, width, filters = kernel.shape
    groups, outputs = x.shape[2] // width, dz.shape[1]
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for tap, g in np.ndindex(taps, groups):
        f, c = np.arange(filters).reshape(groups, -1)[g], slice(g * width, (g + 1) * width)
        steps = slice(tap * dilation, tap * dilation + (outputs - 1) * stride + 1, stride)
        dkernel[tap][:, f] = np.einsum("btc,btf->cf", x[:, steps, c], dz[..., f])
        dx[:, steps, c] += dz[..., f] @ kernel[tap][:, f].T
    return dx, dkernel, dz.sum(axis=(0, 1))


def embedding_forward(table: Any, ids: Any) -> Array:
    """Row ``ids[...]`` of `table` (V, E) for each id."""
    return np.asarray(_f64(table)[np.asarray(ids)])


def embedding_backward(ids: Any, dy: Any, vocabulary: int) -> Array:
    """Gradient of the table: rows of dy added up where an id repeats."""
    dy = _f64(dy)
    d_table = np.zeros((vocabulary, dy.shape[-1]))
    np.add.at(d_table, np.asarray(ids).ravel(), dy.reshape(-1, dy.shape[-1]))
    return d_table


# --- Random masks


def philox(key: int, counter: Any) -> Array:
    """Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011): four 32-bit words for a 64-bit key and each counter (N, 4)."""
    c = np.asarray(counter, np.uint64).reshape(-1, 4).T
    k0, k1, low = key & 0xFFFFFFFF, key >> 32, np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for _ in range(10):
        x, y = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = np.stack([y >> shift ^ c[1] ^ np.uint64(k0), y & low, x >> shift ^ c[3] ^ np.uint64(k1), x & low])
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c.T


def random_bits(key: int, stream: Any, n: int) -> Array:
    """The first n 32-bit numbers of a stream (three numbers): element i is word ``i % 64 // 16`` of block ``i // 64 * 16 + i % 16``."""
    i = np.arange(n)
    block = i // 64 * 16 + i % 16
    counter = np.column_stack([block, *(np.full(n, s) for s in stream)])
    return philox(key, counter)[i, i % 64 // 16]


# --- Sequences: the loop over time, written once for every cell


@dataclass
class Tape:
    """What `recurrent_backward` needs of a forward call."""

    cell: str
    kernel: Array
    recurrent_kernel: Array
    x: Array
    recurrent_mask: Array
    input_mask: Array
    order: list[int]
    active: Array
    shown: Array
    last_shown: Array
    activations: tuple[str, str]
    return_sequences: bool
    extra: States
    resets: Array
    keeps: list[Array]
    steps: list[Any]


def recurrent_forward(
    cell: str,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    x: Any,
    initial_state: Any = None,
    mask: Any = None,
    lengths: Any = None,
    recurrent_mask: Any = None,
    input_mask: Any = None,
    *,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
    return_sequences: bool = False,
    go_backwards: bool = False,
    zero_output_for_mask: bool = False,
    resets: Any = None,
    zoneout: Any = None,
    extra: Any = (),
) -> tuple[Array, States, Tape]:
    """A sequence: ``z_t = x_t W + (h_{t-1} * recurrent_mask) U + b``, then the cell's equations.

    Parameters
    ----------
    cell : a key of `CELLS`
    kernel (I, G*H), recurrent_kernel (H, G*H), bias (G*H,) - of "gru" (2, G*H), the second row beside h - or None
        With a projection h has P elements rather than H here and below, recurrent_kernel is (P, G*H).
    x : (B, T, I)
    initial_state : tuple of (B, H), h first; None is zeros
    mask : (B, T) bool or None. Where it is False the states are carried over and the output repeats h
        (Keras 3's NumPy and JAX backends), or is 0 with `zero_output_for_mask`.
    lengths : (B,) int or None. Steps ``t >= lengths[b]`` do not exist: states stay, outputs are 0.
    recurrent_mask : (B, H), or (B, G, H) with one mask a gate as Keras draws them; scaled already
    input_mask : (B, G, I): likewise for x
    go_backwards : walk from the last step to the first; ``y[:, s]`` belongs to ``x[:, T-1-s]`` (Keras)
    resets : (B, T) bool or None. Where it is True the states are the initial ones again before that step (of those that
        exist, masked or not).
    zoneout : shares of the states before that the new ones keep (Krueger et al. 2016), one for each state, of shapes
        that broadcast to (T, B, H), for a projected h (T, B, P), in the order of processing: random zeros and ones in
        training, the rate in inference. The cell's own equations see what it made before the mixture, and what is kept
        is h itself, not h times `recurrent_mask`
    extra : the weights that the cell has beside these three, of the shapes that its `extra_shapes` gives

    Returns
    -------
    y : (B, T, H), or (B, H): the output at the last step that exists (h_0 where there is none)
    states : the final states, h first
    tape : for `recurrent_backward`
    """
    x, w, u = _f64(x), _f64(kernel), _f64(recurrent_kernel)
    spec = CELLS[cell]
    n_batch, n_time, _ = x.shape
    outputs, units = u.shape[0], w.shape[1] // spec.gates
    u_by_gate = u.reshape(outputs, spec.gates, units)
    if initial_state is None:
        states: States = tuple(np.zeros((n_batch, size)) for size in (outputs, units)[: spec.states])
    else:
        states = tuple(_f64(s) for s in initial_state)
    rmask = np.ones((n_batch, 1, outputs)) if recurrent_mask is None else _f64(recurrent_mask)
    rmask = rmask.reshape(n_batch, -1, outputs)

    n_valid = np.full(n_batch, n_time) if lengths is None else np.asarray(lengths)
    exists = np.arange(n_time) < n_valid[:, None]
    active = exists if mask is None else exists & np.asarray(mask, dtype=bool)
    shown = active if zero_output_for_mask else exists  # steps whose output is h rather than 0
    last = np.zeros(n_batch, int) if go_backwards else np.maximum(n_valid - 1, 0)
    last_shown = shown[np.arange(n_batch), last] | (n_valid == 0)

    imask = np.ones((n_batch, 1, w.shape[0])) if input_mask is None else _f64(input_mask)
    x_used = np.broadcast_to(x[:, :, None] * imask[:, None], (n_batch, n_time, spec.gates, w.shape[0]))
    z_x = np.einsum("btgi,igk->btgk", x_used, w.reshape(-1, spec.gates, units)).reshape(n_batch, n_time, -1)
    biases = np.zeros((2, spec.gates * units))
    if bias is not None:
        biases[spec.bias_row : spec.bias_row + spec.biases] = _f64(bias).reshape(spec.biases, -1)
    z_x = (z_x + biases[0]).reshape(n_batch, n_time, spec.gates, units)
    h_bias = biases[1].reshape(spec.gates, units)
    extra = tuple(_f64(e) for e in extra)
    anew = np.zeros_like(exists) if resets is None else exists & np.asarray(resets, dtype=bool)
    initial = states
    keeps = [
        np.broadcast_to(0.0 if zoneout is None else _f64(zoneout[k]), (n_time, *state.shape))
        for k, state in enumerate(states)
    ]
    order = list(range(n_time - 1, -1, -1) if go_backwards else range(n_time))
    y = np.zeros((n_batch, n_time, outputs))
    steps = []
    for s, t in enumerate(order):
        states = tuple(np.where(anew[:, t, None], a, b) for a, b in zip(initial, states, strict=True))
        h_used = np.broadcast_to(states[0][:, None] * rmask, (n_batch, spec.gates, outputs))
        new, kept = spec.step(
            z_x[:, t], h_used, u_by_gate, h_bias, states, activation, recurrent_activation, *extra
        )
        new = tuple(keep[s] * b + (1 - keep[s]) * a for keep, a, b in zip(keeps, new, states, strict=True))
        states = tuple(np.where(active[:, t, None], a, b) for a, b in zip(new, states, strict=True))
        y[:, s] = np.where(shown[:, t, None], states[0], 0.0)
        steps.append(kept)
    functions = (activation, recurrent_activation)
    tape = Tape(
        cell,
        w,
        u,
        x,
        rmask,
        imask,
        order,
        active,
        shown,
        last_shown,
        functions,
        return_sequences,
        extra,
        anew,
        keeps,
        steps,
    )
    return (y if return_sequences else np.where(last_shown[:, None], states[0], 0.0)), states, tape


def recurrent_backward(tape: Tape, dy: Any, dstates: Any = None) -> Any:
    """Backpropagation through time (Werbos 1990).

    Parameters
    ----------
    tape : from `recurrent_forward`
    dy : gradient of its y, or None
    dstates : gradients of the final states, each (B, H) or None; or None

    Returns
    -------
    dx (B, T, I), d_initial_state (tuple of (B, H)), dkernel, drecurrent_kernel, dbias in the bias's shape; and
    the gradients of `extra`
    """
    spec = CELLS[tape.cell]
    n_batch, n_time, _ = tape.x.shape
    outputs, units = tape.recurrent_kernel.shape[0], tape.kernel.shape[1] // spec.gates
    u_by_gate = tape.recurrent_kernel.reshape(outputs, spec.gates, units)
    d = [np.zeros((n_batch, size)) for size in (outputs, units)[: spec.states]]
    for k, given in enumerate(dstates or ()):
        if given is not None:
            d[k] = d[k] + _f64(given)
    dy = None if dy is None else _f64(dy)
    if dy is not None and not tape.return_sequences:
        d[0] = d[0] + np.where(tape.last_shown[:, None], dy, 0.0)
    dz = np.zeros((n_batch, n_time, spec.gates, units))
    du, dbias_h = np.zeros_like(u_by_gate), np.zeros((spec.gates, units))
    dextra = [np.zeros_like(e) for e in tape.extra]
    d_initial = [np.zeros_like(g) for g in d]
    for s, t in reversed(list(enumerate(tape.order))):
        if dy is not None and tape.return_sequences:
            d[0] = d[0] + np.where(tape.shown[:, t, None], dy[:, s], 0.0)
        active = tape.active[:, t, None]
        d_mixed = [np.where(active, g, 0.0) for g in d]
        d_new = tuple((1 - keep[s]) * g for keep, g in zip(tape.keeps, d_mixed, strict=True))
        dz[:, t], dh_used, direct, du_step, dbias_step, *dextra_step = spec.step_backward(
            tape.steps[s], d_new, u_by_gate, *tape.activations, *tape.extra
        )
        du += du_step
        dbias_h += dbias_step
        for total, part in zip(dextra, dextra_step, strict=True):
            total += part
        through = [(dh_used * tape.recurrent_mask).sum(axis=1), *(0.0 for _ in direct[1:])]
        kept = [keep[s] * g for keep, g in zip(tape.keeps, d_mixed, strict=True)]
        d = [
            np.where(active, 0.0, g) + a + b + c for g, a, b, c in zip(d, through, direct, kept, strict=True)
        ]
        anew = tape.resets[:, t, None]
        d_initial = [total + np.where(anew, g, 0.0) for total, g in zip(d_initial, d, strict=True)]
        d = [np.where(anew, 0.0, g) for g in d]
    x_used = np.broadcast_to(tape.x[:, :, None] * tape.input_mask[:, None], (*dz.shape[:3], tape.x.shape[2]))
    w_by_gate = tape.kernel.reshape(-1, spec.gates, units)
    dbias = np.stack([dz.sum(axis=(0, 1)).ravel(), dbias_h.ravel()])
    dbias = dbias[spec.bias_row : spec.bias_row + spec.biases]
    dx = (np.einsum("btgk,igk->btgi", dz, w_by_gate) * tape.input_mask[:, None]).sum(axis=2)
    return (
        dx,
        tuple(total + g for total, g in zip(d_initial, d, strict=True)),
        np.einsum("btgi,btgk->igk", x_used, dz).reshape(tape.kernel.shape),
        du.reshape(tape.recurrent_kernel.shape),
        dbias[0] if spec.biases == 1 else dbias,
        *dextra,
    )


def lstm_forward(
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any,
    x: Any,
    *,
    peephole_kernel: Any = None,
    layer_norm: Any = (),
    projection_kernel: Any = None,
    **options: Any,
) -> tuple[Array, States, Tape]:
    """`recurrent_forward` with the LSTM cell; `layer_norm`: its six weights."""
    given = {
        "peephole": () if peephole_kernel is None else (peephole_kernel,),
        "layer_norm": tuple(layer_norm),
        "projection": () if projection_kernel is None else (projection_kernel,),
    }
    extra = sum(given.values(), ())
    cell = "_".join(["lstm", *(name for name, weights in given.items() if weights)])
    return recurrent_forward(cell, kernel, recurrent_kernel, bias, x, extra=extra, **options)


def gru_forward(
    kernel: Any, recurrent_kernel: Any, bias: Any, x: Any, reset_after: bool = True, **options: Any
) -> tuple[Array, States, Tape]:
    """`recurrent_forward` with the GRU cell."""
    cell = "gru" if reset_after else "gru_reset_before"
    return recurrent_forward(cell, kernel, recurrent_kernel, bias, x, **options)


def simple_rnn_forward(
    kernel: Any, recurrent_kernel: Any, bias: Any, x: Any, **options: Any
) -> tuple[Array, States, Tape]:
    """`recurrent_forward` with the SimpleRNN cell."""
    return recurrent_forward("simple_rnn", kernel, recurrent_kernel, bias, x, **options)


lstm_backward = gru_backward = simple_rnn_backward = recurrent_backward


# --- Losses: value of each row (unweighted) and gradient (weighted) together


def _weight(weight: Any, rows: int) -> Array:
    return np.ones((rows, 1)) if weight is None else _f64(weight).reshape(rows, 1)


def softmax_cross_entropy(
    logits: Any, labels: Any = None, targets: Any = None, weight: Any = None
) -> tuple[Array, Array, Array]:
    """``loss = -sum_c t_c log p_c``, ``p = softmax(logits)``; ``dlogits = weight * (p * sum_c t_c - t)``.

    Give `labels` (M,) or `targets` (M, C); where a row of targets sums to 1, dlogits is weight * (p - t).
    """
    z = _f64(logits)
    t = np.eye(z.shape[1])[np.asarray(labels)] if targets is None else _f64(targets)
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    loss = -np.where(t == 0, 0.0, t * log_p).sum(axis=1)
    return loss, _weight(weight, len(z)) * (p * t.sum(axis=1, keepdims=True) - t), p


def sigmoid_cross_entropy(logits: Any, targets: Any, weight: Any = None) -> tuple[Array, Array, Array]:
    """``loss = mean_c max(z, 0) - z t + log(1 + exp(-|z|))``; ``dz = weight * (p - t) / C``."""
    z, t = _f64(logits), _f64(targets)
    p = _sigmoid(z)
    loss = (np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    return loss, _weight(weight, len(z)) * (p - t) / z.shape[1], p


def mean_squared_error(pred: Any, target: Any, weight: Any = None) -> tuple[Array, Array]:
    """``loss = mean_c (pred - target)^2``; ``dpred = weight * 2 (pred - target) / C``."""
    e = _f64(pred) - _f64(target)
    return (e * e).mean(axis=1), _weight(weight, len(e)) * 2 * e / e.shape[1]
