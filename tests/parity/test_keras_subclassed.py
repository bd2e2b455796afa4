# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `call`, beside the same classes on Keras 3: outputs, training, names of logs, files both ways."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore::UserWarning:lstmfast"
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6, 3)).astype("float32")
SIDE = RNG.normal(size=(8, 2)).astype("float32")
IDS = RNG.integers(1, 9, (8, 6))
Y = RNG.normal(size=(8, 2)).astype("float32")
Y1 = RNG.normal(size=(8, 1)).astype("float32")


def encoder(K):
    """Layers in a list and a model inside; arguments by `get_config`."""

    class Encoder(K.Model):
        def __init__(self, units=5, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.blocks = [K.layers.LSTM(units, return_sequences=True), K.layers.GRU(units)]
            self.head = K.Sequential([K.layers.Dense(3, activation="tanh"), K.layers.Dense(2)])
            self.dropout = K.layers.Dropout(0.5)

        def call(self, x, training=None):
            for block in self.blocks:
                x = block(x, training=training)
            return self.head(self.dropout(x, training=training))

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return Encoder


def two_branches(K):
    """A dict of inputs of different kinds, a dict of outputs, masks on the way."""

    class Branches(K.Model):
        def __init__(self):
            super().__init__()
            self.embedding = K.layers.Embedding(10, 4, mask_zero=True)
            self.lstm, self.join = K.layers.LSTM(4), K.layers.Concatenate()
            self.heads = {"u": K.layers.Dense(1), "t": K.layers.Dense(2)}

        def call(self, inputs):
            h = self.join([self.lstm(self.embedding(inputs["ids"])), inputs["side"]])
            return {"u": self.heads["u"](h), "t": self.heads["t"](h)}

    return Branches


def pair(make, *arguments, x):
    """The class on Keras and here, built by the same data, with Keras's weights."""
    theirs, ours = make(keras)(*arguments), make(lf)(*arguments)
    theirs(x), ours(x)
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    return theirs, ours


def close(a, b, tolerance=1e-5):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(a).max())


def test_outputs_weights_and_training():
    theirs, ours = pair(encoder, x=X)
    assert [v.path.split("/")[-1] for v in ours.weights] == [v.path.split("/")[-1] for v in theirs.weights]
    assert ours.count_params() == theirs.count_params()
    close(theirs.predict(X, verbose=0), ours.predict(X, verbose=0))
    close(theirs(X[:, :4]).detach(), ours(X[:, :4]))  # other lengths
    for model in (theirs, ours):
        model.dropout.rate = 0.0
        model.compile("adam", "mse", metrics=["mae"])
    logs = [
        model.fit(X, Y, epochs=3, batch_size=4, verbose=0, shuffle=False).history for model in (theirs, ours)
    ]
    assert sorted(logs[0]) == sorted(logs[1])
    for name in logs[0]:
        close(logs[0][name], logs[1][name])
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        close(a, b, 1e-4)  # Adam divides by small roots: it magnifies differences of rounding


def test_files_both_ways(tmp_path):
    theirs, ours = pair(encoder, 4, x=X)
    for model in (theirs, ours):
        model.compile("adam", "mse")
        model.fit(X, Y, verbose=0)
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    ours.save(tmp_path / "ours.safetensors")
    ours.save_weights(tmp_path / "ours.weights.h5")
    for name, reference in (("theirs.keras", theirs), ("ours.keras", ours), ("ours.safetensors", ours)):
        loaded = lf.saving.load_model(tmp_path / name, custom_objects={"Encoder": encoder(lf)})
        assert loaded.units == 4 and loaded.compiled
        close(reference.predict(X, verbose=0), loaded.predict(X, verbose=0))
        assert [v.shape for v in loaded.optimizer.variables] == [v.shape for v in ours.optimizer.variables]
    loaded = keras.saving.load_model(tmp_path / "ours.keras", custom_objects={"Encoder": encoder(keras)})
    close(ours.predict(X, verbose=0), loaded.predict(X, verbose=0))
    fresh = encoder(keras)(4)
    fresh(X)
    fresh.load_weights(tmp_path / "ours.weights.h5")
    close(ours.predict(X, verbose=0), fresh.predict(X, verbose=0))


def test_dicts_in_and_out():
    ids = IDS.copy()
    ids[:, 4:] = 0
    inputs, targets = {"ids": ids, "side": SIDE}, {"u": Y1, "t": Y}
    theirs, ours = pair(two_branches, x=inputs)
    a, b = theirs(inputs), ours(inputs)
    assert isinstance(b, dict) and set(b) == {"u", "t"}
    for name in a:
        close(a[name].detach(), b[name])
    logs = []
    for model in (theirs, ours):
        model.compile(
            "sgd", {"u": "mse", "t": "mae"}, metrics={"u": ["mae"]}, loss_weights={"u": 0.5, "t": 2.0}
        )
        logs.append(model.fit(inputs, targets, batch_size=4, epochs=2, verbose=0, shuffle=False).history)
    assert sorted(logs[0]) == sorted(logs[1]) == ["loss", "t_loss", "u_loss", "u_mae"]
    for name in logs[0]:
        close(logs[0][name], logs[1][name])


def containers(K):
    class Containers(K.Model):
        def __init__(self):
            super().__init__()
            self.z_shared = K.layers.Dense(3)
            self.a_shared = self.z_shared
            self.blocks = {
                "p": [K.layers.Dense(3), [K.layers.Dense(3), K.layers.Dense(3)]],
                "q": [K.layers.Dense(3)],
            }

        def call(self, x):
            first, (second, third) = self.blocks["p"]
            for layer in (self.z_shared, first, second, third, self.blocks["q"][0]):
                x = layer(x)
            return x

    return Containers


def test_files_both_ways_with_nested_containers(tmp_path):
    theirs, ours = pair(containers, x=SIDE)
    for model in (theirs, ours):
        model.compile("adam", "mse")
        model.fit(SIDE, X[:, 0], verbose=0)
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    loaded = lf.saving.load_model(tmp_path / "theirs.keras", custom_objects={"Containers": containers(lf)})
    close(theirs.predict(SIDE, verbose=0), loaded.predict(SIDE, verbose=0))
    loaded = keras.saving.load_model(
        tmp_path / "ours.keras", custom_objects={"Containers": containers(keras)}
    )
    close(ours.predict(SIDE, verbose=0), loaded.predict(SIDE, verbose=0))


def outputs_of(kind):
    def make(K):
        class Outputs(K.Model):
            def __init__(self):
                super().__init__()
                self.a, self.b = K.layers.Dense(1, name="first"), K.layers.Dense(1, name="second")

            def call(self, x):
                a, b = self.a(x), self.b(x)
                return {
                    "list": [a, b],
                    "tuple": (a, b),
                    "dict": {"u": a, "t": b},
                    "nested": {"u": a, "t": [b, a]},
                }[kind]

        return Outputs

    return make


@pytest.mark.parametrize(
    ("kind", "y", "loss", "metrics"),
    [
        ("list", [Y1, Y1], ["mse", "mae"], [["mae"], ["mse"]]),
        ("list", [Y1, Y1], "mse", None),
        ("tuple", (Y1, Y1), "mse", None),
        ("dict", {"u": Y1, "t": Y1}, "mse", None),
        ("nested", {"u": Y1, "t": [Y1, Y1]}, {"u": "mse", "t": ["mae", "mse"]}, None),
        ("nested", {"u": Y1, "t": [Y1, Y1]}, "mse", None),
    ],
)
def test_names_in_logs(kind, y, loss, metrics):
    theirs, ours = pair(outputs_of(kind), x=SIDE)
    logs = []
    for model in (theirs, ours):
        model.compile("sgd", loss, metrics=metrics)
        logs.append(model.fit(SIDE, y, verbose=0).history)
    assert sorted(logs[0]) == sorted(logs[1])
    close(logs[0]["loss"], logs[1]["loss"])
    assert type(theirs.predict(SIDE, verbose=0)) is type(ours.predict(SIDE, verbose=0))


@pytest.mark.parametrize(
    ("outputs", "loss", "metrics"),
    [
        (lambda a, b, c: {"u": a, "t": b}, {"u": "mse", "t": "mae"}, {"u": ["mae"], "t": ["mse"]}),
        (
            lambda a, b, c: {"u": a, "t": [b, c]},
            {"u": "mse", "t": ["mae", "mse"]},
            {"u": ["mae"], "t": ["mse", "mae"]},
        ),
        (lambda a, b, c: [a, [b, c]], ["mse", ["mae", "mse"]], None),
        (
            lambda a, b, c: [a, {"q": b, "z": c}],
            ["mse", {"q": "mae", "z": "mse"}],
            [["mae"], {"q": ["mse"], "z": ["mae"]}],
        ),
    ],
)
def test_structures_of_functional_outputs(outputs, loss, metrics):
    def make(K):
        x = K.Input((2,))
        return K.Model(x, outputs(*(K.layers.Dense(1, name=name)(x) for name in "abc")))

    theirs, ours = make(keras), make(lf)
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    y = lf.symbolic.map_leaves(lambda _: Y1, ours.output)
    logs = []
    for model in (theirs, ours):
        model.compile("sgd", loss, metrics=metrics)
        logs.append(model.fit(SIDE, y, epochs=2, verbose=0).history)
    assert sorted(logs[0]) == sorted(logs[1])
    for name in logs[0]:
        close(logs[0][name], logs[1][name])


def test_nested_inputs_and_outputs_of_a_model_inside_another():
    def make(K):
        a, b, c = (K.Input((n,)) for n in (1, 2, 3))
        parts = {"1": K.layers.Dense(1)(a), "rest": {"2": K.layers.Dense(2)(b), "3": K.layers.Dense(3)(c)}}
        inner = K.Model({"1": a, "rest": {"2": b, "3": c}}, parts)
        a, b, c = (K.Input((n,), name=f"in{n}") for n in (1, 2, 3))
        made = inner({"1": a, "rest": {"2": b, "3": c}})
        return inner, K.Model([a, b, c], K.layers.Concatenate()([made["rest"]["3"], made["1"]]))

    (_, theirs), (inner, ours) = make(keras), make(lf)
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    arrays = [RNG.normal(size=(4, n)).astype("float32") for n in (1, 2, 3)]
    close(theirs.predict(arrays, verbose=0), ours.predict(arrays, verbose=0))
    made = inner({"1": arrays[0], "rest": {"2": arrays[1], "3": arrays[2]}})
    assert made["rest"]["3"].shape == (4, 3)


def test_batches_that_callbacks_hear_of():
    heard = []
    for K in (keras, lf):

        class Listener(K.callbacks.Callback):
            def __init__(self):
                super().__init__()
                self.calls = []

            def on_train_batch_begin(self, batch, logs=None):
                self.calls.append(("train begin", batch))

            def on_train_batch_end(self, batch, logs=None):
                self.calls.append(("train end", batch))

            def on_test_batch_end(self, batch, logs=None):
                self.calls.append(("test end", batch))

        model = K.Sequential([K.Input((2,)), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        listener = Listener()
        model.fit(SIDE, Y1, batch_size=1, verbose=0, callbacks=[listener], validation_data=(SIDE, Y1))
        heard.append(listener.calls)
    assert heard[0] == heard[1]


def watched(K):
    class Inner(K.layers.Layer):
        def __init__(self):
            super().__init__()
            self.seen = K.metrics.Mean(name="of_layer")

        def call(self, x):
            return x

    class Watched(K.Model):
        def __init__(self):
            super().__init__()
            self.own, self.inner, self.dense = K.metrics.Mean(name="of_model"), Inner(), K.layers.Dense(1)

        def call(self, x):
            return self.dense(self.inner(x))

    return Watched()


def test_metrics_of_models_and_layers():
    names = []
    for K in (keras, lf):
        model = watched(K)
        before = [metric.name for metric in model.metrics]
        model.compile("sgd", "mse", metrics=["mae"])
        model(SIDE)
        logs = model.evaluate(SIDE, Y1, verbose=0, return_dict=True)
        names.append((before, [metric.name for metric in model.metrics], sorted(logs)))
    assert names[0] == names[1]
