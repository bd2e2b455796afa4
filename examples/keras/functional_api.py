# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `functional_api` on sequences: several inputs and outputs, residuals, sharing, nesting, ensembles."""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras
from lstmfast import layers

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# One graph, two models: an encoder and the autoencoder around it.
encoder_input = keras.Input(shape=(8, 3), name="series")
x = layers.Conv1D(8, 3, activation="relu", padding="same")(encoder_input)
x = layers.MaxPooling1D(2)(x)
encoder_output = layers.GlobalMaxPooling1D()(x)
encoder = keras.Model(encoder_input, encoder_output, name="encoder")
x = layers.Reshape((4, 2))(encoder_output)
x = layers.UpSampling1D(2)(x)
decoder_output = layers.Conv1D(3, 3, padding="same")(x)
autoencoder = keras.Model(encoder_input, decoder_output, name="autoencoder")
assert encoder.output_shape == (None, 8) and autoencoder.output_shape == (None, 8, 3)

# Models are layers: a chain, and an ensemble.
again = keras.Input(shape=(8, 3))
chained = keras.Model(again, autoencoder(autoencoder(again)), name="chained")
assert len(chained.trainable_weights) == len(autoencoder.trainable_weights)


def get_model():
    inputs = keras.Input(shape=(128,))
    return keras.Model(inputs, layers.Dense(1)(inputs))


members = [get_model() for _ in range(3)]
inputs = keras.Input(shape=(128,))
ensemble_model = keras.Model(inputs, layers.average([member(inputs) for member in members]))
points = rng.normal(size=(5, 128)).astype("float32")
mean = np.mean([member.predict(points, verbose=0) for member in members], axis=0)
np.testing.assert_allclose(ensemble_model.predict(points, verbose=0), mean, atol=1e-5)

# Tickets: title, text and tags in, priority and department out. Title and text share their words' embedding.
NUM_TAGS, NUM_WORDS, NUM_DEPARTMENTS, N = 12, 60, 4, 4000
title_input = keras.Input(shape=(None,), name="title")
body_input = keras.Input(shape=(None,), name="body")
tags_input = keras.Input(shape=(NUM_TAGS,), name="tags")
shared_embedding = layers.Embedding(NUM_WORDS, 16)
title_features = layers.LSTM(32)(shared_embedding(title_input))
body_features = layers.LSTM(32)(shared_embedding(body_input))
x = layers.concatenate([title_features, body_features, tags_input])
priority_pred = layers.Dense(1, name="priority")(x)
department_pred = layers.Dense(NUM_DEPARTMENTS, name="department")(x)
model = keras.Model(
    inputs=[title_input, body_input, tags_input],
    outputs={"priority": priority_pred, "department": department_pred},
)
model.compile(
    optimizer=keras.optimizers.RMSprop(3e-3),
    loss={
        "priority": keras.losses.BinaryCrossentropy(from_logits=True),
        "department": keras.losses.CategoricalCrossentropy(from_logits=True),
    },
    metrics={"department": ["accuracy"]},
    loss_weights={"priority": 1.0, "department": 0.5},
)
# A ticket is urgent if its title has a word below 6 or its first tag is set; the text's last word tells the department.
title = rng.integers(0, NUM_WORDS, (N, 5))
body = rng.integers(0, NUM_WORDS, (N, 20))
tags = rng.integers(0, 2, (N, NUM_TAGS)).astype("float32")
urgent = ((title < 6).any(axis=1) | (tags[:, 0] > 0)).astype("float32")[:, None]
department = keras.utils.to_categorical(body[:, -1] % NUM_DEPARTMENTS, NUM_DEPARTMENTS)
data = {"title": title, "body": body, "tags": tags}
targets = {"priority": urgent, "department": department}
train = {key: value[:3500] for key, value in data.items()}, {k: v[:3500] for k, v in targets.items()}
test = {key: value[3500:] for key, value in data.items()}, {k: v[3500:] for k, v in targets.items()}
model.fit(*train, epochs=15, batch_size=32, verbose=0)
scores = model.evaluate(*test, verbose=0, return_dict=True)
found = model.predict(test[0], verbose=0)
right = float(np.mean((found["priority"] > 0) == test[1]["priority"]))
print(f"department {scores['department_accuracy']:.3f}, priority {right:.3f}")
assert scores["department_accuracy"] > 0.95 and right > 0.9

# The whole model in a file.
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "tickets.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
np.testing.assert_allclose(loaded.predict(test[0], verbose=0)["priority"], found["priority"], atol=1e-5)

# A small residual network, and its layers' outputs as a model of features.
inputs = keras.Input(shape=(16, 8), name="signal")
block_1_output = layers.Conv1D(16, 3, activation="relu", padding="same")(inputs)
x = layers.Conv1D(16, 3, activation="relu", padding="same")(block_1_output)
block_2_output = layers.add([x, block_1_output])
x = layers.Conv1D(16, 3, activation="relu", padding="same")(block_2_output)
block_3_output = layers.add([x, block_2_output])
x = layers.GlobalAveragePooling1D()(block_3_output)
residual = keras.Model(inputs, layers.Dense(10)(layers.Dropout(0.5)(x)), name="toy_resnet")
features = keras.Model(inputs=residual.input, outputs=[layer.output for layer in residual.layers])
extracted = features.predict(rng.normal(size=(2, 16, 8)), verbose=0)
assert len(extracted) == len(residual.layers) and extracted[-1].shape == (2, 10)
