# SPDX-License-Identifier: BSD-3-Clause
"""The state of metrics as Keras shows it: variables, and calls that keep none; losses written for Keras."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")

ARGUMENTS = {
    "IoU": (2, [0]),
    "MeanIoU": (2,),
    "OneHotIoU": (2, [0]),
    "OneHotMeanIoU": (2,),
    "PrecisionAtRecall": (0.5,),
    "RecallAtPrecision": (0.5,),
    "SensitivityAtSpecificity": (0.5,),
    "SpecificityAtSensitivity": (0.5,),
}
NAMES = sorted(
    name
    for name in dir(keras.metrics)
    if isinstance(getattr(keras.metrics, name), type) and name not in ("Metric", "MeanMetricWrapper")
)
LABELS = np.float32([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]])
SCORES = np.float32([[0.7, 0.2], [0.4, 0.9], [0.6, 0.3], [0.1, 0.8], [0.9, 0.4]])


def both(name):
    arguments = ARGUMENTS.get(name, ())
    return getattr(keras.metrics, name)(*arguments), getattr(lf.metrics, name)(*arguments)


def batch(name):
    if name in ("Mean", "Sum"):
        return (SCORES[:, 0],)
    if "TopK" in name:
        scores = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)[:, [3, 1, 5, 0, 2, 4]]
        labels = np.array([0, 3, 3, 5, 1])
        return (labels if name.startswith("Sparse") else np.eye(6, dtype=np.float32)[labels]), scores
    if name.startswith("Sparse"):
        return np.int64([0, 1, 1, 0, 1]), SCORES
    if name in ("IoU", "MeanIoU"):
        return LABELS[:, 0].astype(int), (SCORES[:, 0] > 0.5).astype(int)
    return LABELS, SCORES


@pytest.mark.parametrize("name", NAMES)
def test_variables_have_keras_names_shapes_and_values(name):
    theirs, ours = both(name)
    described = [[(v.name, tuple(v.shape)) for v in m.variables] for m in (theirs, ours)]
    assert described[0] == described[1]
    theirs.update_state(*batch(name))
    ours.update_state(*batch(name))
    assert [v.name for v in theirs.variables] == [v.name for v in ours.variables]
    for a, b in zip(theirs.variables, ours.variables, strict=True):
        value = a.value.detach().numpy()
        np.testing.assert_allclose(b.numpy(), value, rtol=1e-5, atol=1e-5 * max(np.abs(value).max(), 1e-3))
        assert b.path.split("/")[-1] == a.name


@pytest.mark.parametrize("name", NAMES)
def test_stateless_calls_leave_the_metric_alone(name):
    _, metric = both(name)
    metric.update_state(*batch(name))
    held, result = [v.numpy() for v in metric.variables], metric.result()
    fresh = metric.stateless_reset_state()
    assert all(not np.any(v) for v in fresh)
    once = metric.stateless_update_state(fresh, *batch(name))
    np.testing.assert_allclose(metric.stateless_result(once), result, rtol=1e-6)
    twice = metric.stateless_update_state(once, *batch(name))
    for a, b in zip(once, twice, strict=True):
        np.testing.assert_allclose(b, 2 * a, rtol=1e-6)
    for v, old in zip(metric.variables, held, strict=True):
        np.testing.assert_array_equal(v.numpy(), old)
    if held:
        with pytest.raises(ValueError, match="metric_variables"):
            metric.stateless_result(held[1:])


def test_a_metric_of_ones_own_tracks_variables_and_metrics_anywhere():
    class Counting(lf.metrics.Metric):
        def __init__(self):
            super().__init__(name="counting")
            self.seen = self.add_variable(shape=(), initializer="zeros", dtype="int32", name="seen")
            self.parts = {"a": [lf.Variable(0.0)], "b": lf.metrics.Mean(name="inner")}

        def update_state(self, y_true, y_pred):
            self.seen.assign(self.seen + len(y_true))
            self.parts["b"].update_state(y_pred)

        def result(self):
            return self.seen * 2

    metric = Counting()
    assert [v.path for v in metric.variables] == ["counting/seen", "variable", "inner/total", "inner/count"]
    metric.update_state(np.zeros(3), np.ones(3))
    assert metric.result() == 6 and metric.seen.dtype == "int32"
    state = metric.stateless_update_state([4, 0.0, 1.0, 1.0], np.zeros(2), np.ones(2))
    assert [float(v) for v in state] == [6, 0, 3, 3]
    assert metric.result() == 6
    metric.reset_state()
    assert all(float(v) == 0 for v in metric.variables)


def test_variables_refuse_other_shapes():
    mean = lf.metrics.Mean()
    with pytest.raises(ValueError, match="mean/total"):
        mean.variables[0].assign([1.0, 2.0])
    mean.variables[0].assign_add(3.0)
    mean.variables[1].assign(2)
    assert mean.result() == 1.5
    with pytest.raises(TypeError, match="factor"):
        lf.metrics.Hinge(factor=2)


def test_counts_at_several_labels_keep_their_shape():
    for make in (
        lambda K: K.metrics.AUC(num_thresholds=3, multi_label=True, num_labels=2),
        lambda K: K.metrics.AUC(num_thresholds=3, multi_label=True),
    ):
        theirs, ours = make(keras), make(lf)
        for metric in (theirs, ours):
            metric.update_state(LABELS, SCORES)
            metric.reset_state()
        assert [tuple(v.shape) for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]


def test_ignored_classes_weigh_nothing_where_there_are_weights():
    y, p = np.array([0, 1, 2]), np.float32([[0.8, 0.1, 0.1], [0.05, 0.9, 0.05], [0.1, 0.8, 0.1]])
    for weights in (None, np.float32([0.5, 1.5, 2.0])):
        theirs, ours = (K.metrics.SparseCategoricalCrossentropy(ignore_class=0) for K in (keras, lf))
        np.testing.assert_allclose(ours(y, p, weights), float(theirs(y, p, weights)), rtol=1e-5)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]
)
@pytest.mark.parametrize("shapes", [((4,), (4,)), ((4, 2), (4, 2)), ((4, 3, 1), (4, 1, 2))])
def test_a_loss_that_only_has_values(reduction, shapes):
    rng = np.random.default_rng(0)
    y, p = rng.random(shapes[0], np.float32), rng.random(shapes[1], np.float32)
    weights = np.arange(4, dtype=np.float32).reshape(4, *[1] * (len(shapes[0]) - 1))
    values = []
    for K in (keras, lf):

        class Quartic(K.losses.Loss):
            def call(self, y_true, y_pred):
                return (y_true - y_pred) ** 4

        loss = Quartic(reduction=reduction)
        values.append([np.asarray(loss(y, p)), np.asarray(loss(y, p, sample_weight=weights))])
    for ours, theirs in zip(values[1], values[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_a_loss_without_gradient_evaluates_and_says_why_it_cannot_train():
    class Quartic(lf.losses.Loss):
        def call(self, y_true, y_pred):
            return np.mean((y_true - y_pred) ** 4, axis=-1)

    model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", Quartic())
    x = np.ones((3, 2), np.float32)
    assert model.evaluate(x, np.zeros((3, 1)), verbose=0) == 16
    with pytest.raises(NotImplementedError, match="gradient"):
        model.fit(x, np.zeros((3, 1)), verbose=0)
