# SPDX-License-Identifier: BSD-3-Clause
"""Data for fit, evaluate and predict: generators, sequences of batches, data loaders, tables, views."""

from __future__ import annotations

import gc
import threading
import traceback
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.training import prefetch
from lstmfast.utils import PyDataset

X = np.random.default_rng(0).standard_normal((40, 6, 3)).astype(np.float32)
Y = X[:, :, :1].sum(axis=1)


def network():
    lf.utils.set_random_seed(3)
    model = Sequential([Input((None, 3)), layers.LSTM(5), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def parts(size=8, x=X, y=Y):
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


def endless():
    while True:
        yield from parts()


class Reloadable:
    """What a data loader is: iterable again and again, of known length, no __getitem__."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


class Pieces(PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.asked, self.begun, self.ended = [], 0, 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        self.asked.append(index)
        return parts()[index]

    def on_epoch_begin(self):
        self.begun += 1

    def on_epoch_end(self):
        self.ended += 1


class Bare:
    """A sequence that knows nothing of PyDataset."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return parts()[index]


class See(layers.Layer):
    """Keeps what passes in training."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def forward(self, x, call):
        if call.training:
            self.seen.append(x)
        return x

    def backward(self, dy, call):
        return dy


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def no_threads():
    return not [t for t in threading.enumerate() if t.name == "lstmfast-prefetch"]


@pytest.fixture
def reference():
    """Three epochs over the arrays in their order, and its history."""
    model = network()
    history = model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
    return model, history


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (endless, {"steps_per_epoch": 5}),
        (lambda: Reloadable(parts()), {}),
        (lambda: Reloadable([list(b) for b in parts()]), {}),
        (Pieces, {"shuffle": False}),
        (lambda: Pieces(workers=0), {"shuffle": False}),
        (lambda: Pieces(workers=4, use_multiprocessing=True), {"shuffle": False}),
        (Bare, {"shuffle": False}),
        (lambda: Reloadable([(x, y, np.ones(len(x))) for x, y in parts()]), {}),
        (lambda: Reloadable([(x, y, None, np.full(len(x), 6)) for x, y in parts()]), {}),
    ],
)
def test_the_same_batches_give_the_same_bits(source, options, reference):
    model = network()
    history = model.fit(source(), epochs=3, verbose=0, **options).history
    assert same(model, reference[0]) and history == reference[1]
    assert no_threads()


def test_evaluate_and_predict(reference):
    model, _ = reference
    loss = model.evaluate(X, Y, batch_size=8, verbose=0)
    y = model.predict(X, batch_size=8, verbose=0)
    for source in (lambda: iter(parts()), lambda: Reloadable(parts()), Pieces, Bare):
        assert model.evaluate(source(), verbose=0) == loss
        np.testing.assert_array_equal(model.predict(source(), verbose=0), y)
    np.testing.assert_array_equal(model.predict((x for x, _ in parts()), verbose=0), y)
    np.testing.assert_array_equal(model.predict(endless(), steps=2, verbose=0), y[:16])
    assert model.evaluate(endless(), steps=5, verbose=0) == loss
    assert no_threads()


def test_steps_per_epoch_go_on_where_the_last_epoch_ended():
    """As in Keras: 2 + 2 + 1 batches, the last epoch with a warning; for arrays too."""
    seen = []

    class See(lf.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(0)

        def on_train_batch_end(self, batch, logs=None):
            seen[-1] += 1

    for x, y in ((X, Y), (Reloadable(parts()), None), (iter(parts()), None), (Pieces(), None)):
        seen.clear()
        with pytest.warns(UserWarning, match="ran out of data"):
            network().fit(
                x, y, batch_size=8, epochs=3, steps_per_epoch=2, verbose=0, callbacks=[See()], shuffle=False
            )
        assert seen == [2, 2, 1]
    whole, cut = network(), network()
    whole.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    cut.fit(X, Y, batch_size=8, epochs=10, steps_per_epoch=1, shuffle=False, verbose=0)
    assert same(whole, cut)


def test_a_generator_that_ends_ends_the_training():
    model = network()
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(iter(parts()), epochs=3, verbose=0)
    assert history.epoch == [0] and len(history.history["loss"]) == 1


def test_validation_data():
    """Each validation begins anew, but a generator goes on; where it has ended there is no val_loss."""
    model = network()
    expected = None
    for data, options in (
        ((X[:16], Y[:16]), {"validation_batch_size": 8}),
        (Reloadable(parts()), {"validation_steps": 2}),
        (Pieces(), {"validation_steps": 2}),
        (iter(parts()[:2] * 3), {"validation_steps": 2}),
    ):
        model = network()
        found = model.fit(
            X, Y, epochs=3, batch_size=8, shuffle=False, verbose=0, validation_data=data, **options
        )
        expected = expected or found.history
        assert found.history == expected
    with pytest.warns(UserWarning, match="ran out of data"):
        history = network().fit(X, Y, epochs=2, verbose=0, validation_data=iter(parts())).history
    assert len(history["loss"]) == 2 and len(history["val_loss"]) == 1


def test_nothing_is_read_that_is_not_needed():
    """A generator goes on in the next fit with the batch behind the last one used."""
    read = []

    def counted():
        for k in range(1000):
            read.append(k)
            yield X[:4], Y[:4]

    source, model = counted(), network()
    model.fit(source, steps_per_epoch=3, epochs=2, verbose=0)
    assert read == list(range(6))
    model.fit(source, steps_per_epoch=2, verbose=0, validation_data=(X, Y))
    assert read == list(range(8))


def test_shuffling_and_hooks_of_sequences():
    data = Pieces()
    network().fit(data, epochs=2, verbose=0)
    first, second = data.asked[:5], data.asked[5:]
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4] and first != second
    assert data.begun == data.ended == 2
    again = Pieces()
    network().fit(again, epochs=2, verbose=0)
    assert again.asked == data.asked  # `network` seeds
    data = Pieces()
    network().fit(X, Y, validation_data=data, epochs=2, verbose=0)
    assert data.asked == [0, 1, 2, 3, 4] * 2


def test_batches_are_read_ahead_on_another_thread():
    names = []

    def source():
        for batch in parts():
            names.append(threading.current_thread().name)
            yield batch

    network().fit(source(), verbose=0)
    assert names[1:] == ["lstmfast-prefetch"] * 4
    here = []

    class Here(Pieces):
        def __getitem__(self, index):
            here.append(threading.current_thread() is threading.main_thread())
            return super().__getitem__(index)

    network().fit(Here(workers=0), verbose=0)
    assert here == [True] * 5


@pytest.mark.parametrize("at", [0, 1, 3])
def test_an_error_in_a_generator_surfaces_with_its_traceback(at):
    def broken():
        for k, batch in enumerate(parts()):
            if k == at:
                raise KeyError("no such file")
            yield batch

    model = network()
    with pytest.raises(KeyError, match="no such file") as caught:
        model.fit(broken(), verbose=0)
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "broken" in frames and "fit" in frames
    assert no_threads()
    if at:
        assert f"epoch 1, batch {at + 1}" in caught.value.__notes__[0]
    model.fit(X, Y, verbose=0)


def test_an_error_in_training_ends_the_thread_and_lets_go_of_the_generator():
    closed = []

    def source():
        try:
            yield from endless()
        finally:
            closed.append(True)

    class Stop(lf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network().fit(source(), steps_per_epoch=5, verbose=0, callbacks=[Stop()])
    assert no_threads() and closed == [True]
    network().fit(source(), steps_per_epoch=2, verbose=0)
    assert no_threads() and closed == [True] * 2


def test_a_generator_that_waits_forever_does_not_hold_up_an_error(monkeypatch):
    monkeypatch.setattr(prefetch, "_PATIENCE", 0.1)
    release = threading.Event()

    def waiting():
        yield parts()[0]
        release.wait()

    class Stop(lf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        network().fit(waiting(), verbose=0, callbacks=[Stop()])
    release.set()
    for thread in threading.enumerate():
        if thread.name == "lstmfast-prefetch":
            thread.join()


def test_a_stateful_model_from_a_stream():
    lf.utils.set_random_seed(0)
    model = Sequential([Input(batch_shape=(8, 6, 3)), layers.LSTM(4, stateful=True), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(Reloadable(parts()), epochs=2, verbose=0, validation_data=(X[:16], Y[:16])).history
    assert len(history["val_loss"]) == 2
    with pytest.raises(ValueError, match="batch") as caught:
        model.fit(Reloadable([*parts()[:2], (X[:5], Y[:5])]), verbose=0)
    assert "epoch 1, batch 3" in caught.value.__notes__[0]


def test_batches_are_freed():
    alive = []

    def source():
        for x, y in parts():
            x = x.copy()
            alive.append(weakref.ref(x))
            yield x, y

    most = []

    class Count(lf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            most.append(sum(ref() is not None for ref in alive))

    network().fit(source(), verbose=0, callbacks=[Count()])
    gc.collect()
    assert max(most) <= 3 and not any(ref() is not None for ref in alive)


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (lambda: iter([]), {}, ValueError, "no batch"),
        (lambda: iter([(X, Y, None, None, None, None)]), {}, ValueError, "a batch must be"),
        (lambda: iter([(X[..., :2], Y)]), {}, ValueError, "shape"),
        (lambda: iter([(X,)]), {}, ValueError, "y is missing"),
        (lambda: iter([(X, Y[:-1])]), {}, ValueError, "40 samples"),
        (lambda: iter([("a", "b")]), {}, TypeError, "x must be"),
        (lambda: iter(parts()), {"validation_split": 0.5}, ValueError, "validation_split"),
        (lambda: iter(parts()), {"sample_weight": np.ones(40)}, ValueError, "`sample_weight` should not"),
        (lambda: iter(parts()), {"lengths": np.ones(40, int)}, ValueError, "`lengths` should not"),
        (lambda: iter(parts()), {"steps_per_epoch": 0}, ValueError, "steps_per_epoch"),
        (lambda: iter(parts()), {"validation_data": iter([])}, ValueError, "no batch"),
        (lambda: {1, 2}, {}, TypeError, "x must be"),
    ],
)
def test_wrong_sources_change_nothing(x, options, error, match):
    model = network()
    before = model.get_weights()
    with pytest.raises(error, match=match):
        model.fit(x(), verbose=0, **options)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert int(model.optimizer.iterations) == 0 and no_threads()


def test_a_wrong_batch_later_is_named():
    model = network()
    with pytest.raises(ValueError, match="shape") as caught:
        model.fit(Reloadable([*parts()[:2], (X[..., :2], Y)]), verbose=0)
    assert "epoch 1, batch 3" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="y is missing"):
        model.fit(Reloadable([parts()[0], (X,)]), verbose=0)


def test_data_sets_without_end():
    class Endless(PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return parts()[index % 5]

    model = network()
    with pytest.raises(ValueError, match="steps_per_epoch is needed"):
        model.fit(Endless(), verbose=0)
    with pytest.raises(ValueError, match="steps is needed"):
        model.evaluate(Endless(), verbose=0)
    whole = network()
    whole.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    model.fit(Endless(), steps_per_epoch=5, verbose=0)
    assert same(model, whole)


def test_the_base_class():
    assert [len(x) for x, _ in Pieces()] == [8] * 5
    with pytest.raises(NotImplementedError, match="__getitem__"):
        PyDataset()[0]
    with pytest.raises(NotImplementedError, match="num_batches"):
        PyDataset().num_batches  # noqa: B018
    with pytest.raises(ValueError, match="workers"):
        PyDataset(workers=-1)


def test_class_weights_and_several_inputs():
    y = (Y[:, 0] > 0).astype(int)
    models = []
    for k in range(2):
        lf.utils.set_random_seed(1)
        a, b = Input((None, 3), name="a"), Input((2,), name="b")
        joined = layers.Concatenate()([layers.LSTM(4)(a), b])
        model = Model([a, b], layers.Dense(2, activation="softmax")(joined))
        model.compile("sgd", "sparse_categorical_crossentropy")
        more = X[:, 0, :2]
        options = {"epochs": 2, "class_weight": {1: 3.0}, "verbose": 0}
        if k:
            batches = [({"a": X[i : i + 8], "b": more[i : i + 8]}, y[i : i + 8]) for i in range(0, 40, 8)]
            model.fit(Reloadable(batches), **options)
        else:
            model.fit([X, more], y, batch_size=8, shuffle=False, **options)
        models.append(model)
    assert same(*models)


def test_a_model_is_built_by_its_first_batch():
    model = Sequential([layers.LSTM(5), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(iter(parts()), verbose=0)
    assert model.input_shape == (None, 6, 3)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 7), st.integers(1, 5), st.sampled_from(["arrays", "loader", "pieces"])
)
def test_batches_of_any_numbers(available, limit, epochs, kind):
    """Which batches each epoch takes, against the rule written out: on from the last epoch, a new start at the end."""
    x = np.arange(2.0 * available, dtype=np.float32).reshape(-1, 1)
    batches = [(x[i : i + 2], x[i : i + 2]) for i in range(0, len(x), 2)]
    expected, at = [], 0
    for _ in range(epochs):
        end = min(at + limit, available)
        expected.append(list(range(at, end)))
        at = 0 if end == available else end
    see = See()
    model = Sequential([Input((1,)), see, layers.Dense(1)])
    model.compile(lf.optimizers.SGD(0.0), "mse")
    taken = []
    note = lf.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: taken.append([]),
        on_train_batch_end=lambda *_: taken[-1].append(int(see.seen[-1][0, 0]) // 2),
    )

    class Numbered(PyDataset):
        def __len__(self):
            return available

        def __getitem__(self, index):
            return batches[index]

    data = {"arrays": (x, x), "loader": (Reloadable(batches), None), "pieces": (Numbered(), None)}[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(
            *data,
            batch_size=2,
            epochs=epochs,
            steps_per_epoch=limit,
            shuffle=False,
            verbose=0,
            callbacks=[note],
        )
    assert taken == expected


# --- arrays of other libraries, duck typed


class Table:
    """A pandas-like column or table of nullable or mixed types: plain `to_numpy` gives objects."""

    def __init__(self, values, plain_dtype=None):
        self.values, self.plain_dtype = values, plain_dtype

    def __len__(self):
        return len(self.values)

    def to_numpy(self, dtype=None, na_value=None):
        return np.asarray(self.values, dtype or self.plain_dtype)


class OnlyArray:
    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


@pytest.mark.parametrize("wrap", [Table, OnlyArray, lambda a: Table(a, object)])
def test_anything_with_an_array(wrap, reference):
    model = network()
    model.fit(wrap(X), wrap(Y), batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert same(model, reference[0])
    np.testing.assert_array_equal(model.predict(wrap(X), verbose=0), model.predict(X, verbose=0))
    model = network()
    batches = [(wrap(x), wrap(y), wrap(np.ones(len(x)))) for x, y in parts()]
    model.fit(Reloadable(batches), epochs=3, verbose=0)
    assert same(model, reference[0])


def test_text_is_refused():
    with pytest.raises(TypeError, match="y must be numeric"):
        network().fit(X, Table(np.array(["a"] * 40, object)), verbose=0)


def test_pandas(reference):
    pd = pytest.importorskip("pandas")
    flat = pd.DataFrame(X.reshape(40, -1), dtype="Float32")
    target = pd.Series(Y[:, 0])
    models = []
    for x, y in ((flat, target), (X.reshape(40, -1), Y)):
        lf.utils.set_random_seed(0)
        model = Sequential([Input((18,)), layers.Dense(3, activation="tanh"), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=2, verbose=0, sample_weight=None if x is not flat else pd.Series(np.ones(40)))
        models.append(model)
    assert same(*models)


def test_torch_tensors_and_loaders(reference):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    model = network()
    model.fit(torch.utils.data.DataLoader(data, batch_size=8), epochs=3, verbose=0)
    assert same(model, reference[0])
    model = network()
    x = torch.from_numpy(X).requires_grad_()
    model.fit(x, torch.from_numpy(Y), batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert same(model, reference[0])
    with pytest.raises(TypeError, match="DataLoader"):
        model.fit(data, verbose=0)


# --- arrays in memory are not copied


def test_batches_in_order_are_views_and_shuffled_ones_share_one_buffer():
    see = See()
    model = Sequential([Input((None, 3)), see, layers.LSTM(2), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    assert all(np.shares_memory(x, X) for x in see.seen)
    see.seen.clear()
    model.fit(X, Y, batch_size=8, verbose=0)
    assert not any(np.shares_memory(x, X) for x in see.seen)
    assert all(np.shares_memory(x, see.seen[0]) for x in see.seen)
