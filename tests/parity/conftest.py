# SPDX-License-Identifier: BSD-3-Clause
"""Lets the tests of this folder import `peers` and `layer_parity`, and keeps PyTorch to one thread."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """The arrays are small: a second thread would only take a CPU from tests that run beside these."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
