# SPDX-License-Identifier: BSD-3-Clause
"""Bidirectional against the real Keras 3: outputs, gradients, masks, configurations, files both ways.

Every masked row has a valid step: where none came yet Keras's torch backend shows 0 and lstmfast the initial
state, which can be seen only in a row that is masked throughout, as steps of a sequence are 0 in both.
"""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

MODES = ["concat", "sum", "mul", "ave", None]


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def both(make, shape, rng):
    """The layer in both libraries, built for `shape`, with the same weights."""
    ours, theirs = make(lf.layers), make(keras.layers)
    ours.build(shape)
    theirs.build(shape)
    values = [(rng.standard_normal(v.shape) / np.sqrt(v.shape[0])).astype("float32") for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def compare(make, x, rng, *, mask=None, states=None):
    """Outputs, and gradients of a random projection of them, must agree."""
    ours, theirs = both(make, x.shape, rng)
    call = Call(save=True, needs_dx=True, mask=mask)
    xt, options = torch.tensor(x, requires_grad=True), {}
    if states is not None:
        call.initial_state = tuple(states)
        options["initial_state"] = [torch.tensor(s, requires_grad=True) for s in states]
    if mask is not None:
        options["mask"] = torch.tensor(mask)
    y, yt = ours.forward(x, call), theirs(xt, **options)
    assert isinstance(y, tuple) == isinstance(yt, tuple)
    y, yt = (y, yt) if isinstance(y, tuple) else ((y,), (yt,))
    assert len(y) == len(yt)
    for k, (a, b) in enumerate(zip(y, yt, strict=True)):
        close(a, b.detach().numpy(), f"output {k}")
    dy = [rng.standard_normal(a.shape).astype("float32") for a in y]
    dx = ours.backward(tuple(dy) if len(dy) > 1 else dy[0], call)
    sum((b * torch.tensor(d)).sum() for b, d in zip(yt, dy, strict=True)).backward()
    close(dx, xt.grad.numpy(), "dx")
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        close(a.grad, b.value.grad.numpy(), f"d {a.path}")
    for a, b in zip(call.d_initial_state, options.get("initial_state", ()), strict=False):
        close(a, b.grad.numpy(), "d initial state")


OPTIONS = [
    {},
    {"return_sequences": True},
    {"return_state": True, "use_bias": False},
    {"return_sequences": True, "return_state": True, "activation": "relu"},
]


@pytest.mark.parametrize("name", ["LSTM", "SimpleRNN"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
def test_outputs_and_gradients(name, mode, options, rng):
    def make(L):
        return L.Bidirectional(getattr(L, name)(4, **options), merge_mode=mode)

    compare(make, rng.standard_normal((3, 7, 5)).astype("float32"), rng)


@pytest.mark.parametrize("name", ["LSTM", "SimpleRNN"])
@pytest.mark.parametrize("mode", ["concat", "mul", None])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
def test_initial_state(name, mode, options, rng):
    def make(L):
        return L.Bidirectional(getattr(L, name)(4, **options), merge_mode=mode)

    states = [rng.standard_normal((3, 4)).astype("float32") for _ in range(4 if name == "LSTM" else 2)]
    compare(make, rng.standard_normal((3, 7, 5)).astype("float32"), rng, states=states)


@pytest.mark.parametrize("name", ["LSTM", "SimpleRNN"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
def test_masks(name, mode, options, rng):
    def make(L):
        return L.Bidirectional(getattr(L, name)(4, **options), merge_mode=mode)

    mask = rng.integers(0, 2, (5, 8)).astype(bool)
    mask[0], mask[1, 3:], mask[2, :3] = True, False, False
    mask[:, 2], mask[2, 2:4] = True, [False, True]  # every row has a valid step
    compare(make, rng.standard_normal((5, 8, 3)).astype("float32"), rng, mask=mask)


def other_backward(L):
    return L.Bidirectional(
        L.LSTM(4, return_sequences=True, return_state=True, name="a"),
        backward_layer=L.LSTM(
            3, activation="relu", return_sequences=True, return_state=True, go_backwards=True, name="b"
        ),
        name="bi",
    )


def turned(L):
    """The layer that walks backwards comes first."""
    return L.Bidirectional(
        L.SimpleRNN(3, return_sequences=True, go_backwards=True, name="a"),
        backward_layer=L.SimpleRNN(3, return_sequences=True, name="b"),
        merge_mode="sum",
        name="bi",
    )


@pytest.mark.parametrize("make", [other_backward, turned])
def test_a_backward_layer_of_its_own(make, rng):
    compare(make, rng.standard_normal((3, 6, 5)).astype("float32"), rng)


def test_stateful(rng):
    ours, theirs = both(
        lambda L: L.Bidirectional(L.LSTM(4, return_sequences=True, stateful=True)), (2, 6, 3), rng
    )
    for _ in range(3):
        x = rng.standard_normal((2, 6, 3)).astype("float32")
        close(ours(x), theirs(torch.tensor(x)).detach().numpy())
        for a, b in zip(ours.states, theirs.states, strict=True):
            close(a, b.value.detach().numpy())


# ---- configurations and names ------------------------------------------------------------------------------

CONFIGURATIONS = [
    lambda L: L.Bidirectional(L.LSTM(3, name="x"), name="layer"),
    lambda L: L.Bidirectional(L.LSTM(3, name="forward_x"), name="layer"),
    lambda L: L.Bidirectional(
        L.LSTM(3, return_sequences=True, dropout=0.1, recurrent_regularizer="l2", seed=3, name="x"),
        merge_mode=None,
        trainable=False,
        activity_regularizer="l1",
        name="layer",
    ),
    lambda L: L.Bidirectional(
        L.SimpleRNN(3, zero_output_for_mask=True, trainable=False, name="backward_x"), "ave", name="layer"
    ),
    other_backward,
    turned,
]


@pytest.mark.parametrize("make", CONFIGURATIONS)
@pytest.mark.parametrize("built", [False, True])
def test_configuration_is_keras_s(make, built):
    ours, theirs = make(lf.layers), make(keras.layers)
    if built:
        for layer in (ours, theirs):
            layer(np.zeros((1, 4, 2), "float32"))
    expected = theirs.get_config()
    if built:  # Keras calls a layer with the shape of the call, and so do we
        assert json.loads(json.dumps(ours.get_config())) == json.loads(json.dumps(without_ids(expected)))
    else:
        assert ours.get_config() == without_ids(expected)
    again = type(ours).from_config(expected)
    assert without_builds(again.get_config()) == without_builds(without_ids(expected))
    keras_again = type(theirs).from_config(ours.get_config())
    assert without_builds(without_ids(keras_again.get_config())) == without_builds(ours.get_config())


def without_ids(config, key="shared_object_id"):
    """A configuration without the ids that Keras gives to initializers, which are of one process only."""
    if isinstance(config, dict):
        return {k: without_ids(v, key) for k, v in config.items() if k != key}
    return [without_ids(v, key) for v in config] if isinstance(config, list) else config


def without_builds(config):
    return without_ids(config, "build_config")


@pytest.mark.parametrize("make", CONFIGURATIONS)
def test_weights_are_keras_s(make):
    ours, theirs = make(lf.layers), make(keras.layers)
    x = np.zeros((2, 5, 4), "float32")
    ours(x), theirs(x)
    assert [(v.path, v.shape) for v in ours.weights] == [(v.path, tuple(v.shape)) for v in theirs.weights]
    for which in ("trainable_weights", "non_trainable_weights"):
        paths = [v.path for v in getattr(theirs, which) if "seed_generator" not in v.path]
        assert [v.path for v in getattr(ours, which)] == paths


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o) or "default")
def test_output_shapes(mode, options):
    ours, theirs = (L.Bidirectional(L.LSTM(3, **options), mode) for L in (lf.layers, keras.layers))
    for shape in ((None, 5, 4), (2, None, 4)):
        assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda L: L.Bidirectional(3),
        lambda L: L.Bidirectional(L.LSTM(2), merge_mode="product"),
        lambda L: L.Bidirectional(L.LSTM(2), backward_layer=3),
        lambda L: L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(2)),
        lambda L: L.Bidirectional(L.LSTM(2, go_backwards=True)),
        lambda L: L.Bidirectional(
            L.LSTM(2), backward_layer=L.LSTM(2, go_backwards=True, return_sequences=True)
        ),
        lambda L: L.Bidirectional(L.LSTM(2), trainable="yes"),
        lambda L: L.Bidirectional(L.LSTM(2), units=3),
    ],
)
def test_both_refuse(make):
    for L in (lf.layers, keras.layers):
        with pytest.raises(ValueError):
            make(L)


# ---- models ------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
SEQUENCES = RNG.normal(size=(12, 6, 3)).astype("float32")
SEQUENCES[3, 4:] = SEQUENCES[5, 2:] = 0
IDS = RNG.integers(1, 9, (12, 6))
IDS[2, 3:] = IDS[4, 5:] = 0
SIDE = RNG.normal(size=(12, 2)).astype("float32")


def stack(K):
    L = K.layers
    model = K.Sequential(
        [
            L.Input((6, 3)),
            L.Masking(),
            L.Bidirectional(L.LSTM(4, return_sequences=True, kernel_regularizer="l2"), name="low"),
            L.Bidirectional(L.SimpleRNN(3, return_sequences=True), merge_mode="mul"),
            L.LSTM(3, return_sequences=True),
            # As many units in both: Keras takes the output's last axis to be twice that of the forward layer.
            L.Bidirectional(
                L.LSTM(3),
                backward_layer=L.LSTM(3, activation="relu", use_bias=False, go_backwards=True),
                activity_regularizer="l2",
            ),
            L.Dense(3, activation="softmax"),
        ]
    )
    return model, SEQUENCES, np.arange(12) % 3, "sparse_categorical_crossentropy"


def functional(K):
    """States of one start the next; masks; pairs of outputs; layers that Keras orders by depth."""
    L = K.layers
    ids, x = L.Input((6,), name="ids"), L.Input((6, 3), name="x")
    words = L.Embedding(9, 4, mask_zero=True)(ids)
    a, *states = L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True), merge_mode="ave")(words)
    b, c = L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=None)(x, initial_state=states)
    side = L.Bidirectional(L.SimpleRNN(2), name="aaa")(L.Masking()(x))
    joined = L.Concatenate()([L.LSTM(2)(a), L.SimpleRNN(2)(b), L.Bidirectional(L.LSTM(2))(c), side])
    return K.Model([ids, x], L.Dense(2)(joined)), [IDS, SEQUENCES], SIDE, "mse"


def trained(K, make):
    K.utils.set_random_seed(0)
    model, x, y, loss = make(K)
    model.compile("adam", loss)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    return model, x, y


@pytest.mark.parametrize("make", [stack, functional])
@pytest.mark.parametrize("source", ["keras", "lstmfast"])
def test_files_both_ways(tmp_path, make, source):
    """The other library predicts the same, and goes on training from the optimizer's state."""
    pytest.importorskip("h5py")
    first, second = (keras, lf) if source == "keras" else (lf, keras)
    model, x, y = trained(first, make)
    model.save(tmp_path / "m.keras")
    other = second.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    for m in (model, other):
        m.fit(x, y, batch_size=12, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-3, atol=1e-4)
    back = tmp_path / "back.keras"
    other.save(back)
    again = first.saving.load_model(back)
    np.testing.assert_allclose(again.predict(x, verbose=0), other.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_members_of_the_weight_file_are_keras_s(tmp_path):
    import io

    h5py = pytest.importorskip("h5py")
    found = []
    for K in (keras, lf):
        model, *_ = stack(K)
        model.save(tmp_path / "m.keras")
        with zipfile.ZipFile(tmp_path / "m.keras") as archive:
            members: dict[str, tuple[int, ...] | None] = {}
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                file.visititems(
                    lambda name, item, to=members: to.update({name: getattr(item, "shape", None)})
                )
        found.append(members)
    keras_s, ours = found
    arrays = {name: shape for name, shape in keras_s.items() if shape is not None}
    ours = {
        name: shape for name, shape in ours.items() if not name.startswith("seed_generators")
    }  # not in Keras's
    assert {name: shape for name, shape in ours.items() if shape is not None} == arrays
    assert {name for name in keras_s if "bidirectional" in name} == {
        name for name in ours if "bidirectional" in name
    }


def penalized(K):
    """Activity regularizers in all three places; one direction that only its penalty trains."""
    L = K.layers
    x = L.Input((6, 3))
    low = L.Bidirectional(
        L.LSTM(3, return_sequences=True, return_state=True, activity_regularizer="l2"),
        backward_layer=L.LSTM(
            3, return_sequences=True, return_state=True, activity_regularizer="l1", go_backwards=True
        ),
        merge_mode="mul",
        activity_regularizer="l2",
    )
    y, *_ = low(x)
    # Not a SimpleRNN: Keras's takes an activity_regularizer and forgets it.
    a, _ = L.Bidirectional(L.LSTM(2, activity_regularizer="l2"), merge_mode=None)(y)
    return K.Model(x, L.Dense(3, activation="softmax")(a)), SEQUENCES, None, None


@pytest.mark.parametrize("make", [stack, penalized])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_step_by_step(optimizer, make, rng):
    ours, theirs = make(lf)[0], make(keras)[0]
    for model in (ours, theirs):
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    theirs.set_weights(ours.get_weights())
    y = rng.integers(0, 3, 12)
    for _ in range(10):
        a, b = ours.train_on_batch(SEQUENCES, y), theirs.train_on_batch(SEQUENCES, y)
        np.testing.assert_allclose(a, [float(v) for v in b], rtol=1e-4)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, np.abs(b).max()))
