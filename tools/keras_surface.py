# SPDX-License-Identifier: BSD-3-Clause
"""The table of what lstmfast has of Keras's surface: docs/keras-surface.md, from tools/keras_names.json.

    python tools/keras_surface.py            write the page (needs lstmfast only)
    python tools/keras_surface.py --names    make the list of names anew from the installed Keras

The list holds Keras's public names with their argument names, as facts about the other library. Layers for images and
volumes are left out: names with 2D or 3D, and image preprocessing.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = HERE / "keras_names.json"
PAGE = HERE.parent / "docs" / "keras-surface.md"

SECTIONS = [
    *("layers", "activations", "losses", "metrics", "optimizers", "optimizers.schedules", "callbacks"),
    *("initializers", "regularizers", "constraints", "utils", "saving", "models", "ops", "random"),
    "wrappers",
]
MODEL = "Model"  # the section of its methods and properties

#: What the table says beside yes and no, where the code cannot know it.
NOTES = {
    "callbacks.TensorBoard": "scalars and histograms of weights; no graphs, images, profiles or embeddings",
    "layers.AdditiveAttention": "frozen where it does not return its scores",
    "layers.Attention": "frozen where it does not return its scores",
    "layers.BatchNormalization": "not `synchronized`; frozen where `axis` is the last",
    "layers.Conv1D": "no LoRA, no quantization",
    "layers.ConvLSTM1D": "not frozen",
    "layers.Dense": "no LoRA, no quantization",
    "layers.EinsumDense": "no LoRA, no quantization; frozen where it multiplies the last axis alone",
    "layers.Embedding": "no LoRA, no quantization",
    "layers.GroupNormalization": "frozen where `axis` is the last",
    "layers.GroupQueryAttention": "frozen where it does not return its scores",
    "layers.InputSpec": "checks numbers of axes and their sizes",
    "layers.Lambda": "trains with operators and `lstmfast.ops`; a function in NumPy brings its gradient",
    "layers.Layer": "`call` of layers and operations trains; one that does more has `forward` and `backward` in its place",
    "layers.MultiHeadAttention": "frozen over time alone, where it does not return its scores",
    "layers.RNN": "cells of your own write `call` of operations, or `forward` and `backward`",
    "layers.Normalization": "frozen where `axis` is the last or None",
    "layers.Rescaling": "frozen where `scale` and `offset` are numbers, or one for each feature",
    "layers.CategoryEncoding": "not `sparse`; frozen without `count_weights`",
    "layers.Discretization": "not `sparse`; frozen for inputs (batch, features)",
    "layers.IntegerLookup": "not `sparse`; frozen unless `invert=True`",
    "layers.Pipeline": "not frozen",
    "layers.ReversibleEmbedding": "no quantization; frozen unless it is called with `reverse=True`",
    "layers.HashedCrossing": "not `sparse`; needs no TensorFlow, gives the same numbers; not in frozen models",
    "layers.Hashing": "not `sparse`; needs no TensorFlow, gives the same numbers; not in frozen models",
    "layers.StringLookup": "not `sparse`; not in frozen models; needs no TensorFlow",
    "layers.TextVectorization": "not `sparse`, not `ragged`; not in frozen models; needs no TensorFlow",
    "layers.UnitNormalization": "frozen where `axis` is the last",
    "layers.JaxLayer": "wraps another framework",
    "layers.FlaxLayer": "wraps another framework",
    "layers.TFSMLayer": "wraps another framework",
    "layers.TorchModuleWrapper": "wraps another framework",
    "models.load_model": "never runs code from a file: `safe_mode=False` is refused",
    "saving.load_model": "never runs code from a file: `safe_mode=False` is refused",
    "losses.Loss": "`call` of operations trains; one that does more has `call_and_grad` in its place",
    "ops.einsum": "in graphs labels without `...`",
    "ops.get_item": "in graphs integers, slices, None and one ellipsis",
    "ops.pad": "modes constant, reflect, symmetric, edge and wrap",
    "ops.associative_scan": "in graphs step after step along an axis of known size",
    "ops.cond": "a symbolic choice computes both branches",
    "ops.custom_gradient": "a model with it is not saved whole: no file holds functions",
    "ops.correlate": "no gradient",
    "ops.dot_product_attention": "`flash_attention` changes nothing",
    "ops.eig": "arrays only",
    "ops.fori_loop": "in graphs a known number of steps",
    "ops.histogram": "arrays only",
    "ops.image": "lstmfast is for sequences",
    "ops.jvp": "derivatives go backwards only; `lstmfast.testing` compares them with differences",
    "ops.lu_factor": "gradient of square matrices",
    "ops.lstsq": "no gradient",
    "ops.map": "in graphs step after step along an axis of known size",
    "ops.nonzero": "arrays only",
    "ops.pinv": "no gradient",
    "ops.polar": "arrays only",
    "ops.qr": "no gradient",
    "ops.scan": "in graphs step after step along an axis of known size",
    "ops.sparsemax": "as in the paper: Keras 3.15 adds up too much on PyTorch",
    "ops.svd": "gradient of the values only",
    "ops.switch": "a symbolic choice computes all branches",
    "ops.unique": "arrays only",
    "ops.vander": "arrays only",
    "ops.vectorize": "arrays only",
    "ops.vectorized_map": "in graphs step after step along an axis of known size",
    "ops.view": "arrays only",
    "ops.view_as_complex": "arrays only",
    "ops.view_as_real": "arrays only",
    "ops.while_loop": "in graphs a known number of steps",
    "utils.get_file": "lstmfast opens no network connection: download by other means",
    "utils.disable_interactive_logging": "messages go to Python's logger `lstmfast`",
    "utils.text_dataset_from_directory": "gives batches of NumPy arrays",
    "utils.timeseries_dataset_from_array": "gives batches of NumPy arrays",
    "Model.add_loss": "inside `call`: numbers, and what `lstmfast.ops` makes of its input and weights",
    "Model.call": "of layers and arithmetic: what it does with symbolic inputs is the graph",
    "Model.export": "raises a ValueError that says what there is instead: `freeze`, or `save` as `.keras`",
    "Model.compute_loss": "written anew it trains if it uses `lstmfast.ops` and layers alone; else it may only watch the loss",
}
#: Names that exist only to say that the thing does not.
REFUSALS = {"Model.export"}


# --- the list


def keras_names() -> dict[str, Any]:
    """Keras's public names: for each section the names with arguments (None: takes none) and other names of the same."""
    import keras

    listed: dict[str, Any] = {"keras": keras.__version__}
    for section in SECTIONS:
        listed[section] = _section(importlib.import_module(f"keras.{section}"), section)
    listed[MODEL] = _model_members(keras.Model)
    return listed


def _section(module: Any, section: str) -> dict[str, Any]:
    groups: dict[int, list[str]] = {}
    for name in sorted(dir(module)):
        thing = getattr(module, name)
        if not name.startswith("_") and not inspect.ismodule(thing) and not _of_images(name, thing, section):
            groups.setdefault(id(thing), []).append(name)
    found = {}
    for names in groups.values():
        thing = getattr(module, names[0])
        own = getattr(thing, "__name__", names[0])
        main = own if own in names else names[0]
        others = [name for name in names if name != main]
        found[main] = {"arguments": _own_arguments(thing), **({"also": others} if others else {})}
    return dict(sorted(found.items()))


def _of_images(name: str, thing: Any, section: str) -> bool:
    where = getattr(thing, "__module__", "")
    return section == "layers" and (bool(re.search("[23]D", name)) or "image_preprocessing" in where)


def _model_members(model: Any) -> dict[str, Any]:
    found = {}
    for cls in model.__mro__:
        if cls.__module__.startswith("keras.") and ".backend." not in cls.__module__:
            for name in vars(cls):
                if not name.startswith("_") and name not in found:
                    member = inspect.getattr_static(model, name)
                    static = isinstance(member, (staticmethod, classmethod))
                    member = member.__func__ if static else member
                    found[name] = {"arguments": _own_arguments(member) if callable(member) else None}
    return dict(sorted(found.items()))


def _own_arguments(thing: Any) -> list[str] | None:
    """Names of the arguments that the signature itself has; None for what cannot be called."""
    if not callable(thing):
        return None
    try:
        parameters = inspect.signature(thing.__init__ if inspect.isclass(thing) else thing).parameters
    except (TypeError, ValueError):
        return []
    return [name for name, p in parameters.items() if p.kind not in _VARIABLE and name not in ("self", "cls")]


_VARIABLE = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


# --- the comparison


#: Taken by every layer among its ``**kwargs``, and without meaning.
_ACCEPTED = {"autocast"}
#: In Keras's signatures only by ``**kwargs``: no news.
_COMMON = {
    "name",
    "dtype",
    "trainable",
    "activity_regularizer",
    "lora_rank",
    "lora_alpha",
    "quantization_config",
}
#: Beyond Keras's, by our ``**kwargs``.
_MORE = {f"layers.{name}": ["zoneout", "variational", "remat"] for name in ("LSTM", "GRU", "SimpleRNN")}


def arguments_of(thing: Any) -> list[str]:
    """What a callable of lstmfast takes, with the arguments that ``**kwargs`` hand to the classes it comes from."""
    if not inspect.isclass(thing):
        return _own_arguments(thing) or []
    taken: list[str] = []
    for cls in thing.__mro__:
        if "__init__" in vars(cls) and cls is not object:
            parameters = inspect.signature(cls.__init__).parameters.values()
            taken += [name for name in _own_arguments(cls) or [] if name not in taken]
            if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
                break
    return taken


def ours(section: str, name: str) -> Any:
    """lstmfast's object of this name, or None."""
    import lstmfast

    module = importlib.import_module("lstmfast" if section == MODEL else f"lstmfast.{section}")
    if section != MODEL:
        return getattr(module, name, None)
    model = lstmfast.Sequential([lstmfast.Input((3,)), lstmfast.Dense(1)])
    if name not in dir(model):
        return None
    member = inspect.getattr_static(lstmfast.Model, name, True)  # True: an attribute of the instance
    return member.__func__ if isinstance(member, (staticmethod, classmethod)) else member


def compare(section: str, name: str, entry: dict[str, Any]) -> tuple[str, list[str], list[str]]:
    """ "yes", "partly" or "no"; the arguments of Keras's that are missing; the arguments beyond Keras's."""
    thing = ours(section, name)
    if thing is None or f"{section}.{name}" in REFUSALS:
        return "no", [], []
    theirs = entry["arguments"]
    if theirs is None or not callable(thing):
        return "yes", [], []
    taken = arguments_of(thing)
    missing = [argument for argument in theirs if argument not in taken and argument not in _ACCEPTED]
    more = [a for a in _own_arguments(thing) or [] if a not in theirs and a not in _COMMON]
    more += [a for a in _MORE.get(f"{section}.{name}", []) if a in taken]
    return ("partly" if missing else "yes"), missing, more


# --- the page


def page(listed: dict[str, Any]) -> str:
    """The text of docs/keras-surface.md."""
    lines = [
        "<!-- Written by tools/keras_surface.py; do not edit. -->",
        "# Keras's surface, name by name",
        "",
        f"What lstmfast has of Keras {listed['keras']}'s public names. **yes**: the name exists and takes all of Keras's "
        "arguments by the same names. **partly**: the name exists, the note says which arguments it does not take. "
        "**no**: it does not exist. Layers for images and volumes are not listed (names with 2D or 3D, image "
        "preprocessing): lstmfast is for sequences. Parts that are not in the table have no counterpart.",
        "",
        "All computation is in float32: `dtype` accepts nothing else. An argument that asks for what does not exist here "
        "(LoRA, say) takes Keras's default and raises a ValueError for anything else; the notes name the larger ones.",
        "",
        "| part | yes | partly | no |",
        "|---|---:|---:|---:|",
    ]
    tables = []
    for section in (*SECTIONS, MODEL):
        title = "Model: methods and properties" if section == MODEL else section
        rows, counts = [], {"yes": 0, "partly": 0, "no": 0}
        for name, entry in listed[section].items():
            verdict, missing, more = compare(section, name, entry)
            also = entry.get("also", [])
            absent = [other for other in also if ours(section, other) is None]
            counts[verdict] += 1
            notes = (
                [f"also as {_code([o for o in also if o not in absent])}"] if len(also) > len(absent) else []
            )
            notes += [f"not as {_code(absent)}"] if absent and verdict != "no" else []
            notes += [f"without {_code(missing)}"] if missing else []
            notes += [f"more arguments: {_code(more)}"] if more else []
            notes += [NOTES[f"{section}.{name}"]] if f"{section}.{name}" in NOTES else []
            rows.append(f"| `{name}` | {verdict} | {'; '.join(notes)} |")
        lines.append(
            f"| [{title}](#{_anchor(title)}) | {counts['yes']} | {counts['partly']} | {counts['no']} |"
        )
        tables += ["", f"## {title}", "", "| Keras | lstmfast | notes |", "|---|---|---|", *rows]
    return "\n".join([*lines, *tables]) + "\n"


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", action="store_true", help="make the list of names anew (needs Keras)")
    if parser.parse_args().names:
        NAMES.write_text(as_json(keras_names()))
    PAGE.write_text(page(json.loads(NAMES.read_text())))


def as_json(listed: dict[str, Any]) -> str:
    """A name a line, for readable differences."""
    parts = [f'"keras": {json.dumps(listed["keras"])}']
    for section in (*SECTIONS, MODEL):
        rows = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in listed[section].items()
        )
        parts.append(f'"{section}": {{\n{rows}\n}}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
