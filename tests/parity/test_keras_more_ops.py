# SPDX-License-Identifier: BSD-3-Clause
"""The rest of `lstmfast.ops` against `keras.ops`; as `test_keras_ops.py`, which has the commonest."""

from __future__ import annotations

import numpy as np
import pytest
from ops_parity import P, X, close, graph, graph_agrees
from peers import keras, torch

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

KERNEL = np.random.default_rng(5).normal(size=(3, 6, 4)).astype(np.float32)
DEEP = np.random.default_rng(6).normal(size=(3, 6, 2)).astype(np.float32)
POINT = np.random.default_rng(7).normal(size=(1, 12, 5)).astype(np.float32)
BACK = np.random.default_rng(8).normal(size=(3, 4, 6)).astype(np.float32)
GROUPED = np.random.default_rng(9).normal(size=(3, 3, 4)).astype(np.float32)
VECTOR = np.random.default_rng(10).uniform(0.5, 2, 6).astype(np.float32)
STEPS = VECTOR[:4].copy()
IDS = np.array([0, 2, 0], np.int32)
INT = lambda o, x: o.cast(o.floor(x * 3), "int32")  # noqa: E731


def number(o, flags, x):
    """Flags or integers as a part of something that has a gradient."""
    return o.cast(flags, "float32") + x


def squares(o, x):
    """Positive definite matrices of the features."""
    return o.matmul(o.transpose(x, (0, 2, 1)), x) + 2 * np.eye(6, dtype=np.float32)


def unit(o, p):
    """Between 0 and 1."""
    return p / 2.5


def holes(o, x):
    """NaN in some places, not all of any row."""
    return o.where(x > 1, np.float32(np.nan), x)


def each(names, make):
    """A case for each of these names."""
    return {name: make(name) for name in names.split()}


CASES = {
    **each(
        "arcsinh arctan cbrt deg2rad rad2deg exp2 fabs real conjugate conj copy sinc erf erfc i0 hard_shrink soft_shrink "
        "tanh_shrink sparse_plus sparse_sigmoid glu amax amin ptp cumprod sort median normalize norm nan_to_num average "
        "layer_normalization rms_normalization diff fliplr flipud tril triu",
        lambda name: lambda o, x, p: getattr(o, name)(x),
    ),
    **each("arccos arcsin arctanh erfinv", lambda name: lambda o, x, p: getattr(o, name)(unit(o, p))),
    **each(
        "nansum nanprod nanmean nanvar nanstd nanmax nanmin nanmedian nancumsum nancumprod",
        lambda name: lambda o, x, p: getattr(o, name)(holes(o, x), axis=-1),
    ),
    **each(
        "isposinf isneginf isreal signbit",
        lambda name: lambda o, x, p: number(o, getattr(o, name)(x / 0.0), x),
    ),
    **each(
        "hypot logaddexp2 fmax fmin fmod divide_no_nan outer",
        lambda name: lambda o, x, p: getattr(o, name)(x, p),
    ),
    **each(
        "bitwise_and bitwise_or bitwise_xor bitwise_left_shift left_shift bitwise_right_shift right_shift gcd lcm",
        lambda name: lambda o, x, p: number(o, getattr(o, name)(INT(o, x), INT(o, p)), x),
    ),
    "amax 1": lambda o, x, p: o.amax(x, axis=1, keepdims=True) + o.amin(x, axis=1, keepdims=True),
    "ptp 1": lambda o, x, p: o.ptp(x, axis=1) + o.median(x, axis=1),
    "arccosh": lambda o, x, p: o.arccosh(p + 1.1),
    "imag": lambda o, x, p: o.angle(x) + x,
    "trunc": lambda o, x, p: o.trunc(x) + x,
    "bitwise_not": lambda o, x, p: number(o, o.bitwise_not(INT(o, x)) + o.bitwise_invert(INT(o, p)), x),
    "ldexp": lambda o, x, p: o.ldexp(x, INT(o, p)),
    "nextafter": lambda o, x, p: o.nextafter(x, p),
    "isclose": lambda o, x, p: number(o, o.isclose(x, p, rtol=0.1, atol=0.2), x),
    "isclose nan": lambda o, x, p: number(o, o.isclose(holes(o, x), holes(o, x), equal_nan=True), x),
    "allclose": lambda o, x, p: number(o, o.logical_not(o.allclose(x, p)), x),
    "isin": lambda o, x, p: number(o, o.isin(INT(o, x), INT(o, p)), x),
    "nan_to_num 2": lambda o, x, p: o.nan_to_num(holes(o, x), nan=2.0) * p,
    "saturate_cast": lambda o, x, p: number(o, o.saturate_cast(x * 200, "uint8"), x),
    "threshold": lambda o, x, p: o.threshold(x, 0.2, -0.3),
    "hard_shrink 1": lambda o, x, p: o.hard_shrink(x, 1.0),
    # ---- orders, quantiles, counts
    "sort 1": lambda o, x, p: o.sort(x, axis=1),
    "argsort": lambda o, x, p: number(o, o.argsort(x, axis=1), x),
    "top_k": lambda o, x, p: o.top_k(x, 2)[0] + o.cast(o.top_k(p, 2)[1], "float32"),
    "in_top_k": lambda o, x, p: number(o, o.in_top_k(np.array([1, 0, 3], np.int32), x[:, 0], 3), x[:, 0, 0]),
    "searchsorted": lambda o, x, p: number(o, o.searchsorted(np.array([-1.0, 0.0, 0.5], np.float32), x), x),
    "digitize": lambda o, x, p: number(o, o.digitize(x, np.array([-1.0, 0.0, 0.5], np.float32)), x),
    "quantile": lambda o, x, p: o.quantile(x, 0.3, axis=1),
    "quantile several": lambda o, x, p: o.quantile(
        x, np.array([0.1, 0.5, 0.85], np.float32), axis=(1, 2), keepdims=True
    ),
    "percentile": lambda o, x, p: o.percentile(x, 40.0, axis=-1),
    "nanquantile": lambda o, x, p: o.nanquantile(holes(o, x), 0.4, axis=-1),
    "nanpercentile": lambda o, x, p: o.nanpercentile(holes(o, x), 40.0, axis=-1),
    "median even": lambda o, x, p: o.median(x, axis=(1, 2)),
    "count_nonzero": lambda o, x, p: number(o, o.count_nonzero(o.relu(x), axis=(1, 2)), x[:, 0, 0]),
    "bincount": lambda o, x, p: o.sum(o.cast(o.bincount(INT(o, p)[:, 0], minlength=9), "float32")) * x,
    "nanargmax": lambda o, x, p: number(
        o, o.nanargmax(holes(o, x), axis=-1) + o.nanargmin(holes(o, p), axis=-1), x[..., 0]
    ),
    # ---- means and norms
    "average weighted": lambda o, x, p: o.average(x, axis=-1, weights=VECTOR),
    "average both": lambda o, x, p: o.average(x, weights=p, axis=-1),
    "moments": lambda o, x, p: o.multiply(*o.moments(x, axes=1)),
    "norm 1": lambda o, x, p: o.norm(x, ord=1, axis=-1) + o.norm(x, ord=3, axis=-1),
    "norm inf": lambda o, x, p: o.norm(x, ord=np.inf, axis=-1) + o.norm(x, ord=-np.inf, axis=-1),
    "norm matrices": lambda o, x, p: (
        o.norm(x, ord="fro", axis=(1, 2)) + o.norm(x, ord=1, axis=(1, 2), keepdims=True)[:, 0, 0]
    ),
    "norm nuc": lambda o, x, p: o.norm(x, ord="nuc", axis=(1, 2)) + o.norm(x, ord=2, axis=(1, 2)),
    "normalize 3": lambda o, x, p: o.normalize(x, axis=1, order=3),
    "cumprod 1": lambda o, x, p: o.cumprod(o.where(x > 1.3, 0.0, x), axis=1),
    "cdist": lambda o, x, p: o.cdist(x, p),
    "psnr": lambda o, x, p: o.psnr(x, p, 2.0),
    "trapezoid": lambda o, x, p: o.trapezoid(x, dx=0.3, axis=1),
    # ---- parts
    "append": lambda o, x, p: o.append(x, p, axis=1),
    "hstack": lambda o, x, p: o.hstack([x, p]),
    "vstack": lambda o, x, p: o.vstack([x, p]),
    "dstack": lambda o, x, p: o.dstack([x, p]),
    "array_split": lambda o, x, p: o.array_split(x, 4, axis=-1)[1],
    "hsplit": lambda o, x, p: o.multiply(*o.hsplit(x, 2)),
    "vsplit": lambda o, x, p: o.vsplit(o.reshape(x, (6, 12)), 3)[1],
    "dsplit": lambda o, x, p: o.dsplit(x, 3)[2],
    "rot90": lambda o, x, p: o.rot90(x, axes=(1, 2)),
    "rot90 3": lambda o, x, p: o.rot90(x, 3, axes=(1, 2)) + o.rot90(p, -1, axes=(1, 2)),
    "diff 2": lambda o, x, p: o.diff(x, n=2, axis=1),
    "meshgrid": lambda o, x, p: o.multiply(*o.meshgrid(o.mean(x, axis=(0, 1)), o.mean(p, axis=(0, 2)))),
    "meshgrid ij": lambda o, x, p: o.multiply(
        *o.meshgrid(o.mean(x, axis=(0, 1)), o.mean(p, axis=(0, 2)), indexing="ij")
    ),
    "select": lambda o, x, p: o.select([x > 1, x < 0], [x * p, p], default=2.0),
    "unravel_index": lambda o, x, p: number(
        o, o.unravel_index(o.argmax(o.reshape(x, (-1, 24)), axis=-1), (4, 6))[1], x[:, 0, 0]
    ),
    "empty_like": lambda o, x, p: o.where(x < 100, x, o.empty_like(x)),
    "full_like": lambda o, x, p: o.full_like(x, 2.5) * x,
    "slice": lambda o, x, p: o.slice(o.reshape(x, (3, 4, 6)), (1, 0, 2), (2, 3, 4)),
    "slice_update": lambda o, x, p: o.slice_update(
        o.reshape(x, (3, 4, 6)), (0, 1, 2), o.reshape(p, (3, 4, 6))[:, :2, :3]
    ),
    "scatter": lambda o, x, p: o.scatter(np.array([[0], [3], [3]], np.int32), x, (5, 4, 6)),
    "scatter_update": lambda o, x, p: o.scatter_update(
        o.reshape(x, (12, 6)), np.array([[0], [5]], np.int32), p[0, :2]
    ),
    "scatter_update add": lambda o, x, p: o.scatter_update(
        o.reshape(x, (12, 6)), np.array([[5], [5]], np.int32), p[0, :2], reduction="add"
    ),
    "segment_sum": lambda o, x, p: o.segment_sum(x, IDS, num_segments=4),
    "segment_max": lambda o, x, p: o.segment_max(x, np.array([1, 0, 1], np.int32), num_segments=2),
    "segment_min": lambda o, x, p: o.segment_min(x, np.array([1, 0, 1], np.int32), num_segments=2),
    "segment_prod": lambda o, x, p: o.segment_prod(x, IDS, num_segments=3),
    "extract_sequences": lambda o, x, p: o.extract_sequences(x, 3, 2),
    # ---- matrices
    "diag": lambda o, x, p: (
        o.diag(o.mean(x, axis=(0, 1)), k=1) + o.diag(o.diag(o.mean(p, axis=0), k=-1), k=4)
    ),
    "diagflat": lambda o, x, p: o.diagflat(o.mean(x, axis=0)[:2, :3], k=1),
    "diagonal": lambda o, x, p: o.diagonal(x, offset=1, axis1=1, axis2=2),
    "trace": lambda o, x, p: o.trace(x, offset=-1, axis1=1, axis2=2),
    "tril 1": lambda o, x, p: o.tril(x, k=1) + o.triu(p, k=-1),
    "inner": lambda o, x, p: o.inner(x, VECTOR),
    "tensordot": lambda o, x, p: o.tensordot(x, p, axes=[[1, 2], [1, 2]]),
    "tensordot 1": lambda o, x, p: o.tensordot(x, BACK[0].T, axes=1),
    "kron": lambda o, x, p: o.kron(o.mean(x, axis=0), o.mean(p, axis=0)),
    "det": lambda o, x, p: o.log(o.det(squares(o, x))),
    "logdet": lambda o, x, p: o.logdet(squares(o, x)),
    "slogdet": lambda o, x, p: o.slogdet(squares(o, x))[1],
    "inv": lambda o, x, p: o.inv(squares(o, x)),
    "solve": lambda o, x, p: o.solve(squares(o, x), o.transpose(p, (0, 2, 1))),
    "solve_triangular": lambda o, x, p: o.solve_triangular(
        x[:, :4, :4] + 5 * np.eye(4, dtype=np.float32), p, lower=True
    ),
    "cholesky": lambda o, x, p: o.cholesky(squares(o, x)),
    "cholesky upper": lambda o, x, p: o.cholesky(squares(o, x), upper=True),
    "cholesky_inverse": lambda o, x, p: o.cholesky_inverse(
        o.tril(p[0, :, :4]) + 3 * np.eye(4, dtype=np.float32)
    ),
    "svd": lambda o, x, p: o.svd(o.stop_gradient(x), full_matrices=False)[1] + x[..., 0],
    "svd values": lambda o, x, p: o.svd(x, compute_uv=False),
    "qr": lambda o, x, p: o.abs(o.qr(o.stop_gradient(x))[1]) + x,
    "eigh": lambda o, x, p: o.eigh(o.stop_gradient(squares(o, x)))[0] + x[:, 0],
    "pinv": lambda o, x, p: o.pinv(o.stop_gradient(x))[:, 0] + x[..., 0],
    "matrix_rank": lambda o, x, p: number(o, o.matrix_rank(x), x[:, 0, 0]),
    "lstsq": lambda o, x, p: o.lstsq(o.stop_gradient(x)[0, :, :3], o.stop_gradient(p)[0]) + x[:, :3],
    "fft": lambda o, x, p: o.fft((o.stop_gradient(x), o.stop_gradient(p)))[1] + x,
    "fft2": lambda o, x, p: o.fft2((o.stop_gradient(x), o.stop_gradient(p)))[0] + x,
    "ifft2": lambda o, x, p: o.ifft2((o.stop_gradient(x), o.stop_gradient(p)))[0] + x,
    "rfft": lambda o, x, p: o.rfft(o.stop_gradient(x), 4)[1] + x[..., :3],
    "irfft": lambda o, x, p: o.irfft((o.stop_gradient(x)[..., :4], o.stop_gradient(p)[..., :4])) + x,
    "stft": lambda o, x, p: o.multiply(*o.stft(x, 4, 2, 4)),
    "stft hamming": lambda o, x, p: o.stft(x, 3, 1, 5, window="hamming", center=False)[1],
    "stft window": lambda o, x, p: o.stft(x, 4, 3, 6, window=VECTOR[:4].tolist())[0],
    "stft odd": lambda o, x, p: o.add(*o.stft(x, 5, 2, 5, window=None)),
    "istft": lambda o, x, p: o.istft((x[..., :3], p[..., :3]), 4, 2, 4),
    "istft length": lambda o, x, p: o.istft((x[..., :3], p[..., :3]), 4, 1, 4, length=5, window="hamming"),
    "istft shorter": lambda o, x, p: o.istft((x[..., :4], p[..., :4]), 5, 2, 6, window="hamming"),
    "istft begins": lambda o, x, p: o.istft((x[..., :3], p[..., :3]), 4, 2, 5, center=False),
    "istft none": lambda o, x, p: o.istft((x[..., :4], p[..., :4]), 6, 2, 6, window=None),
    "fft trained": lambda o, x, p: o.multiply(*o.fft((x, p))),
    "rfft trained": lambda o, x, p: o.multiply(*o.rfft(x, 5)),
    "irfft trained": lambda o, x, p: o.irfft((x, p), 7),
    "lu_factor": lambda o, x, p: o.lu_factor(squares(o, x) * p[:, :1])[0],
    # ---- axes apart and together
    "unfold": lambda o, x, p: o.unfold(o.expand_dims(x, 1), (2, 3), stride=(1, 2)),
    "unfold padded": lambda o, x, p: o.unfold(o.expand_dims(x, 1), 2, dilation=(1, 2), padding=(0, 1)),
    "fold": lambda o, x, p: o.fold(x, (3, 4), 2, stride=(2, 1), padding=(1, 0), dilation=(1, 1)),
    "fold dilated": lambda o, x, p: o.fold(x, (3, 5), (1, 2), dilation=(1, 3)),
    "depth_to_space": lambda o, x, p: o.depth_to_space(o.reshape(x, (-1, 3, 1, 8)), 2),
    "depth_to_space first": lambda o, x, p: o.depth_to_space(
        o.reshape(x, (-1, 4, 2, 3)), 2, data_format="channels_first"
    ),
    "space_to_depth": lambda o, x, p: o.space_to_depth(o.reshape(x, (-1, 4, 2, 3)), 2),
    "space_to_depth first": lambda o, x, p: o.space_to_depth(
        o.expand_dims(x, 1), 2, data_format="channels_first"
    ),
    # ---- windows
    "max_pool": lambda o, x, p: o.max_pool(x, 2),
    "max_pool same": lambda o, x, p: o.max_pool(
        x, 3, strides=2, padding="same", data_format="channels_first"
    ),
    "average_pool": lambda o, x, p: o.average_pool(x, 2, strides=1),
    "average_pool same": lambda o, x, p: o.average_pool(x, 3, strides=1, padding="same"),
    "conv": lambda o, x, p: o.conv(x, KERNEL),
    "conv same": lambda o, x, p: o.conv(x, KERNEL, strides=2, padding="same"),
    "conv dilated": lambda o, x, p: o.conv(x, KERNEL[:2], dilation_rate=2),
    "conv first": lambda o, x, p: o.conv(
        o.transpose(x, (0, 2, 1)), KERNEL, padding="same", data_format="channels_first"
    ),
    "conv plane": lambda o, x, p: o.conv(
        o.expand_dims(x, -1), KERNEL[:, :3, :, None][:, :, :1], padding="same"
    ),
    "conv both": lambda o, x, p: o.conv(x, o.reshape(o.transpose(p, (1, 2, 0)), (4, 6, 3))),
    "depthwise_conv": lambda o, x, p: o.depthwise_conv(x, DEEP, padding="same"),
    "separable_conv": lambda o, x, p: o.separable_conv(x, DEEP, POINT),
    # ---- losses, normalizations, attention
    "binary_crossentropy": lambda o, x, p: o.binary_crossentropy(o.sigmoid(x), unit(o, p)),
    "binary_crossentropy logits": lambda o, x, p: o.binary_crossentropy(unit(o, p), x, from_logits=True),
    "categorical_crossentropy": lambda o, x, p: o.categorical_crossentropy(o.softmax(x), p),
    "categorical_crossentropy logits": lambda o, x, p: o.categorical_crossentropy(
        unit(o, p), x, from_logits=True
    ),
    "sparse_categorical_crossentropy": lambda o, x, p: o.sparse_categorical_crossentropy(
        o.argmax(x, axis=-1), p
    ),
    "sparse_categorical_crossentropy logits": lambda o, x, p: o.sparse_categorical_crossentropy(
        o.argmax(p, axis=-1), x, from_logits=True
    ),
    "batch_normalization": lambda o, x, p: o.batch_normalization(
        x, VECTOR - 1, VECTOR, axis=-1, offset=VECTOR, scale=VECTOR[::-1].copy()
    ),
    "batch_normalization 1": lambda o, x, p: o.batch_normalization(x, o.mean(x, axis=(0, 2)), STEPS, axis=1),
    "layer_normalization scaled": lambda o, x, p: o.layer_normalization(x, VECTOR, VECTOR, epsilon=0.01),
    "layer_normalization 1": lambda o, x, p: o.layer_normalization(x, axis=(1, 2), epsilon=1e-3),
    "rms_normalization scaled": lambda o, x, p: o.rms_normalization(x, VECTOR, epsilon=0.01),
    "dot_product_attention": lambda o, x, p: o.dot_product_attention(
        o.reshape(x, (-1, 4, 2, 3)), o.reshape(p, (-1, 4, 2, 3)), o.reshape(x, (-1, 4, 2, 3)), is_causal=True
    ),
    "dot_product_attention shared": lambda o, x, p: o.dot_product_attention(
        o.reshape(x, (-1, 3, 4, 2)), o.reshape(p, (-1, 6, 2, 2)), o.reshape(p, (-1, 6, 2, 2)), scale=0.3
    ),
    "dot_product_attention mask": lambda o, x, p: o.dot_product_attention(
        *(o.reshape(t, (-1, 4, 2, 3)) for t in (x, p, p)), mask=np.tri(4, 4, 1, dtype=bool)[None, None]
    ),
    "ctc_loss": lambda o, x, p: o.ctc_loss(
        o.cast(o.floor(p[:, :3, 0] * 2), "int32") + 1,
        o.concatenate([x, p], axis=1),
        o.cast(o.sum(x * 0, axis=(1, 2)), "int32") + 2,
        o.cast(o.sum(x * 0, axis=(1, 2)), "int32") + 7,
    ),
    "ctc_decode": lambda o, x, p: (
        o.ctc_decode(o.stop_gradient(x), np.array([4, 4, 3], np.int32))[1] + x[..., 0]
    ),
    "multi_hot": lambda o, x, p: o.multi_hot(INT(o, p)[:, 0] % 6, num_classes=6) + x[:, 0],
}


#: What the classes of Keras 3.15 refuse, leave out of account or compute wrongly in graphs on PyTorch, while its
#: functions, or the references below, are right.
ALONE = {
    "rearrange": (
        lambda o, x, p: o.rearrange(x, "b t (n f) -> b (t n) f", n=2),
        lambda x, p: x.reshape(3, 8, 3),
    ),
    "rearrange turned": (
        lambda o, x, p: o.rearrange(x, "b (t s) f -> b t (f s)", s=2) * p[:, :2, :1],
        lambda x, p: x.reshape(3, 2, 2, 6).swapaxes(2, 3).reshape(3, 2, 12) * p[:, :2, :1],
    ),
    "rearrange batch": (
        lambda o, x, p: o.rearrange(x, "b (n t) f -> (b n) f t", t=2),
        lambda x, p: x.reshape(6, 2, 6).transpose(0, 2, 1),
    ),
    "fold apart": (
        lambda o, x, p: o.fold(x, (3, 4), 2, stride=(2, 1), padding=(1, 0)),
        lambda x, p: torch.nn.functional.fold(
            torch.tensor(x), (3, 4), 2, stride=(2, 1), padding=(1, 0)
        ).numpy(),
    ),
    "vdot": (lambda o, x, p: o.vdot(x, p), lambda x, p: np.vdot(x, p)),
    "heaviside": (lambda o, x, p: o.heaviside(x, p) + x, lambda x, p: np.heaviside(x, p) + x),
    "sparsemax": (lambda o, x, p: o.sparsemax(x, axis=1), lambda x, p: simplex(x)),
    "imag": (lambda o, x, p: o.imag(x) + x, lambda x, p: x),
    "argpartition": (
        lambda o, x, p: o.take_along_axis(x, o.argpartition(x, 2), -1)[..., 2],
        lambda x, p: np.sort(x, -1)[..., 2],
    ),
    **each(
        "lower higher midpoint nearest linear",
        lambda method: (
            lambda o, x, p: o.quantile(x, 0.3, axis=(0, 2), method=method),
            lambda x, p: np.quantile(x, 0.3, axis=(0, 2), method=method),
        ),
    ),
    "softmax axes": (
        lambda o, x, p: o.softmax(x, axis=(0, 2)),
        lambda x, p: np.exp(x) / np.exp(x).sum((0, 2), keepdims=True),
    ),
    "log_softmax all": (
        lambda o, x, p: o.log_softmax(x, axis=None),
        lambda x, p: x - np.log(np.exp(x).sum()),
    ),
    "adaptive_average_pool": (
        lambda o, x, p: o.adaptive_average_pool(x, 3),
        lambda x, p: last(torch.nn.functional.adaptive_avg_pool1d, x, 3),
    ),
    "adaptive_max_pool": (
        lambda o, x, p: o.adaptive_max_pool(o.expand_dims(x, 1), (1, 3), data_format="channels_first"),
        lambda x, p: torch.nn.functional.adaptive_max_pool2d(torch.tensor(x[:, None]), (1, 3)).numpy(),
    ),
    "average_pool plane": (
        lambda o, x, p: o.average_pool(o.expand_dims(x, -1), (2, 3)),
        lambda x, p: last(torch.nn.functional.avg_pool2d, x[..., None], (2, 3)),
    ),
    "conv groups": (
        lambda o, x, p: o.conv(x, GROUPED, padding="same"),
        lambda x, p: last(torch.nn.functional.conv1d, x, turned(GROUPED), padding=1, groups=2),
    ),
    "conv_transpose": (
        lambda o, x, p: o.conv_transpose(x, BACK, strides=2),
        lambda x, p: keras_transposed(x, BACK, strides=2),
    ),
    "conv_transpose same": (
        lambda o, x, p: o.conv_transpose(x, BACK, strides=2, padding="same"),
        lambda x, p: keras_transposed(x, BACK, strides=2, padding="same"),
    ),
    "conv_transpose more": (
        lambda o, x, p: o.conv_transpose(x, BACK, strides=3, output_padding=2),
        lambda x, p: keras_transposed(x, BACK, strides=3, output_padding=2),
    ),
    "conv_transpose dilated": (
        lambda o, x, p: o.conv_transpose(x, BACK, padding="same", dilation_rate=2),
        lambda x, p: keras_transposed(x, BACK, padding="same", dilation_rate=2),
    ),
    "conv_transpose plane": (
        lambda o, x, p: o.conv_transpose(
            o.expand_dims(x, 1), PLANE, strides=(2, 1), data_format="channels_first"
        ),
        lambda x, p: keras_transposed(x[:, None], PLANE, strides=(2, 1), data_format="channels_first"),
    ),
    "average along": (
        lambda o, x, p: o.average(x, axis=1, weights=STEPS),
        lambda x, p: np.average(x, axis=1, weights=STEPS),
    ),
    "scatter_update max": (
        lambda o, x, p: o.scatter_update(o.reshape(x, (12, 6)), PLACES, p[0, :2], reduction="max"),
        lambda x, p: at_places(np.maximum, x, p),
    ),
    "scatter_update min": (
        lambda o, x, p: o.scatter_update(o.reshape(p, (12, 6)), PLACES, x[0, :2], reduction="min"),
        lambda x, p: at_places(np.minimum, p, x),
    ),
    "scatter_update mul": (
        lambda o, x, p: o.scatter_update(o.reshape(x, (12, 6)), PLACES, p[0, :2], reduction="mul"),
        lambda x, p: at_places(np.multiply, x, p),
    ),
    "cross": (lambda o, x, p: o.cross(x[..., :3], p[..., 3:]), lambda x, p: np.cross(x[..., :3], p[..., 3:])),
    "cross along": (
        lambda o, x, p: o.cross(x[:, :3], p[:, 1:], axis=1),
        lambda x, p: np.cross(x[:, :3], p[:, 1:], axis=1),
    ),
    "corrcoef": (lambda o, x, p: o.corrcoef(o.mean(x, axis=0)), lambda x, p: np.corrcoef(x.mean(0))),
    "correlate": (
        lambda o, x, p: o.correlate(o.stop_gradient(x)[0, 0], o.stop_gradient(p)[0, 0, :3], "full"),
        lambda x, p: np.correlate(x[0, 0], p[0, 0, :3], "full"),
    ),
    "glu 1": (lambda o, x, p: o.glu(x, axis=1), lambda x, p: x[:, :2] / (1 + np.exp(-x[:, 2:]))),
    "divided by the greatest": (
        lambda o, x, p: x / o.max(p),
        lambda x, p: x / p.max(),
    ),  # numbers amid a graph
}
PLACES = np.array([[2], [5]], np.int32)
PLANE = BACK[:, :3, :, None]


def last(function, x, *args, **kwargs):
    """A function of PyTorch's, channels being last."""
    return np.moveaxis(function(torch.tensor(np.moveaxis(x, -1, 1)), *args, **kwargs).numpy(), 1, -1)


def turned(kernel):
    return torch.tensor(kernel.astype(np.float64)).permute(2, 1, 0)


def keras_transposed(x, kernel, **options):
    return keras.ops.conv_transpose(x.astype(np.float32), kernel, **options).numpy()


def simplex(x):
    """Of each column the nearest point of sum 1, none below 0, by bisection of what is taken off."""
    low, high = x.min(1, keepdims=True) - 1, x.max(1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        over = np.maximum(x - middle, 0).sum(1, keepdims=True) > 1
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return np.maximum(x - low, 0)


def at_places(function, x, p):
    y = x.reshape(12, 6).copy()
    function.at(y, (PLACES[:, 0],), p[0, :2])
    return y


@pytest.mark.parametrize("case", CASES)
def test_graph(case):
    graph_agrees(CASES[case])


@pytest.mark.parametrize("case", ALONE)
def test_values(case):
    ours, expected = ALONE[case]
    wide = [a.astype(np.float64) for a in (X, P)]
    model = graph(lf, ours)
    close(model([X, P]), expected(*wide), 2e-5)
    close(ours(lf.ops, *wide), expected(*wide), 2e-5)
    again = lf.Model.from_config(model.get_config())
    np.testing.assert_array_equal(again([X, P]), model([X, P]))


class _Stopped(Exception):
    pass


class _Watched:
    """`lf.ops` without `stop_gradient`, of which differences know nothing."""

    def __getattr__(self, name):
        if name == "stop_gradient":
            raise _Stopped
        return getattr(lf.ops, name)


@pytest.mark.parametrize("case", [*CASES, *ALONE])
def test_gradient_is_that_of_differences(case):
    """In float64, along a random direction: differences of fourth order at one of two distances, as kinks may be near."""
    function = CASES[case] if case in CASES else ALONE[case][0]
    rng = np.random.default_rng(1)
    x, p = (a.astype(np.float64) for a in (X, P))
    dx, dp = rng.normal(size=x.shape), rng.normal(size=p.shape)
    try:
        y = np.asarray(function(_Watched(), x, p))
    except _Stopped:
        return
    dy = rng.normal(size=y.shape)
    dy[~np.isfinite(y)] = 0

    def along(h):
        return float(
            np.sum(np.where(np.isfinite(y), dy * np.nan_to_num(function(lf.ops, x + h * dx, p + h * dp)), 0))
        )

    _, tape = graph(lf, function).forward([X, P], training=True)
    _, found, _ = tape.backward(dy.astype(np.float32))
    slopes = [np.zeros(X.shape) if g is None else np.asarray(g, np.float64) for g in found]
    slope = float(np.sum(slopes[0] * dx) + np.sum(slopes[1] * dp))
    scale = sum(float(np.abs(g * d).sum()) for g, d in zip(slopes, (dx, dp), strict=True))
    off = [
        abs((8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h) - slope)
        for h in (1e-5, 2e-3)
    ]
    assert min(off) < 2e-4 * max(scale, 1.0), (slope, off, scale)
