# SPDX-License-Identifier: BSD-3-Clause
"""Asking for the labels that teach most (Keras's `active_learning_review_classification`).

A model is trained on few labelled reviews; an oracle then labels more of the kind that it gets wrong more often,
which are rare ones here, and the model is trained on. Its rival is given as many labels by chance.
"""

import numpy as np

import lstmfast as keras
from lstmfast import layers

WORDS, MAXLEN, ROUNDS, MORE = 60, 12, 4, 100

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def reviews(number, share_of_positive):
    """Every review has common words and two that tell: ids 1 to 10 praise, 11 to 20 blame."""
    y = (rng.random(number) < share_of_positive).astype("int64")
    x = rng.integers(21, WORDS, (number, MAXLEN))
    telling = rng.integers(1, 11, (number, 2)) + 10 * (1 - y[:, None])
    first = rng.integers(0, MAXLEN // 2, number)
    x[np.arange(number), first], x[np.arange(number), first + MAXLEN // 2] = telling[:, 0], telling[:, 1]
    return x, y


pool_x, pool_y = reviews(3000, 0.12)
test_x, test_y = reviews(1000, 0.5)


def create_model():
    model = keras.models.Sequential(
        [
            layers.Input(shape=(MAXLEN,)),
            layers.Embedding(input_dim=WORDS, output_dim=16),
            layers.Bidirectional(layers.LSTM(16, return_sequences=True)),
            layers.GlobalMaxPooling1D(),
            layers.Dense(20, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        loss="binary_crossentropy",
        optimizer=keras.optimizers.RMSprop(0.005),
        metrics=[
            keras.metrics.BinaryAccuracy(),
            keras.metrics.FalseNegatives(),
            keras.metrics.FalsePositives(),
        ],
    )
    return model


def learn(active):
    """Rounds of training and of asking for labels; the accuracy on a balanced test."""
    keras.utils.set_random_seed(1)
    order = np.random.default_rng(1).permutation(len(pool_x))
    labelled, left = list(order[:200]), list(order[200:])
    validation = np.array(left[-400:])
    left = left[:-400]
    model = create_model()
    for number in range(ROUNDS + 1):
        model.fit(
            pool_x[labelled],
            pool_y[labelled],
            epochs=12,
            batch_size=32,
            callbacks=[keras.callbacks.EarlyStopping(patience=4, monitor="loss")],
            verbose=0,
        )
        _, _, false_negatives, false_positives = model.evaluate(
            pool_x[validation], pool_y[validation], verbose=0
        )
        if number == ROUNDS:
            break
        if active:  # as many of a kind as it is got wrong, of the reviews that the oracle has left
            missed = (false_negatives + 1) / (false_negatives + false_positives + 2)
            positive = [i for i in left if pool_y[i] == 1][: int(MORE * missed)]
            negative = [i for i in left if pool_y[i] == 0][: MORE - len(positive)]
            chosen = positive + negative
        else:
            chosen = left[:MORE]
        labelled += chosen
        left = [i for i in left if i not in set(chosen)]
    accuracy = model.evaluate(test_x, test_y, verbose=0, return_dict=True)["binary_accuracy"]
    print(
        f"{'active' if active else 'by chance'}: {len(labelled)} labels, {int(pool_y[labelled].sum())} of praise, "
        f"accuracy {accuracy:.4f}"
    )
    return accuracy


by_chance, active = learn(False), learn(True)
assert active > 0.9 and active > by_chance - 0.01, (active, by_chance)
