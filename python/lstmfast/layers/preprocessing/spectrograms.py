# SPDX-License-Identifier: BSD-3-Clause
"""Spectrograms of sound: by kernels that may be trained, or on the mel scale of hearing."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import initializers
from ...initializers.stft import check_scaling, check_window
from ..arguments import data_format_of, is_integer, padding_of, same_padding
from ..base import Layer
from ..input_spec import InputSpec

__all__ = ["MelSpectrogram", "STFTSpectrogram"]

Array = npt.NDArray[Any]

_MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
_EPSILON = np.float32(1e-7)


def _check_positive(**given: Any) -> None:
    for argument, value in given.items():
        if not is_integer(value) or value < 1:
            raise ValueError(f"`{argument}` should be a positive integer. Received {argument}={value!r}")


class STFTSpectrogram(Layer):
    """Short-time Fourier transform of each channel of a signal, by kernels that training may change.

    Parameters
    ----------
    mode : {"log", "magnitude", "psd", "real", "imag", "angle", "stft"}
        What of the transform comes out: the logarithm of its magnitude, that itself, the power of both sides of the spectrum,
        its real or imaginary part, its angle, or real and imaginary parts behind each other.
    frame_length : int
        Steps of a frame.
    frame_step : int, optional
        Steps from one frame to the next, at most `frame_length`; half of it by default.
    fft_length : int, optional
        Of the transform, not less than `frame_length`; by default the next power of two.
    window, periodic, scaling
        See `initializers.STFT`.
    padding : {"valid", "same"}
        Whole frames only, or ``ceil(steps / frame_step)`` frames with zeros at both ends.
    expand_dims : bool
        Give channels an axis of their own.
    data_format : {"channels_last", "channels_first"}, optional
    **kwargs
        See `Layer`; ``trainable=False`` for a fixed transform.

    Notes
    -----
    Input (batch, steps, channels), output (batch, frames, channels * frequencies), or with `expand_dims` (batch, frames,
    frequencies, channels); with channels first (batch, channels, steps) to (batch, channels * frequencies, frames) or (batch,
    channels, frames, frequencies). There are ``fft_length // 2 + 1`` frequencies, twice as many numbers for "stft". Weights:
    real_kernel and imag_kernel (frame_length, 1, frequencies), of which "real" and "imag" have one.

    Raises
    ------
    ValueError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import STFTSpectrogram
    >>> tone = np.sin(np.arange(400) * (2 * np.pi * 4 / 64))[None, :, None]  # 4 periods in 64 steps
    >>> y = STFTSpectrogram("magnitude", frame_length=64)(tone)
    >>> y.shape, int(y[0, 5].argmax())
    ((1, 11, 33), 4)
    """

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Any = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_positive(frame_length=frame_length)
        if frame_step is not None and not (is_integer(frame_step) and 1 <= frame_step <= frame_length):
            raise ValueError(
                "`frame_step` should be a positive integer not greater than `frame_length`. Received "
                f"frame_step={frame_step}, frame_length={frame_length}"
            )
        if fft_length is not None:
            if not is_integer(fft_length) or fft_length < frame_length:
                raise ValueError(
                    "`fft_length` should be not less than `frame_length`. Received "
                    f"fft_length={fft_length}, frame_length={frame_length}"
                )
            if fft_length & (fft_length - 1):
                warnings.warn(
                    f"`fft_length` is recommended to be a power of two. Received fft_length={fft_length}",
                    stacklevel=2,
                )
        if mode not in _MODES:
            raise ValueError(
                f"Output mode is invalid, it must be one of {', '.join(_MODES)}. Received: mode={mode}"
            )
        check_scaling(scaling)
        check_window(window)
        super().__init__(**kwargs)
        self.mode = mode
        self.frame_length, self.frame_step, self.fft_length = frame_length, frame_step, fft_length
        self.window, self.periodic, self.scaling = window, periodic, scaling
        self.padding = padding_of(padding)
        self.expand_dims = expand_dims
        self.data_format = data_format_of(data_format)
        self._step = frame_step or max(frame_length // 2, 1)
        self._frequencies = (fft_length or 2 ** math.ceil(math.log2(frame_length))) // 2 + 1
        self.input_spec = InputSpec(ndim=3)

    def build(self, input_shape: Any) -> None:
        def kernel(side: str) -> Any:
            initializer = initializers.STFT(side, self.window, self.scaling, self.periodic)
            return self.add_weight((self.frame_length, 1, self._frequencies), initializer, f"{side}_kernel")

        self.real_kernel = None if self.mode == "imag" else kernel("real")
        self.imag_kernel = None if self.mode == "real" else kernel("imag")
        self.built = True

    def _frames(self, steps: Any) -> Any:
        if steps is None:
            return None
        if self.padding == "same":
            return (steps - 1) // self._step + 1
        if steps < self.frame_length:
            raise ValueError(
                f"inputs of layer {self.name!r} have {steps} steps, which are fewer than frame_length={self.frame_length}"
            )
        return (steps - self.frame_length) // self._step + 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        first = self.data_format == "channels_first"
        batch, *rest = input_shape
        channels, steps = rest if first else reversed(rest)
        frames, numbers = self._frames(steps), self._frequencies * (1 + (self.mode == "stft"))
        if self.expand_dims:
            return (batch, channels, frames, numbers) if first else (batch, frames, numbers, channels)
        together = None if channels is None else channels * numbers
        return (batch, together, frames) if first else (batch, frames, together)

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
        """The spectrogram of arrays or symbolic tensors."""
        from ... import ops  # which are not loaded for nothing

        x = inputs if self.data_format == "channels_first" else ops.swapaxes(inputs, 1, 2)
        steps = x.shape[2]
        self._frames(steps)
        if self.padding == "same":
            x = ops.pad(x, ((0, 0), (0, 0), same_padding(steps, self.frame_length, self._step)))
        frames = ops.extract_sequences(x, self.frame_length, self._step)
        parts = [
            ops.matmul(frames, ops.squeeze(kernel, 1))  # (batch, channels, frames, frequencies)
            for kernel in (self.real_kernel, self.imag_kernel)
            if kernel is not None
        ]
        y = self._of_mode(*parts)
        if self.expand_dims:
            return y if self.data_format == "channels_first" else ops.transpose(y, (0, 2, 3, 1))
        axes = (0, 1, 3, 2) if self.data_format == "channels_first" else (0, 2, 1, 3)
        return ops.reshape(ops.transpose(y, axes), (-1, *self.compute_output_shape(inputs.shape)[1:]))

    def _of_mode(self, *parts: Any) -> Any:
        from ... import ops

        if len(parts) == 1:
            return parts[0]
        real, imag = parts
        if self.mode == "stft":
            return ops.concatenate(parts, axis=-1)
        if self.mode == "angle":
            return ops.arctan2(imag, real)
        power = ops.square(real) + ops.square(imag)
        if self.mode == "psd":  # the other side's, too: of all frequencies but the first and the last
            both = np.full(self._frequencies, 2, np.float32)
            both[[0, -1]] = 1
            return power * both
        magnitude = ops.sqrt(ops.maximum(power, _EPSILON))
        return magnitude if self.mode == "magnitude" else ops.log(ops.maximum(magnitude, _EPSILON))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mode": self.mode,
            "frame_length": self.frame_length,
            "frame_step": self.frame_step,
            "fft_length": self.fft_length,
            "window": self.window,
            "periodic": self.periodic,
            "scaling": self.scaling,
            "padding": self.padding,
            "data_format": self.data_format,
            "expand_dims": self.expand_dims,
        }


class MelSpectrogram(Layer):
    """Power of a signal's frequencies over time, in bands that lie as the ear hears: evenly on the mel scale.

    Parameters
    ----------
    fft_length, sequence_stride : int
        Of the transform, and steps from one window to the next.
    sequence_length : int, optional
        Of a window; `fft_length` by default.
    window : {"hann", "hamming"}, array or None
        See `ops.stft`.
    sampling_rate : int
        Steps in a second.
    num_mel_bins : int
        Bands.
    min_freq, max_freq : float
        Where the first band begins and the last one ends, in Hertz; `max_freq` is half of `sampling_rate` by default.
    power_to_db : bool
        Give decibels, ``10 log10(power / ref_power)``.
    top_db : float
        Decibels that the result may be below its greatest number, which is looked for in the whole batch.
    mag_exp : float
        Power of the magnitude: 1, or 2 for the power.
    min_power, ref_power : float
        Least power, and that of 0 decibels.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (steps,) or (batch, steps), output (num_mel_bins, windows) or (batch, num_mel_bins, windows), with ``1 + steps //
    sequence_stride`` windows. A band is a triangle over the mel scale ``1127 log(1 + f / 700)`` whose top is 1 (Young et al.,
    The HTK Book, section 5.4). No weights.

    Raises
    ------
    ValueError
        If an argument does not fit, or a signal is not longer than half of `fft_length`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import MelSpectrogram
    >>> tone = np.sin(np.arange(4000) * (2 * np.pi * 1000 / 8000))  # 1000 Hertz
    >>> y = MelSpectrogram(fft_length=256, sequence_stride=128, sampling_rate=8000, num_mel_bins=20)(tone)
    >>> y.shape, int(y[:, 15].argmax())
    ((20, 32), 9)
    """

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Any = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fft_length, self.sequence_stride = fft_length, sequence_stride
        self.sequence_length = sequence_length or fft_length
        _check_positive(
            fft_length=fft_length,
            sequence_stride=sequence_stride,
            sequence_length=self.sequence_length,
            num_mel_bins=num_mel_bins,
        )
        if fft_length < self.sequence_length:
            raise ValueError(
                "`fft_length` must be greater than or equal to `sequence_length`. Received: "
                f"`sequence_length`={self.sequence_length}, `fft_length`={fft_length}."
            )
        self.window = window
        self.sampling_rate, self.num_mel_bins = sampling_rate, num_mel_bins
        self.min_freq, self.max_freq = min_freq, max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db = power_to_db, top_db
        self.mag_exp, self.min_power, self.ref_power = mag_exp, min_power, ref_power
        self._bands = _mel_bands(num_mel_bins, fft_length // 2 + 1, sampling_rate, min_freq, self.max_freq)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        if len(input_shape) not in (1, 2):
            raise ValueError(
                f"inputs of layer {self.name!r} must have shape (steps,) or (batch, steps), got {input_shape}"
            )
        *batch, steps = input_shape
        return (*batch, self.num_mel_bins, None if steps is None else 1 + steps // self.sequence_stride)

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
        """The spectrogram of arrays or symbolic tensors."""
        from ... import ops  # which are not loaded for nothing

        self.compute_output_shape(inputs.shape)
        real, imag = ops.stft(
            inputs, self.sequence_length, self.sequence_stride, self.fft_length, self.window
        )
        power = ops.square(real) + ops.square(imag)
        if self.mag_exp != 2:
            power = ops.power(ops.sqrt(power), self.mag_exp)
        y = ops.matmul(power, self._bands)
        if self.power_to_db:
            reference = 10 * math.log10(max(abs(self.ref_power), self.min_power))
            y = 10 * ops.log10(ops.maximum(y, np.float32(self.min_power))) - np.float32(reference)
            least = (
                10 * math.log10(self.min_power) - reference
            )  # nothing is less, and all that an empty batch has
            y = ops.maximum(y, ops.max(y, initial=least) - self.top_db)
        return ops.swapaxes(y, -1, -2)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fft_length": self.fft_length,
            "sequence_stride": self.sequence_stride,
            "sequence_length": self.sequence_length,
            "window": self.window,
            "sampling_rate": self.sampling_rate,
            "num_mel_bins": self.num_mel_bins,
            "min_freq": self.min_freq,
            "max_freq": self.max_freq,
            "power_to_db": self.power_to_db,
            "top_db": self.top_db,
            "mag_exp": self.mag_exp,
            "min_power": self.min_power,
            "ref_power": self.ref_power,
        }


def _mels(hertz: Any) -> Any:
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def _mel_bands(bands: int, frequencies: int, sampling_rate: float, low: float, high: float) -> Array:
    """(frequencies, bands): how much of each frequency each band takes; nothing of frequency 0."""
    edges = np.linspace(_mels(low), _mels(high), bands + 2)
    mels = _mels(np.linspace(0.0, sampling_rate / 2, frequencies))[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return np.asarray(weights, np.float32)
