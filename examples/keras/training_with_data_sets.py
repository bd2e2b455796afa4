# SPDX-License-Identifier: BSD-3-Clause
"""The second half of Keras's guide `training_with_built_in_methods`: weights, data sets, schedules, callbacks."""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras
from lstmfast import layers

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


# Weights of classes and of samples: speaker 5 counts twice.
class_weight = {i: 2.0 if i == 5 else 1.0 for i in range(9)}
sample_weight = np.where(y_train == 5, 2.0, 1.0)
losses = []
for weights in ({"class_weight": class_weight}, {"sample_weight": sample_weight}):
    keras.utils.set_random_seed(1)
    model = get_compiled_model()
    losses.append(model.fit(x_train, y_train, batch_size=16, epochs=2, verbose=0, **weights).history["loss"])
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


class Utterances(keras.utils.PyDataset):
    """Batches on demand."""

    def __init__(self, x, y, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.batch_size = x, y, batch_size

    def __len__(self):
        return int(np.ceil(len(self.x) / self.batch_size))

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.x[rows], self.y[rows]


# A data set, a schedule of the learning rate, callbacks that stop early and keep the best.
model = get_uncompiled_model()
schedule = keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=100, decay_rate=0.8, staircase=True)
model.compile(
    optimizer=keras.optimizers.RMSprop(learning_rate=schedule),
    loss="sparse_categorical_crossentropy",
    metrics=["sparse_categorical_accuracy"],
)
with tempfile.TemporaryDirectory() as folder:
    best = Path(folder) / "best.keras"
    callbacks = [
        keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=1e-3, patience=5, verbose=1),
        keras.callbacks.ModelCheckpoint(filepath=best, save_best_only=True, monitor="val_loss"),
    ]
    model.fit(
        Utterances(x_train, y_train, 16),
        epochs=40,
        validation_data=Utterances(x_val, y_val, 16),
        callbacks=callbacks,
        verbose=0,
    )
    model = keras.models.load_model(best)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"accuracy of the best model: {accuracy:.4f}")
assert accuracy > 0.88, accuracy
