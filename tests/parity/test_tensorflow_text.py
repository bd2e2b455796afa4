# SPDX-License-Identifier: BSD-3-Clause
"""Lookup layers, TextVectorization and encodings beside Keras's on TensorFlow, which Keras needs for strings."""

import json
import os
import zipfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)
keras = pytest.importorskip("keras")

import lstmfast as lf  # noqa: E402

WORDS = [
    "a",
    "b",
    "the",
    "The",
    "cat,",
    "sat!",
    "naïve",
    "Ünder",
    "日本",
    "x\u00a0y",
    "e-mail",
    "it's",
    "",
    "[UNK]",
]


def same(make, x, adapt=None):
    """The layer that ``make(layers)`` gives, in both packages: vocabulary, output, configuration, shapes."""
    keras.utils.clear_session()
    lf.utils.clear_session()
    theirs, ours = make(keras.layers), make(lf.layers)
    if adapt is not None:
        theirs.adapt(adapt)
        ours.adapt(adapt)
    if hasattr(theirs, "get_vocabulary"):
        assert ours.get_vocabulary() == [
            v.item() if hasattr(v, "item") else v for v in theirs.get_vocabulary()
        ]
        assert ours.get_vocabulary(False) == list(theirs.get_vocabulary(include_special_tokens=False))
        assert ours.vocabulary_size() == theirs.vocabulary_size()
    expected = theirs(tf.constant(x) if not isinstance(x, np.ndarray) else x).numpy()
    y = ours(x)
    if expected.dtype == object:
        expected = np.vectorize(lambda b: b.decode())(expected)
    else:
        assert y.dtype == expected.dtype, (y.dtype, expected.dtype)
    assert y.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(y, expected)
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
    assert json.loads(json.dumps(lf.saving.serialize_keras_object(ours)))["config"] == described["config"]
    again = keras.saving.deserialize_keras_object(described).get_config()
    assert lf.saving.deserialize_keras_object(described).get_config() == again


def texts(rng, count):
    return [" ".join(rng.choice(WORDS, rng.integers(0, 7))) + " \t " for _ in range(count)]


@pytest.mark.parametrize("standardize", [None, "lower", "strip_punctuation", "lower_and_strip_punctuation"])
@pytest.mark.parametrize("split", ["whitespace", "character"])
@pytest.mark.parametrize("ngrams", [None, 2, (1, 3)])
def test_text_to_indices(standardize, split, ngrams):
    rng = np.random.default_rng(1)
    for length in (None, 3, 9):
        same(
            lambda layers, n=length: layers.TextVectorization(
                standardize=standardize, split=split, ngrams=ngrams, output_sequence_length=n
            ),
            [*texts(rng, 8), "some words"],
            np.array([*texts(rng, 30), "one two"]),
        )


@pytest.mark.parametrize("mode", ["multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("limits", [{}, {"max_tokens": 6}, {"max_tokens": 60, "pad_to_max_tokens": True}])
@pytest.mark.parametrize("ngrams", [None, 2])
def test_text_to_vectors(mode, limits, ngrams):
    rng = np.random.default_rng(2)
    same(
        lambda layers: layers.TextVectorization(output_mode=mode, ngrams=ngrams, **limits),
        np.array(texts(rng, 8))[:, None],
        texts(rng, 40),
    )


def test_text_forms():
    def make(layers):
        return layers.TextVectorization(vocabulary=["a", "b", "c d"])

    same(make, np.array([["a b"], ["q"]]))
    same(make, ["a b", "q"])
    same(
        lambda layers: layers.TextVectorization(split=None, vocabulary=["a", "b c"]),
        np.array([["a", "B c!"], ["q", ""]]),
    )
    same(
        lambda layers: layers.TextVectorization(
            split=None, vocabulary=["a", "b c"], output_sequence_length=3
        ),
        np.array([["a", "B c!"], ["q", ""]]),
    )
    same(
        lambda layers: layers.TextVectorization(
            output_mode="tf_idf", vocabulary=["[UNK]", "a"], idf_weights=[0.25, 0.5]
        ),
        ["a a q"],
    )
    layer = lf.layers.TextVectorization(vocabulary=["a"])
    theirs = keras.layers.TextVectorization(vocabulary=["a"])
    np.testing.assert_array_equal(layer("a q a"), theirs("a q a").numpy())


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("oov", [0, 1, 3])
@pytest.mark.parametrize("mask", [None, "", "b"])
def test_string_lookup(mode, oov, mask):
    rng = np.random.default_rng(3)
    known = ["a", "b", "c", ""] if oov == 0 else [*WORDS, "q"]
    data = rng.choice(["a", "b", "c", ""], (9, 5))
    for x in (rng.choice(known, (4, 5)), rng.choice(known, (4, 1)), rng.choice(known, (6,))):
        same(
            lambda layers: layers.StringLookup(output_mode=mode, num_oov_indices=oov, mask_token=mask),
            x,
            data,
        )
    if mode != "tf_idf":
        same(
            lambda layers: layers.StringLookup(
                vocabulary=["a", "b", "c", ""] if mask is None else [w for w in ["a", "b", "c", ""] if w != mask],
                output_mode=mode, num_oov_indices=max(oov, 2), mask_token=mask, salt=[133, 137],
            ),
            rng.choice([*WORDS, "q"], (4, 5)),
        )  # fmt: skip


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count", "tf_idf"])
@pytest.mark.parametrize("oov", [1, 3])
@pytest.mark.parametrize("mask", [None, 0])
@pytest.mark.parametrize("method", [{}, {"oov_method": "farmhash"}, {"oov_method": "farmhash", "salt": 7}])
def test_integer_lookup(mode, oov, mask, method):
    rng = np.random.default_rng(4)
    data = rng.integers(-3, 6, (9, 5))
    for x in (rng.integers(-9, 20, (4, 5)), rng.integers(-9, 20, (4, 1)), rng.integers(-9, 20, (6,))):
        same(
            lambda layers: layers.IntegerLookup(
                output_mode=mode, num_oov_indices=oov, mask_token=mask, max_tokens=9, **method
            ),
            x,
            data,
        )


def test_inversion():
    same(lambda layers: layers.StringLookup(vocabulary=["a", "ü"], invert=True), np.array([[1, 2, 0, 9]]))
    same(
        lambda layers: layers.StringLookup(
            vocabulary=["a", "b"], mask_token="", num_oov_indices=2, invert=True
        ),
        np.array([[1, 2, 0, 3, 4]]),
    )
    same(lambda layers: layers.IntegerLookup(vocabulary=[7, 8], invert=True), np.array([[1, 2, 0, 9]]))
    same(
        lambda layers: layers.IntegerLookup(vocabulary=[7, 8], num_oov_indices=0, mask_token=0, invert=True),
        np.array([[1, 2, 0, 9]]),
    )


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_discretization(mode):
    rng = np.random.default_rng(5)
    for x in (rng.normal(size=(6, 4)), rng.normal(size=(6, 1)), rng.normal(size=7)):
        x = x.astype("float32")
        same(lambda layers: layers.Discretization([-1.0, 0.0, 0.5], output_mode=mode), x)
        same(lambda layers: layers.Discretization(num_bins=5, output_mode=mode), x, rng.normal(size=(500, 3)))


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_category_encoding(mode):
    rng = np.random.default_rng(6)
    for shape in ((5, 3), (5, 1), (7,), ()):
        same(lambda layers: layers.CategoryEncoding(6, mode), np.asarray(rng.integers(0, 6, shape)))


@pytest.mark.parametrize("kwargs", [
    {"output_sequence_length": 4}, {"output_mode": "tf_idf"}, {"output_mode": "count", "max_tokens": 9},
    {"output_mode": "multi_hot", "vocabulary": ["a", "b"]},
    {"output_mode": "tf_idf", "vocabulary": ["a", "b"], "idf_weights": [0.5, 0.7]},
])  # fmt: skip
def test_files(kwargs, tmp_path):
    """Models with a vocabulary, in ``.keras`` files of either library read by the other."""
    x = np.array([["a b the"], ["cat sat"]])

    def build(package):
        layer = package.layers.TextVectorization(**kwargs)
        if "vocabulary" not in kwargs:
            layer.adapt(["a b b", "the the the cat", "sat a"])
        inputs = package.layers.Input((1,), dtype="string")
        tokens = layer(inputs)
        tail = package.layers.Embedding(20, 3)(tokens) if "output_mode" not in kwargs else tokens
        return package.Model(inputs, package.layers.Dense(2)(tail))

    theirs, ours = build(keras), build(lf)
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.keras")
    np.testing.assert_allclose(
        lf.saving.load_model(tmp_path / "theirs.keras")(x), theirs(tf.constant(x)).numpy(), atol=1e-6
    )
    np.testing.assert_allclose(
        keras.saving.load_model(tmp_path / "ours.keras")(tf.constant(x)).numpy(), ours(x), atol=1e-6
    )
    members = [sorted(n for n in zipfile.ZipFile(tmp_path / f"{w}.keras").namelist() if "assets" in n)
               for w in ("ours", "theirs")]  # fmt: skip
    assert members[0] == members[1]


@pytest.mark.parametrize("make", [
    lambda layers: layers.StringLookup(max_tokens=1),
    lambda layers: layers.StringLookup(num_oov_indices=-1),
    lambda layers: layers.StringLookup(output_mode="binaryy"),
    lambda layers: layers.StringLookup(invert=True, output_mode="count"),
    lambda layers: layers.StringLookup(pad_to_max_tokens=True),
    lambda layers: layers.StringLookup(idf_weights=[1.0]),
    lambda layers: layers.StringLookup(output_mode="tf_idf", vocabulary=["a"]),
    lambda layers: layers.StringLookup(output_mode="tf_idf", vocabulary=["a"], idf_weights=[1.0, 2.0]),
    lambda layers: layers.StringLookup(vocabulary=[]),
    lambda layers: layers.StringLookup(vocabulary=["a", "a"]),
    lambda layers: layers.StringLookup(vocabulary=["a", "m"], mask_token="m"),
    lambda layers: layers.StringLookup(vocabulary=["a", "[UNK]"], invert=True),
    lambda layers: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2),
    lambda layers: layers.StringLookup(vocabulary="/nowhere/at/all.txt"),
    lambda layers: layers.StringLookup(vocabulary=["a"]).adapt(["b"]),
    lambda layers: layers.StringLookup(salt="s"),
    lambda layers: layers.IntegerLookup(salt=3),
    lambda layers: layers.IntegerLookup(vocabulary_dtype="int32"),
    lambda layers: layers.TextVectorization(standardize="upper"),
    lambda layers: layers.TextVectorization(split="lines"),
    lambda layers: layers.TextVectorization(ngrams="two"),
    lambda layers: layers.TextVectorization(ngrams=[1, 2]),
    lambda layers: layers.TextVectorization(output_mode="int", output_sequence_length=1.5),
    lambda layers: layers.TextVectorization(output_mode="count", output_sequence_length=3),
    lambda layers: layers.TextVectorization(vocabulary=["a"])([["a", "b"]]),
    lambda layers: layers.Discretization(),
    lambda layers: layers.Discretization([0.0], num_bins=3),
    lambda layers: layers.Discretization(num_bins=-1),
    lambda layers: layers.Discretization([0.0]).adapt(np.ones(3)),
    lambda layers: layers.Discretization([0.0], output_mode="tf_idf"),
    lambda layers: layers.CategoryEncoding(),
    lambda layers: layers.CategoryEncoding(0),
    lambda layers: layers.CategoryEncoding(3, "int"),
    lambda layers: layers.CategoryEncoding(3)([[1, 2]], count_weights=[[1.0, 2.0]]),
])  # fmt: skip
def test_errors(make):
    with pytest.raises(Exception) as theirs:
        make(keras.layers)
    with pytest.raises(type(theirs.value)):
        make(lf.layers)
