# SPDX-License-Identifier: BSD-3-Clause
"""Words' vectors learned elsewhere help where labels are few (Keras's `pretrained_word_embeddings`).

The vectors come from which words stand together in many sentences without labels (a decomposition of their counts);
then sixty labelled sentences teach a network of convolutions on frozen vectors about all words of a topic.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

TOPICS, PER_TOPIC, COMMON, LENGTH, EMBEDDING_DIM = 4, 40, 40, 12, 16
NUM_TOKENS = 2 + TOPICS * PER_TOPIC + COMMON  # 0 is padding, 1 an unknown word

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def sentences(number):
    """Words of a topic among common ones; the topic."""
    topic = rng.integers(0, TOPICS, number)
    own = 2 + topic[:, None] * PER_TOPIC + rng.integers(0, PER_TOPIC, (number, LENGTH))
    common = 2 + TOPICS * PER_TOPIC + rng.integers(0, COMMON, (number, LENGTH))
    return np.where(rng.random((number, LENGTH)) < 0.3, own, common), topic


unlabelled, _ = sentences(6000)
together = np.zeros((NUM_TOKENS, NUM_TOKENS))
for i in range(LENGTH):
    for j in range(LENGTH):
        if i != j:
            np.add.at(together, (unlabelled[:, i], unlabelled[:, j]), 1)
share = together.sum(axis=1) / together.sum()
expected = np.outer(share, share) * together.sum()
positive = np.log(np.maximum(together, 1e-9) / np.maximum(expected, 1e-9)).clip(0)
u, s, _ = np.linalg.svd(positive)
embedding_matrix = (u[:, :EMBEDDING_DIM] * np.sqrt(s[:EMBEDDING_DIM])).astype("float32")

x_train, y_train = sentences(60)
x_test, y_test = sentences(1000)


def classifier(embedding_layer):
    int_sequences_input = keras.Input(shape=(None,), dtype="int32")
    x = embedding_layer(int_sequences_input)
    x = layers.Conv1D(32, 3, activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    x = layers.Dense(32, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    model = keras.Model(int_sequences_input, layers.Dense(TOPICS, activation="softmax")(x))
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.RMSprop(0.003),
        metrics=["acc"],
    )
    model.fit(x_train, y_train, batch_size=16, epochs=40, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


embedding_layer = layers.Embedding(NUM_TOKENS, EMBEDDING_DIM, trainable=False)
embedding_layer.build((1,))
embedding_layer.set_weights([embedding_matrix])
with_vectors = classifier(embedding_layer)
assert (np.array(embedding_layer.get_weights()[0]) == embedding_matrix).all()
alone = classifier(layers.Embedding(NUM_TOKENS, EMBEDDING_DIM))
given = layers.Embedding(
    NUM_TOKENS, EMBEDDING_DIM, embeddings_initializer=keras.initializers.Constant(embedding_matrix)
)
tuned = classifier(given)  # begins with the vectors, and changes them
print(f"accuracy with vectors {with_vectors:.3f}, with vectors fine-tuned {tuned:.3f}, without {alone:.3f}")
assert with_vectors > 0.8 and with_vectors > alone + 0.1, (with_vectors, alone)
