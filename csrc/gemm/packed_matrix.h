// SPDX-License-Identifier: BSD-3-Clause
// Weights rearranged once into the panels that the matrix kernel streams through (kernel_table.h).
// A panel's depth is contiguous: one stream, every cache line fully used, the prefetcher's favourite.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "memory/buffer.h"

namespace lstmfast {

// How the columns of a matrix (K, N) are dealt to panels, vectors and lanes.
struct PanelLayout {
  int lanes;
  int vectors;  // NV
  int panels;
  std::int64_t vector_step;  // columns from one vector of a panel to the next
  std::int64_t panel_step;   // columns from one panel to the next
  std::int64_t limit;        // lanes that exist: clamp(limit - panel*panel_step - vector*limit_vector, 0, VL)
  std::int64_t limit_vector;
  int first_vector = 0;  // vectors are dealt cyclically from this one: vector v holds what is first_vector + v in the matrix

  // Adjacent columns: vector v of panel p holds columns (p*NV + v)*VL ... The panel is as wide as the matrix needs.
  static PanelLayout plain(const KernelTable& k, std::int64_t n);
  // Gates side by side: vector v of panel p holds the units p*VL ... of gate (first_gate + v) mod G, from a matrix of G*H columns.
  static PanelLayout gated(const KernelTable& k, int gates, std::int64_t units, int first_gate = 0);

  std::int64_t width() const { return static_cast<std::int64_t>(vectors) * lanes; }  // floats of a panel a row
  // Columns of the matrix from a panel's first to vector v.
  std::int64_t vector_column(int v) const { return (v + first_vector) % vectors * vector_step; }
  // The vector that holds gate g.
  int vector_of_gate(int g) const { return (g + vectors - first_vector) % vectors; }
  // Lanes of vector v of panel p that exist (the rest is zero padding).
  int valid(int panel, int vector) const;
  // Sets the fields of GemmArgs that say where C's columns are, for a row-major C with the matrix's own columns.
  void address_columns(GemmArgs& g) const;
};

struct PackedMatrix {
  PanelLayout layout{};
  std::int64_t k = 0;
  Buffer data;  // [panel][k][v][lane]
  Buffer bias;  // [panel][v][lane], may be empty

  std::int64_t panel_stride() const { return k * layout.width(); }
  const float* panel(int p) const { return data.data() + p * panel_stride(); }
  const float* panel_bias(int p) const { return bias ? bias.data() + p * layout.width() : nullptr; }
  std::size_t bytes() const { return data.bytes() + bias.bytes(); }
  // Sets the fields of GemmArgs that describe B and the bias: the whole depth of the panels from `first_panel` on.
  void address_panels(GemmArgs& g, int first_panel, int panels) const;
};

// From a row-major (K, N) matrix. `vector_scale` ([NV] or null) multiplies each vector's columns: the 1/2 of
// sigmoid(x) = 1/2 + 1/2 tanh(x/2) is folded in here, exactly. bias (N,) may be null.
PackedMatrix pack(const KernelTable& kernels, const PanelLayout& layout, const float* source, std::int64_t k, std::int64_t ld,
                  const float* bias, const float* vector_scale);

// The transpose, for backward products: columns are the rows of `source` (N, ld), and the depth runs over source's
// columns in the order in which `depth` stores them (panel, vector, lane; padding gives zero rows).
PackedMatrix pack_transposed(const KernelTable& kernels, const PanelLayout& depth, const float* source, std::int64_t n, std::int64_t ld);

}  // namespace lstmfast
