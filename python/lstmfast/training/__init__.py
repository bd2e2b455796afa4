# SPDX-License-Identifier: BSD-3-Clause
"""How models learn: batches, the loss over all outputs, the training loop, and tapes for loops of one's own."""
