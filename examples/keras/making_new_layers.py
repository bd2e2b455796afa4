# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `making_new_layers_and_models_via_subclassing` in lstmfast's form: layers write both passes.

In Keras a layer writes `call` and the backend finds the gradients; here `forward` keeps what `backward` needs, and
`check_gradients` proves the pair. `build`, `add_weight`, `get_config` and the use in models are Keras's.
"""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras
from lstmfast import layers
from lstmfast.testing import check_gradients

keras.utils.set_random_seed(0)


@keras.saving.register_keras_serializable("examples")
class Linear(layers.Layer):
    """Weights made when the shape is known."""

    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True, name="w"
        )
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True, name="b")

    def forward(self, x, call):
        call.saved = x
        return x @ self.w.value + self.b.value

    def backward(self, dy, call):
        x = call.saved
        self.w.add_grad(x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, self.units))
        self.b.add_grad(dy.reshape(-1, self.units).sum(axis=0))
        return dy @ self.w.value.T

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("examples")
class CustomDropout(layers.Layer):
    """Something else in training than in inference."""

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def forward(self, x, call):
        call.saved = np.float32(1)
        if call.training:
            call.saved = (call.rng.random(x.shape) >= self.rate).astype("float32") / (1 - self.rate)
        return x * call.saved

    def backward(self, dy, call):
        return dy * call.saved

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("examples")
class ComputeSum(layers.Layer):
    """A weight that is not trained: the running sum of what came in."""

    def build(self, input_shape):
        self.total = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="total"
        )

    def forward(self, x, call):
        if call.training:
            self.total.assign(self.total.value + x.sum(axis=tuple(range(x.ndim - 1))))
        return x

    def backward(self, dy, call):
        return dy


checked = check_gradients(Linear(4), np.random.default_rng(0).normal(size=(3, 5)))
print("gradients agree with differences:", sorted(checked))
summing = ComputeSum()
for _ in range(2):
    summing(np.ones((2, 2)), training=True)
assert summing.get_weights()[0].tolist() == [4.0, 4.0]
assert not summing.trainable_weights

x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()
model = keras.Sequential(
    [
        keras.Input((29, 12)),
        Linear(24, name="frames"),
        layers.Activation("tanh"),
        layers.Bidirectional(layers.GRU(24)),
        CustomDropout(0.3),
        ComputeSum(),
        Linear(9, activity_regularizer=keras.regularizers.L2(1e-4)),
        layers.Softmax(),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
model.fit(x_train, y_train, batch_size=27, epochs=45, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "custom.keras")
    loaded = keras.models.load_model(Path(folder) / "custom.keras")
np.testing.assert_allclose(loaded.predict(x_test, verbose=0), model.predict(x_test, verbose=0), atol=1e-6)
print(f"accuracy of new utterances with layers of one's own: {accuracy:.4f}")
assert accuracy > 0.9, accuracy
