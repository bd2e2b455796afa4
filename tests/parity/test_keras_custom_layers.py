# SPDX-License-Identifier: BSD-3-Clause
"""Layers of one's own that write `call`, and what all layers' constructors and configurations do, as in Keras."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from layer_parity import close, floats, same_error
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
BOTH = pytest.mark.parametrize("k", [lf, keras], ids=["lstmfast", "keras"])


def two_inputs(k):
    class Blend(k.layers.Layer):
        supports_masking = True

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True
            self.seen = {}

        def build(self, b_shape, a_shape):
            self.seen["shapes"] = (tuple(a_shape), tuple(b_shape))
            self.w = self.add_weight(shape=(a_shape[-1], b_shape[-1]), initializer="ones", name="w")

        def call(self, a, b=None, a_mask=None, b_mask=None):
            self.seen["masks"] = [m is not None for m in (a_mask, b_mask)]
            return a

        def compute_mask(self, a, *masks, **named):
            return None

    return Blend()


@BOTH
def test_shapes_and_masks_by_name(k, rng):
    a, b = floats(rng, 2, 3, 4), floats(rng, 2, 3, 5)
    for positional in (True, False):
        layer = two_inputs(k)
        layer(a, b) if positional else layer(a=a, b=b)
        assert layer.seen == {"shapes": (a.shape, b.shape), "masks": [False, False]}
        assert layer.get_build_config() == {"shapes_dict": {"a_shape": a.shape, "b_shape": b.shape}}
        again = two_inputs(k)
        again.build_from_config(layer.get_build_config())
        assert tuple(again.w.shape) == (4, 5)
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    masked = k.layers.Embedding(5, 4, mask_zero=True)(ids)
    layer = two_inputs(k)
    layer(masked, b)
    assert layer.seen["masks"] == [True, False]
    layer(floats(rng, 2, 3, 4), b=masked[..., :4] if k is keras else k.layers.Masking()(np.ones((2, 3, 5))))
    assert layer.seen["masks"] == ([False, False] if k is keras else [False, True])


def wrong_build(argument):
    def make(k):
        class Wrong(k.layers.Layer):
            def call(self, foo, bar):
                return foo + bar

        if argument == "bar":
            Wrong.build = lambda self, foo_shape, bar: None
        else:
            Wrong.build = lambda self, foo_shape, baz_shape: None
        return Wrong()(np.ones((2, 3), "float32"), np.ones((2, 3), "float32"))

    return make


@pytest.mark.parametrize(
    ("argument", "message"), [("bar", "does not end in `_shape`"), ("baz", "does not have argument")]
)
def test_builds_that_do_not_fit_the_call(argument, message):
    same_error(wrong_build(argument), message)


@BOTH
def test_first_input_by_name_and_tuples(k, rng):
    class First(k.layers.Layer):
        def call(self, pair, factor=1.0):
            assert type(pair) is tuple
            return pair[0] * factor + pair[1]

    a = floats(rng, 2, 3)
    close(np.asarray(First()(pair=(a, a), factor=3.0)), 4 * a)


def with_weight(*args, **kwargs):
    def make(k):
        class Weighted(k.layers.Layer):
            def __init__(self):
                super().__init__()
                self.w = self.add_weight(*args, **kwargs)

        return Weighted().w

    return make


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (((3, 4),), {"name": "a"}),
        (((3, 4), "zeros", "float32"), {}),
        (((2,),), {"initializer": "zeros", "dtype": "int32", "trainable": False}),
        (((2,), "ones"), {"autocast": False, "aggregation": "mean"}),
    ],
)
def test_add_weight(args, kwargs):
    ours, theirs = (with_weight(*args, **kwargs)(k) for k in (lf, keras))
    assert (ours.shape, str(ours.dtype), ours.trainable) == (
        tuple(theirs.shape),
        theirs.dtype,
        theirs.trainable,
    )
    if "name" in kwargs:
        assert ours.name == theirs.name


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("a",), {}),
        (("a",), {"shape": (2,)}),
        (((2,),), {"shape": (2,)}),
        (((2,), "zeros"), {"initializer": "ones"}),
        (((2,), "zeros", "float32"), {"dtype": "float32"}),
        (((2,), "zeros", "float32", "a"), {}),
    ],
)
def test_add_weight_errors(args, kwargs):
    same_error(with_weight(*args, **kwargs))


def test_no_weights_are_made_in_a_call():
    def make(k):
        class Late(k.layers.Layer):
            def build(self, input_shape):
                self.built = True

            def call(self, x):
                self.w = self.add_weight(shape=(), initializer="zeros")
                return x

        return Late()(np.ones((2, 3), "float32"))

    same_error(make, "cannot add new elements of state")


@BOTH
def test_empty_batches_reach_a_call(k):
    class Same(k.layers.Layer):
        def call(self, x):
            return x

    layer = Same(activity_regularizer="l2")
    assert tuple(layer(np.ones((0, 5), "float32")).shape) == (0, 5)
    assert float(layer.losses[0]) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Embedding.from_config({"input_dim": 3.7, "output_dim": 8}),
        lambda k: k.layers.Dense.from_config({"units": -1}),
        lambda k: k.layers.Conv1D.from_config({"filters": 2, "kernel_size": 2, "no_such": 1}),
    ],
)
def test_configurations_that_do_not_fit(make):
    same_error(make, "Error when deserializing class")


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.TimeDistributed(k.layers.Dense(3)),
        lambda k: k.layers.Bidirectional(k.layers.LSTM(3)),
        lambda k: k.layers.Bidirectional(k.layers.GRU(3), backward_layer=k.layers.LSTM(3, go_backwards=True)),
        lambda k: k.layers.RNN(k.layers.StackedRNNCells([k.layers.LSTMCell(3), k.layers.GRUCell(2)])),
        lambda k: k.layers.SpectralNormalization(k.layers.Dense(3)),
    ],
)
def test_layers_inside_others_are_built_again(make):
    described = []
    for k in (lf, keras):
        layer = make(k)
        layer.build((None, 4, 5))
        described.append(k.saving.serialize_keras_object(layer))
        again = k.saving.deserialize_keras_object(copy.deepcopy(described[-1]))  # Keras takes it apart
        assert k.saving.serialize_keras_object(again) == described[-1]
        assert again.built and [tuple(v.shape) for v in again.weights] == [
            tuple(v.shape) for v in layer.weights
        ]


def test_several_heads_are_built_again():
    layer = lf.layers.MultiHeadAttention(2, 3)
    layer.build((None, 4, 5), (None, 6, 5))
    again = lf.saving.deserialize_keras_object(lf.saving.serialize_keras_object(layer))
    assert again.built and again.get_build_config() == layer.get_build_config()


def test_policies_are_refused():
    layer = lf.layers.Dense(2)
    layer.dtype_policy = "float32"
    assert layer.dtype_policy.name == "float32"
    with pytest.raises(ValueError, match="dtype_policy='mixed_bfloat16'"):
        layer.dtype_policy = "mixed_bfloat16"


@pytest.mark.parametrize("training", [False, True])
def test_stateless_calls(training, rng):
    ours, theirs = (k.layers.BatchNormalization(momentum=0.5, beta_regularizer="l2") for k in (lf, keras))
    x = floats(rng, 5, 3)
    for layer in (ours, theirs):
        layer.build(x.shape)
    values = [floats(rng, 3) ** 2 for _ in range(4)]
    before = ours.get_weights()
    results = [
        layer.stateless_call(values[:2], values[2:], x, training=training, return_losses=True)
        for layer in (ours, theirs)
    ]
    for a, b in zip(results[0][1], results[1][1], strict=True):
        close(a, b.detach().numpy() if hasattr(b, "detach") else b)
    close(results[0][0], results[1][0].detach().numpy())
    close(results[0][2], [float(loss) for loss in results[1][2]])
    for a, b in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(ours.stateless_call(values[:2], values[2:], x)) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Dense(2).stateless_call([], [], np.ones((1, 2))),
        lambda k: (
            k.Sequential([k.Input((2,)), k.layers.Dense(2)]).layers[0].stateless_call([], [], np.ones((1, 2)))
        ),
        lambda k: (
            k.Sequential([k.Input((2,)), k.layers.Dense(2)])
            .layers[0]
            .stateless_call([np.ones((2, 2)), np.ones(2)], [np.ones(1)], np.ones((1, 2)))
        ),
    ],
)
def test_stateless_errors(make):
    same_error(make, "stateless_call|Argument `")


def test_symbolic_call():
    layer = lf.layers.Dense(3)
    assert layer.symbolic_call(lf.Input((4, 2))).shape == (None, 4, 3)


def test_embeddings_cut_floats_down(rng):
    ours, theirs = (k.layers.Embedding(5, 3) for k in (lf, keras))
    x = rng.uniform(0, 5, (2, 7)).astype("float32")
    theirs.build()
    ours.build()
    theirs.set_weights(ours.get_weights())
    close(ours(x), theirs(x).detach().numpy())


@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_files_of_layers_whose_configuration_has_no_name(source, tmp_path):
    """As the guide to saving writes them: `get_config` gives nothing but what is the layer's own."""

    def make(K):
        class Scaled(K.layers.Layer):
            def __init__(self, factor):
                super().__init__()
                self.factor = factor

            def build(self, shape):
                self.w = self.add_weight(shape=(shape[-1],), initializer="random_normal", name="w")

            def call(self, x):
                return x * self.factor + self.w

            def get_config(self):
                return {"factor": self.factor}

        return Scaled

    first, second = (keras, lf) if source == "keras" else (lf, keras)
    classes = {K: make(K) for K in (keras, lf)}
    x = np.ones((2, 4), np.float32)
    inputs = first.Input((4,))
    scaled = first.layers.Dense(3)(classes[first](3.0)(classes[first](0.5)(inputs)))
    layers = [first.Input((4,)), classes[first](2.0), first.layers.Dense(1), classes[first](0.1)]
    for number, model in enumerate((first.Model(inputs, scaled), first.Sequential(layers))):
        path = tmp_path / f"{number}.keras"
        model.save(path)
        for K in (first, second):
            loaded = K.saving.load_model(path, custom_objects={"Scaled": classes[K]})
            np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
