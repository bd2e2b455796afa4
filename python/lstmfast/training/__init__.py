# SPDX-License-Identifier: BSD-3-Clause
"""How models learn: batches, losses over all outputs, the training loop, tapes for loops of one's own."""
