# SPDX-License-Identifier: BSD-3-Clause
"""Words and numbers into their places in a vocabulary."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer, own_arguments
from ..core.embedding import as_ids
from ..frozen import FrozenLayer, refuse_to_freeze_texts
from .encoding import frozen_encoding
from .index_lookup import IndexLookup
from .string_hashing import farmhash64, siphash64
from .vocabularies import as_text, checked_encoding, text_array

__all__ = ["IntegerLookup", "StringLookup"]

Array = npt.NDArray[Any]


class StringLookup(IndexLookup):
    """Turns strings into their indices in a vocabulary, or into vectors.

    Parameters
    ----------
    max_tokens : int, optional
        The largest vocabulary that `adapt` makes, special tokens included.
    num_oov_indices : int
        How many indices strings get that are not in the vocabulary. With several, a hash chooses; with 0 they are an
        error.
    mask_token : str, optional
        What stands for padding. In mode "int" it has index 0, in others it leaves no trace.
    oov_token : str
        What stands for a string that is not in the vocabulary, with `invert`.
    vocabulary : sequence of str, or path of a text file with a token a line, optional
        In place of `adapt`.
    idf_weights : sequence of float, optional
        What each token of `vocabulary` counts in mode "tf_idf".
    invert : bool
        Turn indices into strings.
    output_mode : str
        ``"int"``: indices; ``"one_hot"``, ``"multi_hot"``, ``"count"`` as of `CategoryEncoding`; ``"tf_idf"``: counts
        times ``log(1 + documents / (1 + documents with the token))``.
    pad_to_max_tokens : bool
        Vectors have `max_tokens` entries, however many tokens there are.
    sparse : False
        Not supported.
    encoding : str
        Of strings that come as bytes.
    salt : int or pair of int, optional
        Choose among several indices of unknown strings by SipHash with this key, in place of FarmHash.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input: strings or bytes, as an array of any shape or as (nested) lists. Output: int64 of the input's shape, or
    vectors (..., vocabulary), int64 too, float32 of "tf_idf"; with `invert` an array of strings. A frozen model cannot
    hold this layer: freeze the model behind it.

    Raises
    ------
    ValueError
        If arguments do not fit each other, or a string is not in the vocabulary with ``num_oov_indices=0``.
    TypeError
        If the input is not made of strings.
    RuntimeError
        If the layer is called before it has a vocabulary.

    Examples
    --------
    >>> from lstmfast.layers import StringLookup
    >>> layer = StringLookup(vocabulary=["a", "b"])
    >>> layer([["a", "b", "z"]])
    array([[1, 2, 0]])
    >>> layer.get_vocabulary()
    ['[UNK]', 'a', 'b']
    >>> StringLookup(vocabulary=["a", "b"], invert=True)([[1, 2, 0]])
    array([['a', 'b', '[UNK]']], dtype='<U5')
    """

    vocabulary_dtype = "string"

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        arguments = own_arguments(locals())
        self.encoding = checked_encoding(arguments.pop("encoding"))
        super().__init__(**arguments, **kwargs)
        self.string_inputs = not self.invert

    def _special(self, token: Any) -> str | None:
        if token is None or isinstance(token, str):
            return token
        if isinstance(token, bytes):
            return token.decode(self.encoding)
        raise TypeError(f"mask_token and oov_token of a StringLookup must be strings, got {token!r}")

    def _listed(self, vocabulary: Any) -> list[str]:
        keys, shape = as_text(vocabulary, "vocabulary", self.encoding)
        if len(shape) != 1:
            raise ValueError(f"vocabulary must have one axis, got shape {shape}")
        return [key.decode(self.encoding) for key in keys]

    def _key(self, token: str) -> bytes:
        return token.encode(self.encoding)

    def _token(self, key: bytes) -> str:
        try:
            return key.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"layer {self.name!r} got bytes that are not {self.encoding!r}: {key[:40]!r} ({error})"
            ) from None

    def _keys(self, inputs: Any, what: str) -> tuple[list[bytes], tuple[int, ...]]:
        return as_text(inputs, what, self.encoding)

    def _from_line(self, line: str) -> str:
        return line

    def _bucket(self, key: bytes) -> int:
        number = farmhash64(key) if self.salt is None else siphash64(key, (self.salt[0], self.salt[1]))
        return number % self.num_oov_indices

    def _token_dtype(self) -> Any:
        return str

    def _convert(self, inputs: Any) -> Array:
        what = f"inputs of layer {self.name!r}"
        if self.invert:
            return as_ids(inputs, what)
        return text_array(inputs, what, self.encoding)

    def frozen(self) -> NoReturn:
        refuse_to_freeze_texts(self, "it gives strings" if self.invert else "it takes strings")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoding": self.encoding}


class IntegerLookup(IndexLookup):
    """Turns integers into their indices in a vocabulary, or into vectors.

    Parameters
    ----------
    max_tokens, num_oov_indices, vocabulary, idf_weights, invert, output_mode, sparse, pad_to_max_tokens
        As of `StringLookup`.
    mask_token : int, optional
        What stands for padding.
    oov_token : int
        What stands for a number that is not in the vocabulary, with `invert`.
    vocabulary_dtype : str
        Only ``"int64"``.
    oov_method : str
        How one of several `num_oov_indices` is chosen: ``"floormod"``, the number modulo theirs, or ``"farmhash"``, a
        hash of its digits.
    salt : int or pair of int, optional
        With ``"farmhash"``: SipHash with this key.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input: integers of any shape, also whole floats. Output as of `StringLookup`.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `StringLookup`.

    Examples
    --------
    >>> from lstmfast.layers import IntegerLookup
    >>> layer = IntegerLookup()
    >>> layer.adapt([[12, 36, 36, 7]])
    >>> layer.get_vocabulary(), layer([[36, 7, 99]])
    ([-1, 36, 12, 7], array([[1, 3, 0]]))
    """

    vocabulary_dtype = "int64"

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        arguments = own_arguments(locals())
        if arguments.pop("vocabulary_dtype") != "int64":
            raise ValueError(
                "Only `vocabulary_dtype='int64'` is supported at this time. Received: "
                f"vocabulary_dtype={vocabulary_dtype}"
            )
        super().__init__(**arguments, **kwargs)

    def _special(self, token: Any) -> int | None:
        if token is not None and not is_integer(token):
            raise TypeError(f"mask_token and oov_token of an IntegerLookup must be integers, got {token!r}")
        return None if token is None else int(token)

    def _listed(self, vocabulary: Any) -> list[int]:
        numbers = np.asarray(vocabulary)
        if numbers.size and numbers.dtype.kind not in "iu":
            raise TypeError(f"vocabulary must be integers, got dtype {numbers.dtype}")
        if numbers.ndim != 1:
            raise ValueError(f"vocabulary must have one axis, got shape {numbers.shape}")
        return [int(n) for n in numbers]

    def _keys(self, inputs: Any, what: str) -> tuple[list[int], tuple[int, ...]]:
        numbers = as_ids(inputs, what)
        return numbers.ravel().tolist(), numbers.shape

    def _from_line(self, line: str) -> int:
        try:
            return int(line)
        except ValueError:
            raise ValueError(f"the vocabulary file has the line {line[:40]!r}, expected an integer") from None

    def _bucket(self, key: int) -> int:
        if self.oov_method == "floormod":
            return key % self.num_oov_indices
        digits = str(key).encode()
        number = farmhash64(digits) if self.salt is None else siphash64(digits, (self.salt[0], self.salt[1]))
        return number % self.num_oov_indices

    def _token_dtype(self) -> Any:
        return np.int64

    def frozen(self) -> FrozenLayer:
        self.check_ready(self.name)
        if self.invert or (self.num_oov_indices > 1 and self.oov_method != "floormod"):
            why = "invert=True" if self.invert else f"oov_method={self.oov_method!r}"
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: it has {why}, which no native operation has"
            )
        indices: dict[Any, int] = dict(self._table)
        if self.mask_token is not None:
            indices[self._key(self.mask_token)] = 0 if self.output_mode == "int" else -2
        keys = sorted(indices)
        arguments = {
            "keys": np.array(keys, np.int64),
            "values": np.array([indices[key] for key in keys], np.int64),
            "other": self._oov_start(),
            "buckets": self.num_oov_indices,
        }
        return FrozenLayer("lookup", arguments, following=self._frozen_form())

    def _frozen_form(self) -> FrozenLayer | None:
        """What turns indices into the form of the output mode."""
        depth = self._depth()
        if self.output_mode == "int":
            return None
        assert depth is not None
        weighs, mode = self.output_mode == "tf_idf", self.output_mode
        form = frozen_encoding(self, "count" if weighs else mode, depth)
        if not weighs:
            return form
        weights = np.array(self.idf_weights, np.float32).reshape(1, -1)
        return form._replace(
            following=FrozenLayer("arithmetic", {"kind": "multiply", "constants": weights, "reverse": False})
        )

    def _convert(self, inputs: Any) -> Array:
        return as_ids(inputs, f"inputs of layer {self.name!r}")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "vocabulary_dtype": "int64"}
        if config["vocabulary"] is not None:
            config["vocabulary"] = [int(n) for n in config["vocabulary"]]
        return config
