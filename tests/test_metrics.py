# SPDX-License-Identifier: BSD-3-Clause
"""Metrics: streaming, forms of labels, weights, names, errors; some of them against scikit-learn."""

import numpy as np
import pytest

from lstmfast import losses, metrics


def test_streaming_equals_all_at_once(rng):
    y, p, w = rng.integers(0, 2, 97), rng.uniform(size=97), rng.uniform(size=97)
    for make in (
        lambda: metrics.MeanSquaredError(),
        lambda: metrics.RootMeanSquaredError(),
        lambda: metrics.AUC(name="auc"),
        lambda: metrics.Precision(name="precision"),
        lambda: metrics.BinaryAccuracy(),
    ):
        parts, whole = make(), make()
        for i in range(0, 97, 13):
            parts.update_state(y[i : i + 13, None], p[i : i + 13, None], w[i : i + 13])
        whole.update_state(y[:, None], p[:, None], w)
        assert parts.result() == pytest.approx(whole.result(), rel=1e-6)
        parts.reset_state()
        assert parts.result() == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_against_scikit_learn(weighted, rng):
    sklearn = pytest.importorskip("sklearn.metrics")
    y = rng.integers(0, 2, 500)
    p = np.clip(rng.normal(0.3 + 0.4 * y, 0.3), 0, 1)
    w = rng.uniform(size=500) if weighted else None
    result = {name: metrics.get(name)(y, p, w) for name in ("AUC", "Precision", "Recall", "BinaryAccuracy")}
    assert result["AUC"] == pytest.approx(sklearn.roc_auc_score(y, p, sample_weight=w), abs=2e-3)
    assert result["Precision"] == pytest.approx(sklearn.precision_score(y, p > 0.5, sample_weight=w))
    assert result["Recall"] == pytest.approx(sklearn.recall_score(y, p > 0.5, sample_weight=w))
    assert result["BinaryAccuracy"] == pytest.approx(sklearn.accuracy_score(y, p > 0.5, sample_weight=w))
    fine = metrics.AUC(num_thresholds=5000)(y, p, w)
    assert fine == pytest.approx(sklearn.roc_auc_score(y, p, sample_weight=w), abs=1e-4)


def test_accuracy_in_its_three_forms(rng):
    p = rng.uniform(size=(20, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 20)
    right = (p.argmax(-1) == labels).mean()
    for y in (labels, labels[:, None], labels.astype(float), np.eye(5)[labels]):
        metric = metrics.resolve("accuracy", y.shape, p.shape)
        metric.update(y, p)
        assert metric.name == "accuracy" and metric.result() == pytest.approx(right)
    q, z = p[:, :1], labels % 2
    for y in (z, z[:, None], z.astype(bool)):
        metric = metrics.resolve("accuracy", y.shape, q.shape)
        metric.update(y, q)
        assert metric.result() == pytest.approx(((q[:, 0] > 0.5) == z).mean())


def test_masked_steps_do_not_count(rng):
    p, y = rng.uniform(size=(4, 6, 3)), rng.integers(0, 3, (4, 6))
    mask = rng.uniform(size=(4, 6)) > 0.5
    metric = metrics.SparseCategoricalAccuracy()
    metric.update(y, p, None, mask)
    assert metric.result() == pytest.approx((p.argmax(-1) == y)[mask].mean())
    metric.reset_state()
    w = rng.uniform(size=4)
    metric.update(y, p, w, mask)
    weights = mask * w[:, None]
    assert metric.result() == pytest.approx(((p.argmax(-1) == y) * weights).sum() / weights.sum(), rel=1e-6)


def test_top_k_with_ties():
    metric = metrics.SparseTopKCategoricalAccuracy(k=2)
    assert metric([0, 1, 2, 9], [[0.5, 0.3, 0.2], [0.2, 0.2, 0.2], [0.5, 0.3, 0.2], [1, 1, 1]]) == 0.5
    ids = metrics.SparseTopKCategoricalAccuracy(k=2, from_sorted_ids=True)
    assert ids([3, 1], [[3, 2, 1], [3, 2, 1]]) == 0.5


def test_mean_and_sum():
    mean = metrics.Mean()
    mean.add(3.0, 2)
    mean.update_state([[1.0, 3.0], [5.0, 7.0]])
    assert mean.result() == (6 + 2 + 6) / 4
    mean.reset_state()
    mean.update_state([1.0, 2.0, 4.0], sample_weight=[1, 0, 3])
    assert mean.result() == 13 / 4
    mean.update_state([])
    assert mean.result() == 13 / 4
    assert metrics.Sum()([1.0, 2.0], [3.0, 1.0]) == 5.0


def test_losses_and_functions_as_metrics(rng):
    y, p = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)).astype(np.float32)
    expected = ((y - p) ** 2).mean()
    for identifier in (
        "mse",
        "MeanSquaredError",
        losses.mean_squared_error,
        losses.MeanSquaredError(reduction="none"),
    ):
        metric = metrics.resolve(identifier, y.shape, p.shape)
        metric.update(y, p)
        assert metric.result() == pytest.approx(expected, rel=1e-5)
        assert metric._direction == "down"

    def largest(y_true, y_pred):
        return abs(y_true - y_pred).max(-1)

    metric = metrics.resolve(largest, y.shape, p.shape)
    metric.update(y, p)
    assert metric.name == "largest" and metric.result() == pytest.approx(abs(y - p).max(-1).mean(), rel=1e-6)


def test_metric_of_the_user():
    class Count(metrics.Metric):
        def __init__(self, name="count", **kwargs):
            super().__init__(name=name, **kwargs)
            self.n = self.add_weight(name="n", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.n.assign_add(len(y_true))

        def result(self):
            return float(self.n.numpy())

    metric = metrics.resolve(Count(), (3,), (3,))
    metric.update(np.ones(3), np.ones(3))
    metric.update(np.ones(2), np.ones(2), mask=None)
    assert metric.result() == 5 and metric.variables[0].path == "count/n"
    metric.reset_state()
    assert metric.result() == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: metrics.AUC(num_thresholds=7, curve="PR", name="a"),
        lambda: metrics.AUC(thresholds=[0.3, 0.6], name="b"),
        lambda: metrics.Precision(thresholds=[0.2, 0.4], class_id=1),
        lambda: metrics.RecallAtPrecision(0.5),
        lambda: metrics.TopKCategoricalAccuracy(k=3),
        lambda: metrics.BinaryCrossentropy(from_logits=True),
        lambda: metrics.R2Score(num_regressors=1),
        lambda: metrics.MeanMetricWrapper(losses.mean_absolute_error, name="m"),
        lambda: metrics.CosineSimilarity(axis=1),
    ],
)
def test_config_round_trip(make):
    metric = make()
    again = metrics.get(metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.get("nonsense"), "nonsense"),
        (lambda: metrics.resolve(None, (1,), (1,)), "None"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds"),
        (lambda: metrics.AUC(curve="XY"), "curve"),
        (lambda: metrics.AUC(summation_method="simpson"), "summation"),
        (lambda: metrics.AUC(num_labels=3), "multi_label"),
        (lambda: metrics.Precision(thresholds=[0.5, 1.5]), "1.5"),
        (lambda: metrics.SensitivityAtSpecificity(2), "specificity"),
        (lambda: metrics.R2Score("median"), "class_aggregation"),
        (lambda: metrics.Mean(dtype="complex64"), "dtype"),
        (lambda: metrics.BinaryAccuracy()(np.ones((3, 2)), np.ones((3, 4))), r"\(3, 4\)"),
        (lambda: metrics.SparseCategoricalAccuracy()(np.ones((3, 2)), np.ones((3, 4))), "class numbers"),
        (lambda: metrics.MeanSquaredError()(np.ones((3, 2)), np.ones((3, 4))), "y_true"),
        (lambda: metrics.MeanSquaredError()(np.ones((3, 2)), np.ones((3, 2)), np.ones(4)), "sample_weight"),
        (lambda: metrics.AUC()(np.ones((3, 2)), np.ones((3, 4))), r"\(3, 4\)"),
        (lambda: metrics.AUC()(np.ones(3), np.ones(3), np.ones(4)), "sample_weight"),
        (lambda: metrics.AUC(multi_label=True)(np.ones(3), np.ones(3)), "rank 2"),
        (
            lambda: metrics.AUC(multi_label=True, num_labels=3)(np.ones((2, 4)), np.ones((2, 4))),
            "num_labels=3",
        ),
        (
            lambda: metrics.AUC(multi_label=True, label_weights=[1, 2])(np.ones((2, 4)), np.ones((2, 4))),
            "label_weights",
        ),
        (lambda: metrics.Precision(class_id=1)(np.ones(3), np.ones(3)), "class_id"),
        (lambda: metrics.R2Score()(np.ones(3), np.ones(3)), "2D"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: metrics.FBetaScore(average="mean"), "Invalid `average`"),
        (lambda: metrics.FBetaScore(beta=1), "should be a Python float"),
        (lambda: metrics.FBetaScore(beta=-1.0), "should be > 0"),
        (lambda: metrics.F1Score(threshold=1), "should be a Python float"),
        (lambda: metrics.F1Score(threshold=1.5), "0 < threshold <= 1"),
        (lambda: metrics.F1Score()([1, 0], [1, 0]), "2D inputs"),
        (lambda: metrics.F1Score()([[1, 0]], [[1, 0, 0]]), r"y_true: expected shape \(1, 3\)"),
        (lambda: metrics.F1Score()([[1, 0]], [[1, 0]], [1, 2]), r"sample_weight: expected shape \(1,\)"),
        (lambda: metrics.IoU(2, [2]), r"Target class id 2 is out of range, which is \[0, 2\)"),
        (lambda: metrics.IoU(2, [-1]), "Target class id -1 is out of range"),
        (lambda: metrics.IoU(2, [0], dtype="complex64"), "dtype: expected one of"),
        (lambda: metrics.MeanIoU(2)([0, 1], [0]), "y_true: expected 1 class numbers as y_pred has, got 2"),
        (lambda: metrics.MeanIoU(2)([0, 1], [0, 1], [1, 2, 3]), "sample_weight: expected one number"),
        (lambda: metrics.PearsonCorrelation()([[0, 1]], [[0, 1, 2]]), r"y_true: expected shape \(1, 3\)"),
    ],
)
def test_refused_arguments_of_sets_and_correlations(make, error):
    with pytest.raises(ValueError, match=error):
        make()


def test_f_scores_keep_their_classes():
    score = metrics.F1Score()
    score.update_state([[1, 0]], [[1, 0]])
    with pytest.raises(ValueError, match="expected 2 classes as before, got 3"):
        score.update_state([[1, 0, 0]], [[1, 0, 0]])
    score.reset_state()
    score.update_state([[1, 0, 0]], [[1, 0, 0]])


def test_numbers_of_classes_that_there_are_not_do_not_count():
    assert metrics.MeanIoU(2)([0, 1, 5, 1], [0, 1, 0, -1]) == pytest.approx(1, abs=1e-6)


def test_correlation_of_a_constant_is_undefined():
    assert np.isnan(metrics.PearsonCorrelation()([[1, 1]], [[0, 1]]))
    assert metrics.ConcordanceCorrelation()([[1, 1]], [[0, 1]]) == 0
