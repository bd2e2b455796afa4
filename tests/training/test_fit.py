# SPDX-License-Identifier: BSD-3-Clause
"""compile, fit, evaluate, predict: results, logs, options, and that nothing is half-done on an error."""

import time

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers


def classifier(n=4, classes=3, **options):
    model = Sequential([Input((None, n)), layers.LSTM(6), layers.Dense(classes, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


@pytest.fixture
def data(rng):
    x = rng.standard_normal((50, 5, 4)).astype("float32")
    return x, (x.sum(axis=(1, 2)) > 0).astype(int) + (x[:, 0, 0] > 1)


def test_it_learns(data):
    lf.utils.set_random_seed(0)
    model = classifier()
    model.optimizer.learning_rate = 0.02
    history = model.fit(*data, epochs=60, batch_size=10, verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert history.history["accuracy"][-1] > 0.9
    loss, accuracy = model.evaluate(*data, verbose=0)
    assert accuracy > 0.9 and loss < 0.5
    assert (model.predict(data[0], verbose=0).argmax(-1) == data[1]).mean() == pytest.approx(accuracy)


def test_history(data):
    model = classifier()
    history = model.fit(*data, epochs=3, verbose=0, validation_split=0.2)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert all(len(v) == 3 for v in history.history.values()) and history.epoch == [0, 1, 2]
    assert model.history is history
    assert all(isinstance(v, float) for v in history.history["loss"])
    assert model.fit(*data, epochs=5, initial_epoch=4, verbose=0).epoch == [4]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_seed_decides_everything(data, threads):
    with lf.threads(threads):
        results = []
        for _ in range(2):
            lf.utils.set_random_seed(5)
            model = Sequential(
                [Input((None, 4)), layers.LSTM(6, dropout=0.2), layers.Dropout(0.3), layers.Dense(3)]
            )
            model.compile("adam", lf.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(*data, epochs=2, batch_size=16, verbose=0)
            results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_shuffling(data):
    x, y = np.arange(40.0).reshape(40, 1), np.arange(40.0)
    seen = []

    class See(layers.Layer):
        def forward(self, x, call):
            if call.training:
                seen.append(x[:, 0].copy())
            return x

        def backward(self, dy, call):
            return dy

    model = Sequential([Input((1,)), See(), layers.Dense(1)])
    model.compile("sgd", "mae")
    model.fit(x, y, epochs=2, batch_size=16, verbose=0)
    assert [len(b) for b in seen] == [16, 16, 8] * 2
    first, second = np.concatenate(seen[:3]), np.concatenate(seen[3:])
    assert sorted(first) == sorted(second) == list(range(40))
    assert list(first) != list(second) and list(first) != sorted(first)
    seen.clear()
    model.fit(x, y, batch_size=16, verbose=0, shuffle=False)
    assert list(np.concatenate(seen)) == list(range(40))
    seen.clear()
    model.fit(x, y, batch_size=8, verbose=0, steps_per_epoch=2)
    assert len(seen) == 2


def unchanged(model, action, error, match):
    """`action` must raise, and leave weights, optimizer and training as they were."""
    before = model.get_weights()
    step = int(model.optimizer.iterations)
    with pytest.raises(error, match=match):
        action()
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == step


X, Y = np.ones((40, 5, 4), "float32"), np.zeros(40, int)


def last(array, value):
    array = array.copy()
    array.reshape(-1)[-1] = value
    return array


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "match"),
    [
        (X, last(Y, 3), {}, ValueError, "y.*3"),
        (X, last(Y, -1), {}, ValueError, "-1"),
        (X, last(Y.astype(float), np.nan), {}, ValueError, "y"),
        (X, Y[:-1], {}, ValueError, "40 samples"),
        (X, np.zeros((40, 5), int), {}, ValueError, "y"),
        (X, np.array(["a"] * 40), {}, TypeError, "y must be numeric"),
        (X, None, {}, ValueError, "y is missing"),
        (X[:0], Y[:0], {}, ValueError, "empty"),
        (X[:, :0], Y, {}, ValueError, "empty"),
        (X[:, :, :3], Y, {}, ValueError, "shape"),
        (X[0], Y, {}, ValueError, "shape"),
        (None, Y, {}, ValueError, "x is missing"),
        (iter([1]), Y, {}, ValueError, "`y` should not be passed"),
        (object(), Y, {}, TypeError, "x must be"),
        ("text", Y, {}, TypeError, "x must be"),
        (X.astype(object), Y, {}, TypeError, "numeric"),
        (X, Y, {"batch_size": 0}, ValueError, "batch_size"),
        (X, Y, {"batch_size": 2.5}, ValueError, "batch_size"),
        (X, Y, {"epochs": -1}, ValueError, "epochs"),
        (X, Y, {"verbose": 7}, ValueError, "verbose"),
        (X, Y, {"validation_split": 1.0}, ValueError, "validation_split"),
        (X[:1], Y[:1], {"validation_split": 0.5}, ValueError, "validation_split"),
        (X, Y, {"validation_data": (X,)}, ValueError, "validation_data"),
        (X, Y, {"validation_data": (X, Y + 5)}, ValueError, "y.*5"),
        (X, Y, {"sample_weight": np.ones(39)}, ValueError, "sample_weight"),
        (X, Y, {"sample_weight": np.full(40, np.nan)}, ValueError, "sample_weight"),
        (X, Y, {"class_weight": [1, 2]}, TypeError, "class_weight"),
        (X, Y, {"class_weight": {0: 1.0}, "sample_weight": np.ones(40)}, ValueError, "class_weight"),
        (X, Y, {"lengths": np.ones(39, int)}, ValueError, "lengths"),
        (X, Y, {"lengths": np.full(40, 6)}, ValueError, "lengths"),
        (X, Y, {"callbacks": ["x"]}, TypeError, "callbacks"),
        (X, Y, {"steps_per_epoch": 0}, ValueError, "steps_per_epoch"),
    ],
)
def test_nothing_is_half_done(x, y, options, error, match):
    model = classifier()
    model.fit(X, Y, verbose=0)
    unchanged(model, lambda: model.fit(x, y, **{"batch_size": 8, "verbose": 0, **options}), error, match)


@pytest.mark.parametrize(
    ("ids", "match"),
    [(np.full((40, 3), 9), "9"), (np.full((40, 3), -1), "-1")],
)
def test_wrong_ids_are_found_before_the_first_step(ids, match):
    good = np.ones((40, 3), int)
    ids = np.where(np.arange(40)[:, None] < 39, good, ids)  # only in the last batch
    model = Sequential(
        [Input((None,), dtype="int32"), layers.Embedding(9, 2), layers.LSTM(2), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(good, np.zeros(40), verbose=0)
    unchanged(model, lambda: model.fit(ids, np.zeros(40), batch_size=8, verbose=0), ValueError, match)


def test_one_wrong_batch():
    model = classifier()
    model.train_on_batch(X, Y)
    unchanged(model, lambda: model.train_on_batch(X, last(Y, 7)), ValueError, "7")
    unchanged(model, lambda: model.train_on_batch(X, last(Y.astype(float), np.nan)), ValueError, "y")
    regression = Sequential([Input((2,)), layers.Dense(1)])
    regression.compile("sgd", "mse")
    regression.train_on_batch(np.ones((3, 2)), np.ones(3))
    bad = np.array([1.0, np.nan, 1.0])
    unchanged(regression, lambda: regression.train_on_batch(np.ones((3, 2)), bad), ValueError, "y_true")


def test_an_exception_in_a_callback_leaves_a_working_model(data):
    class Stop(lf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("enough")

    model = classifier()
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(*data, verbose=0, callbacks=[Stop()])
    model.fit(*data, verbose=0)


def test_not_compiled_or_without_a_loss(data):
    model = Sequential([Input((None, 4)), layers.LSTM(3)])
    for use in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="compile"):
            use(*data)
    model.compile("adam")
    with pytest.raises(ValueError, match="No loss"):
        model.fit(*data, verbose=0)


@pytest.mark.parametrize(
    "arguments",
    [{"optimizer": "x"}, {"loss": "x"}, {"metrics": ["x"]}, {"metrics": "accuracy"}, {"optimizer": 3}],
)
def test_wrong_compile_arguments_change_nothing(arguments):
    model = classifier()
    before = model.optimizer
    with pytest.raises((ValueError, TypeError)):
        model.compile(**{"optimizer": "sgd", "loss": "mse", **arguments})
    assert model.optimizer is before and model.loss == "sparse_categorical_crossentropy"


def test_sample_weights_count(rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    model = Sequential([Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", weighted_metrics=["mae"])
    weight = (np.arange(20) < 10).astype(float)
    loss, mae = model.evaluate(x, y, sample_weight=weight, verbose=0)
    error = model.predict(x, verbose=0)[:, 0] - y
    assert loss == pytest.approx((error**2 * weight).mean(), rel=1e-4)
    assert mae == pytest.approx(np.abs(error[:10]).mean(), rel=1e-4)


def test_weights_of_time_steps(rng):
    x, y = rng.standard_normal((6, 4, 2)), rng.standard_normal((6, 4, 1))
    model = Sequential([Input((4, 2)), layers.LSTM(3, return_sequences=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    weight = rng.uniform(size=(6, 4))
    error = (model.predict(x, verbose=0) - y)[..., 0]
    value = model.evaluate(x, y, sample_weight=weight, verbose=0, batch_size=6)
    assert value == pytest.approx((error**2 * weight).mean(), rel=1e-4)
    model.fit(x, y, sample_weight=weight, verbose=0)


def test_class_weights_only_count_in_training(rng):
    x, y = rng.standard_normal((20, 3)), rng.integers(0, 2, 20)
    model = Sequential([Input((3,)), layers.Dense(2, activation="softmax")])
    model.compile(lf.optimizers.SGD(0.0), "categorical_crossentropy")
    onehot = lf.utils.to_categorical(y, 2)
    loss = model.evaluate(x, onehot, verbose=0)
    history = model.fit(
        x, onehot, verbose=0, class_weight={0: 3.0, 1: 3.0}, validation_data=(x, onehot)
    ).history
    assert history["loss"][0] == pytest.approx(3 * loss, rel=1e-5)
    assert history["val_loss"][0] == pytest.approx(loss, rel=1e-5)


def test_padded_steps_do_not_count_in_the_loss(rng):
    x, y, n = rng.standard_normal((3, 5, 2)), rng.standard_normal((3, 5, 1)), np.array([5, 2, 1])
    model = Sequential([Input((None, 2)), layers.LSTM(3, return_sequences=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    within = np.arange(5) < n[:, None]
    error = (model(x, lengths=n) - y)[..., 0]
    assert model.evaluate(x, y, lengths=n, verbose=0) == pytest.approx((error[within] ** 2).mean(), rel=1e-4)
    before = model.get_weights()
    model.fit(x, y, lengths=n, verbose=0, shuffle=False)
    trained = model.get_weights()
    model.set_weights(before)
    y2 = np.where(within[..., None], y, 1e6)
    model.compile("sgd", "mse")
    model.fit(np.where(within[..., None], x, 77.0), y2, lengths=n, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), trained, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_regularizers_and_constraints(rng):
    x, y = rng.standard_normal((10, 3)), rng.standard_normal((10, 2))
    options = {
        "kernel_regularizer": lf.regularizers.L2(0.1),
        "kernel_constraint": "non_neg",
        "bias_initializer": "ones",
    }
    model = Sequential([Input((3,)), layers.Dense(2, **options)])
    model.compile(lf.optimizers.SGD(0.1), "mse")
    kernel = model.get_weights()[0]
    plain = ((model.predict(x, verbose=0) - y) ** 2).mean()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain + 0.1 * (kernel**2).sum(), rel=1e-4)
    model.fit(x, y, verbose=0, epochs=3)
    assert (model.get_weights()[0] >= 0).all()


def test_any_logits_are_stable():
    """The loss takes the last activation over: no probability is 0 or 1 before its logarithm."""
    for activation, loss, y in (
        ("softmax", "sparse_categorical_crossentropy", np.array([1, 0])),
        ("sigmoid", "binary_crossentropy", np.array([[0.0, 1], [1, 0]])),
    ):
        model = Sequential([Input((2,)), layers.Dense(2, activation=activation)])
        model.compile("sgd", loss, metrics=["accuracy"])
        model.set_weights([np.eye(2) * 1e4, np.zeros(2)])
        value, _ = model.evaluate(np.eye(2), y, verbose=0)
        assert 4e3 < value < 2.1e4
        model.train_on_batch(np.eye(2), y)
        assert all(np.isfinite(w).all() for w in model.get_weights())
        assert model.predict(np.eye(2), verbose=0).max() == 1.0


def test_an_activation_layer_at_the_end_is_taken_over_too(rng):
    x, y = rng.standard_normal((8, 3)), rng.integers(0, 2, 8)
    one = Sequential([Input((3,)), layers.Dense(2, activation="softmax")])
    two = Sequential([Input((3,)), layers.Dense(2), layers.Activation("softmax")])
    two.set_weights(one.get_weights())
    for model in (one, two):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0, shuffle=False)
        assert model._objective.deferred
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_outputs(rng):
    x = Input((3,))
    model = Model(x, [layers.Dense(1, name="a")(x), layers.Dense(2, activation="softmax", name="b")(x)])
    model.compile("sgd", {"a": "mse", "b": "sparse_categorical_crossentropy"}, metrics={"b": ["accuracy"]})
    data, ya, yb = rng.standard_normal((9, 3)), rng.standard_normal(9), rng.integers(0, 2, 9)
    for y in ([ya, yb], {"a": ya, "b": yb}):
        logs = model.evaluate(data, y, verbose=0, return_dict=True)
        assert set(logs) == {"loss", "a_loss", "b_loss", "b_accuracy"}
        assert logs["loss"] == pytest.approx(logs["a_loss"] + logs["b_loss"], rel=1e-5)
    with pytest.raises(ValueError, match="y must be a list or dict"):
        model.fit(data, ya, verbose=0)
    with pytest.raises(ValueError, match=r"y\['b'\] is missing"):
        model.fit(data, {"a": ya}, verbose=0)
    with pytest.raises(ValueError, match="outputs are"):
        model.fit(data, {"a": ya, "b": yb, "c": ya}, verbose=0)
    model.compile("sgd", {"a": "mse"}, metrics=[])
    with pytest.warns(UserWarning, match=r"Gradients do not exist for variables \['b/kernel', 'b/bias'\]"):
        assert list(model.fit(data, {"a": ya}, verbose=0).history) == ["loss"]
    for wrong in (
        {"loss": {"c": "mse"}},
        {"loss": ["mse"] * 3},
        {"loss": "mse", "loss_weights": [2.0]},
        {"loss": ["mse", "mae"], "loss_weights": {"a": "b"}},
    ):
        model.compile("sgd", **wrong)
        with pytest.raises((ValueError, KeyError), match="loss"):
            model.fit(data, [ya, yb], verbose=0)


def test_on_batch_methods_see_one_batch(data):
    x, y = data
    model = classifier()
    first = model.test_on_batch(x, y)
    assert model.test_on_batch(x, y) == first == model.evaluate(x, y, verbose=0, batch_size=50)
    assert model.train_on_batch(x, y)[0] == pytest.approx(first[0], rel=1e-6)
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}
    np.testing.assert_array_equal(model.predict_on_batch(x), model(x))


def test_callbacks_are_called_in_order(data):
    calls = []

    class Note(lf.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            calls.append(f"epoch {epoch}")

        def on_train_batch_end(self, batch, logs=None):
            calls.append(f"batch {batch} {sorted(logs)}")

        def on_test_begin(self, logs=None):
            calls.append("test")

        def on_epoch_end(self, epoch, logs=None):
            calls.append(sorted(logs))
            self.model.stop_training = True

    classifier().fit(*data, batch_size=25, epochs=9, verbose=0, validation_data=data, callbacks=[Note()])
    names = ["accuracy", "loss"]
    assert calls == [
        "epoch 0", f"batch 0 {names}", f"batch 1 {names}", "test", [*names, "val_accuracy", "val_loss"],
    ]  # fmt: skip


def test_validation_frequency(data):
    history = classifier().fit(*data, epochs=4, verbose=0, validation_data=data, validation_freq=2).history
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 2


@pytest.mark.parametrize("verbose", [0, 1, 2, "auto"])
def test_progress(verbose, data, capsys):
    model = classifier()
    model.fit(*data, epochs=2, verbose=verbose)
    model.predict(data[0], verbose=verbose)
    text = capsys.readouterr().out
    assert ("loss" in text) == (verbose != 0)
    if verbose == 2:
        assert "Epoch 2/2" in text


def test_loss_functions_of_ones_own(rng):
    x, y = rng.standard_normal((8, 3)).astype("float32"), rng.standard_normal((8, 1)).astype("float32")

    def squared(y_true, y_pred):
        e = y_pred - y_true
        return (e**2).mean(-1), 2 * e / e.shape[-1]

    models = [Sequential([Input((3,)), layers.Dense(1)]) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    for model, loss in zip(models, ("mse", squared), strict=True):
        model.compile("sgd", loss)
        model.fit(x, y, epochs=3, verbose=0, shuffle=False)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_training_goes_on_after_saving(tmp_path, data):
    model = classifier()
    model.fit(*data, epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "m.safetensors")
    again = lf.saving.load_model(tmp_path / "m.safetensors")
    for m in (model, again):
        m.fit(*data, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_thousand_epochs_of_one_batch_are_quick():
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
    model = Sequential([Input((2,)), layers.Dense(1, activation="tanh")])
    model.compile("sgd", "mse")
    start = time.perf_counter()
    model.fit(x, y, epochs=1000, verbose=0)
    assert time.perf_counter() - start < 1.0


def test_fit_and_friends_take_resets(rng):
    """Two episodes in one row are learned as two rows are, in every method; windows of time carry them along."""
    x = rng.standard_normal((8, 12, 3)).astype("float32")
    y = x.cumsum(axis=1)[..., :2]
    resets = np.zeros((8, 12), bool)
    resets[:, 6] = True
    model = Sequential([Input((None, 3)), layers.LSTM(5, return_sequences=True), layers.Dense(2)])
    model.compile("sgd", "mse")
    whole = model.predict(x, resets=resets, verbose=0)
    halves = np.concatenate([model.predict(part, verbose=0) for part in np.split(x, 2, axis=1)], axis=1)
    np.testing.assert_array_equal(whole, halves)
    by_hand = float(((whole - y) ** 2).mean())
    for loss in (
        model.evaluate(x, y, resets=resets, verbose=0),
        model.test_on_batch(x, y, resets=resets),
        model.train_on_batch(x, y, resets=resets),
    ):
        assert abs(loss - by_hand) < 1e-6 * max(1, by_hand)
    weights = model.get_weights()
    results = []
    for given in (
        {"x": x, "y": y, "resets": resets},
        {"x": iter([(x, y, None, None, resets)])},
        {"x": x, "y": y, "resets": resets, "tbptt": 12},
    ):
        model.set_weights(weights)
        model.fit(**given, batch_size=None if "resets" not in given else 8, shuffle=False, verbose=0)
        results.append(model.get_weights())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
    model.fit(x, y, resets=resets, batch_size=3, tbptt=5, verbose=0)
    with pytest.raises(ValueError, match="resets must have shape"):
        model.fit(x, y, resets=resets[:, :5], verbose=0)


def test_a_reset_behind_the_first_window_leads_to_the_initial_state(rng):
    """With truncated back-propagation and with stateful layers: to zeros, not to the state that was carried in."""
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    stateful = Sequential([Input((None, 3), batch_size=2), layers.GRU(4, stateful=True)])
    stateful(x)
    resets = np.zeros((2, 6), bool)
    resets[:, 2] = True
    plain = Sequential([Input((None, 3)), layers.GRU(4)])
    plain.set_weights(stateful.get_weights())
    np.testing.assert_array_equal(stateful(x, resets=resets), plain(x[:, 2:]))
    _, tape = plain.forward(x)
    y, _ = plain.forward(x, states=tape.states, resets=resets)
    np.testing.assert_array_equal(y, plain(x[:, 2:]))
