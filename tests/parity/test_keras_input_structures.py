# SPDX-License-Identifier: BSD-3-Clause
"""Inputs of functional models in lists and dicts, nested or not, given in other structures, as in Keras."""

import warnings

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*__array__ implementation:DeprecationWarning", "ignore:When providing `inputs` as a dict"
)

RNG = np.random.default_rng(0)
A, B, C = (RNG.normal(size=(4, 3)).astype(np.float32) for _ in range(3))

MODELS = {
    "list in a dict": lambda i, j, k: {"a": i, "b": [j, k]},
    "list in a list": lambda i, j, k: [i, [j, k]],
    "dict in a dict": lambda i, j, k: {"x": {"p": i, "q": j}, "y": k},
    "dict in a list": lambda i, j, k: [{"a": i, "b": j}, k],
    "list": lambda i, j, k: [i, j, k],
    "dict": lambda i, j, k: {"i": i, "j": j, "k": k},
}
EXACT = {
    "list in a dict": [{"a": A, "b": [B, C]}, {"b": (B, C), "a": A}, {"i": A, "j": B, "k": C}],
    "list in a list": [[A, [B, C]], (A, (B, C))],
    "dict in a dict": [{"x": {"p": A, "q": B}, "y": C}, {"i": A, "j": B, "k": C}],
    "dict in a list": [[{"a": A, "b": B}, C]],
    "list": [[A, B, C], {"i": A, "j": B, "k": C}],
    "dict": [{"i": A, "j": B, "k": C}, [A, B, C]],
}
WARNED = [[A, B, C], [A, [B, C]], (A, (B, C)), [[A, B], C]]


def pair(kind):
    made = []
    for K in (keras, lf):
        inputs = [K.Input((3,), name=name) for name in "ijk"]
        joined = K.layers.Concatenate()([inputs[0], K.layers.Dense(3)(inputs[1]), inputs[2]])
        made.append(K.Model(MODELS[kind](*inputs), K.layers.Dense(2)(joined)))
    made[1].set_weights([np.array(w) for w in made[0].get_weights()])
    return made


@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
@pytest.mark.parametrize("kind", MODELS)
def test_outputs(kind):
    theirs, ours = pair(kind)
    for x in [*EXACT[kind], *WARNED]:
        np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=1e-5)


def warned(model, x):
    """Whether it says that the structure does not fit, for arrays that the model makes outputs of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.predict(x, verbose=0)
    return sum(str(w.message).startswith("The structure of `inputs` doesn't match") for w in caught)


@pytest.mark.parametrize("kind", MODELS)
def test_warnings(kind):
    theirs, ours = pair(kind)
    expected = ours(EXACT[kind][0])  # no warning
    given = [*EXACT[kind], *([{**EXACT[kind][0], "z": A}] if kind == "dict" else [])]
    for x in given:
        told = warned(ours, x)
        if "nested" not in kind and not (
            isinstance(x, dict) and "i" in x and kind != "dict" and " in " in kind
        ):
            assert told == warned(theirs, x), x
    with pytest.warns(
        UserWarning, match=r"The structure of `inputs` doesn't match the expected structure.\nExpected:"
    ):
        assert np.array_equal(ours([[A, B], C]), expected)
    wrong = {"u": A, "v": B, "w": C}
    with pytest.raises(ValueError):
        ours(wrong)
    with pytest.raises(ValueError):
        ours([A, [B]])
