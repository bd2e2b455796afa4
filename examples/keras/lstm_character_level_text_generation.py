# SPDX-License-Identifier: BSD-3-Clause
"""An LSTM writes like Python's documentation, letter by letter (Keras's `lstm_character_level_text_generation`)."""

from pydoc_data import topics

import numpy as np

import lstmfast as keras
from lstmfast import layers

MAXLEN, STEP, EPOCHS, BATCH = 30, 3, 5, 128

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

text = " ".join(" ".join(topics.topics[key] for key in sorted(topics.topics)[:24]).lower().split())
text = "".join(c for c in text if c.isascii())[:24000]
chars = sorted(set(text))
char_indices = {c: i for i, c in enumerate(chars)}
print("corpus length:", len(text), "characters:", len(chars))

# Overlapping sentences, and the character that follows each.
starts = np.arange(0, len(text) - MAXLEN, STEP)
ids = np.array([char_indices[c] for c in text])
x = np.eye(len(chars), dtype="bool")[ids[starts[:, None] + np.arange(MAXLEN)]]
y = np.eye(len(chars), dtype="bool")[ids[starts + MAXLEN]]

model = keras.Sequential(
    [
        keras.Input(shape=(MAXLEN, len(chars))),
        layers.LSTM(96),
        layers.Dense(len(chars), activation="softmax"),
    ]
)
optimizer = keras.optimizers.RMSprop(learning_rate=0.01)
model.compile(loss="categorical_crossentropy", optimizer=optimizer)


def sample(preds, temperature=1.0):
    """A character's number drawn with the probabilities, sharpened by a low temperature."""
    preds = np.exp(np.log(np.asarray(preds, "float64") + 1e-12) / temperature)
    return int(rng.choice(len(preds), p=preds / preds.sum()))


def generate(sentence, length, diversity):
    generated = ""
    for _ in range(length):
        x_pred = np.zeros((1, MAXLEN, len(chars)), "float32")
        x_pred[0, np.arange(MAXLEN), [char_indices[c] for c in sentence]] = 1.0
        next_char = chars[sample(model.predict(x_pred, verbose=0)[0], diversity)]
        sentence = sentence[1:] + next_char
        generated += next_char
    return generated


losses = []
for epoch in range(EPOCHS):
    history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
    losses.append(history.history["loss"][-1])
    print(f"epoch {epoch}: loss {losses[-1]:.3f}")

seed = text[1000 : 1000 + MAXLEN]
for diversity in (0.2, 0.5, 1.0):
    print(f"diversity {diversity}: {seed!r} ... {generate(seed, 120, diversity)!r}")

# The entropy of single letters is what a model without memory can reach.
share = np.bincount(ids) / len(ids)
entropy = float(-(share * np.log(share)).sum())
print(f"loss {losses[-1]:.3f}, entropy of letters {entropy:.3f}")
assert losses[-1] < 0.7 * entropy, (losses[-1], entropy)
