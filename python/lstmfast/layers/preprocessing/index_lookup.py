# SPDX-License-Identifier: BSD-3-Clause
"""What StringLookup and IntegerLookup share: a vocabulary, and what becomes of tokens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from .encoding import encode, encoded_shape, refuse_sparse
from .vocabularies import as_list, checked_salt, lines_of, refuse_path
from .vocabulary_learning import VocabularyLearning

__all__ = ["IndexLookup"]

Array = npt.NDArray[Any]
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")


class IndexLookup(VocabularyLearning):
    """Base of `StringLookup` and `IntegerLookup`, which describe the arguments."""

    integer_inputs = True
    #: Keras's name of the tokens' type.
    vocabulary_dtype = ""

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        vocabulary_size: int | None = None,
        has_input_vocabulary: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_sparse(sparse)
        if max_tokens is not None and (not is_integer(max_tokens) or max_tokens <= 1):
            raise ValueError(
                f"If set, `max_tokens` must be greater than 1. Received: max_tokens={max_tokens}"
            )
        if pad_to_max_tokens and max_tokens is None:
            raise ValueError(
                f"If pad_to_max_tokens is True, must set `max_tokens`. Received: max_tokens={max_tokens}"
            )
        if not is_integer(num_oov_indices) or num_oov_indices < 0:
            raise ValueError(
                "`num_oov_indices` must be greater than or equal to 0. Received: "
                f"num_oov_indices={num_oov_indices}"
            )
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        self._check_choice("output_mode", output_mode, MODES)
        self._check_choice("oov_method", oov_method, ("floormod", "farmhash"))
        if invert and output_mode != "int":
            raise ValueError(
                f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={output_mode}"
            )
        if idf_weights is not None and output_mode != "tf_idf":
            raise ValueError(
                "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received: "
                f"idf_weights={idf_weights} and output_mode={output_mode}"
            )
        if vocabulary_size is not None and (not is_integer(vocabulary_size) or vocabulary_size < 0):
            raise ValueError(f"vocabulary_size: expected a number of tokens, got {vocabulary_size!r}")
        self.max_tokens = None if max_tokens is None else int(max_tokens)
        self.num_oov_indices = int(num_oov_indices)
        self.mask_token, self.oov_token = self._special(mask_token), self._special(oov_token)
        self.invert, self.output_mode, self.sparse = bool(invert), output_mode, False
        self.pad_to_max_tokens = bool(pad_to_max_tokens)
        self.oov_method, self.salt = oov_method, checked_salt(salt, self.vocabulary_dtype, oov_method)
        self.idf_weights: Array | None = None
        self.input_idf_weights = idf_weights
        self.input_vocabulary = None if isinstance(vocabulary, (str, os.PathLike)) else vocabulary
        self.makes_integers = output_mode != "tf_idf"
        self._fixed = vocabulary is not None if has_input_vocabulary is None else bool(has_input_vocabulary)
        self._known_size = vocabulary_size
        self._tokens: list[Any] | None = None
        self._table: dict[Hashable, int] = {}
        self.reset_state()
        if output_mode == "tf_idf" and self._fixed and idf_weights is None:
            raise ValueError(
                "When specifying the `vocabulary` argument, in TF-IDF output mode, the `idf_weights` argument must also "
                "be provided."
            )
        if vocabulary is not None:
            self._take(vocabulary, idf_weights)
        self._build_at_init()

    # --- what kind of tokens: written by subclasses

    def _special(self, token: Any) -> Any:
        """A mask or OOV token as it stands in a vocabulary; TypeError if it cannot be one."""
        raise NotImplementedError

    def _listed(self, vocabulary: Any) -> list[Any]:
        """The tokens of a vocabulary, as users see them."""
        raise NotImplementedError

    def _key(self, token: Any) -> Hashable:
        """A token as it is looked up."""
        return token  # type: ignore[no-any-return]

    def _token(self, key: Any) -> Any:
        """The reverse of `_key`."""
        return key

    def _keys(self, inputs: Any, what: str) -> tuple[list[Any], tuple[int, ...]]:
        """Keys of an array of tokens, row by row, and the array's shape."""
        raise NotImplementedError

    def _from_line(self, line: str) -> Any:
        """A token as a vocabulary file has it."""
        raise NotImplementedError

    def _bucket(self, key: Any) -> int:
        """Which of `num_oov_indices` an unknown token gets."""
        raise NotImplementedError

    # --- vocabulary

    def _check_choice(self, argument: str, value: Any, allowed: tuple[Any, ...]) -> None:
        if value not in allowed:
            raise ValueError(
                f"Unknown value for `{argument}` argument of layer {type(self).__name__}. Expected one of {allowed}. "
                f"Received: {argument}={value!r}"
            )

    def _oov_start(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    def _token_start(self) -> int:
        return self._oov_start() + self.num_oov_indices

    def vocabulary_size(self) -> int:
        """Number of tokens, with those for padding and unknown ones."""
        return len(self._tokens or ()) + self._token_start()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens in the order of their indices.

        Parameters
        ----------
        include_special_tokens : bool
            Begin with those for padding and unknown ones, so that a token's place is its index.
        """
        tokens = list(self._tokens or ())
        if not include_special_tokens:
            return tokens
        return [self.mask_token] * self._oov_start() + [self.oov_token] * self.num_oov_indices + tokens

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary in place of the present one.

        Parameters
        ----------
        vocabulary : sequence, or path of a text file
            Tokens, each once; a file has one a line. The tokens for padding and unknown ones may stand before them, all
            or none.
        idf_weights : sequence of float, optional
            What a token counts in mode "tf_idf", which needs them.

        Raises
        ------
        ValueError
            If it is empty, a token occurs twice or is one of the special ones, or it is larger than `max_tokens`; if
            weights are missing, or their number is another.
        RuntimeError
            If the size changes of a vocabulary on which the output's shape depends.
        """
        self._take(vocabulary, idf_weights)
        self.input_vocabulary = self.input_idf_weights = None  # a configuration must not tell of another one

    def _take(self, vocabulary: Any, idf_weights: Any) -> None:
        weights = None
        if self.output_mode == "tf_idf":
            if idf_weights is None:
                raise ValueError("`idf_weights` must be set if output_mode is 'tf_idf'.")
            weights = np.asarray(idf_weights, np.float32)
            if weights.ndim != 1:
                raise ValueError(f"`idf_weights` must have one axis, got shape {weights.shape}")
        elif idf_weights is not None:
            raise ValueError(
                "`idf_weights` should only be set if output_mode is `'tf_idf'`. Received: "
                f"output_mode={self.output_mode} and idf_weights={idf_weights}"
            )
        if isinstance(vocabulary, (str, os.PathLike)):
            if self.output_mode == "tf_idf":
                raise ValueError("output_mode `'tf_idf'` does not support loading a vocabulary from file.")
            tokens = [
                self._from_line(line) for line in lines_of(vocabulary, getattr(self, "encoding", "utf-8"))
            ]
        else:
            tokens = self._listed(vocabulary)
        if not tokens:
            raise ValueError(f"Cannot set an empty vocabulary. Received: vocabulary={vocabulary}")
        count, start = len(tokens), self._token_start()
        special = [self.mask_token] * self._oov_start() + [self.oov_token] * self.num_oov_indices
        has_special = tokens[:start] == special
        if has_special:
            tokens = tokens[start:]
        self._check_tokens(tokens, special)
        if weights is not None and len(weights) != count:
            raise ValueError(
                f"`idf_weights` must be the same length as vocabulary. len(idf_weights) is {len(weights)}; "
                f"len(vocabulary) is {count}"
            )
        if weights is not None:
            if not has_special:
                weights = np.concatenate(
                    [np.full(start, weights.mean(dtype=np.float64), np.float32), weights]
                )
            weights = self._padded(weights)
        self._install(tokens, weights)

    def _check_tokens(self, tokens: list[Any], special: list[Any]) -> None:
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise ValueError(
                "The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated "
                f"terms are: {repeated}"
            )
        reserved = [("mask", self.mask_token)] + ([("OOV", self.oov_token)] if self.invert else [])
        for kind, token in reserved:
            if token is not None and token in tokens:
                raise ValueError(
                    f"Found reserved {kind} token at unexpected location in `vocabulary`. Either remove all mask and "
                    "OOV tokens, or include them only at the start of the vocabulary in precisely this order: "
                    f"{special}. Received: {token!r} at vocabulary index {tokens.index(token)}"
                )
        size = self._token_start() + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                "Attempted to set a vocabulary larger than the maximum vocab size. Received vocabulary size is "
                f"{size}; `max_tokens` is {self.max_tokens}."
            )

    def _padded(self, weights: Array) -> Array:
        if self.pad_to_max_tokens and self.max_tokens is not None:
            weights = np.pad(weights, (0, self.max_tokens - len(weights)))
        return weights

    def _install(self, tokens: list[Any], weights: Array | None) -> None:
        """Use checked tokens from now on."""
        size = self._token_start() + len(tokens)
        depends = self.output_mode != "int" and not self.pad_to_max_tokens
        if depends and self._known_size is not None and size != self._known_size:
            raise RuntimeError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, the vocabulary size cannot "
                f"be changed after the layer is called. Old vocab size is {self._known_size}, new vocab size is {size}"
            )
        start = self._token_start()
        self._table = {self._key(token): start + k for k, token in enumerate(tokens)}
        self._tokens, self.idf_weights, self._known_size = tokens, weights, size

    # --- calls

    def _depth(self) -> int | None:
        return self.max_tokens if self.pad_to_max_tokens else self._known_size

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return tuple(input_shape)
        return encoded_shape(
            input_shape, "one_hot" if self.output_mode == "one_hot" else "count", self._depth()
        )

    def check_ready(self, name: str) -> None:
        """RuntimeError, naming the layer, if there is no vocabulary yet."""
        if self._tokens is None:
            vectors = self.output_mode != "int" and not self.pad_to_max_tokens
            when = f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, " * vectors
            raise RuntimeError(
                f"layer {name!r} has no vocabulary: {when}you must set the layer's vocabulary before calling it. Either "
                "pass a `vocabulary` argument to the layer, or call `adapt` with some sample data."
            )

    def forward(self, x: Any, call: Call) -> Array:
        self.check_ready(self.name)
        if self.invert:
            return self._tokens_at(x)
        keys, shape = self._keys(x, f"inputs of layer {self.name!r}")
        return self.encoded(np.array(self.indices(keys), np.int64).reshape(shape))

    def indices(self, keys: list[Any]) -> list[int]:
        """The index of each key; padding is -1 where it shall leave no trace."""
        table, start = self._table, self._oov_start()
        unknown_index = start if self.num_oov_indices == 1 else -1
        found = [table.get(key, unknown_index) for key in keys]
        if self.mask_token is not None:
            mask, padding = self._key(self.mask_token), 0 if self.output_mode == "int" else -2
            found = [padding if key == mask else index for key, index in zip(keys, found, strict=True)]
        if self.num_oov_indices != 1 and -1 in found:
            if self.num_oov_indices == 0:
                unknown = [self._token(key) for key, index in zip(keys, found, strict=True) if index == -1]
                raise ValueError(
                    "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
                    f"{unknown[:10]}, consider setting `num_oov_indices=1`."
                )
            found = [start + self._bucket(key) if i == -1 else i for key, i in zip(keys, found, strict=True)]
        return found

    def encoded(self, indices: Array) -> Array:
        """Indices in the form of the output mode."""
        if self.output_mode == "int":
            return indices
        depth = self._depth()
        assert depth is not None
        if self.output_mode != "tf_idf":
            return encode(indices, self.output_mode, depth, np.int64)
        assert self.idf_weights is not None
        return encode(indices, "count", depth, np.float32) * self.idf_weights

    def _tokens_at(self, x: Any) -> Array:
        """The tokens of indices; unknown indices are the OOV token."""
        known = self.get_vocabulary()
        table = np.array([*known, self.oov_token], self._token_dtype())
        places = np.where((x >= 0) & (x < len(known)), x, len(known))
        return np.asarray(table[places])

    def _token_dtype(self) -> Any:
        raise NotImplementedError

    # --- files

    def vocabulary_state(self) -> tuple[list[Any], Array | None] | None:
        """What a file must keep beside the configuration: the tokens and their weights; None if there is nothing."""
        if self._tokens is None:
            return None
        return self.get_vocabulary(), self.idf_weights

    def restore_vocabulary(self, tokens: list[Any], weights: Any) -> None:
        """Take over what `vocabulary_state` of another layer gave.

        Raises
        ------
        ValueError
            If it does not fit this layer.
        """
        listed = self._listed(tokens)
        start = self._token_start()
        if listed[:start] != self.get_vocabulary()[:start]:
            raise ValueError(
                f"the vocabulary of layer {self.name!r} in the file does not begin with {self.get_vocabulary()[:start]}"
            )
        listed = listed[start:]
        self._check_tokens(listed, [])
        kept = None
        if self.output_mode == "tf_idf":
            kept = np.asarray(weights, np.float32)
            expected = self.max_tokens if self.pad_to_max_tokens else start + len(listed)
            if kept.shape != (expected,):
                raise ValueError(
                    f"the idf_weights of layer {self.name!r} have shape {kept.shape} in the file, expected {(expected,)}"
                )
        try:
            self._install(listed, kept)
        except RuntimeError as error:
            raise ValueError(str(error)) from None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "invert": self.invert,
            "max_tokens": self.max_tokens,
            "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token,
            "mask_token": self.mask_token,
            "output_mode": self.output_mode,
            "sparse": False,
            "pad_to_max_tokens": self.pad_to_max_tokens,
            "idf_weights": as_list(self.input_idf_weights),
            "vocabulary": as_list(self.input_vocabulary),
            "vocabulary_size": self._known_size,
            "oov_method": self.oov_method,
            "salt": self.salt,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        refuse_path(config.get("vocabulary"))
        return cls(**config)

    def get_build_config(self) -> dict[str, Any]:
        return {}
