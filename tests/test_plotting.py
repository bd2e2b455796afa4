# SPDX-License-Identifier: BSD-3-Clause
"""What the pictures show: lines, images, labels; into a given Axes or a new one, without a display."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from lstmfast import Input, Sequential, layers, plotting


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


@pytest.fixture
def ax():
    return pyplot.subplots()[1]


def lines(ax):
    return {line.get_label(): np.asarray(line.get_xydata()) for line in ax.lines}


def drawn(ax):
    """Everything is drawn for real, and the text is returned."""
    ax.figure.canvas.draw()
    return [text.get_text() for text in ax.texts]


def test_history_of_fit(rng, ax):
    model = Sequential([Input((None, 2)), layers.LSTM(3), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    x, y = rng.standard_normal((8, 4, 2)), rng.standard_normal((8, 1))
    history = model.fit(x, y, epochs=4, validation_split=0.25, validation_freq=2, verbose=0)
    assert plotting.plot_history(history, ["loss", "mae"], ax=ax) is ax
    found = lines(ax)
    assert list(found) == ["loss", "val_loss", "mae", "val_mae"]
    np.testing.assert_array_equal(found["loss"][:, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(found["loss"][:, 1], history.history["loss"])
    np.testing.assert_array_equal(found["val_mae"][:, 0], [2, 4])
    np.testing.assert_allclose(found["val_mae"][:, 1], history.history["val_mae"])
    styles = {line.get_label(): (line.get_linestyle(), line.get_color()) for line in ax.lines}
    assert styles["val_loss"][0] == "--" and styles["val_loss"][1] == styles["loss"][1]
    drawn(ax)
    with pytest.raises(ValueError, match="auc"):
        plotting.plot_history(history, "auc")


def test_gates(rng, ax):
    model = Sequential([Input((None, 2)), layers.Bidirectional(layers.LSTM(3), name="both"), layers.Dense(1)])
    x = rng.standard_normal((2, 6, 2))
    trace = model.trace(x, lengths=[6, 4])
    plotting.plot_gates(trace, "both/backward", keys=["f", "c"], row=1, unit=2, ax=ax)
    found = lines(ax)
    assert list(found) == ["f", "c"]
    np.testing.assert_array_equal(found["f"][:, 1], trace["both/backward/f"][1, :, 2])
    assert np.isnan(found["f"][4:, 1]).all()
    means = lines(plotting.plot_gates(trace, "both/forward"))
    assert list(means) == ["i", "f", "c_tilde", "o", "c", "h"]
    np.testing.assert_allclose(means["h"][:, 1], trace["both/forward/h"][0].mean(axis=1), rtol=1e-6)
    drawn(ax)
    for wrong in ({"layer": "both"}, {"keys": ["z"]}, {"row": 2}, {"unit": 3}):
        with pytest.raises(ValueError):
            plotting.plot_gates(trace, **{"layer": "both/forward", **wrong})


def test_gate_map(rng, ax):
    trace = Sequential([Input((None, 2)), layers.LSTM(3, name="lstm")]).trace(rng.standard_normal((2, 6, 2)))
    assert plotting.plot_gate_map(trace, "lstm/f", row=1, ax=ax) is ax
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), trace["lstm/f"][1].T)
    assert image.get_clim() == (0, 1)
    state = plotting.plot_gate_map(trace, "lstm/c").images[0]
    assert state.get_clim()[0] == -state.get_clim()[1]
    drawn(ax)
    for key, row in (("lstm/z", 0), ("lstm", 0), ("lstm/f", 2)):
        with pytest.raises(ValueError):
            plotting.plot_gate_map(trace, key, row=row)


def test_confusion_matrix(rng, ax):
    true, predicted = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    plotting.plot_confusion_matrix(true, predicted, ax=ax)
    wanted = np.array([[np.sum((true == a) & (predicted == b)) for b in range(4)] for a in range(4)])
    np.testing.assert_array_equal(ax.images[0].get_array(), wanted)
    assert drawn(ax) == [str(n) for n in wanted.ravel()]
    shares = plotting.plot_confusion_matrix(true, np.eye(4)[predicted], normalize=True)
    np.testing.assert_allclose(shares.images[0].get_array().sum(axis=1), 1)
    named = plotting.plot_confusion_matrix(["b", "a"], [[0.9, 0.1], [0.2, 0.8]], labels=["b", "a"])
    np.testing.assert_array_equal(named.images[0].get_array(), np.eye(2))
    assert [t.get_text() for t in named.get_xticklabels()] == ["b", "a"]
    for y, p, labels in (
        ([0], [0, 1], None),
        ([0, 1], [0, 2], [0, 1]),
        ([], [], None),
        ([0], [[0.5, 0.5]], [1]),
    ):
        with pytest.raises(ValueError):
            plotting.plot_confusion_matrix(y, p, labels=labels)


def test_predictions(rng, ax):
    true, predicted = rng.standard_normal(9), rng.standard_normal((9, 1))
    plotting.plot_predictions(true, predicted, time=np.arange(9) + 5, ax=ax)
    found = lines(ax)
    np.testing.assert_array_equal(found["true"], np.stack([np.arange(9) + 5, true], axis=1))
    np.testing.assert_array_equal(found["predicted"][:, 1], predicted[:, 0])
    several = plotting.plot_predictions(true.reshape(3, 3), predicted.reshape(3, 3))
    assert [line.get_label() for line in several.lines][:3] == ["true 0", "predicted 0", "true 1"]
    drawn(several)
    for a, b, time in ((true, true[:3], None), (true, true, [1, 2]), (np.zeros((2, 2, 2)),) * 2 + (None,)):
        with pytest.raises(ValueError):
            plotting.plot_predictions(a, b, time=time)
