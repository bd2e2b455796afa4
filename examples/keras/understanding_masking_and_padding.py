# SPDX-License-Identifier: BSD-3-Clause
"""Padding and masks (Keras's guide `understanding_masking_and_padding`), each claim checked."""

import numpy as np

import lstmfast as keras
from lstmfast import layers, ops

keras.utils.set_random_seed(0)

# Padding: sequences of different lengths as one array.
raw_inputs = [[711, 632, 71], [73, 8, 3215, 55, 927], [83, 91, 1, 645, 1253, 927]]
padded_inputs = keras.utils.pad_sequences(raw_inputs, padding="post")
print(padded_inputs)
assert padded_inputs.shape == (3, 6)
assert keras.utils.pad_sequences(raw_inputs, maxlen=4).tolist()[1] == [8, 3215, 55, 927]

# Two layers make masks.
embedding = layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
masked_output = np.array(embedding(padded_inputs))
mask = np.array(embedding.compute_mask(padded_inputs))
print(mask)
assert (mask == (padded_inputs != 0)).all()

masking_layer = layers.Masking()
unmasked_embedding = np.repeat(padded_inputs[..., None], 10, axis=-1).astype("float32")
assert (np.array(masking_layer.compute_mask(unmasked_embedding)) == mask).all()

# Masks go through models of both kinds: what stands in the padding does not matter.
sequential = keras.Sequential([embedding, layers.LSTM(32)])
inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)(inputs)
functional = keras.Model(inputs, layers.LSTM(32)(x))
for model in (sequential, functional):
    long = model.predict(keras.utils.pad_sequences(raw_inputs, maxlen=20, padding="post"), verbose=0)
    for sequence, row in zip(raw_inputs, long, strict=True):
        alone = model.predict(np.array([sequence]), verbose=0)[0]
        np.testing.assert_allclose(row, alone, atol=1e-6)

# Masks given by hand.
lstm = layers.LSTM(32)
by_hand = np.array(lstm(masked_output, mask=mask))
np.testing.assert_allclose(by_hand[0], np.array(lstm(masked_output[:1, :3]))[0], atol=1e-6)


class MyActivation(layers.Layer):
    """A layer of one's own that hands masks on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return ops.relu(inputs)


class CustomEmbedding(layers.Layer):
    """An Embedding that makes its own mask."""

    def __init__(self, input_dim, output_dim, mask_zero=False, **kwargs):
        super().__init__(**kwargs)
        self.input_dim, self.output_dim, self.mask_zero = input_dim, output_dim, mask_zero

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            shape=(self.input_dim, self.output_dim), initializer="random_normal", dtype="float32"
        )

    def call(self, inputs):
        return ops.take(self.embeddings, inputs, axis=0)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None


# They learn to count the positive words, whatever the padding.
rng = np.random.default_rng(0)
words = [rng.integers(1, 10, rng.integers(2, 9)) for _ in range(600)]
x_all = keras.utils.pad_sequences(words, maxlen=12, padding="post")
y_all = np.array([float((w > 5).sum()) for w in words])

inputs = keras.Input(shape=(None,), dtype="int32")
x = CustomEmbedding(10, 8, mask_zero=True)(inputs)
x = MyActivation()(x)
x = layers.GRU(16)(x)
model = keras.Model(inputs, layers.Dense(1)(x))
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
model.fit(x_all[:500], y_all[:500], epochs=40, batch_size=32, verbose=0)
error = model.evaluate(x_all[500:], y_all[500:], verbose=0)
print(f"mean squared error of the count of words: {error:.4f} (variance {y_all.var():.2f})")
assert error < 0.1, error
