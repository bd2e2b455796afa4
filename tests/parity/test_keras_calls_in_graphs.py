# SPDX-License-Identifier: BSD-3-Clause
"""Calls recorded in graphs, against the real Keras 3: several tensors, nested structures, keywords, `training`, `mask`."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, floats
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def layers_of(k):
    """The same layers of one's own for either package."""

    class Gate(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.dense, self.other = k.layers.Dense(units), k.layers.Dense(units, activation="sigmoid")

        def build(self, x_shape, gate_shape, bias_shape=None):
            self.dense.build(x_shape)
            self.other.build(gate_shape)

        def call(self, x, gate, bias=None, scale=1.0, training=None):
            y = self.dense(x) * self.other(gate) * scale
            return y if bias is None else y + bias

        def compute_output_shape(self, x_shape, gate_shape, bias_shape=None):
            return (*x_shape[:-1], self.units)

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    class Nested(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = k.layers.Dense(3)

        def build(self, input_shape):
            self.dense.build(input_shape["a"])

        def call(self, inputs):
            first, (second, third) = inputs["a"], inputs["b"]
            h = self.dense(first)
            return {"sum": h + second, "more": [h * third, second]}

        def compute_output_shape(self, input_shape):
            shape = (*input_shape["a"][:-1], 3)
            return {"sum": shape, "more": [shape, shape]}

    return Gate, Nested


def two_models(make):
    """`make(package)` in both, with the same weights."""
    ours, theirs = make(lf), make(keras)
    rng = np.random.default_rng(3)
    values = [floats(rng, *v.shape) / 2 for v in ours.weights]
    assert [tuple(v.shape) for v in theirs.weights] == [v.shape for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def same_training(models, x, y, steps=3):
    ours, theirs = models
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    for model in models:
        model.compile("sgd", "mse")
    for _ in range(steps):
        close(ours.train_on_batch(x, y), theirs.train_on_batch(x, y), "loss")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b, "weights after training")


def several(k):
    gate_layer, _ = layers_of(k)
    a, b, c = k.Input((5, 4), name="a"), k.Input((5, 2), name="b"), k.Input((5, 3), name="c")
    h = gate_layer(3, name="first")(a, b)
    h = gate_layer(3, name="second")(k.layers.LSTM(4, return_sequences=True)(h), gate=b, bias=c, scale=0.5)
    return k.Model([a, b, c], k.layers.Dense(1)(h))


def nested(k):
    _, nested_layer = layers_of(k)
    a, b, c = k.Input((4,), name="a"), k.Input((3,), name="b"), k.Input((3,), name="c")
    hidden = k.layers.Dense(4)(a)
    made = nested_layer(name="nested")({"a": hidden, "b": (k.layers.Dense(3)(b), c)})
    joined = k.layers.Concatenate()([made["sum"], *made["more"]])
    return k.Model([a, b, c], k.layers.Dense(1)(joined))


@pytest.mark.parametrize(("make", "time"), [(several, (5,)), (nested, ())])
def test_models_of_such_layers(make, time, tmp_path, rng):
    sizes = (4, 2, 3) if time else (4, 3, 3)
    x = [floats(rng, 6, *time, n) for n in sizes]
    models = two_models(make)
    same_training(models, x, floats(rng, 6, *time, 1))
    known = [layers_of(package) for package in (lf, keras)]
    expected = models[0].predict(x, verbose=0)
    for model, package, others in ((models[0], keras, known[1]), (models[1], lf, known[0])):
        model.save(tmp_path / "m.keras")
        again = package.saving.load_model(
            tmp_path / "m.keras", custom_objects={cls.__name__: cls for cls in others}
        )
        close(again.predict(x, verbose=0), expected)
    clone = lf.models.clone_model(models[0])
    clone.set_weights(models[0].get_weights())
    np.testing.assert_array_equal(clone.predict(x, verbose=0), expected)


def told(k):
    """A model whose layers were told to train, or not to."""
    x = k.Input((6, 200))
    h = k.layers.Dropout(0.5)(x, training=True)
    h = k.layers.BatchNormalization()(h, training=False)
    h = k.layers.LSTM(3, recurrent_dropout=0.9, return_sequences=True)(h, training=False)
    inner = k.Sequential([k.Input((None, 3)), k.layers.Dropout(0.9)])
    return k.Model(x, [h, inner(h, training=False), k.layers.Dropout(0.5)(x, training=True)])


def test_what_layers_were_told_counts_where_the_model_is_told_nothing(tmp_path, rng):
    """As in Keras: `predict` and `fit` tell the model what training is, which goes before it."""
    x = np.ones((3, 6, 200), np.float32)
    models = two_models(told)
    for model, other in zip(models, (keras, lf), strict=True):
        model.save(tmp_path / "m.keras")
        for one in (model, other.saving.load_model(tmp_path / "m.keras")):
            values = [np.unique(np.asarray(y)) for y in outputs_of(one, x)[2:]]
            assert [list(v) for v in values] == [[0.0, 2.0]]
            h, inner, _ = outputs_of(one, x)
            np.testing.assert_array_equal(h, inner)
            alone = [outputs_of(one, x, training=False), one.predict(x, verbose=0)]
            assert all((y[2] == 1).all() for y in alone)
            h, inner, dropped = outputs_of(one, x, training=True)
            assert (inner == 0).mean() > 0.5 > (h == 0).mean()
            assert (dropped == 0).any()
    expected = [model.predict(x, verbose=0) for model in models]
    for ours, theirs in zip(*expected, strict=True):
        close(ours, theirs)


def outputs_of(model, x, **options):
    made = model(x, **options)
    return [y.detach().numpy() if hasattr(y, "detach") else y for y in made]


def test_a_call_that_says_training_means_it(rng):
    def make(k):
        class Always(k.Model):
            def __init__(self):
                super().__init__()
                self.dropout = k.layers.Dropout(0.5)

            def call(self, x):
                return self.dropout(x, training=True)

        return Always()

    x = np.ones((3, 200), np.float32)
    for package in (lf, keras):
        assert set(np.unique(make(package).predict(x, verbose=0))) == {0.0, 2.0}
    model = make(lf)
    model.build((None, 200))
    with pytest.raises(ValueError, match=r"cannot be frozen: .*training=True"):
        model.freeze()


def test_a_mask_given_as_a_tensor(tmp_path, rng):
    def make(k):
        x, mask = k.Input((6, 4)), k.Input((6,), dtype="bool")
        h = k.layers.LSTM(3, return_sequences=True)(x, mask=mask)
        return k.Model([x, mask], k.layers.GRU(2)(h))

    models = two_models(make)
    x, mask = floats(rng, 5, 6, 4), rng.random((5, 6)) > 0.4
    mask[:, 0] = True
    same_training(models, [x, mask], floats(rng, 5, 2))
    models[0].save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    close(again.predict([x, mask], verbose=0), models[0].predict([x, mask], verbose=0))
    with pytest.raises(ValueError, match="mask: expected a symbolic tensor"):
        lf.layers.LSTM(3)(lf.Input((6, 4)), mask=mask)


def with_optional_input(k):
    class Plus(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = k.layers.Dense(2)

        def build(self, x_shape):
            self.dense.build(x_shape)

        def call(self, x, other=None):
            return self.dense(x if other is None else x + other)

        def compute_output_shape(self, x_shape):
            return (*x_shape[:-1], 2)

    x, other = k.Input((3,), name="x"), k.Input((3,), name="other", optional=True)
    return k.Model({"x": x, "other": other}, Plus(name="plus")(x, other))


@pytest.mark.parametrize("is_given", [True, False])
def test_optional_inputs(is_given, rng):
    models = two_models(with_optional_input)
    x = {"x": floats(rng, 40, 3), "other": floats(rng, 40, 3) if is_given else None}
    y = floats(rng, 40, 2)
    same_training(models, x, y)
    results = [model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"] for model in models]
    close(*results)
    close(*(model.evaluate(x, y, verbose=0) for model in models))
    ours, theirs = (model.get_config()["layers"] for model in models)
    assert [c["config"].get("optional") for c in ours] == [c["config"].get("optional") for c in theirs]


def test_inputs_that_are_not_optional():
    model = with_optional_input(lf)
    with pytest.raises(ValueError, match="'x' is not optional, but None was passed"):
        model({"x": None, "other": np.ones((2, 3))})
    with pytest.raises(ValueError, match="same number of samples"):
        model({"x": np.ones((3, 3)), "other": np.ones((2, 3))})


INITIAL_STATES = {
    "LSTM": lambda k, h: k.layers.LSTM(3)(h, initial_state=[h[:, 0, :3], h[:, 1, :3]]),
    "GRU": lambda k, h: k.layers.GRU(3)(h, initial_state=h[:, 2, 1:]),
    "RNN": lambda k, h: k.layers.RNN(k.layers.LSTMCell(3))(h, initial_state=[h[:, 0, :3], h[:, 1, 1:]]),
    "Bidirectional": lambda k, h: k.layers.Bidirectional(k.layers.GRU(4))(
        h, initial_state=[h[:, 0], h[:, 1]]
    ),
}


@pytest.mark.parametrize("name", INITIAL_STATES)
def test_initial_states_that_are_parts_of_arrays(name, rng):
    def make(k):
        inputs = k.Input((5, 4))
        return k.Model(inputs, INITIAL_STATES[name](k, k.layers.Dense(4)(inputs)))

    models = two_models(make)
    x = floats(rng, 6, 5, 4)
    same_training(models, x, floats(rng, 6, models[0].output_shape[-1]))
