# SPDX-License-Identifier: BSD-3-Clause
"""Questions about symbolic tensors and types, by Keras's names."""

from __future__ import annotations

from typing import Any

from ..symbolic import KerasTensor, flatten

__all__ = ["get_source_inputs", "is_keras_tensor", "standardize_dtype"]

_DTYPES = frozenset(
    (
        *(
            "float16",
            "float32",
            "float64",
            "bfloat16",
            "float8_e4m3fn",
            "float8_e5m2",
            "complex64",
            "complex128",
        ),
        *("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "bool", "string"),
    )
)
#: Python's own types; an int is what Keras takes it for on backends other than TensorFlow.
_OF_PYTHON: dict[Any, str] = {
    bool: "bool",
    int: "int32",
    float: "float32",
    str: "string",
    complex: "complex64",
    "int": "int32",
}


def is_keras_tensor(x: Any) -> bool:
    """Whether `x` is a symbolic tensor, as `Input` makes them.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.utils.is_keras_tensor(lf.Input((3,))), lf.utils.is_keras_tensor([1, 2])
    (True, False)
    """
    return isinstance(x, KerasTensor)


def get_source_inputs(tensor: Any) -> Any:
    """The symbolic inputs that a symbolic tensor is computed from, each once; anything else is given back.

    Parameters
    ----------
    tensor : KerasTensor

    Returns
    -------
    list of KerasTensor

    Examples
    --------
    >>> import lstmfast as lf
    >>> a, b = lf.Input((3,), name="a"), lf.Input((3,), name="b")
    >>> joined = lf.layers.Add()([a, lf.layers.Dense(3)(b)])
    >>> [t.name for t in lf.utils.get_source_inputs(joined)]
    ['a', 'b']
    """
    if not isinstance(tensor, KerasTensor):
        return tensor
    found: list[KerasTensor] = []
    seen: set[int] = set()
    left = [tensor]
    while left:  # a stack of our own, for graphs deeper than Python recurses
        here = left.pop()
        node = here.node
        if node is None or not node.parents:
            sources = [here] if node is None else node.outputs
            found += [source for source in sources if all(source is not known for known in found)]
        elif id(node) not in seen:
            seen.add(id(node))
            left += reversed([t for t in flatten(node.parents) if isinstance(t, KerasTensor)])
    return found


def standardize_dtype(dtype: Any) -> str:
    """The name of a type that is given as a name, a NumPy or PyTorch type, or one of Python's; None is float32.

    Raises
    ------
    ValueError
        If it is none of Keras's types.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import standardize_dtype
    >>> standardize_dtype(np.float64), standardize_dtype(None), standardize_dtype(int)
    ('float64', 'float32', 'int32')
    """
    if dtype is None:
        return "float32"
    name = _OF_PYTHON.get(dtype, dtype) if isinstance(dtype, (type, str)) else dtype
    if hasattr(name, "name"):
        name = name.name
    elif hasattr(name, "__name__"):
        name = name.__name__
    elif not isinstance(name, str) and str(name).startswith(("torch.", "jax.numpy.")):
        name = str(name).split(".")[-1]
    if not isinstance(name, str) or name not in _DTYPES:
        raise ValueError(f"Invalid dtype: {dtype}")
    return name
