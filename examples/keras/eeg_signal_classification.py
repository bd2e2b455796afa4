# SPDX-License-Identifier: BSD-3-Clause
"""Which band of frequencies a noisy signal holds (Keras's `eeg_signal_classification`), with weights of classes.

Generated signals of four channels; classes are of very different size, as they are in recordings of people.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

LENGTH, CHANNELS = 128, 4
BANDS = {"theta": (0.03, 0.05), "alpha": (0.07, 0.1), "beta": (0.14, 0.2)}
SHARE = [0.7, 0.2, 0.1]

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def signals(number, share):
    y = rng.choice(len(BANDS), number, p=share)
    low, high = np.array(list(BANDS.values()))[y].T
    time = np.arange(LENGTH)[None, :, None]
    frequency = rng.uniform(low, high)[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (number, 1, CHANNELS))
    x = np.sin(2 * np.pi * frequency * time + phase) + rng.normal(0, 1.0, (number, LENGTH, CHANNELS))
    return x.astype("float32"), y


x_train, y_train = signals(1200, SHARE)
x_test, y_test = signals(300, [1 / 3] * 3)
counts = np.bincount(y_train)
class_weight = {i: len(y_train) / (len(counts) * n) for i, n in enumerate(counts)}
print("recordings of each class:", dict(zip(BANDS, counts.tolist(), strict=True)))

input_layer = keras.Input(shape=(LENGTH, CHANNELS))
x = layers.Conv1D(filters=16, kernel_size=9, strides=2, activation="relu", padding="same")(input_layer)
x = layers.BatchNormalization()(x)
x = layers.Conv1D(filters=32, kernel_size=5, strides=2, activation="relu", padding="same")(x)
x = layers.BatchNormalization()(x)
x = layers.Conv1D(filters=32, kernel_size=5, strides=2, activation="relu", padding="same")(x)
x = layers.BatchNormalization()(x)
x = layers.Dropout(0.2)(x)
x = layers.Flatten()(x)
x = layers.Dense(32, activation="relu", kernel_regularizer=keras.regularizers.L2())(x)
x = layers.Dropout(0.2)(x)
output_layer = layers.Dense(len(BANDS), activation="softmax")(x)
model = keras.Model(inputs=input_layer, outputs=output_layer)

model.compile(
    optimizer=keras.optimizers.Adam(amsgrad=True, learning_rate=0.002),
    loss=keras.losses.CategoricalCrossentropy(),
    metrics=[
        keras.metrics.CategoricalAccuracy(),
        keras.metrics.AUC(),
        keras.metrics.Precision(),
        keras.metrics.Recall(),
    ],
)
model.fit(
    x_train,
    keras.utils.to_categorical(y_train, len(BANDS)),
    epochs=15,
    batch_size=32,
    class_weight=class_weight,
    callbacks=[
        keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.2, patience=3, min_lr=0.0001),
    ],
    verbose=0,
)
results = model.evaluate(x_test, keras.utils.to_categorical(y_test, len(BANDS)), verbose=0)
loss, accuracy, auc, precision, recall = results
print(
    f"balanced test: accuracy {accuracy:.3f}, AUC {auc:.3f}, precision {precision:.3f}, recall {recall:.3f}"
)
assert accuracy > 0.9, accuracy
