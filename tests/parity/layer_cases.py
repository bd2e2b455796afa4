# SPDX-License-Identifier: BSD-3-Clause
"""For each of Keras's layers: values for every argument of its constructor, and inputs that suit.

`Of` marks a value that each library makes of its own objects. `test_keras_every_layer.py` draws from these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st


@dataclass(frozen=True)
class Of:
    """A value that is made of a library's own objects: ``Of("K.layers.LSTM(2)")``."""

    code: str

    def make(self, K: Any) -> Any:
        return eval(self.code, {"K": K, "np": np})


Options = dict[str, st.SearchStrategy[Any]]


@dataclass(frozen=True)
class Case:
    """`needed` and `options`: values of arguments; `call`: of arguments of the call; `inputs`: shapes, or what makes arrays."""

    needed: Options = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    inputs: Callable[[np.random.Generator, dict[str, Any]], list[np.ndarray]] = lambda rng, _: [
        floats(rng, 3, 6, 4)
    ]
    call: Options = field(default_factory=dict)
    masked: bool = True  # a Masking layer may stand before it
    as_list: bool = False  # the inputs come as one list
    allowed: Callable[[dict[str, Any]], bool] = lambda _: True


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype("float32")


def shaped(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator, dict[str, Any]], list[np.ndarray]]:
    return lambda rng, _: [floats(rng, *s) for s in shapes]


def of(*codes: str) -> st.SearchStrategy[Of]:
    return st.sampled_from([Of(code) for code in codes])


def one(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


BOOLEANS = st.booleans()
NAMES = one("tanh", "sigmoid", "elu", "softplus", "silu", "gelu", "selu", "hard_sigmoid", "softmax", "linear")
GATES = one("sigmoid", "hard_sigmoid", "tanh")
INITIALIZERS = st.one_of(
    one("he_uniform", "zeros", "glorot_normal"),
    of("K.initializers.RandomNormal(0.1, 0.2, seed=3)", "K.initializers.VarianceScaling(0.5, seed=1)"),
)
#: For (units, units) and vectors alike.
RECURRENT = st.one_of(one("he_normal", "orthogonal"), of("K.initializers.Orthogonal(0.9, seed=2)"))
REGULARIZERS = st.one_of(
    one("l1", "l2"),
    of("K.regularizers.L1L2(0.02, 0.01)", "K.regularizers.L2(0.05)", "K.regularizers.L1(0.03)"),
)
MATRIX_CONSTRAINTS = st.one_of(
    one("non_neg", "unit_norm"),
    of("K.constraints.MaxNorm(0.8)", "K.constraints.MinMaxNorm(0.3, 0.9, rate=0.6)"),
)
VECTOR_CONSTRAINTS = st.one_of(one("non_neg"), of("K.constraints.MaxNorm(0.5, axis=0)"))


def weight(*prefixes: str, constraint: st.SearchStrategy[Any] = MATRIX_CONSTRAINTS) -> Options:
    """What all kinds of weights take."""
    options: Options = {}
    for prefix in prefixes:
        options |= {
            f"{prefix}_initializer": RECURRENT if prefix == "recurrent" else INITIALIZERS,
            f"{prefix}_regularizer": REGULARIZERS,
            f"{prefix}_constraint": constraint,
        }
    return options


BIAS = weight("bias", constraint=VECTOR_CONSTRAINTS) | {"use_bias": BOOLEANS}
ACTIVITY = {"activity_regularizer": REGULARIZERS}
# Dropouts act in training alone, which is compared without; their distributions: test_keras_regularization.py.
CELL = {
    "activation": one("tanh", "elu", "softsign", "selu"),
    **weight("kernel", "recurrent"),
    **BIAS,
    "seed": one(3),
    "dropout": one(0.0),
    "recurrent_dropout": one(0.0),
}
SEQUENCE = {
    **CELL,
    **ACTIVITY,
    "return_sequences": BOOLEANS,
    "return_state": BOOLEANS,
    "go_backwards": BOOLEANS,
    "stateful": one(False),  # test_keras_stateful.py
    "unroll": BOOLEANS,
}
CONVOLUTION = {
    "strides": one(1, 2),
    "padding": one("valid", "same"),
    "data_format": one("channels_last"),
    "activation": NAMES,
    **BIAS,
    **ACTIVITY,
}
CENTRE = {
    "center": BOOLEANS,
    "scale": BOOLEANS,
    **weight("beta", "gamma", constraint=VECTOR_CONSTRAINTS),
    "epsilon": one(1e-3, 0.1),
}
POOLING = {
    "strides": one(None, 1, 2),
    "padding": one("valid", "same"),
    "data_format": one("channels_last", "channels_first"),
}
ATTENTION = {"dropout": one(0.0), "seed": one(3)}
HEADS = {
    **ATTENTION,
    **weight("kernel"),
    **BIAS,
    **ACTIVITY,
    "sliding_window": one(2, 3),
    "flash_attention": one(False, None),
    "use_gate": BOOLEANS,
}
SCORES = {"return_attention_scores": BOOLEANS, "use_causal_mask": BOOLEANS}
PAIRS = {"inputs": shaped((3, 6, 4), (3, 6, 4)), "as_list": True}
NOISE = {"seed": one(3)}
DATA_FORMAT = {"data_format": one("channels_last", "channels_first")}


def one_stride(options: dict[str, Any]) -> bool:
    return options.get("strides", 1) == 1 or options.get("dilation_rate", 1) == 1


def words(rng: np.random.Generator, _: dict[str, Any]) -> list[np.ndarray]:
    ids = rng.integers(1, 9, (3, 6))
    ids[1, 4:] = 0
    return [ids]


CASES: dict[str, Case] = {
    "Activation": Case({"activation": NAMES}),
    "ActivityRegularization": Case({}, {"l1": one(0.1), "l2": one(0.2, 1.0)}),
    "AdaptiveAveragePooling1D": Case({"output_size": one(2, 3, 6)}, DATA_FORMAT, masked=False),
    "AdaptiveMaxPooling1D": Case({"output_size": one(2, 3, 6)}, DATA_FORMAT, masked=False),
    **{name: Case(**PAIRS) for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")},
    "AdditiveAttention": Case({}, {"use_scale": BOOLEANS, "dropout": one(0.0)}, call=SCORES, **PAIRS),
    "AlphaDropout": Case({"rate": one(0.0)}, {**NOISE, "noise_shape": one((None, 1, None))}),
    "Attention": Case(
        {}, {"use_scale": BOOLEANS, "score_mode": one("dot", "concat"), **ATTENTION}, call=SCORES, **PAIRS
    ),
    "AveragePooling1D": Case({"pool_size": one(1, 2, 3)}, POOLING, masked=False),
    "BatchNormalization": Case(
        {},
        {
            **CENTRE,
            "axis": one(-1, 1),
            "momentum": one(0.5, 0.9),
            "moving_mean_initializer": one("zeros", "ones"),
            "moving_variance_initializer": one("ones", Of("K.initializers.Constant(2.0)")),
            "renorm": BOOLEANS,
            "renorm_clipping": one(None, {"rmax": 2.0, "rmin": 0.5, "dmax": 1.0}),
            "renorm_momentum": one(0.8),
        },
        allowed=lambda o: o.get("renorm", False) or not o.keys() & {"renorm_clipping", "renorm_momentum"},
    ),
    "Bidirectional": Case(
        {
            "layer": of(
                "K.layers.LSTM(3)",
                "K.layers.LSTM(3, activity_regularizer='l2')",
                "K.layers.GRU(3, return_sequences=True)",
                "K.layers.SimpleRNN(3, return_state=True)",
            )
        },
        {**ACTIVITY, "merge_mode": one("sum", "mul", "ave", "concat", None), "weights": one(None), "backward_layer": one(None)},
    ),
    "Concatenate": Case({}, {"axis": one(-1, 1, 2)}, **PAIRS),
    "Conv1D": Case(
        {"filters": one(2, 4), "kernel_size": one(1, 2, 3)},
        {
            **CONVOLUTION,
            **weight("kernel"),
            "padding": one("valid", "same", "causal"),
            "dilation_rate": one(1, 2),
            "groups": one(1, 2),
        },
        allowed=one_stride,
    ),
    "Conv1DTranspose": Case(
        {"filters": one(2, 3), "kernel_size": one(2, 3)},
        {**CONVOLUTION, **weight("kernel"), "output_padding": one(None), "dilation_rate": one(1)},
    ),
    "ConvLSTM1D": Case(
        {"filters": one(2), "kernel_size": one(1, 2, 3)},
        {
            **SEQUENCE,
            "recurrent_activation": GATES,
            "unit_forget_bias": BOOLEANS,
            "strides": one(1, 2),
            "padding": one("valid", "same"),
            "data_format": one("channels_last"),
            "dilation_rate": one(1),
        },
        shaped((2, 4, 5, 3)),
        masked=False,
    ),
    "Cropping1D": Case({}, {"cropping": one(1, (0, 2), (2, 1))}, masked=False),
    "Dense": Case(
        {"units": one(1, 3)}, {"activation": NAMES, **weight("kernel"), **BIAS, **ACTIVITY}
    ),
    "DepthwiseConv1D": Case(
        {"kernel_size": one(1, 2, 3)},
        {
            **CONVOLUTION,
            **weight("depthwise"),
            "depth_multiplier": one(1, 2),
            "dilation_rate": one(1, 2),
        },
        allowed=one_stride,
    ),
    "Discretization": Case(
        {"bin_boundaries": one([-0.5, 0.0, 0.7])},
        {"output_mode": one("int", "one_hot", "multi_hot", "count"), "num_bins": one(None), "epsilon": one(0.1)},
        shaped((3, 4)),
        masked=False,
    ),
    "CategoryEncoding": Case(
        {"num_tokens": one(9, 12)},
        {"output_mode": one("multi_hot", "count")},
        words,
        masked=False,
    ),
    "Dot": Case({"axes": one(1, 2, -1, (1, 1), (2, 2))}, {"normalize": BOOLEANS}, **PAIRS),
    "Dropout": Case({"rate": one(0.0)}, {**NOISE, "noise_shape": one((None, 1, None))}),
    "ELU": Case({}, {"alpha": one(0.5, 2.0)}),
    "EinsumDense": Case(
        {"equation": one("abc,cd->abd"), "output_shape": one((None, 5), (6, 5))},
        {"activation": NAMES, "bias_axes": one("d", "bd"), **weight("kernel", "bias"), **ACTIVITY},
        allowed=lambda o: o.get("bias_axes") != "bd" or o["output_shape"][0] is not None,
    ),
    "Embedding": Case(
        {"input_dim": one(9, 11), "output_dim": one(2, 5)},
        {**weight("embeddings"), "mask_zero": BOOLEANS, "weights": one(None)},
        words,
        masked=False,
    ),
    "Flatten": Case({}, DATA_FORMAT),
    "GRU": Case(
        {"units": one(1, 3)},
        {**SEQUENCE, "recurrent_activation": GATES, "reset_after": BOOLEANS, "use_cudnn": one(False, "auto")},
    ),
    "GaussianDropout": Case({"rate": one(0.0)}, NOISE),
    "GaussianNoise": Case({"stddev": one(0.0)}, NOISE),
    "GlobalAveragePooling1D": Case({}, {"keepdims": BOOLEANS, "data_format": one("channels_last")}),
    "GlobalMaxPooling1D": Case({}, {"keepdims": BOOLEANS, **DATA_FORMAT}, masked=False),
    "GroupNormalization": Case({"groups": one(1, 2, 4, -1)}, {**CENTRE, "axis": one(-1, 2)}),
    "GroupQueryAttention": Case(
        {"head_dim": one(2, 3), "num_query_heads": one(2, 4), "num_key_value_heads": one(1, 2)},
        HEADS,
        call=SCORES,
        inputs=shaped((3, 6, 4), (3, 6, 4)),
        masked=False,  # test_keras_attention.py: Keras takes no mask together with scores
    ),
    "Identity": Case(),
    "LSTM": Case(
        {"units": one(1, 3)},
        {**SEQUENCE, "recurrent_activation": GATES, "unit_forget_bias": BOOLEANS, "use_cudnn": one(False, "auto")},
    ),
    "Lambda": Case(
        {"function": of("lambda x: x * 2.0 + 1.0", "lambda x: K.ops.tanh(x)")},
        {"output_shape": one(None), "mask": one(None), "arguments": one(None)},
    ),
    "LayerNormalization": Case({}, {**CENTRE, "axis": one(-1, 2, [1, 2])}),
    "LeakyReLU": Case({}, {"negative_slope": one(0.1, 0.7)}),
    "Masking": Case({}, {"mask_value": one(0.0, 0.5)}),
    "MaxPooling1D": Case({"pool_size": one(1, 2, 3)}, POOLING, masked=False),
    "MultiHeadAttention": Case(
        {"num_heads": one(1, 2), "key_dim": one(2, 3)},
        {**HEADS, "value_dim": one(2, 4), "output_shape": one(3, 5), "attention_axes": one(None, (1,))},
        call=SCORES,
        inputs=shaped((3, 6, 4), (3, 6, 4)),
    ),
    "Normalization": Case(
        {"mean": one(0.5, [0.1, 0.2, 0.3, 0.4]), "variance": one(2.0, [1.0, 2.0, 0.5, 0.1])},
        {"axis": one(-1, 2), "invert": BOOLEANS},
        allowed=lambda o: np.shape(o["mean"]) == np.shape(o["variance"]),
    ),
    "PReLU": Case({}, {**weight("alpha", constraint=VECTOR_CONSTRAINTS), "shared_axes": one([1], [1, 2])}),
    "Permute": Case({"dims": one((2, 1), (1, 2))}, masked=False),
    "Pipeline": Case({"layers": of("[K.layers.Dense(3, name='a'), K.layers.LayerNormalization(name='b')]")}, masked=False),
    "RMSNormalization": Case({}, {"axis": one(-1, 2), "epsilon": one(1e-3, 0.1)}),
    "RNN": Case(
        {
            "cell": of(
                "K.layers.LSTMCell(3, unit_forget_bias=False)",
                "K.layers.GRUCell(3, reset_after=False)",
                "K.layers.SimpleRNNCell(2, activation='elu')",
                "[K.layers.GRUCell(2), K.layers.LSTMCell(3)]",
                "K.layers.StackedRNNCells([K.layers.LSTMCell(3), K.layers.SimpleRNNCell(2)])",
            )
        },
        {k: SEQUENCE[k] for k in ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")}
        | {"zero_output_for_mask": BOOLEANS},
    ),
    "ReLU": Case({}, {"max_value": one(0.8, None), "negative_slope": one(0.2), "threshold": one(0.1)}),
    "RepeatVector": Case({"n": one(1, 4)}, {}, shaped((3, 4)), masked=False),
    "Rescaling": Case({"scale": one(2.0, 0.5)}, {"offset": one(1.0, -2.0)}),
    "Reshape": Case({"target_shape": one((4, 6), (-1, 2), (24,), (2, 3, -1))}, masked=False),
    "ReversibleEmbedding": Case(
        {"input_dim": one(9, 11), "output_dim": one(2, 5)},
        {
            **weight("embeddings"),
            "mask_zero": BOOLEANS,
            "tie_weights": one(True),
            "reverse_dtype": one(None),
            "logit_soft_cap": one(None, 5.0),
        },
        words,
        masked=False,
    ),
    "SeparableConv1D": Case(
        {"filters": one(2, 3), "kernel_size": one(1, 2, 3)},
        {
            **CONVOLUTION,
            **weight("depthwise", "pointwise"),
            "depth_multiplier": one(1, 2),
            "dilation_rate": one(1, 2),
        },
        allowed=one_stride,
    ),
    # Keras 3.15 forgets the layer's `activity_regularizer`.
    "SimpleRNN": Case({"units": one(1, 3)}, SEQUENCE | {"activity_regularizer": one(None)}),
    "Softmax": Case({}, {"axis": one(-1, 1)}, masked=False),
    "SpatialDropout1D": Case({"rate": one(0.0)}, NOISE),
    "SpectralNormalization": Case(
        {"layer": of("K.layers.Dense(3)", "K.layers.Conv1D(3, 2)")}, {"power_iterations": one(1, 3)}, masked=False
    ),
    "TimeDistributed": Case(
        {
            "layer": of(
                "K.layers.Dense(3)",
                "K.layers.Dense(2, activation='tanh', activity_regularizer='l2')",
                "K.layers.LayerNormalization()",
            )
        }
    ),
    "UnitNormalization": Case({}, {"axis": one(-1, 1, [1, 2])}),
    "UpSampling1D": Case({}, {"size": one(1, 2, 3)}, masked=False),
    "ZeroPadding1D": Case({}, {"padding": one(1, (0, 2), 3), **DATA_FORMAT}, masked=False),
}  # fmt: skip

#: Cells of recurrent layers, which a layer around them runs.
CELLS: dict[str, Options] = {
    "LSTMCell": CELL | {"recurrent_activation": GATES, "unit_forget_bias": BOOLEANS},
    "GRUCell": CELL | {"recurrent_activation": GATES, "reset_after": BOOLEANS},
    "SimpleRNNCell": CELL,
}
#: Not compared here, and why.
APART = {
    "Layer": "the base class: test_keras_custom_layers.py",
    "Wrapper": "the base class of wrappers",
    "InputLayer": "stands in every model",
    "InputSpec": "no layer",
    "StackedRNNCells": "among the cells of RNN",
    **dict.fromkeys(("Hashing", "HashedCrossing"), "Keras needs TensorFlow: test_tensorflow_hashing.py"),
    **dict.fromkeys(
        ("IntegerLookup", "StringLookup", "TextVectorization"),
        "Keras needs TensorFlow: test_tensorflow_text.py",
    ),
    **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), "around other frameworks"),
    **dict.fromkeys(("MelSpectrogram", "STFTSpectrogram"), "not in lstmfast"),
}
#: Arguments that say what does not exist here: refused by name (test_keras_layer_signatures.py).
REFUSED = {
    *(
        "lora_rank",
        "lora_alpha",
        "quantization_config",
        "synchronized",
        "sparse",
        "gptq_unpacked_column_size",
    ),
}
