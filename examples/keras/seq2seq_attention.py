# SPDX-License-Identifier: BSD-3-Clause
"""An encoder and a decoder with attention turn sequences round (after Keras's examples of translation).

What the decoder has read at each step is looked up by `Attention`; the scores show that it reads backwards.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

LENGTH, TOKENS, UNITS, START = 10, 12, 48, 11

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
source = rng.integers(1, START, (3000, LENGTH))
target = source[:, ::-1]
given = np.concatenate([np.full((3000, 1), START), target[:, :-1]], axis=1)  # what the decoder wrote before

encoder_inputs = keras.Input((LENGTH,), dtype="int32", name="source")
decoder_inputs = keras.Input((LENGTH,), dtype="int32", name="given")
embedding = layers.Embedding(TOKENS, 24)
encoded, forward_h, forward_c, backward_h, backward_c = layers.Bidirectional(
    layers.LSTM(UNITS // 2, return_sequences=True, return_state=True)
)(embedding(encoder_inputs))
state = [layers.concatenate([forward_h, backward_h]), layers.concatenate([forward_c, backward_c])]
decoded = layers.LSTM(UNITS, return_sequences=True)(embedding(decoder_inputs), initial_state=state)
context, scores = layers.Attention(use_scale=True)([decoded, encoded], return_attention_scores=True)
joined = layers.Concatenate()([decoded, context])
hidden = layers.Dense(UNITS, activation="tanh")(joined)
outputs = layers.Dense(TOKENS, activation="softmax")(hidden)
model = keras.Model([encoder_inputs, decoder_inputs], outputs)

model.compile(
    optimizer=keras.optimizers.Adam(0.005), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
model.fit([source[:2800], given[:2800]], target[:2800], batch_size=64, epochs=14, verbose=0)

# The decoder on its own: it is given what it wrote.
written = np.full((200, LENGTH + 1), START)
for t in range(LENGTH):
    probabilities = model.predict([source[2800:], written[:, :LENGTH]], verbose=0)
    written[:, t + 1] = probabilities[:, t].argmax(axis=-1)
right = float(np.mean((written[:, 1:] == target[2800:]).all(axis=1)))

looking = keras.Model(model.inputs, scores)
looked = looking.predict([source[2800:], written[:, :LENGTH]], verbose=0).mean(axis=0)
print("where it looks at each step:", looked.argmax(axis=-1).tolist())
print(f"{right:.1%} of new sequences are turned round without a mistake")
assert right > 0.95, right
assert np.mean(np.abs(looked.argmax(axis=-1) - np.arange(LENGTH)[::-1]) <= 1) > 0.8
