# SPDX-License-Identifier: BSD-3-Clause
"""Keras's guide `writing_your_own_callbacks`: hooks, stopping at the least loss, a learning-rate schedule."""

import numpy as np

import lstmfast as keras

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x_train = rng.random((1000, 40)).astype("float32")
y_train = x_train @ rng.normal(size=(40, 1)) + 0.1 * rng.normal(size=(1000, 1))
x_test, y_test = x_train[:300], y_train[:300]


def get_model():
    model = keras.Sequential()
    model.add(keras.Input((40,)))
    model.add(keras.layers.Dense(1))
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=0.1),
        loss="mean_squared_error",
        metrics=["mean_absolute_error"],
    )
    return model


class CustomCallback(keras.callbacks.Callback):
    """Notes hooks and the keys of their logs."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def note(self, hook, logs):
        self.seen.setdefault(hook, []).append(sorted(logs or {}))

    def on_epoch_end(self, epoch, logs=None):
        self.note("epoch_end", logs)

    def on_test_begin(self, logs=None):
        self.note("test_begin", logs)

    def on_train_batch_end(self, batch, logs=None):
        self.note("train_batch_end", logs)

    def on_test_batch_end(self, batch, logs=None):
        self.note("test_batch_end", logs)

    def on_predict_batch_end(self, batch, logs=None):
        self.note("predict_batch_end", logs)


noted = CustomCallback()
model = get_model()
options = {"batch_size": 128, "verbose": 0, "callbacks": [noted]}
model.fit(x_train, y_train, epochs=1, validation_split=0.5, **options)
model.evaluate(x_test, y_test, **options)
model.predict(x_test, **options)
for hook, logs in noted.seen.items():
    print(f"{hook}: {len(logs)} times, with {logs[-1]}")
assert len(noted.seen["train_batch_end"]) == 4 and len(noted.seen["test_begin"]) == 2
assert len(noted.seen["test_batch_end"]) == 4 + 3 and len(noted.seen["predict_batch_end"]) == 3
assert noted.seen["train_batch_end"][0] == ["loss", "mean_absolute_error"]
assert "val_mean_absolute_error" in noted.seen["epoch_end"][0]
assert noted.seen["predict_batch_end"][0] == ["outputs"]


class EarlyStoppingAtMinLoss(keras.callbacks.Callback):
    """Stops when the loss has not sunk for `patience` epochs, and takes the best weights back."""

    def __init__(self, patience=0):
        super().__init__()
        self.patience = patience
        self.best_weights = None

    def on_train_begin(self, logs=None):
        self.wait, self.stopped_epoch, self.best = 0, 0, np.inf

    def on_epoch_end(self, epoch, logs=None):
        current = logs.get("loss")
        if np.less(current, self.best):
            self.best, self.wait = current, 0
            self.best_weights = self.model.get_weights()
        else:
            self.wait += 1
            if self.wait >= self.patience:
                self.stopped_epoch = epoch
                self.model.stop_training = True
                self.model.set_weights(self.best_weights)


class CustomLearningRateScheduler(keras.callbacks.Callback):
    """Sets the learning rate at the beginning of some epochs."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.rates = steps, []

    def on_epoch_begin(self, epoch, logs=None):
        rate = float(self.model.optimizer.learning_rate)
        self.model.optimizer.learning_rate = self.steps.get(epoch, rate)
        self.rates.append(float(self.model.optimizer.learning_rate))


stopping = EarlyStoppingAtMinLoss(patience=2)
model = get_model()
model.fit(x_train, y_train, batch_size=64, epochs=50, verbose=0, callbacks=[stopping])
print(f"stopped in epoch {stopping.stopped_epoch + 1}")
assert 0 < stopping.stopped_epoch < 49

scheduler = CustomLearningRateScheduler({10: 0.05, 20: 0.01, 30: 0.005, 40: 0.001})
model = get_model()
model.fit(x_train, y_train, batch_size=64, epochs=50, verbose=0, callbacks=[scheduler])
loss, error = model.evaluate(x_test, y_test, verbose=0)
print(
    f"mean absolute error {error:.4f} after rates from {scheduler.rates[0]:.3f} to {scheduler.rates[-1]:.3f}"
)
assert np.allclose([scheduler.rates[i] for i in (9, 10, 25, 49)], [0.1, 0.05, 0.01, 0.001])
assert error < 0.12, error
