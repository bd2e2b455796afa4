// SPDX-License-Identifier: BSD-3-Clause
#include "gemm/gemm.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "dispatch/cpu_features.h"

namespace lstmfast {
void gemm_blocked(const KernelTable& kernels, const GemmArgs& g) {
  assert(g.k > 0 && g.k_block > 0 && g.vectors > 0);
  const CacheSizes& cache = cache_sizes();
  const std::int64_t width = static_cast<std::int64_t>(g.vectors) * kernels.lanes;
  constexpr std::int64_t kFewRows = 12;  // two tiles: a panel is read from L2 at most twice
  if (g.rows <= kFewRows) return kernels.gemm(g);

  // Depth in blocks that leave a panel in L2 for all rows. (Smaller ones, for L1, cost 5 to 10% on a Zen 4 by the stores
  // and loads of sums between them; a tile needs 21 bytes of B a cycle at most.) Whole chains of sums, and whole blocks of A's depth where
  // A's depth comes in blocks.
  const std::int64_t budget = static_cast<std::int64_t>(cache.l2 / 4);
  const bool in_blocks = g.k_block < g.k;
  const std::int64_t unit = in_blocks ? std::lcm(kGemmChain, g.k_block) : kGemmChain;
  const std::int64_t depth = std::max<std::int64_t>(1, budget / (width * 4) / unit) * unit;
  const std::int64_t rows_at_once = std::max<std::int64_t>(24, static_cast<std::int64_t>(cache.l2 / 2) / (g.k * 4) / 6 * 6);
  for (std::int64_t row = 0; row < g.rows; row += rows_at_once) {
    GemmArgs part = g;
    part.rows = static_cast<int>(std::min<std::int64_t>(rows_at_once, g.rows - row));
    part.a = g.a + row;
    part.panels = 1;
    if (g.c_row) part.c_row = g.c_row + row;
    for (int p = 0; p < g.panels; ++p) {
      part.limit = g.limit - p * g.limit_panel;
      part.bias = g.bias ? g.bias + p * g.bias_panel_stride : nullptr;
      part.c = g.c + p * g.c_panel_stride + (g.c_row ? 0 : row * g.ldc);
      for (std::int64_t k = 0; k < g.k; k += depth) {
        part.k = std::min(depth, g.k - k);
        part.b = g.b + p * g.b_panel_stride + (in_blocks ? k / g.k_block * g.b_block_stride : k * g.b_stride);
        part.a_offset = g.a_offset + (in_blocks ? k / g.k_block * g.a_block_stride : k);
        part.k_block = in_blocks ? g.k_block : part.k;
        part.load_mask = k == 0 ? g.load_mask : ~0u;
        kernels.gemm(part);
      }
    }
  }
}

void select_vectors(GemmArgs& g, int first, int count, int lanes) {
  g.vectors = count;
  g.b += first * lanes;
  if (g.bias) g.bias += first * lanes;
  for (int v = 0; v < count; ++v) g.c_vector[v] = g.c_vector[first + v];
  g.load_mask >>= first;
  g.limit -= first * g.limit_vector;
}

void select_depth(GemmArgs& g, int first, int count, int vectors, int lanes) {
  g.a_offset += first * lanes;
  g.b += first * lanes * g.b_stride;
  g.b_block_stride = static_cast<std::int64_t>(vectors) * lanes * g.b_stride;
  g.k = g.k / vectors * count;
  g.k_block = count * lanes;
}

}  // namespace lstmfast
