// SPDX-License-Identifier: BSD-3-Clause
// One row of A times panels of B, with a second product beside it.
//
// A product of one row is bound by the stream of its weights: 64 bytes from L2 take 2 cycles on a Zen 4, their multiply-add
// one. The products of the input of later steps are the opposite: their weights are read once for several rows. So a
// sequence's recurrent product advances the input product of the next chunk of steps a little at a time, one k of a
// tile after every few k of the row, and the FMA units work in the cycles in which the row waits. (Two phases, one after
// the other, would not overlap: an out-of-order core looks some 300 instructions ahead.)
//
// The tile is tall, kBesideRows x TV sums, because its weights come through the same L2: as 10 x 2 they add 13% to the
// stream where 5 x 4 would add 20%. Its A is packed, [k][kBesideRows], as ten row pointers leave no address register.
//
// Every sum is what gemm() makes of it: ascending k, chains of kChain. The tile's sums wait in `sums` between two rows.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// Vectors of a panel that the tile takes at a time: the sums share the registers with the row's sums (up to 4), TV values of
// B, one of A, one of the row's A.
template <int NV>
constexpr int beside_vectors() {
  [[maybe_unused]] constexpr bool kManyRegisters = kAccumulators > 16;
  return NV % 2 == 0 ? 2 : 1;
}
// k of the row for one of the tile, so that both come to their ends together where their depths are alike.
template <int NV>
constexpr int row_steps() {
  return kBesideRows * beside_vectors<NV>() / NV;
}

LSTMFAST_INLINE float* c_row(const GemmArgs& g, int row) { return g.c + (g.c_row ? g.c_row[row] : row) * g.ldc; }

// The tile that a GemmBeside is at.
template <int NV>
struct BesideTile {
  static constexpr int MR = kBesideRows, TV = beside_vectors<NV>();
  const float *a, *b;
  std::int64_t b_stride;
  F32 acc[MR][TV];

  LSTMFAST_INLINE void resume(const GemmBeside& s) {
    const GemmArgs& g = *s.product;
    a = s.a + s.k * MR;
    b = g.b + s.panel * g.b_panel_stride + s.k * g.b_stride + s.vector * kLanes;
    b_stride = g.b_stride;
    const bool starts = s.k % kChain == 0;
    LSTMFAST_UNROLL
    for (int v = 0; v < TV; ++v) {
      const bool biased = g.bias && s.k == 0 && !(g.load_mask >> (s.vector + v) & 1);
      const F32 start = biased ? load(g.bias + s.panel * g.bias_panel_stride + (s.vector + v) * kLanes) : zero();
      LSTMFAST_UNROLL
      for (int r = 0; r < MR; ++r) acc[r][v] = starts ? start : load(s.sums + (r * TV + v) * kLanes);
    }
  }
  LSTMFAST_INLINE void one_k() {
    F32 bv[TV];
    LSTMFAST_UNROLL
    for (int v = 0; v < TV; ++v) bv[v] = load(b + v * kLanes);
    LSTMFAST_UNROLL
    for (int r = 0; r < MR; ++r) {
      const F32 av = broadcast(a + r);
      LSTMFAST_UNROLL
      for (int v = 0; v < TV; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
    }
    a += MR;
    b += b_stride;
  }
  // After `steps` k: puts the sums away, into C at the end of a chain, and moves on at the end of the tile.
  LSTMFAST_INLINE void pause(GemmBeside& s, std::int64_t steps) {
    const GemmArgs& g = *s.product;
    s.k += steps;
    if (s.k % kChain != 0 && s.k != g.k) {
      LSTMFAST_UNROLL
      for (int r = 0; r < MR; ++r) {
        LSTMFAST_UNROLL
        for (int v = 0; v < TV; ++v) store(s.sums + (r * TV + v) * kLanes, acc[r][v]);
      }
      return;
    }
    const unsigned adds = s.k <= kChain ? g.load_mask : ~0u;
    LSTMFAST_UNROLL
    for (int r = 0; r < MR; ++r) {
      float* const c = c_row(g, r) + s.panel * g.c_panel_stride;
      LSTMFAST_UNROLL
      for (int v = 0; v < TV; ++v) {
        float* const to = c + g.c_vector[s.vector + v];
        store(to, adds >> (s.vector + v) & 1 ? add(load(to), acc[r][v]) : acc[r][v]);
      }
    }
    if (s.k < g.k) return;
    s.k = 0;
    s.vector += TV;
    if (s.vector < NV) return;
    s.vector = 0;
    ++s.panel;
  }
};

// k that are left to the end of the tile's chain; 0 when there is no tile left.
LSTMFAST_INLINE std::int64_t left_in_chain(const GemmBeside& s) {
  if (s.product->rows != kBesideRows || s.panel >= s.product->panels) return 0;
  const std::int64_t chain = kChain - s.k % kChain, tile = s.product->k - s.k;
  return chain < tile ? chain : tile;
}

template <int NV>
inline void gemm_row_panel(const GemmArgs& g, int panel, GemmBeside& s) {
  constexpr int kRowSteps = row_steps<NV>();
  const float* a = g.a[0] + g.a_offset;
  const float* b = g.b + panel * g.b_panel_stride;
  const std::int64_t b_stride = g.b_stride;
  float* const c = c_row(g, 0) + panel * g.c_panel_stride;
  unsigned adds = g.load_mask;
  for (std::int64_t left = g.k; left > 0;) {
    F32 acc[NV];
    LSTMFAST_UNROLL
    for (int v = 0; v < NV; ++v) acc[v] = g.bias && !(adds >> v & 1) ? load(g.bias + panel * g.bias_panel_stride + v * kLanes) : zero();
    const auto row_k = [&] {
      const F32 av = broadcast(a++);
      LSTMFAST_UNROLL
      for (int v = 0; v < NV; ++v) acc[v] = fma(av, load(b + v * kLanes), acc[v]);
      b += b_stride;
    };
    std::int64_t chain = left < kChain ? left : kChain;
    left -= chain;
    while (chain >= kRowSteps) {
      const std::int64_t tile_left = left_in_chain(s), steps = tile_left < chain / kRowSteps ? tile_left : chain / kRowSteps;
      if (steps == 0) break;
      BesideTile<NV> tile;
      tile.resume(s);
      for (std::int64_t i = 0; i < steps; ++i) {
        LSTMFAST_UNROLL
        for (int j = 0; j < kRowSteps; ++j) row_k();
        tile.one_k();
      }
      tile.pause(s, steps);
      chain -= steps * kRowSteps;
    }
    for (; chain > 0; --chain) row_k();
    LSTMFAST_UNROLL
    for (int v = 0; v < NV; ++v) {
      float* const to = c + g.c_vector[v];
      store(to, adds >> v & 1 ? add(load(to), acc[v]) : acc[v]);
    }
    adds = ~0u;
  }
}

template <int NV>
inline void advance_beside(GemmBeside& s, std::int64_t steps) {
  while (steps > 0) {
    const std::int64_t left = left_in_chain(s), n = left < steps ? left : steps;
    if (n == 0) return;
    BesideTile<NV> tile;
    tile.resume(s);
    for (std::int64_t i = 0; i < n; ++i) tile.one_k();
    tile.pause(s, n);
    steps -= n;
  }
}

void gemm_row(const GemmArgs& g, GemmBeside& s) {
  for (int panel = 0; panel < g.panels; ++panel) {
    switch (g.vectors) {
      case 1: gemm_row_panel<1>(g, panel, s); break;
      case 2: gemm_row_panel<2>(g, panel, s); break;
      case 3: gemm_row_panel<3>(g, panel, s); break;
      default: gemm_row_panel<4>(g, panel, s);
    }
  }
}

void gemm_advance(GemmBeside& s, std::int64_t steps) {
  switch (s.product->vectors) {
    case 1: return advance_beside<1>(s, steps);
    case 2: return advance_beside<2>(s, steps);
    case 3: return advance_beside<3>(s, steps);
    default: return advance_beside<4>(s, steps);
  }
}

void gemm_finish(GemmBeside& s) {
  const GemmArgs& g = *s.product;
  // To the end of the panel in work; the others as one product.
  while (s.k > 0 || s.vector > 0) gemm_advance(s, g.k - s.k);
  if (s.panel >= g.panels || g.rows == 0) return;
  GemmArgs rest = g;
  rest.panels -= s.panel;
  rest.b += s.panel * g.b_panel_stride;
  rest.c += s.panel * g.c_panel_stride;
  if (g.bias) rest.bias += s.panel * g.bias_panel_stride;
  gemm(rest);
  s.panel = g.panels;
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
