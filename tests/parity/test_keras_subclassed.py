# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `call`, beside the same classes on Keras 3: outputs, training, names of logs, files both ways."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::UserWarning:keras",
    "ignore::UserWarning:lstmfast",
    "ignore:When providing `inputs` as a dict:UserWarning",
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


def generator(K):
    """TensorFlow's tutorial of text generation: states that `call` makes, takes and gives."""

    class Generator(K.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.dense = K.layers.Embedding(10, 4), K.layers.Dense(10)
            self.gru = K.layers.GRU(5, return_sequences=True, return_state=True)

        def call(self, inputs, states=None, return_state=False, training=False):
            x = self.embedding(inputs, training=training)
            if states is None:
                states = self.gru.get_initial_state(K.ops.shape(x)[0])
            x, states = self.gru(x, initial_state=states, training=training)
            x = self.dense(x, training=training)
            return (x, states) if return_state else x

    return Generator


def value(tensor):
    return np.asarray(tensor.detach() if hasattr(tensor, "detach") else tensor)


def test_states_that_call_makes_and_takes():
    theirs, ours = pair(generator, x=IDS)
    targets = np.roll(IDS, -1, axis=1)
    histories = []
    for model, K in ((theirs, keras), (ours, lf)):
        model.compile("sgd", K.losses.SparseCategoricalCrossentropy(from_logits=True))
        histories.append(model.fit(IDS, targets, epochs=3, batch_size=4, shuffle=False, verbose=0).history)
    np.testing.assert_allclose(histories[1]["loss"], histories[0]["loss"], rtol=1e-5)
    states = [None, None]
    for step in range(4):
        for k, model in enumerate((theirs, ours)):
            logits, states[k] = model(IDS[:, step : step + 1], states=states[k], return_state=True)
            states[k] = value(logits), states[k]
        np.testing.assert_allclose(states[1][0], states[0][0], atol=1e-6)
        states = [states[0][1], states[1][1]]
    np.testing.assert_allclose(ours(IDS)[:, 3:4], ours(IDS[:, :4])[:, 3:], atol=1e-6)
    np.testing.assert_allclose(ours(IDS[:, :4])[:, 3:], value(logits), atol=1e-6)


def attention_decoder(K):
    """Models in a model, with several positional tensors (Bahdanau's attention as in the tutorials)."""

    class Encoder(K.Model):
        def __init__(self):
            super().__init__()
            self.gru = K.layers.GRU(5, return_sequences=True, return_state=True)

        def call(self, x, hidden):
            return self.gru(x, initial_state=hidden)

    class Decoder(K.Model):
        def __init__(self):
            super().__init__()
            self.w1, self.w2, self.v = K.layers.Dense(4), K.layers.Dense(4), K.layers.Dense(1)

        def call(self, hidden, outputs):
            query = K.ops.expand_dims(hidden, 1)
            weights = K.ops.softmax(self.v(K.ops.tanh(self.w1(query) + self.w2(outputs))), axis=1)
            return K.ops.sum(weights * outputs, axis=1)

    class Whole(K.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder, self.head = Encoder(), Decoder(), K.layers.Dense(2)

        def call(self, x):
            hidden = K.ops.ones((K.ops.shape(x)[0], 5)) * 0.5
            outputs, state = self.encoder(x, hidden)
            return self.head(self.decoder(state, outputs))

    return Whole


def test_models_called_with_several_tensors():
    theirs, ours = pair(attention_decoder, x=X)
    np.testing.assert_allclose(ours(X), value(theirs(X)), atol=1e-6)
    for model in (theirs, ours):
        model.compile("sgd", "mse")
        model.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), atol=1e-5)
    outputs, state = ours.encoder(X, np.full((8, 5), 0.5, np.float32))
    np.testing.assert_allclose(ours.head(ours.decoder(state, outputs)), ours(X), atol=1e-6)


def constant_state(K):
    """A layer whose `call` makes a state of zeros for a layer in it."""

    class Reader(K.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.rnn = K.layers.Bidirectional(K.layers.LSTM(3))

        def build(self, shape):
            self.rnn.build(shape)

        def call(self, x):
            state = K.ops.ones((K.ops.shape(x)[0], 3))
            return self.rnn(x, initial_state=[state, state * 0.5, state, state])

    return Reader


def test_states_in_the_call_of_a_layer():
    models = []
    for K in (keras, lf):
        x = K.Input((6, 3))
        models.append(K.Model(x, K.layers.Dense(2)(constant_state(K)()(x))))
    theirs, ours = models
    ours.set_weights([np.asarray(w) for w in theirs.get_weights()])
    for model in models:
        model.compile("sgd", "mse")
        model.fit(X, Y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(ours.predict(X, verbose=0), theirs.predict(X, verbose=0), atol=1e-5)


def test_further_arguments_that_do_not_go():
    ours = generator(lf)()
    with pytest.raises(ValueError, match="lengths"):
        ours(IDS, states=None, lengths=np.full(8, 6))
    with pytest.raises(TypeError, match="nonsense"):
        ours(IDS, nonsense=3)
    with pytest.raises(TypeError, match="states"):
        lf.Sequential([lf.Input((6, 3)), lf.layers.LSTM(2)])(X, states=None)
    with pytest.raises(ValueError, match="first size"):
        lf.ops.zeros((None, 3))
