# SPDX-License-Identifier: BSD-3-Clause
"""Twenty steps of every optimizer, on the same gradients as Keras's and PyTorch's, over random
hyperparameters and each way of clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import keras, torch

from lstmfast import optimizers
from lstmfast.variables import Variable

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 20
SHAPES = ((5, 7), (7,), (2, 3), ())
# Twenty steps add up roundings of each: of the magnitudes below, 1e-5 of the largest entry.
TOLERANCE = 1e-5


def close(ours: Any, theirs: Any, start: Any = 0.0) -> None:
    """`start`: what a variable's trajectory began with, whose roundings stay when it ends near zero."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    # In a single number gradients near 1 may cancel, their roundings stay: 8 ulp of these for arrays without axes.
    scale = max(np.abs(theirs).max(initial=0.0), np.abs(start).max(), 1e-30 if ours.ndim else 0.1)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale)


def decays(low: float = 0.0, high: float = 0.99) -> st.SearchStrategy[float]:
    return st.floats(low, high)


RATES = st.floats(1e-3, 0.1)
EPSILONS = st.floats(1e-4, 1e-1)
# Keras's m + (1 - beta)(g - m) loses what is small beside an m that a beta near 0 forgets; ours does not.
MOMENTS = {"beta_1": decays(0.3), "beta_2": decays(0.3), "epsilon": EPSILONS}
HYPERPARAMETERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "SGD": {"momentum": decays(), "nesterov": st.booleans()},
    "Adam": {**MOMENTS, "amsgrad": st.booleans()},
    "AdamW": {**MOMENTS, "weight_decay": st.floats(0, 0.5), "amsgrad": st.booleans()},
    "Adamax": MOMENTS,
    "Nadam": MOMENTS,
    # A direction of exactly 0 is decided by the last bit: no beta_1 of 1.
    "Lion": {"beta_1": decays(0.01), "beta_2": decays()},
    # Centered, a rho near 0 leaves the difference of two equal numbers.
    "RMSprop": {
        "rho": decays(0.3),
        "momentum": st.one_of(st.just(0.0), decays()),
        "epsilon": EPSILONS,
        "centered": st.booleans(),
    },
    "Adagrad": {"initial_accumulator_value": st.floats(0, 1), "epsilon": EPSILONS},
    "Adadelta": {"rho": decays(), "epsilon": EPSILONS},
    # A difference of powers is divided by the rate: a small one leaves roundings.
    "Ftrl": {
        "learning_rate": st.floats(0.1, 1),
        "learning_rate_power": st.sampled_from([-0.5, -0.3, -0.8]),
        "initial_accumulator_value": st.floats(0.01, 1),
        "l1_regularization_strength": st.floats(0, 0.1),
        "l2_regularization_strength": st.floats(0, 0.1),
        "l2_shrinkage_regularization_strength": st.floats(0, 0.1),
        "beta": st.floats(0, 1),
    },
    "Lamb": MOMENTS,
    "Adafactor": {
        "beta_2_decay": st.floats(-0.9, -0.5),
        "epsilon_1": st.floats(1e-30, 1e-3),
        "epsilon_2": st.floats(1e-4, 1e-2),
        "clip_threshold": st.floats(0.5, 2),
        "relative_step": st.booleans(),
    },
    # A direction with little in it grows by up to 3.4 in each of ns_steps, and rounding errors in it.
    "Muon": {
        "adam_beta_1": decays(0.3),
        "adam_beta_2": decays(0.3),
        "adam_weight_decay": st.one_of(st.none(), st.floats(0, 0.5)),
        "adam_lr_ratio": st.floats(0.1, 2),
        "epsilon": EPSILONS,
        "momentum": decays(),
        "ns_steps": st.integers(0, 5),
        "nesterov": st.booleans(),
        "rms_rate": st.one_of(st.none(), st.floats(0.1, 0.5)),
        "exclude_layers": st.sampled_from(([], ["v2"])),
        "exclude_embeddings": st.booleans(),
        "muon_a": st.sampled_from((3.4445, 3.0)),
        "muon_b": st.sampled_from((-4.775, -5.0)),
        "muon_c": st.sampled_from((2.0315, 1.9)),
    },
}
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "weight_decay": st.floats(0, 0.5),
        "loss_scale_factor": st.floats(0.5, 100),
        "gradient_accumulation_steps": st.integers(2, 5),
    },
)
CLIPPING = st.one_of(
    st.just({}),
    *(
        st.fixed_dictionaries({name: st.floats(0.1, 10)})
        for name in ("clipnorm", "global_clipnorm", "clipvalue")
    ),
)
AVERAGING = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "use_ema": st.just(True),
            "ema_momentum": st.floats(0, 1),
            "ema_overwrite_frequency": st.one_of(st.none(), st.integers(1, 7)),
        }
    ),
)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_twenty_steps_of_keras(name: str) -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        rate=RATES,
        options=OPTIONS,
        own=st.fixed_dictionaries(HYPERPARAMETERS[name]),
        clipping=CLIPPING,
        averaging=AVERAGING,
        seed=st.integers(0, 2**32 - 1),
    )
    def run(rate: float, options: Any, own: Any, clipping: Any, averaging: Any, seed: int) -> None:
        rng = np.random.default_rng(seed)
        arguments = {"learning_rate": rate, **options, **own, **clipping, **averaging}
        ours, theirs = getattr(optimizers, name)(**arguments), getattr(keras.optimizers, name)(**arguments)
        same_steps(ours, theirs, rng)

    run()


def same_steps(ours: Any, theirs: Any, rng: np.random.Generator, change: Any = lambda step, g: g) -> None:
    """All variables after twenty steps; `change` makes something else of a step's gradients."""
    starts = [np.asarray(rng.normal(size=s), np.float32) for s in SHAPES]
    mine = [Variable(a, name=f"v{i}") for i, a in enumerate(starts)]
    other = [keras.Variable(a, name=f"v{i}") for i, a in enumerate(starts)]
    for step in range(STEPS):
        grads = [change(step, np.asarray(rng.normal(size=s), np.float32)) for s in SHAPES]
        ours.apply(grads, mine)
        theirs.apply([torch.tensor(g) for g in grads], other)
    for a, b, start in zip(mine, other, starts, strict=True):
        close(a.numpy(), keras.ops.convert_to_numpy(b.value), start)
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        # An average of a variable holds roundings of where that began, Ftrl's sum of gradients near 1 those of the terms.
        start = max(np.abs(s).max() for s in starts) if "average" in b.path else float("linear" in b.path)
        close(a.numpy(), keras.ops.convert_to_numpy(b.value), start)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Muon"])
def test_loss_scale(name: str) -> None:
    """Steps without finite gradients are left out, the scale falls and grows."""

    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        scale=st.floats(0.5, 1e5),
        growth=st.integers(1, 6),
        infinite=st.sets(st.integers(0, STEPS - 2)),
        options=OPTIONS,
        clipping=CLIPPING,
        averaging=AVERAGING,
        seed=st.integers(0, 2**32 - 1),
    )
    def run(
        scale: float, growth: int, infinite: Any, options: Any, clipping: Any, averaging: Any, seed: int
    ) -> None:
        made = []
        for library in (optimizers, keras.optimizers):
            inner = getattr(library, name)(0.02, **options, **clipping, **averaging)
            made.append(library.LossScaleOptimizer(inner, scale, growth))
        bad = {
            step: np.float32(value)
            for step, value in zip(infinite, [np.inf, np.nan, -np.inf] * 9, strict=False)
        }
        same_steps(
            *made,
            np.random.default_rng(seed),
            lambda step, g: g * np.float32(scale) if step not in bad else bad[step] + g,
        )

    run()


def test_several_optimizers() -> None:
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        patterns=st.lists(
            st.sampled_from((("v0", "Adam"), ("v[12]", "SGD"), (".*3", "RMSprop"))), unique=True, max_size=3
        ),
        factor=st.one_of(st.none(), st.floats(0.5, 100)),
        options=OPTIONS,
        clipping=CLIPPING,
        seed=st.integers(0, 2**32 - 1),
    )
    def run(patterns: Any, factor: float | None, options: Any, clipping: Any, seed: int) -> None:
        made = []
        for library in (optimizers, keras.optimizers):
            by_path = {key: getattr(library, name)(0.02, **options, **clipping) for key, name in patterns}
            chosen = library.OptimizerMap(library.Lion(0.01), by_path)
            made.append(library.MultiOptimizer(chosen, loss_scale_factor=factor))
        same_steps(*made, np.random.default_rng(seed))

    run()


# PyTorch adds epsilon elsewhere in all but Adadelta: with one that vanishes beside the root the formulas agree.
TINY = 1e-20
TORCH: dict[str, tuple[dict[str, Any], Any]] = {
    "SGD": ({}, lambda p: torch.optim.SGD(p, lr=0.02)),
    "SGD, momentum": ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
    "SGD, Nesterov": (
        {"momentum": 0.9, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True),
    ),
    "Adam": ({"epsilon": TINY}, lambda p: torch.optim.Adam(p, lr=0.02, eps=TINY)),
    "AdamW": (
        {"epsilon": TINY, "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(p, lr=0.02, eps=TINY, weight_decay=0.1),
    ),
    "Adamax": ({"epsilon": TINY}, lambda p: torch.optim.Adamax(p, lr=0.02, eps=TINY)),
    # Keras's schedule of the momentum is PyTorch's with a decay of 1 a step.
    "Nadam": ({"epsilon": TINY}, lambda p: torch.optim.NAdam(p, lr=0.02, eps=TINY, momentum_decay=1.0)),
    "RMSprop": (
        {"epsilon": TINY, "rho": 0.95},
        lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=TINY),
    ),
    "RMSprop, momentum": (
        {"epsilon": TINY, "rho": 0.95, "momentum": 0.8},
        lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.95, eps=TINY, momentum=0.8),
    ),
    "RMSprop, centered": (
        {"epsilon": TINY, "rho": 0.5, "centered": True},
        lambda p: torch.optim.RMSprop(p, lr=0.02, alpha=0.5, eps=TINY, centered=True),
    ),
    "Adagrad": (
        {"epsilon": TINY, "initial_accumulator_value": 0.3},
        lambda p: torch.optim.Adagrad(p, lr=0.02, initial_accumulator_value=0.3, eps=TINY),
    ),
    "Adadelta": ({"epsilon": 1e-3}, lambda p: torch.optim.Adadelta(p, lr=0.02, rho=0.95, eps=1e-3)),
}


@pytest.mark.parametrize("clipping", [None, "clipnorm", "global_clipnorm", "clipvalue"])
@pytest.mark.parametrize("name", TORCH)
def test_twenty_steps_of_pytorch(name: str, clipping: str | None, rng: np.random.Generator) -> None:
    options, make = TORCH[name]
    limits = {} if clipping is None else {clipping: 0.7}
    ours = getattr(optimizers, name.split(",")[0])(learning_rate=0.02, **options, **limits)
    starts = [np.asarray(rng.normal(size=s), np.float32) for s in SHAPES]
    mine = [Variable(a, name=f"v{i}") for i, a in enumerate(starts)]
    other = [torch.tensor(a, requires_grad=True) for a in starts]
    theirs = make(other)
    for _ in range(STEPS):
        grads = [np.asarray(rng.normal(size=s), np.float32) for s in SHAPES]
        ours.apply(grads, mine)
        for p, g in zip(other, grads, strict=True):
            p.grad = torch.tensor(g)
        if clipping == "clipnorm":
            for p in other:
                torch.nn.utils.clip_grad_norm_([p], 0.7)
        elif clipping == "global_clipnorm":
            torch.nn.utils.clip_grad_norm_(other, 0.7)
        elif clipping == "clipvalue":
            torch.nn.utils.clip_grad_value_(other, 0.7)
        theirs.step()
        for a, b in zip(mine, other, strict=True):
            close(a.numpy(), b.detach().numpy())
