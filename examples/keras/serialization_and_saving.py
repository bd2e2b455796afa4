# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `serialization_and_saving`: files, configurations, weights, custom objects, cloning, transfer."""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
folder = tempfile.TemporaryDirectory()
here = Path(folder.name)


def get_model():
    inputs = keras.Input(shape=(12, 4))
    x = keras.layers.LSTM(16, name="lstm")(inputs)
    outputs = keras.layers.Dense(1, name="predictions")(x)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mean_squared_error")
    return model


# The whole model, with its optimizer: training goes on where it stopped.
test_input = rng.normal(size=(128, 12, 4)).astype("float32")
test_target = test_input.mean(axis=(1, 2))[:, None]
model = get_model()
model.fit(test_input, test_target, epochs=5, verbose=0)
model.save(here / "my_model.keras")
reconstructed_model = keras.models.load_model(here / "my_model.keras")
predicted = model.predict(test_input, verbose=0)
np.testing.assert_allclose(predicted, reconstructed_model.predict(test_input, verbose=0), atol=1e-6)
losses = [
    one.fit(test_input, test_target, epochs=5, shuffle=False, verbose=0).history["loss"]
    for one in (model, reconstructed_model)
]
np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
print("both go on the same way:", [round(float(v), 5) for v in losses[1]])

# The architecture alone: a dict, or JSON.
config = model.get_config()
new_model = keras.Model.from_config(config)
json_config = model.to_json()
from_json = keras.models.model_from_json(json_config)
for one in (new_model, from_json, keras.models.clone_model(model)):
    assert [layer.name for layer in one.layers[1:]] == [layer.name for layer in model.layers[1:]]
    assert not np.allclose(one.get_weights()[0], model.get_weights()[0])
    one.set_weights(model.get_weights())
    np.testing.assert_allclose(
        one.predict(test_input, verbose=0), model.predict(test_input, verbose=0), atol=1e-6
    )
layer = keras.layers.Dense(3, activation="relu")
assert keras.layers.Dense.from_config(layer.get_config()).get_config() == layer.get_config()
assert keras.layers.deserialize(keras.layers.serialize(layer)).get_config() == layer.get_config()


# Functions of one's own are found by name.
@keras.saving.register_keras_serializable(package="my_package")
def halved(shape, dtype=None):
    return np.full(shape, 0.5, "float32")


inputs = keras.Input((4,))
custom = keras.Model(inputs, keras.layers.Dense(2, kernel_initializer=halved)(inputs))
custom.save(here / "custom_model.keras")
loaded = keras.models.load_model(here / "custom_model.keras")
described = loaded.get_config()["layers"][1]["config"]["kernel_initializer"]
assert described["config"] == "my_package>halved", described
assert keras.saving.get_registered_name(halved) == "my_package>halved"
with keras.saving.custom_object_scope({"my_package>halved": halved}):
    assert (keras.Model.from_config(custom.get_config()).get_weights()[0] == 0.5).all()
assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).units == 3

# Weights alone, in memory and in a file.
other = get_model()
other.set_weights(model.get_weights())
model.save_weights(here / "my.weights.h5")
third = get_model()
third.load_weights(here / "my.weights.h5")
for one in (other, third):
    np.testing.assert_allclose(
        one.predict(test_input, verbose=0), model.predict(test_input, verbose=0), atol=1e-6
    )

# Weights of one layer for another task, and a model that ends earlier.
extracted = keras.Model(model.inputs, model.get_layer("lstm").output)
functional = keras.Sequential([extracted, keras.layers.Dense(5, name="other_task")])
functional.build((None, 12, 4))
assert functional.predict(test_input[:2], verbose=0).shape == (2, 5)
third.get_layer("lstm").set_weights(functional.layers[0].get_layer("lstm").get_weights())
error = float(np.mean((model.predict(test_input, verbose=0) - test_target) ** 2))
print(f"mean squared error {error:.5f} of a variance of {test_target.var():.5f}")
assert error < 0.2 * test_target.var()
folder.cleanup()
