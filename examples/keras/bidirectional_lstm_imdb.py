# SPDX-License-Identifier: BSD-3-Clause
"""Two bidirectional LSTMs judge reviews (Keras's `bidirectional_lstm_imdb`), here made from a small grammar; texts go in.

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
MAX_FEATURES, MAXLEN = 40, 24

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
        words = [*words[:-1], words[-1] + ",", "but", *more]
    return " ".join(words).capitalize() + ".", sign


data = [review() for _ in range(4000)]
print(data[0])
texts = np.array([text for text, _ in data])
y = np.array([sign for _, sign in data])
vectorize = layers.TextVectorization(MAX_FEATURES, output_sequence_length=MAXLEN)
vectorize.adapt(texts[:3200])
x_train, y_train, x_val, y_val = vectorize(texts[:3200]), y[:3200], vectorize(texts[3200:]), y[3200:]
print(len(x_train), "training sequences,", len(x_val), "validation sequences")

inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(MAX_FEATURES, 16, mask_zero=True)(inputs)
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

end_to_end = keras.Sequential([keras.Input((1,), dtype="string"), vectorize, model])
new = ["The film was great.", "The film was NOT great!", "Very dull, but really lovely"]
print(end_to_end.predict(new, verbose=0).round(2))
