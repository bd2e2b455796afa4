# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `training_with_built_in_methods`: losses and metrics, built in and one's own.

The guide's second half is `training_with_data_sets`.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers, ops

keras.utils.set_random_seed(0)
x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()
shuffled = np.random.default_rng(0).permutation(len(x_train))
x_val, y_val = x_train[shuffled[-60:]], y_train[shuffled[-60:]]
x_train, y_train = x_train[shuffled[:-60]], y_train[shuffled[:-60]]


def get_uncompiled_model():
    inputs = keras.Input(shape=(29, 12), name="frames")
    x = layers.Masking(name="masking")(inputs)
    x = layers.LSTM(32, name="lstm")(x)
    outputs = layers.Dense(9, activation="softmax", name="predictions")(x)
    return keras.Model(inputs=inputs, outputs=outputs)


def get_compiled_model():
    model = get_uncompiled_model()
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=5e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


# From beginning to end.
model = get_compiled_model()
history = model.fit(x_train, y_train, batch_size=16, epochs=20, validation_data=(x_val, y_val), verbose=0)
assert {"loss", "val_sparse_categorical_accuracy"} < set(history.history)
results = model.evaluate(x_test, y_test, batch_size=128, verbose=0)
print("test loss, test accuracy:", [round(float(v), 4) for v in results])
assert results[1] > 0.85
assert model.predict(x_test[:3], verbose=0).shape == (3, 9)


# Losses of one's own, as function and as class.
def custom_mean_squared_error(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


class CustomMSE(keras.losses.Loss):
    """Also draws predictions towards 0.5."""

    def __init__(self, regularization_factor=0.1, name="custom_mse"):
        super().__init__(name=name)
        self.regularization_factor = regularization_factor

    def call(self, y_true, y_pred):
        mse = ops.mean(ops.square(y_true - y_pred), axis=-1)
        return mse + ops.mean(ops.square(0.5 - y_pred), axis=-1) * self.regularization_factor


class CategoricalTruePositives(keras.metrics.Metric):
    """How many samples were put into their class."""

    def __init__(self, name="categorical_true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.true_positives = self.add_weight(shape=(), name="ctp", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = ops.cast(ops.equal(ops.argmax(y_true, axis=1), ops.argmax(y_pred, axis=1)), "float32")
        if sample_weight is not None:
            values = values * ops.cast(sample_weight, "float32")
        self.true_positives.assign_add(ops.sum(values))

    def result(self):
        return self.true_positives

    def reset_state(self):
        self.true_positives.assign(0.0)


y_train_one_hot = keras.utils.to_categorical(y_train, 9)
for loss in (custom_mean_squared_error, CustomMSE()):
    model = get_uncompiled_model()
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss=loss, metrics=[CategoricalTruePositives()])
    history = model.fit(x_train, y_train_one_hot, batch_size=16, epochs=40, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["categorical_true_positives"][-1] > 0.9 * len(x_train)
    score, hits = model.evaluate(x_test, keras.utils.to_categorical(y_test, 9), verbose=0)
    print(f"a loss of one's own: {score:.4f}, {hits:.0f} of {len(x_test)} right")
