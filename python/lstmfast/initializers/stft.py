# SPDX-License-Identifier: BSD-3-Clause
"""Kernels whose convolution with a signal is a short-time Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Array, Initializer, Shape

__all__ = ["STFT", "check_scaling", "check_window"]

#: Windows that are sums of cosines, ``sum_k a_k cos(k t)`` for t from -pi to pi (Harris 1978, "On the use of windows for
#: harmonic analysis with the discrete Fourier transform"; the flat top of D'Antona and Ferrero 2006).
_COSINES: dict[str, tuple[float, ...]] = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


def check_window(window: Any) -> None:
    """Refuse names of unknown windows; an array is checked when the length of a frame is known."""
    if isinstance(window, str) and window not in _COSINES:
        raise ValueError(
            f"Unknown window type: expected one of {sorted(_COSINES)}, or an array, got window={window!r}"
        )


def check_scaling(scaling: Any) -> None:
    """Refuse what is no scaling."""
    if scaling not in (None, "density", "spectrum"):
        raise ValueError(
            f"Scaling is invalid, it must be `None`, 'density' or 'spectrum'. Received scaling={scaling}"
        )


def _window_values(window: Any, length: int, periodic: bool) -> Array:
    if not isinstance(window, str):
        return np.asarray(window, np.float32)
    if length == 1:
        return np.ones(1, np.float32)
    t = np.linspace(-np.pi, np.pi, length + periodic)[:length]
    return sum(a * np.cos(k * t) for k, a in enumerate(_COSINES[window])).astype(np.float32)  # type: ignore[union-attr]


class STFT(Initializer):
    """Kernels (frame_length, 1, frequencies) by which a convolution is a short-time Fourier transform.

    Parameters
    ----------
    side : {"real", "imag"}
        Cosines, or sines.
    window : str, array_like (frame_length,) or None
        What a frame is multiplied by: "hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop" or "boxcar";
        an array for others.
    scaling : {"density", "spectrum"} or None
        Divide by the window's norm, or by its sum.
    periodic : bool
        Whether a window of a name leaves out its last value, which is its first one.

    Raises
    ------
    ValueError
        If an argument is none of these, or an array's length is not that of a frame.

    Examples
    --------
    >>> from lstmfast.initializers import STFT
    >>> STFT("real", window=None)((4, 1, 3))[:, 0].round(3) + 0.0  # frequencies 0, 1 and 2 of 4 steps
    array([[ 1.,  1.,  1.],
           [ 1.,  0., -1.],
           [ 1., -1.,  1.],
           [ 1.,  0., -1.]], dtype=float32)
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"side should be 'real' or 'imag', not {side}")
        check_window(window)
        check_scaling(scaling)
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        if len(shape) != 3:
            raise ValueError(f"shape: expected (frame_length, 1, frequencies), got {tuple(shape)}")
        length, _, frequencies = map(int, shape)
        # Angles are rounded to float32, as Keras's are: at some hundred radians that shows in the fifth decimal.
        steps, cycles = np.arange(length, dtype=np.float32), np.arange(frequencies, dtype=np.float32)
        cycles = cycles / np.float32(max(2 * (frequencies - 1), 1))
        angles = (np.float32(-2) * steps)[:, None, None] * cycles * np.float32(np.pi)
        kernel = np.cos(angles) if self.side == "real" else np.sin(angles)
        if self.window is not None:
            window = _window_values(self.window, length, bool(self.periodic))
            if window.shape != (length,):
                raise ValueError(
                    f"The shape of `window` must be equal to [frame_length]. Received: window shape={window.shape}, "
                    f"frame_length={length}"
                )
            norms = {
                "density": np.sqrt(np.sum(window**2)),
                "spectrum": np.sum(np.abs(window)),
                None: np.float32(1),
            }
            kernel = kernel * window[:, None, None] / norms[self.scaling]
        return np.asarray(kernel, dtype or np.float32)

    def get_config(self) -> dict[str, Any]:
        return {
            "side": self.side,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
        }
