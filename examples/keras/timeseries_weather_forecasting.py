# SPDX-License-Identifier: BSD-3-Clause
"""Temperature some hours ahead from several measurements (Keras's `timeseries_weather_forecasting`).

The weather is generated: short years, days, and fronts that the pressure announces before the temperature falls.
"""

import tempfile
from pathlib import Path

import numpy as np

import lstmfast as keras

HOURS, PAST, FUTURE, STEP, BATCH, EPOCHS = 6000, 48, 6, 2, 64, 8

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

hours = np.arange(HOURS)
front = np.zeros(HOURS)
for begin in rng.choice(HOURS, 120, replace=False):
    front[begin : begin + 36] += rng.uniform(0.5, 1.5) * np.sin(np.linspace(0, np.pi, 36))[: HOURS - begin]
pressure = 1010 - 10 * front + rng.normal(0, 0.5, HOURS)
felt = np.roll(front, 12)
temperature = (
    10 + 8 * np.sin(2 * np.pi * hours / 1500) + 4 * np.sin(2 * np.pi * hours / 24) - 6 * felt
) + rng.normal(0, 0.3, HOURS)
wind = 3 + 4 * np.abs(np.gradient(front, 6)) * 6 + rng.normal(0, 0.3, HOURS)
features = np.stack([pressure, temperature, wind], axis=1)

train_split = int(0.715 * HOURS)
features = (features - features[:train_split].mean(axis=0)) / features[:train_split].std(axis=0)
train_data, val_data = features[:train_split], features[train_split:]

start = PAST + FUTURE
sequence_length = PAST // STEP
dataset_train = keras.preprocessing.timeseries_dataset_from_array(
    train_data,
    features[start : start + train_split, 1:2],
    sequence_length=sequence_length,
    sampling_rate=STEP,
    batch_size=BATCH,
    shuffle=True,
    seed=0,
)
x_end = len(val_data) - PAST - FUTURE
dataset_val = keras.preprocessing.timeseries_dataset_from_array(
    val_data[:x_end],
    features[train_split + start :, 1:2],
    sequence_length=sequence_length,
    sampling_rate=STEP,
    batch_size=BATCH,
)
inputs, targets = next(iter(dataset_train))
print("input shape:", inputs.shape, "target shape:", targets.shape)

inputs = keras.layers.Input(shape=(inputs.shape[1], inputs.shape[2]))
lstm_out = keras.layers.LSTM(32)(inputs)
outputs = keras.layers.Dense(1)(lstm_out)
model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.003), loss="mse")

with tempfile.TemporaryDirectory() as folder:
    path_checkpoint = str(Path(folder) / "model_checkpoint.weights.h5")
    history = model.fit(
        dataset_train,
        epochs=EPOCHS,
        validation_data=dataset_val,
        callbacks=[
            keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5),
            keras.callbacks.ModelCheckpoint(
                monitor="val_loss", filepath=path_checkpoint, save_weights_only=True, save_best_only=True
            ),
        ],
        verbose=2,
    )
    model.load_weights(path_checkpoint)

loss = model.evaluate(dataset_val, verbose=0)
last = np.concatenate([x[:, -1, 1:2] for x, _ in dataset_val])
later = np.concatenate([y for _, y in dataset_val])
naive = float(np.mean((last - later) ** 2))
print(f"mean squared error {loss:.4f}; {naive:.4f} if the temperature stayed as it is")
assert loss < 0.25 * naive, (loss, naive)
