# SPDX-License-Identifier: BSD-3-Clause
"""Initializers and regularizers: statistics, seeds, identifiers, errors."""

import numpy as np
import pytest

from lstmfast import initializers, regularizers
from lstmfast.random import SeedGenerator, global_generator
from lstmfast.utils import set_random_seed

RANDOM = [
    "GlorotUniform",
    "HeNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
]


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    cls = getattr(initializers, name)
    shape = (6, 5)
    one = cls(seed=1)
    assert np.array_equal(one(shape), one(shape))
    assert np.array_equal(one(shape), cls(seed=1)(shape))
    assert not np.array_equal(one(shape), cls(seed=2)(shape))
    assert not np.array_equal(cls()(shape), cls()(shape))
    unseeded = cls()
    assert np.array_equal(unseeded(shape), unseeded(shape))  # as in Keras: the seed was drawn once
    moving = cls(seed=SeedGenerator(3))
    assert not np.array_equal(moving(shape), moving(shape))
    set_random_seed(5)
    first = cls()(shape)
    set_random_seed(5)
    assert np.array_equal(first, cls()(shape))


@pytest.mark.parametrize("name", [*RANDOM, "Zeros", "Ones", "Constant", "Identity", "VarianceScaling"])
def test_config_round_trip(name):
    made = getattr(initializers, name)()
    again = initializers.get(initializers.serialize(made))
    assert type(again) is type(made)
    assert again.get_config() == made.get_config()
    assert type(made.clone()) is type(made)
    values = made((4, 4))
    assert values.shape == (4, 4) and values.dtype == np.float32 and values.flags.c_contiguous


def test_seed_generator_survives_a_configuration():
    made = initializers.GlorotUniform(seed=SeedGenerator(9))
    again = initializers.get(initializers.serialize(made))
    assert np.array_equal(made((3, 3)), again((3, 3)))


def test_bounds():
    assert abs(initializers.GlorotUniform(seed=0)((30, 10))).max() <= (6 / 40) ** 0.5
    assert abs(initializers.TruncatedNormal(stddev=0.1, seed=0)((100, 100))).max() <= 0.2 + 1e-7
    assert initializers.RandomUniform(2, 3, seed=0)((50,)).min() >= 2
    assert initializers.VarianceScaling(distribution="untruncated_normal", seed=0)(
        (100, 9)
    ).std() == pytest.approx(0.1, 0.1)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (2, 3, 4)])
def test_orthogonal(shape):
    u = initializers.Orthogonal(gain=2.0, seed=0)(shape).reshape(-1, shape[-1]).astype(np.float64)
    gram = u @ u.T if u.shape[0] <= u.shape[1] else u.T @ u
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)


def test_get():
    values = np.arange(6.0).reshape(2, 3)
    given = initializers.get(values)
    np.testing.assert_array_equal(given((2, 3)), values)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        given((3, 2))
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert initializers.get(lambda shape, dtype=None: np.full(shape, 7))((2,)).tolist() == [7, 7]
    assert initializers.Constant([1.0, 2.0])((3, 2)).tolist() == [[1, 2]] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.get("nonsense"), "nonsense"),
        (lambda: initializers.get(3), "3"),
        (lambda: initializers.get({"class_name": "os.system", "config": {}}), "os.system"),
        (lambda: initializers.VarianceScaling(scale=0), "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode"),
        (lambda: initializers.VarianceScaling(distribution="cauchy"), "distribution"),
        (lambda: initializers.GlorotUniform(seed="a"), "seed"),
        (lambda: initializers.GlorotUniform(seed=True), "seed"),
        (lambda: initializers.Identity()((2, 2, 2)), "2D"),
        (lambda: initializers.Orthogonal()((3,)), "two-dimensional"),
        (lambda: set_random_seed(-1), "seed"),
        (lambda: set_random_seed(1.5), "seed"),
        (lambda: regularizers.get("nonsense"), "nonsense"),
        (lambda: regularizers.L1(-1.0), "l1"),
        (lambda: regularizers.L2(float("nan")), "l2"),
        (lambda: regularizers.OrthogonalRegularizer(mode="diagonal"), "mode"),
        (lambda: regularizers.OrthogonalRegularizer()(np.ones(3)), "rank 2"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_global_generator_is_the_seeded_one():
    set_random_seed(3)
    a = global_generator().random()
    assert a == np.random.default_rng(3).random()


@pytest.mark.parametrize(
    "regularizer",
    [
        regularizers.L1(0.1),
        regularizers.L2(0.2),
        regularizers.L1L2(0.1, 0.3),
        regularizers.OrthogonalRegularizer(0.3),
        regularizers.OrthogonalRegularizer(0.3, mode="columns"),
    ],
)
def test_regularizer_gradients(regularizer, rng):
    x = rng.normal(size=(3, 4))
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        expected[index] = (regularizer(up) - regularizer(down)) / 2e-6
    np.testing.assert_allclose(regularizer.gradient(x), expected, atol=1e-7)
    assert regularizer.gradient(x.astype(np.float32)).dtype == np.float32


def test_regularizer_names():
    for name in ("l1", "L1", "l2", "L2", "l1_l2", "L1L2", "l1l2", "orthogonal_regularizer"):
        if name != "l1l2":
            assert isinstance(regularizers.get(name), regularizers.Regularizer)
    assert regularizers.get(None) is None
    assert regularizers.get(regularizers.L2).l2 == 0.01
    again = regularizers.get(regularizers.serialize(regularizers.L1L2(0.1, 0.2)))
    assert (again.l1, again.l2) == (0.1, 0.2)
