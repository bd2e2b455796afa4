# SPDX-License-Identifier: BSD-3-Clause
"""Every layer of Keras's about sequences with random values of every argument, inside a model, beside the real Keras 3:
outputs, shapes, masks, penalties, gradients, steps of training, configurations, files both ways."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from layer_cases import APART, CASES, CELLS, REFUSED, Case, Of, floats
from layer_parity import close
from peers import keras, torch

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[2]
# No shrinking: an example is small, and costs a second.
COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.generate],
}


def test_every_layer_and_every_argument_has_a_case() -> None:
    listed = json.loads((ROOT / "tools" / "keras_names.json").read_text())["layers"]
    classes = {name for name in listed if inspect.isclass(getattr(keras.layers, name))}
    assert classes == CASES.keys() | CELLS.keys() | APART.keys()
    compared = {name: {*case.needed, *case.options} for name, case in CASES.items()}
    compared |= {name: {"units", *options} for name, options in CELLS.items()}
    for name, arguments in compared.items():
        documented = set(inspect.signature(getattr(keras.layers, name)).parameters) - {
            "name",
            "dtype",
            "kwargs",
        }
        assert documented - REFUSED <= arguments, name


def drawn(data: st.DataObject, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of the constructor and of the call."""
    options = {name: data.draw(values, name) for name, values in case.needed.items()}
    options |= {
        n: data.draw(values, n) for n, values in case.options.items() if data.draw(st.integers(0, 2)) == 0
    }
    assume(case.allowed(options))
    return options, {n: data.draw(values, n) for n, values in case.call.items() if data.draw(st.booleans())}


def made(K: Any, name: str, options: dict[str, Any]) -> Any:
    return getattr(K.layers, name)(**{k: v.make(K) if isinstance(v, Of) else v for k, v in options.items()})


def model_of(
    K: Any, layer: Any, case: Case, arrays: list[np.ndarray], masked: bool, call: dict[str, Any]
) -> Any:
    inputs = [K.Input(a.shape[1:], batch_size=None, dtype=str(a.dtype)) for a in arrays]
    given = [K.layers.Masking()(x) if masked else x for x in inputs]
    return K.Model(inputs, layer(given, **call) if case.as_list else layer(*given, **call))


def same_weights(ours: Any, theirs: Any, rng: np.random.Generator) -> None:
    assert [tuple(v.shape) for v in theirs.weights] == [tuple(v.shape) for v in ours.weights]
    values = []
    for v, w in zip(ours.weights, theirs.weights, strict=True):
        assert v.trainable == w.trainable and v.path.split("/")[-1] == w.path.split("/")[-1]
        value = floats(rng, *v.shape) / np.sqrt(np.float32(v.shape[0] if v.shape else 1))
        positive = "variance" in v.path or "stddev" in v.path
        fixed = v.path.endswith(("count", "vector_u"))  # no weights of chance
        values.append(w.numpy() if fixed else np.abs(value) + 0.1 if positive else value)
    ours.set_weights(values)
    theirs.set_weights(values)


def listed(value: Any) -> list[Any]:
    return keras.tree.flatten(value)


def numpy_of(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(value)


def described(layer: Any, K: Any) -> Any:
    """Without the shapes that layers were built for, which those without weights need not know, and the numbers in names
    of layers inside, which count what other tests have made."""

    def plain(part: Any) -> Any:
        if isinstance(part, dict):
            known = {key: plain(value) for key, value in part.items() if key != "build_config"}
            return known | {key: re.sub(r"_\d+$", "", known[key]) for key in ("name",) if known.get(key)}
        return [plain(value) for value in part] if isinstance(part, list) else part

    return plain(json.loads(json.dumps(K.saving.serialize_keras_object(layer))))


def same_configurations(ours: Any, theirs: Any) -> None:
    assert described(ours, lf) == described(theirs, keras)
    again = lf.saving.deserialize_keras_object(described(theirs, keras))
    assert described(again, lf) == described(theirs, keras)


@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    case = CASES[name]

    @settings(max_examples=6, **COMMON)
    @given(st.data(), st.integers(0, 2**31))
    def run(data: st.DataObject, seed: int) -> None:
        options, call = drawn(data, case)
        masked = case.masked and data.draw(st.booleans(), "masked")
        if masked:  # Keras 3.15 does neither
            assume(
                "sliding_window" not in options
                and not (options.get("go_backwards") and options.get("unroll"))
            )
        if masked and name == "MultiHeadAttention":
            call["return_attention_scores"] = (
                True  # or torch computes, whose gradient of rows that see nothing is not one
            )
        rng = np.random.default_rng(seed)
        arrays = case.inputs(rng, options)
        if masked:
            for a in arrays:
                a[1, 4:] = a[2, 3:] = 0
        layers = [made(K, name, options | {"name": "it"}) for K in (lf, keras)]
        ours, theirs = (
            model_of(K, x, case, arrays, masked, call) for K, x in zip((lf, keras), layers, strict=True)
        )
        if name != "Lambda":  # no configuration of ours holds a function's code
            same_configurations(*layers)
        same_weights(ours, theirs, rng)
        same_results(ours, theirs, arrays, rng)
        same_masks(layers, case, arrays, masked, call)
        if not call.get("return_attention_scores"):  # Keras's losses see a mask of its own workings there
            same_training(ours, theirs, arrays, rng)
        if data.draw(st.integers(0, 3)) == 0 and name != "Lambda":  # no file holds functions
            same_files(ours, theirs, arrays, tmp_path)

    run()


def same_results(ours: Any, theirs: Any, arrays: list[np.ndarray], rng: np.random.Generator) -> None:
    y, tape = ours.forward(arrays if len(arrays) > 1 else arrays[0], training=False)
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    expected = listed(theirs(tensors if len(tensors) > 1 else tensors[0]))
    projection = 0.0
    dy = []
    for a, b, symbolic, mine in zip(listed(y), expected, theirs.outputs, ours.outputs, strict=True):
        close(a, b.detach().numpy(), "output")
        # (Keras's EinsumDense forgets sizes that its `output_shape` leaves open.)
        shape = [n if m is None else m for n, m in zip(mine.shape, symbolic.shape, strict=True)]
        assert mine.shape == tuple(shape) and symbolic.shape[0] is mine.shape[0] is None
        dy.append(floats(rng, *a.shape))
        if b.requires_grad:
            projection = projection + (b * torch.tensor(dy[-1])).sum()
    ours(arrays if len(arrays) > 1 else arrays[0])
    close(sum(map(float, ours.losses)), sum(float(v) for v in theirs.losses), "penalties")
    if isinstance(projection, float):
        return
    of_activities = [loss for layer in theirs._flatten_layers() for loss in layer._losses]
    for w in theirs.trainable_weights:
        w.value.grad = None
    (projection + sum(of_activities)).backward()
    grads, dx, _ = tape.backward(dy if len(dy) > 1 else dy[0])
    for v, g, w in zip(ours.trainable_weights, grads, theirs.trainable_weights, strict=True):
        wanted = np.zeros(w.shape) if w.value.grad is None else w.value.grad.numpy()
        # (What shifts all scores alike changes no weight of attention: the gradient of keys' biases is 0.)
        close(g, wanted, f"d {v.path}", 1.0 if v.path.endswith("key/bias") else 1e-2)
    for d, t in zip(listed(dx), tensors, strict=True):
        if t.grad is not None:
            close(d, t.grad.numpy(), "dx", 1e-2)


def same_masks(
    layers: list[Any], case: Case, arrays: list[np.ndarray], masked: bool, call: dict[str, Any]
) -> None:
    """Of calls with arrays."""
    found = []
    for K, layer in zip((lf, keras), layers, strict=True):
        given = [K.layers.Masking()(a) if masked else a for a in arrays]
        outputs = listed(layer(given, **call) if case.as_list else layer(*given, **call))
        found.append([getattr(y, "_keras_mask", None) for y in outputs])
    if call.get("return_attention_scores"):
        del found[0][1], found[1][1]  # where Keras leaves a mask of its own workings
    for mine, theirs in zip(*found, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            np.testing.assert_array_equal(mine, numpy_of(theirs))


def same_training(ours: Any, theirs: Any, arrays: list[np.ndarray], rng: np.random.Generator) -> None:
    """Two steps down the gradient: penalties, constraints and moving statistics take part."""
    targets = [
        floats(rng, *np.shape(y))
        for y in listed(ours.predict_on_batch(arrays if len(arrays) > 1 else arrays[0]))
    ]
    x, y = arrays if len(arrays) > 1 else arrays[0], targets if len(targets) > 1 else targets[0]
    for model, K in ((ours, lf), (theirs, keras)):
        model.compile(K.optimizers.SGD(0.1), "mse")
    if theirs.trainable_weights:
        for _ in range(2):
            # The first is the whole loss; outputs of one layer share a name among the others.
            losses = [np.ravel(model.train_on_batch(x, y))[0] for model in (ours, theirs)]
            close(*losses, "loss")
    for v, w in zip(ours.weights, theirs.weights, strict=True):
        close(v.numpy(), numpy_of(w.value), v.path, 1e-1)


def same_files(ours: Any, theirs: Any, arrays: list[np.ndarray], folder: Path) -> None:
    x = arrays if len(arrays) > 1 else arrays[0]
    ours.save(folder / "ours.keras")
    theirs.save(folder / "theirs.keras")
    loaded, back = (
        lf.saving.load_model(folder / "theirs.keras"),
        keras.saving.load_model(folder / "ours.keras"),
    )
    for a, b in zip(listed(loaded.predict_on_batch(x)), listed(theirs.predict_on_batch(x)), strict=True):
        close(a, b, "read from Keras's file")
    for a, b in zip(listed(ours.predict_on_batch(x)), listed(back.predict_on_batch(x)), strict=True):
        close(a, b, "read by Keras")
