# SPDX-License-Identifier: BSD-3-Clause
"""Layers, with Keras 3's names, arguments and results; each has a forward and a backward pass of its own."""

from .activation import Activation
from .attention import AdditiveAttention, Attention
from .base import Layer
from .batch_normalization import BatchNormalization
from .bidirectional import Bidirectional
from .call import Call
from .cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from .dense import Dense
from .dropout import Dropout
from .einsum_dense import EinsumDense
from .embedding import Embedding
from .group_query_attention import GroupQueryAttention
from .gru import GRU
from .input import Input, InputLayer
from .input_spec import InputSpec
from .lstm import LSTM
from .masking import Masking
from .merging import Concatenate, concatenate
from .multi_head_attention import MultiHeadAttention
from .normalization import GroupNormalization, LayerNormalization, RMSNormalization, UnitNormalization
from .reshaping import Flatten
from .rnn import RNN
from .simple_rnn import SimpleRNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AdditiveAttention",
    "Attention",
    "BatchNormalization",
    "Bidirectional",
    "Call",
    "Concatenate",
    "Dense",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GroupNormalization",
    "GroupQueryAttention",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Layer",
    "LayerNormalization",
    "Masking",
    "MultiHeadAttention",
    "RMSNormalization",
    "SimpleRNN",
    "SimpleRNNCell",
    "StackedRNNCells",
    "UnitNormalization",
    "concatenate",
]
