# SPDX-License-Identifier: BSD-3-Clause
"""Losses in structures of their own: which outputs they judge, their names and weights, as in Keras."""

from __future__ import annotations

import collections

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(5)
X = RNG.random((8, 3)).astype(np.float32)
A, B, C = (RNG.random((8, 1)).astype(np.float32) for _ in range(3))
Pair = collections.namedtuple("Pair", ["first", "second"])
#: Outputs by kind, of the tensors a and b; the same of targets.
KINDS = {
    "one": lambda a, b: a,
    "list": lambda a, b: [a, b],
    "tuple": lambda a, b: (a, b),
    "pair": Pair,
    "dict": lambda a, b: {"q": a, "p": b},
    "deep": lambda a, b: {"z": {"b": b, "y": a}, "c": (b, a), "d": a},
}


def model_of(K, kind):
    x = K.Input((3,))
    a, b = K.layers.Dense(1, name="ya")(x), K.layers.Dense(1, name="yb", activation="sigmoid")(x)
    model = K.Model(x, KINDS[kind](a, b))
    model.set_weights(
        [np.full(np.shape(w), 0.1 * (k + 1), np.float32) for k, w in enumerate(model.get_weights())]
    )
    return model


def joint_of(K):
    """A loss of all that it is given."""

    def joint(y_true, y_pred):
        keras.tree.assert_same_structure(y_true, y_pred)
        pairs = zip(keras.tree.flatten(y_true), keras.tree.flatten(y_pred), strict=True)
        total = 0.0
        for number, (y, p) in enumerate(pairs):
            total = total + (number + 1) * K.losses.mean_absolute_error(y, p)
        return total

    return joint


def results(K, kind, loss, y, loss_weights=None, **fit):
    model = model_of(K, kind)
    model.compile(K.optimizers.SGD(0.5), loss(joint_of(K)), loss_weights=loss_weights, metrics=None)
    history = model.fit(X, y, batch_size=3, epochs=2, shuffle=False, verbose=0, **fit).history
    scores = np.ravel(model.evaluate(X, y, batch_size=3, verbose=0)).tolist()
    return history, scores, [m.name for m in model.metrics], model.get_weights()


CASES = {
    "one for all": ("deep", lambda j: "mse", None),
    "flat list": ("deep", lambda j: ["mse", "mae", "mse", None, "mae"], [1.0, 2.0, 0.5, 1.0, 0.1]),
    "two of one output": ("list", lambda j: ["mse", ["mse", "binary_crossentropy"]], None),
    "two of one output of a dict": ("dict", lambda j: {"p": ["mse", "mae"], "q": "mse"}, None),
    "two alone": ("dict", lambda j: {"p": ["mse", "mae"]}, None),
    "of all and each": ("list", lambda j: (j, ["mse", "mae"]), None),
    "weighted": ("list", lambda j: (j, ["mse", "mae"]), (0.5, [0.2, 3.0])),
    "weights in a row": ("list", lambda j: (j, ["mse", "mae"]), [0.5, 0.2, 3.0]),
    "tuple in a list": ("tuple", lambda j: [j, ("mse", "mae")], None),
    "all alone": ("tuple", lambda j: [j], [0.25]),
    "named tuple": ("pair", lambda j: [j, Pair("mse", j)], None),
    "dict in a list": ("dict", lambda j: [j, {"p": "mse", "q": j}], [2.0, {"p": 0.3, "q": 0.7}]),
    "built-in of all": ("list", lambda j: ("mse", ["mse", "mae"]), None),
    "same name thrice": ("list", lambda j: ("mse", "mse", "mae"), None),
    "deep": (
        "deep",
        lambda j: {"z": [j, {"b": "mse"}], "c": [j, (None, "mae")], "d": "mse"},
        {"z": [0.5, {"b": 1.5}], "c": [2.0, (None, 0.3)], "d": 4.0},
    ),
    "parts of a structure": ("deep", lambda j: {"z": j, "d": ["mse"]}, None),
    "all of it": ("deep", lambda j: [j, {"z": j}], None),
    "none for some": ("dict", lambda j: {"p": "mse", "other": None}, None),
}


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_keras(case):
    kind, loss, weights = CASES[case]
    y = KINDS[kind](A, B)
    ours, theirs = (results(K, kind, loss, y, weights) for K in (lf, keras))
    assert list(ours[0]) == list(theirs[0])
    for name, values in ours[0].items():
        np.testing.assert_allclose(values, theirs[0][name], rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=2e-5)
    assert ours[2] == theirs[2]
    for a, b in zip(ours[3], theirs[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_sample_weights_of_several_outputs():
    options = {"sample_weight": np.arange(8, dtype=np.float32)}
    ours, theirs = (results(K, "list", lambda j: (j,), [A, B], **options) for K in (lf, keras))
    np.testing.assert_allclose(ours[0]["loss"], theirs[0]["loss"], rtol=2e-5)
    for a, b in zip(ours[3], theirs[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    model = model_of(lf, "list")
    model.compile("sgd", (joint_of(lf),))
    with pytest.raises(ValueError, match="sample_weight: loss 'joint' of several outputs"):
        model.fit(X, [A, B], sample_weight=[np.ones(8), np.arange(8)], verbose=0)


@pytest.mark.parametrize(
    "y", [[A, B], (A, B), {"ya": A, "yb": B}, B, [B]], ids=["list", "tuple", "dict", "array", "of one"]
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_targets_in_other_structures(y):
    alone = isinstance(y, np.ndarray) or len(y) == 1
    loss = (lambda j: [None, "mse"]) if alone else (lambda j: ["mse", "mae"])
    if isinstance(y, np.ndarray):  # Keras takes no array alone
        ours, theirs = results(lf, "list", loss, y), results(keras, "list", loss, [y])
    else:
        ours, theirs = (results(K, "list", loss, y) for K in (lf, keras))
    assert list(ours[0]) == list(theirs[0])
    np.testing.assert_allclose(ours[0]["loss"], theirs[0]["loss"], rtol=2e-5)


@pytest.mark.parametrize(
    ("kind", "loss", "weights"),
    [
        ("list", ["mse"] * 3, None),
        ("list", [{"ya": "mse"}, "mse"], None),
        ("dict", {"p": "mse", "other": "mse"}, None),
        ("dict", {"ya": "mse", "yb": "mse"}, None),
        ("dict", {"p": {"deeper": "mse"}}, None),
        ("list", {"ya": "mse", "other": "mse"}, None),
        ("list", ["mse", "mae"], [1.0, [2.0, 3.0]]),
        ("list", ["mse", "mae"], [1.0]),
        ("list", ["mse", "mae"], "a"),
        ("list", ["mse", "mae"], [1.0, "a"]),
        ("dict", lambda j: ["mse", {"p": "mse"}], None),
    ],
)
def test_what_fits_no_outputs_is_refused(kind, loss, weights):
    raised = []
    for K in (lf, keras):
        with pytest.raises((ValueError, KeyError, TypeError)) as caught:
            results(K, kind, loss if callable(loss) else lambda j: loss, KINDS[kind](A, B), weights)
        raised.append(caught.type)
    if raised[1] is not ValueError or "convert" not in str(caught.value):
        assert raised[0] is raised[1] or callable(loss)


def test_only_the_first_loss_of_an_only_output_counts():
    theirs = results(keras, "one", lambda j: ["mse", "mae"], A)
    with pytest.warns(UserWarning, match="the first counts"):
        ours = results(lf, "one", lambda j: ["mse", "mae"], A)
    np.testing.assert_allclose(ours[0]["loss"], theirs[0]["loss"], rtol=2e-5)


def test_a_function_with_gradients_of_its_own():
    def crossing(y_true, y_pred):
        over = y_pred["p"] - y_pred["q"]
        slope = (over > 0).astype(np.float32)
        return (over * slope)[:, 0], {"p": slope, "q": -slope}

    def traced(y_true, y_pred):
        return lf.ops.squeeze(lf.ops.relu(y_pred["p"] - y_pred["q"]), -1)

    y = KINDS["dict"](A, B)
    weights = {"sample_weight": np.arange(8.0)}
    ours, other = (
        results(lf, "dict", lambda j, f=f: [f, {"p": "mse"}], y, **weights) for f in (crossing, traced)
    )
    for a, b in zip(ours[3], other[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    model = model_of(lf, "dict")
    model.compile("sgd", [lambda y_true, y_pred: (1.0, None), {"p": "mse"}])
    with pytest.raises(TypeError, match="a gradient for each"):
        model.fit(X, y, verbose=0)


def test_classes_and_compute_loss():
    class Of(lf.losses.Loss):
        def call(self, y_true, y_pred):
            return lf.ops.mean(lf.ops.square(y_true["p"] - y_pred["q"]), axis=-1)

    class Theirs(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true["p"] - y_pred["q"]), axis=-1)

    y, found = KINDS["dict"](A, B), []
    for K, cls in ((lf, Of), (keras, Theirs)):
        model = model_of(K, "dict")
        model.compile("sgd", [cls(name="mixed"), {"p": "mae"}], loss_weights=[0.5, {"p": 2.0}])
        pred = {"p": A, "q": C}
        found.append([float(model.compute_loss(y=y, y_pred=pred)), *model.evaluate(X, y, verbose=0)])
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize(
    "metrics", [{"any": "mae"}, {"z": ["mse"], "a": "mae"}, [["mae"], "mse"], ("mae", ["mse"])], ids=str
)
@pytest.mark.parametrize("kind", ["one", "of a dict"])
def test_all_metrics_are_those_of_an_only_output(metrics, kind):
    found = []
    for K in (lf, keras):
        x = K.Input((3,))
        out = K.layers.Dense(1, kernel_initializer="ones", name="out")(x)
        model = K.Model(x, out if kind == "one" else {"key": out})
        model.compile("sgd", "mse", metrics=metrics)
        y = A if kind == "one" else {"key": A}
        found.append(model.fit(X, y, batch_size=3, shuffle=False, verbose=0).history)
        found.append(model.evaluate(X, y, verbose=0))
    assert list(found[0]) == list(found[2])
    for name, values in found[0].items():
        np.testing.assert_allclose(values, found[2][name], rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(found[1], found[3], rtol=2e-5)
