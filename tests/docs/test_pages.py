# SPDX-License-Identifier: BSD-3-Clause
"""Every Python block of README.md and of the pages in docs/ runs, and prints what the page says."""

import importlib.util
import inspect
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import lstmfast as lf

sys.path.insert(0, str(Path(__file__).parent))

from code_blocks import python_blocks, run_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))) if path.is_file()]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")


def with_blocks():
    return [path for path in PAGES if "```py" in path.read_text()]


@pytest.fixture
def _as_a_user(tmp_path, monkeypatch):
    """A directory of its own, pictures without a display, Keras on the backend that is installed; then as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    lf.utils.clear_session()  # names of layers begin without numbers
    state, py_state = np.random.get_state(), random.getstate()
    yield
    np.random.set_state(state)
    random.setstate(py_state)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.usefixtures("_as_a_user")
@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras on PyTorch beside NumPy 2
@pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN:UserWarning"
)  # PyTorch
@pytest.mark.parametrize("path", with_blocks(), ids=lambda path: str(path.relative_to(ROOT)))
def test_page(path):
    ran, failures = run_page(path, path.read_text())
    assert not failures, "".join(failures)
    if not ran:
        pytest.skip("no block of this page runs here")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_skipped_blocks_have_a_reason_and_needed_modules_exist_somewhere(path):
    known = {"h5py", "keras", "matplotlib", "pandas", "sklearn", "torch"}
    for block in python_blocks(path.read_text()):
        assert block.skip is None or len(block.skip.split()) >= 3, (
            f"{path}:{block.line}: say why it is skipped"
        )
        assert set(block.needs) <= known, f"{path}:{block.line}: {block.needs}"


def test_blocks_are_found_with_their_marks():
    page = "\n".join(
        [
            "# A page",
            "```python",
            "a = 1",
            "```",
            "<!-- skip: opens a window and waits -->",
            "```python",
            "raise SystemExit",
            "```",
            "- item:",
            "",
            "    ```python",
            "    >>> a + 1",
            "    2",
            "    ```",
            "<!-- needs: no_such_module, sys -->",
            "```python",
            "raise SystemExit",
            "```",
            "```",
            "not Python",
            "```",
        ]
    )
    blocks = python_blocks(page)
    assert [block.line for block in blocks] == [3, 7, 12, 17]
    assert blocks[1].skip == "opens a window and waits"
    assert blocks[2].source == ">>> a + 1\n2\n"
    assert blocks[3].missing == ["no_such_module"]
    assert importlib.util.find_spec("no_such_module") is None
    assert run_page(Path("a.md"), page) == (2, [])


def test_wrong_output_is_found():
    ran, failures = run_page(Path("a.md"), "```python\n>>> 1 + 1\n3\n```\n")
    assert ran == 1 and "Expected" in "".join(failures)
    with pytest.raises(ZeroDivisionError):
        run_page(Path("a.md"), "```python\n1 / 0\n```\n")
    with pytest.raises(ValueError, match="line 1 never ends"):
        python_blocks("```python\n1 / 0\n")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(name):
    """In docs/ the build of the site looks after that."""
    page = ROOT / name
    if not (ROOT / "CONTRIBUTING.md").is_file():
        pytest.skip("not a clone: the sdist leaves pages out")
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_reference_has_every_public_module():
    told = set(
        re.findall(r"^::: (\S+)", "\n".join(p.read_text() for p in (DOCS / "reference").glob("*.md")), re.M)
    )
    modules = {f"lstmfast.{n}" for n in lf.__all__ if inspect.ismodule(getattr(lf, n))}
    assert (
        modules | {"lstmfast.sklearn", "lstmfast.wrappers", "lstmfast.reference", "lstmfast.runtime"} <= told
    )
    for name in told:
        module, _, thing = name.rpartition(".")
        assert importlib.util.find_spec(name if name in modules else module), name
