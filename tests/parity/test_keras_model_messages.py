# SPDX-License-Identifier: BSD-3-Clause
"""What models say of wrong inputs and graphs, how they call their weights, and what they say of themselves, by both libraries."""

import re
import warnings

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")
ONE = np.ones((2, 3), np.float32)


def told(act, K):
    """(what was raised, which warnings came, what was made); without what differs by nature."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made, error = act(K), None
        except Exception as found:
            made, error = None, (type(found), str(found))
    texts = [str(w.message).split("\n")[0][:60] for w in caught]
    return error, [text for text in texts if "__array__" not in text], made


def inputs(K, *names, size=3, **kwargs):
    return [K.Input((size,), name=name, **kwargs) for name in names]


def single(K, structure=lambda x: x, out=lambda y: y):
    (x,) = inputs(K, "x")
    return K.Model(structure(x), out(K.layers.Dense(2, name="d")(x)))


def nested_path(K):
    (x,) = inputs(K, "my_input")
    return K.Model([{"foo": x}], K.layers.Dense(2)(x))(np.ones(()))


def unconnected(K, outputs):
    a, b = inputs(K, "a", "b")
    return K.Model(a, outputs(a * 2, b * 3))


class NeedsTwo:
    def make(self, K):
        class Layer(K.layers.Layer):
            def call(self, inputs, training):
                return inputs

        return Layer()


class NeedsNone:
    def make(self, K):
        class Layer(K.layers.Layer):
            def call(self):
                return 1

        return Layer()


def unusual(K, kind):
    model = K.Sequential()
    model.add(kind().make(K))
    model.build((None, 2))


RAISED = {
    "too many axes": (
        lambda K: single(K)(np.ones((2, 3, 4))),
        r"with name 'x' and path ''.*Expected shape \(None, 3\), but input has incompatible shape",
    ),
    "too few axes in a nested structure": (nested_path, r"with name 'my_input' and path '0.foo'"),
    "outputs in a dict": (
        lambda K: unconnected(K, lambda y, z: {"u": y, "v": z}),
        "Output with path `v` is not connected to `inputs`",
    ),
    "outputs in lists": (
        lambda K: unconnected(K, lambda y, z: [y, (y, z)]),
        "Output with path `1.1` is not connected to `inputs`",
    ),
    "a single output": (
        lambda K: unconnected(K, lambda y, z: z),
        "Output with path `` is not connected to `inputs`",
    ),
    "None": (lambda K: single(K)(None), "'x' is not optional, but None was passed"),
    "no tensor among the inputs": (
        lambda K: K.Model(ONE, ONE),
        "All `inputs` values must be KerasTensors. Received: inputs=",
    ),
    "None as output": (
        lambda K: K.Model(inputs(K, "x")[0], None),
        "All `outputs` values must be KerasTensors",
    ),
    "a name twice": (
        lambda K: K.Model(
            *(lambda x: (x, K.layers.Dense(1, name="d")(K.layers.Dense(1, name="d")(x))))(inputs(K, "x")[0])
        ),
        'The name "d" is used 2 times in the model. All operation names should be unique.',
    ),
    "an unknown format": (lambda K: single(K).export("somewhere", format="bad"), "Unrecognized format=bad"),
    "two positional arguments": (
        lambda K: unusual(K, NeedsTwo),
        "can only have a single required positional argument, the input tensor. Layer Layer has multiple",
    ),
    "no positional argument": (
        lambda K: unusual(K, NeedsNone),
        "Layers added to a Sequential model should have a single positional argument, the input tensor",
    ),
    "an input too many": (
        lambda K: K.Model(*(lambda a, b: ([a, b], K.layers.Add()([a, b])))(*inputs(K, "a", "b")))([ONE] * 3),
        r"expects 2 named input\(s\) with keys \['a', 'b'\], but it received 3 input tensors",
    ),
}


@pytest.mark.parametrize("case", RAISED)
def test_errors(case):
    act, pattern = RAISED[case]
    for K in (keras, lf):
        error, _, _ = told(act, K)
        assert error is not None and error[0] is ValueError and re.search(pattern, error[1], re.DOTALL), (
            K,
            error,
        )


def test_none_in_fit():
    for K in (keras, lf):
        model = single(K)
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="'x' is not optional, but None was passed"):
            model.fit([None], np.ones((4, 2)), verbose=0)


STRUCTURES = {
    "tensor": lambda x: x,
    "list": lambda x: [x],
    "tuple": lambda x: (x,),
    "list in a list": lambda x: [[x]],
    "dict": lambda x: {"x": x},
    "dict with another key": lambda x: {"y": x},
}


@pytest.mark.filterwarnings(
    "ignore:When providing `inputs` as a dict", "ignore:The structure of `inputs`:UserWarning"
)
@pytest.mark.parametrize("kind", STRUCTURES)
def test_structures_of_one_tensor(kind):
    structure = STRUCTURES[kind]
    described = []
    for K in (keras, lf):
        model = single(K, structure, (lambda y: y) if kind == "list in a list" else structure)
        again = K.Model.from_config(model.get_config())
        names = [
            K.tree.map_structure(lambda t: t.name, m.input)
            if K is keras
            else lf.symbolic.map_leaves(lambda t: t.name, m.input)
            for m in (model, again)
        ]
        config = again.get_config()
        y = model.predict(structure(ONE), verbose=0)
        y = y if isinstance(y, np.ndarray) else {key: value.shape for key, value in y.items()}
        described.append(
            (
                names,
                config["input_layers"],
                config["output_layers"],
                model.input_shape,
                model.output_shape,
                np.shape(y) or y,
            )
        )
    assert described[0] == described[1]


def extra(K, x):
    return single(K, lambda x: {"x": x}).predict(x, verbose=0).shape


WARNED = {
    "an entry too many": lambda K: extra(K, {"x": ONE, "z": ONE}),
    "an array for a dict": lambda K: extra(K, ONE),
    "a list for a tensor": lambda K: single(K).predict([ONE], verbose=0).shape,
    "a tuple for a list": lambda K: single(K, lambda x: [x]).predict((ONE,), verbose=0).shape,
    "an array for a list": lambda K: single(K, lambda x: [x]).predict(ONE, verbose=0).shape,
    "another key": lambda K: single(K, lambda x: {"y": x}).name[:5],
}


@pytest.mark.parametrize("case", WARNED)
def test_warnings(case):
    theirs, ours = (told(WARNED[case], K)[1:] for K in (keras, lf))
    assert theirs == ours


def test_numbers_for_an_integer_input():
    numbers = np.array([[1.7, -1.2]])
    made = []
    for K in (keras, lf):
        x = K.Input((2,), dtype="int32")
        made.append(np.asarray(K.Model(x, x + 2)(numbers)))
    assert made[0].dtype == made[1].dtype
    np.testing.assert_array_equal(made[0], made[1])
    x = lf.Input((2,), dtype="int32")
    for wrong in (np.nan, 1e20):
        with pytest.raises(ValueError, match="no int32 can hold"):
            lf.Model(x, x + 2)(np.full((1, 2), wrong))


def wrapped(K):
    class Inside(K.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = K.layers.Dense(2, name="first")
            self.rest = K.Sequential([K.layers.Dense(1, name="last")], name="rest")

        def call(self, x):
            return self.rest(self.first(x))

    return Inside(name="inside")


def over_time(K):
    x = K.Input((4, 3))
    return K.Model(
        x, K.layers.TimeDistributed(K.Sequential([K.layers.Dense(2, name="d")], name="s"), name="td")(x)
    )


def with_built(K):
    layer = K.layers.Dense(3, name="old")
    layer(K.Input((3,)))
    return K.Sequential([K.Input((3,)), layer, K.layers.Dense(2, name="new")], name="s")


def in_functional(K):
    (x,) = inputs(K, "x")
    return K.Model(x, K.Sequential([K.layers.Dense(2, name="d")], name="s")(x), name="m")


def called(model, x=ONE):
    model(x)
    return model


def by_add(K):
    model = K.Sequential(name="s")
    for layer in (
        K.Input((5, 3)),
        K.layers.LSTM(2, name="a", return_sequences=True),
        K.layers.Bidirectional(K.layers.GRU(2, name="b"), name="c"),
        K.layers.BatchNormalization(name="d"),
    ):
        model.add(layer)
    return model


def nested(K):
    return K.Sequential(
        [K.Input((3,)), K.Sequential([K.layers.Dense(2, name="a")], name="i"), K.layers.Dense(2, name="b")],
        name="s",
    )


MODELS = {
    "deferred": lambda K: called(
        K.Sequential([K.layers.Dense(2, name="a"), K.layers.Dense(2, name="b")], name="s")
    ),
    "by add": by_add,
    "nested": nested,
    "a layer with a Sequential": lambda K: called(
        K.Sequential([wrapped(K), K.layers.Dense(2, name="b")], name="s")
    ),
    "in TimeDistributed": over_time,
    "with a built layer": with_built,
    "in a functional model": in_functional,
    "a functional model": lambda K: called(
        K.Sequential([in_functional(K), K.layers.Dense(2, name="b")], name="o")
    ),
    "cloned": lambda K: K.models.clone_model(nested(K)),
    "from a configuration": lambda K: K.Sequential.from_config(nested(K).get_config()),
}


@pytest.mark.parametrize("kind", MODELS)
def test_paths_of_weights(kind):
    theirs, ours = (
        [weight.path for weight in MODELS[kind](K).weights if "seed" not in weight.path] for K in (keras, lf)
    )
    assert theirs == ours


def test_paths_of_an_optimizer():
    paths = []
    for K in (keras, lf):
        model = called(K.Sequential([K.layers.Dense(2, name="d")], name="s"))
        model.compile(K.optimizers.Adam(name="adam"), "mse")
        model.fit(ONE, ONE[:, :2], verbose=0)
        paths.append([variable.path for variable in model.optimizer.variables])
    assert paths[0] == paths[1]


def test_names_of_functional_models():
    def names(K):
        K.utils.clear_session()

        def model():
            (x,) = inputs(K, None)
            return K.Model(x, K.layers.Dense(1)(x)).name

        def changed():
            stack = K.Sequential([K.Input((3,))])
            stack.add(K.layers.Dense(2))
            stack.add(K.layers.Dense(2))
            stack.pop()

        steps = [
            lambda: K.Sequential(),
            lambda: K.Sequential([K.Input((3,))]),
            lambda: K.Sequential([K.Input((3,)), K.layers.Dense(2), K.layers.Dense(2)]),
            lambda: K.Sequential([K.layers.Dense(2)]),
            lambda: called(K.Sequential([K.layers.Dense(2)])),
            lambda: K.Sequential([K.Input((3,)), K.Sequential([K.layers.Dense(2)])]),
            changed,
            lambda: K.Sequential.from_config(called(K.Sequential([K.layers.Dense(2)])).get_config()),
        ]
        found = [model()]
        for step in steps:
            step()
            found.append(model())
        return found

    assert names(keras) == names(lf)


def test_shapes_that_a_layer_does_not_tell():
    made = []
    for K in (keras, lf):

        class Dynamic(K.layers.Layer):
            def call(self, inputs):
                return inputs + 1.0

            def compute_output_spec(self, *args, **kwargs):
                raise NotImplementedError

        made.append(np.asarray(K.Sequential([Dynamic()])(ONE)))
    np.testing.assert_array_equal(made[0], made[1])
