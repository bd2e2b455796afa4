# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `compute_loss` with operations and layers train as in Keras."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(11)
X = RNG.random((8, 4, 3)).astype(np.float32)
Y = RNG.random((8, 1)).astype(np.float32)
Z = RNG.random((8, 4, 2)).astype(np.float32)
WEIGHTS = RNG.random(8).astype(np.float32)


def model_of(K, own, outputs="one", **options):
    """A model of the class that `own` makes."""
    x = K.Input((4, 3))
    h = K.layers.SimpleRNN(5, return_sequences=True, name="rnn")(x)
    last = K.layers.Dense(1, name="last", **options)(K.layers.GlobalAveragePooling1D()(h))
    steps = K.layers.Dense(2, name="steps")(h)
    model = own(K)(x, {"one": last, "dict": {"last": last, "steps": steps}, "list": [last, steps]}[outputs])
    rng = np.random.default_rng(7)
    model.set_weights(
        [rng.normal(scale=0.4, size=np.shape(w)).astype(np.float32) for w in model.get_weights()]
    )
    return model


def trained(K, own, outputs="one", y=Y, compiled=None, evaluate=True, **options):
    fit = options.pop("fit", {})
    model = model_of(K, own, outputs, **options)
    model.compile(K.optimizers.SGD(0.2), **(compiled or {}))
    history = model.fit(X, y, batch_size=3, epochs=2, shuffle=False, verbose=0, **fit).history
    score = model.evaluate(X, y, batch_size=3, verbose=0, return_dict=True) if evaluate else {}
    return history, score, model.get_weights()


def compare(own, *args, **options):
    (h1, s1, w1), (h2, s2, w2) = (trained(K, own, *args, **options) for K in (lf, keras))
    assert list(h1) == list(h2) and set(s1) == set(s2)
    for name in h1:
        np.testing.assert_allclose(h1[name], h2[name], rtol=3e-5, err_msg=name)
    for name in s1:
        np.testing.assert_allclose(s1[name], s2[name], rtol=3e-5, err_msg=name)
    for a, b in zip(w1, w2, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def without_compile(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return K.ops.mean(K.ops.square(y - y_pred) * K.ops.exp(x[:, 0, :1]))

    return Own


def scaled(K):
    class Own(K.Model):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            base = super().compute_loss(x, y, y_pred, sample_weight, training)
            return 2.5 * base + K.ops.mean(K.ops.abs(y_pred))

    return Own


def of_several(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            base = super().compute_loss(x, y, y_pred, sample_weight)
            tie = K.ops.mean(K.ops.square(y_pred["last"] - K.ops.mean(y_pred["steps"], axis=1)))
            return base + 0.3 * tie

    return Own


def of_one_of_several(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return K.ops.mean(K.ops.square(y[1] - y_pred[1]))

    return Own


def half_regularized(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return K.ops.mean(K.ops.square(y - y_pred)) + 0.5 * sum(self.losses)

    return Own


def through_itself(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            shifted = self(x + 0.1, training=training)
            return K.ops.mean(K.ops.square(y - y_pred)) + K.ops.mean(K.ops.abs(shifted - y_pred))

    return Own


def with_a_weight(K):
    class Own(K.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            precision = K.ops.exp(-self.scale)
            return K.ops.mean(K.ops.square(y - y_pred)) * precision + self.scale

    return Own


def with_a_metric(K):
    class Own(K.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tie = K.metrics.Mean(name="tie")

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            tie = K.ops.mean(K.ops.abs(y_pred))
            self.tie.update_state(tie)
            return super().compute_loss(x, y, y_pred, sample_weight, training) + tie

    return Own


def test_without_a_loss_in_compile():
    compare(without_compile)


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy", "huber"])
def test_more_than_the_loss_of_compile(loss):
    compare(scaled, compiled={"loss": loss, "metrics": ["mae"]}, activation="sigmoid")


def test_sample_weights_and_loss_weights():
    compiled = {"loss": "mse", "loss_weights": 0.4, "weighted_metrics": ["mae"]}
    compare(scaled, compiled=compiled, fit={"sample_weight": WEIGHTS})


def test_several_outputs():
    y = {"last": Y, "steps": Z}
    compare(
        of_several,
        "dict",
        y,
        {"loss": {"last": "mse", "steps": "mae"}, "loss_weights": {"last": 2.0, "steps": 0.5}},
    )


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_one_of_several_outputs():
    compare(of_one_of_several, "list", [Y, Z])


def test_regularizers_have_the_part_that_it_gives_them():
    compare(half_regularized, kernel_regularizer="l2")
    compare(without_compile, kernel_regularizer="l2")
    compare(scaled, compiled={"loss": "mse"}, kernel_regularizer="l1")


def test_activity_regularizers():
    compare(scaled_by_one, compiled={"loss": "mse"}, activity_regularizer="l2")
    model = model_of(lf, without_compile, activity_regularizer="l2")
    model.compile("sgd")
    with pytest.raises(NotImplementedError, match=r"must add `self\.losses` as they are"):
        model.fit(X, Y, verbose=0)


def scaled_by_one(K):
    class Own(K.Model):
        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            return super().compute_loss(x, y, y_pred, sample_weight, training) + K.ops.mean(K.ops.abs(y_pred))

    return Own


def test_the_model_itself_in_the_loss():
    compare(through_itself)


def test_a_weight_of_the_loss():
    compare(with_a_weight)


def test_a_metric_of_the_loss():
    compare(with_a_metric, compiled={"loss": "mse"})


def test_the_gradient_is_that_of_finite_differences():
    """An oracle besides Keras: the loss itself, in float64 differences."""
    model = model_of(lf, scaled)
    model.compile(lf.optimizers.SGD(1.0), "mse")
    before = model.get_weights()
    score = model.evaluate(X, Y, batch_size=8, verbose=0)
    direction = [
        np.random.default_rng(k).normal(size=w.shape).astype(np.float32) for k, w in enumerate(before)
    ]
    model.train_on_batch(X, Y)
    slope = sum(
        float(((a - b) * d).sum()) for a, b, d in zip(before, model.get_weights(), direction, strict=True)
    )
    scores = []
    for step in (1e-2, -1e-2):
        model.set_weights([w + step * d for w, d in zip(before, direction, strict=True)])
        scores.append(model.evaluate(X, Y, batch_size=8, verbose=0))
    assert (scores[0] - scores[1]) / 2e-2 == pytest.approx(slope, rel=1e-2)
    assert score == pytest.approx(np.mean(scores), rel=1e-1)


def test_what_is_no_part_of_a_graph_is_said():
    def numpy_of(K):
        class Own(K.Model):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return float(np.mean(np.square(np.asarray(y) - np.asarray(y_pred)) ** 2))

        return Own

    def vector(K):
        class Own(K.Model):
            def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                return lf.ops.mean(lf.ops.square(y - y_pred), axis=-1)

        return Own

    model = model_of(lf, numpy_of)
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(NotImplementedError, match="no automatic differentiation, but of what uses"):
        model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model = model_of(lf, vector)
    model.compile("sgd", "mse")
    with pytest.raises((NotImplementedError, TypeError)):
        model.fit(X, Y, verbose=0)


def of_pairs(K):
    class Own(K.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            near, far = y["near"], y["far"][0]
            errors = K.ops.mean(K.ops.abs(near - y_pred) - 0.1 * K.ops.square(far - y_pred), axis=-1)
            return K.ops.mean(errors if sample_weight is None else errors * sample_weight["near"])

    return Own


@pytest.mark.parametrize("weighted", [False, True])
def test_targets_in_a_structure_of_their_own(weighted):
    y = {"near": Y, "far": [1 - Y, Y]}
    compare(of_pairs, "one", y, fit={"sample_weight": WEIGHTS} if weighted else {}, evaluate=not weighted)


def test_targets_of_steps_of_ones_own():
    seen = []

    def own(K):
        class Own(K.Model):
            def train_step(self, data):
                x, (a, b) = data
                seen.append((np.array(x), np.array(a), np.array(b)))
                return {"total": float(np.sum(seen[-1][1]) + np.sum(seen[-1][2]))}

        return Own

    histories = []
    for K in (lf, keras):
        model = model_of(K, own)
        model.compile("sgd")
        classes = np.arange(8)
        histories.append(model.fit(X, (Y, classes), batch_size=3, shuffle=False, verbose=0).history["total"])
    np.testing.assert_allclose(*histories, rtol=1e-6)
    half = len(seen) // 2
    for ours, theirs in zip(seen[:half], seen[half:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    model = model_of(lf, own)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y must have one entry for each of the 8 samples"):
        model.fit(X, (Y, Y[:3]), verbose=0)
    with pytest.raises(ValueError, match="y must have one entry"):  # a default step has no use for them
        plain = model_of(lf, lambda K: K.Model)
        plain.compile("sgd", "mse")
        plain.fit(X, (Y, Y), verbose=0)


@pytest.mark.parametrize("where", ["attribute", "closure", "variable"])
def test_what_changes_between_batches_counts(where):
    """The weight of a term that a callback raises."""
    found = []
    for K in (lf, keras):
        outer = {"part": 0.0}

        def own(K, outer=outer):
            class Own(K.Model):
                def __init__(self, *args, **kwargs):
                    super().__init__(*args, **kwargs)
                    self.part = 0.0
                    self.variable = self.add_weight(
                        shape=(), initializer="zeros", trainable=False, name="part"
                    )

                def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
                    part = {"attribute": self.part, "closure": outer["part"], "variable": self.variable}[
                        where
                    ]
                    return super().compute_loss(x, y, y_pred, sample_weight, training) + part * K.ops.mean(
                        y_pred
                    )

            return Own

        class Raise(K.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None, outer=outer):
                outer["part"] += 0.3
                self.model.part += 0.3
                self.model.variable.assign(self.model.variable + 0.3)

        model = model_of(K, own)
        model.compile(K.optimizers.SGD(0.2), "mse")
        callbacks = [Raise()]
        model.fit(X, Y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())
