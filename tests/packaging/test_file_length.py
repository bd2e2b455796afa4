# SPDX-License-Identifier: BSD-3-Clause
"""Files stay small enough to hold in mind."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="needs the sources")
def test_no_source_file_is_longer_than_600_lines():
    sources = [
        p
        for folder in ("csrc", "python", "tests", "bench")
        for p in (ROOT / folder).rglob("*")
        if p.suffix in {".py", ".h", ".cpp"}
    ]
    assert sources
    long = {str(p.relative_to(ROOT)): n for p in sources if (n := len(p.read_text().splitlines())) > 600}
    assert not long
