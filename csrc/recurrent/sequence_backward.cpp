// SPDX-License-Identifier: BSD-3-Clause
// Back-propagation through time: per step only what depends on the step after (gate gradients, and dG x U^T);
// the gradients of weights and inputs are products over all pairs at once.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "dispatch/cpu_features.h"
#include "gemm/gemm.h"
#include "recurrent/planning.h"
#include "recurrent/sequence.h"

namespace lstmfast {
namespace {

// Pairs whose transposed inputs are in flight at once: a block of dG's panel (256 rows x 256 bytes) fits L1 and L2.
constexpr std::int64_t kPairBlock = 256;
constexpr std::int64_t kInputRows = 192;                    // pairs of one product of input gradients: their gates stay in L2
constexpr std::int64_t kPairBlockStride = kPairBlock + 16;  // off the power of two: columns would share cache sets

struct BackwardJob {
  const RecurrentWeights& w;
  SequenceTape& tape;
  const SequenceGradients& grads;
  std::int64_t ld, hidden_ld;  // floats a row of c and of h
  float* dh;                   // (B, hidden_ld): gradient of h that comes from later steps
  float* dc;                   // (B, ld)
  float* d_outputs;            // [pair][hidden_ld]: the whole gradient of a projected h
  float* d_unprojected;        // (B, ld)
  float* d_norm;               // (B, norm_ld): of layer normalization's weights, [panel][14][VL] a row
  std::int64_t norm_ld;
  const float* const* x_rows;       // [pairs]
  const float* const* hidden_rows;  // [pairs]: h of the step before
  const float* const* staged_rows;  // [pairs]: r*h, for the cell whose reset gate comes before the product; h unprojected
  const std::int32_t* dx_rows;      // [pairs]: row of dx, b*T + t
  const std::int32_t* before;       // [pairs]: the row's pair before, -1 for the initial state
  std::vector<Barrier>& meetings;
};

class BackwardWorker {
 public:
  BackwardWorker(const BackwardJob& job, const Team& team, Buffer& scratch, std::vector<const float*>& pointers, std::vector<int>& ints)
      : j_(job), s_(job.tape.sequence), team_(team), scratch_(scratch), pointers_(pointers), ints_(ints) {
    const PackedMatrix& ut = job.w.transposed().recurrent;
    const bool projected = job.w.cell.projection;
    // Units are shared in whole panels of both the product that gives their gradient and the gates.
    const PackedMatrix& to_units = projected ? job.w.transposed().projection : ut;
    const std::int64_t unit = std::lcm(to_units.layout.width(), static_cast<std::int64_t>(job.w.panel_units()));
    const Sharing share =
        choose_sharing(team.size, s_.batch, job.w.cell.layer_norm ? 1 : to_units.layout.panels, static_cast<double>(ut.bytes()));
    idle_ = team.id >= share.row_groups * share.unit_groups;
    group_ = idle_ ? 0 : team.id / share.unit_groups;
    parties_ = share.unit_groups;
    id_ = team.id % share.unit_groups;
    const Range units = split(job.w.padded_units(), share.unit_groups, idle_ ? 0 : id_, unit);
    unit_begin_ = static_cast<int>(units.begin);
    unit_end_ = static_cast<int>(units.end);
    // A thread's dh is all that its gates need, but for a projected h, whose columns are shared on their own.
    const Range columns =
        projected ? split(ut.layout.panels * ut.layout.width(), share.unit_groups, idle_ ? 0 : id_, ut.layout.width()) : units;
    column_begin_ = static_cast<int>(columns.begin);
    column_end_ = static_cast<int>(columns.end);
    rows_ = split(s_.batch, share.row_groups, group_);
  }

  void run() {
    if (!idle_) through_time();
    team_.wait();
    weight_gradients();
    if (j_.w.cell.projection) projection_gradients();
    if (j_.w.cell.layer_norm) norm_gradients();
    if (j_.w.cell.peephole) peephole_gradients();
    if (j_.grads.dx) input_gradients();
  }

 private:
  int n_columns() const { return std::min(column_end_, j_.w.outputs) - column_begin_; }

  void through_time() {
    const int batch = s_.batch;
    int* batch_row = ints_.data();
    int* index = batch_row + batch;
    int* before = index + batch;
    const float** dy = pointers_.data();
    const float** gate_rows = dy + batch;
    const float** hidden_rows = gate_rows + batch;
    const float** output_rows = hidden_rows + batch;
    const RecurrentWeights& w = j_.w;
    const int candidate_copy = s_.recurrent_masks > 1 ? w.cell.gates - 1 : 0;
    const PackedMatrix& ut = w.transposed().recurrent;
    const std::int64_t width = w.gates_width(), plane = j_.tape.pairs * width;
    const int first_panel = unit_begin_ / w.panel_units();
    const int first_column_panel = column_begin_ / static_cast<int>(ut.layout.width());

    for (int step = s_.time - 1; step >= 0; --step) {
      int n = 0;
      for (int row = static_cast<int>(rows_.begin); row < rows_.end; ++row) {
        const int p = j_.tape.pair(step, row);
        const float* dy_row = j_.grads.dy ? j_.grads.dy + s_.output_row(row, step) * (s_.output_ld ? s_.output_ld : w.outputs) : nullptr;
        if (p < 0) {
          if (dy_row && !s_.zero_output(row, step)) add(dy_row + column_begin_, n_columns(), j_.dh + row * j_.hidden_ld + column_begin_);
          continue;
        }
        batch_row[n] = row;
        index[n] = p;
        before[n] = j_.before[p];
        dy[n] = dy_row;
        gate_rows[n] = j_.tape.gates.data() + p * width;
        hidden_rows[n] = j_.hidden_rows[p] + candidate_copy * j_.hidden_ld;
        if (w.cell.projection) output_rows[n] = j_.d_outputs + p * j_.hidden_ld;
        ++n;
      }
      if (n == 0) continue;  // the same for all threads of the group

      CellBackwardArgs c{};
      c.rows = n;
      c.panels = (std::min<int>(unit_end_, static_cast<int>(w.padded_units())) - unit_begin_) / w.panel_units();
      c.activation = w.activation;
      c.recurrent_activation = w.recurrent_activation;
      c.gates_panel_stride = plane;
      c.gates = j_.tape.gates.data() + first_panel * plane;
      c.gates_row = index;
      c.c_panel_stride = j_.tape.pairs * w.kernels.lanes;
      c.c = j_.tape.unit_state.data() + first_panel * c.c_panel_stride;
      c.c_row = index;
      c.c_prev_row = before;
      c.c_initial = j_.tape.initial_unit_state.data();
      c.c_initial_ld = j_.ld;
      c.batch_row = batch_row;
      c.dy = j_.grads.dy && !w.cell.projection ? dy : nullptr;
      c.dh = w.cell.projection ? j_.d_unprojected : j_.dh;
      c.dh_ld = j_.ld;
      c.dc = j_.dc;
      c.dc_ld = j_.ld;
      c.unit = unit_begin_;
      c.units = w.units;
      c.vectors = w.gate_vectors();
      c.peephole = w.plain_peephole.data();
      c.norm = w.norm.data();
      c.plain_norm = w.plain_norm.data();
      c.norm_scales = j_.tape.norm_scales.data();
      c.norm_gradient = j_.d_norm;
      c.norm_gradient_ld = j_.norm_ld;
      c.kept = scratch_.data();
      if (w.cell.projection) unproject(batch_row, index, dy, output_rows, n);
      if (c.panels > 0) (w.kernels.*w.cell.backward)(c);
      meet();

      GemmArgs g{};
      ut.layout.address_columns(g);
      const int column_panels = (column_end_ + static_cast<int>(ut.layout.width()) - 1) / static_cast<int>(ut.layout.width());
      ut.address_panels(g, first_column_panel, std::min(column_panels, ut.layout.panels) - first_column_panel);
      g.rows = n;
      g.k_block = w.recurrent.layout.width();
      g.b_block_stride = g.k_block * g.b_stride;
      g.a = gate_rows;
      g.a_offset = w.cell.recurrent_vector * w.kernels.lanes;
      g.a_block_stride = plane;
      g.c = j_.dh + column_begin_;
      g.c_row = batch_row;
      g.ldc = j_.hidden_ld;
      g.limit -= first_column_panel * g.limit_panel;
      g.load_mask = w.cell.carries_hidden ? ~0u : 0u;
      if (w.cell.reset_backward) {
        reset_gradients(g, c, hidden_rows, n);
        meet();
        if (s_.recurrent_masks == 1) select_depth(g, w.recurrent.layout.vector_of_gate(0), 2, w.cell.gates, w.kernels.lanes);
      }
      if (g.panels > 0) state_gradients(g, batch_row, n);
      // The next step's gates are other pairs: nobody overwrites what a slower thread still reads.
    }
  }

  // The whole gradient of a projected h, and from it that of this thread's units before the projection.
  void unproject(const int* batch_row, const int* index, const float* const* dy, const float* const* output_rows, int n) {
    const RecurrentWeights& w = j_.w;
    for (int r = 0; r < n; ++r) {
      const float* from = j_.dh + batch_row[r] * j_.hidden_ld;
      float* to = j_.d_outputs + index[r] * j_.hidden_ld;
      std::copy(from + column_begin_, from + column_end_, to + column_begin_);  // with the padding, which the product reads
      if (dy[r]) add(dy[r] + column_begin_, n_columns(), to + column_begin_);
    }
    meet();
    const PackedMatrix& pt = w.transposed().projection;
    const int width = static_cast<int>(pt.layout.width()), first = unit_begin_ / width;
    GemmArgs g{};
    pt.layout.address_columns(g);
    pt.address_panels(g, first, std::min((unit_end_ + width - 1) / width, pt.layout.panels) - first);
    g.rows = n;
    g.a = output_rows;
    g.c = j_.d_unprojected + unit_begin_;
    g.c_row = batch_row;
    g.ldc = j_.ld;
    g.limit -= first * g.limit_panel;
    if (g.panels > 0) gemm_blocked(w.kernels, g);
  }

  // The reset gate before the product: d(r*h) = dn U_h^T for this thread's units, then what of it reaches r and h.
  void reset_gradients(const GemmArgs& state_product, CellBackwardArgs c, const float* const* hidden_rows, int n) {
    const RecurrentWeights& w = j_.w;
    const int candidate = w.cell.gates - 1;
    GemmArgs g = state_product;
    select_depth(g, w.recurrent.layout.vector_of_gate(candidate), 1, w.cell.gates, w.kernels.lanes);
    g.c = scratch_.data() + unit_begin_;
    g.c_row = nullptr;
    g.load_mask = 0;
    g.rows = n;
    if (g.panels > 0) gemm_blocked(w.kernels, g);
    c.dreset = scratch_.data();
    c.reset_ld = j_.ld;
    c.h_in = hidden_rows;
    if (j_.tape.recurrent_mask) {
      c.mask = j_.tape.recurrent_mask.data() + (s_.recurrent_masks > 1 ? candidate : 0) * j_.ld;
      c.mask_stride = s_.recurrent_masks * j_.ld;
    }
    if (c.panels > 0) (w.kernels.*w.cell.reset_backward)(c);
  }

  // dh (+)= dG U^T; behind recurrent dropout the sum over masks of mask * (dG U^T of the mask's gates).
  void state_gradients(GemmArgs g, const int* batch_row, int n) {
    if (!j_.tape.recurrent_mask) return gemm_blocked(j_.w.kernels, g);
    const RecurrentWeights& w = j_.w;
    const int copies = s_.recurrent_masks, products = copies > 1 && w.cell.reset_backward ? copies - 1 : copies;
    const bool carried = w.cell.carries_hidden;
    float* product = scratch_.data();  // [row][hidden_ld], this thread's columns
    float* const dh = j_.dh;
    g.c = product + column_begin_;
    g.c_row = nullptr;
    g.load_mask = 0;
    for (int k = 0; k < products; ++k) {
      GemmArgs part = g;
      if (copies > 1) select_depth(part, w.recurrent.layout.vector_of_gate(k), 1, copies, w.kernels.lanes);
      gemm_blocked(j_.w.kernels, part);
      for (int r = 0; r < n; ++r) {
        const float* mask = j_.tape.recurrent_mask.data() + (static_cast<std::int64_t>(batch_row[r]) * copies + k) * j_.hidden_ld;
        const float* from = product + r * j_.hidden_ld;
        float* to = dh + batch_row[r] * j_.hidden_ld;
        for (int u = column_begin_; u < column_begin_ + n_columns(); ++u) to[u] = (k || carried ? to[u] : 0.0f) + mask[u] * from[u];
      }
    }
  }

  void meet() {
    if (parties_ > 1) j_.meetings[static_cast<std::size_t>(group_)].wait(id_, parties_);
  }

  static void add(const float* from, int n, float* to) {
    for (int i = 0; i < n; ++i) to[i] += from[i];
  }

  // dW = X^T dG, dU = H^T dG, db = 1^T dG: feature rows are dealt to threads, each sums all pairs in order, so that the bits
  // do not depend on the number of threads.
  void weight_gradients() {
    const RecurrentWeights& w = j_.w;
    const std::int64_t inputs = w.inputs, pairs = j_.tape.pairs;
    const bool with_bias = j_.grads.dbias && !w.cell.layer_norm;  // added behind the normalization: see norm_gradients
    const std::int64_t x_end = inputs, h_end = x_end + w.outputs, bias_end = h_end + (with_bias ? 1 : 0);
    const std::int64_t features = with_bias ? h_end + w.cell.biases : h_end;
    const Range mine = split(features, team_.size, team_.id, 6);
    if (mine.begin >= mine.end) return;
    const std::int64_t ldc = static_cast<std::int64_t>(w.cell.gates) * w.units;
    // x and its bias face the vectors that x's product wrote, h (and a bias of its own) those of h's product.
    struct Part {
      Range features;
      float* output;
      const PackedMatrix& matrix;
      int first_vector;
    };
    const int h_vector = w.cell.recurrent_vector;
    const Part parts[4] = {{clip(mine, 0, x_end), j_.grads.dkernel, w.input, 0},
                           {clip(mine, x_end, h_end), j_.grads.drecurrent, w.recurrent, h_vector},
                           {clip(mine, h_end, bias_end), j_.grads.dbias, w.input, 0},
                           {clip(mine, bias_end, features), j_.grads.dbias + ldc, w.recurrent, h_vector}};
    const std::int64_t count = mine.end - mine.begin, biases = length(parts[2].features) + length(parts[3].features);
    const float** rows = pointers_.data();
    for (std::int64_t i = 0; i < count; ++i) rows[i] = scratch_.data() + i * kPairBlockStride;
    if (pairs == 0 && !j_.grads.accumulate) {  // every step masked
      for (const Part& part : parts)
        for (std::int64_t f = part.features.begin; f < part.features.end; ++f) std::fill_n(part.output + f * ldc, ldc, 0.0f);
    }
    const bool by_gate = w.cell.gates > 1 && (s_.input_mask || s_.recurrent_masks > 1 || w.cell.reset_backward);
    for (std::int64_t pair = 0; pair < pairs; pair += kPairBlock) {
      const int depth = static_cast<int>(std::min(kPairBlock, pairs - pair));
      for (std::int64_t i = count - biases; i < count; ++i) std::fill_n(scratch_.data() + i * kPairBlockStride, depth, 1.0f);
      for (int gate = 0; gate < (by_gate ? w.cell.gates : 1); ++gate) {
        transpose(parts[0].features, j_.x_rows + pair, 0, depth, scratch_.data());
        if (s_.input_mask) mask_inputs(parts[0].features, pair, gate, depth);
        const bool reset = w.cell.reset_backward && gate == w.cell.gates - 1;  // this gate's product read r*h
        transpose(parts[1].features, (reset ? j_.staged_rows : j_.hidden_rows) + pair,
                  s_.recurrent_masks > 1 && !reset ? gate * j_.hidden_ld : 0, depth,
                  scratch_.data() + length(parts[0].features) * kPairBlockStride);
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
            g.load_mask = pair > 0 || j_.grads.accumulate ? ~0u : 0u;
            const std::int64_t column = p * g.c_panel_stride;
            if (by_gate) select_vectors(g, part.matrix.layout.vector_of_gate(gate), 1, w.kernels.lanes);
            g.a = a;
            g.rows = static_cast<int>(length(part.features));
            if (g.rows == 0) continue;
            g.c = part.output + part.features.begin * ldc + column;
            w.kernels.gemm(g);
            a += g.rows;
          }
        }
      }
    }
  }

  // d(projection) = (h unprojected)^T d_outputs: units are dealt to threads, each sums all pairs in order.
  void projection_gradients() {
    const RecurrentWeights& w = j_.w;
    const PanelLayout& layout = w.projection.layout;
    const std::int64_t pairs = j_.tape.pairs;
    const Range mine = split(w.units, team_.size, team_.id, 6);
    if (length(mine) == 0) return;
    float* const out = j_.grads.dextra.back() + mine.begin * w.outputs;
    if (pairs == 0 && !j_.grads.accumulate) std::fill_n(out, length(mine) * w.outputs, 0.0f);
    const float** rows = pointers_.data();
    for (std::int64_t i = 0; i < length(mine); ++i) rows[i] = scratch_.data() + i * kPairBlockStride;
    for (std::int64_t pair = 0; pair < pairs; pair += kPairBlock) {
      const int depth = static_cast<int>(std::min(kPairBlock, pairs - pair));
      transpose(mine, j_.staged_rows + pair, 0, depth, scratch_.data());
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
  void norm_gradients() {
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
  void peephole_gradients() {
    const RecurrentWeights& w = j_.w;
    const Range panels = split(w.panels(), team_.size, team_.id);
    for (std::int64_t p = panels.begin; p < panels.end; ++p) {
      PeepholeGradientArgs g{};
      g.pairs = j_.tape.pairs;
      g.gates = j_.tape.gates.data() + p * g.pairs * w.gates_width();
      g.c = j_.tape.unit_state.data() + p * g.pairs * w.kernels.lanes;
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
  void mask_inputs(Range f, std::int64_t pair, int gate, int depth) {
    for (int i = 0; i < depth; ++i) {
      const std::int64_t row = j_.dx_rows[pair + i] / s_.time;
      const float* mask = s_.input_mask + (row * j_.w.cell.gates + gate) * j_.w.inputs + f.begin;
      for (std::int64_t k = 0; k < length(f); ++k) scratch_.data()[k * kPairBlockStride + i] *= mask[k];
    }
  }

  static Range clip(Range r, std::int64_t begin, std::int64_t end) {
    const std::int64_t b = std::clamp(r.begin, begin, end), e = std::clamp(r.end, begin, end);
    return {b - begin, e - begin};
  }
  static std::int64_t length(Range f) { return f.end - f.begin; }

  void transpose(Range f, const float* const* rows, std::int64_t offset, int depth, float* out) {
    if (length(f) > 0) j_.w.kernels.transpose(rows, offset + f.begin, depth, static_cast<int>(length(f)), out, kPairBlockStride);
  }

  // dX = dG W^T over all pairs.
  void input_gradients() {
    const RecurrentWeights& w = j_.w;
    const PackedMatrix& wt = w.transposed().input;
    const std::int64_t width = w.gates_width();
    const Range mine = split(j_.tape.pairs, team_.size, team_.id, 6);
    if (mine.begin >= mine.end) return;
    const float** rows = pointers_.data();
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
        g.c = scratch_.data();
        masked_input_gradients(g, pair);
      }
    }
  }

  // dx = sum over gates of mask * (dG W^T of the gate).
  void masked_input_gradients(const GemmArgs& g, std::int64_t pair) {
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

 public:
  // Rows of weight gradients that threads share.
  static std::int64_t features(const RecurrentWeights& w) { return std::max(w.inputs + w.outputs + w.cell.biases, w.units); }
  static std::size_t pointers_needed(const RecurrentWeights& w, int batch) {
    return static_cast<std::size_t>(std::max<std::int64_t>({4 * batch, features(w), kInputRows}));
  }
  // Transposed features of a block of pairs; products behind a dropout mask.
  static std::size_t scratch_needed(const RecurrentWeights& w, const SequenceTape& tape, int threads) {
    const std::int64_t transposed = std::min(features(w), (features(w) + threads - 1) / threads + 12) * kPairBlockStride;
    const std::int64_t states =
        tape.recurrent_mask || w.cell.reset_backward ? tape.sequence.batch * std::max(tape.units_ld, tape.outputs_ld) : 0;
    const std::int64_t inputs = tape.sequence.input_mask ? kInputRows * w.inputs : 0;
    const std::int64_t kept = w.cell.layer_norm ? w.padded_units() * RecurrentWeights::kNormKept : 0;
    return static_cast<std::size_t>(std::max({transposed, states, inputs, kept}));
  }

 private:
  const BackwardJob& j_;
  const Sequence& s_;
  const Team& team_;
  Buffer& scratch_;
  std::vector<const float*>& pointers_;
  std::vector<int>& ints_;
  bool idle_ = false;
  int group_ = 0, id_ = 0, parties_ = 1, unit_begin_ = 0, unit_end_ = 0, column_begin_ = 0, column_end_ = 0;
  Range rows_{};
};

}  // namespace

void sequence_backward(const RecurrentWeights& w, SequenceTape& tape, const SequenceGradients& grads) {
  const Sequence& s = tape.sequence;
  const std::int64_t ld = tape.units_ld, outputs_ld = tape.outputs_ld;
  w.transposed();

  Buffer dh(static_cast<std::size_t>(s.batch * outputs_ld)), dc, d_outputs, d_unprojected, d_norm;
  pad_rows(grads.dfinal[0], s.batch, w.outputs, outputs_ld, outputs_ld, dh.data());
  if (w.cell.projection) {
    d_outputs = Buffer(static_cast<std::size_t>(tape.pairs * outputs_ld));
    d_unprojected = Buffer(static_cast<std::size_t>(s.batch * ld));
    pad_rows(nullptr, s.batch, 0, ld, ld, d_unprojected.data());
  }
  if (w.cell.states == 2) {
    dc = Buffer(static_cast<std::size_t>(s.batch * ld));
    pad_rows(grads.dfinal[1], s.batch, w.units, ld, ld, dc.data());
  }

  const std::int64_t norm_ld = w.cell.layer_norm ? w.padded_units() * RecurrentWeights::kNormWeights : 0;
  if (w.cell.layer_norm) {
    d_norm = Buffer(static_cast<std::size_t>(s.batch * norm_ld));
    std::fill_n(d_norm.data(), s.batch * norm_ld, 0.0f);
  }

  const std::int64_t hidden_ld = outputs_ld * s.recurrent_masks;
  const std::size_t pairs = static_cast<std::size_t>(tape.pairs);
  std::vector<const float*> x_rows(pairs), hidden_rows(pairs), staged_rows(w.two_stages() ? pairs : 0);
  std::vector<std::int32_t> dx_rows(pairs), before(pairs), last(static_cast<std::size_t>(s.batch), -1);
  for (int step = 0; step < s.time; ++step)
    for (int row = 0; row < s.batch; ++row) {
      const std::int32_t p = tape.pair(step, row);
      if (p < 0) continue;
      const std::size_t i = static_cast<std::size_t>(p);
      dx_rows[i] = row * s.time + s.input_time(step);
      if (w.two_stages()) staged_rows[i] = tape.staged.data() + p * ld;
      x_rows[i] = s.x + static_cast<std::int64_t>(dx_rows[i]) * w.inputs;
      before[i] = std::exchange(last[static_cast<std::size_t>(row)], p);
      hidden_rows[i] = before[i] < 0 ? tape.initial_hidden.data() + row * hidden_ld : tape.hidden.data() + before[i] * hidden_ld;
    }
  if (grads.dx && s.ragged()) std::fill_n(grads.dx, static_cast<std::int64_t>(s.batch) * s.time * w.inputs, 0.0f);

  const double flops =
      4.0 * static_cast<double>(tape.pairs) * w.units * (w.cell.gates * (w.inputs + w.outputs) + (w.cell.projection ? w.outputs : 0));
  const int threads = threads_for_work(flops);
  std::vector<Barrier> meetings(static_cast<std::size_t>(threads));
  struct Memory {
    Buffer scratch;
    std::vector<const float*> pointers;
    std::vector<int> ints;
  };
  std::vector<Memory> memory(static_cast<std::size_t>(threads));
  for (Memory& m : memory) {
    // Should the team turn out to be one thread (busy, forked), that one needs room for all features.
    m.pointers.resize(BackwardWorker::pointers_needed(w, s.batch));
    m.ints.resize(static_cast<std::size_t>(s.batch) * 3);
    m.scratch = Buffer(BackwardWorker::scratch_needed(w, tape, &m == &memory[0] ? 1 : threads));
  }
  const BackwardJob job{w,
                        tape,
                        grads,
                        ld,
                        outputs_ld,
                        dh.data(),
                        dc.data(),
                        d_outputs.data(),
                        d_unprojected.data(),
                        d_norm.data(),
                        norm_ld,
                        x_rows.data(),
                        hidden_rows.data(),
                        staged_rows.data(),
                        dx_rows.data(),
                        before.data(),
                        meetings};
  run_team(threads, [&](const Team& team) {
    Memory& m = memory[static_cast<std::size_t>(team.id)];
    BackwardWorker(job, team, m.scratch, m.pointers, m.ints).run();
  });

  for (int row = 0; row < s.batch; ++row) {
    if (grads.dinitial[0])
      std::copy_n(dh.data() + row * outputs_ld, w.outputs, grads.dinitial[0] + static_cast<std::int64_t>(row) * w.outputs);
    if (grads.dinitial[1]) std::copy_n(dc.data() + row * ld, w.units, grads.dinitial[1] + static_cast<std::int64_t>(row) * w.units);
  }
}

}  // namespace lstmfast
