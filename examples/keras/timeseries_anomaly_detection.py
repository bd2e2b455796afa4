# SPDX-License-Identifier: BSD-3-Clause
"""Anomalies are what an autoencoder cannot give back (Keras's `timeseries_anomaly_detection`), with two of them.

One narrows the series by convolutions, the other by an LSTM whose last output is all that its decoder sees.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

STEPS, DAY = 24, 48

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def series(days, jump=None):
    """Daily waves with noise; from `jump` on, half a day with a level of its own."""
    time = np.arange(days * DAY)
    x = np.sin(2 * np.pi * time / DAY) + 0.4 * np.sin(4 * np.pi * time / DAY) + rng.normal(0, 0.08, time.size)
    if jump is not None:
        x[jump : jump + DAY // 2] += 1.5
    return x.astype("float32")


def create_sequences(values, time_steps=STEPS):
    return np.stack([values[i : i + time_steps] for i in range(len(values) - time_steps + 1)])[..., None]


train, jump = series(20), 5 * DAY + 7
test = series(10, jump)
mean, std = train.mean(), train.std()
x_train = create_sequences((train - mean) / std)
x_test = create_sequences((test - mean) / std)

convolutional = keras.Sequential(
    [
        layers.Input(shape=(STEPS, 1)),
        layers.Conv1D(filters=16, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.Dropout(rate=0.1),
        layers.Conv1D(filters=4, kernel_size=7, padding="same", strides=2, activation="relu"),
        layers.UpSampling1D(2),  # Keras's example has Conv1DTranspose here
        layers.Conv1D(filters=16, kernel_size=7, padding="same", activation="relu"),
        layers.UpSampling1D(2),
        layers.Conv1D(filters=1, kernel_size=7, padding="same"),
    ]
)
recurrent = keras.Sequential(
    [
        layers.Input(shape=(STEPS, 1)),
        layers.LSTM(16),
        layers.RepeatVector(STEPS),
        layers.LSTM(16, return_sequences=True),
        layers.TimeDistributed(layers.Dense(1)),
    ]
)

for name, model in (("convolutional", convolutional), ("recurrent", recurrent)):
    model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.005), loss="mse")
    history = model.fit(
        x_train,
        x_train,
        epochs=30,
        batch_size=64,
        validation_split=0.1,
        callbacks=[keras.callbacks.EarlyStopping(monitor="val_loss", patience=5, mode="min")],
        verbose=0,
    )
    train_loss = np.mean(np.abs(model.predict(x_train, verbose=0) - x_train), axis=(1, 2))
    threshold = 1.2 * np.max(train_loss)
    test_loss = np.mean(np.abs(model.predict(x_test, verbose=0) - x_test), axis=(1, 2))
    anomalies = test_loss > threshold

    # A step is anomalous if all windows that hold it are.
    found = [i for i in range(STEPS - 1, len(test) - STEPS + 1) if np.all(anomalies[i - STEPS + 1 : i + 1])]
    inside = set(range(jump - 1, jump + DAY // 2 + 1))
    print(f"{name}: {len(history.epoch)} epochs, threshold {threshold:.3f}, found {len(found)} steps")
    assert len(found) >= 6, found
    assert set(found) <= inside, found
