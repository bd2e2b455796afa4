# SPDX-License-Identifier: BSD-3-Clause
"""Dense, Embedding, Masking and what else models are made of."""
