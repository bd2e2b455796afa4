# SPDX-License-Identifier: BSD-3-Clause
"""TextVectorization and the lookup layers against plain Python: words, vocabularies, vectors, models, files, errors."""

import copy
import json
import math
import pickle
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers.preprocessing.string_hashing import farmhash64, siphash64

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
    "[UNK]",
]
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map("  ".join), min_size=1, max_size=8)


def words(text, standardize, split, ngrams):
    """The steps that Keras documents, with regular expressions."""
    if standardize in ("lower", "lower_and_strip_punctuation"):
        text = re.sub("[A-Z]", lambda m: m.group().lower(), text)
    if standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
        text = re.sub(r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""", "", text)
    found = list(text) if split == "character" else [w for w in re.split("[ \t\n\r\f\v]+", text) if w]
    if ngrams is None:
        return found
    return [" ".join(found[k : k + n]) for n in range(1, ngrams + 1) for k in range(len(found) - n + 1)]


def vocabulary_of(rows, special, limit=None):
    counts = Counter(word for row in rows for word in row)
    counts.pop("", None)
    counts.pop("[UNK]", None)
    order = sorted(counts, key=lambda w: (counts[w], w.encode()), reverse=True)
    return special + order[: None if limit is None else limit - len(special)]


@settings(max_examples=150, deadline=None)
@given(
    TEXTS, TEXTS, st.sampled_from([None, "lower", "strip_punctuation", "lower_and_strip_punctuation"]),
    st.sampled_from(["whitespace", "character"]), st.sampled_from([None, 1, 3]), st.sampled_from([None, 1, 4]),
    st.sampled_from([None, 3, 5]),
)  # fmt: skip
def test_text_to_indices(known, fresh, standardize, split, ngrams, length, limit):
    layer = layers.TextVectorization(limit, standardize, split, ngrams, output_sequence_length=length)
    layer.adapt(known)
    rows = [words(text, standardize, split, ngrams) for text in known]
    vocabulary = vocabulary_of(rows, ["", "[UNK]"], limit)
    assert layer.get_vocabulary() == vocabulary
    assert layer.vocabulary_size() == len(vocabulary)
    place = {word: k for k, word in enumerate(vocabulary) if k > 1}
    ids = [[place.get(w, 1) for w in words(text, standardize, split, ngrams)] for text in fresh]
    width = max(map(len, ids)) if length is None else length
    expected = [(row + [0] * width)[:width] for row in ids]
    y = layer(fresh)
    assert y.dtype == np.int64
    assert y.shape == (len(fresh), width)
    assert y.tolist() == expected


@settings(max_examples=100, deadline=None)
@given(
    TEXTS,
    TEXTS,
    st.sampled_from(["multi_hot", "count", "tf_idf"]),
    st.sampled_from([None, 4, 40]),
    st.booleans(),
)
def test_text_to_vectors(known, fresh, mode, limit, pad):
    pad = pad and limit is not None
    layer = layers.TextVectorization(limit, output_mode=mode, pad_to_max_tokens=pad)
    layer.adapt(np.array(known)[:, None])
    rows = [words(text, "lower_and_strip_punctuation", "whitespace", None) for text in known]
    vocabulary = vocabulary_of(rows, ["[UNK]"], limit)
    assert layer.get_vocabulary() == vocabulary
    factors = [1.0] * len(vocabulary)
    if mode == "tf_idf":
        learned = [math.log(1 + len(rows) / (1 + sum(w in row for row in rows))) for w in vocabulary[1:]]
        factors = [sum(learned) / len(learned) if learned else 0.0, *learned]
    expected = np.zeros((len(fresh), limit if pad else len(vocabulary)))
    for row, text in zip(expected, fresh, strict=True):
        for word in words(text, "lower_and_strip_punctuation", "whitespace", None):
            k = vocabulary.index(word) if word in vocabulary[1:] else 0
            row[k] = 1 if mode == "multi_hot" else row[k] + factors[k]
    y = layer(fresh)
    assert y.dtype == (np.float32 if mode == "tf_idf" else np.int64)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_forms_of_texts():
    layer = layers.TextVectorization(vocabulary=["a", "b", "ü"])
    expected = [[2, 4], [1, 0]]
    given = ["a ü", "q"]
    for form in (given, tuple(given), np.array(given), np.array(given, object), [t.encode() for t in given],
                 np.array([t.encode() for t in given]), [["a ü"], ["q"]], np.array(given)[:, None]):  # fmt: skip
        np.testing.assert_array_equal(layer(form), expected)
    np.testing.assert_array_equal(layer("a ü"), [2, 4])
    np.testing.assert_array_equal(layer(np.array([given])[..., None]), [expected])
    whole = layers.TextVectorization(split=None, vocabulary=["a", "b c"], output_sequence_length=3)
    np.testing.assert_array_equal(whole([["A", "b c!"], ["q", ""]]), [[2, 3, 0], [1, 0, 0]])


def test_functions():
    layer = layers.TextVectorization(
        standardize=lambda texts: np.char.replace(texts, "-", " "),
        split=lambda texts: [t.split("|") for t in texts],
    )
    layer.adapt(["a-b|c", "c"])
    assert layer.get_vocabulary() == ["", "[UNK]", "c", "a b"]
    np.testing.assert_array_equal(layer(["c|a-b", "x|y|c"]), [[2, 3, 0], [1, 1, 2]])
    with pytest.raises(ValueError, match=r"`standardize` of layer .* must return"):
        layers.TextVectorization(standardize=lambda texts: texts[:1], vocabulary=["a"])(["a", "b"])
    with pytest.raises(ValueError, match=r"`split` of layer .* each of the 2 texts"):
        layers.TextVectorization(split=lambda texts: [["a"]], vocabulary=["a"])(["a", "b"])


def test_adapt_to_batches():
    batches = [["a b", "b"], ["c c c"]]
    layer = layers.TextVectorization()
    layer.adapt(iter(batches))
    assert layer.get_vocabulary(include_special_tokens=False) == ["c", "b", "a"]
    layer.adapt(iter(batches), steps=1)  # what it knew before does not count
    assert layer.get_vocabulary(False) == ["b", "a"]
    for batch in batches:
        layer.update_state(batch)
    layer.finalize_state()
    assert layer.get_vocabulary(False) == ["c", "b", "a"]
    with pytest.raises(TypeError, match=r"data of adapt\(\) .* 3 of type int"):
        layer.adapt(["a", 3])
    assert layer.get_vocabulary(False) == ["c", "b", "a"]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(-4, 9), min_size=1, max_size=12), st.integers(0, 10**6), st.sampled_from([None, 0]),
    st.integers(1, 3), st.sampled_from(["int", "one_hot", "multi_hot", "count"]),
)  # fmt: skip
def test_integer_lookup(known, seed, mask, buckets, mode):
    layer = layers.IntegerLookup(mask_token=mask, num_oov_indices=buckets, output_mode=mode)
    layer.adapt(known)
    counts = Counter(k for k in known if k not in (mask, -1))
    tokens = sorted(counts, key=lambda k: (counts[k], k), reverse=True)
    first = 1 if mask is not None and mode == "int" else 0
    assert layer.get_vocabulary() == [mask] * first + [-1] * buckets + tokens
    x = np.random.default_rng(seed).integers(-6, 12, (3, 4))

    def index(k):
        if mask is not None and k == mask:
            return 0 if mode == "int" else None
        if k in tokens:
            return first + buckets + tokens.index(k)
        return first + (k % buckets if buckets > 1 else 0)

    indices = [[index(k) for k in row] for row in x.tolist()]
    if mode == "int":
        assert layer(x).tolist() == indices
        return
    size = buckets + len(tokens)
    hot = np.array([[[int(i == k) for k in range(size)] for i in row] for row in indices])
    expected = {"one_hot": hot, "count": hot.sum(1), "multi_hot": hot.max(1)}[mode]
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape


def test_there_and_back():
    there = layers.StringLookup(vocabulary=["a", "ü"], mask_token="")
    back = layers.StringLookup(vocabulary=there.get_vocabulary(), mask_token="", invert=True)
    x = np.array([["a", "ü", ""], ["", "a", "q"]])
    np.testing.assert_array_equal(back(there(x)), [["a", "ü", ""], ["", "a", "[UNK]"]])
    numbers = layers.IntegerLookup(vocabulary=[12, 36], invert=True)
    np.testing.assert_array_equal(numbers([[1, 2, 0, 7, -3]]), [[12, 36, -1, -1, -1]])


def test_hashes_are_tensorflows():
    """Values of tf.strings.to_hash_bucket_fast and to_hash_bucket_strong (TensorFlow 2.21), for every length class."""
    texts = ["a", "mädchen", "x" * 10, "y" * 20, "z" * 50, "w" * 100]
    fast = [809363939, 818364563, 926045499, 677207366, 245251738, 415557713]
    assert [farmhash64(t.encode()) % 10**9 for t in texts] == fast
    strong = [siphash64(t.encode(), (1, 2)) % 10**9 for t in ("a", "x" * 10, "w" * 100)]
    assert strong == [249958646, 593510923, 228506387]
    # The first test vector of the authors' reference implementation of SipHash-2-4.
    assert siphash64(b"", (0x0706050403020100, 0x0F0E0D0C0B0A0908)) == 0x726FDB47DD0E0E31


def test_vocabulary_files(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes("one\r\ntwo words\nthrée\n".encode())
    for form in (str(path), path):
        layer = layers.StringLookup(vocabulary=form)
        assert layer.get_vocabulary() == ["[UNK]", "one", "two words", "thrée"]
        assert layer.get_config()["vocabulary"] is None
    assert layers.TextVectorization(vocabulary=str(path), split=None)([["thrée"]]).tolist() == [[4]]
    path.write_text("1\n2\n")
    assert layers.IntegerLookup(vocabulary=path)([2]).tolist() == [2]
    path.write_text("1\nb\n")
    with pytest.raises(ValueError, match="line 'b', expected an integer"):
        layers.IntegerLookup(vocabulary=path)
    for cls in (layers.StringLookup, layers.TextVectorization):  # no file may make us read another
        with pytest.raises(ValueError, match="cannot make lstmfast read a file"):
            cls.from_config({**cls().get_config(), "vocabulary": str(path)})


TRAIN = ["good food and good wine", "bad food", "bad wine and slow staff", "good staff"]


def classifier(**kwargs):
    vectorize = layers.TextVectorization(**kwargs)
    vectorize.adapt(TRAIN)
    inputs = Input((1,), dtype="string", name="review")
    y = vectorize(inputs)
    if "output_mode" not in kwargs:
        y = layers.GRU(4)(layers.Embedding(20, 3, mask_zero=True)(y))
    return Model(inputs, layers.Dense(1, activation="sigmoid")(y))


@pytest.mark.parametrize(
    "kwargs", [{}, {"output_sequence_length": 4}, {"output_mode": "tf_idf"}, {"output_mode": "count"}]
)
def test_in_models(kwargs):
    """First layer of a functional and a Sequential model, and inside another model: the same as by hand before it."""
    model = classifier(**kwargs)
    vectorize, *rest = model.layers[1:]
    tail = Sequential(rest)
    ids = vectorize(TRAIN)
    np.testing.assert_array_equal(model(TRAIN), tail(ids))
    np.testing.assert_array_equal(model({"review": np.array(TRAIN)[:, None]}), tail(ids))
    np.testing.assert_array_equal(model.predict(np.array(TRAIN, object), verbose=0), tail(ids))
    np.testing.assert_array_equal(Sequential([vectorize, tail])(TRAIN), tail(ids))
    np.testing.assert_array_equal(Sequential([model, layers.Rescaling(2.0)])(TRAIN), 2 * tail(ids))
    np.testing.assert_array_equal(Sequential([vectorize]).predict(TRAIN, verbose=0), ids)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    tail = lf.models.clone_model(tail)  # with weights of its own
    tail.set_weights(model.get_weights())
    tail.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    labels = np.array([1, 0, 0, 1])
    ours = model.fit(np.array(TRAIN), labels, epochs=3, shuffle=False, verbose=0, validation_split=0.25)
    expected = tail.fit(ids, labels, epochs=3, shuffle=False, verbose=0, validation_split=0.25)
    for key in expected.history:
        np.testing.assert_allclose(ours.history[key], expected.history[key], rtol=1e-5)
    with pytest.raises(ValueError, match=r"TextVectorization cannot be frozen: it takes strings.*Freeze the"):
        model.freeze()
    behind = Model(vectorize.output, model.outputs).freeze()
    np.testing.assert_array_equal(behind(vectorize(np.array(TRAIN))), model.predict(TRAIN, verbose=0))
    for bad in (np.ones((4, 1)), [1, 2], [None, "a"]):
        with pytest.raises(TypeError, match="must be strings"):
            model(bad)
    with pytest.raises(ValueError, match="the last shape dimension must be 1"):
        model(np.array([["a", "b"]]))


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
@pytest.mark.parametrize("kwargs", [{}, {"output_mode": "tf_idf"}, {"output_mode": "tf_idf", "max_tokens": 5},
                                    {"output_mode": "multi_hot", "max_tokens": 30, "pad_to_max_tokens": True}])  # fmt: skip
def test_files(ending, kwargs, tmp_path):
    if ending == ".keras":
        pytest.importorskip("h5py")
    model = classifier(**kwargs)
    outer = Sequential([model, layers.Rescaling(3.0)])
    outer.save(tmp_path / f"model{ending}")
    again = lf.saving.load_model(tmp_path / f"model{ending}")
    np.testing.assert_array_equal(again(TRAIN), outer(TRAIN))
    assert again.layers[0].layers[1].get_vocabulary() == model.layers[1].get_vocabulary()
    again.layers[0].layers[1].adapt(TRAIN)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(TRAIN), model(TRAIN))


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_files_of_given_vocabularies(ending, tmp_path):
    if ending == ".keras":
        pytest.importorskip("h5py")
    text = layers.TextVectorization(vocabulary=["good", "bad"], idf_weights=[0.5, 2.0], output_mode="tf_idf")
    words = Sequential([Input((1,), dtype="string"), text])
    numbers = layers.IntegerLookup(vocabulary=np.array([5, 6]), mask_token=0)
    numbers.set_vocabulary([6, 5, 4])
    ids = Sequential([Input((3,), dtype="int64"), numbers])
    for model, x in ((words, TRAIN), (ids, np.array([[4, 5, 0], [9, 6, 6]]))):
        model.save(tmp_path / f"model{ending}")
        np.testing.assert_array_equal(lf.saving.load_model(tmp_path / f"model{ending}")(x), model(x))


@pytest.mark.parametrize("make", [
    lambda **given: layers.StringLookup(**given),
    lambda **given: layers.IntegerLookup(**given),
    lambda **given: layers.TextVectorization(**given),
    lambda **given: layers.StringLookup(output_mode="tf_idf", **given),
])  # fmt: skip
def test_assets(make, tmp_path):
    layer, again = make(), make()
    tokens = np.array([7, 7, 9]) if isinstance(layer, layers.IntegerLookup) else ["b", "b", "a ü"]
    layer.adapt(tokens)
    layer.save_assets(tmp_path)
    lines = (tmp_path / "vocabulary.txt").read_text(encoding="utf-8")
    assert lines == "\n".join(map(str, layer.get_vocabulary()))
    if "output_mode" in again.get_config() and again.get_config()["output_mode"] == "tf_idf":
        again.restore_vocabulary(*layer.vocabulary_state())  # Keras too reads its weights first
    again.load_assets(tmp_path)
    np.testing.assert_array_equal(again(tokens), layer(tokens))
    assert again.get_vocabulary() == layer.get_vocabulary()
    (tmp_path / "vocabulary.txt").write_text("x\n" * 2, encoding="utf-8")
    with pytest.raises(ValueError, match="vocabulary of layer"):
        again.load_assets(tmp_path)
    assert again.get_vocabulary() == layer.get_vocabulary()
    with pytest.raises(OSError, match=r"vocabulary\.txt"):
        again.load_assets(tmp_path / "nowhere")
    (tmp_path / "vocabulary.txt").unlink()
    make(
        vocabulary=[1, 2] if isinstance(layer, layers.IntegerLookup) else ["a"],
        **({"idf_weights": [1.0]} if layer.get_config()["output_mode"] == "tf_idf" else {}),
    ).save_assets(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_words_that_keras_files_cannot_keep(tmp_path):
    pytest.importorskip("h5py")
    layer = layers.StringLookup()
    layer.adapt(["a\nb", "c"])
    model = Sequential([Input((1,), dtype="string"), layer])
    with pytest.raises(ValueError, match=r"'a\\nb'.*save the model natively"):
        model.save(tmp_path / "model.keras")
    assert list(tmp_path.iterdir()) == []
    model.save(tmp_path / "model.safetensors")
    again = lf.saving.load_model(tmp_path / "model.safetensors")
    assert again.layers[0].get_vocabulary() == layer.get_vocabulary()


@pytest.mark.parametrize("change", [
    lambda arrays, key: arrays.update({key: np.frombuffer(b"[1, 2", np.uint8)}),
    lambda arrays, key: arrays.update({key: np.frombuffer(b'{"a": 1}', np.uint8)}),
    lambda arrays, key: arrays.update({key: np.frombuffer(b'["[UNK]", 3]', np.uint8)}),
    lambda arrays, key: arrays.update({key: np.frombuffer(b'["[UNK]", "a", "a"]', np.uint8)}),
    lambda arrays, key: arrays.update({key: np.frombuffer(b"[" * 100_000, np.uint8)}),
    lambda arrays, key: arrays.update({key: np.ones(3, np.float32)}),
    lambda arrays, key: arrays.update({key.replace("tokens", "idf_weights"): np.ones(2, np.float32)}),
    lambda arrays, key: arrays.update({"vocabularies/other/tokens": np.frombuffer(b"[]", np.uint8)}),
])  # fmt: skip
def test_damaged_files(change, tmp_path):
    from lstmfast.saving import safetensors

    path = tmp_path / "model.safetensors"
    classifier(output_mode="tf_idf").save(path)
    arrays, metadata = safetensors.load_file(path)
    key = next(name for name in arrays if name.endswith("/tokens"))
    change(arrays, key)
    safetensors.save_file(arrays, path, metadata)
    with pytest.raises(ValueError, match=r"cannot be loaded: (the|its) (vocabular|idf_w)"):
        lf.saving.load_model(path)


def test_configurations():
    layer = layers.TextVectorization(
        9, "lower", "character", (1, 3), vocabulary=("a", "b"), output_sequence_length=5
    )
    described = json.loads(json.dumps(lf.saving.serialize_keras_object(layer)))
    again = lf.saving.deserialize_keras_object(described)
    assert again.get_config() == {**layer.get_config(), "vocabulary": ["a", "b"]}
    np.testing.assert_array_equal(again(["ab", "b q"]), layer(["ab", "b q"]))


@pytest.mark.parametrize(("make", "error", "match"), [
    (lambda: layers.TextVectorization(ragged=True), ValueError, "ragged=True is not supported"),
    (lambda: layers.TextVectorization(output_mode="count", sparse=True), ValueError, "sparse=True is not supported"),
    (lambda: layers.TextVectorization(ngrams=0), ValueError, "`ngrams` must be"),
    (lambda: layers.TextVectorization(output_sequence_length=0), ValueError, "output_sequence_length=0"),
    (lambda: layers.TextVectorization(vocabulary=[1, 2]), TypeError, "vocabulary must be strings, got 1"),
    (lambda: layers.TextVectorization(vocabulary=[["a"]]), ValueError, "one axis"),
    (lambda: layers.TextVectorization()(["a"]), RuntimeError, "has no vocabulary"),
    (lambda: layers.TextVectorization(output_mode="count")(["a"]), RuntimeError, "has no vocabulary"),
    (lambda: layers.StringLookup(output_mode="multi_hot")(["a"]), RuntimeError, "When using `output_mode=multi_hot` and"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([["a"], ["b", "c"]]), ValueError, "ragged"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([]), ValueError, "must not be empty"),
    (lambda: layers.TextVectorization(vocabulary=["a"])([b"a", 1.5]), TypeError, "1.5 of type float"),
    (lambda: layers.TextVectorization(vocabulary=["a"])(np.ones(3)), TypeError, "dtype float64"),
    (lambda: layers.TextVectorization(vocabulary=["a"])(None), TypeError, "None of type NoneType"),
    (lambda: layers.StringLookup(encoding=3), TypeError, "encoding"),
    (lambda: layers.TextVectorization(encoding="nope"), ValueError, "encoding: expected .* got 'nope'"),
    (lambda: layers.TextVectorization(vocabulary=["a"])(["\ud800"]), ValueError, "inputs of layer .* 'utf-8' can encode"),
    (lambda: layers.StringLookup(encoding="zlib"), ValueError, "superset of ASCII, got 'zlib'"),
    (lambda: layers.TextVectorization(encoding="utf-16"), ValueError, "superset of ASCII"),
    (lambda: layers.TextVectorization().adapt([b"a \xff"]), ValueError, "got bytes that are not 'utf-8'"),
    (lambda: layers.StringLookup(mask_token=3), TypeError, "mask_token and oov_token"),
    (lambda: layers.StringLookup(max_tokens=2.5), ValueError, "max_tokens=2.5"),
    (lambda: layers.StringLookup(vocabulary_size=-1), ValueError, "vocabulary_size"),
    (lambda: layers.StringLookup(num_oov_indices=0, vocabulary=["a"])(["a", "z"]), ValueError, r"found OOV values \['z'\]"),
    (lambda: layers.StringLookup(invert=True, vocabulary=["a"])(["a"]), TypeError, "integer ids"),
    (lambda: layers.StringLookup().set_vocabulary(["a"], idf_weights=[1.0]), ValueError, "`idf_weights` should only"),
    (lambda: layers.StringLookup(output_mode="tf_idf").set_vocabulary(["a"]), ValueError, "`idf_weights` must be set"),
    (lambda: layers.IntegerLookup(oov_token="x"), TypeError, "must be integers"),
    (lambda: layers.IntegerLookup(vocabulary=[1.5]), TypeError, "vocabulary must be integers"),
    (lambda: layers.IntegerLookup(oov_method="md5"), ValueError, "oov_method"),
])  # fmt: skip
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_size_of_vectors_is_fixed():
    layer = layers.StringLookup(output_mode="count")
    layer.adapt(["a", "b"])
    with pytest.raises(RuntimeError, match="vocabulary size cannot be changed"):
        layer.adapt(["a", "b", "c"])
    assert layer.get_vocabulary() == ["[UNK]", "b", "a"]
    layer.adapt(["c", "d"])
    assert layer.get_vocabulary() == ["[UNK]", "d", "c"]


def test_texts_cannot_be_frozen():
    """The message names the layer, the reason, and what to do, which works."""
    tokens = np.array([["a", "b", "z"], ["b", "", "a"]])
    words, ids = Input((3,), dtype="string"), Input((3,), dtype="int64")
    for layer, inputs, reason in (
        (layers.StringLookup(vocabulary=["a", "b"], name="bad"), words, "it takes strings"),
        (layers.Hashing(4, name="bad"), words, "it hashes strings"),
        (layers.Hashing(4, name="bad"), ids, "it hashes strings, or integers"),
    ):
        given = tokens if inputs is words else np.arange(6).reshape(2, 3)
        model = Model(inputs, layers.GRU(2)(layers.Embedding(4, 3)(layer(inputs))))
        with pytest.raises(
            ValueError, match=rf"'bad' of class .* cannot be frozen: {reason}.*Freeze the model"
        ):
            model.freeze()
        behind = Model(layer.output, model.outputs).freeze()
        np.testing.assert_array_equal(behind(layer(given)), model(given))
    crossing = layers.HashedCrossing(4, name="bad")
    pair = [Input((1,), dtype="string"), Input((1,), dtype="int64")]
    model = Model(pair, crossing(pair))
    with pytest.raises(ValueError, match="'bad' of class HashedCrossing cannot be frozen: it hashes strings"):
        model.freeze()
    inverse = layers.StringLookup(vocabulary=["a", "b"], invert=True, name="bad")
    with pytest.raises(ValueError, match="'bad' of class StringLookup cannot be frozen: it gives strings"):
        inverse.frozen()
