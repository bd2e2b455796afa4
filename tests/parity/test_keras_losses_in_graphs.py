# SPDX-License-Identifier: BSD-3-Clause
"""Losses of symbolic tensors, as losses of one's own use them, against Keras and torch's autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_parity import close
from peers import keras, torch

import lstmfast as lf
from lstmfast.ops.composed import differentiated

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

RNG = np.random.default_rng(0)
P = RNG.uniform(0.05, 0.9, (5, 4)).astype(np.float32)
T = RNG.uniform(0.05, 0.9, (5, 4)).astype(np.float32)
HOT = np.eye(4, dtype=np.float32)[[0, 3, 1, 1, 2]]
LABELS = HOT.argmax(axis=1).astype(np.float32)
#: Name, arguments, targets.
CASES: list[tuple[str, dict[str, Any], np.ndarray]] = [
    ("MeanSquaredError", {}, T),
    ("MeanAbsoluteError", {}, T),
    ("MeanAbsolutePercentageError", {}, T),
    ("MeanSquaredLogarithmicError", {}, T),
    ("Huber", {"delta": 0.2}, T),
    ("LogCosh", {}, T),
    ("KLDivergence", {}, T),
    ("Poisson", {}, T),
    ("CosineSimilarity", {}, T),
    ("Hinge", {}, HOT),
    ("Hinge", {}, 2 * HOT - 1),
    ("SquaredHinge", {}, HOT),
    ("CategoricalHinge", {}, HOT),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, HOT),
    ("BinaryCrossentropy", {"from_logits": True}, HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, HOT),
    ("SparseCategoricalCrossentropy", {}, LABELS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS[:, None]),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True}, HOT),
    ("BinaryFocalCrossentropy", {"from_logits": True}, HOT),
    ("CategoricalFocalCrossentropy", {}, HOT),
    ("CategoricalFocalCrossentropy", {"from_logits": True}, HOT),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.4}, LABELS),
    ("Dice", {}, HOT),
    ("Dice", {"axis": 1}, HOT),
    ("Tversky", {"alpha": 0.3, "beta": 0.6}, HOT),
]


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none"])
@pytest.mark.parametrize(("name", "config", "y"), CASES)
def test_values_and_gradients(name, config, y, reduction):
    ours, theirs = (getattr(library.losses, name)(**config, reduction=reduction) for library in (lf, keras))
    values, pull_back = differentiated(ours, [y, P])
    tensors = [torch.tensor(a, requires_grad=True) for a in (y, P)]
    expected = theirs(*tensors)
    close(values, expected.detach().numpy())
    dy = np.random.default_rng(1).normal(size=np.shape(values)).astype(np.float32)
    expected.backward(torch.tensor(dy))
    for found, tensor in zip(pull_back(dy), tensors, strict=True):
        if tensor.grad is not None:
            close(found, tensor.grad.numpy())


def test_weights_and_masks():
    weight, mask = RNG.uniform(size=5).astype(np.float32), np.array([1, 0, 1, 1, 0], bool)
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"):
        loss = lf.losses.MeanSquaredError(reduction=reduction)
        for options in ({"sample_weight": weight}, {"mask": mask}, {"sample_weight": weight, "mask": mask}):
            values, _ = differentiated(lambda y, p, loss=loss, options=options: loss(y, p, **options), [T, P])
            close(values, loss(T, P, **options))


FUNCTIONS = {
    "mse": lambda k: lambda y, p: k.losses.mean_squared_error(y, p) * 2.0,
    "mean": lambda k: lambda y, p: k.ops.mean(k.losses.huber(y, p)) + 0.1 * k.ops.mean(k.ops.abs(p)),
    "object": lambda k: lambda y, p: k.losses.KLDivergence()(y, p) + k.losses.binary_crossentropy(y, p),
    "penalty": lambda k: (
        lambda y, p: k.losses.categorical_crossentropy(y, p) + k.regularizers.L1L2(0.1, 0.2)(p)
    ),
}


class Both:
    """Keras's `Loss` with a `call` of other losses."""

    def __init__(self, library):
        class Loss(library.losses.Loss):  # type: ignore[name-defined, misc]
            def __init__(self):
                super().__init__()
                self.each = library.losses.MeanAbsoluteError(reduction="none")

            def call(self, y, p):
                return self.each(y, p) + library.losses.cosine_similarity(y, p)

        self.made = Loss()


@pytest.mark.parametrize("name", [*FUNCTIONS, "class"])
def test_losses_of_ones_own(name):
    x, weights, values = RNG.normal(size=(5, 6, 3)).astype(np.float32), [], None
    for library in (keras, lf):
        layers = library.layers
        model = library.Sequential([library.Input((6, 3)), layers.LSTM(5), layers.Dense(4, "softmax")])
        values = values or [
            0.5 * np.random.default_rng(2).normal(size=w.shape).astype(np.float32)
            for w in model.get_weights()
        ]
        model.set_weights(values)
        model.compile("sgd", Both(library).made if name == "class" else FUNCTIONS[name](library))
        history = model.fit(x, T / T.sum(axis=1, keepdims=True), epochs=3, verbose=0, shuffle=False).history
        weights.append([np.array(history["loss"]), *model.get_weights()])
    for ours, theirs in zip(weights[1], weights[0], strict=True):
        close(ours, theirs)


def test_ctc():
    logits = RNG.normal(size=(3, 6, 5)).astype(np.float32)
    labels = np.array([[1, 2, 0], [3, 0, 0], [4, 4, 1]], np.float32)
    values, pull_back = differentiated(lf.losses.ctc, [labels, logits])
    loss = lf.losses.CTC(reduction="none")
    expected, gradient = loss.value_and_grad(labels, logits)
    close(values, expected)
    close(pull_back(np.ones(3, np.float32))[1], gradient)


def test_what_has_no_formula_says_so():
    class Squares(lf.losses.Loss):
        def call_and_grad(self, y_true, y_pred):
            return ((y_pred - y_true) ** 2).sum(axis=-1), 2 * (y_pred - y_true)

    for loss in (Squares(), lf.losses.Circle()):
        with pytest.raises(TypeError, match=f"'{loss.name}' .* takes arrays, not symbolic tensors"):
            loss(lf.Input((4,)), lf.Input((4,)))
