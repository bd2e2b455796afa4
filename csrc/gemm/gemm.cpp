// SPDX-License-Identifier: BSD-3-Clause
#include "gemm/gemm.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <mutex>

#include "dispatch/cpu_features.h"

namespace lstmfast {
namespace {

// Seconds of the fastest of some runs of a product of 24 rows with one panel of 4 vectors, 512 deep, in blocks of `depth`.
double time_product(const KernelTable& kernels, const PackedMatrix& b, const float* const* a, float* c, std::int64_t depth, int runs) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t k = 0; k < b.k; k += depth) {
      GemmArgs g{};
      b.address_panels(g, 0, 1);
      g.rows = 24;
      g.a = a;
      g.a_offset = k;
      g.k = g.k_block = std::min(depth, b.k - k);
      g.b += k * g.b_stride;
      g.c = c;
      g.ldc = b.layout.width();
      for (int v = 0; v < g.vectors; ++v) g.c_vector[v] = v * kernels.lanes;
      g.limit = INT64_MAX / 2;
      g.load_mask = k ? ~0u : 0u;
      kernels.gemm(g);
    }
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// Whether panels may stream from L2 (true), or blocks of them should be brought to L1 and used for many rows. A core that
// does one vector FMA a cycle (Zen 4, AVX-512) hides the stream, and blocks only cost it stores and loads of sums (5 to
// 10%); one that does two needs twice the bandwidth, and whether its L2 has it differs. So each kernel table tries both,
// once, in about 0.2 ms. No bit depends on it.
bool streams_from_l2(const KernelTable& kernels) {
  struct Choice {
    std::atomic<const KernelTable*> table{nullptr};
    bool streams;
  };
  static Choice choices[8];  // one an instruction set
  for (const Choice& c : choices) {
    const KernelTable* table = c.table.load(std::memory_order_acquire);
    if (table == &kernels) return c.streams;
    if (!table) break;
  }
  constexpr std::int64_t kDepth = 512, kRows = 24, kLd = kDepth + 16;
  const PanelLayout layout = PanelLayout::plain(kernels, 4 * kernels.lanes);
  Buffer zeros(static_cast<std::size_t>(kRows * kLd));
  Buffer c(static_cast<std::size_t>(kRows * layout.width()));
  std::fill_n(zeros.data(), kRows * kLd, 0.0f);
  const PackedMatrix b = pack(kernels, layout, zeros.data(), kDepth, 0, nullptr, nullptr);
  const float* rows[kRows];
  for (std::int64_t r = 0; r < kRows; ++r) rows[r] = zeros.data() + r * kLd;
  const std::int64_t block = std::max<std::int64_t>(16, static_cast<std::int64_t>(cache_sizes().l1 / 2) / (layout.width() * 4) / 16 * 16);
  double streaming = 1e9, blocked = 1e9;
  for (int round = 0; round < 3; ++round) {  // in turn: a slow moment hits both
    streaming = std::min(streaming, time_product(kernels, b, rows, c.data(), kDepth, 3));
    blocked = std::min(blocked, time_product(kernels, b, rows, c.data(), block, 3));
  }
  const bool streams = streaming < blocked;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  for (Choice& choice : choices) {
    const KernelTable* const table = choice.table.load(std::memory_order_relaxed);
    if (table == &kernels) return choice.streams;  // another thread measured at the same time
    if (table) continue;
    choice.streams = streams;
    choice.table.store(&kernels, std::memory_order_release);
    break;
  }
  return streams;
}

}  // namespace

void gemm_blocked(const KernelTable& kernels, const GemmArgs& g) {
  const CacheSizes& cache = cache_sizes();
  const std::int64_t width = static_cast<std::int64_t>(g.vectors) * kernels.lanes;
  constexpr std::int64_t kFewRows = 12;  // two tiles: a panel is read from L2 at most twice
  if (g.rows <= kFewRows) return kernels.gemm(g);

  // Whole blocks of A's depth where A's depth comes in blocks.
  std::int64_t depth = std::max<std::int64_t>(16, static_cast<std::int64_t>(streams_from_l2(kernels) ? cache.l2 / 4 : cache.l1 / 2) / (width * 4));
  const bool in_blocks = g.k_block < g.k;
  if (in_blocks) depth = std::max<std::int64_t>(1, depth / g.k_block) * g.k_block;
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
