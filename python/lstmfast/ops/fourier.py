# SPDX-License-Identifier: BSD-3-Clause
"""Fourier's transform: of whole axes, and of short windows along the last one.

Complex numbers are pairs of arrays, (real, imaginary), as in Keras. The transforms are linear: the gradient of each is its
adjoint, the other direction with other factors.

Examples
--------
>>> import numpy as np
>>> from lstmfast import ops
>>> x = np.sin(np.arange(32, dtype=np.float32))
>>> real, imaginary = ops.stft(x, sequence_length=8, sequence_stride=4, fft_length=8)
>>> real.shape
(9, 5)
>>> back = ops.istft((real, imaginary), sequence_length=8, sequence_stride=4, fft_length=8)
>>> bool(np.allclose(back, x, atol=1e-6))
True
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .operation import operation
from .rules import as_floats, shape_of

Array = npt.NDArray[Any]

_PAIR = "Input `x` should be a tuple of two tensors - real and imaginary."


def _pair_shape(x: Any, rank: int = 1) -> Any:
    """The shape of both parts; ValueError where they are none of one number."""
    if not isinstance(x, (tuple, list)) or len(x) != 2:
        raise ValueError(f"{_PAIR} Received: x={x!r}")
    real, imaginary = shape_of(x[0]), shape_of(x[1])
    if len(real) != len(imaginary) or any(
        m != n for m, n in zip(real, imaginary, strict=True) if None not in (m, n)
    ):
        raise ValueError(
            f"{_PAIR} Both the real and imaginary parts should have the same shape. Received: x[0].shape = {real}, "
            f"x[1].shape = {imaginary}"
        )
    return _ranked(real, rank)


def _ranked(shape: Any, rank: int = 1) -> Any:
    if len(shape) < rank:
        raise ValueError(f"Input should have rank >= {rank}. Received: input.shape = {shape}")
    return shape


def _pair(x: Any) -> Array:
    _pair_shape(x)
    return as_floats(x[0]) + 1j * as_floats(x[1])


def _parts(x: Array) -> list[Array]:
    return [np.real(x), np.imag(x)]


# ---- whole axes


def _transform(kind: str, compute: Any, back: Any, axes: str) -> Any:
    """`back` is the other direction, without its factor."""
    rank = 2 if "2" in kind else 1

    def transform(x: Any) -> Any:
        _pair_shape(x, rank)
        return _parts(compute(_pair(x)))

    transform.__name__ = transform.__qualname__ = kind.lower()
    transform.__doc__ = f"Fourier's transform{axes}; takes and gives (real, imaginary) parts."
    gradient = lambda dy, y, x: _parts(back(_pair(dy)))  # noqa: E731
    shape = lambda x: [_pair_shape(x, rank)] * 2  # noqa: E731
    return operation(kind, gradient, home="math", shape=shape, dtype="float32")(transform)


def _fft_back(x: Array) -> Array:
    return np.asarray(np.fft.ifft(x) * x.shape[-1])


def _fft2_back(x: Array) -> Array:
    return np.asarray(np.fft.ifft2(x) * (x.shape[-1] * x.shape[-2]))


def _ifft2_back(x: Array) -> Array:
    return np.asarray(np.fft.fft2(x) / (x.shape[-1] * x.shape[-2]))


fft = _transform("FFT", np.fft.fft, _fft_back, " along the last axis")
fft2 = _transform("FFT2", np.fft.fft2, _fft2_back, " along the last two axes")
ifft2 = _transform("IFFT2", np.fft.ifft2, _ifft2_back, " backwards along the last two axes")


def _fitted(x: Array, n: int) -> Array:
    """The last axis cut, or filled up with 0."""
    missing = max(n - x.shape[-1], 0)
    return np.pad(x[..., :n], [(0, 0)] * (x.ndim - 1) + [(0, missing)])


def _half_back(dy: Any, n: int) -> Array:
    """The adjoint of `rfft` of `n` numbers."""
    return np.asarray(np.real(_fft_back(_fitted(_pair(dy), n))))


def _whole_back(dy: Array) -> Array:
    """The adjoint of `irfft`, as complex numbers."""
    n = dy.shape[-1]
    found = np.fft.rfft(dy) / n
    found[..., 1 : (n + 1) // 2] *= 2  # they stand for two
    return np.asarray(found)


def _half_slope(dy: Any, y: Any, x: Array, fft_length: int | None) -> Array:
    n = x.shape[-1] if fft_length is None else fft_length
    return _fitted(_half_back(dy, n), x.shape[-1])


def _whole_slope(dy: Array, y: Array, x: Any, fft_length: int | None) -> list[Array]:
    return _parts(_fitted(_whole_back(dy), np.shape(x[0])[-1]))


def _half_shape(x: Any, fft_length: int | None = None) -> Any:
    shape = _ranked(shape_of(x))
    n = shape[-1] if fft_length is None else fft_length
    return [(*shape[:-1], None if n is None else n // 2 + 1)] * 2


@operation("RFFT", _half_slope, home="math", config="fft_length", shape=_half_shape, dtype="float32")
def rfft(x: Any, fft_length: int | None = None) -> Any:
    """Fourier's transform of real numbers along the last axis, as (real, imaginary) parts."""
    _ranked(shape_of(x))
    return _parts(np.fft.rfft(as_floats(x), fft_length))


def _whole_shape(x: Any, fft_length: int | None = None) -> Any:
    shape, n = _pair_shape(x), fft_length
    return (*shape[:-1], n if n is not None else None if shape[-1] is None else 2 * (shape[-1] - 1))


@operation("IRFFT", _whole_slope, home="math", config="fft_length", shape=_whole_shape, dtype="float32")
def irfft(x: Any, fft_length: int | None = None) -> Any:
    """`rfft` backwards: real numbers from (real, imaginary) parts."""
    return np.fft.irfft(_pair(x), fft_length)


# ---- short windows


def _positive(**given: Any) -> None:
    for name, value in given.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value <= 0:
            raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value}")


def _checked(sequence_length: Any, sequence_stride: Any, fft_length: Any, window: Any) -> None:
    _positive(sequence_stride=sequence_stride, sequence_length=sequence_length, fft_length=fft_length)
    if fft_length < sequence_length:
        raise ValueError(
            "`fft_length` must equal or larger than `sequence_length`. Received: "
            f"sequence_length={sequence_length}, fft_length={fft_length}"
        )
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                'If a string is passed to `window`, it must be one of `"hann"`, `"hamming"`. '
                f"Received: window={window}"
            )
    elif window is not None and np.shape(window) != (sequence_length,):
        raise ValueError(
            f"The shape of `window` must be equal to [sequence_length]. Received: window shape={np.shape(window)}, "
            f"sequence_length={sequence_length}"
        )


def _window(window: Any, length: int, fft_length: int) -> Array:
    """The periodic window of a name, or the given one, amid so many zeros that it has the transform's length."""
    if isinstance(window, str):
        share = 0.5 if window == "hann" else 0.54
        values = share - (1 - share) * np.cos(2 * np.pi * np.arange(length) / length)
        values = values if length > 1 else np.ones(1)
    else:
        values = np.ones(length) if window is None else np.asarray(window, np.float64)
    before = (fft_length - length) // 2
    return np.pad(values, (before, fft_length - length - before))


def _frames(x: Array, length: int, stride: int) -> Array:
    """All whole windows along the last axis; a view."""
    return np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::stride, :]


def _overlapped(frames: Array, stride: int, size: int) -> Array:
    """The adjoint of `_frames`: windows added up where they lie, along an axis of this size."""
    number, length = frames.shape[-2:]
    y = np.zeros((*frames.shape[:-2], size), frames.dtype)
    for k in range(number):
        y[..., k * stride : k * stride + length] += frames[..., k, :]
    return y


def _short_shape(
    x: Any, sequence_length: Any, sequence_stride: Any, fft_length: Any, window: Any, center: Any
) -> Any:
    _checked(sequence_length, sequence_stride, fft_length, window)
    *batch, n = _ranked(shape_of(x))
    number = None
    if n is not None:
        side = fft_length // 2 if center else 0
        if (center and side >= n) or n + 2 * side < fft_length:
            raise ValueError(
                f"stft: the last axis of x is too short for fft_length={fft_length} and center={center}: expected more "
                f"than {side} and, with {side} on each side, {fft_length} or more, got {n}"
            )
        number = 1 + (n + 2 * side - fft_length) // sequence_stride
    return [(*batch, number, fft_length // 2 + 1)] * 2


def _short_slope(
    dy: Any,
    y: Any,
    x: Array,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any,
    center: bool,
) -> Array:
    side, n = fft_length // 2 if center else 0, x.shape[-1]
    frames = _half_back(dy, fft_length) * _window(window, sequence_length, fft_length).astype(x.dtype)
    whole = _overlapped(frames, sequence_stride, n + 2 * side)
    found = whole[..., side : side + n].copy()
    if side:  # what was reflected there
        found[..., 1 : side + 1] += whole[..., :side][..., ::-1]
        found[..., n - 1 - side : n - 1] += whole[..., side + n :][..., ::-1]
    return found


@operation(
    "STFT",
    _short_slope,
    home="math",
    config="sequence_length sequence_stride fft_length window center",
    shape=_short_shape,
    dtype="float32",
)
def stft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """Fourier's transform of windows of `sequence_length` along the last axis, `sequence_stride` from one to the next.

    Parameters
    ----------
    x : array_like (..., steps)
        Floating-point numbers.
    sequence_length, sequence_stride, fft_length : int
        Of a window, from one window to the next, and of the transform, which is not shorter than a window.
    window : {"hann", "hamming"}, array (sequence_length,) or None
        What each window is multiplied by; names are of periodic windows.
    center : bool
        Whether window t has its middle at step ``t * sequence_stride``, `x` being reflected at its ends; it begins there
        otherwise.

    Returns
    -------
    list of two arrays (..., windows, fft_length // 2 + 1)
        Real and imaginary parts.

    Raises
    ------
    TypeError
        `x` is not of floating-point numbers.
    ValueError
        Wrong lengths or window, or an axis too short for them.
    """
    _short_shape(x, sequence_length, sequence_stride, fft_length, window, center)
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        kind = getattr(x, "dtype", type(x).__name__)
        raise TypeError(f"Invalid input type. Expected `float32` or `float64`. Received: input type={kind}")
    if center:
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(fft_length // 2,) * 2], mode="reflect")
    taken = _frames(x, fft_length, sequence_stride)
    return _parts(np.fft.rfft(taken * _window(window, sequence_length, fft_length).astype(x.dtype)))


def _joined_size(
    number: int | None, sequence_stride: int, fft_length: int, length: int | None, center: bool
) -> int | None:
    if length is not None or number is None:
        return length
    return fft_length + sequence_stride * (number - 1) - (2 * (fft_length // 2) if center else 0)


def _joined_shape(
    x: Any, sequence_length: Any, sequence_stride: Any, fft_length: Any, length: Any, window: Any, center: Any
) -> Any:
    _checked(sequence_length, sequence_stride, fft_length, window)
    if length is not None:
        _positive(length=length)
    *batch, number, bins = _pair_shape(x, 2)
    if bins is not None and bins != fft_length // 2 + 1:
        raise ValueError(
            f"istft: expected {fft_length // 2 + 1} numbers in the last axis of x for fft_length={fft_length}, got {bins}"
        )
    if sequence_stride > fft_length:
        raise ValueError(
            f"`sequence_stride` must equal or less than `fft_length`. Received: sequence_stride={sequence_stride}, "
            f"fft_length={fft_length}"
        )
    return (*batch, _joined_size(number, sequence_stride, fft_length, length, center))


def _weights(
    number: int, length: int, stride: int, fft_length: int, window: Any, center: bool
) -> tuple[Array, Array]:
    """What windows are multiplied by, and what their sum is divided by, so that this undoes `stft`.

    Windows that fill the transform and are centred are divided by the sum of squares that is there (Griffin and Lim 1984,
    equation 6); others, as in Keras, by that of windows without end; None by nothing.
    """
    size = fft_length + stride * (number - 1)
    own = _window(window, length, fft_length)
    if window is None:
        return own * 0 + 1, np.ones(size)
    if length == fft_length and center:
        return own, _overlapped(np.broadcast_to(own * own, (number, fft_length)), stride, size)
    full = np.resize(np.pad(own * own, (0, -fft_length % stride)).reshape(-1, stride).sum(0), fft_length)
    with np.errstate(divide="ignore", invalid="ignore"):
        return own / full, np.ones(size)


def _kept(number: int, stride: int, fft_length: int, length: int | None, center: bool) -> slice:
    """Which part of the joined windows is given."""
    size = fft_length + stride * (number - 1)
    start = fft_length // 2 if center else 0
    wanted = _joined_size(number, stride, fft_length, length, center)
    return slice(start, min(start + (wanted or 0), size))


def _joined_slope(
    dy: Array,
    y: Array,
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None,
    window: Any,
    center: bool,
) -> list[Array]:
    number = np.shape(x[0])[-2]
    own, total = _weights(number, sequence_length, sequence_stride, fft_length, window, center)
    part = _kept(number, sequence_stride, fft_length, length, center)
    whole = np.zeros((*dy.shape[:-1], total.size), np.float64)
    whole[..., part] = dy[..., : part.stop - part.start] / total[part]
    return _parts(_whole_back(_frames(whole, fft_length, sequence_stride) * own))


@operation(
    "ISTFT",
    _joined_slope,
    home="math",
    config="sequence_length sequence_stride fft_length length window center",
    shape=_joined_shape,
    dtype="float32",
)
def istft(
    x: Any,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Any = "hann",
    center: bool = True,
) -> Any:
    """`stft` backwards: the steps whose windows have these transforms.

    Parameters
    ----------
    x : pair of array_like (..., windows, fft_length // 2 + 1)
        Real and imaginary parts.
    sequence_length, sequence_stride, fft_length, window, center
        As `stft` had them.
    length : int, optional
        How many steps are given; 0 stands where no window reaches.

    Returns
    -------
    array (..., steps)

    Raises
    ------
    ValueError
        Wrong shapes, lengths or window; steps that all windows multiply by 0.
    """
    _joined_shape(x, sequence_length, sequence_stride, fft_length, length, window, center)
    pair = _pair(x)
    number = pair.shape[-2]
    own, total = _weights(number, sequence_length, sequence_stride, fft_length, window, center)
    part = _kept(number, sequence_stride, fft_length, length, center)
    if not np.all(np.isfinite(own)) or np.min(total[part], initial=1) < 1e-11:
        raise ValueError(
            f"istft: windows {sequence_stride} apart multiply some steps by 0, which cannot be undone; expected a smaller "
            "sequence_stride or another window"
        )
    frames = np.fft.irfft(pair, fft_length) * own.astype(pair.real.dtype)
    y = _overlapped(frames, sequence_stride, total.size)[..., part] / total[part].astype(pair.real.dtype)
    return y if length is None else _fitted(y, length)
