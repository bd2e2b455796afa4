# SPDX-License-Identifier: BSD-3-Clause
"""Layers that write Keras's `call`, and what a layer tells about itself: losses, paths, specs, stored weights."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers


class Affine(layers.Layer):
    """x * w + b by way of an inner layer, with a flag and an argument of its own."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = layers.Dense(units, kernel_initializer="ones")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, x, training=False, shift=0.0):
        return self.inner(x * self.scale) + shift + (100.0 if training else 0.0)


def test_a_layer_with_call_runs():
    layer = Affine()
    x = np.ones((2, 3))
    np.testing.assert_array_equal(layer(x), np.full((2, 2), 3))
    np.testing.assert_array_equal(layer(x, training=True), np.full((2, 2), 103))
    np.testing.assert_array_equal(layer(x, shift=1.0), np.full((2, 2), 4))
    assert layer(x).dtype == np.float32
    with pytest.raises(TypeError, match="colour"):
        layer(x, colour=1)
    with pytest.raises(ValueError, match="Only input tensors"):
        layer(x, True)


def test_in_a_model():
    inputs = lf.Input((3,))
    outputs = Affine()(inputs, shift=2.0)
    assert outputs.shape == (None, 2)
    model = lf.Model(inputs, outputs)
    np.testing.assert_array_equal(model(np.ones((2, 3))), np.full((2, 2), 5))
    np.testing.assert_array_equal(model(np.ones((2, 3)), training=True), np.full((2, 2), 105))


def test_a_call_of_arrays_does_not_train():
    class Exponential(Affine):
        def call(self, x):
            return np.exp(self.inner(x))

    model = lf.Sequential([lf.Input((3,)), Exponential()])
    assert model(np.ones((2, 3))).shape == (2, 2)
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(NotImplementedError, match=r"`backward.*symbolic inputs \(TypeError.*Compose layers"):
        model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_in_front_of_what_is_trained():
    class Centred(layers.Layer):
        def call(self, x):
            return x - x.mean(axis=-1, keepdims=True)

    model = lf.Sequential([lf.Input((3,)), Centred(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((8, 3))
    history = model.fit(x, x[:, :1], epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_call_with_a_backward_of_its_own_trains():
    class Double(layers.Layer):
        def call(self, x):
            return 2 * x

        def backward(self, dy, call):
            return 2 * dy

    lf.testing.check_gradients(Double(), np.random.default_rng(0).standard_normal((2, 3)))


def test_subclass_of_a_built_in_layer():
    class Negative(layers.Dense):
        def call(self, x, training=None):
            return -super().call(x)

    class Recording(Negative):
        def call(self, x, training=None):
            self.seen = training
            return super().call(x)

    x = np.ones((1, 3))
    assert Negative(1, kernel_initializer="ones")(x) == -3
    layer = Recording(1, kernel_initializer="ones")
    assert layer(x, training=True) == -3 and layer.seen is True
    np.testing.assert_array_equal(layers.Dense(1, kernel_initializer="ones")(x), [[3]])


def test_call_of_built_in_layers():
    layer = layers.LSTM(2)
    x = np.random.default_rng(0).standard_normal((2, 4, 3)).astype("float32")
    expected = layer(x)
    np.testing.assert_array_equal(layer.call(x), expected)
    state = [np.ones((2, 2), "float32")] * 2
    np.testing.assert_array_equal(layer.call(x, initial_state=state), layer(x, initial_state=state))
    with pytest.raises(NotImplementedError, match="does not have a `call` method"):
        layers.Layer().call(x)
    with pytest.raises(NotImplementedError, match="`compute_output_shape`"):
        layers.Layer().compute_output_shape((2, 3))


def test_training_reaches_calls_inside():
    class Outer(layers.Layer):
        def __init__(self, told):
            super().__init__()
            self.told, self.dropout = told, layers.Dropout(0.5, seed=1)

        def call(self, x):
            return self.dropout(x, training=self.told)

    x = np.ones((4, 50))
    assert (Outer(None)(x, training=True) == 0).any()
    assert not (Outer(False)(x, training=True) == 0).any()
    assert not (Outer(None)(x) == 0).any()
    assert (Outer(True)(x) == 0).any()
    assert not (layers.Dropout(0.5)(x) == 0).any()  # and nothing stays behind


def test_training_reaches_models_inside():
    inner = lf.Sequential([lf.Input((50,)), layers.Dropout(0.5)])

    class Around(layers.Layer):
        def call(self, x):
            return inner(x)

    x = np.ones((4, 50), "float32")
    assert (Around()(x, training=True) == 0).any() and not (Around()(x) == 0).any()
    np.testing.assert_array_equal(inner.call(x), x)
    assert (inner.call(x, training=True) == 0).any()


def test_a_cell_with_call():
    class Minimal(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = self.state_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="ones")

        def call(self, inputs, states, training=False):
            output = inputs @ self.kernel.value + states[0]
            return output, [output]

    x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")
    y = layers.RNN(Minimal(4), return_sequences=True)(x)
    expected = np.repeat(np.cumsum(x.astype("float64").sum(axis=-1), axis=1)[..., None], 4, axis=-1)
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(layers.RNN(Minimal(4))(x), y[:, -1])
    both = layers.RNN([Minimal(4), Minimal(2)])(x)
    assert both.shape == (2, 2)


def test_lists_and_masks_reach_call():
    class Both(layers.Layer):
        supports_masking = True

        def call(self, inputs, mask=None):
            self.mask = mask
            return inputs[0] + inputs[1]

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else mask[0] & mask[1]

    layer = Both()
    a, b = (layers.Masking()(np.array([[[1.0], [v]]])) for v in (0.0, 1.0))
    y = layer([a, b])
    np.testing.assert_array_equal(layer.mask[0], [[True, False]])
    np.testing.assert_array_equal(y._keras_mask, [[True, False]])
    y = layer([np.ones((2, 3)), np.ones((2, 3))], mask=[np.array([True, False]), np.array([True, True])])
    np.testing.assert_array_equal(y._keras_mask, [True, False])


def test_add_loss():
    class Penalized(layers.Layer):
        def call(self, x):
            self.add_loss(x.sum())
            self.add_loss([1.0, 2.0])
            return x

    layer = Penalized(activity_regularizer="l2")
    layer(np.ones((2, 3)))
    np.testing.assert_allclose(layer.losses, [6, 1, 2, 0.01 * 6 / 2], rtol=1e-6)
    layer(np.zeros((2, 3)))
    np.testing.assert_allclose(layer.losses, [0, 1, 2, 0], rtol=1e-6)
    model = lf.Sequential([lf.Input((3,)), Penalized(), layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.evaluate(np.ones((2, 3)), np.zeros((2, 1)), verbose=0), 9, rtol=1e-6)
    with pytest.raises(ValueError, match="inside its `call"):
        layer.add_loss(1.0)
    with pytest.raises(ValueError, match="numbers"):

        class Wrong(layers.Layer):
            def call(self, x):
                self.add_loss(x)
                return x

        Wrong()(np.ones((2, 2)))


def test_paths_and_layers_in_nested_attributes():
    class Inner(layers.Layer):
        def build(self, _):
            self.w = self.add_weight(shape=(1,), name="w")

        def call(self, x):
            return x + self.w.value

    class Outer(layers.Layer):
        def build(self, _):
            self.rows = [[Inner(name="a"), Inner(name="b")], {"c": (Inner(name="c"),)}]

        def call(self, x):
            for layer in (*self.rows[0], self.rows[1]["c"][0]):
                x = layer(x)
            return x

    class Most(layers.Layer):
        def __init__(self):
            super().__init__(name="most")
            self.outer = Outer(name="outer")

        def call(self, x):
            return self.outer(x)

    layer = Most()
    assert layer.path is None
    layer(np.ones((2, 1)))
    assert [v.path for v in layer.weights] == [f"most/outer/{k}/w" for k in "abc"]
    assert layer.path == "most"


def test_variables_in_attributes_are_weights():
    class Holder(layers.Layer):
        def __init__(self):
            super().__init__()
            self.kept = lf.Variable([1.0, 2.0], name="kept")
            self.inner = layers.Dense(1)

        def build(self, input_shape):
            self.first = self.add_weight(shape=(), name="first")
            self.inner.build(input_shape)

        def call(self, x):
            return x

    layer = Holder()
    layer.build((1, 2))
    assert [v.name for v in layer.weights] == ["first", "kept", "kernel", "bias"]


def test_metrics_in_attributes():
    class Measuring(layers.Layer):
        def __init__(self, inside=None):
            super().__init__()
            self.metric, self.inside = lf.metrics.MeanSquaredError(), inside

    layer = Measuring(Measuring())
    assert len(layer.metrics) == 2

    class Count(lf.metrics.Metric):
        def __init__(self):
            super().__init__(name="count")
            self.n = self.add_weight(shape=(), initializer="zeros", name="n")

    layer.inside.metric = Count()
    paths = [v.path for v in layer.metrics_variables]
    assert paths == ["mean_squared_error/total", "mean_squared_error/count", "count/n"]


def test_configuration_from_plain_arguments():
    layer = Affine(3, name="three")
    config = layer.get_config()
    assert config["units"] == 3 and config["name"] == "three"
    assert Affine.from_config(config).units == 3
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert again.get_config() == config
    model = lf.Sequential([lf.Input((4,)), layer])
    made = lf.saving.deserialize_keras_object(
        lf.saving.serialize_keras_object(model), custom_objects={"Affine": Affine}
    )
    assert made.layers[0].units == 3

    class Odd(layers.Layer):
        def __init__(self, function, **kwargs):
            super().__init__(**kwargs)

    assert "function" not in Odd(len).get_config()  # nothing a configuration could hold


def test_add_weight_defaults():
    layer = layers.Layer()
    assert layer.add_weight().shape == ()
    assert layer.add_weight(shape=(2,), dtype="int32", trainable=False).numpy().tolist() == [0, 0]
    with pytest.raises(ValueError, match="keyword argument"):
        layer.add_weight("kernel")


def test_build_at_construction_only_without_a_build_of_its_own():
    class Own(layers.Dropout):
        def build(self, input_shape):
            pass

    assert layers.Dropout(0.1).built and not Own(0.1).built
    layer = Own(0.1)
    layer.build((1, 2))
    assert layer.built and layer.get_build_config() == {"input_shape": (1, 2)}


def test_build_configurations():
    layer = layers.LSTM(2)
    assert layer.get_build_config() is None
    layer.build((None, 5, 3))
    again = layers.LSTM(2)
    again.build_from_config(layer.get_build_config())
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]
    joined = layers.Concatenate()
    joined.build_from_config({"input_shape": [[None, 2], [None, 3]]})
    assert joined.built


def test_output_specs():
    x = lf.KerasTensor((2, 5, 3))
    spec = layers.LSTM(4, return_sequences=True).compute_output_spec(x)
    assert spec.shape == (2, 5, 4) and spec.dtype == "float32"
    y, *states = layers.LSTM(4, return_state=True).compute_output_spec(x)
    assert [t.shape for t in (y, *states)] == [(2, 4)] * 3
    assert layers.Add()([x, x]).shape == layers.Add().compute_output_spec([x, x]).shape

    class Several(layers.Layer):
        def compute_output_shape(self, shape):
            return {"a": shape, "b": {"c": (shape, [shape])}}

    made = Several().compute_output_spec(x)
    assert made["b"]["c"][1][0].shape == (2, 5, 3)


def test_own_variables():
    a, b = layers.Dense(2), layers.Dense(2)
    a.build((1, 3)), b.build((1, 3))
    store = {}
    a.save_own_variables(store)
    assert sorted(store) == ["0", "1"]
    b.load_own_variables(store)
    np.testing.assert_array_equal(a.kernel.value, b.kernel.value)
    with pytest.raises(ValueError, match="never built"):
        layers.Dense(2).load_own_variables(store)
    with pytest.raises(ValueError, match="expected 2 variables"):
        b.load_own_variables({"0": store["0"]})


def test_losses_of_weights_and_of_layers_inside():
    layer = layers.Bidirectional(layers.LSTM(2, kernel_regularizer="l2", activity_regularizer="l2"))
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    y = layer(x)
    kernels = [v for v in layer.weights if v.name == "kernel"]
    expected = [0.01 * (y.astype("float64") ** 2).sum() / 3, *(0.01 * (k.value**2).sum() for k in kernels)]
    np.testing.assert_allclose(sorted(layer.losses), sorted(expected), rtol=1e-5)


def test_input_specs():
    spec = layers.InputSpec(shape=(None, 28, 1), allow_last_axis_squeeze=True)
    spec.check((2, 28), "layer")
    spec.check((2, 28, 1), "layer")
    for wrong in ((2, 27), (2, 28, 1, 1), (28,)):
        with pytest.raises(ValueError, match="expected shape"):
            spec.check(wrong, "layer")
    with pytest.raises(TypeError, match="axes"):
        layers.InputSpec(axes="12")
    with pytest.raises(ValueError, match="greater than the maximum"):
        layers.InputSpec(ndim=2, axes={2: 3})

    class Two(layers.Layer):
        def __init__(self):
            super().__init__()
            self.input_spec = [layers.InputSpec(ndim=2), layers.InputSpec(ndim=3)]

        def call(self, x):
            return x[0]

    Two()([np.ones((1, 2)), np.ones((1, 2, 3))])
    with pytest.raises(ValueError, match="expected ndim=3"):
        Two()([np.ones((1, 2)), np.ones((1, 2))])
    with pytest.raises(ValueError, match="expects 2 inputs"):
        Two()(np.ones((1, 2)))


def test_wrapper():
    class Named(layers.Wrapper):
        pass

    inner = layers.Dense(2)
    layer = Named(inner, name="outer")
    model = lf.Sequential([lf.Input((3,)), layer])
    assert [v.path for v in layer.weights] == [
        f"{model.name}/outer/{inner.name}/{n}" for n in ("kernel", "bias")
    ]
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(model(x), inner(x))
    lf.testing.check_gradients(layer, x)
    assert Named.from_config(layer.get_config()).layer.units == 2
    with pytest.raises(ValueError, match="isn't a supported layer type"):
        layers.Wrapper(2)


def test_shapes_where_zeros_are_refused():
    """As of an endpoint layer for CTC, among whose labels 0 stands for none."""

    class Endpoint(layers.Layer):
        def call(self, labels, logits):
            lengths = lf.ops.ones((labels.shape[0],), "int32")
            lf.ops.ctc_loss(labels, logits, lengths * labels.shape[1], lengths * logits.shape[1])
            return logits

    labels, logits = lf.Input((3,)), lf.Input((9, 5))
    assert Endpoint()(labels, logits).shape == (None, 9, 5)
