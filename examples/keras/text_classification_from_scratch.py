# SPDX-License-Identifier: BSD-3-Clause
"""From raw text to a class by convolutions (Keras's `text_classification_from_scratch`): prose or program?

The texts are windows of Python's own documentation and of the standard library's source, character by character.
"""

import inspect
import json
import textwrap
from pydoc_data import topics

import numpy as np

import lstmfast as keras
from lstmfast import layers

WINDOW, VOCABULARY = 100, 128

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

prose = " ".join(" ".join(topics.topics.values()).split())
program = " ".join(
    " ".join(inspect.getsource(module) for module in (textwrap, json, inspect, json.decoder)).split()
)


def windows(text, start, end, number):
    """Windows that begin between two fractions of a text, as ids of characters."""
    begins = rng.integers(int(start * len(text)), int(end * len(text)) - WINDOW, number)
    ids = np.minimum(np.array([ord(c) for c in text]), VOCABULARY - 1)
    return np.stack([ids[b : b + WINDOW] for b in begins])


def split(start, end, number):
    x = np.concatenate([windows(prose, start, end, number), windows(program, start, end, number)])
    y = np.repeat([0, 1], number)
    order = rng.permutation(2 * number)
    return x[order], y[order]


x_train, y_train = split(0.0, 0.8, 1500)
x_test, y_test = split(0.8, 1.0, 300)  # other parts of the texts

inputs = keras.Input(shape=(None,), dtype="int64")
x = layers.Embedding(VOCABULARY, 16)(inputs)
x = layers.Dropout(0.5)(x)
x = layers.Conv1D(32, 7, padding="valid", activation="relu", strides=3)(x)
x = layers.Conv1D(32, 7, padding="valid", activation="relu", strides=3)(x)
x = layers.GlobalMaxPooling1D()(x)
x = layers.Dense(32, activation="relu")(x)
x = layers.Dropout(0.5)(x)
predictions = layers.Dense(1, activation="sigmoid", name="predictions")(x)
model = keras.Model(inputs, predictions)

model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=32, validation_split=0.1, epochs=8, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"accuracy on parts never seen: {accuracy:.4f}")
assert accuracy > 0.9, accuracy
