# SPDX-License-Identifier: BSD-3-Clause
"""Training that is saved in one library and goes on in the other: every optimizer, every layer, both ways."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:keras")


RNG = np.random.default_rng(3)
X = RNG.normal(size=(12, 5, 3)).astype("float32")
X[3, 3:] = X[7, 1:] = 0
SIDE = RNG.normal(size=(12, 2)).astype("float32")
IDS = RNG.integers(1, 7, (12, 5))
IDS[2, 2:] = 0
Y = RNG.normal(size=(12, 2)).astype("float32")


def small(K):
    L = K.layers
    return (
        K.Sequential([L.Input((5, 3)), L.LSTM(3, return_sequences=True), L.GRU(3), L.Dense(2)]),
        X,
        Y,
        "mse",
    )


def every_layer(K):
    """Each layer once or more; Keras orders the branches' Dense layers by depth, not as they are made."""
    L = K.layers
    a, ids, side = L.Input((5, 3), name="a"), L.Input((5,), name="ids"), L.Input((2,), name="side")
    words = L.Embedding(7, 4, mask_zero=True)(ids)
    masked = L.Masking()(a)
    both = L.Bidirectional(L.LSTM(3, return_sequences=True))(masked)
    own = L.Bidirectional(L.GRU(2), backward_layer=L.SimpleRNN(2, go_backwards=True))(words)
    reset = L.GRU(3, reset_after=False, use_bias=False)(both)
    y, h = L.GRU(4, return_state=True)(words)
    more = L.SimpleRNN(4, activation="relu")(L.Dropout(0.0)(words), initial_state=h)
    flat = L.Flatten()(L.LSTM(2, return_sequences=True, unit_forget_bias=False)(a))
    shallow = L.Dense(3, name="zzz", activation="tanh")(side)
    deep = L.Dense(3, name="aaa")(L.Activation("tanh")(L.Dense(4)(side)))
    joined = L.Concatenate()([own, reset, y, more, flat, shallow, deep])
    model = K.Model({"a": a, "ids": ids, "side": side}, L.Dense(2)(joined))
    return model, {"a": X, "ids": IDS, "side": SIDE}, Y, "mse"


def nested(K):
    L = K.layers
    inner = K.Sequential([L.Input((5, 3)), L.LSTM(4, return_sequences=True), L.Dense(3)], name="inner")
    deeper = K.Sequential([L.Input((5, 3)), inner, L.Bidirectional(L.SimpleRNN(2))], name="deeper")
    x = L.Input((5, 3))
    outputs = {
        "one": L.Dense(2, name="one")(deeper(x)),
        "two": L.Dense(2, name="two")(L.LSTM(3)(L.Dense(3)(x))),
    }
    return K.Model(x, outputs), X, {"one": Y, "two": SIDE}, {"one": "mse", "two": "mae"}


def same_names(K):
    """Models inside whose layers share names, in branches that a mask makes Keras list in another order."""
    L = K.layers
    a, b = L.Input((5, 3)), L.Input((5, 3))
    left = K.Sequential([L.Input((5, 3)), L.LSTM(2, name="r"), L.Dense(3, name="d")], name="left")
    right = K.Sequential([L.Input((5, 3)), L.LSTM(2, name="r"), L.Dense(3, name="d")], name="right")
    masked = L.LSTM(3, name="masked", return_sequences=True)(L.Masking()(a))
    plain = L.LSTM(3, name="plain", return_sequences=True)(L.Dropout(0.0)(b))
    joined = L.Concatenate()([right(plain), L.LSTM(3)(masked), left(b), left(a)])
    return K.Model([a, b], L.Dense(2)(joined)), [X, X[::-1].copy()], Y, "mse"


def partly_frozen(K):
    model, x, y, loss = small(K)
    model.layers[1].trainable = False
    return model, x, y, loss


OPTIMIZERS = {
    "sgd": lambda opt: opt.SGD(0.05),
    "momentum": lambda opt: opt.SGD(0.05, momentum=0.9),
    "nesterov": lambda opt: opt.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda opt: opt.Adam(0.01),
    "amsgrad": lambda opt: opt.Adam(0.01, amsgrad=True, clipnorm=0.5),
    "adamw": lambda opt: opt.AdamW(0.01),
    "adamax": lambda opt: opt.Adamax(0.01),
    "nadam": lambda opt: opt.Nadam(0.01),
    "adagrad": lambda opt: opt.Adagrad(0.05),
    "adadelta": lambda opt: opt.Adadelta(1.0),
    "rmsprop": lambda opt: opt.RMSprop(0.005),
    "centred": lambda opt: opt.RMSprop(0.005, momentum=0.5, centered=True),
    "ftrl": lambda opt: opt.Ftrl(0.05, l1_regularization_strength=0.001),
    "lion": lambda opt: opt.Lion(0.003),
    "lamb": lambda opt: opt.Lamb(0.01),
    "average": lambda opt: opt.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=1),
    "adafactor": lambda opt: opt.Adafactor(0.01),
    "muon": lambda opt: opt.Muon(0.01, exclude_layers=["gru/"]),
    "scaled": lambda opt: opt.LossScaleOptimizer(opt.Adam(0.01), 1024.0, 4),
    "several": lambda opt: opt.MultiOptimizer(
        opt.OptimizerMap(
            opt.Adam(0.01), {".*lstm.*": opt.SGD(0.05, momentum=0.9), ".*gru.*kernel": opt.SGD(0.02)}
        )
    ),
    "schedule": lambda opt: opt.SGD(
        opt.schedules.ExponentialDecay(0.1, 2, 0.5), momentum=0.5, global_clipnorm=1.0
    ),
}


def train(model, x, y, epochs):
    history = model.fit(x, y, batch_size=5, epochs=epochs, shuffle=False, verbose=0)
    return history.history["loss"]


def state(model):
    values = [*model.weights, *model.optimizer.variables]
    return [np.asarray(v.detach() if hasattr(v, "detach") else v.numpy()) for v in values]


def goes_on(tmp_path, make, optimizer, source):
    """Train in one, save, train on in both; the trajectories are one."""
    first, second = (keras, lf) if source == "keras" else (lf, keras)
    first.utils.set_random_seed(1)
    model, x, y, loss = make(first)
    model.compile(optimizer(first.optimizers), loss)
    train(model, x, y, 2)
    model.save(tmp_path / "m.keras")
    other = second.saving.load_model(tmp_path / "m.keras")
    assert int(other.optimizer.iterations.numpy()) == int(model.optimizer.iterations.numpy()) == 6
    before = state(model)
    for a, b in zip(before, state(other), strict=True):
        np.testing.assert_array_equal(a, b)
    losses = [train(m, x, y, 3) for m in (model, other)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    return before, state(model), state(other)


def assert_one_trajectory(before, ours, theirs, scale=1.0):
    # Rounding differs between the libraries' sums and grows over nine steps; the weights have moved by far more.
    for _, b, c in zip(before, ours, theirs, strict=True):
        largest = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(b, c, rtol=0, atol=scale * 2e-5 * largest)
    assert (
        max(float(np.abs(a - b).max()) for a, b in zip(before, ours, strict=True) if a.dtype.kind == "f")
        > 1e-3
    )


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(tmp_path, name, source):
    # Lion steps by signs: where a gradient is all but zero, rounding decides on the step.
    scale = 300.0 if name == "lion" else 1.0
    assert_one_trajectory(*goes_on(tmp_path, small, OPTIMIZERS[name], source), scale)


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
@pytest.mark.parametrize("make", [every_layer, nested, partly_frozen])
def test_every_layer(tmp_path, make, source):
    assert_one_trajectory(*goes_on(tmp_path, make, OPTIMIZERS["adam"], source))


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
@pytest.mark.parametrize("name", ["adafactor", "muon", "scaled", "several"])
def test_slots_in_the_order_of_another_graph(tmp_path, name, source):
    assert_one_trajectory(*goes_on(tmp_path, every_layer, OPTIMIZERS[name], source))


def test_layers_of_one_name(tmp_path):
    """Keras 3.15 on torch loses gradients of parameters of one path: a model that it loaded does not train as the one
    that it saved. So training goes on in ours, and ours only has to put the state where Keras looks for it."""
    assert_one_trajectory(*goes_on(tmp_path, same_names, OPTIMIZERS["adam"], "keras"))
    model, x, y, loss = same_names(lf)
    model.compile("adam", loss)
    train(model, x, y, 2)
    model.save(tmp_path / "o.keras")
    theirs, again = (K.saving.load_model(tmp_path / "o.keras") for K in (keras, lf))
    for a, b, c in zip(state(model), state(theirs), state(again), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    np.testing.assert_allclose(
        theirs.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("ending", ["keras", "safetensors"])
def test_a_layer_in_several_models_stays_one(tmp_path, ending):
    """(Keras 3.15 cannot load such a model of its own.)"""
    L = lf.layers
    inner = lf.Sequential([L.Input((5, 3)), L.LSTM(4, return_sequences=True), L.Dense(3)], name="inner")
    deeper = lf.Sequential([L.Input((5, 3)), inner, L.SimpleRNN(2)], name="deeper")
    x = L.Input((5, 3))
    model = lf.Model(x, L.Dense(2)(L.Concatenate()([deeper(x), L.GRU(2)(inner(x))])))
    model.compile("adam", "mse")
    train(model, X, Y, 2)
    model.save(tmp_path / f"m.{ending}")
    again = lf.saving.load_model(tmp_path / f"m.{ending}")
    assert again.get_layer("inner") is again.get_layer("deeper").layers[0]
    for m in (model, again):
        train(m, X, Y, 1)
    for a, b in zip(state(model), state(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_within_one_library_after_the_other(tmp_path, source):
    """There and back again: the file of a loaded model is as good as the first."""
    first, second = (keras, lf) if source == "keras" else (lf, keras)
    model, x, y, loss = every_layer(first)
    model.compile("adam", loss)
    train(model, x, y, 1)
    model.save(tmp_path / "a.keras")
    second.saving.load_model(tmp_path / "a.keras").save(tmp_path / "b.keras")
    again = first.saving.load_model(tmp_path / "b.keras")
    for a, b in zip(state(model), state(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_custom_objects_in_both(tmp_path, source):
    """A layer, a loss, a metric and an activation of one's own, by name in `custom_objects`."""
    import torch

    class TheirScale(keras.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

        def call(self, x):
            return x * self.factor

    class OurScale(lf.layers.Layer):
        def build(self, shape):
            self.factor = self.add_weight((shape[-1],), "ones", "factor")

        def forward(self, x, call):
            call.saved = x
            return x * self.factor.value

        def backward(self, dy, call):
            self.factor.add_grad((dy * call.saved).sum(axis=(0, 1)))
            return dy * self.factor.value

    def their_loss(y, p):
        return torch.mean((p - y) ** 2, dim=-1)

    class OurLoss(lf.losses.MeanSquaredError):
        pass

    ours = {"Scale": OurScale, "their_loss": lf.losses.mean_squared_error}
    theirs = {"Scale": TheirScale, "their_loss": their_loss}
    TheirScale.__name__ = OurScale.__name__ = "Scale"
    K, objects, other, other_objects = (
        (keras, theirs, lf, ours) if source == "keras" else (lf, ours, keras, theirs)
    )
    L = K.layers
    model = K.Sequential([L.Input((5, 3)), objects["Scale"](name="scale"), L.LSTM(3), L.Dense(2)])
    model.compile("adam", their_loss if source == "keras" else "mse")
    train(model, X, Y, 2)
    model.save(tmp_path / "m.keras")
    with pytest.raises((ValueError, TypeError), match="Scale"):
        other.saving.load_model(tmp_path / "m.keras")
    loaded = other.saving.load_model(tmp_path / "m.keras", custom_objects=other_objects)
    for a, b in zip(state(model), state(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(state(loaded)[0] - 1).max() > 1e-3
    for m in (model, loaded):
        train(m, X, Y, 2)
    for a, b in zip(state(model), state(loaded), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, float(np.abs(a).max())))
