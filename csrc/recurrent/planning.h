// SPDX-License-Identifier: BSD-3-Clause
// What the passes over a sequence decide from sizes, caches and the cost of a meeting; and how their buffers are laid out.
#pragma once

#include <cstdint>

#include "recurrent/sequence.h"

namespace lstmfast {

// Row stride of state buffers: whole vectors, and not a multiple of 1 KiB, so that rows do not fall on the same cache sets.
std::int64_t state_stride(const RecurrentWeights& w);
// Likewise of rows of h, which hold whole panels of the projection where there is one.
std::int64_t hidden_stride(const RecurrentWeights& w);
// (rows, n) to rows of `width` floats, `ld` apart, zero-padded; zeros from null.
void pad_rows(const float* source, int rows, std::int64_t n, std::int64_t width, std::int64_t ld, float* out);

// Whether the next chunk's input products should advance beside the steps (kernels/gemm_row-inl.h): each of `threads` threads has
// one row, whose product leaves the arithmetic units idle, as it waits for weights that are not in L1. (With masks or layer
// normalization more happens to the input than a product.)
bool advances_beside(const RecurrentWeights& w, const Sequence& s, int threads);

// Steps whose input products are computed at once, at least one: with their gates they fit a share of L2. Beside the steps: as
// many as that tile has rows.
int chunk_steps(const RecurrentWeights& w, const Sequence& s, int threads, bool beside);
// Steps that a layer is behind the one below in a pipeline: a tile or two of rows for the input product.
inline constexpr int kPipelineSteps = 12;

// Whether one thread can stream these weights for its rows alone: they stay in its L2, or its rows are many enough to hide
// the stream from L3 (a product does rows/2 operations a byte, a core's L3 bandwidth allows some 6).
bool rows_hide_weights(int rows, double weight_bytes);

// How a team shares rows and units: `row_groups` x `unit_groups` <= team size. Rows apart need no meeting, but every thread
// streams all the weights, and an odd row is one thread's alone; units apart meet once a step. Whichever takes less time by
// estimate. All members of a team get the same answer: what a meeting costs is measured between teams.
struct Sharing {
  int row_groups, unit_groups;
};
Sharing choose_sharing(int threads, int rows, int unit_parts, double weight_bytes);
// Of the forward pass: a layer with normalization needs all units of a row in one thread.
Sharing choose_sharing(int threads, const RecurrentWeights& w, const Sequence& s);
// How many threads a forward pass of so many operations is worth.
int threads_for_pass(double flops, const RecurrentWeights& w, const Sequence& s);

}  // namespace lstmfast
