// SPDX-License-Identifier: BSD-3-Clause
// Cache blocking around the matrix kernel.
#pragma once

#include "gemm/packed_matrix.h"

namespace lstmfast {

// Runs g (whole depth, all rows, all panels) so that the operands in flight stay in the caches: rows of A in blocks that
// fit half of L2, and for each panel the depth in blocks that fit half of L1. Sums go to memory between blocks of
// depth as float32, which changes no bit. Single-threaded: callers deal out rows or panels.
void gemm_blocked(const KernelTable& kernels, const GemmArgs& g);

// A product over gate panels, restricted to one gate: its vector of B, of the bias and of C.
void select_gate(GemmArgs& g, int gate, int lanes);

// A product whose depth runs over gate panels, restricted to one gate of `gates`: its lanes of each block.
void select_gate_depth(GemmArgs& g, int gate, int gates, int lanes);

}  // namespace lstmfast
