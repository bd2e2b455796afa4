# SPDX-License-Identifier: BSD-3-Clause
"""What a compiled model says about itself, against Keras: metrics, their order, losses, state trees, callbacks' logs."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")

X = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
Y = np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3)
HOOKS = [
    f"on_{what}_{when}"
    for what in ("train", "epoch", "test", "predict", "train_batch", "test_batch", "predict_batch", "batch")
    for when in ("begin", "end")
]


def line(K):
    model = K.Sequential(
        [K.layers.Dense(3, use_bias=False, kernel_initializer="ones", kernel_regularizer="l2")]
    )
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model


def two(K):
    a, b = K.layers.Input((4,), name="a"), K.layers.Input((2,), name="b")
    p = K.layers.Dense(2, kernel_initializer="ones", name="p", kernel_regularizer="l1")(a)
    q = K.layers.Dense(1, kernel_initializer="ones", name="q")(b)
    model = K.Model({"a": a, "b": b}, {"p": p, "q": q})
    model.compile(
        "sgd",
        {"p": "mse", "q": "mae"},
        loss_weights={"p": 0.1, "q": 0.2},
        metrics={"p": ["mae", "mse"], "q": "mse"},
        weighted_metrics={"q": "mae"},
    )
    return model


XS = {"a": X, "b": X[:, :2]}
YS = {"p": Y[:, :2], "q": Y[:, 2:]}


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make, x, y", [(line, X, Y), (two, XS, YS)])
def test_metrics_before_and_after_data(make, x, y):
    models = make(keras), make(lf)
    assert models[1].metrics_names == models[0].metrics_names
    assert [repr(m) for m in models[1].metrics] == [repr(m) for m in models[0].metrics]
    assert models[1].metrics[0] is models[1].metrics[0]
    for model in models:
        model.fit(x, y, verbose=0)
    assert models[1].metrics_names == models[0].metrics_names
    ours, theirs = ([m.name for m in model.metrics[1].metrics] for model in models[::-1])
    assert ours == theirs
    close(
        [float(v.numpy()) for v in models[1].metrics_variables],
        [float(v) for v in models[0].metrics_variables],
    )
    assert isinstance(models[1].metrics[0], lf.metrics.Mean)
    close(models[1].metrics[0].result(), models[1].get_metrics_result()["loss"])
    models[1].reset_metrics()
    assert all(float(np.sum(v.numpy())) == 0 for v in models[1].metrics_variables)
    assert (models[1].run_eagerly, models[1].jit_compile) == (models[0].run_eagerly, models[0].jit_compile)


@pytest.mark.parametrize("make, x, y", [(line, X, Y), (two, XS, YS)])
def test_compute_loss(make, x, y):
    ours, theirs = make(lf), make(keras)
    weights = np.linspace(0, 2, 10, dtype=np.float32)
    for arguments in ((), (weights,)):
        close(
            ours.compute_loss(x, y, ours(x), *arguments),
            float(theirs.compute_loss(x, y, theirs(x), *arguments)),
        )
    close(sum(ours.losses), float(sum(theirs.losses)))


def test_uncompiled_models_have_no_metrics_and_no_loss():
    model = lf.Sequential([lf.Input((4,)), lf.layers.Dense(3)])
    assert model.metrics == [] and model.metrics_names == [] and model.metrics_variables == []
    with pytest.raises(ValueError, match="compile"):
        model.compute_loss(y=Y, y_pred=Y)
    model.compile("sgd", metrics=["mae"])
    with pytest.raises(ValueError, match="No loss"):
        model.compute_loss(y=Y, y_pred=Y)
    with pytest.raises(ValueError, match="not yet been built"):
        model.metrics[1].result()
    model.metrics[1].update_state(Y, Y + 1)
    close(model.metrics[1].result()["mae"], 1)


@pytest.mark.parametrize("names", [("mae", "mse"), ("mse", "mae"), ("mse", "cosine_similarity", "mae")])
def test_evaluate_lists_metrics_in_the_order_of_compile(names):
    results = []
    for K in (lf, keras):
        model = line(K)
        model.compile("sgd", "mse", metrics=list(names))
        results.append((model.evaluate(X, Y, verbose=0), list(model.fit(X, Y, verbose=0).history)))
    close(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_several_outputs_are_listed_as_in_keras():
    ours, theirs = two(lf), two(keras)
    for call in (
        lambda m: m.evaluate(XS, YS, verbose=0),
        lambda m: m.test_on_batch(XS, YS),
        lambda m: m.train_on_batch(XS, YS, {"p": np.ones(10), "q": np.arange(10)}),
    ):
        close(call(ours), call(theirs))


def test_callbacks_are_called_in_keras_order_with_dicts():
    calls = []
    for K in (lf, keras):
        seen = []

        def hook(name, seen=seen):
            def called(self, *given, logs=None):
                *first, last = (*given, logs) if logs is not None or not given else given
                seen.append((name, *first, sorted(last)))

            return called

        recorder = type("Recorder", (K.callbacks.Callback,), {name: hook(name) for name in HOOKS})()
        model = line(K)
        arguments = {"validation_split": 0.4, "validation_freq": [1, 3], "initial_epoch": 1}
        model.fit(X, Y, batch_size=4, epochs=4, callbacks=[recorder], verbose=0, **arguments)
        model.evaluate(X, Y, callbacks=[recorder], verbose=0)
        model.predict(X, batch_size=5, callbacks=[recorder], verbose=0)
        calls.append(seen)
    assert calls[0] == calls[1]


def test_state_trees():
    model = two(lf)
    model.fit(XS, YS, verbose=0)
    with pytest.raises(ValueError, match="twice"):
        model.get_state_tree()  # two metrics of one name, as in Keras
    model.compile(lf.optimizers.SGD(name="plain"), {"p": "mse", "q": "mae"}, metrics={"p": "mae"})
    model.fit(XS, YS, verbose=0)
    tree = model.get_state_tree()
    assert sorted(tree) == sorted(two(keras).get_state_tree())
    copied = two(lf)
    copied.compile(lf.optimizers.SGD(name="plain"), "mse")
    copied.fit(XS, YS, verbose=0, epochs=2)
    copied.set_state_tree({k: v for k, v in tree.items() if k != "metrics_variables"})
    for a, b in zip(copied.weights, model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert int(copied.optimizer.iterations) == 1
    tree["trainable_variables"]["p"]["kernel"] = np.zeros((4, 2))
    model.set_state_tree(tree)
    assert not model.get_layer("p").kernel.numpy().any()
    for wrong, message in (
        ({"weights": {}}, "weights"),
        ({"trainable_variables": {"z": {"kernel": 1}}}, "z/kernel"),
        ({"trainable_variables": {"q": {"kernel": np.ones((2, 1))}, "p": {"kernel": 1}}}, "p/kernel"),
    ):
        with pytest.raises(ValueError, match=message):
            model.set_state_tree(wrong)
    assert model.get_layer("q").kernel.numpy().mean() != 1
    with pytest.raises(ValueError, match="value_format"):
        model.get_state_tree("torch")


def test_optimizers_without_a_state_of_their_own():
    grads = [np.float32([[1, -2], [3, 4]])]
    made = []
    for K in (lf, keras):
        variable = K.Variable(np.ones((2, 2), np.float32))
        optimizer = K.optimizers.Adam(0.1, loss_scale_factor=4.0, use_ema=True)
        with pytest.raises(ValueError, match="must be built"):
            optimizer.stateless_apply([], grads, [])
        optimizer.build([variable])
        assert float(optimizer.scale_loss(2.0)) == 8.0
        values, state = (
            [variable.numpy() if K is lf else variable.value],
            [v.value for v in optimizer.variables],
        )
        if K is lf:
            for _ in range(3):
                values, state = optimizer.stateless_apply(state, grads, values)
            assert int(optimizer.iterations) == 0
            np.testing.assert_array_equal(variable.numpy(), 1)
            with pytest.raises(ValueError, match="trainable_variables"):
                optimizer.stateless_apply(state, grads, [])
            made.append((values[0], np.asarray(state[0])))
        else:  # Keras on torch changes its variables
            for _ in range(3):
                optimizer.apply([keras.ops.convert_to_tensor(grads[0])], [variable])
            made.append((variable.value.detach().numpy(), int(optimizer.iterations)))
    close(made[0][0], made[1][0])
    assert made[0][1] == made[1][1] == 3
    assert lf.optimizers.SGD().scale_loss(3) == 3


def test_optimizer_weights_of_another_number_are_refused_as_in_keras():
    variable = lf.Variable(np.ones(2))
    with pytest.raises(ValueError, match=r"You are calling `set_weights\(weights\)`"):
        lf.optimizers.Adam().set_weights([variable] * 4)


def test_an_optimizer_written_for_keras():
    class Plain(lf.optimizers.Optimizer):
        def __init__(self):
            super().__init__(learning_rate=0.5)

        def build(self, variables):
            super().build(variables)
            self.sums = self.add_optimizer_variables(variables, "sum")

        def update_step(self, gradient, variable, learning_rate):
            total = self.sums[self._get_variable_index(variable)]
            self.assign_add(total, gradient)
            self.assign_sub(variable, total * learning_rate)

    optimizer, variable = Plain(), lf.Variable(np.zeros(2))
    for _ in range(2):
        optimizer.apply_gradients([(np.float32([1, 2]), variable)])
    np.testing.assert_allclose(variable.numpy(), [-1.5, -3])


def test_variables_are_numbers_and_arrays():
    a = lf.Variable([[1.0, 2.0], [3.0, 4.0]])
    held = a.numpy()
    for ours, plain in (
        (a + 1, held + 1), (1 - a, 1 - held), (a * a, held * held), (2 / a, 2 / held), (a**2, held**2),
        (a @ a, held @ held), (held @ a, held @ held), (-a, -held), (abs(-1 * a), held), (a > 2, held > 2),
        (a[0], held[0]), (a // 2, held // 2), (a % 2, held % 2), (held + a, held + held),
    ):  # fmt: skip
        np.testing.assert_array_equal(ours, plain)
    assert len(a) == 2 and float(lf.Variable(2.5)) == 2.5 and int(lf.Variable(3, dtype="int64")) == 3
    assert a == a and a != lf.Variable(held), "variables are told apart, not compared"
    with pytest.raises(ValueError, match="read-only"):
        a[0][0] = 7
    schedule = lf.optimizers.schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3])
    assert schedule(lf.Variable(2, dtype="int64")) == 0.2


@pytest.mark.parametrize(
    "loss", [{"p": ["mse"], "q": "mae"}, [["mse"], "mae"], {"p": "mse", "q": ["mae"]}, ["mse", ["mae"]]]
)
def test_a_loss_may_stand_in_a_list_of_one(loss):
    results = []
    for K in (lf, keras):
        a = K.layers.Input((4,), name="a")
        model = K.Model(a, [K.layers.Dense(2, kernel_initializer="ones", name=n)(a) for n in "pq"])
        if isinstance(loss, dict):
            model = K.Model(a, dict(zip("pq", model.outputs, strict=True)))
        model.compile("sgd", loss)
        y = [Y[:, :2], Y[:, 1:]]
        results.append(
            model.fit(X, dict(zip("pq", y, strict=True)) if isinstance(loss, dict) else y, verbose=0)
        )
    assert list(results[0].history) == list(results[1].history)
    for name, values in results[0].history.items():
        close(values, results[1].history[name])


def test_tensors_are_added_subtracted_and_multiplied():
    outputs = []
    for K in (lf, keras):
        a, b = K.layers.Input((4,)), K.layers.Input((4,))
        outputs.append(K.Model([a, b], [a + b, a - b, a * b, (a + b) * b]).predict([X, X[::-1]], verbose=0))
    for ours, theirs in zip(*outputs, strict=True):
        close(ours, theirs)
    with pytest.raises(TypeError):
        lf.Input((4,)) + "a"


def test_output_shape_of_a_sequential_model_without_an_input():
    for K in (lf, keras):
        model = K.Sequential([K.layers.LSTM(3, return_sequences=True), K.layers.Dense(2)])
        assert model.compute_output_shape((None, 5, 4)) == (None, 5, 2)
        assert not model.built


def test_order_of_history():
    """Alphabetical, those of the validation among the others."""
    x, y = np.ones((4, 3), np.float32), np.ones((4, 1))
    orders = []
    for K in (keras, lf):
        model = K.Sequential([K.Input((3,)), K.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["accuracy"], weighted_metrics=["accuracy", "mae"])
        history = model.fit(x, y, sample_weight=y[:, 0], validation_data=(x, y), verbose=0)
        orders.append(list(history.history))
    assert orders[0] == orders[1]
