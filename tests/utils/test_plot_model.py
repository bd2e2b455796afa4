# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of models: Graphviz's source, a picture without Graphviz, and the call of Graphviz."""

import re
import sys

import pytest

from lstmfast import Input, Model, layers, utils


def model():
    a, b = Input((None, 3), name="a"), Input((2,), name="b")
    h = layers.LSTM(4, name="lstm")(a)
    return Model(
        [a, b], layers.Dense(1, activation="relu", name="top")(layers.Concatenate(name="cat")([h, b]))
    )


def edges(source):
    names = dict(re.findall(r'(n\d+) \[label="(\w+)', source))
    return {(names[a], names[b]) for a, b in re.findall(r"(n\d+) -> (n\d+)", source)}


def test_source_has_every_layer_and_edge():
    source = utils.model_to_dot(model(), show_layer_names=True)
    assert edges(source) == {("a", "lstm"), ("lstm", "cat"), ("b", "cat"), ("cat", "top")}
    full = utils.model_to_dot(
        model(),
        show_shapes=True,
        show_dtype=True,
        show_layer_activations=True,
        show_trainable=True,
        rankdir="LR",
    )
    for part in ("rankdir=LR", "(None, 4)", "float32", "relu", "Trainable"):
        assert part in full


def test_picture_without_graphviz(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PATH", "")
    for name, start in (("m.png", b"\x89PNG"), ("m.pdf", b"%PDF")):
        utils.plot_model(
            model(), tmp_path / name, show_shapes=True, dpi=40, rankdir="LR" if "pdf" in name else "TB"
        )
        assert (tmp_path / name).read_bytes().startswith(start)
    utils.plot_model(model(), tmp_path / "m.dot")
    assert (tmp_path / "m.dot").read_text().startswith("digraph")


def test_graphviz_is_used_where_it_is(tmp_path, monkeypatch):
    program = tmp_path / "dot"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[3], 'w').write(sys.argv[1] + sys.stdin.read())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    utils.plot_model(model(), tmp_path / "m.svg")
    assert (tmp_path / "m.svg").read_text() == "-Tsvg" + utils.model_to_dot(model(), show_layer_names=False)


def test_errors():
    for wrong in ({"rankdir": "up"}, {"expand_nested": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            utils.plot_model(model(), "never.png", **wrong)
