# SPDX-License-Identifier: BSD-3-Clause
"""docs/keras-surface.md says what is so: it is as the code makes it, and its list of names is Keras's own."""

import importlib
import importlib.util
import inspect
import json
import os
from pathlib import Path

import pytest

import lstmfast as lf

os.environ.setdefault("KERAS_BACKEND", "torch")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "keras_surface.py"

pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="tools/ is not here")


@pytest.fixture(scope="module")
def surface():
    spec = importlib.util.spec_from_file_location("keras_surface", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listed(surface):
    return json.loads(surface.NAMES.read_text())


def test_the_page_is_what_the_code_makes(surface, listed):
    assert surface.PAGE.read_text() == surface.page(listed), "run python tools/keras_surface.py"


def test_the_list_is_kerass_own(surface, listed):
    keras = pytest.importorskip("keras")
    if keras.__version__ != listed["keras"]:
        pytest.skip(f"the list is of Keras {listed['keras']}, installed is {keras.__version__}")
    assert surface.as_json(surface.keras_names()) == surface.NAMES.read_text(), (
        "run python tools/keras_surface.py --names"
    )


def rows_that_say_yes(page):
    section = None
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:].split(":")[0]
        elif section and line.startswith("| `") and "| yes |" in line:
            yield section, line.split("`")[1]


def test_every_yes_has_the_arguments_of_the_installed_keras(surface):
    """From the page alone: the name exists, and what Keras's signature names can be given by name."""
    keras = pytest.importorskip("keras")
    checked = 0
    model = lf.Sequential([lf.Input((3,)), lf.Dense(1)])
    for section, name in rows_that_say_yes(surface.PAGE.read_text()):
        if section == "Model":
            assert hasattr(type(model), name) or name in dir(model), name
            ours, theirs = getattr(lf.Model, name, None), getattr(keras.Model, name, None)
        else:
            ours = getattr(importlib.import_module(f"lstmfast.{section}"), name)
            theirs = getattr(importlib.import_module(f"keras.{section}"), name, None)
        checked += 1
        if not callable(ours) or not callable(theirs):
            continue
        for argument in signature_names(theirs):
            assert takes(ours, argument), f"{section}.{name} does not take {argument}"
    assert checked > 200


def signature_names(thing):
    function = thing.__init__ if inspect.isclass(thing) else thing
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in variable and name not in ("self", "cls")
    ]


def takes(thing, argument):
    """A class that hands ``**kwargs`` on takes what its bases take; `autocast` is tried below."""
    classes = thing.__mro__ if inspect.isclass(thing) else [thing]
    return argument == "autocast" or any(
        argument in signature_names(cls) for cls in classes if cls is not object
    )


def test_arguments_behind_kwargs_are_taken():
    for layer in (lf.LSTM, lf.GRU, lf.SimpleRNN):
        layer(
            3,
            autocast=False,
            zoneout=0.1,
            variational=True,
            remat=True,
            name="a",
            trainable=False,
            dtype="float32",
        )
    assert lf.optimizers.SGD(0.1, clipnorm=1.0, use_ema=True, name="a").clipnorm == 1.0
