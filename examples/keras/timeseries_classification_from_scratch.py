# SPDX-License-Identifier: BSD-3-Clause
"""A fully convolutional network hears a faulty engine (Keras's `timeseries_classification_from_scratch`).

A faulty engine's noise has a faint second tone beside the main one; recordings are generated.
"""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras

LENGTH, EPOCHS, BATCH = 120, 15, 32

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def recordings(number):
    time = np.arange(LENGTH)
    y = rng.integers(0, 2, number)
    frequency = rng.uniform(0.02, 0.06, (number, 1))
    phase = rng.uniform(0, 2 * np.pi, (2, number, 1))
    x = np.sin(2 * np.pi * frequency * time + phase[0])
    x += 0.5 * y[:, None] * np.sin(2 * np.pi * 5.3 * frequency * time + phase[1])
    x += rng.normal(0, 0.3, x.shape)
    x = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    return x.astype("float32")[..., None], y


x_train, y_train = recordings(1000)
x_test, y_test = recordings(400)


def make_model(input_shape, num_classes):
    input_layer = keras.layers.Input(input_shape)
    x = input_layer
    for _ in range(3):
        x = keras.layers.Conv1D(filters=32, kernel_size=3, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
    gap = keras.layers.GlobalAveragePooling1D()(x)
    output_layer = keras.layers.Dense(num_classes, activation="softmax")(gap)
    return keras.models.Model(inputs=input_layer, outputs=output_layer)


model = make_model(x_train.shape[1:], 2)
with tempfile.TemporaryDirectory() as folder:
    best = Path(folder) / "best_model.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(best, save_best_only=True, monitor="val_loss"),
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=5, min_lr=0.0001),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=8, verbose=1),
    ]
    model.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss="sparse_categorical_crossentropy",
        metrics=["sparse_categorical_accuracy"],
    )
    history = model.fit(
        x_train,
        y_train,
        batch_size=BATCH,
        epochs=EPOCHS,
        callbacks=callbacks,
        validation_split=0.2,
        verbose=0,
    )
    model = keras.models.load_model(best)

test_loss, test_accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"best of {len(history.epoch)} epochs: loss {test_loss:.4f}, accuracy {test_accuracy:.4f}")
assert test_accuracy > 0.93, test_accuracy
