# SPDX-License-Identifier: BSD-3-Clause
"""Texts into indices of words, or into vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object
from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..frozen import refuse_to_freeze_texts
from .index_lookup import MODES
from .lookups import StringLookup
from .vocabularies import (
    Rows,
    VocabularyFiles,
    as_text,
    is_data_set,
    object_array,
    refuse_path,
    rows_of,
    text_array,
)

__all__ = ["TextVectorization"]

Array = npt.NDArray[Any]
_PUNCTUATION = b"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
_STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation")


class TextVectorization(VocabularyFiles, Layer):
    """Cleans texts, splits them into words and turns these into indices in a vocabulary, or into vectors.

    Parameters
    ----------
    max_tokens : int, optional
        The largest vocabulary that `adapt` makes, special tokens included.
    standardize : str, callable or None
        ``"lower_and_strip_punctuation"``, ``"lower"``, ``"strip_punctuation"``; None leaves texts alone. A function gets
        an array of str and returns one of the same shape.
    split : str, callable or None
        ``"whitespace"``, ``"character"``; with None each string is one word. A function gets a 1-D array of str and
        returns a list of words for each.
    ngrams : int or tuple of int, optional
        Also take n words that follow each other, joined by spaces, as one: for all n up to this, or these n only.
    output_mode : str
        ``"int"``: indices, filled up with 0; ``"multi_hot"``, ``"count"``, ``"tf_idf"``: a vector for each text.
    output_sequence_length : int, optional
        In mode "int": cut or fill up every text to this many words.
    pad_to_max_tokens : bool
        Vectors have `max_tokens` entries, however many words there are.
    vocabulary : sequence of str, or path of a text file with a word a line, optional
        In place of `adapt`.
    idf_weights : sequence of float, optional
        What each word of `vocabulary` counts in mode "tf_idf".
    sparse, ragged : False
        Not supported.
    encoding : str
        Of texts that come as bytes.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input: texts as str or bytes, an array or list of shape (batch,) or (batch, 1). Output int64 (batch, words), float32
    (batch, vocabulary) of "tf_idf", int64 of other vectors. As in Keras, capital letters outside of ASCII stay as they
    are, and only ASCII whitespace splits.

    It stands before a model, or in it behind ``Input((1,), dtype="string")``. A frozen model cannot hold it: freeze the
    model behind it.

    Raises
    ------
    ValueError
        If arguments do not fit each other, or the input has another shape.
    TypeError
        If the input is not made of strings.
    RuntimeError
        If the layer is called before it has a vocabulary.

    Examples
    --------
    >>> from lstmfast.layers import TextVectorization
    >>> layer = TextVectorization(output_sequence_length=4)
    >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
    >>> layer.get_vocabulary()
    ['', '[UNK]', 'baz', 'bar', 'foo', 'boom', 'bada']
    >>> layer(["foo qux bar", "qux baz"])
    array([[4, 1, 3, 0],
           [1, 2, 0, 0]])
    """

    integer_inputs = True
    string_inputs = True

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        vocabulary_size: int | None = None,
        has_input_vocabulary: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if ragged:
            raise ValueError(
                f"ragged={ragged!r} is not supported: outputs are plain NumPy arrays, filled up with 0 "
                "(lstmfast.utils.pad and lengths= are for rows of different lengths)"
            )
        _check_choice("standardize", standardize, _STANDARDIZE)
        _check_choice("split", split, ("whitespace", "character"))
        output_mode = {"binary": "multi_hot", "tf-idf": "tf_idf"}.get(output_mode, output_mode)
        if output_mode not in MODES:
            raise ValueError(
                "Unknown value for `output_mode` argument of layer TextVectorization. Expected one of "
                f"{MODES}. Received: output_mode={output_mode!r}"
            )
        many = isinstance(ngrams, tuple) and all(is_integer(n) and n > 0 for n in ngrams)
        if not (ngrams is None or many or (is_integer(ngrams) and ngrams > 0)):
            raise ValueError(
                f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={ngrams}"
            )
        length = output_sequence_length
        if output_mode != "int" and length is not None:
            raise ValueError(
                "`output_sequence_length` must not be set if `output_mode` is not 'int'. Received "
                f"output_sequence_length={length}."
            )
        if length is not None and (not is_integer(length) or length < 1):
            raise ValueError(
                "`output_sequence_length` must be either None or an integer when `output_mode` is 'int'. Received: "
                f"output_sequence_length={length}"
            )
        self._standardize, self._split, self._ngrams_arg = standardize, split, ngrams
        self._ngrams = ngrams if ngrams is None or many else tuple(range(1, int(ngrams) + 1))
        self._output_mode = output_mode
        self._output_sequence_length = None if length is None else int(length)
        self._encoding = encoding
        self._lookup_layer = StringLookup(
            max_tokens,
            mask_token="",
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            sparse=sparse,
            encoding=encoding,
            vocabulary_size=vocabulary_size,
            has_input_vocabulary=has_input_vocabulary,
        )
        self.makes_integers = self._lookup_layer.makes_integers
        self._build_at_init()

    # --- from texts to tokens

    def _tokens(self, texts: Any, what: str) -> tuple[Rows, tuple[int, ...], bool]:
        """Rows of tokens, the shape of the array of rows, and whether the rows are of equal length by construction."""
        keys, shape = as_text(texts, what, self._encoding)
        keys = self._standardized(keys, shape)
        if self._split is None:
            rows = rows_of(keys, shape)
            shape = shape[:-1]
        else:
            if len(shape) > 1:
                if shape[-1] != 1:
                    raise ValueError(
                        "When using `TextVectorization` to tokenize strings, the input rank must be 1 or the last shape "
                        f"dimension must be 1. Received: inputs.shape={shape} with rank={len(shape)}"
                    )
                shape = shape[:-1]
            rows = self._words(keys)
        if self._ngrams is not None:
            rows = [
                [b" ".join(row[k : k + n]) for n in self._ngrams for k in range(len(row) - n + 1)]
                for row in rows
            ]
        return rows, shape, self._split is None

    def _standardized(self, keys: list[bytes], shape: tuple[int, ...]) -> list[bytes]:
        how = self._standardize
        if callable(how):
            texts = np.array([key.decode(self._encoding) for key in keys], str).reshape(shape)
            made, new_shape = as_text(
                how(texts), f"what `standardize` of layer {self.name!r} returned", self._encoding
            )
            if new_shape != shape:
                raise ValueError(
                    f"`standardize` of layer {self.name!r} must return an array of the shape it got, {shape}, got "
                    f"{new_shape}"
                )
            return made
        if how in ("lower", "lower_and_strip_punctuation"):
            keys = [key.lower() for key in keys]  # of bytes: ASCII letters only
        if how in ("strip_punctuation", "lower_and_strip_punctuation"):
            keys = [key.translate(None, _PUNCTUATION) for key in keys]
        return keys

    def _words(self, keys: list[bytes]) -> Rows:
        if self._split == "whitespace":
            return [key.split() for key in keys]
        if self._split == "character":
            return [[c.encode() for c in key.decode("utf-8", "replace")] for key in keys]
        rows = self._split(np.array([key.decode(self._encoding) for key in keys], str))
        if isinstance(rows, (str, bytes)) or not hasattr(rows, "__len__") or len(rows) != len(keys):
            raise ValueError(
                f"`split` of layer {self.name!r} must return a list of words for each of the {len(keys)} texts it got"
            )
        what = f"what `split` of layer {self.name!r} returned"
        return [as_text(row, what, self._encoding)[0] for row in rows]

    # --- vocabulary

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn the vocabulary: the words of the data, the most frequent first, of equally frequent the last in the
        alphabet first.

        Parameters
        ----------
        data : array or list of texts, or an iterable of batches
        batch_size : int, optional
            Without meaning.
        steps : int, optional
            Batches to take from an iterable.

        Raises
        ------
        ValueError
            If the layer was made with a `vocabulary`.
        TypeError
            If the data are not strings; the old vocabulary stays.
        """
        self._lookup_layer._adapt(self._batches(data, steps))

    def _batches(self, data: Any, steps: int | None) -> Iterable[Rows]:
        what = f"data of adapt() of layer {self.name!r}"
        if not is_data_set(data):
            keys, shape = as_text(data, what, self._encoding)
            yield self._tokens(object_array(keys, shape if len(shape) > 1 else (*shape, 1)), what)[0]
            return
        for number, batch in enumerate(data):
            if steps is not None and number >= steps:
                return
            yield self._tokens(batch, what)[0]

    def update_state(self, data: Any) -> None:
        """Count the words of a batch, of which `finalize_state` makes the vocabulary."""
        self._lookup_layer._refuse_if_fixed()
        self._lookup_layer._count(self._tokens(data, f"data of layer {self.name!r}")[0])

    def finalize_state(self) -> None:
        """Make the vocabulary of what `update_state` has counted."""
        self._lookup_layer.finalize_state()

    def reset_state(self) -> None:
        """Forget what `update_state` has counted; the vocabulary stays."""
        self._lookup_layer.reset_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words in the order of their indices; first '' for padding (in mode "int") and '[UNK]' for unknown ones,
        unless `include_special_tokens` is false."""
        return self._lookup_layer.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """Number of words, with those for padding and unknown ones."""
        return self._lookup_layer.vocabulary_size()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary in place of the present one: see `StringLookup.set_vocabulary`."""
        self._lookup_layer.set_vocabulary(vocabulary, idf_weights)

    # --- calls

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = tuple(input_shape)
        if self._output_mode == "int":
            return (*shape[:1], self._output_sequence_length)
        if self._split is not None:
            shape = (*(shape[:-1] if len(shape) > 1 else shape), None)
        elif len(shape) <= 1:
            shape = (*shape, 1)
        return self._lookup_layer.compute_output_shape(shape)

    def _convert(self, inputs: Any) -> Array:
        return text_array(inputs, f"inputs of layer {self.name!r}", self._encoding)

    def forward(self, x: Any, call: Call) -> Array:
        lookup = self._lookup_layer
        lookup.check_ready(self.name)
        rows, shape, equal = self._tokens(x, f"inputs of layer {self.name!r}")
        indices = [lookup.indices(row) for row in rows]
        longest = max(map(len, indices), default=0)
        width = longest if self._output_sequence_length is None else self._output_sequence_length
        padding = 0 if self._output_mode == "int" else -1
        table = np.full((len(indices), width), padding, np.int64)
        for row, numbers in zip(table, indices, strict=True):
            row[: len(numbers)] = numbers[:width]
        if self._output_mode == "int":
            return table.reshape(*shape, width)
        return lookup.encoded(table if len(shape) else table[0])

    # --- files

    def vocabulary_state(self) -> tuple[list[Any], Array | None] | None:
        """What a file must keep beside the configuration: see `StringLookup`."""
        return self._lookup_layer.vocabulary_state()

    def restore_vocabulary(self, tokens: list[Any], weights: Any) -> None:
        """Take over what `vocabulary_state` of another layer gave."""
        self._lookup_layer.restore_vocabulary(tokens, weights)

    def frozen(self) -> NoReturn:
        refuse_to_freeze_texts(self, "it takes strings")

    def get_config(self) -> dict[str, Any]:
        inner = self._lookup_layer.get_config()
        shared = ("max_tokens", "pad_to_max_tokens", "sparse", "vocabulary", "idf_weights")
        return {
            **super().get_config(),
            **{key: inner[key] for key in shared},
            "standardize": self._standardize,
            "split": self._split,
            "ngrams": self._ngrams_arg,
            "output_mode": self._output_mode,
            "output_sequence_length": self._output_sequence_length,
            "ragged": False,
            "encoding": self._encoding,
            "vocabulary_size": self.vocabulary_size(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        refuse_path(config.get("vocabulary"))
        config = dict(config)
        for key in ("standardize", "split"):
            if isinstance(config.get(key), dict):
                config[key] = deserialize_keras_object(config[key])
        if isinstance(config.get("ngrams"), list):
            config["ngrams"] = tuple(config["ngrams"])
        return cls(**config)


def _check_choice(argument: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value is not None and not callable(value) and value not in allowed:
        raise ValueError(
            f"Unknown value for `{argument}` argument of layer TextVectorization. Expected None, a callable, or one of "
            f"{allowed}. Received: {argument}={value!r}"
        )
