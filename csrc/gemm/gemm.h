// SPDX-License-Identifier: BSD-3-Clause
// Cache blocking around the matrix kernel.
#pragma once

#include "gemm/packed_matrix.h"

namespace lstmfast {

// Runs g (whole depth, all rows, all panels) so that the operands in flight stay in the caches: rows of A in blocks that
// fit half of L2, and for each panel the depth in blocks that fit a quarter. Blocks are whole chains of sums, so that
// they change no bit. Single-threaded: callers deal out rows or panels.
void gemm_blocked(const KernelTable& kernels, const GemmArgs& g);

// A product restricted to some adjacent vectors of each panel: of B, of the bias and of C.
void select_vectors(GemmArgs& g, int first, int count, int lanes);

// A product whose depth runs over panels of `vectors` vectors, restricted to some adjacent ones: their lanes of each block.
void select_depth(GemmArgs& g, int first, int count, int vectors, int lanes);

}  // namespace lstmfast
