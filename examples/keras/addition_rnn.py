# SPDX-License-Identifier: BSD-3-Clause
"""Adding two numbers given as text: "23+61" becomes "84", character by character (Keras's `addition_rnn`)."""

import numpy as np

import lstmfast as keras
from lstmfast import layers

DIGITS = 2
QUESTION, ANSWER = 2 * DIGITS + 1, DIGITS + 1
CHARACTERS = " +0123456789"
EPOCHS, TARGET = 60, 0.97

keras.utils.set_random_seed(3)


def one_hot(text, width):
    """Text, padded with spaces, as a (width, characters) array."""
    return np.eye(len(CHARACTERS), dtype="float32")[[CHARACTERS.index(c) for c in text.ljust(width)]]


def decode(rows):
    return "".join(CHARACTERS[i] for i in rows.argmax(axis=-1))


# All pairs of numbers; the question is turned round, so that both numbers' last digits come late.
pairs = [(a, b) for a in range(10**DIGITS) for b in range(10**DIGITS)]
np.random.shuffle(pairs)
x = np.stack([one_hot(f"{a}+{b}".ljust(QUESTION)[::-1], QUESTION) for a, b in pairs])
y = np.stack([one_hot(str(a + b), ANSWER) for a, b in pairs])
train, held = slice(0, 9000), slice(9000, None)

model = keras.Sequential()
model.add(layers.Input((QUESTION, len(CHARACTERS))))
model.add(layers.LSTM(64))  # reads the question
model.add(layers.RepeatVector(ANSWER))
model.add(layers.LSTM(64, return_sequences=True))  # writes the answer
model.add(layers.Dense(len(CHARACTERS), activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(0.005), metrics=["accuracy"])
model.summary()

accuracy = 0.0
for epoch in range(1, EPOCHS + 1):
    history = model.fit(x[train], y[train], batch_size=128, validation_data=(x[held], y[held]), verbose=0)
    accuracy = history.history["val_accuracy"][-1]
    if epoch % 10 == 0 or accuracy > TARGET:
        print(f"epoch {epoch}: accuracy of held-out characters {accuracy:.4f}")
    if accuracy > TARGET:
        break

for question, answer, guess in zip(
    x[held][:5], y[held][:5], model.predict(x[held][:5], verbose=0), strict=True
):
    right = "right" if decode(answer) == decode(guess) else "wrong"
    print(decode(question)[::-1], "=", decode(guess), right)
assert accuracy > TARGET, accuracy
