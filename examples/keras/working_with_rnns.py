# SPDX-License-Identifier: BSD-3-Clause
"""The pieces of Keras's guide `working_with_rnns`, each with a check; the last one trains a cell of one's own."""

import numpy as np

import lstmfast as keras
from lstmfast import layers, ops

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# A Sequential model of integers, and outputs of every step.
model = keras.Sequential()
model.add(layers.Embedding(input_dim=1000, output_dim=64))
model.add(layers.GRU(128, return_sequences=True))
model.add(layers.SimpleRNN(32))
model.add(layers.Dense(10))
assert model.predict(rng.integers(0, 1000, (2, 7)), verbose=0).shape == (2, 10)
model.summary()

# The encoder's states begin the decoder.
encoder_input = layers.Input(shape=(None,))
encoder_embedded = layers.Embedding(input_dim=1000, output_dim=64)(encoder_input)
output, state_h, state_c = layers.LSTM(64, return_state=True, name="encoder")(encoder_embedded)
encoder_state = [state_h, state_c]
decoder_input = layers.Input(shape=(None,))
decoder_embedded = layers.Embedding(input_dim=2000, output_dim=64)(decoder_input)
decoder_output = layers.LSTM(64, name="decoder")(decoder_embedded, initial_state=encoder_state)
output = layers.Dense(10)(decoder_output)
model = keras.Model([encoder_input, decoder_input], output)
ids = [rng.integers(0, 1000, (3, 5)), rng.integers(0, 2000, (3, 4))]
assert model.predict(ids, verbose=0).shape == (3, 10)

# Layers and cells give the same.
x = rng.normal(size=(4, 6, 5)).astype("float32")
lstm, rnn = layers.LSTM(8), layers.RNN(layers.LSTMCell(8))
lstm.build(x.shape), rnn.build(x.shape)
rnn.set_weights(lstm.get_weights())
np.testing.assert_allclose(np.array(lstm(x)), np.array(rnn(x)), atol=1e-6)

# States that are kept from batch to batch: three paragraphs are one text.
paragraphs = [rng.random((20, 10, 50)).astype("float32") for _ in range(3)]
stateful, plain = layers.LSTM(64, stateful=True), layers.LSTM(64)
for paragraph in paragraphs:
    last = np.array(stateful(paragraph))
plain.build((20, 30, 50))
plain.set_weights(stateful.get_weights())
np.testing.assert_allclose(last, np.array(plain(np.concatenate(paragraphs, axis=1))), atol=1e-5)
stateful.reset_states()

# States taken over by another layer.
stateful(paragraphs[0])
existing_state = stateful.states
follower = layers.LSTM(64)
new_output = follower(paragraphs[1], initial_state=existing_state)
assert np.array(new_output).shape == (20, 64)

# Both directions.
model = keras.Sequential()
model.add(keras.Input(shape=(5, 10)))
model.add(layers.Bidirectional(layers.LSTM(64, return_sequences=True)))
model.add(layers.Bidirectional(layers.LSTM(32), merge_mode="sum"))
model.add(layers.Dense(10))
assert model.output_shape == (None, 10)


class MinimalCell(layers.Layer):
    """Keras's MinimalRNNCell, with an activation: h = tanh(x W + h U)."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="orthogonal", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states):
        h = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent_kernel)
        h = ops.tanh(h)
        return h, [h]


# Who speaks? Rows of frames, as the guide reads rows of a picture.
x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()
model = keras.Sequential(
    [
        keras.Input((None, 12)),
        layers.Masking(),
        layers.RNN([MinimalCell(32), MinimalCell(32)]),
        layers.BatchNormalization(),
        layers.Dense(9),
    ]
)
model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=keras.optimizers.Adam(0.005),
    metrics=["accuracy"],
)
model.fit(x_train, y_train, batch_size=27, epochs=25, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"accuracy of new utterances with a cell of one's own: {accuracy:.4f}")
assert accuracy > 0.85, accuracy
