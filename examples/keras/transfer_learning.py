# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `transfer_learning`: freeze a trained base, train a new head, then fine-tune all.

The base learns six of nine speakers' voices; the other three have nine utterances each.
"""

import numpy as np

import lstmfast as keras

keras.utils.set_random_seed(0)

# How `trainable` counts weights: BatchNormalization has some that training never changes by gradients.
layer = keras.layers.BatchNormalization()
layer.build((None, 4))
assert (len(layer.weights), len(layer.trainable_weights), len(layer.non_trainable_weights)) == (4, 2, 2)
layer.trainable = False
assert (len(layer.trainable_weights), len(layer.non_trainable_weights)) == (0, 4)

x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()


def speakers(x, y, wanted, each=None):
    rows = np.concatenate([np.flatnonzero(y == s)[:each] for s in wanted])
    return x[rows], np.searchsorted(wanted, y[rows])


known, new = [0, 1, 2, 4, 5, 7], [3, 6, 8]

# The base model, trained on the speakers of whom there is much.
base_model = keras.Sequential(
    [
        keras.Input((29, 12)),
        keras.layers.Masking(),
        keras.layers.Bidirectional(keras.layers.LSTM(32, return_sequences=True)),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.BatchNormalization(),
    ],
    name="base",
)
inputs = keras.Input((29, 12))
source = keras.Model(inputs, keras.layers.Dense(len(known), activation="softmax")(base_model(inputs)))
source.compile(keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
source.fit(*speakers(x_train, y_train, known), batch_size=16, epochs=20, verbose=0)
print(f"the base on its own speakers: {source.evaluate(*speakers(x_test, y_test, known), verbose=0)[1]:.4f}")

# A new head on the frozen base.
base_model.trainable = False
inputs = keras.Input(shape=(29, 12))
x = base_model(inputs, training=False)
x = keras.layers.Dropout(0.2)(x)
outputs = keras.layers.Dense(len(new))(x)
model = keras.Model(inputs, outputs)
model.summary(show_trainable=True)
assert len(model.trainable_weights) == 2
before = [w.copy() for w in base_model.get_weights()]


def compile_with(rate):
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )


few = speakers(x_train, y_train, new, each=9)
test = speakers(x_test, y_test, new)
compile_with(0.01)
model.fit(*few, epochs=40, batch_size=9, verbose=0)
assert all((a == b).all() for a, b in zip(before, base_model.get_weights(), strict=True))
head = model.evaluate(*test, verbose=0)[1]

# All of it, with a low learning rate.
base_model.trainable = True
assert len(model.trainable_weights) == 10
compile_with(1e-3)
model.fit(*few, epochs=20, batch_size=9, verbose=0)
tuned = model.evaluate(*test, verbose=0)[1]
print(f"new speakers: {head:.4f} with a new head, {tuned:.4f} fine-tuned")
assert head > 0.85 and tuned > 0.9, (head, tuned)
