# SPDX-License-Identifier: BSD-3-Clause
"""Layer: names, weights, checks of arrays, user-written layers."""

import threading

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import Call, Layer


class Scale(Layer):
    def build(self, input_shape):
        self.factor = self.add_weight((input_shape[-1],), "ones", "factor", regularizer="l2")
        self.count = self.add_weight((1,), "zeros", "count", trainable=False)

    def forward(self, x, call):
        call.saved = x
        return x * self.factor.value

    def backward(self, dy, call):
        self.factor.add_grad((dy * call.saved).sum(axis=tuple(range(dy.ndim - 1))))
        return dy * self.factor.value


def test_automatic_names_count_by_class():
    lf.utils.clear_session()
    made = [
        layers.LSTM(1),
        layers.LSTM(1),
        layers.SimpleRNN(1),
        layers.Dense(1, name="mine"),
        layers.Dense(1),
    ]
    assert [layer.name for layer in made] == ["lstm", "lstm_1", "simple_rnn", "mine", "dense"]


@pytest.mark.parametrize(
    "options",
    [{"foo": 1}, {"dtype": "float16"}, {"trainable": "yes"}, {"name": ""}, {"name": "a/b"}, {"name": 3}],
)
def test_wrong_arguments(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        layers.Dense(3, **options)


@pytest.mark.parametrize("kind", [layers.LSTM, layers.SimpleRNN, layers.Dense])
@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None, True])
def test_wrong_units(kind, units):
    with pytest.raises(ValueError, match="units"):
        kind(units)


def test_weights_are_set_all_or_none(rng):
    layer = layers.LSTM(3)
    layer.build((None, None, 2))
    before = layer.get_weights()
    good = [rng.standard_normal(v.shape) for v in layer.weights]
    for bad in (good[:2], [*good, good[0]], [good[0], good[1], good[2][:-1]], [good[0], good[1].T, good[2]]):
        with pytest.raises(ValueError):
            layer.set_weights(bad)
    with pytest.raises(TypeError):
        layer.set_weights([good[0], good[1], np.array(["x"] * 12)])
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    layer.set_weights(good)
    np.testing.assert_array_equal(layer.get_weights()[1], good[1].astype("float32"))


def test_weights_given_out_are_copies():
    layer = layers.Dense(2)
    layer.build((None, 3))
    layer.get_weights()[0][:] = 7
    assert not (layer.kernel.numpy() == 7).any()
    with pytest.raises(ValueError, match="read-only"):
        layer.kernel.value[0, 0] = 1


def test_results_follow_changed_weights():
    """Packed copies of weights are made anew, however the weights change."""
    layer, x = layers.Dense(2, kernel_initializer="zeros"), np.ones((1, 3), "float32")
    assert (layer(x) == 0).all()
    layer.kernel.assign(np.ones((3, 2)))
    assert (layer(x) == 3).all()
    layer.set_weights([np.full((3, 2), 2.0), np.ones(2)])
    assert (layer(x) == 7).all()


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "bool"])
def test_numbers_become_float32(dtype):
    y = layers.Dense(2, kernel_initializer="ones")(np.ones((2, 3), dtype))
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, 3)


def test_any_memory_layout(rng):
    layer = layers.LSTM(4)
    x = rng.standard_normal((6, 5, 3)).astype("float32")
    expected = layer(x)
    for other in (np.asfortranarray(x), x[::-1][::-1], np.repeat(x, 2, axis=2)[:, :, ::2], x.astype(">f4")):
        np.testing.assert_array_equal(layer(other), expected)
    np.testing.assert_array_equal(layer(x.tolist()), expected)


@pytest.mark.parametrize("bad", [np.array([["a", "b"]]), np.array([[None, 1]]), np.ones((1, 2), complex)])
def test_not_numeric(bad):
    with pytest.raises(TypeError, match=r"inputs of layer 'd'.*numeric"):
        layers.Dense(2, name="d")(bad)


@pytest.mark.parametrize("shape", [(2, 0, 2), (2, 3, 0)])
@pytest.mark.parametrize("kind", [layers.LSTM, layers.SimpleRNN])
def test_empty_arrays(kind, shape):
    with pytest.raises(ValueError, match=r"empty|positive"):
        kind(4)(np.zeros(shape))


def test_shapes_are_checked():
    lstm, dense = layers.LSTM(4, name="r"), layers.Dense(3, name="d")
    lstm.build((None, None, 5))
    dense.build((None, 5))
    for layer, shape in (
        (lstm, (2, 5)),
        (lstm, (2, 3, 4)),
        (lstm, (2, 3, 5, 1)),
        (dense, (5,)),
        (dense, (2, 4)),
    ):
        with pytest.raises(ValueError, match=f"'{layer.name}' is incompatible"):
            layer(np.zeros(shape))


def test_a_failed_build_leaves_nothing():
    layer = layers.LSTM(3, recurrent_initializer=lambda shape, dtype=None: np.zeros((1, 1)))
    with pytest.raises(ValueError, match="recurrent_kernel"):
        layer(np.zeros((1, 2, 3)))
    assert not layer.built and layer.weights == []


def test_count_params():
    layer = layers.LSTM(3)
    with pytest.raises(ValueError, match="isn't built"):
        layer.count_params()
    layer.build((None, None, 2))
    assert layer.count_params() == 2 * 12 + 3 * 12 + 12


def test_a_layer_of_ones_own():
    layer = Scale(name="s")
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(layer(x), x)
    assert [v.path for v in layer.weights] == ["s/factor", "s/count"]
    assert [v.name for v in layer.trainable_variables] == ["factor"]
    assert layer.compute_output_shape((None, 4, 3)) == (None, 4, 3)
    model = lf.Sequential([lf.Input((3,)), Scale(), layers.Dense(1)])
    model.compile("sgd", "mse")
    y = np.array([[1.0], [2.0]])
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0) < first


def test_trainable_reaches_layers_inside():
    class Two(Layer):
        def __init__(self):
            super().__init__()
            self.parts = [Scale(), Scale()]

    layer = Two()
    for part in layer.parts:
        part.build((None, 2))
    assert len(layer.weights) == 4 and len(layer.trainable_variables) == 2
    layer.trainable = False
    assert layer.trainable_variables == [] and len(layer.non_trainable_variables) == 4
    layer.trainable = True
    assert len(layer.trainable_variables) == 2


def test_forward_without_backward_keeps_nothing(rng):
    layer, call = layers.LSTM(3), Call()
    x = rng.standard_normal((2, 4, 2)).astype("float32")
    layer.build(x.shape)
    layer.forward(x, call)
    assert call.saved is None


def test_many_threads_on_one_layer(rng):
    layer = layers.LSTM(16, return_sequences=True)
    xs = [rng.standard_normal((2, 9, 8)).astype("float32") for _ in range(4)]
    expected = [layer(x) for x in xs]
    wrong = []

    def work(k):
        for _ in range(20):
            if not np.array_equal(layer(xs[k]), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []
