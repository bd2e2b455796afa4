// SPDX-License-Identifier: BSD-3-Clause
// The matrix kernel: rows of A (by pointer) times packed panels of B. Everything that multiplies
// matrices here goes through it: Dense, the input and recurrent parts of every cell, and all backward
// products.
//
// A tile keeps MR rows x NP panels x NV vectors of sums in registers over the whole depth. AVX-512:
// 6 x 1 x 4 = 24 sums, per k 4 loads of B and 6 broadcasts of A feed 24 FMAs (10 loads in the 12 cycles
// that 24 FMAs take on two ports). With few rows two panels run at once (1 x 2 x 4 = 8 sums), because
// one FMA chain is 4 cycles long and 2 ports need 8 chains to stay busy; k is never split over
// accumulators, which would change the bits with the shape.
//
// Every kChain of k the sums are added to C and start anew: the rounding errors of a chain grow with its partial sums,
// and so with the root of its length (docs/decisions/0005). The chains depend on k alone, so blocks of depth that are
// multiples of kChain change no bit.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr int kMaxRows = 6;
constexpr std::int64_t kChain = kGemmChain;

// All loops over a tile's sums: with one of them left rolled GCC 12 keeps the whole array in memory and stores it back
// at every k.
#define LSTMFAST_UNROLL _Pragma("GCC unroll 24")

template <int NV>
constexpr int max_rows() {
  return kAccumulators / NV < kMaxRows ? kAccumulators / NV : kMaxRows;
}

LSTMFAST_INLINE int clamp_lanes(std::int64_t n) { return n < 0 ? 0 : n > kLanes ? kLanes : static_cast<int>(n); }

template <int MR, int NV, int NP>
inline void gemm_tile(const GemmArgs& g, int row, int panel) {
  constexpr int kColumns = NP * NV;  // vectors of the tile: vector j is vector j % NV of panel j / NV
  const float* a[MR];
  float* c[MR];
  LSTMFAST_UNROLL
  for (int r = 0; r < MR; ++r) {
    a[r] = g.a[row + r] + g.a_offset;
    c[r] = g.c + (g.c_row ? g.c_row[row + r] : row + r) * g.ldc + panel * g.c_panel_stride;
  }
  const float* b[NP];
  LSTMFAST_UNROLL
  for (int p = 0; p < NP; ++p) b[p] = g.b + (panel + p) * g.b_panel_stride;
  const std::int64_t lanes_left = g.limit - (panel + NP - 1) * g.limit_panel - (NV - 1) * g.limit_vector;
  const bool whole = lanes_left >= kLanes;

  // One chain of sums after the other: each starts from zero (the first from the bias) and is added to what C holds.
  unsigned adds = g.load_mask;
  std::int64_t left = g.k, in_block = 0;
  do {
    F32 acc[MR][kColumns];
    LSTMFAST_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const int p = j / NV, v = j % NV;
      const F32 start = g.bias && !(adds >> v & 1) ? load(g.bias + (panel + p) * g.bias_panel_stride + v * kLanes) : zero();
      LSTMFAST_UNROLL
      for (int r = 0; r < MR; ++r) acc[r][j] = start;
    }

    for (std::int64_t chain = left < kChain ? left : kChain; chain > 0;) {
      const std::int64_t block = g.k_block - in_block, depth = chain < block ? chain : block;
      for (std::int64_t k = in_block; k < in_block + depth; ++k) {
        // The smaller side of the tile stays in registers, the other passes through one.
        if constexpr (kColumns <= MR) {
          F32 bv[kColumns];
          LSTMFAST_UNROLL
          for (int j = 0; j < kColumns; ++j) bv[j] = load(b[j / NV] + k * g.b_stride + j % NV * kLanes);
          LSTMFAST_UNROLL
          for (int r = 0; r < MR; ++r) {
            const F32 av = broadcast(a[r] + k);
            LSTMFAST_UNROLL
            for (int j = 0; j < kColumns; ++j) acc[r][j] = fma(av, bv[j], acc[r][j]);
          }
        } else {
          F32 av[MR];
          LSTMFAST_UNROLL
          for (int r = 0; r < MR; ++r) av[r] = broadcast(a[r] + k);
          LSTMFAST_UNROLL
          for (int j = 0; j < kColumns; ++j) {
            const F32 bv = load(b[j / NV] + k * g.b_stride + j % NV * kLanes);
            LSTMFAST_UNROLL
            for (int r = 0; r < MR; ++r) acc[r][j] = fma(av[r], bv, acc[r][j]);
          }
        }
      }
      chain -= depth;
      left -= depth;
      in_block += depth;
      if (in_block == g.k_block) {
        in_block = 0;
        LSTMFAST_UNROLL
        for (int r = 0; r < MR; ++r) a[r] += g.a_block_stride;
        LSTMFAST_UNROLL
        for (int p = 0; p < NP; ++p) b[p] += g.b_block_stride;
      }
    }

    LSTMFAST_UNROLL
    for (int j = 0; j < kColumns; ++j) {
      const int p = j / NV, v = j % NV;
      const std::int64_t column = p * g.c_panel_stride + g.c_vector[v];
      const bool add_to = adds >> v & 1;
      if (whole) {
        LSTMFAST_UNROLL
        for (int r = 0; r < MR; ++r) store(c[r] + column, add_to ? add(load(c[r] + column), acc[r][j]) : acc[r][j]);
      } else {
        const int n = clamp_lanes(g.limit - (panel + p) * g.limit_panel - v * g.limit_vector);
        LSTMFAST_UNROLL
        for (int r = 0; r < MR; ++r) store_n(c[r] + column, add_to ? add(load_n(c[r] + column, n), acc[r][j]) : acc[r][j], n);
      }
    }
    adds = ~0u;
  } while (left > 0);
}

// Runs the tile for `rows` rows known only at run time.
template <int MR, int NV, int NP>
inline void gemm_rows(const GemmArgs& g, int rows, int row, int panel) {
  if constexpr (MR > 1) {
    if (rows < MR) return gemm_rows<MR - 1, NV, NP>(g, rows, row, panel);
  }
  gemm_tile<MR, NV, NP>(g, row, panel);
}

template <int NV>
inline void gemm_vectors(const GemmArgs& g) {
  // As many panels at once as the accumulators allow when all rows fit in one small tile.
  constexpr int kPairRows = max_rows<NV>() / 2 < kAccumulators / (2 * NV) ? max_rows<NV>() / 2 : kAccumulators / (2 * NV);
  int panel = 0;
  if (kPairRows > 0 && g.rows <= kPairRows) {
    for (; panel + 2 <= g.panels; panel += 2) gemm_rows<(kPairRows > 0 ? kPairRows : 1), NV, 2>(g, g.rows, 0, panel);
  }
  // Rows in blocks of equal size: 16 as 6+5+5, not 6+6+4.
  const int blocks = (g.rows + max_rows<NV>() - 1) / max_rows<NV>();
  for (; panel < g.panels; ++panel) {
    for (int block = 0, row = 0; block < blocks; ++block) {
      const int n = (g.rows - row + (blocks - block) - 1) / (blocks - block);
      gemm_rows<max_rows<NV>(), NV, 1>(g, n, row, panel);
      row += n;
    }
  }
}

void gemm(const GemmArgs& g) {
  switch (g.vectors) {
    case 1: return gemm_vectors<1>(g);
    case 2: return gemm_vectors<2>(g);
    case 3: return gemm_vectors<3>(g);
    default: return gemm_vectors<4>(g);
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
