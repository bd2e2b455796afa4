// SPDX-License-Identifier: BSD-3-Clause
#include "gemm/packed_matrix.h"

#include <algorithm>
#include <vector>

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

PackedMatrix pack(const KernelTable& kernels, const PanelLayout& layout, const float* source, std::int64_t k, std::int64_t ld,
                  const float* bias, const float* vector_scale) {
  PackedMatrix m;
  m.layout = layout;
  m.k = k;
  m.data = Buffer(static_cast<std::size_t>(layout.panels * m.panel_stride()));
  const int lanes = kernels.lanes;
  const auto copy = [&](const float* from, float* to, int valid, float scale) {
    for (int i = 0; i < valid; ++i) to[i] = from[i] * scale;
    for (int i = valid; i < lanes; ++i) to[i] = 0.0f;
  };
  const bool adjacent = layout.vector_step == lanes && layout.first_vector == 0;  // a row of a panel is one run
  for (int p = 0; p < layout.panels; ++p) {
    float* out = m.data.data() + p * m.panel_stride();
    if (adjacent && !vector_scale && layout.valid(p, layout.vectors - 1) == lanes) {
      const std::int64_t width = layout.width();
      for (std::int64_t row = 0; row < k; ++row) std::copy_n(source + row * ld + p * layout.panel_step, width, out + row * width);
      continue;
    }
    for (int v = 0; v < layout.vectors; ++v) {
      const std::int64_t column = p * layout.panel_step + layout.vector_column(v);
      const int valid = layout.valid(p, v);
      const float scale = vector_scale ? vector_scale[v] : 1.0f;
      for (std::int64_t row = 0; row < k; ++row) copy(source + row * ld + column, out + (row * layout.vectors + v) * lanes, valid, scale);
    }
  }
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
  const std::int64_t width = m.layout.width();
  std::vector<const float*> rows(static_cast<std::size_t>(width));
  for (int p = 0; p < m.layout.panels; ++p) {
    const int count = static_cast<int>(std::min<std::int64_t>(width, n - p * width));
    for (int i = 0; i < count; ++i) rows[static_cast<std::size_t>(i)] = source + (p * width + i) * ld;
    float* out = m.data.data() + p * m.panel_stride();
    for (int q = 0; q < depth.panels; ++q)
      for (int v = 0; v < depth.vectors; ++v) {
        const int valid = depth.valid(q, v);
        float* block = out + (q * depth.width() + static_cast<std::int64_t>(v) * depth.lanes) * width;
        kernels.transpose(rows.data(), q * depth.panel_step + depth.vector_column(v), count, valid, block, width);
        for (int lane = 0; lane < valid; ++lane) std::fill(block + lane * width + count, block + (lane + 1) * width, 0.0f);
        std::fill(block + valid * width, block + depth.lanes * width, 0.0f);
      }
  }
  return m;
}

}  // namespace lstmfast
