# SPDX-License-Identifier: BSD-3-Clause
"""Keras on PyTorch, which the tests of this folder compare with: to import it skips a module where they are missing."""

import os

import pytest

__all__ = ["keras", "torch"]

os.environ.setdefault("KERAS_BACKEND", "torch")
torch = pytest.importorskip("torch", reason="the parity extra (PyTorch) is not installed")
keras = pytest.importorskip("keras", reason="the parity extra (Keras) is not installed")
if keras.backend.backend() != "torch":
    pytest.skip("gradients are taken through torch", allow_module_level=True)
