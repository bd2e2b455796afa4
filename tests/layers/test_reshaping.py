# SPDX-License-Identifier: BSD-3-Clause
"""Reshape, Permute, RepeatVector, cropping, padding, up-sampling, Lambda, Identity: lengths, models, files."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers import Call

TIME_LAYERS = {
    "crop": lambda: layers.Cropping1D((1, 0)),
    "pad": lambda: layers.ZeroPadding1D((2, 1)),
    "stretch": lambda: layers.UpSampling1D(3),
    "reshape": lambda: layers.Reshape((8, 1, 3)),
    "permute": lambda: layers.Permute((1, 2)),
    "identity": layers.Identity,
}


@pytest.mark.parametrize("name", TIME_LAYERS)
def test_a_padded_row_is_the_row_alone(name, rng):
    """With lengths every row gives what it gives without its padding, whatever stands there; so does its gradient."""
    layer = TIME_LAYERS[name]()
    x = rng.standard_normal((4, 8, 3)).astype("float32")
    lengths = np.array([8, 5, 2, 1], np.int32)
    padded = x.copy()
    for row, n in enumerate(lengths):
        padded[row, n:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=lengths)
    y = layer.forward(padded, call)
    out_lengths = call.output_lengths if call.output_lengths is not None else layer.output_lengths(lengths)
    dy = rng.standard_normal(y.shape).astype("float32")
    for row, n in enumerate(out_lengths):
        dy[row, n:] = 0
    dx = layer.backward(dy, call)
    for row, n in enumerate(lengths):
        alone = x[row : row + 1, :n]
        if name == "reshape":
            alone_y, alone_dx = alone[:, :, None], dy[row : row + 1, :n, 0]
        elif name == "crop" and n == 1:
            assert out_lengths[row] == 0
            continue
        else:
            alone_call = Call(save=True, needs_dx=True)
            alone_y = TIME_LAYERS[name]().forward(alone, alone_call)
            alone_dx = layer.backward(dy[row : row + 1, : alone_y.shape[1]], alone_call)
        assert out_lengths[row] == alone_y.shape[1]
        np.testing.assert_array_equal(y[row : row + 1, : out_lengths[row]], alone_y)
        np.testing.assert_array_equal(dx[row : row + 1, :n], alone_dx)


def test_lengths_through_a_model(rng):
    """What a recurrent layer behind them sees."""
    model = Sequential(
        [
            Input((None, 3)),
            layers.ZeroPadding1D((1, 2)),
            layers.UpSampling1D(2),
            layers.Cropping1D((3, 0)),
            layers.GRU(4),
        ]
    )
    x = rng.standard_normal((3, 6, 3)).astype("float32")
    lengths = np.array([6, 4, 1])
    y = model(x, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(y[row : row + 1], model(x[row : row + 1, :n]))


def test_lengths_end_where_time_does():
    lengths = np.array([2, 1], np.int32)
    x = np.ones((2, 3, 4), np.float32)
    for layer in (layers.Permute((2, 1)), layers.Reshape((12,)), layers.Reshape((4, 3)), layers.RepeatVector(2),
                  layers.ZeroPadding1D(1, data_format="channels_first"), layers.Flatten()):  # fmt: skip
        call = Call(lengths=lengths)
        layer.forward(x[:, 0] if isinstance(layer, layers.RepeatVector) else x, call)
        assert call.output_lengths is None and layer.output_lengths(lengths) is None


@pytest.mark.parametrize(
    "layer",
    [layers.Reshape((12,)), layers.Permute((1, 2)), layers.RepeatVector(2), layers.Cropping1D(1), layers.ZeroPadding1D(),
     layers.UpSampling1D(), layers.Flatten()],
)  # fmt: skip
def test_masks_end_with_a_warning(layer):
    x = layers.Masking()(Input((3, 4)))
    with pytest.warns(UserWarning, match="does not support masking"):
        layer.record(x if not isinstance(layer, layers.RepeatVector) else layers.Masking()(Input((4,))), {})


def doubled(x):
    return x * 2


def doubled_gradient(x, y, dy):
    return dy * 2


def test_lambda_in_training_and_files(rng, tmp_path):
    model = Sequential([Input((3,)), layers.Dense(2), layers.Lambda(doubled, gradient=doubled_gradient)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="doubled"):
        lf.saving.load_model(tmp_path / "m.safetensors")
    functions = {"doubled": doubled, "doubled_gradient": doubled_gradient}
    again = lf.saving.load_model(tmp_path / "m.safetensors", custom_objects=functions)
    np.testing.assert_array_equal(again(x), model(x))


def by_numpy(x):
    return np.add(np.asarray(x, np.float32), 1)


def test_lambda_without_gradient():
    model = Sequential([Input((3,)), layers.Dense(2), layers.Lambda(by_numpy, name="twice")])
    model.compile("sgd", "mse")
    assert model.predict(np.ones((2, 3)), verbose=0).shape == (2, 2)
    with pytest.raises(NotImplementedError, match=r"'twice'.*gradient"):
        model.fit(np.ones((2, 3)), np.ones((2, 2)), verbose=0)
    with pytest.raises(ValueError, match=r"'twice'.*cannot be frozen"):
        model.freeze()
    with pytest.raises(ValueError, match="lambda"):
        lf.saving.serialize_keras_object(layers.Lambda(lambda x: x))


def test_lambda_of_several_inputs_with_masks_and_training(rng):
    seen = []

    def join(xs, mask=None, training=None, scale=1.0):
        seen.append((mask, training))
        return scale * xs[0] + xs[1]

    a, b = Input((4, 3)), Input((4, 3))
    layer = layers.Lambda(
        join, (4, 3), mask=lambda x, m: m[0], arguments={"scale": 2.0},
        gradient=lambda x, y, dy: [2 * dy, dy],
    )  # fmt: skip
    model = Model([a, b], layers.LSTM(2)(layer([layers.Masking()(a), b])))
    x = [rng.standard_normal((2, 4, 3)).astype("float32") for _ in range(2)]
    x[0][0, 2:] = 0
    y, tape = model.forward(x, training=True)
    _, dx, _ = tape.backward(np.ones_like(y))
    np.testing.assert_allclose(dx[0], 2 * dx[1] * (x[0] != 0).any(-1, keepdims=True), rtol=1e-6)
    mask, training = seen[-1]
    assert training is True and mask[1] is None
    np.testing.assert_array_equal(mask[0], [[True, True, False, False], [True] * 4])
    assert (dx[1][0, 2:] == 0).all()  # the mask reached the recurrent layer


@pytest.mark.parametrize(
    ("bad", "error"), [(lambda x, y, dy: dy[:1], ValueError), (lambda x, y, dy: "a", TypeError)]
)
def test_lambda_with_a_bad_gradient(bad, error):
    layer, call = layers.Lambda(doubled, gradient=bad), Call(save=True, needs_dx=True)
    y = layer.forward(np.ones((2, 3), np.float32), call)
    with pytest.raises(error, match="gradient"):
        layer.backward(y, call)


def test_lambda_shapes():
    assert layers.Lambda(doubled).compute_output_shape((None, 3)) == (None, 3)
    assert layers.Lambda(doubled, (5, 1)).compute_output_shape((None, 3)) == (None, 5, 1)
    assert layers.Lambda(doubled, lambda s: (*s, 1)).compute_output_shape((None, 3)) == (None, 3, 1)
    with pytest.raises(NotImplementedError, match="output_shape"):
        layers.Lambda(lambda x: x @ np.ones((7, 7))).compute_output_shape((None, 3))
    with pytest.raises(NotImplementedError, match="output_shape"):
        layers.Lambda(doubled).compute_output_shape((10**10, 10**10))


@pytest.mark.parametrize("target", [(3, 20), (-1, 4), (15, -1), (60,), (-1,), (1, 60)])
def test_frozen_reshape(target, rng):
    """From one axis to two, and from two to others."""
    x = rng.standard_normal((3, 60)).astype("float32")
    for shape in ((60,), (12, 5), (1, 60)):
        reshape = layers.Reshape(target)
        after = [layers.GRU(3)] if len(target) == 2 else [layers.Dense(3)]
        model = Sequential([Input(shape), reshape, *after])
        data = x.reshape((3, *shape))
        np.testing.assert_array_equal(model.freeze()(data), model(data))
        if target != shape:
            with pytest.raises(ValueError, match=f"layer '{reshape.name}' cannot run in a stream"):
                model.freeze().stream()


def test_frozen_repetition(rng):
    """An autoencoder of sequences."""
    model = Sequential(
        [Input((None, 3)), layers.LSTM(4), layers.RepeatVector(5, name="again"), layers.GRU(3)]
    )
    x = rng.standard_normal((4, 7, 3)).astype("float32")
    mask = rng.random((4, 7)) < 0.5
    frozen = model.freeze()
    for given in ({}, {"lengths": np.array([7, 3, 1, 0])}, {"mask": mask}):
        np.testing.assert_array_equal(frozen(x, **given), model(x, **given))
    with pytest.raises(ValueError, match="layer 'again' cannot run in a stream: it makes another time axis"):
        frozen.stream()


def test_frozen(rng):
    """Layers that come to nothing vanish; those without a native form are named."""
    stack = [Input((5, 3)), layers.LSTM(4, return_sequences=True), layers.Identity(), layers.Permute((1, 2)),
             layers.Reshape((5, 4)), layers.Reshape((-1,)), layers.Dense(2)]  # fmt: skip
    model = Sequential(stack)
    x = rng.standard_normal((3, 5, 3)).astype("float32")
    np.testing.assert_array_equal(model.freeze()(x), model(x))
    for layer in (
        layers.ZeroPadding1D(data_format="channels_first", name="bad"),
        layers.Reshape((3, 5, 1), name="bad"),
    ):
        with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
            Sequential([Input((5, 3)), layer]).freeze()


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Permute((2, 1)),
        lambda: layers.Cropping1D(1),
        lambda: layers.Cropping1D((0, 3)),
        lambda: layers.Cropping1D((4, 0)),
        lambda: layers.ZeroPadding1D(2),
        lambda: layers.ZeroPadding1D((0, 1)),
        lambda: layers.ZeroPadding1D((3, 0)),
        lambda: layers.UpSampling1D(1),
        lambda: layers.UpSampling1D(3),
    ],
)
def test_frozen_resampling(layer, rng):
    made = layer()
    shape = (9, 3) if isinstance(made, layers.Permute) else (None, 3)
    model = Sequential([Input(shape), made, layers.GRU(2, return_sequences=True)])
    frozen = model.freeze()
    x = rng.standard_normal((5, 9, 3)).astype("float32")
    mask = rng.random((5, 9)) < 0.5
    for given in ({}, {"mask": mask}, {"lengths": np.array([9, 5, 3, 1, 0])}):
        np.testing.assert_array_equal(frozen(x, **given), model(x, **given))
    if made.name.startswith("cropping"):
        with pytest.raises(ValueError, match=made.name):
            frozen(x[:, :2])
    with pytest.raises(ValueError, match=f"layer '{made.name}' cannot run in a stream"):
        frozen.stream()
