# SPDX-License-Identifier: BSD-3-Clause
"""A Transformer block tells sentences apart whose words are the same (Keras's `text_classification_with_transformer`).

Each sentence names two persons and a deed; the class is who did it, so places of words matter.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers, ops

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


class TransformerBlock(layers.Layer):
    """Attention and a small network on every word, each with a way round it."""

    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
        self.ffn = keras.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        attention = self.dropout1(self.att(inputs, inputs))
        out1 = self.layernorm1(inputs + attention)
        return self.layernorm2(out1 + self.dropout2(self.ffn(out1)))


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        positions = ops.arange(start=0, stop=ops.shape(x)[-1], step=1)
        return self.token_emb(x) + self.pos_emb(positions)


data = [sentence() for _ in range(3000)]
x = keras.utils.pad_sequences([words for words, _ in data], maxlen=MAXLEN)
y = np.array([who for _, who in data])

inputs = layers.Input(shape=(MAXLEN,))
h = TokenAndPositionEmbedding(MAXLEN, len(VOCABULARY), EMBED_DIM)(inputs)
h = TransformerBlock(EMBED_DIM, NUM_HEADS, FF_DIM)(h)
h = layers.GlobalAveragePooling1D()(h)
h = layers.Dropout(0.1)(h)
h = layers.Dense(20, activation="relu")(h)
h = layers.Dropout(0.1)(h)
outputs = layers.Dense(len(NAMES), activation="softmax")(h)
model = keras.Model(inputs=inputs, outputs=outputs)

model.compile(
    optimizer=keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
history = model.fit(
    x[:2400],
    y[:2400],
    batch_size=32,
    epochs=20,
    validation_data=(x[2400:], y[2400:]),
    verbose=2,
)
accuracy = history.history["val_accuracy"][-1]
print(f"accuracy of new sentences: {accuracy:.4f} (by chance {1 / len(NAMES):.2f}, by words alone 0.50)")
assert accuracy > 0.95, accuracy
