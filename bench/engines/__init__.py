# SPDX-License-Identifier: BSD-3-Clause
"""Engines by name. A new one is a module here with `version`, `infer` and perhaps `train`, and a line in ENGINES.

version(variant) -> str
infer(workload, data, threads, variant) -> Ready, or None where it has no such network
train(workload, threads, variant) -> a function that makes one training step, or None
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from workloads import Data, Infer, Workload

ENGINES = {  # name on the command line: (module, its variant)
    "lstmfast": ("ours", "call"),
    "lstmfast_frozen": ("ours", "frozen"),
    "torch": ("pytorch", "packed"),
    "torch_padded": ("pytorch", "padded"),
    "onnxruntime": ("onnx_graph", "onnxruntime"),
    "openvino": ("onnx_graph", "openvino"),
    "jax": ("plain", "jax"),
    "keras": ("keras_tensorflow", ""),
    "numpy": ("plain", "numpy"),
}
TITLES = {
    "lstmfast_frozen": "lstmfast frozen",
    "torch": "PyTorch",
    "torch_padded": "PyTorch, padded",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "jax": "JAX",
    "keras": "Keras (TensorFlow)",
    "numpy": "NumPy",
}


class Ready(NamedTuple):
    """A workload that an engine has prepared."""

    call: Callable[[], Any]  # this is timed
    outputs: Callable[[Any], np.ndarray] | None = (
        None  # what a call returned, as (B, T, D*H); None: not compared
    )


def is_ours(engine: str) -> bool:
    return engine.startswith("lstmfast")


def _module(engine: str) -> ModuleType:
    return importlib.import_module(f"engines.{ENGINES[engine][0]}")


def version(engine: str) -> str:
    return str(_module(engine).version(ENGINES[engine][1]))


def prepare(engine: str, workload: Workload, threads: int) -> Ready | None:
    module, variant = _module(engine), ENGINES[engine][1]
    if isinstance(workload, Infer):
        ready: Ready | None = module.infer(workload, Data(workload), threads, variant)
        return ready
    train = getattr(module, "train", None)
    step = train and train(workload, threads, variant)
    return Ready(step) if step else None
