# SPDX-License-Identifier: BSD-3-Clause
"""Vocabularies learned from data: tokens are counted, the most frequent ones kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import Layer
from .vocabularies import Rows, VocabularyFiles, is_data_set, rows_of

__all__ = ["VocabularyLearning"]

Array = npt.NDArray[Any]


class VocabularyLearning(VocabularyFiles, Layer):
    """The part of a lookup layer that counts tokens; `IndexLookup` knows what tokens are."""

    max_tokens: int | None
    mask_token: Any
    oov_token: Any
    output_mode: str
    _fixed: bool
    _tokens: list[Any] | None

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn a vocabulary: the tokens of the data, the most frequent first, of equally frequent the last in the
        alphabet first.

        Parameters
        ----------
        data : array or list of tokens, or an iterable of batches
            A list or array with one axis counts as so many samples of one token.
        steps : int, optional
            Batches to take from an iterable.

        Raises
        ------
        ValueError
            If the layer was made with a `vocabulary`.
        TypeError
            If the data are not tokens.
        """
        self._adapt(self._batches(data, steps))

    def _adapt(self, batches: Iterable[Rows]) -> None:
        """Learn from batches of rows of keys; on an error the old vocabulary stays."""
        self._refuse_if_fixed()
        self.reset_state()
        try:
            for rows in batches:
                self._count(rows)
            self.finalize_state()
        except BaseException:
            self.reset_state()
            raise

    def _batches(self: Any, data: Any, steps: int | None) -> Iterable[Rows]:
        what = f"data of adapt() of layer {self.name!r}"
        if not is_data_set(data):
            keys, shape = self._keys(data, what)
            yield rows_of(keys, shape if len(shape) > 1 else (*shape, 1))
            return
        for number, batch in enumerate(data):
            if steps is not None and number >= steps:
                return
            yield rows_of(*self._keys(batch, what))

    def _refuse_if_fixed(self) -> None:
        if self._fixed:
            raise ValueError(
                f"Cannot adapt layer '{self.name}' after setting a static vocabulary via `vocabulary` argument or "
                "`set_vocabulary()` method."
            )

    def update_state(self: Any, data: Any) -> None:
        """Count the tokens of a batch, of which `finalize_state` makes the vocabulary."""
        self._refuse_if_fixed()
        self._count(rows_of(*self._keys(data, f"data of layer {self.name!r}")))

    def _count(self, rows: Rows) -> None:
        for row in rows:
            self._counts.update(row)
        if self.output_mode == "tf_idf":
            self._documents += len(rows)
            for row in rows:
                self._document_counts.update(set(row))

    def finalize_state(self: Any) -> None:
        """Make the vocabulary of what `update_state` has counted."""
        counts = self._counts
        if self._fixed or (not counts and self._tokens is not None):
            return
        for token in (self.mask_token, self.oov_token):
            if token is not None:
                counts.pop(self._key(token), None)
        keys = [key for key, _ in sorted(counts.items(), key=lambda pair: (pair[1], pair[0]), reverse=True)]
        if self.max_tokens is not None:
            keys = keys[: max(self.max_tokens - self._token_start(), 0)]
        weights = None
        if self.output_mode == "tf_idf":
            known = [math.log(1 + self._documents / (1 + self._document_counts[key])) for key in keys]
            mean = float(np.mean(known)) if known else 0.0
            weights = self._padded(np.array([mean] * self._token_start() + known, np.float32))
        self._install([self._token(key) for key in keys], weights)
        self.reset_state()

    def reset_state(self) -> None:
        """Forget what `update_state` has counted; the vocabulary stays."""
        self._counts: Counter[Any] = Counter()
        self._document_counts: Counter[Any] = Counter()
        self._documents = 0
