# SPDX-License-Identifier: BSD-3-Clause
"""How many hidden units? Cross-validation decides, on the JapaneseVowels data set.

Nine speakers say the same vowels; the model tells who spoke. More units fit the 270 training utterances better, but
not always new ones: each number of units is tried on utterances held out of training, five times over, and the one
with the best mean wins. The test data, recorded on other occasions, are looked at once, at the end.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from lstmfast import datasets
from lstmfast.sklearn import LSTMClassifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128])
    parser.add_argument("--cell", choices=["lstm", "gru", "simple_rnn"], default="lstm")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    arguments = parser.parse_args()

    x, y, x_test, y_test, n, n_test = datasets.japanese_vowels(return_lengths=True)
    train = [a[:k] for a, k in zip(x, n, strict=True)]  # series of 7 to 26 frames, 12 features each
    test = [a[:k] for a, k in zip(x_test, n_test, strict=True)]

    search = GridSearchCV(
        LSTMClassifier(cell=arguments.cell, epochs=arguments.epochs, random_state=0),
        {"units": arguments.units},
        cv=StratifiedKFold(arguments.folds, shuffle=True, random_state=0),
        n_jobs=arguments.jobs,
    )
    search.fit(train, y)

    print(f"{arguments.cell}, {arguments.epochs} epochs, {arguments.folds} folds")
    print("units  accuracy on held-out utterances  seconds to train")
    results = search.cv_results_
    for k, units in enumerate(arguments.units):
        mean, deviation = results["mean_test_score"][k], results["std_test_score"][k]
        mark = "  <- best" if units == search.best_params_["units"] else ""
        print(f"{units:5}  {mean:.4f} +- {deviation:.4f} {results['mean_fit_time'][k]:26.2f}{mark}")

    # GridSearchCV has trained the winner once more, on all training utterances.
    accuracy = float(np.mean(search.predict(test) == y_test))
    print(f"test accuracy with {search.best_params_['units']} units: {accuracy:.4f}")


if __name__ == "__main__":
    main()
