// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <numeric>

#include "gemm/gemm.h"
#include "recurrent/backward_job.h"
#include "recurrent/planning.h"
#include "recurrent/zoneout.h"

namespace lstmfast {
BackwardSteps::BackwardSteps(const BackwardJob& job, const Team& team, BackwardMemory& memory)
    : j_(job), s_(job.tape.sequence), m_(memory) {
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
  carries_hidden_ = job.w.cell.carries_hidden || s_.zoneout.rate[0] > 0;
}

void BackwardSteps::run() {
  if (idle_) return;
  const int batch = s_.batch;
  int* batch_row = m_.ints;
  int* index = batch_row + batch;
  int* before = index + batch;
  const float** dy = m_.pointers;
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
        if (dy_row && !s_.zero_output(row, step))
          w.kernels.accumulate(n_columns(), dy_row + column_begin_, j_.dh + row * j_.hidden_ld + column_begin_);
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
    if (n == 0) {  // the same for all threads of the group
      start_anew(step);
      continue;
    }

    CellBackwardArgs c{};
    c.rows = n;
    c.panels = (std::min<int>(unit_end_, static_cast<int>(w.padded_units())) - unit_begin_) / w.panel_units();
    c.activation = w.activation;
    c.recurrent_activation = w.recurrent_activation;
    c.gates_panel_stride = plane;
    c.gates = j_.tape.gates.data() + first_panel * plane;
    c.gates_row = index;
    c.c_panel_stride = j_.tape.planes * w.kernels.lanes;
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
    c.kept = m_.scratch;
    if (s_.zoneout.any()) {
      draw_zoneout(batch_row, n, step);
      c.zone_h = w.cell.projection ? nullptr : m_.zone[0];
      c.zone_c = m_.zone[1];
      c.zone_ld = j_.ld;
      c.c_made_panel_stride = j_.tape.pairs * w.kernels.lanes;
      if (j_.c_made) c.c_made = j_.c_made + first_panel * c.c_made_panel_stride;
    }
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
    g.load_mask = carries_hidden_ ? ~0u : 0u;
    if (w.cell.reset_backward) {
      reset_gradients(g, c, hidden_rows, n);
      meet();
      if (s_.recurrent_masks == 1) select_depth(g, w.recurrent.layout.vector_of_gate(0), 2, w.cell.gates, w.kernels.lanes);
    }
    if (g.panels > 0) state_gradients(g, batch_row, n);
    start_anew(step);
    // The next step's gates are other pairs: nobody overwrites what a slower thread still reads.
  }
}

// This thread's part of what some rows keep at a step.
void BackwardSteps::draw_zoneout(const int* batch_row, int n, int step) {
  const KernelTable& k = j_.w.kernels;
  if (s_.zoneout.rate[0] > 0) zoneout_shares(k, s_, batch_row, n, step, 0, {column_begin_, column_end_}, j_.hidden_ld, m_.zone[0]);
  if (m_.zone[1]) zoneout_shares(k, s_, batch_row, n, step, 1, {unit_begin_, unit_end_}, j_.ld, m_.zone[1]);
}

// The whole gradient of a projected h (what zoneout lets pass the step by stays in dh), and from it that of this thread's units
// before the projection.
void BackwardSteps::unproject(const int* batch_row, const int* index, const float* const* dy, const float* const* output_rows, int n) {
  const RecurrentWeights& w = j_.w;
  for (int r = 0; r < n; ++r) {
    float* from = j_.dh + batch_row[r] * j_.hidden_ld;
    float* to = j_.d_outputs + index[r] * j_.hidden_ld;
    std::copy(from + column_begin_, from + column_end_, to + column_begin_);  // with the padding, which the product reads
    if (dy[r]) w.kernels.accumulate(n_columns(), dy[r] + column_begin_, to + column_begin_);
    if (!m_.zone[0]) continue;
    const float* keep = m_.zone[0] + r * j_.hidden_ld;
    for (int u = column_begin_; u < column_begin_ + n_columns(); ++u) {
      from[u] = keep[u] * to[u];
      to[u] *= 1.0f - keep[u];
    }
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
void BackwardSteps::reset_gradients(const GemmArgs& state_product, CellBackwardArgs c, const float* const* hidden_rows, int n) {
  const RecurrentWeights& w = j_.w;
  const int candidate = w.cell.gates - 1;
  GemmArgs g = state_product;
  select_depth(g, w.recurrent.layout.vector_of_gate(candidate), 1, w.cell.gates, w.kernels.lanes);
  g.c = m_.scratch + unit_begin_;
  g.c_row = nullptr;
  g.load_mask = 0;
  g.rows = n;
  if (g.panels > 0) gemm_blocked(w.kernels, g);
  c.dreset = m_.scratch;
  c.reset_ld = j_.ld;
  c.h_in = hidden_rows;
  if (j_.tape.recurrent_mask) {
    c.mask = j_.tape.recurrent_mask.data() + (s_.recurrent_masks > 1 ? candidate : 0) * j_.ld;
    c.mask_stride = s_.recurrent_masks * j_.ld;
  }
  if (c.panels > 0) (w.kernels.*w.cell.reset_backward)(c);
}

// dh (+)= dG U^T; behind recurrent dropout the sum over masks of mask * (dG U^T of the mask's gates).
void BackwardSteps::state_gradients(GemmArgs g, const int* batch_row, int n) {
  if (!j_.tape.recurrent_mask) return gemm_blocked(j_.w.kernels, g);
  const RecurrentWeights& w = j_.w;
  const int copies = s_.recurrent_masks, products = copies > 1 && w.cell.reset_backward ? copies - 1 : copies;
  float* product = m_.scratch;  // [row][hidden_ld], this thread's columns
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
      for (int u = column_begin_; u < column_begin_ + n_columns(); ++u) to[u] = (k || carries_hidden_ ? to[u] : 0.0f) + mask[u] * from[u];
    }
  }
}

// Before a step with a reset lies the initial state: it takes the gradients of h and c over.
void BackwardSteps::start_anew(int step) {
  if (!s_.resets) return;
  const auto move = [this](float* from, float* to, int begin, int end) {
    j_.w.kernels.accumulate(end - begin, from + begin, to + begin);
    std::fill(from + begin, from + end, 0.0f);
  };
  for (std::int64_t row = rows_.begin; row < rows_.end; ++row) {
    if (!s_.reset(static_cast<int>(row), step)) continue;
    move(j_.dh + row * j_.hidden_ld, j_.d_initial[0] + row * j_.hidden_ld, column_begin_, column_end_);
    if (j_.dc) move(j_.dc + row * j_.ld, j_.d_initial[1] + row * j_.ld, unit_begin_, unit_end_);
  }
}

void BackwardSteps::meet() {
  if (parties_ > 1) j_.meetings[static_cast<std::size_t>(group_)].wait(id_, parties_);
}

std::size_t BackwardSteps::scratch_needed(const RecurrentWeights& w, const SequenceTape& tape) {
  const std::int64_t states =
      tape.recurrent_mask || w.cell.reset_backward ? tape.sequence.batch * std::max(tape.units_ld, tape.outputs_ld) : 0;
  const std::int64_t kept = w.cell.layer_norm ? w.padded_units() * RecurrentWeights::kNormKept : 0;
  return static_cast<std::size_t>(std::max(states, kept));
}

}  // namespace lstmfast
