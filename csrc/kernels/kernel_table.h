// SPDX-License-Identifier: BSD-3-Clause
// The contract between the kernels and everything above them: one table of function pointers an
// instruction set. Kernels trust their arguments, do not allocate, throw, thread or know Python.
//
// Dimensions: T time, B batch, I inputs, H hidden units, G gates; VL = KernelTable::lanes.
// A *panel* is the unit of packed weights: K rows of NV vectors, [k][v][VL], contiguous. For a cell
// with G gates, panel p holds the G gates of the units p*VL .. p*VL+VL-1 (v = gate); for a plain
// matrix, NV adjacent blocks of VL columns. Each output element is summed over k in ascending order with fused
// multiply-add, in chains of kGemmChain, so its bits depend on nothing but its row and its column.
#pragma once

#include <cstdint>

namespace lstmfast {

inline constexpr std::int64_t kGemmChain = 256;

// Rows of A times panels of B, into rows of C.
struct GemmArgs {
  int rows;                     // M
  int panels;                   // consecutive panels of B
  int vectors;                  // NV, 1..4
  std::int64_t k;               // depth of this call
  std::int64_t k_block;         // A's k is contiguous in blocks of this many floats (k when it is one run)
  const float* const* a;        // [rows] pointers to A(row, 0)
  std::int64_t a_offset;        // added to each of them
  std::int64_t a_block_stride;  // from one block of k to the next
  const float* b;               // first panel, already advanced to the first k
  std::int64_t b_stride;        // from one k to the next: NV*VL, or more where only some vectors of wider panels take part
  std::int64_t b_block_stride;  // from one block of k to the next: k_block*b_stride where they are adjacent
  std::int64_t b_panel_stride;
  float* c;                   // C element (row, panel, v, lane) = c[c_row[row]*ldc + panel*c_panel_stride + c_vector[v] + lane]
  const std::int32_t* c_row;  // [rows], or null for 0, 1, 2, ...
  std::int64_t ldc;
  std::int64_t c_panel_stride;
  std::int64_t c_vector[4];
  unsigned load_mask;  // bit v: add to what C's vector v holds; else to the bias, or 0
  const float* bias;   // [panel][v][VL], or null
  std::int64_t bias_panel_stride;
  // Lanes that exist: clamp(limit - panel*limit_panel - v*limit_vector, 0, VL). Others are neither read nor written.
  std::int64_t limit, limit_panel, limit_vector;
};

// A product of KernelTable::beside_rows rows that advances beside products of one row (gemm_row) or by itself (gemm_advance), and
// is completed by gemm_finish; one of fewer rows waits for that. As many vectors a panel in both, whole panels of C
// (no limit), depth in one run.
struct GemmBeside {
  const GemmArgs* product;
  const float* a;     // its A packed: [k][row]
  float* sums;        // scratch, kBesideSums floats: of the tile in work
  int vector, panel;  // of the tile in work
  std::int64_t k;     // its depth done
};
inline constexpr int kBesideSums = 24 * 16;

enum class Activation : int {
  kLinear,
  kRelu,
  kSigmoid,
  kTanh,
  kHardSigmoid,
  kElu,
  kSelu,
  kGelu,
  kGeluTanh,
  kSilu,
  kSoftplus,
  kSoftsign,
  kExponential,
  kLeakyRelu,
  kRelu6,
  kHardTanh,
  kCount
};

// Whether its slope does not follow from its output, as it is not monotonic. (`static`: see docs/decisions/0002.)
static constexpr bool slope_needs_input(Activation a) {
  return a == Activation::kGelu || a == Activation::kGeluTanh || a == Activation::kSilu;
}

// One time step of a cell for some rows and panels of units: pre-activations z to new states.
struct CellForwardArgs {
  int rows;
  int panels;
  Activation activation, recurrent_activation;
  float* gates;  // z in; with keep_gates what the slopes follow from out: activated gates, or z. [panel][row index][NV*VL]
  std::int64_t gates_panel_stride;
  const std::int32_t* gates_row;  // [rows] index of each row in gates
  bool keep_gates;
  const float* c_in;  // the state of each unit (LSTM c, GRU h): [panel][row index][VL]; may be c_out
  std::int64_t c_in_panel_stride;
  const std::int32_t* c_in_row;  // [rows]; negative: take c_initial instead
  const float* c_initial;        // (B, c_initial_ld) row-major and zero-padded to whole vectors
  std::int64_t c_initial_ld;
  const std::int32_t* batch_row;  // [rows] row of the batch
  float* c_out;
  std::int64_t c_out_panel_stride;
  const std::int32_t* c_out_row;  // [rows]
  const float* const* h_in;       // [rows] row starts of h as the product of the reset gate's candidate reads it
  float* const* h_out;            // [rows] row starts; whole vectors are written (padded buffers)
  float* const* y_out;            // [rows] row starts of the caller's output, tails respected; or null
  // Recurrent dropout: (B, copies, copy_stride) or null. h_out then holds `copies` rows h * mask, copy_stride apart; y_out gets h.
  const float* recurrent_mask;
  int copies;
  std::int64_t copy_stride;
  const float *zone_h, *zone_c;  // zoneout: the share of the value before that h and c keep, [row][zone_ld] from unit 0 on; or null
  std::int64_t zone_ld;
  float* const* h_plain;  // [rows] zoneout beside recurrent dropout: row starts of h without its mask, before and then after; or null
  int unit;               // first unit of the first panel
  int units;              // H
  int vectors;            // simple_rnn: vectors a panel
  const float* peephole;  // LSTM with peepholes, from unit 0 on: [panel][i, f, o][VL], scaled as the packed weights are; padded
  // LSTM with layer normalization, all panels at once: its weights (see lstm_norm_cell-inl.h), scaled likewise; with
  // keep_gates 1/sqrt(variance) of x's and h's sums, [row index in gates][2].
  const float* norm;
  float* norm_scales;
  float* kept;  // scratch where zone_c is given, [panel][VL]
};

// The same step backwards. dG replaces in place what the forward step kept of the gates.
struct CellBackwardArgs {
  int rows;
  int panels;
  Activation activation, recurrent_activation;
  float* gates;
  std::int64_t gates_panel_stride;
  const std::int32_t* gates_row;
  const float* c;  // the state of each unit at every stored step, [panel][row index][VL]
  std::int64_t c_panel_stride;
  const std::int32_t* c_row;       // [rows] this step's c
  const std::int32_t* c_prev_row;  // [rows] the step before; negative: c_initial
  const float* c_initial;
  std::int64_t c_initial_ld;
  const std::int32_t* batch_row;
  const float* const* dy;  // [rows] row starts of the gradient that arrives from above, or null
  float* dh;               // (B, ld) gradient that arrives from the next step; GRU: out, what passes the step by
  std::int64_t dh_ld;
  float* dc;  // LSTM: (B, ld) in: from the next step; out: for the step before
  std::int64_t dc_ld;
  // The reset gate before the product: h as it was read (row starts), the gradient of r*h ([row][reset_ld]), and the
  // recurrent dropout mask of the candidate's h (B, mask_stride) or null.
  const float* const* h_in;
  const float* dreset;
  std::int64_t reset_ld;
  const float* mask;
  std::int64_t mask_stride;
  const float *zone_h, *zone_c;  // as in the forward step; dh gets what passes the step by
  std::int64_t zone_ld;
  float* c_made;  // peepholes with zone_c: out, what the cell made before it was mixed, laid out as c is, but of pairs alone
  std::int64_t c_made_panel_stride;
  int unit, units, vectors;
  const float* peephole;                         // as in the forward step, not scaled
  const float *norm, *plain_norm, *norm_scales;  // as in the forward step; not scaled
  float* norm_gradient;                          // (B, norm_gradient_ld): of the weights, the sum over a row's steps
  std::int64_t norm_gradient_ld;
  float* kept;  // scratch, [panel][6][VL]
};

// LSTM with layer normalization: x's sums of some pairs, normalized in place.
struct NormInputArgs {
  int rows, units;
  float* gates;
  std::int64_t gates_panel_stride;
  const std::int32_t* gates_row;
  float* scales;  // as in CellForwardArgs, or null
};

// Gradients of one panel's peepholes: dG times the c that each gate saw, summed over all pairs in order.
struct PeepholeGradientArgs {
  std::int64_t pairs;
  const float* gates;          // dG of the panel, [pair][4*VL]
  const float* c;              // [pair][VL]
  const float* c_made;         // likewise: what the output gate saw, which zoneout has mixed to c
  const std::int32_t* before;  // [pair] the pair before, negative: the initial state
  const std::int32_t* step;    // [pair] batch row * time + a time
  int time;
  const float* c_initial;
  std::int64_t c_initial_ld;
  int unit, units;
  float* gradient;  // (3, H)
  bool accumulate;
};

#include "kernels/elementwise_args.h"

struct KernelTable {
  const char* name;
  int lanes;
  int accumulators;
  int beside_rows;
#define LSTMFAST_KERNEL(name, ...) void (*name)(__VA_ARGS__);
#include "kernels/kernels.def"
#undef LSTMFAST_KERNEL
};

}  // namespace lstmfast
