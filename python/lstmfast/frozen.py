# SPDX-License-Identifier: BSD-3-Clause
"""Frozen models: prepacked, immutable, run by one native call; and streams that run them step by step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _core
from .layers.arrays import as_float32, checked_lengths, checked_mask
from .models.inputs import checked_input, distribute
from .symbolic import flatten, map_leaves

__all__ = ["FrozenModel", "Operation", "Stream"]

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)


class Operation(NamedTuple):
    """One call of `_core.Program`: the method's name, the layer's, slots and the rest of the arguments."""

    kind: str
    layer: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: dict[str, Any]
    stream_refusal: str | None  # why a stream cannot run it
    ends_mask: bool = False


class FrozenModel:
    """A model that no longer changes: packed weights, folded layers, one native call a batch.

    Made by `lstmfast.Model.freeze`. Any number of threads may call it at once; it can be pickled; the bits of
    its results are those of the model's, but for layers that compute with NumPy there.

    Attributes
    ----------
    dtype : str
        Of the weights, ``"float32"``.
    nbytes : int
        Size of the packed weights.

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((None, 3)), lf.layers.LSTM(4), lf.layers.Dense(2)])
    >>> frozen = model.freeze()
    >>> x = np.ones((5, 7, 3), np.float32)
    >>> bool(np.array_equal(frozen(x), model(x)))
    True
    """

    dtype = "float32"

    def __init__(
        self,
        operations: Sequence[Operation],
        slots: int,
        inputs: Sequence[int],
        outputs: Sequence[int],
        integer_inputs: Sequence[bool],
        input_names: Sequence[str],
        input_shapes: Sequence[tuple[int | None, ...]],
        output_structure: Any,
    ) -> None:
        self._state = (
            operations,
            slots,
            inputs,
            outputs,
            integer_inputs,
            input_names,
            input_shapes,
            output_structure,
        )
        self._operations = list(operations)
        self._integer_inputs = list(integer_inputs)
        self._input_names = list(input_names)
        self._input_shapes = list(input_shapes)
        self._output_structure = output_structure
        self._one_output = isinstance(output_structure, int)
        self._program = _core.Program(slots, list(inputs), list(outputs))
        for op in operations:
            getattr(self._program, op.kind)(op.layer, list(op.inputs), list(op.outputs), **op.arguments)
            if op.ends_mask:
                self._program.end_mask()
        self._run = self._program.run
        # Of the only input where that is one of floats: arrays ready for use need no look at their names then.
        self._rank = len(self._input_shapes[0]) if self._integer_inputs == [False] else -1

    @property
    def nbytes(self) -> int:
        return self._program.nbytes

    def __call__(self, x: Any, *, lengths: Any = None, mask: Any = None, out: Any = None) -> Any:
        """Outputs for a batch.

        Parameters
        ----------
        x : (B, T, I) or (B, I) float32 array, (B, T) ids; or a list or dict of them
            C-contiguous float32 arrays are used in place, others are converted.
        lengths : (B,) int array, or a list, optional
            Valid steps of right-padded rows; the cost follows their sum and padding is never read.
        mask : (B, T) bool array, or a list, optional
            Where it is False, states are carried over and outputs repeat (Keras's rule).
        out : float32 array, or a list or dict, optional
            Written and returned instead of new arrays.

        Returns
        -------
        numpy.ndarray, or a list or dict of them as the model has outputs

        Raises
        ------
        ValueError, TypeError
            If an array does not fit; nothing is computed then.
        """
        arrays = [x] if _is_ready(x) and x.ndim == self._rank else self._inputs(x)
        if lengths is not None:
            lengths = [
                checked_lengths(n, a)
                for n, a in zip(self._each(lengths, arrays, "lengths"), arrays, strict=True)
            ]
        if mask is not None:
            mask = [checked_mask(m, a) for m, a in zip(self._each(mask, arrays, "mask"), arrays, strict=True)]
        if out is not None:
            out = self._outs(out)
        y = self._run(arrays, lengths, mask, out)
        if self._one_output:
            return y
        ys = y if isinstance(y, tuple) else (y,)
        return map_leaves(lambda number: ys[number], self._output_structure)

    predict = __call__

    def _inputs(self, x: Any) -> list[Array]:
        names, shapes, integers = self._input_names, self._input_shapes, self._integer_inputs
        given = distribute(x, names, len(shapes[0]), "x")
        arrays = [checked_input(*one) for one in zip(given, names, shapes, integers, strict=True)]
        return [
            _as_ids(a, f"input {n!r}") if i else a for a, n, i in zip(arrays, names, integers, strict=True)
        ]

    def _outs(self, out: Any) -> list[Any]:
        if isinstance(out, dict):
            structure = self._output_structure
            if not isinstance(structure, dict) or set(out) != set(structure):
                keys = f"a dict of {list(structure)}" if isinstance(structure, dict) else "no dict"
                raise ValueError(f"out has keys {list(out)}, the model's outputs are {keys}")
        outs = flatten(out)
        for array in outs:
            _check_out(array)
        return outs

    def _each(self, value: Any, arrays: list[Array], what: str) -> list[Any]:
        """From one value for all inputs with a time axis, a list or a dict."""
        if isinstance(value, dict):
            unknown = sorted(set(value) - set(self._input_names))
            if unknown:
                raise ValueError(f"{what} has keys {unknown}, the model's inputs are {self._input_names}")
            return [value.get(name) for name in self._input_names]
        if len(arrays) == 1:
            return [value]
        if isinstance(value, (list, tuple)) and len(value) == len(arrays):
            return list(value)
        return [value if a.ndim >= 3 or a.dtype.kind == "i" else None for a in arrays]

    def stream(self, batch: int = 1) -> Stream:
        """A conversation with the model: states that stay from call to call, step by step or in chunks.

        Parameters
        ----------
        batch : int
            Independent rows that advance together.

        Raises
        ------
        ValueError
            If `batch` is not positive, or a layer needs the future or has several inputs or outputs.
        """
        if not isinstance(batch, (int, np.integer)) or isinstance(batch, bool) or not 1 <= batch < 2**31:
            raise ValueError(f"batch: expected a positive integer, got {batch!r}")
        self._check_streamable()
        return Stream(self._program, int(batch))

    def _check_streamable(self) -> None:
        for op in self._operations:
            if op.stream_refusal is not None:
                raise ValueError(f"layer {op.layer!r} cannot run in a stream: {op.stream_refusal}")
            if len(op.inputs) > 1 or len(op.outputs) > 1:
                raise ValueError(
                    f"layer {op.layer!r} cannot run in a stream: it has several inputs or outputs"
                )
        for before, after in zip(self._operations, self._operations[1:], strict=False):
            if after.inputs != before.outputs:
                raise ValueError(
                    f"layer {after.layer!r} cannot run in a stream: the model is not a single line of layers"
                )
        if not self._operations or len(self._integer_inputs) != 1 or not self._one_output:
            raise ValueError("a stream needs a model with one input and one output")

    def __reduce__(self) -> Any:
        return (FrozenModel, self._state)

    def __repr__(self) -> str:
        return f"<FrozenModel of {len(self._operations)} operations, {self.nbytes} bytes>"


class Stream(_core.Stream):
    """A frozen model run step by step; made by `FrozenModel.stream`.

    The bits are those of the whole sequence at once, however it is cut. There is one output for each step, also
    where the model ends with ``return_sequences=False``. For one thread at a time; open one a conversation.

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((None, 3)), lf.layers.LSTM(4, return_sequences=True)])
    >>> frozen, x = model.freeze(), np.ones((1, 6, 3), np.float32)
    >>> stream = frozen.stream()
    >>> steps = [stream.step(x[:, t]) for t in range(6)]
    >>> bool(np.array_equal(np.stack(steps, 1), frozen(x)))
    True
    """

    # `step` is the native method: a Python frame would cost more than a step of a small model.

    def push(self, chunk: Any, out: Any = None) -> Array:
        """Advance by any number of steps.

        Parameters
        ----------
        chunk : (B, T, I) array, or (B, T) ids
        out : (B, T, O) float32 array, optional

        Returns
        -------
        numpy.ndarray
            (B, T, O), one output a step.
        """
        if out is not None:
            _check_out(out)
        array = _as_ids(chunk, "chunk") if self.takes_ids else as_float32(chunk, "chunk")
        return super().push(array, out)

    def get_state(self) -> list[Array]:
        """Copies of all states, (B, width) each, layer by layer: h and c of an LSTM, h of other cells, the steps that
        a causal convolution still looks back to."""
        return super().get_states()

    def set_state(self, state: Sequence[npt.ArrayLike]) -> None:
        """Go on from states as `get_state` gives them.

        Raises
        ------
        ValueError
            If their number or a shape differs; the stream is left as it was.
        TypeError
            If they are not numeric.
        """
        if not isinstance(state, Iterable):
            raise TypeError(f"state: expected a list of arrays, got {type(state).__name__}")
        super().set_states([as_float32(s, f"state[{k}]") for k, s in enumerate(state)])

    def reset(self, rows: Any = None) -> None:
        """Start anew from zero states: all rows, or those given by index.

        Raises
        ------
        IndexError
            If a row does not exist.
        """
        if rows is None:
            return super().reset(None)
        wanted = np.atleast_1d(np.asarray(rows))
        if wanted.size and wanted.dtype.kind not in "iu":
            raise TypeError(f"rows: expected integers, got dtype {wanted.dtype}")
        batch = self.batch
        for row in wanted.ravel().tolist():
            if not 0 <= row < batch:
                raise IndexError(f"rows: expected 0 to {batch - 1}, got {row}")
        return super().reset(wanted.ravel().tolist())

    def __reduce__(self) -> Any:
        raise TypeError("a stream cannot be copied or pickled: open another one and hand it get_state()")


def _is_ready(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == _FLOAT32 and x.flags.c_contiguous


def _check_out(out: Any) -> None:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected a float32 array, got {type(out).__name__}")
    if out.dtype != _FLOAT32:
        raise TypeError(f"out: expected a float32 array, got dtype {out.dtype}")
    if not out.flags.c_contiguous:
        raise TypeError("out: expected a C-contiguous array")


def _as_ids(x: Any, what: str) -> Array:
    array = np.asarray(x)
    if array.dtype.kind not in "iub":
        whole = (
            array.dtype.kind == "f" and np.isfinite(array).all() and np.array_equal(array, np.trunc(array))
        )
        if not whole:
            raise TypeError(f"{what} must hold integer ids, got dtype {array.dtype}")
    if array.dtype.kind == "f" or array.dtype == np.uint64:  # of which some are too large for the cast
        largest = np.abs(array).max(initial=0)
        if largest >= 2**63:
            raise ValueError(f"{what} must hold ids, got {largest}")
    return np.ascontiguousarray(array, np.int32 if array.dtype == np.int32 else np.int64)
