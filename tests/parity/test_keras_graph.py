# SPDX-License-Identifier: BSD-3-Clause
"""The order of layers that saving/keras_graph.py computes is the real Keras's, or weights change places."""

import json
import random

import pytest
from peers import keras

from lstmfast import Model
from lstmfast.saving.keras_graph import layer_order, without_mask_operations

L = keras.layers


def as_json(model):
    """The configuration as it comes out of a file: lists in place of tuples."""
    return json.loads(json.dumps(model.get_config()))


def branches_by_depth():
    x = L.Input((6,))
    deep = L.Dense(3)(L.Dense(4)(L.Dense(5)(x)))
    flat = L.Dense(3)(x)
    return keras.Model(x, L.Concatenate()([flat, deep]))


def outputs_in_a_dict():
    x = L.Input((6,))
    return keras.Model(
        x, {"z": L.Dense(1, name="z")(x), "a": L.Dense(2, name="a")(L.Dense(3)(x)), "b": L.Dense(4)(x)}
    )


def outputs_in_a_list():
    x, y = L.Input((6,)), L.Input((5,))
    return keras.Model([y, x], [L.Dense(1)(y), L.Dense(2)(x), L.Dense(3)(L.Concatenate()([x, y]))])


def shared_layers():
    x, y = L.Input((4,)), L.Input((4,))
    shared, other = L.Dense(4), L.Dense(4)
    return keras.Model([x, y], L.Concatenate()([shared(x), shared(other(y)), L.Dense(2)(shared(shared(x)))]))


def masked_and_unmasked_branches():
    """The mask operations make the masked branch deeper than it looks."""
    x, y = L.Input((5, 3)), L.Input((5, 3))
    masked = L.LSTM(4)(L.Masking()(x))
    plain = L.LSTM(4)(L.Dropout(0.1)(y))
    return keras.Model([x, y], L.Dense(2)(L.Concatenate()([plain, masked])))


def masks_through_layers():
    ids, side = L.Input((5,)), L.Input((5, 2))
    e = L.Embedding(9, 3, mask_zero=True)(ids)
    s = L.SimpleRNN(3, return_sequences=True)(L.Dropout(0.1)(e))
    t = L.LSTM(3, return_sequences=True)(side)
    joined = L.Concatenate()([s, t])
    u, h, c = L.LSTM(4, return_state=True)(joined)
    v = L.LSTM(4)(L.Dropout(0.1)(joined), initial_state=[h, c])
    return keras.Model([ids, side], [L.Dense(2)(u), L.Dense(2)(v), L.Dense(2)(L.Flatten()(t))])


def masked_concatenation_of_both():
    ids, others = L.Input((5,)), L.Input((5,))
    table = L.Embedding(9, 3, mask_zero=True)
    joined = L.Concatenate()([table(ids), L.Dense(3)(table(others))])
    return keras.Model(
        [ids, others],
        [L.LSTM(2)(joined), L.LSTM(3)(L.Dense(2)(table(ids))), L.Dense(2)(L.SimpleRNN(2)(joined))],
    )


def unused_input():
    x, y = L.Input((4,)), L.Input((4,))
    return keras.Model([x, y], L.Dense(2)(x))


MODELS = [
    branches_by_depth,
    outputs_in_a_dict,
    outputs_in_a_list,
    shared_layers,
    masked_and_unmasked_branches,
    masks_through_layers,
    masked_concatenation_of_both,
    unused_input,
]


@pytest.mark.parametrize("make", MODELS)
def test_order_is_keras_own(make):
    model = make()
    expected = [layer.name for layer in model.layers]
    # As lstmfast would write it: no mask operations, layers in any order.
    config = without_mask_operations(as_json(model))
    rng = random.Random(0)
    for _ in range(5):
        rng.shuffle(config["layers"])
        assert layer_order(config) == expected


def random_model(seed):
    rng = random.Random(seed)
    tensors = [
        L.Masking()(L.Input((4, 3))),
        L.Input((4, 3)),
        L.Embedding(5, 3, mask_zero=True)(L.Input((4,))),
    ]
    shared = [L.Dense(3), L.LSTM(3, return_sequences=True)]
    for _ in range(rng.randrange(3, 9)):
        kind = rng.randrange(9)
        x = rng.choice(tensors)
        if kind == 0:
            y = L.Dense(3)(x)
        elif kind == 1:
            y = L.LSTM(3, return_sequences=True)(x)
        elif kind == 2:
            y = L.Dropout(0.1)(x)
        elif kind == 3:
            y = L.Dense(3)(L.Concatenate()([x, rng.choice(tensors)]))
        elif kind == 4:
            y = L.SimpleRNN(3, return_sequences=True)(x)
        elif kind == 5:
            others = [rng.choice(tensors) for _ in range(rng.randrange(3))]
            y = rng.choice([L.Add, L.Multiply, L.Maximum, L.Average])()([x, *others])
        elif kind == 6:
            y = L.TimeDistributed(L.Dense(3))(x)
        elif kind == 7:
            y = rng.choice(
                [L.Permute((1, 2)), L.Conv1D(3, 2, padding="same"), L.Cropping1D(0), L.Reshape((4, 3))]
            )(x)
        else:
            y = rng.choice(shared)(x)
        tensors.append(y)
    last = [lambda t: t, L.LSTM(2), L.GlobalAveragePooling1D(), lambda t: L.Dot(1)([t, tensors[0]])]
    outputs = [rng.choice(last)(t) for t in tensors[3:]][-3:]
    inputs = _inputs_of(outputs)
    return keras.Model(inputs, outputs)


def _inputs_of(outputs):
    seen, stack, inputs = set(), list(outputs), []
    while stack:
        tensor = stack.pop()
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(node) not in seen:
            seen.add(id(node))
            if node.is_input:
                inputs.append(tensor)
            stack.extend(node.input_tensors)
    return inputs


@pytest.mark.filterwarnings("ignore:.*does not support masking")
@pytest.mark.parametrize("seed", range(40))
def test_order_of_random_graphs(seed):
    model = random_model(seed)
    config = without_mask_operations(as_json(model))
    expected = [layer.name for layer in model.layers]
    random.Random(seed).shuffle(config["layers"])
    assert layer_order(config) == expected


def test_operations_beyond_masks():
    x = L.Input((4,))
    config = as_json(keras.Model(x, L.Dense(2)(keras.ops.not_equal(x + 1.0, 0))))
    kept = [layer["class_name"] for layer in without_mask_operations(config)["layers"]]
    assert kept == ["InputLayer", "Add", "NotEqual", "Dense"]  # a part of the model
    config = as_json(keras.Model(x, keras.ops.polar(x, x)))
    with pytest.raises(ValueError, match="Could not locate class 'Polar'"):
        Model.from_config(config)
    x = L.Input((4, 3))
    config = as_json(keras.Model(x, L.LSTM(2)(x, mask=keras.ops.all(x > 0, axis=-1))))
    with pytest.raises(ValueError, match="the operation 'Greater' in the model's graph is not supported"):
        without_mask_operations(config)
