# SPDX-License-Identifier: BSD-3-Clause
"""Texts of a directory as batches, against a listing by hand and Keras's order of shuffling."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.utils import text_dataset_from_directory


@pytest.fixture
def root(tmp_path):
    for folder, count in (("neg", 5), ("pos", 7), (".hidden", 1)):
        (tmp_path / folder / "deep").mkdir(parents=True)
        for k in range(count):
            place = tmp_path / folder / ("deep" if k == 3 else "") / f"{k}.txt"
            place.write_bytes(f"{folder} {k} grüße".encode())
        (tmp_path / folder / "notes.md").write_text("not a text file")
    return tmp_path


def of(dataset):
    """(texts, labels) of a whole data set."""
    texts, labels = zip(*dataset, strict=True)
    return np.concatenate(texts).tolist(), np.concatenate(labels)


def test_in_order(root, capsys):
    dataset = text_dataset_from_directory(root, shuffle=False, batch_size=5)
    assert capsys.readouterr().out == "Found 12 files belonging to 2 classes.\n"
    assert len(dataset) == 3
    assert dataset.class_names == ["neg", "pos"]
    texts, labels = of(dataset)
    order = [0, 1, 2, 4, 3, 0, 1, 2, 4, 5, 6, 3]  # folders inside come last
    assert texts == [f"{'neg' if n < 5 else 'pos'} {k} grüße" for n, k in enumerate(order)]
    assert labels.dtype == np.int32
    assert labels.tolist() == [0] * 5 + [1] * 7
    assert dataset[-1][0].tolist() == texts[10:]
    with pytest.raises(IndexError):
        dataset[3]


def test_labels(root):
    def labels_of(**kwargs):
        return of(text_dataset_from_directory(root, shuffle=False, verbose=False, **kwargs))[1]

    binary = labels_of(label_mode="binary")
    assert binary.dtype == np.float32
    assert binary.tolist() == [[0]] * 5 + [[1]] * 7
    one_hot = labels_of(label_mode="categorical", class_names=["pos", "neg"])
    assert one_hot.tolist() == [[1, 0]] * 7 + [[0, 1]] * 5
    only = text_dataset_from_directory(root, class_names=["pos"], shuffle=False, verbose=False)
    assert of(only)[1].tolist() == [0] * 7
    given = labels_of(labels=list(range(13)))
    assert given.tolist() == list(range(13))
    alone = text_dataset_from_directory(
        root / "pos", labels=None, batch_size=None, shuffle=False, verbose=False, max_length=3
    )
    assert list(alone) == ["pos"] * 7


def test_shuffled_and_split(root):
    """The order is that of Keras: numpy's RandomState, and validation takes the last files."""
    paths = text_dataset_from_directory(root, shuffle=False, verbose=False).file_paths
    np.random.RandomState(7).shuffle(paths)
    train, validation = text_dataset_from_directory(
        root, seed=7, validation_split=0.3, subset="both", verbose=False
    )
    assert train.file_paths == paths[:-3]
    assert validation.file_paths == paths[-3:]
    for subset, expected in (("training", train), ("validation", validation)):
        one = text_dataset_from_directory(root, seed=7, validation_split=0.3, subset=subset, verbose=False)
        assert one.file_paths == expected.file_paths
        assert of(one)[1].tolist() == [int("/pos/" in path) for path in expected.file_paths]
    first = text_dataset_from_directory(root, verbose=False).file_paths
    assert sorted(first) == sorted(paths)


def test_a_model_learns_from_it(root):
    dataset = text_dataset_from_directory(root, batch_size=4, seed=1, verbose=False)
    vectorize = lf.layers.TextVectorization()
    vectorize.adapt(texts for texts, _ in dataset)
    assert vectorize.get_vocabulary()[2:5] == ["grüße", "pos", "neg"]
    tail = [
        lf.layers.Embedding(20, 4, mask_zero=True),
        lf.layers.LSTM(4),
        lf.layers.Dense(1, activation="sigmoid"),
    ]
    model = lf.Sequential([lf.Input((1,), dtype="string"), vectorize, *tail])
    model.compile(lf.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(dataset, epochs=30, verbose=0, validation_data=dataset)
    assert history.history["val_accuracy"][-1] == 1.0
    assert model.predict(dataset, verbose=0).shape == (12, 1)


@pytest.mark.parametrize(("kwargs", "match"), [
    ({"labels": "all"}, "`labels` argument"),
    ({"labels": [1, 2]}, r"len\(labels\) is 2 while we found 13 files"),
    ({"labels": [1] * 13, "class_names": ["a"]}, "only pass `class_names`"),
    ({"class_names": ["other"]}, "did not match"),
    ({"label_mode": "float"}, "label_mode=float"),
    ({"label_mode": "binary", "class_names": ["pos"]}, "exactly 2 class_names"),
    ({"format": "tf"}, "only 'numpy'"),
    ({"batch_size": 0}, "batch_size: expected 1 or more"),
    ({"max_length": 1.5}, "max_length: expected"),
    ({"validation_split": 1.5, "subset": "both"}, "between 0 and 1"),
    ({"validation_split": 0.5}, "`subset` is set"),
    ({"subset": "both"}, "`subset` is set"),
    ({"validation_split": 0.5, "subset": "all"}, "received: all"),
    ({"validation_split": 0.5, "subset": "both"}, "provide a `seed`"),
    ({"validation_split": 0.01, "subset": "validation", "seed": 1}, "No validation text files"),
])  # fmt: skip
def test_errors(root, kwargs, match):
    with pytest.raises(ValueError, match=match):
        text_dataset_from_directory(root, verbose=False, **kwargs)


def test_missing(root):
    with pytest.raises(FileNotFoundError):
        text_dataset_from_directory(root / "nowhere")
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match="No text files"):
        text_dataset_from_directory(root / "empty", labels=None, verbose=False)
