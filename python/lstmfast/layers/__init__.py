# SPDX-License-Identifier: BSD-3-Clause
"""Layers, with Keras 3's names, arguments and results; each has a forward and a backward pass of its own."""

from .activation import Activation
from .activations import ELU, LeakyReLU, PReLU, ReLU
from .base import Layer
from .bidirectional import Bidirectional
from .call import Call
from .concatenation import Concatenate, concatenate
from .convolutional import Conv1D, Convolution1D
from .dense import Dense
from .dot_product import Dot, dot
from .dropout import Dropout, SpatialDropout1D
from .embedding import Embedding
from .global_pooling import GlobalAveragePooling1D, GlobalAvgPool1D, GlobalMaxPool1D, GlobalMaxPooling1D
from .gru import GRU
from .identity import Identity
from .input import Input, InputLayer
from .input_spec import InputSpec
from .lambda_layer import Lambda
from .lstm import LSTM
from .masking import Masking
from .merging import (
    Add,
    Average,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    maximum,
    minimum,
    multiply,
    subtract,
)
from .pooling import AveragePooling1D, AvgPool1D, MaxPool1D, MaxPooling1D
from .regularization import ActivityRegularization, AlphaDropout, GaussianDropout, GaussianNoise
from .resampling import Cropping1D, UpSampling1D, ZeroPadding1D
from .reshaping import Flatten, Permute, RepeatVector, Reshape
from .simple_rnn import SimpleRNN
from .softmax import Softmax
from .time_distributed import TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AvgPool1D",
    "Bidirectional",
    "Call",
    "Concatenate",
    "Conv1D",
    "Convolution1D",
    "Cropping1D",
    "Dense",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAvgPool1D",
    "GlobalMaxPool1D",
    "GlobalMaxPooling1D",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "SimpleRNN",
    "Softmax",
    "SpatialDropout1D",
    "Subtract",
    "TimeDistributed",
    "UpSampling1D",
    "ZeroPadding1D",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]
