# SPDX-License-Identifier: BSD-3-Clause
"""One layer of ours beside the same one of Keras's: outputs, gradients, masks, shapes, configurations, errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call


def close(actual: Any, expected: Any, what: str = "", least: float = 1e-6) -> None:
    """Within 1e-5 of the largest magnitude, or of `least`: the size of what cancels in it."""
    expected = np.asarray(expected)
    finite = expected[np.isfinite(expected)]
    scale = max(float(np.abs(finite).max(initial=0.0)), least)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


def _each(value: Any, function: Callable[[Any], Any]) -> Any:
    return [function(v) for v in value] if isinstance(value, list) else function(value)


def _tensor(x: np.ndarray, mask: np.ndarray | None) -> Any:
    t = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    if mask is not None:
        keras.src.backend.set_keras_mask(t, torch.tensor(mask))
    return t


def compare(
    make: Callable[[Any], Any], x: Any, rng: np.random.Generator, mask: Any = None, least: float = 1e-6
) -> Any:
    """The layer that ``make(package)`` gives, in both packages, with the same weights: outputs, shapes, masks, and
    the gradients of a random projection of the output (`least`: see `close`). Returns our output."""
    ours, theirs = make(lf), make(keras)
    shape = _each(x, lambda a: a.shape)
    if not theirs.built:
        theirs.build(shape)
    ours.ensure_built(shape)
    values = [floats(rng, *v.shape) / np.sqrt(np.float32(v.shape[0])) for v in ours.weights]
    assert [tuple(v.shape) for v in theirs.weights] == [v.shape for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)

    call = Call(save=True, needs_dx=True, mask=mask)
    ours.check_input(x)
    y = ours.forward(x, call)
    assert y.dtype == np.float32 and y.flags.c_contiguous
    tensors = (
        [_tensor(*pair) for pair in zip(x, mask or [None] * len(x), strict=True)]
        if isinstance(x, list)
        else _tensor(x, mask)
    )
    expected = theirs(tensors)
    close(y, expected.detach().numpy(), "output", least)
    symbolic = _each(shape, lambda s: (None, *s[1:]))
    assert tuple(ours.compute_output_shape(shape)) == y.shape
    assert tuple(ours.compute_output_shape(symbolic)) == tuple(theirs.compute_output_shape(symbolic))

    made = call.output_mask if call.output_mask is not None else ours.compute_mask(x, mask)
    their_mask = keras.src.backend.get_keras_mask(expected)
    assert (made is None) == (their_mask is None)
    if made is not None:
        np.testing.assert_array_equal(made, their_mask.numpy())

    dy = floats(rng, *y.shape)
    dx = ours.backward(dy, call)
    if expected.requires_grad:
        (expected * torch.tensor(dy)).sum().backward()
        for ours_d, t in zip(
            dx if isinstance(x, list) else [dx], tensors if isinstance(x, list) else [tensors], strict=True
        ):
            if t.grad is not None:
                close(ours_d, t.grad.numpy(), "dx", least)
        for v, w in zip(ours.weights, theirs.weights, strict=True):
            close(v.grad, w.value.grad.numpy(), f"d {v.path}", least)
    return y


def same_configuration(make: Callable[[Any], Any], nested: bool = False) -> None:
    """`get_config` is Keras's, and each package makes the layer from the other's (`nested`: but for tuples inside)."""
    ours, theirs = make(lf), make(keras)
    same = _through_json if nested else lambda config: config
    expected = same(theirs.get_config())
    assert same(ours.get_config()) == expected
    assert same(type(ours).from_config(theirs.get_config()).get_config()) == expected
    assert same(type(theirs).from_config(ours.get_config()).get_config()) == expected
    described = _through_json(lf.saving.serialize_keras_object(ours))
    assert described == _through_json(keras.saving.serialize_keras_object(theirs))
    again = lf.saving.deserialize_keras_object(described)
    assert _through_json(lf.saving.serialize_keras_object(again)) == described


def _through_json(config: Any) -> Any:
    return json.loads(json.dumps(config))


def same_error(make: Callable[[Any], Any], match: str = "") -> None:
    """Both packages raise an error of the same type."""
    with pytest.raises(Exception) as theirs:
        make(keras)
    with pytest.raises(type(theirs.value), match=match):
        make(lf)
