# SPDX-License-Identifier: BSD-3-Clause
"""`add_loss` inside a `call`, calls that do something else in training, and training without `loss=`, as in Keras."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*__array__ implementation:DeprecationWarning",  # Keras's variables become arrays by way of torch
    "ignore:Gradients do not exist",  # Keras: of weights that no loss depends on
    "ignore:`build..` was called",
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5, 4)).astype(np.float32)
X[2, 3:] = X[5, 1:] = 0
Y = RNG.normal(size=(8, 5, 4)).astype(np.float32)


def parts(K):
    """Layers and models of a library, by name."""
    L, ops = K.layers, K.ops

    class Code(L.Layer):
        """The variational autoencoder's, without the noise: outputs the mean, adds the Kullback-Leibler divergence."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.mean, self.log_variance = L.Dense(3), L.Dense(3)

        def build(self, shape):
            self.mean.build(shape)
            self.log_variance.build(shape)
            self.built = True

        def call(self, x):
            mean, log_variance = self.mean(x), self.log_variance(x)
            self.add_loss(
                -0.5 * ops.mean(1 + log_variance - ops.square(mean) - ops.exp(log_variance), axis=None)
            )
            return mean + 0.1 * log_variance

    class Shrunk(L.Layer):
        """Several losses, one of a weight alone, and a number."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = L.Dense(4)

        def build(self, shape):
            self.dense.build(shape)
            self.built = True

        def compute_output_shape(self, shape):
            return (*shape[:-1], 4)

        def call(self, x):
            y = self.dense(x)
            self.add_loss([ops.mean(y), 0.1 * ops.sum(ops.square(self.dense.kernel))])
            self.add_loss(ops.convert_to_tensor(0.25))
            return y

    class Inside(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.shrunk = Shrunk()

        def build(self, shape):
            self.shrunk.build(shape)
            self.built = True

        def call(self, x, training=False):
            y = self.shrunk(x)
            if training:
                y = y * 2
                self.add_loss(ops.mean(ops.abs(y)))
            return y

    class Masked(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking, self.dense = True, L.Dense(4)

        def build(self, shape):
            self.dense.build(shape)
            self.built = True

        def call(self, x, mask=None):
            y = self.dense(x)
            if mask is not None:
                steps = ops.cast(mask, "float32")
                self.add_loss(ops.sum(ops.square(y) * ops.expand_dims(steps, -1)) / ops.sum(steps))
            return y

    class Pair(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = L.Dense(4)

        def build(self, a_shape, b_shape):
            self.dense.build(a_shape)
            self.built = True

        def call(self, a, b):
            y = self.dense(a)
            self.add_loss(ops.mean(ops.square(y - b)))
            return y, y + b

    class Model(K.Model):
        """Adds losses itself."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = L.Dense(3), L.Dense(4)

        def call(self, x):
            code = self.a(x)
            self.add_loss(ops.mean(ops.square(code)))
            y = self.b(code)
            self.add_loss([ops.mean(ops.square(x - y)), 0.1 * ops.sum(ops.square(self.b.kernel))])
            return y

    class Coder(K.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.code, self.back = Code(), L.LSTM(4, return_sequences=True)

        def call(self, x):
            return self.back(self.code(x))

    class Outer(K.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner, self.dense = Model(), L.Dense(4)

        def call(self, x, training=False):
            return self.dense(self.inner(x)) * (2 if training else 1)

    class Branches(K.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b, self.gru = L.Dense(4), L.Dense(4), L.GRU(4, return_sequences=True)

        def call(self, x, training=False):
            return self.gru(self.a(x) if training else self.b(x))

    class Masks(K.Model):
        """The mask goes through a call that branches."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.masking, self.a, self.lstm = L.Masking(), L.Dense(4), L.LSTM(4, return_sequences=True)

        def call(self, x, training=False):
            y = self.lstm(self.masking(x))
            return self.a(y) if training else self.a(self.a(y))

    class Teacher(K.Model):
        """Teacher forcing: in training each step sees the target before, else the output before."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder = L.LSTM(6, return_state=True)
            self.decoder, self.dense = L.LSTM(6, return_state=True), L.Dense(4)

        def call(self, inputs, training=False):
            x, targets = inputs
            _, *states = self.encoder(x)
            before, made = ops.zeros_like(targets[:, 0]), []
            for step in range(5):
                y, *states = self.decoder(ops.expand_dims(before, 1), initial_state=states)
                made.append(self.dense(y))
                before = targets[:, step] if training else made[-1]
            return ops.stack(made, axis=1)

    def line(*some):
        return K.Sequential([K.Input((5, 4)), *some])

    def branch():
        """The layer's output leads nowhere."""
        x = K.Input((5, 4))
        layer = Code()
        return K.Model(x, [L.Dense(4)(x), layer(x)])

    def around(inner):
        x = K.Input((5, 4))
        return K.Model(x, L.Dense(4)(inner(x)))

    def two():
        x = K.Input((5, 4))
        return K.Model(x, L.Dense(4)(Pair()(x, L.Dense(4)(x))[0]))

    def twice():
        x, layer = K.Input((5, 4)), Shrunk()
        return K.Model(x, layer(layer(x)))

    def frozen():
        model = line(Shrunk(), L.Dense(4))
        model.layers[0].trainable = False
        return model

    return {
        "layer": lambda: line(Code(), L.LSTM(4, return_sequences=True)),
        "several": lambda: line(Shrunk()),
        "inside": lambda: line(Inside(), L.Dense(4)),
        "masked": lambda: line(L.Masking(), Masked(), L.LSTM(4, return_sequences=True)),
        "two tensors": two,
        "twice": twice,
        "each step": lambda: line(L.TimeDistributed(Shrunk())),
        "leads nowhere": branch,
        "not trainable": frozen,
        "model": Model,
        "model of a layer": Coder,
        "model in a functional one": lambda: around(Model()),
        "model in a model": Outer,
        "branches": Branches,
        "branches in a functional one": lambda: around(Branches()),
        "mask": Masks,
        "teacher": Teacher,
        "activity": lambda: line(L.Dense(4, activity_regularizer="l2")),
        "regularizer": lambda: line(L.Dense(4, kernel_regularizer="l2", use_bias=False)),
    }


THEIRS, OURS = parts(keras), parts(lf)
BRANCHES = {"branches", "branches in a functional one", "mask", "teacher", "not trainable"}


def pair(name, x):
    theirs, ours = THEIRS[name](), OURS[name]()
    for model in (theirs, ours):
        model(x, training=True)
    theirs(x)
    assert [tuple(v.shape) for v in theirs.weights] == [v.shape for v in ours.weights]
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def close(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(a).max())


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("loss", ["mse", None])
def test_trained_and_judged_alike(name, loss):
    if loss is None and name in BRANCHES:
        pytest.skip("nothing to train for")
    x = [X, Y] if name == "teacher" else X
    y = None if loss is None else [Y, Y[..., :3]] if name == "leads nowhere" else Y
    seen = []
    for model, K in zip(pair(name, x), (keras, lf), strict=True):
        losses = ["mse", None] if loss and name == "leads nowhere" else loss
        model.compile(K.optimizers.SGD(0.1), losses)
        history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        found = [history, model.evaluate(x, y, batch_size=4, verbose=0)]
        found += [model.train_on_batch(x, y), model.test_on_batch(x, y)]
        output = model.predict(x, verbose=0)
        model(x)
        added = sum(float(K.ops.convert_to_numpy(penalty)) for penalty in model.losses)
        seen.append(
            [*found, *(output if isinstance(output, list) else [output]), added, *model.get_weights()]
        )
    for theirs, ours in zip(*seen, strict=True):
        close(theirs, ours)


@pytest.mark.parametrize("name", ["branches", "several"])
def test_nothing_to_train_for(name):
    x = X if name == "branches" else np.ones((4, 5, 4), np.float32)
    for K, made in ((keras, THEIRS), (lf, OURS)):
        model = made[name]() if name == "branches" else K.Sequential([K.Input((5, 4)), K.layers.Dense(4)])
        model(x, training=True)
        model(x)
        model.compile(K.optimizers.SGD(0.1))
        before = [np.array(w) for w in model.get_weights()]
        for run in (model.fit, model.evaluate):
            with pytest.raises(
                ValueError, match=r"No loss to compute. Provide a `loss` argument in `compile\(\)`."
            ):
                run(x, verbose=0)
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_files_both_ways(tmp_path):
    for name in ("branches", "model"):
        theirs, ours = pair(name, X)
        for model in (theirs, ours):
            model.compile("sgd", "mse")
            model.fit(X, Y, verbose=0)
        for K, model, made in ((lf, theirs, OURS), (keras, ours, THEIRS)):
            path = tmp_path / f"{name}_{K.__name__}.weights.h5"
            model.save_weights(path)
            other = made[name]()
            other(X, training=True)
            other(X)
            other.load_weights(path)
            close(model.predict(X, verbose=0), other.predict(X, verbose=0))
