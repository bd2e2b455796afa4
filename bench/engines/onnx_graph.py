# SPDX-License-Identifier: BSD-3-Clause
"""ONNX Runtime and OpenVINO, both from the same ONNX file in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from workloads import GATES, Data, Infer

from . import Ready

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}
ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "simple_rnn": (0,)}  # its gates among Keras's
STATES = ("h0", "c0")


def version(variant: str) -> str:
    if variant == "onnxruntime":
        import onnxruntime

        return str(onnxruntime.__version__)
    import openvino

    return str(openvino.__version__).split("-")[0]


def _rows(cell: str, a: np.ndarray) -> np.ndarray:
    gates = np.split(a, GATES[cell], axis=-1)
    return np.concatenate([gates[k].T for k in ORDER[cell]])


def _initializers(cell: str, layer: list[Any], n: int) -> list[Any]:
    stacked: dict[str, list[np.ndarray]] = {"W": [], "R": [], "B": []}
    for kernel, recurrent, bias in layer:
        biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
        stacked["W"].append(_rows(cell, kernel))
        stacked["R"].append(_rows(cell, recurrent))
        stacked["B"].append(np.concatenate([_rows(cell, b) for b in biases]))
    return [numpy_helper.from_array(np.stack(arrays), f"{name}{n}") for name, arrays in stacked.items()]


def _graph(w: Infer, data: Data) -> bytes:
    """Inputs x (T, B, I) and, if there are any, lengths (B,) or states; outputs y (T, B, D*H) and the states."""
    states = STATES[: len(data.states)]
    shapes: dict[str, Any] = {"x": (TensorProto.FLOAT, [w.time, w.batch, w.features])}
    if w.ragged:
        shapes["lengths"] = (TensorProto.INT32, [w.batch])
    shapes |= {name: (TensorProto.FLOAT, [1, w.batch, w.hidden]) for name in states}
    attributes = {"hidden_size": w.hidden, "direction": "bidirectional" if w.bi else "forward"}
    if w.cell == "gru":
        attributes["linear_before_reset"] = 1
    elif w.cell == "simple_rnn":
        attributes["activations"] = ["Tanh"] * w.directions
    constants = [numpy_helper.from_array(np.array([0, 0, -1], np.int64), "merged")]
    nodes, below = [], "x"
    for n, layer in enumerate(data.weights):
        last = n == w.layers - 1
        constants += _initializers(w.cell, layer, n)
        inputs = [below, f"W{n}", f"R{n}", f"B{n}", "lengths" if w.ragged else "", *states]
        while not inputs[-1]:
            inputs.pop()
        outputs = [f"raw{n}", *(f"{s}_out" for s in states)]
        below = "y" if last else f"y{n}"
        nodes += [
            helper.make_node(OPERATORS[w.cell], inputs, outputs, **attributes),
            helper.make_node("Transpose", [f"raw{n}"], [f"turned{n}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"turned{n}", "merged"], [below]),
        ]
    graph = helper.make_graph(
        nodes,
        "recurrent",
        [helper.make_tensor_value_info(name, *kind) for name, kind in shapes.items()],
        [
            helper.make_tensor_value_info(o, TensorProto.FLOAT, None)
            for o in ("y", *(f"{s}_out" for s in states))
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    feed = {"x": data.time_major}
    if data.lengths is not None:
        feed["lengths"] = data.lengths
    feed |= dict(zip(STATES, (s[None] for s in data.states), strict=False))
    call = (_onnxruntime if variant == "onnxruntime" else _openvino)(_graph(w, data), feed, threads)
    return Ready(call, lambda y: np.asarray(y[0]).transpose(1, 0, 2))


def _onnxruntime(model: bytes, feed: dict[str, np.ndarray], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def _openvino(model: bytes, feed: dict[str, np.ndarray], threads: int) -> Any:
    import openvino

    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    return lambda: request.infer(feed, share_inputs=True, share_outputs=True)
