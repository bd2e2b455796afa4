# SPDX-License-Identifier: BSD-3-Clause
"""A Transformer block tells sentences apart whose words are the same (Keras's `text_classification_with_transformer`).

Each sentence names two persons and a deed; the class is who did it, so places of words matter.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

NAMES = ["ann", "bob", "cleo", "dan", "eve", "finn"]
DEEDS = ["called", "saw", "met", "thanked", "followed"]
FILLERS = ["yesterday", "again", "gladly", "in", "the", "park", "at", "noon"]
VOCABULARY = ["<pad>", "by", "was", *NAMES, *DEEDS, *FILLERS]
MAXLEN = 12
EMBED_DIM, NUM_HEADS, FF_DIM = 32, 2, 32

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def sentence():
    one, other = rng.choice(len(NAMES), 2, replace=False)
    deed, passive = rng.choice(DEEDS), bool(rng.integers(2))
    middle = ["was", deed, "by"] if passive else [deed]
    lead = list(rng.choice(FILLERS, rng.integers(0, 3)))
    words = [*lead, NAMES[one], *middle, NAMES[other], *rng.choice(FILLERS, rng.integers(0, 3))]
    return [VOCABULARY.index(w) for w in words], other if passive else one


def transformer_block(inputs, embed_dim, num_heads, ff_dim, rate=0.1):
    """Attention and a small network on every word, each with a way round it."""
    attention = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)(inputs, inputs)
    attention = layers.Dropout(rate)(attention)
    out1 = layers.LayerNormalization(epsilon=1e-6)(inputs + attention)
    ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
    ffn_output = layers.Dropout(rate)(ffn(out1))
    return layers.LayerNormalization(epsilon=1e-6)(out1 + ffn_output)


data = [sentence() for _ in range(3000)]
x = keras.utils.pad_sequences([words for words, _ in data], maxlen=MAXLEN)
y = np.array([who for _, who in data])
places = np.broadcast_to(np.arange(MAXLEN), x.shape)

inputs = layers.Input(shape=(MAXLEN,), dtype="int32", name="words")
positions = layers.Input(shape=(MAXLEN,), dtype="int32", name="places")
x_emb = layers.Embedding(len(VOCABULARY), EMBED_DIM)(inputs)
x_emb = x_emb + layers.Embedding(MAXLEN, EMBED_DIM)(positions)
h = transformer_block(x_emb, EMBED_DIM, NUM_HEADS, FF_DIM)
h = layers.GlobalAveragePooling1D()(h)
h = layers.Dropout(0.1)(h)
h = layers.Dense(20, activation="relu")(h)
h = layers.Dropout(0.1)(h)
outputs = layers.Dense(len(NAMES), activation="softmax")(h)
model = keras.Model(inputs=[inputs, positions], outputs=outputs)

model.compile(
    optimizer=keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
history = model.fit(
    [x[:2400], places[:2400]],
    y[:2400],
    batch_size=32,
    epochs=20,
    validation_data=([x[2400:], places[2400:]], y[2400:]),
    verbose=2,
)
accuracy = history.history["val_accuracy"][-1]
print(f"accuracy of new sentences: {accuracy:.4f} (by chance {1 / len(NAMES):.2f}, by words alone 0.50)")
assert accuracy > 0.95, accuracy
