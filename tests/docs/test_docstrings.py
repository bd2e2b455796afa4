# SPDX-License-Identifier: BSD-3-Clause
"""The examples in docstrings are right, and what is public has a docstring."""

import doctest
import importlib
import inspect
import pkgutil
import sys

import pytest

import lstmfast

FLAGS = doctest.ELLIPSIS
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lstmfast.__path__, "lstmfast.")
    if not module.name.endswith(("__main__", "._core"))
)
#: Modules whose docstrings need an extra.
NEEDS = {"lstmfast.sklearn": "sklearn", "lstmfast.wrappers": "sklearn", "lstmfast.plotting": "matplotlib"}


def module_or_skip(name):
    for prefix, needed in NEEDS.items():
        if name.startswith(prefix):
            pytest.importorskip(needed)
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    module = module_or_skip(name)
    lstmfast.utils.clear_session()  # layers are named as in a fresh process, whatever tests ran before
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=report.append)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    assert not report, "".join(report)


PUBLIC = [
    *("activations", "callbacks", "constraints", "datasets", "initializers", "layers", "losses", "metrics"),
    *("models", "ops", "optimizers", "optimizers.schedules", "plotting", "random", "regularizers", "saving"),
    *("sklearn", "testing", "utils", "wrappers"),
]
#: The same for every class that has it: the arguments of its constructor.
CONTRACT = {"get_config"}


@pytest.mark.parametrize("name", ["", *PUBLIC])
def test_public_names_have_docstrings(name):
    module = module_or_skip(f"lstmfast.{name}".rstrip("."))
    assert module.__doc__
    bare = []
    for public in module.__all__:
        thing = getattr(module, public)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            if not thing.__doc__:
                bare.append(public)
            if inspect.isclass(thing) and thing.__module__.startswith("lstmfast"):
                # A method without a text of its own has that of the class it overrides.
                bare += [
                    f"{public}.{method}"
                    for method, function in vars(thing).items()
                    if inspect.isfunction(function)
                    and not method.startswith("_")
                    and method not in CONTRACT
                    and not inspect.getdoc(getattr(thing, method))
                ]
    assert not bare, f"without docstring: {bare}"
