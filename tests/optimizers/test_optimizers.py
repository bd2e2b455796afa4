# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers: formulas against float64, clipping, state, variables without gradients, refused arguments."""

import math

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import constraints, optimizers
from lstmfast.variables import Variable

NAMES = [
    "SGD",
    "Adam",
    "AdamW",
    "Adamax",
    "Nadam",
    "Lamb",
    "Lion",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Ftrl",
    "Adafactor",
    "ScheduleFreeAdamW",
    "Muon",
]


def variables(rng, *shapes):
    return [
        Variable(rng.normal(size=shape), name=f"v{i}") for i, shape in enumerate(shapes or [(3, 4), (5,)])
    ]


def gradients(rng, of):
    return [rng.normal(size=v.shape).astype(np.float32) for v in of]


def test_adam_against_its_formula(rng):
    v = variables(rng)
    w = [x.numpy().astype(float) for x in v]
    m, s = [0 * x for x in w], [0 * x for x in w]
    adam = optimizers.Adam(0.01)
    for t in range(1, 30):
        g = gradients(rng, v)
        adam.apply(g, v)
        for i in range(2):
            m[i] = 0.9 * m[i] + 0.1 * g[i]
            s[i] = 0.999 * s[i] + 0.001 * g[i].astype(float) ** 2
            w[i] -= 0.01 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m[i] / (np.sqrt(s[i]) + 1e-7)
            np.testing.assert_allclose(v[i].numpy(), w[i], atol=2e-6)
    assert int(adam.iterations) == 29


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_against_its_formula(nesterov, rng):
    (v,) = variables(rng, (4,))
    w, m = v.numpy().astype(float), np.zeros(4)
    sgd = optimizers.SGD(0.1, momentum=0.9, nesterov=nesterov)
    for _ in range(20):
        (g,) = gradients(rng, [v])
        sgd.apply([g], [v])
        m = 0.9 * m - 0.1 * g
        w += 0.9 * m - 0.1 * g if nesterov else m
        np.testing.assert_allclose(v.numpy(), w, atol=5e-6)


@pytest.mark.parametrize("warmup", [0, 7])
def test_schedule_free_adamw_against_its_formula(warmup, rng):
    """Defazio et al. 2024, algorithm 1 with weights 1/t: x the average, z the sequence, y where gradients are taken."""
    (v,) = variables(rng, (5,))
    x = z = v.numpy().astype(float)
    s = np.zeros(5)
    optimizer = optimizers.ScheduleFreeAdamW(0.05, beta_1=0.8, beta_2=0.9, epsilon=1e-6, warmup_steps=warmup)
    for t in range(1, 25):
        (g,) = gradients(rng, [v])
        optimizer.apply([g], [v])
        s = 0.9 * s + 0.1 * g.astype(float) ** 2
        rate = 0.05 * (min(t / warmup, 1) if warmup else 1)
        z = z - rate * g / (np.sqrt(s / (1 - 0.9**t)) + 1e-6)
        x = (1 - 1 / t) * x + z / t
        np.testing.assert_allclose(v.numpy(), 0.2 * z + 0.8 * x, atol=5e-6)
    np.testing.assert_allclose(optimizer._momentums[0].numpy(), z, atol=5e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_finds_a_minimum(name):
    v = Variable([3.0, -2.0], name="v")
    optimizer = getattr(optimizers, name)(
        learning_rate=1.0 if name in ("Adadelta", "Ftrl", "Adagrad") else 0.05
    )
    before = float(np.square(v.value).sum())
    for _ in range(300):
        optimizer.apply([2 * v.numpy()], [v])
    assert float(np.square(v.value).sum()) < (0.9 if name in ("Adadelta", "AdamW") else 0.1) * before


@pytest.mark.parametrize("name", NAMES)
def test_state_can_be_moved(name, rng):
    """Half the steps, state and weights into a new optimizer, the other half: the same as in one go."""
    make = lambda: getattr(optimizers, name)(learning_rate=0.05, name="o")  # noqa: E731
    start = [x.numpy() for x in variables(rng)]
    steps = [gradients(rng, variables(rng)) for _ in range(10)]
    v, first = [Variable(x, name=f"v{i}") for i, x in enumerate(start)], make()
    for g in steps[:5]:
        first.apply(g, v)
    w, second = [Variable(x.numpy(), name=x.name) for x in v], make()
    second.build(w)
    assert [a.path for a in first.variables] == [b.path for b in second.variables]
    second.set_weights([a.numpy() for a in first.variables])
    store = {}
    first.save_own_variables(store)
    second.load_own_variables(store)
    for g in steps[5:]:
        first.apply(g, v)
        second.apply(g, w)
    for a, b in zip([*v, *first.variables], [*w, *second.variables], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_clipping(rng):
    for option, limit in (("clipnorm", 0.5), ("global_clipnorm", 0.5), ("clipvalue", 0.2)):
        v = variables(rng)
        g = gradients(rng, v)
        before = [x.numpy() for x in v]
        optimizers.SGD(1.0, **{option: limit}).apply(g, v)
        taken = [b - x.numpy() for b, x in zip(before, v, strict=True)]
        if option == "clipvalue":
            expected = [np.clip(x, -limit, limit) for x in g]
        elif option == "clipnorm":
            expected = [x * min(1, limit / np.linalg.norm(x)) for x in g]
        else:
            norm = math.sqrt(sum(np.square(x).sum() for x in g))
            expected = [x * min(1, limit / norm) for x in g]
        for a, b in zip(taken, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop"])
def test_step_skips_what_has_no_gradient(name, rng):
    v = variables(rng)
    optimizer = getattr(optimizers, name)(learning_rate=0.1)
    optimizer.build(v)
    v[0].add_grad(np.ones(v[0].shape))
    before = v[1].numpy(), v[0].numpy()
    versions = v[0].version
    optimizer.step(v)
    np.testing.assert_array_equal(v[1].numpy(), before[0])
    assert not np.array_equal(v[0].numpy(), before[1]) and v[0].version > versions
    assert v[0].grad is None
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.step(v)


def test_step_for_some_of_the_variables(rng):
    v = variables(rng)
    optimizer = optimizers.Adam(0.1)
    optimizer.build(v)
    for x in v:
        x.add_grad(np.ones(x.shape))
    before = v[0].numpy()
    optimizer.step(v[1:])
    np.testing.assert_array_equal(v[0].numpy(), before)
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.step(variables(rng))


def test_constraints_hold_after_each_step(rng):
    v = Variable(rng.normal(size=(3, 2)), name="v", constraint=constraints.NonNeg())
    optimizers.SGD(1.0).apply([np.ones((3, 2))], [v])
    assert (v.value >= 0).all()


def test_learning_rate():
    sgd = optimizers.SGD(0.5)
    assert float(sgd.learning_rate) == 0.5
    sgd.learning_rate = 0.25
    assert sgd.learning_rate == 0.25 and f"{sgd.learning_rate:.2f}" == "0.25"
    sgd.learning_rate.assign(0.125)
    sgd.learning_rate = sgd.learning_rate * 2
    assert sgd.get_config()["learning_rate"] == 0.25
    v = Variable([1.0], name="v")
    sgd.apply([[1.0]], [v])
    assert v.numpy() == 0.75
    scheduled = optimizers.SGD(optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25]))
    for expected in (0.25, 0.0):
        scheduled.apply([[1.0]], [v])
        assert v.numpy() == expected
    with pytest.raises(TypeError, match="not settable"):
        scheduled.learning_rate = 0.1
    assert optimizers.SGD(lambda: 0.3).learning_rate == 0.3


def test_weight_decay_can_leave_variables_out(rng):
    kernel, bias = Variable([1.0], name="kernel"), Variable([1.0], name="bias")
    adam = optimizers.AdamW(0.5, weight_decay=0.2)
    adam.exclude_from_weight_decay(var_names=["bias"])
    adam.apply([[0.0], [0.0]], [kernel, bias])
    assert kernel.numpy() == pytest.approx(0.9) and bias.numpy() == 1.0


def test_apply_checks_before_it_changes_anything(rng):
    v = variables(rng)
    adam = optimizers.Adam()
    before = [x.numpy() for x in v]
    for grads, message in (
        ([np.ones((3, 4))], "expected one for each"),
        ([np.ones((3, 4)), np.ones(4)], "shape"),
        ([None, None], "No gradients"),
    ):
        with pytest.raises(ValueError, match=message):
            adam.apply(grads, v)
    with pytest.raises(ValueError, match="already be built"):
        optimizers.Adam().apply([1.0])
    for x, b in zip(v, before, strict=True):
        np.testing.assert_array_equal(x.numpy(), b)
    assert int(adam.iterations) == 0
    adam.apply_gradients(zip(gradients(rng, v), v, strict=True))
    assert int(adam.iterations) == 1


def test_a_gradient_that_is_not_finite_shows(rng):
    v = variables(rng)
    optimizers.SGD(0.1, global_clipnorm=1.0).apply([np.full((3, 4), np.inf), np.ones(5)], v)
    assert np.isnan(v[0].value).all() and np.isnan(v[1].value).all()


def test_optimizer_of_the_user(rng):
    class Sign(optimizers.Optimizer):
        def build(self, variables):
            if self.built:
                return
            super().build(variables)
            self.counts = self.add_optimizer_variables(variables, "count")

        def update_step(self, gradient, variable, learning_rate):
            variable.assign_sub(learning_rate * np.sign(gradient))
            self.counts[self._get_variable_index(variable)].assign_add(np.ones(variable.shape))

    v = Variable([1.0, 1.0], name="v")
    sign = Sign(0.5)
    sign.apply([[2.0, -3.0]], [v])
    assert v.numpy().tolist() == [0.5, 1.5] and sign.variables[-1].name == "v_count"


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.SGD("fast"),
        lambda: optimizers.SGD(float("nan")),
        lambda: optimizers.SGD(momentum=1.5),
        lambda: optimizers.SGD(momentum="0.9"),
        lambda: optimizers.SGD(speed=3),
        lambda: optimizers.SGD(clipnorm=1.0, clipvalue=1.0),
        lambda: optimizers.SGD(gradient_accumulation_steps=1),
        lambda: optimizers.SGD(use_ema=True, ema_momentum=2.0),
        lambda: optimizers.SGD(use_ema=True, ema_overwrite_frequency=0.5),
        lambda: optimizers.Adam(beta_1=1.0),
        lambda: optimizers.AdamW(weight_decay=None),
        lambda: optimizers.Lion(beta_1=0.0),
        lambda: optimizers.ScheduleFreeAdamW(beta_1=0.0),
        lambda: optimizers.ScheduleFreeAdamW(beta_2=1.0),
        lambda: optimizers.Ftrl(learning_rate_power=1.0),
        lambda: optimizers.Ftrl(l1_regularization_strength=-1.0),
        lambda: optimizers.get("nonsense"),
        lambda: optimizers.get(3),
        lambda: optimizers.schedules.ExponentialDecay(0.1, 0, 0.9),
        lambda: optimizers.schedules.PiecewiseConstantDecay([1], [1.0]),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ValueError):
        make()


def test_names():
    for name in NAMES:
        assert type(optimizers.get(name.lower())) is getattr(optimizers, name)
        assert type(optimizers.get(name)) is getattr(optimizers, name)
    adam = optimizers.Adam()
    assert optimizers.get(adam) is adam and optimizers.get(None) is None
    assert isinstance(optimizers.get(optimizers.SGD), optimizers.SGD)


def test_muon_refuses():
    for arguments, error in (
        ({"adam_beta_1": 1.0}, ValueError),
        ({"ns_steps": 1.5}, ValueError),
        ({"exclude_layers": "dense"}, TypeError),
        ({"momentum": "much"}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(arguments))):
            optimizers.Muon(**arguments)
    with pytest.raises(ValueError, match="expected a matrix"):
        optimizers.Muon().zeropower_via_newtonschulz5(np.ones(3), 5)


def test_several_optimizers_refuse_before_any_has_changed(rng):
    v = variables(rng)
    adam, sgd = optimizers.Adam(), optimizers.SGD()
    several = optimizers.MultiOptimizer(lambda variable: adam if variable.name == "v0" else sgd)
    before = [x.numpy() for x in v]
    with (
        pytest.raises(ValueError, match="No gradients"),
        pytest.warns(UserWarning, match="Gradients do not exist"),
    ):
        several.apply([gradients(rng, v)[0], None], v)
    for x, old in zip(v, before, strict=True):
        np.testing.assert_array_equal(x.numpy(), old)
    with pytest.raises(ValueError, match="must be a Keras Optimizer"):
        optimizers.MultiOptimizer(lambda variable: None).build(v)
    with pytest.raises(AttributeError, match="individual"):
        several.learning_rate = 1.0
    with pytest.raises(TypeError, match="inner_optimizer"):
        optimizers.LossScaleOptimizer("adam")


@pytest.mark.parametrize("ending", ["keras", "safetensors"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.Muon(0.01),
        lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.01), 2.0**8, 3),
        lambda: optimizers.MultiOptimizer(
            optimizers.OptimizerMap(optimizers.Muon(0.01), {".*lstm.*": optimizers.SGD(0.1, momentum=0.5)})
        ),
        lambda: optimizers.Adam(0.01, loss_scale_factor=64.0),
    ],
    ids=["muon", "scaled", "several", "factor"],
)
def test_saved_training_goes_on(tmp_path, make, ending, rng):
    if ending == "keras":
        pytest.importorskip("h5py")
    lf.utils.set_random_seed(0)
    model = lf.Sequential([lf.Input((None, 3)), lf.layers.LSTM(4), lf.layers.Dense(2), lf.layers.Dense(1)])
    model.compile(make(), "mse")
    x, y = rng.normal(size=(8, 5, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    model.fit(x, y, epochs=3, shuffle=False, verbose=0)
    model.save(tmp_path / f"m.{ending}")
    again = lf.saving.load_model(tmp_path / f"m.{ending}")
    for m in (model, again):
        m.fit(x, y, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(
        [*model.weights, *model.optimizer.variables],
        [*again.weights, *again.optimizer.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("scaled", [{"loss_scale_factor": 256.0}, None])
def test_fit_scales_the_loss(scaled, rng):
    """A scale that is a power of two changes nothing."""
    x, y = rng.normal(size=(8, 5, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    weights = []
    for plain in (True, False):
        lf.utils.set_random_seed(0)
        model = lf.Sequential(
            [lf.Input((None, 3)), lf.layers.LSTM(4, kernel_regularizer="l2"), lf.layers.Dense(1)]
        )
        optimizer = optimizers.SGD(0.1, **({} if plain or scaled is None else scaled))
        if not plain and scaled is None:
            optimizer = optimizers.LossScaleOptimizer(optimizer, 4.0, 2)
        model.compile(optimizer, "mse")
        model.fit(x, y, epochs=5, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_callbacks_of_several_optimizers(rng):
    x, y = rng.normal(size=(8, 3)).astype(np.float32), rng.normal(size=(8, 1)).astype(np.float32)
    model = lf.Sequential([lf.Input((3,)), lf.layers.Dense(2, name="a"), lf.layers.Dense(1, name="b")])
    averaging = optimizers.SGD(0.2, use_ema=True, name="one")
    several = optimizers.OptimizerMap(averaging, {".*b/.*": optimizers.SGD(0.1, name="two")})
    model.compile(optimizers.MultiOptimizer(several), "mse")
    callbacks = [
        lf.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        lf.callbacks.SwapEMAWeights(),
    ]
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks, validation_data=(x, y)).history
    np.testing.assert_allclose(history["learning_rate_one"], [0.1, 0.05], rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate_two"], [0.05, 0.025], rtol=1e-6)
    for a, b in zip(averaging._averages, model.layers[0].weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())  # the end of training puts them in
