# SPDX-License-Identifier: BSD-3-Clause
"""Names of persons, places and firms in sentences, by a Transformer (Keras's `ner_transformers`).

The sentences come from patterns; half of the names are of no use by themselves, for they name a person in one
sentence and a place in another. Padding counts neither in the attention nor in the loss.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
BOTH = ["paris", "florence", "sydney", "austin", "jordan", "carolina"]
FIRST, LAST = ["ann", "bob", "clara", "dan"], ["smith", "brown", "miller", "stone"]
CITY, FIRM = ["rome", "oslo", "lima", "cairo"], ["acme", "globex", "initech", "hooli"]
PATTERNS = [
    "PER lives in LOC",
    "PER works for ORG in LOC",
    "yesterday ORG opened a shop in LOC near LOC",
    "we met PER and PER at ORG",
    "from LOC to LOC the train took hours said PER",
    "ORG hired PER",
]
MAXLEN, EMBED_DIM, NUM_HEADS = 16, 32, 4

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def entity(kind):
    if kind == "PER":
        return [rng.choice(FIRST + BOTH), *([rng.choice(LAST)] if rng.random() < 0.4 else [])]
    if kind == "LOC":
        return [*(["new"] if rng.random() < 0.3 else []), rng.choice(CITY + BOTH)]
    return [rng.choice(FIRM), *(["inc"] if rng.random() < 0.4 else [])]


def sentence():
    words, tags = [], []
    for word in str(rng.choice(PATTERNS)).split():
        parts = entity(word) if word.isupper() else [word]
        words += parts
        tags += [f"{'BI'[min(i, 1)]}-{word}" if word.isupper() else "O" for i in range(len(parts))]
    return words, tags


data = [sentence() for _ in range(1500)]
vocabulary = ["<pad>", *sorted({str(w) for words, _ in data for w in words})]
x = keras.utils.pad_sequences(
    [[vocabulary.index(w) for w in words] for words, _ in data], maxlen=MAXLEN, padding="post"
)
y = keras.utils.pad_sequences(
    [[TAGS.index(t) for t in tags] for _, tags in data], maxlen=MAXLEN, padding="post"
)
places = np.broadcast_to(np.arange(MAXLEN), x.shape)
counts = (x != 0).astype("float32")  # padding has no weight in the loss


def transformer_block(x, rate=0.1):
    attn_output = layers.MultiHeadAttention(num_heads=NUM_HEADS, key_dim=EMBED_DIM)(x, x)
    out1 = layers.LayerNormalization(epsilon=1e-6)(layers.add([x, layers.Dropout(rate)(attn_output)]))
    ffn = keras.Sequential([layers.Dense(64, activation="relu"), layers.Dense(EMBED_DIM)])
    return layers.LayerNormalization(epsilon=1e-6)(layers.add([out1, layers.Dropout(rate)(ffn(out1))]))


words_in = keras.Input((MAXLEN,), dtype="int32", name="words")
places_in = keras.Input((MAXLEN,), dtype="int32", name="places")
token_emb = layers.Embedding(len(vocabulary), EMBED_DIM, mask_zero=True)(words_in)
pos_emb = layers.Embedding(MAXLEN, EMBED_DIM)(places_in)
h = layers.add([token_emb, pos_emb])
h = transformer_block(h)
h = layers.Dropout(0.1)(h)
h = layers.Dense(32, activation="relu")(h)
outputs = layers.Dense(len(TAGS), activation="softmax")(h)
model = keras.Model([words_in, places_in], outputs)

model.compile(
    optimizer=keras.optimizers.Adam(0.003),
    loss=keras.losses.SparseCategoricalCrossentropy(),
    weighted_metrics=["accuracy"],
)
model.fit(
    [x[:1200], places[:1200]], y[:1200], sample_weight=counts[:1200], batch_size=32, epochs=8, verbose=0
)
predicted = model.predict([x[1200:], places[1200:]], verbose=0).argmax(axis=-1)
real, known = y[1200:], x[1200:] != 0
entities = known & (real > 0)
recall = np.mean(predicted[entities] == real[entities])
both = np.isin(x[1200:], [vocabulary.index(w) for w in BOTH])
print("of", " ".join(vocabulary[i] for i in x[1200] if i), ":", [TAGS[i] for i in predicted[0][known[0]]])
print(f"tags right {np.mean(predicted[known] == real[known]):.4f}, of entities {recall:.4f}")
print(f"of words that are a person or a place {np.mean(predicted[both] == real[both]):.4f}")
assert np.mean(predicted[both] == real[both]) > 0.95
