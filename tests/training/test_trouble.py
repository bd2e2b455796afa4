# SPDX-License-Identifier: BSD-3-Clause
"""NaN and infinity in data and loss, Ctrl-C and errors in the middle: what fit says and leaves behind."""

from __future__ import annotations

import signal
import threading
import time
import warnings

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers

RNG = np.random.default_rng(3)
X = RNG.standard_normal((24, 5, 3)).astype(np.float32)
Y = RNG.standard_normal((24, 1)).astype(np.float32)
OPTIONS = {"batch_size": 6, "shuffle": False, "verbose": 0}


@pytest.fixture(autouse=True)
def ctrl_c():
    """Ctrl-C as in a terminal: a shell starts what runs in its background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def network(optimizer="adam", loss="mse", **recurrent):
    lf.utils.set_random_seed(8)
    model = Sequential([Input((None, 3)), layers.LSTM(4, **recurrent), layers.Dense(1)])
    model.compile(optimizer, loss)
    return model


def spoiled(array, row, value):
    array = array.copy()
    array[row].reshape(-1)[0] = value
    return array


# --- not finite


def test_input():
    with pytest.warns(
        RuntimeWarning, match=r"loss is nan in epoch 1, batch 3 .*the input holds NaN"
    ) as caught:
        network().fit(spoiled(X, 13, np.nan), Y, epochs=2, **OPTIONS)
    assert len(caught) == 1  # once, though every later batch is NaN too
    assert caught[0].filename == __file__


def test_infinite_input():
    """Gates saturate, the loss stays finite, the gradients do not: it shows in the next batch."""
    with pytest.warns(RuntimeWarning, match="batch 4 .*the weight '.*lstm.*step before .*infinity"):
        network().fit(spoiled(X, 13, np.inf), Y, **OPTIONS)
    dense = Sequential([Input((3,)), layers.Dense(1)])
    dense.compile("sgd", "mse")
    with pytest.warns(RuntimeWarning, match="batch 3 .*the input holds NaN or infinity"):
        dense.fit(spoiled(X, 13, np.inf)[:, 0], Y, **OPTIONS)


def test_target():
    with pytest.warns(
        RuntimeWarning, match=r"loss is inf in epoch 1, batch 4 .*the target holds NaN"
    ) as caught:
        network().fit(X, spoiled(Y, 20, np.inf), epochs=2, **OPTIONS)
    assert len(caught) == 1


def test_targets_of_a_generator():
    """NaN in targets is an error of the losses; the note says where."""
    batches = [(X[:6], Y[:6]), (X[:6], np.full((6, 1), np.nan))]
    with pytest.raises(ValueError, match="y_true: expected numbers, got NaN") as caught:
        network().fit(iter(batches), verbose=0)
    assert "epoch 1, batch 2" in caught.value.__notes__[0]


def test_loss():
    def overflowing(y_true, y_pred):
        return np.full(len(y_pred), np.inf), np.zeros_like(y_pred)

    with pytest.warns(RuntimeWarning, match="input, target and weights are finite, the loss itself is not"):
        network(loss=overflowing).fit(X, Y, **OPTIONS)


def test_weights():
    model = network()
    model.set_weights([spoiled(w, ..., np.nan) for w in model.get_weights()])
    with pytest.warns(RuntimeWarning, match=r"epoch 1, batch 1 .*the weight '.*' is not"):
        model.fit(X, Y, **OPTIONS)


def test_names_where_there_are_several():
    a, b = Input((3,), name="a"), Input((3,), name="b")
    outputs = [layers.Dense(1, name="p")(a), layers.Dense(1, name="q")(b)]
    for x, y, name in ((spoiled(X, 0, np.nan), Y, "input 'b'"), (X, spoiled(Y, 0, np.inf), "target 'q'")):
        model = Model([a, b], outputs)
        model.compile("sgd", "mse")
        with pytest.warns(RuntimeWarning, match=name):
            model.fit([X[:, 0], x[:, 0]], [Y, y], **OPTIONS)


def test_padding_is_no_culprit():
    x = X.copy()
    x[:, 3:] = np.nan
    n = np.full(24, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network().fit(x, Y, lengths=n, **OPTIONS)
    with pytest.warns(RuntimeWarning, match="the target holds"):
        network().fit(x, spoiled(Y, 0, np.inf), lengths=n, **OPTIONS)


def test_again_in_the_next_fit():
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="epoch 1, batch 1 "):
            network().fit(spoiled(X, 0, np.nan), Y, **OPTIONS)


def test_as_an_error_it_comes_before_anything_changes():
    """With warnings as errors the batch that is not finite leaves no trace."""
    model, good = network(), network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            model.fit(spoiled(X, 13, np.nan), Y, **OPTIONS)
    good.fit(X[:12], Y[:12], **OPTIONS)
    for a, b in zip(model.get_weights(), good.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:the loss is:RuntimeWarning")
def test_terminate_on_nan(capsys):
    model = network()
    history = model.fit(
        spoiled(X, 13, np.nan), Y, epochs=5, callbacks=[lf.callbacks.TerminateOnNaN()], **OPTIONS
    )
    assert history.epoch == [0] and int(model.optimizer.iterations) == 3
    assert "Batch 2: Invalid loss" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="batch 2"):
        network().fit(
            spoiled(X, 13, np.nan), Y, callbacks=[lf.callbacks.TerminateOnNaN(raise_error=True)], **OPTIONS
        )


def test_a_hook_can_keep_the_weights():
    skip = lf.callbacks.LambdaCallback(
        on_gradients=lambda batch, grads, logs: None if np.isfinite(logs["loss"]) else False
    )
    model = network()
    with pytest.warns(RuntimeWarning, match="batch 3"):
        model.fit(spoiled(X, 13, np.nan), Y, callbacks=[skip], **OPTIONS)
    assert all(np.isfinite(w).all() for w in model.get_weights()) and int(model.optimizer.iterations) == 3


# --- Ctrl-C


class At(lf.callbacks.Callback):
    """Raises at a hook of one epoch and batch."""

    def __init__(self, hook, epoch, batch, error=KeyboardInterrupt):
        super().__init__()
        self.epoch, self.now = epoch, 0

        def act(number, *_):
            if self.now == self.epoch and number == (epoch if "epoch" in hook else batch):
                raise error

        setattr(self, hook, act)

    def on_train_begin(self, logs=None):
        self.now = 0

    def on_epoch_end(self, epoch, logs=None):
        self.now = epoch + 1


HOOKS = ["on_epoch_begin", "on_train_batch_begin", "on_gradients", "on_train_batch_end"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupts_in_callbacks(hook, error):
    model, whole = network(), network()
    with pytest.raises(error):
        model.fit(X, Y, epochs=5, callbacks=[At(hook, 2, 1, error)], **OPTIONS)
    done = {"on_epoch_begin": 8, "on_train_batch_begin": 9, "on_gradients": 9, "on_train_batch_end": 10}[hook]
    assert int(model.optimizer.iterations) == done
    assert model.history.epoch == [0, 1] and len(model.history.history["loss"]) == 2
    # Exactly the steps that were taken: the same weights as from a fit that ends there on its own.
    whole.fit(X, Y, epochs=2, **OPTIONS)
    if done > 8:
        whole.fit(X[: 6 * (done - 8)], Y[: 6 * (done - 8)], **OPTIONS)
    for again in range(2):
        for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(model(X), whole(X))  # packed weights are the newest
        if not again:
            model.fit(X, Y, **OPTIONS)
            whole.fit(X, Y, **OPTIONS)


class Interrupting(lf.optimizers.SGD):
    """Sends Ctrl-C in the middle of its step."""

    at = 3

    def update_all(self, learning_rate):
        first, *rest = self._trainable
        first._data -= learning_rate * first.grad
        if int(self.iterations) == self.at:
            signal.raise_signal(signal.SIGINT)
        for v in rest:
            v._data -= learning_rate * v.grad


def test_a_step_of_the_optimizer_is_whole():
    before = signal.getsignal(signal.SIGINT)
    model, whole = network(Interrupting(0.1)), network(lf.optimizers.SGD(0.1))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=3, **OPTIONS)
    assert signal.getsignal(signal.SIGINT) is before
    assert int(model.optimizer.iterations) == 4
    whole.fit(X, Y, **OPTIONS)
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_array_equal(model(X), Sequential(model.layers)(X))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX timers")
def test_ctrl_c_at_any_time():
    """Signals at random times: weights are finite, packed copies current, and training goes on."""
    model = network()
    rng = np.random.default_rng(0)
    for _ in range(15):
        old = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            with pytest.raises(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(0.001, 0.03)))
                model.fit(X, Y, epochs=10**4, batch_size=3, verbose=0)
        finally:
            signal.signal(signal.SIGALRM, old)
        fresh = Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
        fresh.set_weights(model.get_weights())
        np.testing.assert_array_equal(model(X), fresh(X))
    loss = model.evaluate(X, Y, verbose=0)
    assert np.isfinite(loss)
    model.fit(X, Y, verbose=0)
    assert all(v.grad is None for v in model.variables)


def test_a_fit_outside_the_main_thread():
    model, errors = network(), []

    def work():
        try:
            model.fit(X, Y, epochs=2, **OPTIONS)
        except BaseException as error:
            errors.append(error)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors and int(model.optimizer.iterations) == 8
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_ctrl_c_stays_ignored():
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        model = network(Interrupting(0.1))
        model.fit(X, Y, **OPTIONS)
        assert int(model.optimizer.iterations) == 4
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_ctrl_c_while_a_generator_is_slow():
    main = threading.main_thread().ident

    def slow():
        yield X[:6], Y[:6]
        time.sleep(0.1)  # the training waits by now
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.1)
        yield X[:6], Y[:6]
        yield from iter(lambda: (X[:6], Y[:6]), None)

    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(slow(), verbose=0)
    assert not [t for t in threading.enumerate() if t.name == "lstmfast-prefetch"]
    assert np.isfinite(model.predict(X, verbose=0)).all()


def test_moving_averages_take_over_at_the_end():
    """Keras puts the averaged weights in place when fit ends; written out here."""
    model = network(lf.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    seen = []
    note = lf.callbacks.LambdaCallback(on_train_batch_end=lambda *_: seen.append(model.get_weights()))
    model.fit(X, Y, callbacks=[note], **OPTIONS)
    average = seen[0]
    for weights in seen[1:]:
        average = [0.5 * a + 0.5 * w for a, w in zip(average, weights, strict=True)]
    for a, b in zip(model.get_weights(), average, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_moving_averages_of_no_step_are_not_taken():
    model = network(lf.optimizers.SGD(0.1, use_ema=True))
    before = model.get_weights()
    skip = lf.callbacks.LambdaCallback(on_gradients=lambda *_: False)
    model.fit(X, Y, callbacks=[skip], **OPTIONS)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
