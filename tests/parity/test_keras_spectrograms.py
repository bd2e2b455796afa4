# SPDX-License-Identifier: BSD-3-Clause
"""Spectrogram layers and the initializer of their kernels against Keras's; windows against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
OPTIONS = {
    "plain": {"frame_length": 64},
    "same": {"frame_length": 64, "frame_step": 24, "padding": "same"},
    "longer transform": {"frame_length": 60, "fft_length": 96, "window": "hamming", "scaling": "spectrum", "periodic": True},
    "expanded": {"frame_length": 40, "scaling": None, "expand_dims": True},
    "channels first": {"frame_length": 32, "data_format": "channels_first", "padding": "same", "window": None},
    "channels first, expanded": {"frame_length": 32, "data_format": "channels_first", "expand_dims": True},
}  # fmt: skip
MEL = {
    "plain": {},
    "speech": {"fft_length": 512, "sequence_stride": 100, "sequence_length": 400, "num_mel_bins": 40, "sampling_rate": 8000},
    "magnitude": {
        "fft_length": 256, "window": "hamming", "mag_exp": 1.0, "power_to_db": False, "num_mel_bins": 20, "min_freq": 100.0,
        "max_freq": 3000.0,
    },
    "odd power": {"fft_length": 256, "window": None, "mag_exp": 1.5, "top_db": 20.0, "ref_power": 2.0, "num_mel_bins": 10},
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("mode", MODES)
def test_short_time_transforms(mode, options):
    rng, given = np.random.default_rng(len(mode) + len(options)), OPTIONS[options]
    shape = (2, 3, 200) if "data_format" in given else (2, 200, 3)
    x = floats(rng, *shape)
    ours, theirs = (k.layers.STFTSpectrogram(mode, **given, name="s") for k in (lf, keras))
    close(ours(x), theirs(x).detach().numpy())
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        assert a.name == b.name
        close(a.value, b.numpy(), a.name)
    if (
        mode != "angle" and not ours.expand_dims
    ):  # slopes of any size near 0; a view of what is compared anyway
        # In logarithms the smallest magnitudes have the greatest slopes: as sizes of rounding count those of 1 here.
        compare(
            lambda k: k.layers.STFTSpectrogram(mode, **given), x, rng, None, 1.0 if mode == "log" else 1e-6
        )
    same_configuration(lambda k: k.layers.STFTSpectrogram(mode, **given, name="s"))


@pytest.mark.parametrize("options", MEL)
def test_mel_spectrograms(options):
    x = floats(np.random.default_rng(2), 3, 3000)
    ours, theirs = (k.layers.MelSpectrogram(**MEL[options], name="m") for k in (lf, keras))
    for signal in (x, x[1]):
        y = ours(signal)
        close(y, theirs(signal).detach().numpy())
        assert (
            y.shape
            == ours.compute_output_shape(signal.shape)
            == tuple(theirs.compute_output_shape(signal.shape))
        )
    assert ours.compute_output_shape((None, None)) == tuple(theirs.compute_output_shape((None, None)))
    same_configuration(lambda k: k.layers.MelSpectrogram(**MEL[options], name="m"))


def test_gradients_of_signals():
    """By finite differences: Keras's layer for data hands none on."""
    x = floats(np.random.default_rng(3), 2, 60)
    for power_to_db in (False, True):
        layer = lf.layers.MelSpectrogram(16, 8, num_mel_bins=3, sampling_rate=800, power_to_db=power_to_db)
        lf.testing.check_gradients(layer, x)


@pytest.mark.parametrize("steps", [200, None])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_trained_models_in_files(tmp_path, padding, steps):
    x = floats(np.random.default_rng(4), 4, 200, 1)
    model = lf.Sequential([
        lf.Input((steps, 1)), lf.layers.STFTSpectrogram(frame_length=64, padding=padding), lf.layers.GRU(4)
    ])  # fmt: skip
    model.compile("adam", "mse")
    model.fit(x, np.ones((4, 4)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    want = model.predict(x, verbose=0)
    np.testing.assert_array_equal(lf.models.load_model(tmp_path / "model.keras").predict(x, verbose=0), want)
    close(keras.models.load_model(tmp_path / "model.keras").predict(x, verbose=0), want)


def test_files_of_keras(tmp_path):
    x = floats(np.random.default_rng(5), 2, 600)
    model = keras.Sequential([
        keras.Input((600,)),
        keras.layers.MelSpectrogram(128, 64, num_mel_bins=10, window="hamming"),
        keras.layers.Permute((2, 1)),
        keras.layers.STFTSpectrogram("psd", frame_length=4, window=np.array([0.5, 1, 1, 0.5])),
        keras.layers.LSTM(4),
    ])  # fmt: skip
    model.save(tmp_path / "model.keras")
    close(lf.models.load_model(tmp_path / "model.keras").predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame_step": 0},
        {"frame_step": 300},
        {"fft_length": 128},
        {"mode": "power"},
        {"scaling": "power"},
        {"padding": "causal"},
        {"window": "unheard of"},
    ],
)
def test_wrong_arguments(wrong):
    same_error(lambda k: k.layers.STFTSpectrogram(**wrong))


def test_wrong_inputs():
    same_error(lambda k: k.layers.MelSpectrogram(sequence_length=4096))
    same_error(lambda k: k.initializers.STFT("both"))
    same_error(lambda k: k.initializers.STFT(window="unheard of"))
    same_error(lambda k: k.initializers.STFT(scaling="power"))
    same_error(lambda k: k.initializers.STFT(window=np.ones(3))((4, 1, 3)), "window")
    with pytest.raises(ValueError, match="frame_length"):
        lf.layers.STFTSpectrogram(frame_length=0)
    with pytest.raises(ValueError, match="have 3 steps, which are fewer than frame_length=256"):
        lf.layers.STFTSpectrogram()(np.ones((2, 3, 1)))
    with pytest.raises(ValueError, match="must have shape"):
        lf.layers.MelSpectrogram()(np.ones((2, 3, 4)))
    with pytest.warns(UserWarning, match="power of two"):
        lf.layers.STFTSpectrogram(fft_length=300)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", ["hann", "hamming", None, "own"])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
def test_kernels(side, window, scaling):
    for length, frequencies in ((256, 129), (50, 40), (1, 1 + 1)):
        own = np.linspace(0.5, 1, length).astype("float32") if window == "own" else window
        ours, theirs = (k.initializers.STFT(side, own, scaling, True) for k in (lf, keras))
        close(ours((length, 1, frequencies)), theirs((length, 1, frequencies)).numpy(), least=1.0)
        assert ours.get_config() == theirs.get_config()
    if window != "own":
        described = lf.initializers.serialize(ours)
        assert described == keras.initializers.serialize(theirs)
        assert lf.initializers.deserialize(described).get_config() == ours.get_config()
    names = ("STFT", "stft", "STFTInitializer")
    assert {type(lf.initializers.get(name)) for name in names} == {lf.initializers.STFT}


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(
    "window", ["boxcar", "hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop"]
)
def test_windows(window, periodic):
    signal = pytest.importorskip("scipy.signal")
    for length in (1, 2, 7, 64):
        kernel = lf.initializers.STFT(window=window, scaling=None, periodic=periodic)((length, 1, 1))
        close(kernel[:, 0, 0], signal.get_window(window, length, periodic))  # frequency 0
