# SPDX-License-Identifier: BSD-3-Clause
"""Small forms of Keras's interface: functions beside methods, seeds, sessions, metrics' types."""

import gc
import weakref

import numpy as np
import pytest

import lstmfast as lf


@pytest.mark.parametrize("name", ["m.npz", "m.safetensors"])
def test_weights_through_functions(tmp_path, name):
    a, b = (lf.Sequential([lf.Input((2,)), lf.layers.Dense(3, name="top")]) for _ in range(2))
    lf.saving.save_weights(a, tmp_path / name)
    lf.saving.load_weights(b, tmp_path / name)
    for ours, theirs in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ValueError, match="overwrite"):
        lf.saving.save_weights(a, tmp_path / name, overwrite=False)
    with pytest.raises(ValueError, match="max_shard_size"):
        a.save_weights(tmp_path / "other.npz", max_shard_size=1)
    assert not (tmp_path / "other.npz").exists()


def test_a_model_is_one_file(tmp_path):
    model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(3)])
    with pytest.raises(ValueError, match="zipped"):
        model.save(tmp_path / "m.safetensors", zipped=False)
    model.save(tmp_path / "m.safetensors", zipped=True)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_seed_generators_give_seeds():
    a, b = lf.random.SeedGenerator(7), lf.random.SeedGenerator(7)
    first, second = a.next(), a.next()
    assert first.dtype == np.uint32 and first.shape == (2,) and (first != second).any()
    np.testing.assert_array_equal(first, b.next(ordered=False))


def test_clear_session_collects_circles():
    class Ring:
        pass

    ring = Ring()
    ring.self = ring
    watched = weakref.ref(ring)
    gc.disable()
    try:
        del ring
        lf.utils.clear_session(free_memory=False)
        assert watched() is not None
        lf.utils.clear_session()
        assert watched() is None
    finally:
        gc.enable()
    assert lf.layers.Dense(1).name == "dense"


@pytest.mark.parametrize("dtype", ["int32", "float16", "float64", np.float32, "float", None])
def test_metrics_take_types_and_count_in_double(dtype):
    metric = lf.metrics.MeanSquaredError(dtype=dtype)
    again = lf.metrics.MeanSquaredError.from_config(metric.get_config())
    assert again.dtype == metric.dtype
    assert metric([[0.5]], [[0.0]]) == 0.25


def test_losses_of_outputs_are_refused_with_their_names():
    a = lf.Input((2,))
    model = lf.Model(a, {"p": lf.layers.Dense(1, name="p")(a), "q": lf.layers.Dense(1, name="q")(a)})
    model.compile("sgd", "mse", metrics={"z": "mae"})
    with pytest.raises(ValueError, match=r"Invalid `metrics`.*'z'"):
        model.fit(np.ones((2, 2)), {"p": np.ones((2, 1)), "q": np.ones((2, 1))}, verbose=0)
