# SPDX-License-Identifier: BSD-3-Clause
"""Layers, with Keras 3's names, arguments and results; each has a forward and a backward pass of its own."""

from .activation import Activation
from .activations import ELU, LeakyReLU, PReLU, ReLU
from .adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .attention import AdditiveAttention, Attention
from .base import Layer
from .batch_normalization import BatchNormalization
from .bidirectional import Bidirectional
from .call import Call
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .concatenation import Concatenate, concatenate
from .conv_lstm import ConvLSTM1D
from .convolutional import Conv1D, Convolution1D
from .dense import Dense
from .depthwise import DepthwiseConv1D, SeparableConv1D, SeparableConvolution1D
from .discretization import Discretization
from .dot_product import Dot, dot
from .dropout import Dropout, SpatialDropout1D
from .einsum_dense import EinsumDense
from .embedding import Embedding
from .encoding import CategoryEncoding
from .global_pooling import GlobalAveragePooling1D, GlobalAvgPool1D, GlobalMaxPool1D, GlobalMaxPooling1D
from .group_query_attention import GroupQueryAttention
from .gru import GRU
from .hashing import HashedCrossing, Hashing
from .identity import Identity
from .input import Input, InputLayer
from .input_spec import InputSpec
from .lambda_layer import Lambda
from .lookups import IntegerLookup, StringLookup
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
from .multi_head_attention import MultiHeadAttention
from .normalization import GroupNormalization, LayerNormalization, RMSNormalization, UnitNormalization
from .pipeline import Pipeline
from .pooling import AveragePooling1D, AvgPool1D, MaxPool1D, MaxPooling1D
from .regularization import ActivityRegularization, AlphaDropout, GaussianDropout, GaussianNoise
from .resampling import Cropping1D, UpSampling1D, ZeroPadding1D
from .reshaping import Flatten, Permute, RepeatVector, Reshape
from .reversible_embedding import ReversibleEmbedding
from .rnn import RNN
from .scaling import Normalization, Rescaling
from .serialization import deserialize, serialize
from .simple_rnn import SimpleRNN
from .softmax import Softmax
from .spectral_normalization import SpectralNormalization
from .text_vectorization import TextVectorization
from .time_distributed import TimeDistributed
from .transposed_convolution import Conv1DTranspose, Convolution1DTranspose
from .wrapper import Wrapper

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveMaxPooling1D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AvgPool1D",
    "BatchNormalization",
    "Bidirectional",
    "Call",
    "CategoryEncoding",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "ConvLSTM1D",
    "Convolution1D",
    "Convolution1DTranspose",
    "Cropping1D",
    "Dense",
    "DepthwiseConv1D",
    "Discretization",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAvgPool1D",
    "GlobalMaxPool1D",
    "GlobalMaxPooling1D",
    "GroupNormalization",
    "GroupQueryAttention",
    "HashedCrossing",
    "Hashing",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "IntegerLookup",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPooling1D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "Pipeline",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "ReversibleEmbedding",
    "SeparableConv1D",
    "SeparableConvolution1D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpectralNormalization",
    "StackedRNNCells",
    "StringLookup",
    "Subtract",
    "TextVectorization",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "Wrapper",
    "ZeroPadding1D",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
]
