# SPDX-License-Identifier: BSD-3-Clause
"""Layers whose `call` composes others, beside the same classes on Keras 3: outputs, training, masks, files both ways."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, floats
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own, and of masks that end at a layer
STEPS, VOCABULARY, WIDTH = 7, 30, 8


def classes(K):
    """The layers of Keras's example `text_classification_with_transformer`, and others of their kind."""
    layers, ops = K.layers, K.ops

    class TransformerBlock(layers.Layer):
        def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1, **kwargs):
            super().__init__(**kwargs)
            self.embed_dim, self.num_heads, self.ff_dim, self.rate = embed_dim, num_heads, ff_dim, rate
            self.att = layers.MultiHeadAttention(num_heads=num_heads, key_dim=embed_dim)
            self.ffn = K.Sequential([layers.Dense(ff_dim, activation="relu"), layers.Dense(embed_dim)])
            self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
            self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
            self.dropout1 = layers.Dropout(rate)
            self.dropout2 = layers.Dropout(rate)

        def call(self, inputs, training=None):
            attn_output = self.att(inputs, inputs)
            attn_output = self.dropout1(attn_output, training=training)
            out1 = self.layernorm1(inputs + attn_output)
            ffn_output = self.ffn(out1)
            ffn_output = self.dropout2(ffn_output)
            return self.layernorm2(out1 + ffn_output)

        def get_config(self):
            names = ("embed_dim", "num_heads", "ff_dim", "rate")
            return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    class TokenAndPositionEmbedding(layers.Layer):
        def __init__(self, maxlen, vocab_size, embed_dim, **kwargs):
            super().__init__(**kwargs)
            self.sizes = {"maxlen": maxlen, "vocab_size": vocab_size, "embed_dim": embed_dim}
            self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
            self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

        def call(self, x):
            maxlen = ops.shape(x)[-1]
            positions = ops.arange(start=0, stop=maxlen, step=1)
            positions = self.pos_emb(positions)
            x = self.token_emb(x)
            return x + positions

        def get_config(self):
            return {**super().get_config(), **self.sizes}

    class Scaled(layers.Layer):
        """Weights of its own in operations."""

        def build(self, input_shape):
            self.w = self.add_weight(
                shape=(input_shape[-1], 4), initializer="glorot_uniform", name="w", regularizer="l2"
            )
            self.bias = self.add_weight(shape=(4,), initializer="zeros", name="bias")
            self.gain = self.add_weight(shape=(4,), initializer="ones", name="gain")

        def call(self, x):
            return ops.tanh(ops.matmul(x, self.w) + self.bias) * (1 + self.gain[:4] ** 2)

    class Residual(layers.Layer):
        """Sublayers made in `build`, one called twice; a custom layer inside; a penalty; the mask goes on."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True

        def build(self, input_shape):
            self.inner = Scaled()
            self.lstm = layers.LSTM(4, return_sequences=True)
            self.shared = layers.Dense(4, activation="tanh", activity_regularizer="l2")
            self.dense = layers.Dense(input_shape[-1])
            self.built = True

        def call(self, x, mask=None):
            h = self.inner(x)
            h = self.lstm(h, mask=mask)
            h = self.shared(self.shared(h))
            return x + self.dense(h)

    class Masking(layers.Layer):
        """An output with a mask that a layer inside made, and a second one."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.embedding = layers.Embedding(VOCABULARY, WIDTH, mask_zero=True)
            self.normalization = layers.BatchNormalization()

        def call(self, x, training=False):
            y = self.embedding(x)
            z = self.normalization(y, training=training)
            return y, z[:, 0]

    return {c.__name__: c for c in (TransformerBlock, TokenAndPositionEmbedding, Scaled, Residual, Masking)}


def transformer(K, rate=0.0):
    layers, own = K.layers, classes(K)
    inputs = layers.Input(shape=(STEPS,))
    x = own["TokenAndPositionEmbedding"](STEPS, VOCABULARY, WIDTH)(inputs)
    x = own["TransformerBlock"](WIDTH, 2, 12, rate)(x)
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(rate)(x)
    x = layers.Dense(20, activation="relu")(x)
    return K.Model(inputs=inputs, outputs=layers.Dense(2, activation="softmax")(x))


def residual(K):
    layers, own = K.layers, classes(K)
    inputs = layers.Input(shape=(None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, WIDTH, mask_zero=True)(inputs)
    block = own["Residual"]()
    x = block(block(x))
    x = own["Residual"]()(x)
    return K.Model(inputs, layers.Dense(2, activation="softmax")(layers.LSTM(5)(x)))


def masking(K):
    layers, own = K.layers, classes(K)
    inputs = layers.Input(shape=(None,))
    y, first = own["Masking"]()(inputs)
    return K.Model(
        inputs,
        layers.Dense(2, activation="softmax")(layers.Concatenate()([layers.GRU(4)(y), first])),
    )


def data(rng, steps=STEPS):
    x = rng.integers(1, VOCABULARY, (20, steps))
    x[::2, steps - 3 :] = 0
    return x, rng.integers(0, 2, 20)


def pair(make, x):
    theirs, ours = make(keras), make(lf)
    assert [tuple(v.shape) for v in theirs.weights] == [v.shape for v in ours.weights]
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), "prediction")
    return theirs, ours


@pytest.mark.parametrize("make", [transformer, residual, masking])
def test_training(make, rng):
    x, y = data(rng)
    theirs, ours = pair(make, x)
    logs = []
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        logs.append(model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history)
    for name, values in logs[0].items():
        close(logs[1][name], values, name)
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        close(a.numpy(), b.detach().cpu().numpy() if hasattr(b, "detach") else np.asarray(b), a.path)
    close(ours.evaluate(x, y, verbose=0), theirs.evaluate(x, y, verbose=0), "evaluation")
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), "prediction afterwards")


def test_other_lengths_than_before(rng):
    theirs, ours = pair(residual, data(rng)[0])
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy")
    for steps in (5, 9, 5):
        x, y = data(np.random.default_rng(steps), steps)
        close(ours.train_on_batch(x, y), np.asarray(theirs.train_on_batch(x, y)))
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))


def test_files_both_ways(rng, tmp_path):
    x, y = data(rng)
    theirs, ours = pair(lambda K: transformer(K, 0.1), x)
    for model in (theirs, ours):
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, verbose=0)
    theirs.save(tmp_path / "theirs.keras")
    for name in ("ours.keras", "ours.safetensors"):
        ours.save(tmp_path / name)
    for name, saved in (("theirs.keras", theirs), ("ours.keras", ours), ("ours.safetensors", ours)):
        loaded = lf.saving.load_model(tmp_path / name, custom_objects=classes(lf))
        close(loaded.predict(x, verbose=0), saved.predict(x, verbose=0), name)
        loaded.fit(x, y, verbose=0)
    loaded = keras.saving.load_model(tmp_path / "ours.keras", custom_objects=classes(keras))
    close(loaded.predict(x, verbose=0), ours.predict(x, verbose=0))


def test_inner_layers_see_the_mask_of_the_input(rng):
    x, mask = floats(rng, 2, 5, 3), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    outputs = []
    for K in (keras, lf):

        class Last(K.layers.Layer):
            def __init__(self, K=K):
                super().__init__()
                self.gru = K.layers.GRU(3, kernel_initializer="ones", recurrent_initializer="ones")

            def call(self, inputs):
                return self.gru(inputs)

        masked = K.layers.Masking()(np.where(mask[..., None], x, 0).astype("float32"))
        y = Last()(masked)
        outputs.append(y.detach().cpu().numpy() if K is keras else np.asarray(y))
    close(outputs[1], outputs[0])
