# SPDX-License-Identifier: BSD-3-Clause
"""Models beside Keras 3's: structure, names, errors, freezing, cloning, weights files, the printed table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning:keras", "ignore:The structure of `inputs`:UserWarning"
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5, 3)).astype("float32")
SIDE = RNG.normal(size=(8, 2)).astype("float32")
U, V = RNG.normal(size=(8, 2)).astype("float32"), RNG.normal(size=(8, 1)).astype("float32")
NAMED_X, NAMED_Y = {"a": X, "b": SIDE}, {"u": U, "v": V}


def line(K, units=3):
    L = K.layers
    stack = [L.Input((5, 3)), L.LSTM(4, return_sequences=True), L.LSTM(units), L.Dense(2)]
    return K.Sequential(stack, name="line")


def graph(K):
    """Two inputs and outputs by name, a layer called twice."""
    L = K.layers
    a, b = L.Input((None, 3), name="a"), L.Input((2,), name="b")
    shared = L.GRU(3, return_sequences=True, name="shared")
    joined = L.Concatenate(name="joined")([L.LSTM(3, name="last")(shared(shared(a))), b])
    outputs = {"v": L.Dense(1, name="v")(joined), "u": L.Dense(2, name="u")(joined)}
    return K.Model({"a": a, "b": b}, outputs, name="graph")


def nested(K):
    L = K.layers
    inner = line(K)
    x = L.Input((5, 3), name="x")
    joined = L.Concatenate(name="both")([inner(x), L.LSTM(2, name="own")(x)])
    return K.Model(x, L.Dense(1, name="top")(joined), name="outer")


def compiled(K, make=graph, **kwargs):
    model = make(K)
    arguments = {
        "loss": {"u": "mse", "v": "mae"},
        "metrics": {"u": ["mae"]},
        "loss_weights": {"u": 2.0, "v": 0.5},
    }
    model.compile("sgd", **(arguments if make is graph else {"loss": "mse"}), **kwargs)
    return model


def fitted(K, make=graph):
    model = compiled(K, make)
    model.fit(*((NAMED_X, NAMED_Y) if make is graph else (X, U)), verbose=0)
    return model


def changed(K, model):
    before = model.get_weights()
    model.fit(X, U, verbose=0)
    return [bool(np.any(a != b)) for a, b in zip(before, model.get_weights(), strict=True)]


def outcome(function, K):
    """What a call gives, or the error and its message."""
    K.utils.clear_session()
    try:
        return function(K)
    except Exception as error:
        return type(error), str(error).replace("keras.Layer", "Layer").replace("lstmfast.Layer", "Layer")


def popped(K):
    model = line(K)
    model.pop()
    without = model.output_shape
    model.add(K.layers.Dense(7, name="seven"))
    return without, model.output_shape, [layer.name for layer in model.layers], model.built


def frozen_whole(K):
    model = line(K)
    model.trainable = False
    counts = [len(model.trainable_weights), len(model.non_trainable_weights)]
    flags = [layer.trainable for layer in model.layers]
    model.trainable = True
    model.layers[0].trainable = False
    return counts, flags, len(model.trainable_weights), model.trainable


def frozen_inside(K):
    inner = line(K)
    inner.trainable = False
    model = K.Sequential([K.layers.Input((5, 3)), inner, K.layers.Dense(2)])
    again = type(model).from_config(model.get_config())
    model.compile("adam", "mse")
    return [w.shape for w in model.trainable_weights], len(again.trainable_weights), changed(K, model)


def frozen_before_compile(K):
    model = line(K)
    model.layers[1].trainable = False
    model.compile("adam", "mse")
    return changed(K, model), len(model.optimizer.variables)


def frozen_after_compile(K):
    model = line(K)
    model.compile("adam", "mse")
    model.trainable = False
    frozen = changed(K, model)
    model.trainable = True
    model.compile("adam", "mse")
    return frozen, changed(K, model)


def clone_with_functions(K):
    def wider(layer):
        config = layer.get_config()
        if isinstance(layer, K.layers.LSTM):
            config["units"] += 1
        return type(layer).from_config(config)

    def with_dropout(layer, *args, **kwargs):
        out = layer(*args, **kwargs)
        return (
            K.layers.Dropout(0.5, name=layer.name + "_drop")(out)
            if isinstance(layer, K.layers.Dense)
            else out
        )

    clone = K.models.clone_model
    inputs = K.layers.Input((7, 3), name="other")
    shared = clone(graph(K), clone_function=lambda layer: layer, call_function=with_dropout)
    return (
        [w.shape for w in clone(graph(K), clone_function=wider).weights],
        [layer.name for layer in shared.layers],
        clone(line(K), input_tensors=inputs).input_shape,
        [layer.name for layer in clone(nested(K), recursive=True).layers],
        clone(fitted(K)).compiled,
        len(clone(graph(K)).get_layer("shared").weights),
    )


def from_inside(K):
    """Feature extraction, and a model that starts in the middle."""
    model = graph(K)
    features = K.Model(model.inputs, model.get_layer("last").output)
    middle = K.Model(model.get_layer("last").output, K.layers.Dense(2)(model.get_layer("last").output))
    head = K.Model(model.get_layer("joined").output, model.get_layer("u").output)
    same = head.layers[-1] is model.get_layer("u")
    shapes = [m.input_shape for m in (features, middle, head)] + [
        m.output_shape for m in (features, middle, head)
    ]
    return (
        shapes,
        same,
        [type(layer).__name__ for layer in head.layers],
        len(head.weights),
        len(model.weights),
    )


CASES = {
    "from inside": from_inside,
    "shapes": lambda K: (
        graph(K).input_shape,
        graph(K).output_shape,
        line(K).input_shape,
        line(K).output_shape,
    ),
    "names": lambda K: (
        [t.name for t in graph(K).inputs],
        graph(K).output_names,
        [x.name for x in graph(K).layers],
    ),
    "inputs as a list": lambda K: graph(K).predict([X, SIDE], verbose=0)["u"].shape,
    "an input too many": lambda K: sorted(graph(K).predict({**NAMED_X, "c": X}, verbose=0)),
    "a list of one output": lambda K: (
        K.Model(*(lambda x: ([x], [K.layers.Dense(2)(x)]))(K.layers.Input((3,))))
        .predict(X[:, 0], verbose=0)
        .shape
    ),
    "history": lambda K: sorted(compiled(K).fit(NAMED_X, NAMED_Y, validation_split=0.5, verbose=0).history),
    "metrics_names": lambda K: (graph(K).metrics_names, compiled(K).metrics_names, fitted(K).metrics_names),
    "get_metrics_result": lambda K: sorted(fitted(K).get_metrics_result()),
    "get_metrics_result without data": lambda K: compiled(K).get_metrics_result(),
    "get_metrics_result uncompiled": lambda K: graph(K).get_metrics_result(),
    "pop and add": popped,
    "same name": lambda K: K.Sequential([K.layers.Dense(2, name="q"), K.layers.Dense(2, name="q")]),
    "no layer": lambda K: K.Sequential([3]),
    "two inputs": lambda K: K.Sequential([K.layers.Input((3,)), K.layers.Input((3,))]),
    "build without layers": lambda K: K.Sequential().build((None, 3)),
    "layer by index": lambda K: line(K).get_layer(index=1).name,
    "layer beyond": lambda K: line(K).get_layer(index=9),
    "layer by nothing": lambda K: line(K).get_layer(),
    "layer by both": lambda K: line(K).get_layer("x", 1),
    "layer unknown": lambda K: line(K).get_layer("x"),
    "layers set": lambda K: setattr(line(K), "layers", []),
    "layers of a graph set": lambda K: setattr(graph(K), "layers", []),
    "count": lambda K: (graph(K).count_params(), line(K).count_params(), nested(K).count_params()),
    "unbuilt count": lambda K: K.Sequential([K.layers.LSTM(2)]).count_params(),
    "weights": lambda K: [tuple(w.shape) for w in graph(K).weights],
    "paths": lambda K: [w.path for w in graph(K).weights],
    "freeze": frozen_whole,
    "freeze a layer": frozen_before_compile,
    "freeze a model inside": frozen_inside,
    "freeze after compile": frozen_after_compile,
    "compute_mask": lambda K: graph(K).compute_mask(NAMED_X, None),
    "clone": clone_with_functions,
    "clone a line with call_function": lambda K: K.models.clone_model(line(K), call_function=len) and None,
    "json": lambda K: [tuple(w.shape) for w in K.models.model_from_json(graph(K).to_json()).weights],
    "json of a compiled model": lambda K: K.models.model_from_json(compiled(K, line).to_json()).compiled,
}


@pytest.mark.parametrize("case", CASES)
def test_same_as_keras(case):
    theirs, ours = (outcome(CASES[case], K) for K in (keras, lf))
    if isinstance(theirs, tuple) and theirs and theirs[0] is ValueError and "call_function" in theirs[1]:
        assert ours[0] is ValueError and "call_function" in ours[1]
    else:
        assert ours == theirs


def random_graph(K, seed):
    """Layers picked by a seed: sequences and vectors, shared layers, a model inside, several inputs and outputs."""
    rng, L = np.random.default_rng(seed), K.layers
    sequences = [L.Input((4, 3), name=f"s{k}") for k in range(rng.integers(1, 3))]
    vectors = [L.Input((2,), name=f"v{k}") for k in range(rng.integers(0, 2))]
    inputs = [*sequences, *vectors]
    shared = L.GRU(3, return_sequences=True, name="shared")
    inner = K.Sequential([L.Input((4, 3)), L.SimpleRNN(3, return_sequences=True, name="r")], name="inner")

    def pick(tensors):
        return tensors[rng.integers(len(tensors))]

    for k in range(rng.integers(4, 10)):
        kind, name = rng.integers(8), f"n{k}"
        if kind == 0:
            sequences.append(shared(pick(sequences)))
        elif kind == 1:
            sequences.append(inner(pick(sequences)))
        elif kind == 2:
            sequences.append(L.Dense(3, name=name, activation="tanh")(pick(sequences)))
        elif kind == 3:
            sequences.append(L.LSTM(3, return_sequences=True, name=name)(pick(sequences)))
        elif kind == 4:
            vectors.append(L.Bidirectional(L.LSTM(2, name="in_" + name), name=name)(pick(sequences)))
        elif kind == 5 and vectors:
            vectors.append(L.Dense(4, name=name)(pick(vectors)))
        elif kind == 6 and len(vectors) > 1:
            vectors.append(L.Concatenate(name=name)([pick(vectors), pick(vectors)]))
        else:
            y, h = L.GRU(3, return_state=True, name=name)(pick(sequences))
            vectors += [y, h]
    if not vectors:
        vectors.append(L.LSTM(2, name="last")(sequences[-1]))
    outputs = [sequences[-1], vectors[-1]] if rng.random() < 0.5 else [vectors[-1], pick(sequences)]
    joined = L.Concatenate(name="joined")(
        [L.Dense(2, name=f"e{k}")(L.Flatten()(t)) for k, t in enumerate(inputs)]
    )
    return K.Model(inputs, [*outputs, joined], name="graph")


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_graphs(seed):
    models = []
    for K in (keras, lf):
        K.utils.clear_session()
        models.append(random_graph(K, seed))
    theirs, ours = models
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert (ours.output_names, ours.input_shape) == (theirs.output_names, theirs.input_shape)
    rng = np.random.default_rng(seed)
    theirs.set_weights([rng.normal(scale=0.3, size=w.shape).astype("float32") for w in theirs.weights])
    ours.set_weights(theirs.get_weights())
    x = [rng.normal(size=(3, *t.shape[1:])).astype("float32") for t in ours.inputs]
    expected = [np.asarray(y.detach()) for y in theirs(x)]
    again = lf.models.model_from_json(theirs.to_json())
    again.set_weights(theirs.get_weights())
    crossed = keras.models.model_from_json(ours.to_json())
    crossed.set_weights(ours.get_weights())
    cloned = lf.models.clone_model(ours, recursive=True)
    cloned.set_weights(ours.get_weights())
    for model in (ours, again, cloned, crossed):
        outputs = model(x) if model is not crossed else [np.asarray(y.detach()) for y in model(x)]
        for a, b in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    texts = []
    for model in models:
        model.summary(print_fn=texts.append, line_length=79, expand_nested=True, show_trainable=True)
    assert texts[1] == texts[0]


@pytest.mark.parametrize("name", ["input", "output", "inputs", "outputs", "input_shape", "output_shape"])
def test_a_model_not_built_has_no_ends(name):
    for K in (keras, lf):
        with pytest.raises(AttributeError, match=name.split("_")[0]):
            getattr(K.Sequential([K.layers.LSTM(2)]), name)


def test_missing_input():
    for K in (keras, lf):
        with pytest.raises(ValueError, match='Missing data for input "b"'):
            graph(K).predict({"a": X}, verbose=0)


def test_export_is_refused():
    with pytest.raises(ValueError, match=r"onnx.*freeze"):
        line(lf).export("m", format="onnx")


@pytest.mark.parametrize("make", [line, graph, nested])
def test_json_both_ways(make):
    models = []
    for K in (lf, keras):
        K.utils.clear_session()
        models.append(make(K))
    ours, theirs = models
    for K, text in ((keras, ours.to_json()), (lf, theirs.to_json())):
        model = K.models.model_from_json(text)
        assert [tuple(w.shape) for w in model.weights] == [w.shape for w in ours.weights]
        assert [layer.name for layer in model.layers] == [layer.name for layer in theirs.layers]


def data(make):
    return NAMED_X if make is graph else X


def assert_same(a, b):
    if isinstance(a, dict):
        for key in a:
            assert_same(a[key], b[key])
    else:
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [line, graph, nested])
@pytest.mark.parametrize("trained", [False, True])
def test_weights_files_both_ways(tmp_path, make, trained):
    path = tmp_path / "m.weights.h5"
    for source, target in ((keras, lf), (lf, keras), (lf, lf)):
        if trained and make is not nested:
            one, other = fitted(source, make), fitted(target, make)
        else:
            one, other = make(source), make(target)
        one.save_weights(path)
        other.load_weights(path)
        x = data(make)
        assert_same(one.predict(x, verbose=0), other.predict(x, verbose=0))
        if trained and make is not nested:
            assert int(other.optimizer.iterations.numpy()) == int(one.optimizer.iterations.numpy())


def test_weights_out_of_a_whole_model(tmp_path):
    model = graph(keras)
    model.save(tmp_path / "m.keras")
    ours = graph(lf)
    ours.load_weights(tmp_path / "m.keras")
    assert_same(model.predict(NAMED_X, verbose=0), ours.predict(NAMED_X, verbose=0))


def test_skip_mismatch_loads_the_rest(tmp_path):
    path = tmp_path / "m.weights.h5"
    line(keras).save_weights(path)
    results = []
    for K in (keras, lf):
        model = line(K, units=7)
        before = model.get_weights()
        with pytest.raises(ValueError, match="shape"):
            model.load_weights(path)
        if K is lf:
            assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
        with pytest.warns(UserWarning, match=r"could not be loaded|skipped"):
            model.load_weights(path, skip_mismatch=True)
        results.append(model.get_weights())
    kept = line(lf)
    kept.load_weights(path)
    for a, b, c in zip(results[0][:3], results[1][:3], kept.get_weights()[:3], strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, c)


def functional_inside(K):
    x = K.Input((4, 3))
    inner = K.Model(x, K.layers.LSTM(2)(x), name="inner")
    y = K.Input((4, 3))
    return K.Model(y, K.layers.Dense(1)(inner(y)), name="outer")


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (functional_inside, {"expand_nested": True}),
        (line, {}),
        (line, {"line_length": 60}),
        (line, {"layer_range": ["lstm_1", "dense"]}),
        (line, {"positions": [0.5, 0.75, 1.0]}),
        (graph, {"line_length": 76}),
        (nested, {"expand_nested": True}),
        (line, {"show_trainable": True, "line_length": 75}),
        (nested, {"expand_nested": True, "show_trainable": True, "line_length": 72}),
    ],
)
def test_summary_is_keras_text(make, options, trained, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    texts = []
    for K in (keras, lf):
        K.utils.clear_session()
        model = compiled(K, make) if trained else make(K)
        if trained:
            model.layers[1].trainable = False
            model.optimizer.build(model.trainable_variables)
        model.summary(print_fn=texts.append, **options)
    assert texts[1] == texts[0]


@pytest.mark.parametrize(
    "options",
    [{"layer_range": ["x", "y"]}, {"layer_range": ["lstm"]}, {"line_length": 5}, {"layer_range": [1, 2]}],
)
def test_summary_errors(options):
    messages = []
    for K in (keras, lf):
        K.utils.clear_session()
        with pytest.raises(ValueError) as caught:
            line(K).summary(print_fn=print, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
