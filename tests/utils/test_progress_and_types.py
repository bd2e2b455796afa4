# SPDX-License-Identifier: BSD-3-Clause
"""Progbar, interactive logging, symbolic tensors and types."""

import logging
import os
import re

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.utils import Progbar


@pytest.fixture
def quiet():
    lf.utils.disable_interactive_logging()
    yield
    lf.utils.enable_interactive_logging()


def test_progbar_averages(capsys):
    bar = Progbar(4, verbose=1, interval=0, stateful_metrics=["rate"], unit_name="sample")
    bar.update(1, [("loss", 4.0), ("rate", 0.5)])
    assert "1/4" in capsys.readouterr().out
    bar.add(2, [("loss", 1.0), ("rate", 0.25)])  # counts twice: (4 + 2 * 1) / 3
    out = capsys.readouterr().out
    assert "3/4" in out
    assert "loss: 2.0000 - rate: 0.2500" in out
    bar.update(4, [("loss", 0.5)])
    assert "loss: 0.5000" in capsys.readouterr().out
    bar = Progbar(None, verbose=1, interval=0, stateless_metrics=["loss"])
    bar.update(1, [("loss", 4.0), ("rate", 1e-5)])
    bar.update(2, [("loss", 2.0), ("rate", 2e-5)])
    assert "loss: 3.0000 - rate: 2.0000e-05" in capsys.readouterr().out
    bar.update(2, finalize=True)
    capsys.readouterr()


def test_progbar_forms(capsys):
    silent = Progbar(2, verbose=0)
    silent.add(2, [("loss", 1.0)])
    assert capsys.readouterr().out == ""
    line = Progbar(2, verbose=2)
    line.add(1)
    assert capsys.readouterr().out == ""
    line.add(1, [("loss", 1.0)])
    assert re.fullmatch(r"2/2 - 0s - \d+.s/step - loss: 1.0000\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match="Only one of"):
        Progbar(2, stateful_metrics=[], stateless_metrics=[])
    with pytest.raises(ValueError, match="verbose: expected"):
        Progbar(2, verbose="auto")


def test_messages_go_to_the_log(quiet, capsys, caplog):
    assert not lf.utils.is_interactive_logging_enabled()
    model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((8, 2), "float32")
    with caplog.at_level(logging.INFO, "lstmfast"):
        stop = lf.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9, verbose=1)
        model.fit(x, x[:, :1], epochs=3, callbacks=[stop])
        model.summary()
        Progbar(1).add(1)
    assert capsys.readouterr().out == ""
    texts = "\n".join(record.getMessage() for record in caplog.records)
    for part in ("Epoch 1/3", "1/1 - 0s - ", "loss: ", "early stopping", "Trainable params: 3"):
        assert part in texts
    lf.utils.enable_interactive_logging()
    model.summary()
    assert "Trainable params: 3" in capsys.readouterr().out


def test_source_inputs():
    a, b = lf.Input((3,), name="a"), lf.Input((3,), name="b")
    y = lf.layers.Add()([lf.layers.Dense(3)(a), b, a])
    for _ in range(2000):
        y = lf.layers.Identity()(y)
    assert [t.name for t in lf.utils.get_source_inputs(y)] == ["a", "b"]
    assert lf.utils.get_source_inputs(a) == [a]
    assert lf.utils.get_source_inputs(3) == 3
    assert lf.utils.is_keras_tensor(y)
    assert not lf.utils.is_keras_tensor(np.ones(3))


def test_types_as_in_keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    torch = pytest.importorskip("torch")
    keras = pytest.importorskip("keras")
    good = [
        None,
        "float32",
        "int",
        int,
        float,
        bool,
        str,
        np.float64,
        np.dtype("int8"),
        np.uint16,
        torch.float16,
        "bfloat16",
    ]
    for dtype in good:
        assert lf.utils.standardize_dtype(dtype) == keras.utils.standardize_dtype(dtype)
    for dtype in ("float", "f4", object, "int128", 3):
        with pytest.raises(ValueError, match="Invalid dtype"):
            keras.utils.standardize_dtype(dtype)
        with pytest.raises(ValueError, match="Invalid dtype"):
            lf.utils.standardize_dtype(dtype)
    x, z = keras.Input((2,)), keras.Input((2,))
    y = keras.layers.Add()([keras.layers.Dense(2)(x), z, x])
    assert [t.name for t in keras.utils.get_source_inputs(y)] == [x.name, z.name]


@pytest.mark.parametrize("finalize", [None, True])
def test_the_mean_of_a_list_is_shown(finalize, capsys):
    """As in Keras."""
    bar = Progbar(2, verbose=2)
    bar.update(1, values=[("value", [0.0, 1.0, 2.0])])
    bar.update(2, values=[("value", np.array([3.0, 5.0]))], finalize=finalize)
    assert capsys.readouterr().out.rstrip().endswith("value: 4.0000")
