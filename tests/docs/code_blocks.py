# SPDX-License-Identifier: BSD-3-Clause
"""The Python blocks of a Markdown page, and how they run.

A block without ``>>>`` is executed, one with ``>>>`` is a doctest whose output must match. All blocks of a page share one
namespace, in order. A comment on the line before a block changes that:

    <!-- skip: why -->       the block is not run
    <!-- needs: torch -->    the block runs only where these modules are installed (names separated by commas)
"""

from __future__ import annotations

import doctest
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w+-]*)(?P<rest>[^\n]*)$")
MARK = re.compile(r"^\s*<!-- (?P<kind>skip|needs): *(?P<text>.*?) *-->\s*$")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Block:
    line: int  # of its first line of code, from 1
    source: str
    skip: str | None = None
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


def python_blocks(text: str) -> list[Block]:
    """All blocks of a page that are marked ``python``; ValueError for a fence that never closes."""
    blocks = []
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        number += 1
        if fence is None:
            continue
        start, indent = number, fence["indent"]
        while number < len(lines) and lines[number].strip() != "```":
            number += 1
        if number == len(lines):
            raise ValueError(f"the block that starts in line {start} never ends")
        if fence["language"] in ("python", "py", "pycon"):
            body = [line.removeprefix(indent) for line in lines[start:number]]
            block = Block(start + 1, "\n".join(body) + "\n")
            mark = MARK.match(lines[start - 2]) if start >= 2 else None
            if mark is not None and mark["kind"] == "skip":
                block.skip = mark["text"]
            elif mark is not None:
                block.needs = tuple(name.strip() for name in mark["text"].split(","))
            blocks.append(block)
        number += 1
    return blocks


def run_page(path: Path, text: str) -> tuple[int, list[str]]:
    """Run the blocks of a page; returns how many ran, and what went wrong in doctests. Errors of plain blocks pass through."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ran, failures = 0, []
    for block in python_blocks(text):
        if block.skip is not None or block.missing:
            continue
        ran += 1
        if ">>>" in block.source:
            failures += _run_doctest(block, path, namespace)
        else:
            # As many empty lines before it as bring tracebacks to the line in the page.
            exec(compile("\n" * (block.line - 1) + block.source, str(path), "exec"), namespace)
    return ran, failures


def _run_doctest(block: Block, path: Path, namespace: dict[str, Any]) -> list[str]:
    name = f"{path.name}, line {block.line}"
    test = doctest.DocTestParser().get_doctest(block.source, {}, name, str(path), block.line - 1)
    test.globs = namespace
    report: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append, clear_globs=False)
    return report
