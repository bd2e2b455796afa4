# SPDX-License-Identifier: BSD-3-Clause
"""Every argument of Keras's layers exists here, in the same place with the same default; none is silently ignored."""

from __future__ import annotations

import inspect

import pytest
from peers import keras

import lstmfast as lf

NAMES = [name for name in lf.layers.__all__ if hasattr(keras.layers, name)]
CLASSES = [name for name in NAMES if inspect.isclass(getattr(lf.layers, name))]
LAYERS = [name for name in CLASSES if name != "InputSpec"]

#: Arguments of `call` that have another name here.
OTHER_NAMES = {
    ("RMSNormalization", "x"): "inputs",
    ("SimpleRNNCell", "sequence"): "inputs",
}
#: What makes the layers that need arguments.
GIVEN = {
    "Bidirectional": lambda: {"layer": lf.layers.LSTM(2)},
    "AdaptiveAveragePooling1D": lambda: {"output_size": 2},
    "AdaptiveMaxPooling1D": lambda: {"output_size": 2},
    "Conv1D": lambda: {"filters": 2, "kernel_size": 3},
    "Convolution1D": lambda: {"filters": 2, "kernel_size": 3},
    "ConvLSTM1D": lambda: {"filters": 2, "kernel_size": 3},
    "Conv1DTranspose": lambda: {"filters": 2, "kernel_size": 3},
    "Convolution1DTranspose": lambda: {"filters": 2, "kernel_size": 3},
    "DepthwiseConv1D": lambda: {"kernel_size": 3},
    "SeparableConv1D": lambda: {"filters": 2, "kernel_size": 3},
    "SeparableConvolution1D": lambda: {"filters": 2, "kernel_size": 3},
    "Dense": lambda: {"units": 2},
    "EinsumDense": lambda: {"equation": "ab,bc->ac", "output_shape": 2},
    "Embedding": lambda: {"input_dim": 3, "output_dim": 2},
    "ReversibleEmbedding": lambda: {"input_dim": 3, "output_dim": 2},
    "Hashing": lambda: {"num_bins": 3},
    "HashedCrossing": lambda: {"num_bins": 3},
    "GroupQueryAttention": lambda: {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
    "MultiHeadAttention": lambda: {"num_heads": 2, "key_dim": 3},
    "InputLayer": lambda: {"shape": (3,)},
    "Rescaling": lambda: {"scale": 2.0},
    "CategoryEncoding": lambda: {"num_tokens": 3},
    "Discretization": lambda: {"num_bins": 3},
    "IntegerLookup": dict,
    "StringLookup": dict,
    "TextVectorization": dict,
    "BatchNormalization": dict,
    "Attention": dict,
    "AdditiveAttention": dict,
}
#: Layers that Keras makes only where TensorFlow is.
NEED_TENSORFLOW = ("HashedCrossing", "Hashing", "IntegerLookup", "StringLookup", "TextVectorization")
#: Layers that are made of others.
OF_OTHER_LAYERS = (
    "Pipeline",
    "RNN",
    "SpectralNormalization",
    "StackedRNNCells",
    "TimeDistributed",
    "Wrapper",
)
#: Arguments for what lstmfast does not do, with a value that asks for it.
REFUSED = {
    "lora_rank": 2,
    "lora_alpha": 2.0,
    "quantization_config": object(),
    "synchronized": True,
    "sparse": True,
    "ragged": True,
}


def parameters(function):
    return {
        name: p
        for name, p in inspect.signature(function).parameters.items()
        if name != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def takes_any(function):
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", CLASSES)
def test_constructors(name):
    ours, theirs = getattr(lf.layers, name).__init__, getattr(keras.layers, name).__init__
    mine, wanted = parameters(ours), parameters(theirs)
    missing = wanted.keys() - mine.keys()
    assert missing <= (
        {"autocast"} if name == "Layer" else set()
    )  # a mixed-precision matter; Layer takes and drops it
    for argument, parameter in wanted.items():
        if argument in mine:
            assert mine[argument].default == parameter.default, argument
    if name != "Layer":
        positional = [a for a, p in wanted.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert list(mine)[: len(positional)] == positional
    assert takes_any(ours) or not takes_any(theirs)


@pytest.mark.parametrize("name", LAYERS)
def test_calls(name):
    wanted = parameters(getattr(keras.layers, name).call)
    if name in ("Layer", "InputLayer"):
        wanted = {}
    layer = getattr(lf.layers, name)
    call = lf.layers.LSTM.__call__ if name == "RNN" else layer.__call__
    mine = {*parameters(call), *([] if name != "RNN" else parameters(layer.__call__))}
    assert {OTHER_NAMES.get((name, argument), argument) for argument in wanted} <= mine


@pytest.mark.parametrize("name", [n for n in NAMES if n not in CLASSES])
def test_functions(name):
    assert parameters(getattr(keras.layers, name)).keys() <= parameters(getattr(lf.layers, name)).keys()


@pytest.mark.parametrize("name", LAYERS)
def test_unknown_arguments_and_unsupported_ones_are_refused_by_name(name):
    layer = getattr(lf.layers, name)
    mine = parameters(layer.__init__)
    for argument, value in REFUSED.items():
        if argument in mine:
            with pytest.raises((TypeError, ValueError), match=argument):
                layer(**{**GIVEN[name](), argument: value})
    if name in GIVEN:
        with pytest.raises((TypeError, ValueError), match="no_such_argument"):
            layer(**GIVEN[name](), no_such_argument=1)


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"Layer", "Bidirectional", *OF_OTHER_LAYERS}))
def test_masks_are_understood_by_the_same_layers(name):
    ours, theirs = getattr(lf.layers, name), getattr(keras.layers, name)
    if name in NEED_TENSORFLOW:
        pytest.importorskip("tensorflow")
    if name not in GIVEN and any(p.default is p.empty for p in parameters(theirs.__init__).values()):
        given = {
            "units": 2,
            "rate": 0.5,
            "stddev": 0.5,
            "n": 2,
            "dims": (1,),
            "target_shape": (1,),
            "axes": 1,
        }
        given |= {"pool_size": 2, "function": abs, "activation": "relu"}
        wanted = parameters(theirs.__init__)
        given = {
            key: value
            for key, value in given.items()
            if key in wanted and wanted[key].default is inspect._empty
        }
        if any(p.default is p.empty and a not in given for a, p in wanted.items()):
            pytest.fail("add its arguments to GIVEN")
        assert ours(**given).supports_masking == theirs(**given).supports_masking
    else:
        given = GIVEN.get(name, dict)()
        assert ours(**given).supports_masking == theirs(**given).supports_masking
