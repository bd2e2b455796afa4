# SPDX-License-Identifier: BSD-3-Clause
"""The first call of a model that is not built, from many threads at once."""

import sys
import threading

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers

X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)


class Written(lf.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.LSTM(4)
        self.second = layers.Dense(2)

    def call(self, x):
        return self.second(self.first(x))


def nested():
    return lf.Sequential([lf.Sequential([layers.GRU(4, return_sequences=True)]), Written()])


MODELS = {
    "sequential": lambda: lf.Sequential([layers.LSTM(4), layers.Dense(2)]),
    "with an input": lambda: lf.Sequential([lf.Input((None, 4)), layers.LSTM(4), layers.Dense(2)]),
    "that writes call": Written,
    "nested": nested,
}


@pytest.fixture
def many_switches():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("kind", MODELS)
def test_first_call(kind):
    for _ in range(5):
        model, count = MODELS[kind](), 8
        start, made, errors = threading.Barrier(count), [], []

        def work(model=model, start=start, made=made, errors=errors):
            start.wait()
            try:
                made.append(model(X))
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors[0]
        assert len({id(weight) for weight in model.weights}) == len(model.get_weights())
        expected = model(X)
        for y in made:
            np.testing.assert_array_equal(y, expected)
