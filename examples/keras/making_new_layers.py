# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `making_new_layers_and_models_via_subclassing`: layers with weights of their own, layers of layers, weights
that a call assigns, penalties, configurations."""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras
from lstmfast import layers, ops

keras.utils.set_random_seed(0)


@keras.saving.register_keras_serializable("examples")
class Linear(layers.Layer):
    """Weights made when the shape is known."""

    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="glorot_uniform", trainable=True, name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("examples")
class MLPBlock(layers.Layer):
    """Layers inside a layer: their weights are its own."""

    def __init__(self, units=24, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.linear_1 = Linear(units)
        self.linear_2 = Linear(units)
        self.linear_3 = Linear(units)

    def call(self, inputs):
        x = ops.relu(self.linear_1(inputs))
        x = ops.relu(self.linear_2(x))
        return self.linear_3(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class ComputeSum(layers.Layer):
    """A weight that is not trained: the running sum of what came in."""

    def __init__(self, input_dim, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_weight(initializer="zeros", shape=(input_dim,), trainable=False, name="total")

    def call(self, inputs):
        self.total.assign_add(ops.sum(inputs, axis=0))
        return self.total


@keras.saving.register_keras_serializable("examples")
class ActivityRegularizationLayer(layers.Layer):
    """Adds to the loss and hands its input on."""

    def __init__(self, rate=1e-4, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs):
        self.add_loss(self.rate * ops.mean(ops.square(inputs)))
        return inputs

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


mlp = MLPBlock()
mlp(ops.ones(shape=(3, 64)))  # the first call makes the weights
assert len(mlp.weights) == 6 and len(mlp.trainable_weights) == 6

my_sum = ComputeSum(2)
for expected in (2.0, 4.0):
    assert ops.convert_to_numpy(my_sum(ops.ones((2, 2)))).tolist() == [expected, expected]
assert len(my_sum.weights) == 1 and not my_sum.trainable_weights

penalized = ActivityRegularizationLayer(0.5)
penalized(ops.full((2, 2), 2.0))
assert [float(loss) for loss in penalized.losses] == [2.0]

assert Linear.from_config(Linear(64).get_config()).units == 64

x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()
inputs = keras.Input((29, 12))
x = Linear(24, name="frames")(inputs)
x = layers.Activation("tanh")(x)
x = layers.Bidirectional(layers.GRU(24))(x)
x = layers.Dropout(0.3)(x)
x = ActivityRegularizationLayer()(x)
x = MLPBlock()(x)
model = keras.Model(inputs, layers.Softmax()(Linear(9)(x)))
model.compile(
    optimizer=keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
model.fit(x_train, y_train, batch_size=16, epochs=80, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "custom.keras")
    loaded = keras.models.load_model(Path(folder) / "custom.keras")
np.testing.assert_allclose(loaded.predict(x_test, verbose=0), model.predict(x_test, verbose=0), atol=1e-6)
print(f"accuracy of new utterances with layers of one's own: {accuracy:.4f}")
assert accuracy > 0.9, accuracy
