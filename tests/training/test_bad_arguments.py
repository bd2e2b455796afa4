# SPDX-License-Identifier: BSD-3-Clause
"""Arguments of training that are of no use: an error that names them, and the model as it was."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers, optimizers

X = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
Y = np.arange(8) % 2


def compiled(optimizer="adam"):
    model = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize(("kwargs", "match"), [
    ({"validation_split": "a"}, r"validation_split must be from 0 to 1 \(exclusive\), got 'a'"),
    ({"validation_split": 0.25, "validation_freq": 0}, "validation_freq must be a positive integer .* got 0"),
    ({"validation_split": 0.25, "validation_freq": -1}, "validation_freq"),
    ({"validation_split": 0.25, "validation_freq": "a"}, "validation_freq"),
    ({"validation_data": (X, Y), "validation_freq": [1, 0]}, "validation_freq"),
    ({"validation_data": (X, Y), "validation_freq": 1.5}, "validation_freq"),
    ({"class_weight": {0: "x"}}, "class_weight must map class numbers to finite weights, got 0: 'x'"),
    ({"class_weight": {0: None}}, "class_weight"),
    ({"class_weight": {1: np.nan}}, "class_weight"),
    ({"class_weight": {0: [1, 2]}}, "class_weight"),
    ({"class_weight": {"a": 1.0}}, "got 'a': 1.0"),
    ({"class_weight": {0.5: 1.0}}, "class_weight"),
])  # fmt: skip
def test_fit(kwargs, match):
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match=match):
        model.fit(X, Y, verbose=0, epochs=2, **kwargs)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_is_of_use():
    model = compiled()
    model.fit(X, Y, verbose=0, validation_split=None)
    history = model.fit(
        X, Y, verbose=0, epochs=3, validation_split=0.25, validation_freq=np.array([1, 3])
    ).history
    assert len(history["val_loss"]) == 2
    model.fit(X, Y, verbose=0, class_weight={0: np.float32(2), 1.0: 1, np.int64(2): 0})


def test_no_optimizer():
    model = compiled(None)
    for train in (lambda: model.fit(X, Y, verbose=0), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(ValueError, match="optimizer=None"):
            train()
    assert np.isfinite(model.evaluate(X, Y, verbose=0))


@pytest.mark.parametrize(("name", "kwargs"), [
    ("Adam", {"beta_1": "x"}), ("Adam", {"epsilon": "x"}), ("Adam", {"clipnorm": "x"}), ("Adam", {"clipvalue": [1]}),
    ("SGD", {"global_clipnorm": "x"}), ("Adam", {"weight_decay": "x"}), ("Adam", {"loss_scale_factor": "x"}),
    ("SGD", {"use_ema": True, "ema_momentum": "x"}), ("RMSprop", {"rho": "x"}), ("RMSprop", {"momentum": "x"}),
    ("Adagrad", {"initial_accumulator_value": "x"}), ("Adadelta", {"rho": "x"}), ("Ftrl", {"beta": "x"}),
    ("Adafactor", {"clip_threshold": "x"}),
])  # fmt: skip
def test_optimizers(name, kwargs):
    argument = list(kwargs)[-1]
    with pytest.raises(TypeError, match=f"{argument}: expected a number, got"):
        getattr(optimizers, name)(**kwargs)


def test_more_of_optimizers():
    with pytest.raises(ValueError, match="loss_scale_factor: expected a number above 0, got 0"):
        optimizers.SGD(loss_scale_factor=0)
    with pytest.raises(ValueError, match="gradient_accumulation_steps"):
        optimizers.SGD(gradient_accumulation_steps="x")
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier: 'nope'"):
        compiled("nope")
    with pytest.raises(ValueError, match="Could not interpret initializer identifier: nope"):
        layers.LSTM(3, kernel_initializer="nope")
    assert lf.initializers.get("HeNormal") is not None


RAGGED = [[1, 2, 3], [4, 5], [6]]


@pytest.mark.parametrize("first", [layers.Embedding(10, 4), layers.LSTM(4)])
@pytest.mark.parametrize(("x", "error"), [(RAGGED, ValueError), (np.array(RAGGED, object), TypeError)])
def test_sequences_of_different_lengths(first, x, error):
    shape = (None,) if isinstance(first, layers.Embedding) else (None, 1)
    model = Sequential([Input(shape), first, layers.Dense(1)])
    with pytest.raises(error, match=r"input '.*' must be .*utils.pad_sequences"):
        model.predict(x, verbose=0)


def test_dates_are_no_numbers():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"value": np.arange(4.0), "day": pd.date_range("2020", periods=4)})
    model = Sequential([Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    for x in (table, table.assign(value=pd.to_timedelta(1))):
        with pytest.raises(TypeError, match="must be numeric"):
            model.fit(x, np.zeros(4), verbose=0)
    model.fit(table.assign(day=[True, False, None, True])[["value"]].assign(more=1), np.zeros(4), verbose=0)
