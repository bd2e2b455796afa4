# SPDX-License-Identifier: BSD-3-Clause
"""First values of weights: Keras 3's initializers, by its names and with its defaults.

An initializer is called with a shape and gives a float32 array. As in Keras, one that was made with a number
as its seed (or with none: then it drew one) gives the same values at every call; one with a `SeedGenerator`
gives new ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..utils.naming import to_snake_case
from .base import Array, Constant, Identity, Initializer, Ones, Zeros, as_shape
from .draws import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)
from .stft import STFT

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

zeros, ones, constant, identity = Zeros, Ones, Constant, Identity
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal, stft = VarianceScaling, Orthogonal, STFT
IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal

_ALL = (
    Constant, Identity, Ones, Zeros, GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal,
    LecunUniform, Orthogonal, RandomNormal, RandomUniform, STFT, TruncatedNormal, VarianceScaling,
)  # fmt: skip
_CLASSES: dict[str, type[Initializer]] = {cls.__name__: cls for cls in _ALL}
_CLASSES.update({to_snake_case(cls.__name__): cls for cls in _ALL})
_CLASSES.update(
    normal=RandomNormal,
    one=Ones,
    uniform=RandomUniform,
    zero=Zeros,
    IdentityInitializer=Identity,
    OrthogonalInitializer=Orthogonal,
    STFTInitializer=STFT,
)


def serialize(initializer: Any) -> Any:
    """Configuration of an initializer, in Keras 3's dict form."""
    from ..saving.registry import serialize_keras_object

    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that a configuration describes."""
    from ..saving.registry import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects, module_objects=_CLASSES)


def get(identifier: Any) -> Callable[..., Array] | None:
    """An initializer from a name, a configuration, a class, a function ``f(shape, dtype)`` or an array; None
    for None.

    Raises
    ------
    ValueError
        If `identifier` is none of these, or the name is unknown.

    Examples
    --------
    >>> from lstmfast import initializers
    >>> initializers.get("he_normal").mode
    'fan_in'
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, str):
        from ..saving.registry import get_registered_object

        found = _CLASSES.get(identifier) or get_registered_object(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, (np.ndarray, np.generic)):
        return _from_array(np.asarray(identifier))
    if callable(found):
        made: Any = found() if inspect.isclass(found) else found
        return made  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret initializer identifier: {identifier}")


def _from_array(values: Array) -> Callable[..., Array]:
    def initialize(shape: Sequence[int], dtype: npt.DTypeLike | None = None) -> Array:
        if as_shape(shape) != values.shape:
            raise ValueError(
                f"Expected `shape` to be {values.shape} for direct tensor as initializer. Received "
                f"shape={shape}"
            )
        return values.astype(dtype or np.float32)

    return initialize
