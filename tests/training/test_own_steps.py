# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `train_step`, `test_step`, `predict_step`, `compute_loss` or `compute_metrics` themselves."""

import numpy as np
import pytest

from lstmfast import Input, Model, callbacks, layers, losses, metrics

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = RNG.normal(size=(12, 1)).astype(np.float32)
CLASSES = RNG.integers(0, 3, 12)


def graph(cls, units=1, activation=None):
    x = Input((3,))
    return cls(x, layers.Dense(units, activation=activation, kernel_initializer="ones")(x))


class Calls(Model):
    def train_step(self, data):
        return {**super().train_step(data), "extra": 10.0}

    def test_step(self, data):
        return {**super().test_step(data), "extra": 5.0}

    def predict_step(self, data):
        return {"twice": 2 * super().predict_step(data)}


def test_around_the_usual_steps():
    plain, own = graph(Model), graph(Calls)
    logs = []
    for model in (plain, own):
        model.compile("adam", "mse", metrics=["mae"])
        history = model.fit(X, Y, batch_size=5, epochs=2, verbose=0, shuffle=False, validation_data=(X, Y))
        logs.append(history.history)
    assert logs[1].pop("extra") == [10.0, 10.0] and logs[1].pop("val_extra") == [5.0, 5.0]
    assert logs[0] == logs[1]
    assert own.evaluate(X, Y, verbose=0, return_dict=True)["extra"] == 5.0
    assert own.train_on_batch(X, Y, return_dict=True)["extra"] == 10.0
    assert own.test_on_batch(X, Y, return_dict=True)["extra"] == 5.0
    assert np.array_equal(own.predict(X, batch_size=5, verbose=0)["twice"], 2 * own(X))


def test_a_loop_of_its_own_takes_the_same_steps():
    class Loop(Model):
        def train_step(self, data):
            x, y = data
            out, tape = self.forward(x, training=True)
            value, dy = self.mse.value_and_grad(y, out)
            self.apply_gradients(tape.backward(dy)[0])
            self.mean.update_state(value, len(x))
            return {"loss": self.mean.result()}

    plain, own = graph(Model), graph(Loop)
    own.mse, own.mean = losses.MeanSquaredError(), metrics.Mean(name="loss")
    plain.compile("sgd", "mse")
    own.compile("sgd")  # no loss: the step knows it
    for epochs in (1, 3):  # the metric starts anew with every epoch
        logs = [
            m.fit(X, Y, batch_size=4, epochs=epochs, verbose=0, shuffle=False).history["loss"]
            for m in (plain, own)
        ]
        np.testing.assert_allclose(*logs, rtol=1e-6)


def test_what_a_step_gets():
    seen = []

    class Looks(Model):
        def train_step(self, data):
            seen.append(data)
            return {"loss": 0.0}

    a, b = Input((3,), name="a"), Input((3,), name="b")
    one, two = graph(Looks), Looks({"a": a, "b": b}, {"s": layers.Dense(1)(a), "t": layers.Dense(1)(b)})
    for model in (one, two):
        model.compile("sgd")
    one.fit(X, verbose=0)
    one.fit(X, Y, verbose=0)
    one.fit(X, Y, sample_weight=np.ones(12), verbose=0)
    two.fit({"a": X, "b": X}, {"s": Y, "t": Y}, verbose=0)
    assert isinstance(seen[0], np.ndarray)
    assert [len(data) for data in seen[1:]] == [2, 3, 2]
    x, y = seen[3]
    assert set(x) == {"a", "b"} and set(y) == {"s", "t"}
    with pytest.raises(ValueError, match="no `lengths` or `resets`"):
        steps = Looks(c := Input((None, 3)), layers.LSTM(2)(c))
        steps.compile("sgd")
        steps.fit(X[:, None], lengths=np.ones(12, int), verbose=0)


def test_a_step_must_return_logs():
    class Silent(Model):
        def train_step(self, data):
            return None

    model = graph(Silent)
    model.compile("sgd")
    with pytest.raises(TypeError, match="`train_step` must return a dict"):
        model.fit(X, Y, verbose=0)


class Watches(Model):
    factor = 1.0

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        assert x.shape == (len(y_pred), 3)
        value = self.factor * super().compute_loss(x, y, y_pred, sample_weight, training)
        self.mean.update_state(4 * value, len(x))
        return value


@pytest.mark.parametrize("loss", ["mse", "sparse_categorical_crossentropy"])
def test_compute_loss_sees_outputs_and_is_counted(loss):
    classes = loss != "mse"
    y = CLASSES if classes else Y
    models = [graph(cls, 3 if classes else 1, "softmax" if classes else None) for cls in (Model, Watches)]
    models[1].mean = metrics.Mean(name="four_times")
    logs = []
    for model in models:
        model.compile("sgd", loss, weighted_metrics=["mae"] if not classes else None)
        model.layers[1].activity_regularizer = None
        history = model.fit(
            X, y, sample_weight=np.linspace(0, 1, 12), batch_size=5, epochs=2, verbose=0, shuffle=False
        )
        logs.append(history.history)
    np.testing.assert_allclose(logs[1]["four_times"], 4 * np.array(logs[1]["loss"]), rtol=1e-5)
    np.testing.assert_allclose(logs[0]["loss"], logs[1]["loss"], rtol=1e-5)


def test_compute_loss_with_penalties():
    x = Input((3,))
    model = Watches(x, layers.Dense(1, activity_regularizer="l2", kernel_regularizer="l1")(x))
    model.mean = metrics.Mean(name="four_times")
    model.compile("sgd", "mse")
    history = model.fit(X, Y, verbose=0).history
    np.testing.assert_allclose(history["four_times"], 4 * np.array(history["loss"]), rtol=1e-5)


def test_another_loss_only_counts_in_evaluation():
    model = graph(Watches)
    model.mean, model.factor = metrics.Mean(name="four_times"), 2.0
    model.compile("sgd", "mse")
    reference = graph(Model)
    reference.compile("sgd", "mse")
    expected = 2 * reference.evaluate(X, Y, verbose=0)
    assert model.evaluate(X, Y, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-6)
    with pytest.raises(NotImplementedError, match="no automatic differentiation"):
        model.fit(X, Y, verbose=0)


def test_compute_metrics():
    class Adds(Model):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            self.largest = float(np.abs(np.asarray(y_pred) - y).max())
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "largest": self.largest}

    plain, own = graph(Model), graph(Adds)
    logs = []
    for model in (plain, own):
        model.compile("sgd", "mse", metrics=["mae"])
        logs.append(model.fit(X, Y, batch_size=6, verbose=0, shuffle=False).history)
    assert logs[1].pop("largest") == [own.largest]
    np.testing.assert_allclose(logs[0]["mae"], logs[1]["mae"], rtol=1e-6)
    assert "largest" in own.evaluate(X, Y, verbose=0, return_dict=True)


def test_one_array_for_the_only_output_with_a_loss():
    x = Input((3,))
    h = layers.Dense(1, kernel_initializer="ones")(x)
    some, every = Model(x, [h, h, h]), Model(x, [h, h, h])
    some.compile("sgd", ["mse", None, None])
    every.compile("sgd", "mse")
    alone = some.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    assert every.evaluate(X, [Y] * 3, verbose=0, return_dict=True)["loss"] == pytest.approx(
        3 * alone, rel=1e-6
    )
    with pytest.raises(ValueError, match="list or dict of 3 arrays"):
        every.evaluate(X, Y, verbose=0)


def test_switches_can_be_set_after_compile():
    model = graph(Model)
    model.compile("sgd", "mse")
    model.run_eagerly, model.jit_compile, model.steps_per_execution = True, True, 4
    assert model.run_eagerly and model.jit_compile and model.steps_per_execution == 4
    with pytest.raises(ValueError, match="steps_per_execution"):
        model.steps_per_execution = 0


@pytest.mark.parametrize("every", [1, 3, 20])
def test_callbacks_hear_of_one_batch_in_so_many(every):
    class Listener(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.calls = []

        def on_train_batch_begin(self, batch, logs=None):
            self.calls.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            self.calls.append(("end", batch))

        def on_test_batch_end(self, batch, logs=None):
            self.calls.append(("test", batch))

    model = graph(Model)
    model.compile("sgd", "mse", steps_per_execution=every)
    listener = Listener()
    model.fit(X, Y, batch_size=1, verbose=0, callbacks=[listener], validation_data=(X, Y))
    firsts = range(0, 12, every)  # as Keras numbers them, also those of an execution that has less to do
    expected = [call for first in firsts for call in (("begin", first), ("end", first + every - 1))]
    assert listener.calls == expected + [("test", first + every - 1) for first in firsts]
