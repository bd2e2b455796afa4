# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of operations share: a graph in both libraries, compared in every respect."""

from __future__ import annotations

import numpy as np
from peers import keras, torch

import lstmfast as lf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 6)).astype(np.float32)
P = RNG.uniform(0.3, 2, (3, 4, 6)).astype(np.float32)


def graph(k, case):
    x, p = k.Input((4, 6), name="x"), k.Input((4, 6), name="p")
    return k.Model([x, p], case(k.ops, x, p))


def close(ours, theirs, tolerance=1e-5):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(np.abs(theirs).max(), 1e-3))


def numpy_of(tensor):
    return tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)


def graph_agrees(case, tolerance=1e-5):
    """Values, shapes, dtypes, gradients and configurations, read by either library, of a function of ops, x and p."""
    ours, theirs = graph(lf, case), graph(keras, case)
    tensors = [torch.tensor(a, requires_grad=True) for a in (X, P)]
    expected = theirs(tensors)
    y, tape = ours.forward([X, P], training=True)
    close(y, numpy_of(expected), tolerance)
    known = [(m, n) for m, n in zip(ours.output_shape, y.shape, strict=True) if m is not None]
    assert all(m == n for m, n in known)
    assert ours.output_shape == theirs.output_shape, (ours.output_shape, theirs.output_shape)
    assert ours.outputs[0].dtype == theirs.outputs[0].dtype or "64" in theirs.outputs[0].dtype, (
        ours.outputs[0].dtype,
        theirs.outputs[0].dtype,
    )
    assert y.dtype == np.float32

    dy = RNG.normal(size=y.shape).astype(np.float32)
    (expected * torch.tensor(dy)).sum().backward()
    _, dx, _ = tape.backward(dy)
    for found, tensor in zip(dx, tensors, strict=True):
        gradient = np.zeros(X.shape) if tensor.grad is None else tensor.grad.numpy()
        close(np.zeros(X.shape) if found is None else found, gradient, 2 * tolerance)

    again = lf.Model.from_config(ours.get_config())
    np.testing.assert_array_equal(again([X, P]), y)
    read = keras.Model.from_config(ours.get_config())
    close(numpy_of(read([X, P])), numpy_of(expected), tolerance)  # an array of float64 is float32 with us
    back = lf.Model.from_config(theirs.get_config())
    np.testing.assert_array_equal(back([X, P]), y)
    assert str(described(ours)) == str(described(theirs))  # NaN in them


def described(model):
    """What a configuration says of each operation; classes in place of names."""
    layers = model.get_config()["layers"]
    classes = {entry["name"]: entry["class_name"] for entry in layers}
    found = []
    for entry in layers:
        if entry["module"].startswith("keras.src.ops"):
            (node,) = entry["inbound_nodes"]
            given = [value for value in (*node["args"], *node["kwargs"].values()) if value is not None]
            config = {key: plain(value, classes) for key, value in entry["config"].items() if key != "name"}
            kind = (entry["module"], entry["class_name"], entry["registered_name"])
            found.append((*kind, config, [plain(value, classes) for value in given]))
    return found


def plain(value, classes):
    """Arrays without their dtype, which Keras's graphs keep in float64; calls by their class."""
    if isinstance(value, dict):
        config = value.get("config")
        if value.get("class_name") == "__keras_tensor__":
            name, node, index = config["keras_history"]
            return [classes[name], node, index]
        if value.get("class_name") == "__numpy__":
            return config["value"]
        return {key: plain(item, classes) for key, item in value.items()}
    return [plain(item, classes) for item in value] if isinstance(value, (list, tuple)) else value
