// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "gemm/gemm.h"
#include "recurrent/backward_job.h"

namespace lstmfast {
namespace {

// Pairs whose transposed inputs are in flight at once: a block of dG's panel (256 rows x 256 bytes) fits L1 and L2.
constexpr std::int64_t kPairBlock = 256;
constexpr std::int64_t kInputRows = 192;                    // pairs of one product of input gradients: their gates stay in L2
constexpr std::int64_t kPairBlockStride = kPairBlock + 16;  // off the power of two: columns would share cache sets

// Halves of the batch are summed apart for so many weights (256 KB: the sums, transposed inputs and gates stay in L2) and
// where the sums are few beside the products that make them.
constexpr std::int64_t kMostHalved = 1 << 16, kPairsOfARow = 2;

std::int64_t length(Range f) { return f.end - f.begin; }

// The part of `r` within [begin, end), counted from `begin`.
Range clip(Range r, std::int64_t begin, std::int64_t end) {
  const std::int64_t b = std::clamp(r.begin, begin, end), e = std::clamp(r.end, begin, end);
  return {b - begin, e - begin};
}

}  // namespace

void BackwardProducts::run() {
  weight_gradients();
  if (j_.w.cell.projection) projection_gradients();
  if (j_.w.cell.layer_norm) norm_gradients();
  if (j_.w.cell.peephole) peephole_gradients();
  if (j_.grads.dx) input_gradients();
}

// dW = X^T dG, dU = H^T dG, db = 1^T dG. Each half of the batch is summed on its own, in order, where that pays, whatever the
// number of threads, so that the bits do not depend on it; threads share halves and feature rows. Of two threads each then
// reads the gates that it wrote, which saves two cores from fetching each other's (8 rows of 64 units, Zen 4: 20 of 390 us).
void BackwardProducts::weight_gradients() {
  const std::int64_t n = j_.weight_rows, pairs = j_.tape.pairs, first = j_.partial ? j_.tape.first_half : pairs, second = pairs - first;
  const auto boundary = [&](int thread) {  // between the rows of both halves, one after the other: equal numbers of products
    const std::int64_t products = n * pairs * thread / team_.size;
    return products < n * first ? products / first : second ? n + (products - n * first) / second : n;
  };
  const Range mine{pairs ? boundary(team_.id) : 0, pairs ? boundary(team_.id + 1) : 0};
  const auto sum = [&](Range rows, Range of, bool to_partial) {
    for (std::int64_t begin = rows.begin; begin < rows.end; begin += m_.rows)
      weight_gradients({begin, std::min(begin + m_.rows, rows.end)}, of, to_partial);
  };
  sum(clip(mine, 0, n), {0, first}, false);
  if (j_.partial) {
    sum(clip(mine, n, 2 * n), {first, pairs}, true);
    team_.wait();
  }
  if (pairs > 0 && !j_.partial) return;
  const std::int64_t ldc = static_cast<std::int64_t>(j_.w.cell.gates) * j_.w.units;
  const Range ours = split(n, team_.size, team_.id);
  for (std::int64_t row = ours.begin; row < ours.end; ++row) {
    float* const to = weight_gradient(row);
    if (pairs == 0 && !j_.grads.accumulate) std::fill_n(to, ldc, 0.0f);  // every step masked
    if (j_.partial) j_.w.kernels.accumulate(ldc, j_.partial + row * ldc, to);
  }
}

// A row of the gradients of kernel, recurrent kernel and bias, one after the other.
float* BackwardProducts::weight_gradient(std::int64_t row) const {
  const std::int64_t ldc = static_cast<std::int64_t>(j_.w.cell.gates) * j_.w.units, inputs = j_.w.inputs, biases = inputs + j_.w.outputs;
  if (row < inputs) return j_.grads.dkernel + row * ldc;
  return row < biases ? j_.grads.drecurrent + (row - inputs) * ldc : j_.grads.dbias + (row - biases) * ldc;
}

// Of rows `mine`, the sum over the pairs `of`.
void BackwardProducts::weight_gradients(Range mine, Range of, bool to_partial) {
  const RecurrentWeights& w = j_.w;
  const std::int64_t inputs = w.inputs, pairs = j_.tape.pairs, features = j_.weight_rows;
  const std::int64_t x_end = inputs, h_end = x_end + w.outputs, bias_end = std::min(h_end + 1, features);
  const std::int64_t ldc = static_cast<std::int64_t>(w.cell.gates) * w.units;
  // x and its bias face the vectors that x's product wrote, h (and a bias of its own) those of h's product.
  struct Part {
    Range features;
    std::int64_t first;
    const PackedMatrix& matrix;
    int first_vector;
  };
  const int h_vector = w.cell.recurrent_vector;
  const Part parts[4] = {{clip(mine, 0, x_end), 0, w.input, 0},
                         {clip(mine, x_end, h_end), x_end, w.recurrent, h_vector},
                         {clip(mine, h_end, bias_end), h_end, w.input, 0},
                         {clip(mine, bias_end, features), bias_end, w.recurrent, h_vector}};
  const std::int64_t count = mine.end - mine.begin, biases = length(parts[2].features) + length(parts[3].features);
  const float** rows = m_.pointers;
  for (std::int64_t i = 0; i < count; ++i) rows[i] = m_.scratch + i * kPairBlockStride;
  const bool by_gate = w.cell.gates > 1 && (s_.input_mask || s_.recurrent_masks > 1 || w.cell.reset_backward);
  for (std::int64_t pair = of.begin; pair < of.end; pair += kPairBlock) {
    const int depth = static_cast<int>(std::min(kPairBlock, of.end - pair));
    for (std::int64_t i = count - biases; i < count; ++i) std::fill_n(m_.scratch + i * kPairBlockStride, depth, 1.0f);
    for (int gate = 0; gate < (by_gate ? w.cell.gates : 1); ++gate) {
      transpose(parts[0].features, j_.x_rows + pair, 0, depth, m_.scratch);
      if (s_.input_mask) mask_inputs(parts[0].features, pair, gate, depth);
      const bool reset = w.cell.reset_backward && gate == w.cell.gates - 1;  // this gate's product read r*h
      transpose(parts[1].features, (reset ? j_.staged_rows : j_.hidden_rows) + pair,
                s_.recurrent_masks > 1 && !reset ? gate * j_.hidden_ld : 0, depth,
                m_.scratch + length(parts[0].features) * kPairBlockStride);
      for (int p = 0; p < w.panels(); ++p) {
        const float* const* a = rows;
        for (const Part& part : parts) {
          GemmArgs g{};
          part.matrix.layout.address_columns(g);
          g.panels = 1;
          g.vectors = part.matrix.layout.vectors;
          g.k = g.k_block = depth;
          g.b_stride = w.gates_width();
          g.b = j_.tape.gates.data() + (p * pairs + pair) * g.b_stride + part.first_vector * w.kernels.lanes;
          g.ldc = ldc;
          g.limit -= p * g.limit_panel;
          g.load_mask = pair > of.begin || (j_.grads.accumulate && !to_partial) ? ~0u : 0u;
          const std::int64_t column = p * g.c_panel_stride, row = part.first + part.features.begin;
          if (by_gate) select_vectors(g, part.matrix.layout.vector_of_gate(gate), 1, w.kernels.lanes);
          g.a = a;
          g.rows = static_cast<int>(length(part.features));
          if (g.rows == 0) continue;
          g.c = (to_partial ? j_.partial + row * ldc : weight_gradient(row)) + column;
          w.kernels.gemm(g);
          a += g.rows;
        }
      }
    }
  }
}

// d(projection) = (h unprojected)^T d_outputs: units are dealt to threads, each sums all pairs in order.
void BackwardProducts::projection_gradients() {
  const RecurrentWeights& w = j_.w;
  const PanelLayout& layout = w.projection.layout;
  const std::int64_t pairs = j_.tape.pairs;
  const Range mine = split(w.units, team_.size, team_.id, 6);
  if (length(mine) == 0) return;
  float* const out = j_.grads.dextra.back() + mine.begin * w.outputs;
  if (pairs == 0 && !j_.grads.accumulate) std::fill_n(out, length(mine) * w.outputs, 0.0f);
  const float** rows = m_.pointers;
  for (std::int64_t i = 0; i < length(mine); ++i) rows[i] = m_.scratch + i * kPairBlockStride;
  for (std::int64_t pair = 0; pair < pairs; pair += kPairBlock) {
    const int depth = static_cast<int>(std::min(kPairBlock, pairs - pair));
    transpose(mine, j_.staged_rows + pair, 0, depth, m_.scratch);
    for (int p = 0; p < layout.panels; ++p) {
      GemmArgs g{};
      layout.address_columns(g);
      g.rows = static_cast<int>(length(mine));
      g.panels = 1;
      g.vectors = layout.vectors;
      g.k = g.k_block = depth;
      g.a = rows;
      g.b = j_.d_outputs + pair * j_.hidden_ld + p * layout.width();
      g.b_stride = j_.hidden_ld;
      g.c = out + p * g.c_panel_stride;
      g.ldc = w.outputs;
      g.limit -= p * g.limit_panel;
      g.load_mask = pair > 0 || j_.grads.accumulate ? ~0u : 0u;
      w.kernels.gemm(g);
    }
  }
}

// Of gains, offsets and the bias: units are dealt to threads, each sums the rows of the batch in order.
void BackwardProducts::norm_gradients() {
  const RecurrentWeights& w = j_.w;
  const int lanes = w.kernels.lanes;
  float* const* const extra = j_.grads.dextra.data();
  const Range mine = split(w.units, team_.size, team_.id, lanes);
  const auto sum = [&](std::int64_t unit, int vector) {
    const float* row = j_.d_norm + (unit / lanes * RecurrentWeights::kNormWeights + vector) * lanes + unit % lanes;
    float total = 0.0f;
    for (int b = 0; b < s_.batch; ++b) total += row[b * j_.norm_ld];
    return total;
  };
  const auto put = [&](float* out, std::int64_t i, float value) { out[i] = j_.grads.accumulate ? out[i] + value : value; };
  for (std::int64_t unit = mine.begin; unit < mine.end; ++unit) {
    for (int gate = 0; gate < 4; ++gate) {
      const std::int64_t i = static_cast<std::int64_t>(gate) * w.units + unit;
      put(extra[0], i, sum(unit, gate));
      put(extra[2], i, sum(unit, 4 + gate));
      const float offset = sum(unit, 8 + gate);
      put(extra[1], i, offset);
      put(extra[3], i, offset);
      if (j_.grads.dbias) put(j_.grads.dbias, i, offset);
    }
    put(extra[4], unit, sum(unit, 12));
    put(extra[5], unit, sum(unit, 13));
  }
}

// Panels are dealt to threads, each sums all pairs in order.
void BackwardProducts::peephole_gradients() {
  const RecurrentWeights& w = j_.w;
  const Range panels = split(w.panels(), team_.size, team_.id);
  for (std::int64_t p = panels.begin; p < panels.end; ++p) {
    PeepholeGradientArgs g{};
    g.pairs = j_.tape.pairs;
    g.gates = j_.tape.gates.data() + p * g.pairs * w.gates_width();
    g.c = j_.tape.unit_state.data() + p * j_.tape.planes * w.kernels.lanes;
    g.c_made = j_.c_made ? j_.c_made + p * g.pairs * w.kernels.lanes : g.c;
    g.before = j_.before;
    g.step = j_.dx_rows;
    g.time = s_.time;
    g.c_initial = j_.tape.initial_unit_state.data();
    g.c_initial_ld = j_.ld;
    g.unit = static_cast<int>(p) * w.panel_units();
    g.units = w.units;
    g.gradient = j_.grads.dextra[0];  // the first: see extra_weights
    g.accumulate = j_.grads.accumulate;
    w.kernels.lstm_peephole_gradient(g);
  }
}

// Transposed inputs times one gate's dropout mask.
void BackwardProducts::mask_inputs(Range f, std::int64_t pair, int gate, int depth) {
  for (int i = 0; i < depth; ++i) {
    const std::int64_t row = j_.dx_rows[pair + i] / s_.time;
    const float* mask = s_.input_mask + (row * j_.w.cell.gates + gate) * j_.w.inputs + f.begin;
    for (std::int64_t k = 0; k < length(f); ++k) m_.scratch[k * kPairBlockStride + i] *= mask[k];
  }
}

void BackwardProducts::transpose(Range f, const float* const* rows, std::int64_t offset, int depth, float* out) {
  if (length(f) > 0) j_.w.kernels.transpose(rows, offset + f.begin, depth, static_cast<int>(length(f)), out, kPairBlockStride);
}

// dX = dG W^T over all pairs.
void BackwardProducts::input_gradients() {
  const RecurrentWeights& w = j_.w;
  const PackedMatrix& wt = w.transposed_input();
  const std::int64_t width = w.gates_width();
  const Range mine = split(j_.tape.pairs, team_.size, team_.id, 6);
  if (mine.begin >= mine.end) return;
  const float** rows = m_.pointers;
  for (std::int64_t pair = mine.begin; pair < mine.end; pair += kInputRows) {
    const std::int64_t n = std::min(kInputRows, mine.end - pair);
    for (std::int64_t i = 0; i < n; ++i) rows[i] = j_.tape.gates.data() + (pair + i) * width;
    GemmArgs g{};
    wt.layout.address_columns(g);
    wt.address_panels(g, 0, wt.layout.panels);
    g.rows = static_cast<int>(n);
    g.k_block = w.input.layout.width();
    g.b_block_stride = g.k_block * g.b_stride;
    g.a = rows;
    g.a_block_stride = j_.tape.pairs * width;
    g.ldc = w.inputs;
    if (!s_.input_mask) {
      g.c = j_.grads.dx;
      g.c_row = j_.dx_rows + pair;
      gemm_blocked(w.kernels, g);
    } else {
      g.c = m_.scratch;
      masked_input_gradients(g, pair);
    }
  }
}

// dx = sum over gates of mask * (dG W^T of the gate).
void BackwardProducts::masked_input_gradients(const GemmArgs& g, std::int64_t pair) {
  const int gates = j_.w.cell.gates, inputs = j_.w.inputs;
  for (int gate = 0; gate < gates; ++gate) {
    GemmArgs part = g;
    if (gates > 1) select_depth(part, j_.w.input.layout.vector_of_gate(gate), 1, gates, j_.w.kernels.lanes);
    gemm_blocked(j_.w.kernels, part);
    for (int i = 0; i < g.rows; ++i) {
      const std::int64_t dx_row = j_.dx_rows[pair + i];
      const float* mask = s_.input_mask + (dx_row / s_.time * gates + gate) * inputs;
      const float* from = g.c + static_cast<std::int64_t>(i) * inputs;
      float* to = j_.grads.dx + dx_row * inputs;
      for (int k = 0; k < inputs; ++k) to[k] = (gate ? to[k] : 0.0f) + mask[k] * from[k];
    }
  }
}

std::int64_t BackwardProducts::weight_rows(const RecurrentWeights& w, bool bias) {
  return w.inputs + w.outputs + (bias ? w.cell.biases : 0);
}

bool BackwardProducts::sums_halves(const RecurrentWeights& w, std::int64_t weight_rows, const SequenceTape& tape) {
  const bool both = tape.first_half > 0 && tape.first_half < tape.pairs;
  return both && weight_rows * w.cell.gates * w.units <= kMostHalved && tape.pairs >= kPairsOfARow * weight_rows;
}

std::int64_t BackwardProducts::rows_at_once(std::int64_t weight_rows, int threads, bool halves) {
  return std::min(weight_rows, (halves ? 2 : 1) * weight_rows / threads + 1);
}

std::size_t BackwardProducts::pointers_needed(const RecurrentWeights& w, std::int64_t rows) {
  return static_cast<std::size_t>(std::max({rows, static_cast<std::int64_t>(w.units), kInputRows}));
}

// Transposed inputs of a block of pairs; products behind a dropout mask.
std::size_t BackwardProducts::scratch_needed(const RecurrentWeights& w, const SequenceTape& tape, std::int64_t rows, int threads) {
  const std::int64_t projected = w.cell.projection ? std::min<std::int64_t>(w.units, w.units / threads + 6) : 0;
  const std::int64_t inputs = tape.sequence.input_mask ? kInputRows * w.inputs : 0;
  return static_cast<std::size_t>(std::max(std::max(rows, projected) * kPairBlockStride, inputs));
}

}  // namespace lstmfast
