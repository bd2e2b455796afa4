# SPDX-License-Identifier: BSD-3-Clause
"""Reading digits out of a strip without knowing where they stand: CTC (Keras's `captcha_ocr` and `ctc_asr`).

Digits are drawn column by column in a small font, with gaps, stretched and noisy; labels are only their order.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

# Five rows of three points for each digit, each row an octal number.
ROWS = ["75557", "26227", "71747", "71717", "55711", "74717", "74757", "71222", "75757", "75717"]
GLYPHS = [np.array([[int(row) >> bit & 1 for row in rows] for bit in (2, 1, 0)]) for rows in ROWS]
WIDTH, LONGEST = 44, 5

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def strip():
    """A picture as WIDTH columns of five points, and the digits in it, counted from 1."""
    digits = rng.integers(0, 10, rng.integers(2, LONGEST + 1))
    columns = [np.zeros((rng.integers(1, 4), 5))]
    for d in digits:
        columns += [np.repeat(GLYPHS[d], rng.integers(1, 3, 3), axis=0), np.zeros((rng.integers(1, 3), 5))]
    picture = np.concatenate(columns)[:WIDTH]
    picture = np.pad(picture, ((0, WIDTH - len(picture)), (0, 0)))
    return picture + rng.normal(0, 0.15, picture.shape), digits + 1


strips = [strip() for _ in range(3000)]
x = np.stack([picture for picture, _ in strips]).astype("float32")
y = keras.utils.pad_sequences([digits for _, digits in strips], maxlen=LONGEST, padding="post")
train, test = slice(0, 2800), slice(2800, None)

inputs = keras.Input(shape=(WIDTH, 5), name="columns")
h = layers.Conv1D(32, 3, activation="relu", padding="same")(inputs)
h = layers.Bidirectional(layers.LSTM(32, return_sequences=True))(h)
outputs = layers.Dense(11, name="digits_and_blank")(h)  # logits; class 0 is the blank
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.Adam(0.005), loss=keras.losses.CTC())
history = model.fit(x[train], y[train], batch_size=64, epochs=15, validation_split=0.05, verbose=0)
print(f"validation loss {history.history['val_loss'][-1]:.3f}")

logits = model.predict(x[test], verbose=0)
paths, scores = keras.ops.ctc_decode(logits, np.full(len(logits), WIDTH), strategy="greedy", mask_index=0)
read = [row[row >= 0] - 1 for row in np.array(paths)[0]]
real = [row[row > 0] - 1 for row in y[test]]
right = np.mean([len(a) == len(b) and (a == b).all() for a, b in zip(read, real, strict=True)])
for a, b in list(zip(read, real, strict=True))[:4]:
    print("read", "".join(map(str, a)), "for", "".join(map(str, b)))
print(f"{right:.1%} of the strips are read without a mistake")
assert right > 0.95, right
