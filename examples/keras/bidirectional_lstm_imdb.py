# SPDX-License-Identifier: BSD-3-Clause
"""Two bidirectional LSTMs judge reviews (Keras's `bidirectional_lstm_imdb`), here made from a small grammar.

A word's sign turns round behind "not", and what stands behind "but" counts: counting words is not enough.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

GOOD = ["great", "lovely", "brilliant", "moving", "funny", "superb", "charming", "gripping"]
BAD = ["dull", "awful", "boring", "clumsy", "tedious", "weak", "noisy", "flat"]
PLAIN = [
    "the",
    "film",
    "plot",
    "acting",
    "music",
    "and",
    "was",
    "really",
    "quite",
    "very",
    "cast",
    "its",
    "story",
]
VOCABULARY = ["<pad>", "not", "but", *GOOD, *BAD, *PLAIN]
MAXLEN = 24

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def clause():
    """Some words and the sign of what they say."""
    sign = int(rng.integers(2))
    negated = bool(rng.integers(2))
    word = rng.choice(GOOD if sign != negated else BAD)
    plain = list(rng.choice(PLAIN, rng.integers(2, 6)))
    return [*plain, *(["not"] if negated else []), word], sign


def review():
    words, sign = clause()
    if rng.random() < 0.5:
        more, sign = clause()
        words = [*words, "but", *more]
    return [VOCABULARY.index(w) for w in words], sign


data = [review() for _ in range(4000)]
x = keras.utils.pad_sequences([words for words, _ in data], maxlen=MAXLEN)
y = np.array([sign for _, sign in data])
x_train, y_train, x_val, y_val = x[:3200], y[:3200], x[3200:], y[3200:]
print(len(x_train), "training sequences,", len(x_val), "validation sequences")

inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(len(VOCABULARY), 16)(inputs)
x = layers.Bidirectional(layers.LSTM(16, return_sequences=True))(x)
x = layers.Bidirectional(layers.LSTM(16))(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)
model.summary()

model.compile(optimizer=keras.optimizers.Adam(0.005), loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(x_train, y_train, batch_size=32, epochs=6, validation_data=(x_val, y_val), verbose=2)
accuracy = history.history["val_accuracy"][-1]
print(f"accuracy of new reviews: {accuracy:.4f}")
assert accuracy > 0.97, accuracy
