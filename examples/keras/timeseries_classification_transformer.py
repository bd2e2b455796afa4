# SPDX-License-Identifier: BSD-3-Clause
"""Transformer blocks on a time series, without recurrence (Keras's `timeseries_classification_transformer`).

The data are spoken vowels of nine speakers, which come with the package.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

keras.utils.set_random_seed(0)
x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()
n_classes = len(np.unique(y_train))
mean, std = x_train.mean(axis=(0, 1)), x_train.std(axis=(0, 1))
x_train, x_test = (x_train - mean) / std, (x_test - mean) / std


def transformer_encoder(inputs, head_size, num_heads, ff_dim, dropout=0.0):
    # Attention and normalization
    x = layers.MultiHeadAttention(key_dim=head_size, num_heads=num_heads, dropout=dropout)(inputs, inputs)
    x = layers.Dropout(dropout)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    res = x + inputs

    # A network on every step
    x = layers.Conv1D(filters=ff_dim, kernel_size=1, activation="relu")(res)
    x = layers.Dropout(dropout)(x)
    x = layers.Conv1D(filters=inputs.shape[-1], kernel_size=1)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    return x + res


def build_model(input_shape, head_size, num_heads, ff_dim, num_blocks, mlp_units, dropout, mlp_dropout):
    inputs = keras.Input(shape=input_shape)
    x = inputs
    for _ in range(num_blocks):
        x = transformer_encoder(x, head_size, num_heads, ff_dim, dropout)
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    for dim in mlp_units:
        x = layers.Dense(dim, activation="relu")(x)
        x = layers.Dropout(mlp_dropout)(x)
    outputs = layers.Dense(n_classes, activation="softmax")(x)
    return keras.Model(inputs, outputs)


model = build_model(
    x_train.shape[1:],
    head_size=16,
    num_heads=2,
    ff_dim=16,
    num_blocks=2,
    mlp_units=[64],
    dropout=0.1,
    mlp_dropout=0.2,
)
model.compile(
    loss="sparse_categorical_crossentropy",
    optimizer=keras.optimizers.Adam(learning_rate=3e-3),
    metrics=["sparse_categorical_accuracy"],
)
model.summary()
model.fit(
    x_train,
    y_train,
    epochs=60,
    batch_size=32,
    callbacks=[keras.callbacks.EarlyStopping(monitor="loss", patience=10, restore_best_weights=True)],
    verbose=0,
)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"accuracy of new utterances: {accuracy:.4f}")
assert accuracy > 0.93, accuracy
