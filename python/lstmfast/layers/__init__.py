# SPDX-License-Identifier: BSD-3-Clause
"""Layers, with Keras 3's names, arguments and results; each has a forward and a backward pass of its own."""

from .activations.activation import Activation
from .activations.rectifiers import ELU, LeakyReLU, PReLU, ReLU
from .activations.softmax import Softmax
from .attention.attention import AdditiveAttention, Attention
from .attention.group_query_attention import GroupQueryAttention
from .attention.multi_head_attention import MultiHeadAttention
from .base import Layer
from .call import Call
from .convolutional.conv1d import Conv1D, Convolution1D
from .convolutional.depthwise import DepthwiseConv1D, SeparableConv1D, SeparableConvolution1D
from .convolutional.transposed import Conv1DTranspose, Convolution1DTranspose
from .core.dense import Dense
from .core.einsum_dense import EinsumDense
from .core.embedding import Embedding
from .core.identity import Identity
from .core.input import Input, InputLayer
from .core.lambda_layer import Lambda
from .core.masking import Masking
from .core.reversible_embedding import ReversibleEmbedding
from .core.wrapper import Wrapper
from .input_spec import InputSpec
from .merging.concatenation import Concatenate, concatenate
from .merging.dot_product import Dot, dot
from .merging.merging import (
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
from .normalization.batch_normalization import BatchNormalization
from .normalization.normalization import (
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from .normalization.spectral_normalization import SpectralNormalization
from .pooling.adaptive_pooling import AdaptiveAveragePooling1D, AdaptiveMaxPooling1D
from .pooling.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAvgPool1D,
    GlobalMaxPool1D,
    GlobalMaxPooling1D,
)
from .pooling.pooling import AveragePooling1D, AvgPool1D, MaxPool1D, MaxPooling1D
from .preprocessing.discretization import Discretization
from .preprocessing.encoding import CategoryEncoding
from .preprocessing.hashing import HashedCrossing, Hashing
from .preprocessing.lookups import IntegerLookup, StringLookup
from .preprocessing.pipeline import Pipeline
from .preprocessing.scaling import Normalization, Rescaling
from .preprocessing.spectrograms import MelSpectrogram, STFTSpectrogram
from .preprocessing.text_vectorization import TextVectorization
from .regularization.dropout import Dropout, SpatialDropout1D
from .regularization.noise import ActivityRegularization, AlphaDropout, GaussianDropout, GaussianNoise
from .reshaping.resampling import Cropping1D, UpSampling1D, ZeroPadding1D
from .reshaping.reshaping import Flatten, Permute, RepeatVector, Reshape
from .rnn.bidirectional import Bidirectional
from .rnn.cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .rnn.conv_lstm import ConvLSTM1D
from .rnn.gru import GRU
from .rnn.lstm import LSTM
from .rnn.rnn import RNN
from .rnn.simple_rnn import SimpleRNN
from .rnn.time_distributed import TimeDistributed
from .serialization import deserialize, serialize

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
    "MelSpectrogram",
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
    "STFTSpectrogram",
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
