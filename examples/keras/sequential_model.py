# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `sequential_model` on sequences: building late, adding and popping, features, freezing."""

import numpy as np

import lstmfast as keras
from lstmfast import layers

keras.utils.set_random_seed(0)
x_train, y_train, x_test, y_test = keras.datasets.japanese_vowels()

# A model is a chain of layers; the same by hand.
model = keras.Sequential(
    [
        layers.Dense(2, activation="relu", name="layer1"),
        layers.Dense(3, activation="relu", name="layer2"),
        layers.Dense(4, name="layer3"),
    ]
)
x = np.ones((3, 3), "float32")
y = model.predict(x, verbose=0)
by_hand = x
for layer in model.layers:
    kernel, bias = layer.get_weights()
    by_hand = by_hand @ kernel + bias
    by_hand = by_hand if layer.name == "layer3" else np.maximum(by_hand, 0)
np.testing.assert_allclose(y, by_hand, atol=1e-6)
assert len(model.layers) == 3 and len(model.weights) == 6
model.pop()
assert [layer.name for layer in model.layers] == ["layer1", "layer2"]

# Without a shape there are no weights yet.
late = keras.Sequential(name="late")
late.add(layers.LSTM(4))
try:
    late.summary()
    late.input_shape  # noqa: B018
except (AttributeError, ValueError) as error:
    print("not built:", str(error)[:60])
late.build((None, 7, 2))
assert late.output_shape == (None, 4)

# Built as it grows, with a look at each step.
model = keras.Sequential()
model.add(keras.Input(shape=(29, 12)))
model.add(layers.Conv1D(32, 5, strides=2, activation="relu"))
model.add(layers.Conv1D(32, 3, activation="relu", name="my_intermediate_layer"))
model.add(layers.MaxPooling1D(2))
model.summary()
assert model.output_shape == (None, 5, 32)
model.add(layers.GlobalMaxPooling1D())
model.add(layers.Dense(9))
model.compile(
    optimizer=keras.optimizers.Adam(0.003),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(x_train, y_train, batch_size=16, epochs=30, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"accuracy of new utterances: {accuracy:.4f}")
assert accuracy > 0.9, accuracy

# Features of a layer inside.
feature_extractor = keras.Model(
    inputs=model.inputs, outputs=model.get_layer(name="my_intermediate_layer").output
)
assert tuple(feature_extractor(x_test[:2]).shape) == (2, 11, 32)

# Freeze all layers but the last, and train that anew.
for layer in model.layers[:-1]:
    layer.trainable = False
before = [w.copy() for w in model.layers[0].get_weights()]
model.layers[-1].set_weights([np.zeros_like(w) for w in model.layers[-1].get_weights()])
model.compile(
    optimizer=keras.optimizers.Adam(0.01),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
assert len(model.trainable_weights) == 2
model.fit(x_train, y_train, batch_size=16, epochs=30, verbose=0)
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
assert all((a == b).all() for a, b in zip(before, model.layers[0].get_weights(), strict=True))
print(f"with a last layer trained anew: {accuracy:.4f}")
assert accuracy > 0.88, accuracy
