// SPDX-License-Identifier: BSD-3-Clause
#include "gemm/packed_matrix.h"

#include <algorithm>

#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {

PanelLayout PanelLayout::plain(const KernelTable& k, std::int64_t n) {
  const std::int64_t needed = (n + k.lanes - 1) / k.lanes;
  // Full panels of 4 vectors for wide matrices; below 16 vectors of 2, so that there are panels to share
  // among threads and little padding.
  const int vectors = needed == 1 ? 1 : needed >= 16 || needed % 4 == 0 ? 4 : needed % 3 == 0 ? 3 : 2;
  const int panels = static_cast<int>((needed + vectors - 1) / vectors);
  return {k.lanes, vectors, panels, k.lanes, static_cast<std::int64_t>(vectors) * k.lanes, n, k.lanes};
}

PanelLayout PanelLayout::gated(const KernelTable& k, int gates, std::int64_t units, int first_gate) {
  return {k.lanes, gates, static_cast<int>((units + k.lanes - 1) / k.lanes), units, k.lanes, units, 0, first_gate};
}

int PanelLayout::valid(int panel, int vector) const {
  return static_cast<int>(std::clamp<std::int64_t>(limit - panel * panel_step - vector * limit_vector, 0, lanes));
}

void PanelLayout::address_columns(GemmArgs& g) const {
  g.c_panel_stride = panel_step;
  for (int v = 0; v < vectors; ++v) g.c_vector[v] = vector_column(v);
  g.limit = limit;
  g.limit_panel = panel_step;
  g.limit_vector = limit_vector;
}

void PackedMatrix::address_panels(GemmArgs& g, int first_panel, int n) const {
  g.panels = n;
  g.vectors = layout.vectors;
  g.k = g.k_block = k;
  g.b = panel(first_panel);
  g.b_stride = layout.width();
  g.b_block_stride = k * g.b_stride;
  g.b_panel_stride = panel_stride();
  g.bias = panel_bias(first_panel);
  g.bias_panel_stride = g.b_stride;
}

namespace {

// Small matrices are packed in less time (10 us for 64 units) than it may take a worker to be there after a pause.
int threads_to_pack(std::int64_t floats) {
  constexpr std::int64_t kWorthAWorker = 1 << 17;
  return floats < kWorthAWorker ? 1 : threads_for_work(static_cast<double>(floats) * kStreamWork);
}

// Calls f(first, end) for groups of panels that lie beside each other in the source's rows.
template <class F>
void for_adjacent_panels(int panels, std::int64_t panel_floats, F&& f) {
  constexpr int kAdjacent = 4;  // 256 bytes of a row at a time
  parallel_for((panels + kAdjacent - 1) / kAdjacent, threads_to_pack(panels * panel_floats), [&](std::int64_t begin, std::int64_t end) {
    for (auto group = static_cast<int>(begin); group < end; ++group) f(group * kAdjacent, std::min((group + 1) * kAdjacent, panels));
  });
}

}  // namespace

PackedMatrix pack(const KernelTable& kernels, const PanelLayout& layout, const float* source, std::int64_t k, std::int64_t ld,
                  const float* bias, const float* vector_scale) {
  PackedMatrix m;
  m.layout = layout;
  m.k = k;
  m.data = Buffer(static_cast<std::size_t>(layout.panels * m.panel_stride()));
  const int lanes = kernels.lanes;
  const auto copy_lanes = [&](const float* from, float* to, float scale) {
    for (int i = 0; i < lanes; i += 4)  // by fours, which the compiler unrolls
      for (int j = 0; j < 4; ++j) to[i + j] = from[i + j] * scale;
  };
  const auto copy = [&](const float* from, float* to, int valid, float scale) {
    for (int i = 0; i < valid; ++i) to[i] = from[i] * scale;
    for (int i = valid; i < lanes; ++i) to[i] = 0.0f;
  };
  for_adjacent_panels(layout.panels, k * layout.width(), [&](int first, int end) {
    for (int v = 0; v < layout.vectors; ++v) {
      const std::int64_t column = layout.vector_column(v);
      const float scale = vector_scale ? vector_scale[v] : 1.0f;
      const std::int64_t step = layout.vectors * lanes;
      const float* from = source + first * layout.panel_step + column;
      float* to = m.data.data() + first * m.panel_stride() + v * lanes;
      const int whole = layout.valid(end - 1, v) == lanes ? end - first : end - first - 1;  // but for the last all panels are
      for (std::int64_t row = 0; row < k; ++row, from += ld, to += step) {
        for (int i = 0; i < whole; ++i) copy_lanes(from + i * layout.panel_step, to + i * m.panel_stride(), scale);
        if (whole < end - first) copy(from + whole * layout.panel_step, to + whole * m.panel_stride(), layout.valid(end - 1, v), scale);
      }
    }
  });
  if (bias) {
    m.bias = Buffer(static_cast<std::size_t>(layout.panels * layout.width()));
    for (int p = 0; p < layout.panels; ++p)
      for (int v = 0; v < layout.vectors; ++v)
        copy(bias + p * layout.panel_step + layout.vector_column(v), m.bias.data() + (p * layout.vectors + v) * lanes, layout.valid(p, v),
             vector_scale ? vector_scale[v] : 1.0f);
  }
  return m;
}

PackedMatrix pack_transposed(const KernelTable& kernels, const PanelLayout& depth, const float* source, std::int64_t n, std::int64_t ld) {
  PackedMatrix m;
  m.layout = PanelLayout::plain(kernels, n);
  m.k = depth.panels * depth.width();
  m.data = Buffer(static_cast<std::size_t>(m.layout.panels * m.panel_stride()));
  constexpr int kMostColumns = 64;  // of a panel: four vectors of sixteen lanes
  const std::int64_t width = m.layout.width();
  parallel_for(m.layout.panels, threads_to_pack(n * m.k), [&](std::int64_t begin, std::int64_t end) {
    const float* rows[kMostColumns];
    for (std::int64_t p = begin; p < end; ++p) {
      const int count = static_cast<int>(std::min(width, n - p * width));
      for (int i = 0; i < count; ++i) rows[i] = source + (p * width + i) * ld;
      float* out = m.data.data() + p * m.panel_stride();
      for (int q = 0; q < depth.panels; ++q)
        for (int v = 0; v < depth.vectors; ++v) {
          const int valid = depth.valid(q, v);
          float* block = out + (q * depth.width() + static_cast<std::int64_t>(v) * depth.lanes) * width;
          kernels.transpose(rows, q * depth.panel_step + depth.vector_column(v), count, valid, block, width);
          for (int lane = 0; lane < valid; ++lane) std::fill(block + lane * width + count, block + (lane + 1) * width, 0.0f);
          std::fill(block + valid * width, block + depth.lanes * width, 0.0f);
        }
    }
  });
  return m;
}

}  // namespace lstmfast
