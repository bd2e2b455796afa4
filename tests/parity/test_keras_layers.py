# SPDX-License-Identifier: BSD-3-Clause
"""Layers against the real Keras 3: outputs, states, gradients, configurations, masks."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def tensor(a, grad=True):
    if a is None:
        return None
    t = torch.tensor(np.asarray(a))
    return t.requires_grad_(grad) if t.is_floating_point() else t


def compare(ours, theirs, x, rng, *, mask=None, initial_state=None):
    """Same weights into both; outputs, and gradients of a random projection of them, must agree."""
    theirs.build(x.shape)
    ours.build(x.shape)
    # Of a size that keeps recurrences from being chaotic: those make large numbers of the last bit's noise.
    values = [(rng.standard_normal(v.shape) / np.sqrt(v.shape[0])).astype("float32") for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)

    call = Call(save=True, needs_dx=True, mask=mask)
    options, states = {}, []
    if initial_state is not None:
        call.initial_state = tuple(initial_state)
        states = [tensor(s) for s in initial_state]
        options["initial_state"] = states
    if mask is not None:
        options["mask"] = torch.tensor(mask)
    y = ours.forward(x, call)
    xt = tensor(x)
    yt = theirs(xt, **options)
    y, yt = (y, yt) if isinstance(y, tuple) else ((y,), (yt,))
    assert len(y) == len(yt)
    for k, (a, b) in enumerate(zip(y, yt, strict=True)):
        close(a, b.detach().numpy(), f"output {k}")
    dy = [rng.standard_normal(a.shape).astype("float32") for a in y]
    dx = ours.backward(tuple(dy) if len(dy) > 1 else dy[0], call)
    sum((b * torch.tensor(d)).sum() for b, d in zip(yt, dy, strict=True)).backward()
    if xt.grad is not None:
        close(dx, xt.grad.numpy(), "dx")
    for ours_v, theirs_v in zip(ours.weights, theirs.weights, strict=True):
        close(ours_v.grad, theirs_v.value.grad.numpy(), f"d {ours_v.path}")
    for k, s in enumerate(states):
        close(call.d_initial_state[k], s.grad.numpy(), f"d initial state {k}")


RNN_OPTIONS = [
    {},
    {"return_sequences": True},
    {"return_sequences": True, "return_state": True},
    {"return_state": True, "use_bias": False},
    {"go_backwards": True, "return_sequences": True},
    {"go_backwards": True, "return_state": True},
    {"activation": "relu", "return_sequences": True},
    {"activation": "softsign"},
]


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", RNN_OPTIONS, ids=lambda o: "-".join(o) or "default")
@pytest.mark.parametrize("shape", [(3, 7, 5, 4), (1, 1, 1, 1), (5, 12, 9, 33)], ids=str)
def test_recurrent(name, options, shape, rng):
    b, t, i, h = shape
    x = rng.standard_normal((b, t, i)).astype("float32")
    compare(getattr(lf.layers, name)(h, **options), getattr(keras.layers, name)(h, **options), x, rng)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", RNN_OPTIONS[:6], ids=lambda o: "-".join(o) or "default")
def test_recurrent_with_initial_state(name, options, rng):
    x = rng.standard_normal((3, 7, 5)).astype("float32")
    states = [rng.standard_normal((3, 4)).astype("float32") for _ in range(2 if name == "LSTM" else 1)]
    ours, theirs = getattr(lf.layers, name)(4, **options), getattr(keras.layers, name)(4, **options)
    compare(ours, theirs, x, rng, initial_state=states)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", RNN_OPTIONS[:6], ids=lambda o: "-".join(o) or "default")
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
def test_recurrent_with_mask(name, options, zero_output_for_mask, rng):
    x = rng.standard_normal((6, 8, 3)).astype("float32")
    mask = rng.integers(0, 2, (6, 8)).astype(bool)
    mask[0], mask[1, 3:] = True, False
    options = {**options, "zero_output_for_mask": zero_output_for_mask}
    compare(
        getattr(lf.layers, name)(4, **options), getattr(keras.layers, name)(4, **options), x, rng, mask=mask
    )


@pytest.mark.parametrize("recurrent_activation", ["hard_sigmoid", "tanh"])
def test_lstm_recurrent_activation(recurrent_activation, rng):
    x = rng.standard_normal((3, 6, 5)).astype("float32")
    options = {"recurrent_activation": recurrent_activation, "return_sequences": True}
    compare(lf.layers.LSTM(4, **options), keras.layers.LSTM(4, **options), x, rng)


@pytest.mark.parametrize(
    "activation",
    [None, "relu", "tanh", "sigmoid", "softmax", "gelu", "silu", "elu", "selu", "softplus", "hard_sigmoid",
     "leaky_relu", "mish", "log_softmax"],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 7)], ids=str)
def test_dense(activation, shape, rng):
    x = rng.standard_normal(shape).astype("float32")
    compare(lf.layers.Dense(6, activation), keras.layers.Dense(6, activation), x, rng)


def test_dense_without_bias(rng):
    x = rng.standard_normal((5, 7)).astype("float32")
    compare(lf.layers.Dense(6, use_bias=False), keras.layers.Dense(6, use_bias=False), x, rng)


@pytest.mark.parametrize("shape", [(5,), (3, 8), (2, 3, 4)], ids=str)
def test_embedding(shape, rng):
    ids = rng.integers(0, 9, shape)
    compare(lf.layers.Embedding(9, 5), keras.layers.Embedding(9, 5), ids, rng)


def test_concatenate_and_activation(rng):
    parts = [rng.standard_normal((2, 3, n)).astype("float32") for n in (4, 1, 2)]
    close(lf.layers.Concatenate()(parts), keras.layers.Concatenate()(parts).numpy())
    close(lf.layers.Activation("softmax")(parts[0]), keras.layers.Activation("softmax")(parts[0]).numpy())


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_masking(value, rng):
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    x[0, 2:] = value
    x[1, 0, 1] = value
    close(lf.layers.Masking(value)(x), keras.layers.Masking(value)(x).numpy())


CONFIGURATIONS = [
    ("LSTM", (3,), {}),
    ("LSTM", (3,), {"dropout": 0.1, "recurrent_dropout": 0.2, "seed": 3, "kernel_regularizer": "l2",
                    "return_state": True, "unit_forget_bias": False, "name": "mine", "trainable": False,
                    "activity_regularizer": "l1", "kernel_constraint": "non_neg"}),
    ("GRU", (3,), {}),
    ("GRU", (3, "relu", "hard_sigmoid"), {"reset_after": False, "seed": 3, "use_bias": False, "dropout": 0.1}),
    ("SimpleRNN", (3,), {"activation": "relu", "go_backwards": True, "bias_initializer": "ones"}),
    ("Dense", (3,), {}),
    ("Dense", (3, "softmax"), {"kernel_initializer": "he_normal", "bias_regularizer": "l1",
                               "activity_regularizer": "l2", "bias_constraint": "unit_norm"}),
    ("Embedding", (10, 3), {"mask_zero": True, "embeddings_regularizer": "l2"}),
    ("Dropout", (0.3,), {"noise_shape": (None, 1, None), "seed": 1}),
    ("Masking", (), {"mask_value": -1.0}),
    ("Activation", ("gelu",), {}),
    ("Flatten", (), {}),
    ("Concatenate", (), {"axis": 1}),
    ("InputLayer", ((3, None),), {"dtype": "int32"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), CONFIGURATIONS)
def test_configuration_is_keras_s(name, args, kwargs):
    kwargs = {"name": "layer", **kwargs}
    ours, theirs = getattr(lf.layers, name)(*args, **kwargs), getattr(keras.layers, name)(*args, **kwargs)
    expected = theirs.get_config()
    assert ours.get_config() == expected
    assert type(ours).from_config(expected).get_config() == expected
    assert type(theirs).from_config(ours.get_config()).get_config() == expected


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN", "Dense", "Embedding"])
def test_names_shapes_and_order_of_weights(name):
    args = (7, 3) if name == "Embedding" else (3,)
    shape = (None, 5) if name == "Embedding" else (None, 5, 4)
    ours, theirs = getattr(lf.layers, name)(*args, name="a"), getattr(keras.layers, name)(*args, name="a")
    ours.build(shape)
    theirs.build(shape)
    assert [(v.name, v.shape) for v in ours.weights] == [(v.name, tuple(v.shape)) for v in theirs.weights]
    assert ours.compute_output_shape(shape) == tuple(theirs.compute_output_shape(shape))


def hybrid(k):
    """The same graph in either package: two inputs, shared layers, masks, three outputs."""
    series, ids = k.Input((None, 3), name="series"), k.Input((4,), dtype="int32", name="ids")
    shared = k.layers.LSTM(5, return_sequences=True, name="shared")
    masked = k.layers.Masking(name="masking")(series)
    first = shared(masked)
    words = k.layers.Embedding(6, 3, mask_zero=True, name="embedding")(ids)
    second = shared(words)
    y, h, c = k.layers.LSTM(5, return_state=True, name="decoder")(second, initial_state=None)
    last = k.layers.SimpleRNN(4, name="rnn")(first)
    joined = k.layers.Concatenate(name="joined")([last, y, h, c])
    out = k.layers.Dense(2, activation="softmax", name="out")(joined)
    return k.Model(
        [series, ids], [out, k.layers.Dense(1, name="steps")(first), k.layers.Dense(1, name="c")(c)]
    )


def test_a_graph_with_masks_and_shared_layers(rng):
    ours, theirs = hybrid(lf), hybrid(keras)
    ours.set_weights([rng.standard_normal(v.shape) * 0.5 for v in ours.weights])
    by_path = {v.path.split("/")[0] + v.name: v for v in ours.weights}
    for v in theirs.weights:
        v.assign(by_path[v.path.split("/")[0] + v.name].numpy())
    series = rng.standard_normal((3, 6, 3)).astype("float32")
    series[0, 4:], series[1, :1] = 0, 0
    ids = np.array([[1, 2, 0, 0], [3, 4, 5, 1], [2, 0, 0, 0]], "int32")
    outputs, tape = ours.forward([series, ids])
    expected = theirs([tensor(series), torch.tensor(ids)])
    for a, b in zip(outputs, expected, strict=True):
        close(a, b.detach().numpy())
    dy = [rng.standard_normal(a.shape).astype("float32") for a in outputs]
    grads, _, _ = tape.backward(dy)
    sum((b * torch.tensor(d)).sum() for b, d in zip(expected, dy, strict=True)).backward()
    theirs_by_path = {v.path.split("/")[0] + v.name: v for v in theirs.weights}
    for v, g in zip(ours.trainable_variables, grads, strict=True):
        close(g, theirs_by_path[v.path.split("/")[0] + v.name].value.grad.numpy(), v.path)
    assert [layer.name for layer in ours.layers] == [
        layer.name for layer in theirs.layers if not layer.name.startswith(("any", "not_equal"))
    ]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_step_by_step(optimizer, masked, rng):
    """Ten steps of train_on_batch: the same losses, metrics and weights."""

    def make(k):
        layers = [k.Input((6, 3))] + ([k.layers.Masking()] if masked else [])
        layers += [
            k.layers.LSTM(5, return_sequences=True, kernel_regularizer="l2"),
            k.layers.Dense(4, activation="softmax", activity_regularizer=k.regularizers.L2(0.1)),
        ]
        model = k.Sequential(layers)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((7, 6, 3)).astype("float32")
    x[0, 3:], x[2, 5:] = 0, 0
    y, weight = rng.integers(0, 4, (7, 6)), rng.uniform(0.5, 2, (7, 6)).astype("float32")
    for _ in range(10):
        a = ours.train_on_batch(x, y, sample_weight=weight)
        b = [float(v) for v in theirs.train_on_batch(x, y, sample_weight=weight)]
        np.testing.assert_allclose(a, b, rtol=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, np.abs(b).max()))
    expected = [float(v) for v in theirs.evaluate(x, y, verbose=0)]
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), expected, rtol=1e-4)


def test_fit_history_and_validation(rng):
    """Whole epochs without shuffling, with class weights and a validation split: the same history."""

    def make(k):
        model = k.Sequential(
            [k.Input((5, 2)), k.layers.SimpleRNN(4), k.layers.Dense(1, activation="sigmoid")]
        )
        model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy", "mae"])
        return model

    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((37, 5, 2)).astype("float32")
    y = rng.integers(0, 2, 37)
    options = {"epochs": 3, "batch_size": 8, "shuffle": False, "verbose": 0, "validation_split": 0.3}
    a = ours.fit(x, y, class_weight={0: 1.0, 1: 2.5}, **options).history
    b = theirs.fit(x, y, class_weight={0: 1.0, 1: 2.5}, **options).history
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)


def test_several_outputs_with_loss_weights(rng):
    def make(k):
        x = k.Input((3,), name="x")
        h = k.layers.Dense(4, activation="tanh")(x)
        model = k.Model(
            x, [k.layers.Dense(1, name="a")(h), k.layers.Dense(2, activation="softmax", name="b")(h)]
        )
        model.compile("sgd", {"a": "mse", "b": "categorical_crossentropy"}, loss_weights={"a": 0.3, "b": 2.0},
                      metrics={"b": ["accuracy"], "a": ["mae"]})  # fmt: skip
        return model

    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    x = rng.standard_normal((20, 3)).astype("float32")
    y = {
        "a": rng.standard_normal((20, 1)).astype("float32"),
        "b": np.eye(2, dtype="float32")[rng.integers(0, 2, 20)],
    }
    options = {"epochs": 2, "batch_size": 6, "shuffle": False, "verbose": 0}
    a, b = ours.fit(x, y, **options).history, theirs.fit(x, y, **options).history
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)
    expected = [float(v) for v in theirs.evaluate(x, y, verbose=0)]
    np.testing.assert_allclose(ours.evaluate(x, y, verbose=0), expected, rtol=1e-4)
    expected = {k: float(v) for k, v in theirs.evaluate(x, y, verbose=0, return_dict=True).items()}
    assert ours.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)
