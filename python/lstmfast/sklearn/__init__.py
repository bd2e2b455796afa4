# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks as scikit-learn estimators (``pip install 'lstmfast[sklearn]'``).

Not imported by ``import lstmfast``: write ``from lstmfast.sklearn import LSTMClassifier``.

`X` is one of three:

- an array (N, T, F): N series of T steps with F features;
- a list, or an array of dtype object, of N arrays (T_i, F): series of different lengths;
- an array (N, T): N series of T steps with one feature. To scikit-learn the T steps are the features, so that
  later calls need as many; the other two forms take series of any length.
"""

try:
    from sklearn.utils.validation import validate_data as _  # noqa: F401 - came with 1.6
except ImportError as error:
    raise ImportError("lstmfast.sklearn needs scikit-learn 1.6: pip install 'lstmfast[sklearn]'") from error

from .classifier import LSTMClassifier
from .regressor import LSTMRegressor

__all__ = ["LSTMClassifier", "LSTMRegressor"]
