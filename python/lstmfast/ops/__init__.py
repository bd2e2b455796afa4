# SPDX-License-Identifier: BSD-3-Clause
"""Keras's `keras.ops`: functions of arrays, and of the symbolic tensors of functional models.

Given arrays (or numbers, lists), a function computes at once, in NumPy. Given a symbolic tensor among its arguments it
adds an operation to the graph; so do the operators of symbolic tensors: ``x + y``, ``1 - x``, ``x / 2``, ``x ** 2``,
``abs(x)``, ``x @ y``, ``x > 0``, ``x[:, -1]``. Operations train, are saved and read as Keras's; no mask goes through
them, as in Keras. Floating-point results are float32 unless an array of float64 was given; in graphs always.

Examples
--------
>>> import numpy as np
>>> from lstmfast import Input, Model, layers, ops
>>> ops.mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
array([1.5, 3.5])
>>> x = Input((None, 4))
>>> h = layers.LSTM(3, return_sequences=True)(x)
>>> scores = ops.softmax(layers.Dense(1)(h), axis=1)
>>> model = Model(x, ops.concatenate([h[:, -1], ops.sum(scores * h, axis=1)], axis=-1))
>>> model(np.zeros((2, 5, 4))).shape
(2, 6)
"""

# Names in filled lines: one on each would make two pages of this.
# fmt: off
# isort: off
from .complexes import (
    polar, view_as_complex, view_as_real,
)
from .control import (
    associative_scan, cond, fori_loop, map, scan, switch, vectorize, vectorized_map, while_loop,
)
from .elementwise import (
    abs, absolute, add, arctan2, cast, ceil, clip, cos, cosh, divide, equal, exp, expm1, floor,
    floor_divide, greater, greater_equal, isfinite, isinf, isnan, less, less_equal, log, log10, log1p, log2,
    logaddexp, logical_and, logical_not, logical_or, logical_xor, maximum, minimum, mod, multiply, negative,
    not_equal, power, reciprocal, round, rsqrt, sign, sin, sinh, sqrt, square, stop_gradient, subtract, tan,
    tanh, true_divide, where,
)
from .fourier import (
    fft, fft2, ifft2, irfft, istft, rfft, stft,
)
from .functions import (
    allclose, angle, arccos, arccosh, arcsin, arcsinh, arctan, arctanh, bitwise_and, bitwise_invert,
    bitwise_left_shift, bitwise_not, bitwise_or, bitwise_right_shift, bitwise_xor, cbrt, conj, conjugate,
    copy, deg2rad, divide_no_nan, erf, erfc, erfinv, exp2, fabs, fmax, fmin, fmod, gcd, hard_shrink,
    heaviside, hypot, i0, imag, isclose, isin, isneginf, isposinf, isreal, lcm, ldexp, left_shift,
    logaddexp2, nan_to_num, nextafter, rad2deg, real, right_shift, saturate_cast, signbit, sinc,
    soft_shrink, sparse_plus, sparse_sigmoid, tanh_shrink, threshold, trunc,
)
from .gradients import (
    custom_gradient,
)
from .indexing import (
    get_item, take, take_along_axis,
)
from .joining import (
    append, array_split, bartlett, blackman, diff, dsplit, dstack, empty, empty_like, fliplr, flipud,
    geomspace, hamming, hanning, hsplit, hstack, kaiser, logspace, meshgrid, rot90, select, size, trapezoid,
    unravel_index, view, vsplit, vstack,
)
from .linalg import (
    cholesky, cholesky_inverse, det, eig, eigh, inv, logdet, lstsq, lu_factor, matrix_rank, pinv, qr,
    slogdet, solve, solve_triangular, svd,
)
from .making import (
    arange, array, convert_to_numpy, convert_to_tensor, dtype, eye, full, full_like, is_tensor, linspace,
    ndim, ones, shape, zeros,
)
from .matrices import (
    corrcoef, correlate, cross, diag, diagflat, diagonal, identity, inner, kron, outer, tensordot, trace,
    tri, tril, triu, vander, vdot,
)
from .neural import (
    batch_normalization, binary_crossentropy, categorical_crossentropy, cdist, ctc_decode, ctc_loss,
    dot_product_attention, glu, layer_normalization, multi_hot, psnr, rms_normalization,
    sparse_categorical_crossentropy, sparsemax,
)
from .nn import (
    celu, elu, gelu, hard_sigmoid, hard_silu, hard_swish, hard_tanh, leaky_relu, log_sigmoid, log_softmax,
    one_hot, relu, relu6, selu, sigmoid, silu, softmax, softplus, softsign, squareplus, swish,
)
from .patches import (
    depth_to_space, fold, rearrange, space_to_depth, unfold,
)
from .products import (
    dot, einsum, matmul,
)
from .reductions import (
    all, any, argmax, argmin, cumsum, logsumexp, max, mean, min, prod, std, sum, var,
)
from .segments import (
    extract_sequences, scatter, scatter_update, segment_max, segment_min, segment_prod, segment_sum, slice,
    slice_update,
)
from .shaping import (
    broadcast_to, concatenate, expand_dims, flip, moveaxis, ones_like, pad, ravel, repeat, reshape, roll,
    split, squeeze, stack, swapaxes, tile, transpose, unstack, zeros_like,
)
from .sorting import (
    argpartition, argsort, bincount, count_nonzero, digitize, histogram, in_top_k, median, nanargmax,
    nanargmin, nanmedian, nanpercentile, nanquantile, nonzero, percentile, quantile, searchsorted, sort,
    top_k, unique,
)
from .statistics import (
    amax, amin, average, cumprod, moments, nancumprod, nancumsum, nanmax, nanmean, nanmin, nanprod, nanstd,
    nansum, nanvar, norm, normalize, ptp,
)
from .windows import (
    adaptive_average_pool, adaptive_max_pool, average_pool, conv, conv_transpose, depthwise_conv, max_pool,
    separable_conv,
)
# isort: on

__all__ = [
    "abs", "absolute", "adaptive_average_pool", "adaptive_max_pool", "add", "all", "allclose", "amax",
    "amin", "angle", "any", "append", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "argmax", "argmin", "argpartition", "argsort", "array", "array_split",
    "associative_scan", "average", "average_pool", "bartlett", "batch_normalization", "binary_crossentropy",
    "bincount", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "blackman", "broadcast_to", "cast", "categorical_crossentropy",
    "cbrt", "cdist", "ceil", "celu", "cholesky", "cholesky_inverse", "clip", "concatenate", "cond", "conj",
    "conjugate", "conv", "conv_transpose", "convert_to_numpy", "convert_to_tensor", "copy", "corrcoef",
    "correlate", "cos", "cosh", "count_nonzero", "cross", "ctc_decode", "ctc_loss", "cumprod", "cumsum",
    "custom_gradient", "deg2rad", "depth_to_space", "depthwise_conv", "det", "diag", "diagflat", "diagonal",
    "diff", "digitize", "divide", "divide_no_nan", "dot", "dot_product_attention", "dsplit", "dstack",
    "dtype", "eig", "eigh", "einsum", "elu", "empty", "empty_like", "equal", "erf", "erfc", "erfinv", "exp",
    "exp2", "expand_dims", "expm1", "extract_sequences", "eye", "fabs", "fft", "fft2", "flip", "fliplr",
    "flipud", "floor", "floor_divide", "fmax", "fmin", "fmod", "fold", "fori_loop", "full", "full_like",
    "gcd", "gelu", "geomspace", "get_item", "glu", "greater", "greater_equal", "hamming", "hanning",
    "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "heaviside", "histogram",
    "hsplit", "hstack", "hypot", "i0", "identity", "ifft2", "imag", "in_top_k", "inner", "inv", "irfft",
    "is_tensor", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "istft",
    "kaiser", "kron", "layer_normalization", "lcm", "ldexp", "leaky_relu", "left_shift", "less",
    "less_equal", "linspace", "log", "log1p", "log2", "log10", "log_sigmoid", "log_softmax", "logaddexp",
    "logaddexp2", "logdet", "logical_and", "logical_not", "logical_or", "logical_xor", "logspace",
    "logsumexp", "lstsq", "lu_factor", "map", "matmul", "matrix_rank", "max", "max_pool", "maximum", "mean",
    "median", "meshgrid", "min", "minimum", "mod", "moments", "moveaxis", "multi_hot", "multiply",
    "nan_to_num", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian",
    "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndim", "negative",
    "nextafter", "nonzero", "norm", "normalize", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "percentile", "pinv", "polar", "power", "prod", "psnr", "ptp", "qr", "quantile", "rad2deg", "ravel",
    "real", "rearrange", "reciprocal", "relu", "relu6", "repeat", "reshape", "rfft", "right_shift",
    "rms_normalization", "roll", "rot90", "round", "rsqrt", "saturate_cast", "scan", "scatter",
    "scatter_update", "searchsorted", "segment_max", "segment_min", "segment_prod", "segment_sum", "select",
    "selu", "separable_conv", "shape", "sigmoid", "sign", "signbit", "silu", "sin", "sinc", "sinh", "size",
    "slice", "slice_update", "slogdet", "soft_shrink", "softmax", "softplus", "softsign", "solve",
    "solve_triangular", "sort", "space_to_depth", "sparse_categorical_crossentropy", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "split", "sqrt", "square", "squareplus", "squeeze", "stack", "std",
    "stft", "stop_gradient", "subtract", "sum", "svd", "swapaxes", "swish", "switch", "take",
    "take_along_axis", "tan", "tanh", "tanh_shrink", "tensordot", "threshold", "tile", "top_k", "trace",
    "transpose", "trapezoid", "tri", "tril", "triu", "true_divide", "trunc", "unfold", "unique",
    "unravel_index", "unstack", "vander", "var", "vdot", "vectorize", "vectorized_map", "view",
    "view_as_complex", "view_as_real", "vsplit", "vstack", "where", "while_loop", "zeros", "zeros_like",
]
# fmt: on
