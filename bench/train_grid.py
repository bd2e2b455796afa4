# SPDX-License-Identifier: BSD-3-Clause
# ruff: noqa: F821
"""Odd rows of training: sizes that fit no vector and no batch block, and models as they are trained.

    python bench/training.py --peers ENV/bin/python             # duels over these rows, on one thread and on two
    python bench/duel.py --grid bench/train_grid.py ...

Whoever executes this file provides `Train`. Names as in grid.py; c classes, of a softmax at every step; v words.
No engine needs more than about half a second for a step.
"""

TRAIN = {
    # a layer and the last output
    "lstm_h8_b1_t1000_i1": Train(8, 1, 1000, 1),
    "lstm_h9_b256_t30_i3": Train(9, 256, 30, 3),
    "lstm_h17_b64_t1_i13": Train(17, 64, 1, 13),
    "lstm_h32_b128_t24_i1": Train(32, 128, 24, 1),
    "lstm_h64_b1_t100_i64": Train(64, 1, 100, 64),
    "lstm_h100_b7_t333_i12": Train(100, 7, 333, 12),
    "lstm_h128_b256_t10_i40": Train(128, 256, 10, 40),
    "lstm_h200_b16_t80_i100": Train(200, 16, 80, 100),
    "lstm_h256_b1_t200_i128": Train(256, 1, 200, 128),
    "lstm_h300_b20_t35_i300": Train(300, 20, 35, 300),
    "lstm_h384_b5_t20_i7": Train(384, 5, 20, 7),
    "lstm_h512_b4_t30_i512": Train(512, 4, 30, 512),
    "lstm_h512_b256_t3_i200": Train(512, 256, 3, 200),
    "gru_h33_b50_t60_i5": Train(33, 50, 60, 5, kind="gru"),
    "gru_h130_b12_t100_i20": Train(130, 12, 100, 20, kind="gru"),
    "gru_h500_b8_t20_i256": Train(500, 8, 20, 256, kind="gru"),
    "simple_rnn_h64_b32_t100_i16": Train(64, 32, 100, 16, kind="simple_rnn"),
    "simple_rnn_h257_b10_t50_i33": Train(257, 10, 50, 33, kind="simple_rnn"),
    # stacks and both directions
    "lstm_bi_h100_b16_t60_i40": Train(100, 16, 60, 40, bi=True),
    "gru_bi_ragged_h64_b9_t120_i13": Train(64, 9, 120, 13, kind="gru", bi=True, ragged=True),
    "lstm_n2_h130_b20_t40_i20": Train(130, 20, 40, 20, layers=2),
    "lstm_n3_dropout_h75_b9_t70_i75": Train(75, 9, 70, 75, layers=3, dropout=0.3),
    "gru_n2_h50_b2_t150_i10": Train(50, 2, 150, 10, kind="gru", layers=2),
    # masks, lengths, recurrent dropout
    "lstm_masked_h100_b30_t90_i12": Train(100, 30, 90, 12, masked=True),
    "lstm_ragged_h64_b16_t29_i12": Train(64, 16, 29, 12, classes=9, ragged=True),
    "lstm_n2_ragged_h200_b10_t60_i80": Train(200, 10, 60, 80, layers=2, ragged=True),
    "lstm_recurrent_dropout_h100_b16_t60_i40": Train(100, 16, 60, 40, recurrent_dropout=0.2),
    "gru_recurrent_dropout_h257_b8_t30_i64": Train(257, 8, 30, 64, kind="gru", recurrent_dropout=0.3),
    # a loss at every step, and text
    "lstm_per_step_h128_b32_t64_i32_c40": Train(128, 32, 64, 32, classes=40, per_step=True),
    "tagger_lstm_bi_ragged_h64_b32_t40_v2000": Train(
        64, 32, 40, 50, classes=17, bi=True, ragged=True, per_step=True, vocabulary=2000
    ),
    "speech_lstm_bi_n2_dropout_h96_b8_t50_i48_c29": Train(
        96, 8, 50, 48, classes=29, layers=2, bi=True, per_step=True, dropout=0.2
    ),
    "characters_lstm_h256_b32_t64_v96": Train(256, 32, 64, 32, classes=96, per_step=True, vocabulary=96),
    "words_lstm_n2_dropout_h200_b20_t35_v1000": Train(
        200, 20, 35, 200, classes=1000, layers=2, per_step=True, vocabulary=1000, dropout=0.2
    ),
    "sentiment_lstm_masked_h64_b32_t80_v5000": Train(64, 32, 80, 50, classes=2, masked=True, vocabulary=5000),
    "forecast_gru_n2_h48_b64_t168_i4": Train(48, 64, 168, 4, classes=24, kind="gru", layers=2),
}
