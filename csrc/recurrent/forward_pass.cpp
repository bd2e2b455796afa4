// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/forward_pass.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>

#include "dispatch/cpu_features.h"
#include "gemm/gemm.h"
#include "recurrent/planning.h"
#include "recurrent/zoneout.h"

namespace lstmfast {
ForwardPass::ForwardPass(const RecurrentWeights& w, const Sequence& s, float* y, float* const final_state[2], SequenceTape* tape,
                         int threads, Pipeline pipeline)
    : w_(w),
      s_(s),
      y_(y),
      final_state_{final_state[0], final_state[1]},
      tape_(tape),
      threads_(threads),
      pipeline_(pipeline),
      ld_(state_stride(w)),
      copy_ld_(hidden_stride(w)),
      hidden_ld_(copy_ld_ * s.recurrent_masks),
      output_ld_(s.output_ld ? s.output_ld : w.outputs),
      beside_(advances_beside(w, s, threads)),
      chunk_(std::min(chunk_steps(w, s, threads, beside_), pipeline.x || pipeline.y ? kPipelineSteps : s.time)),
      window_(beside_ ? 2 * chunk_ : chunk_),
      planes_(tape ? tape->pairs : static_cast<std::int64_t>(window_) * s.batch),
      unit_state_planes_(tape ? tape->planes : s.batch) {}

void ForwardPass::carve(Carver& memory) {
  const auto size = [](auto n) { return static_cast<std::size_t>(n); };
  const std::size_t batch = size(s_.batch), state = batch * size(ld_), all = batch * size(chunk_);
  const bool unit_state = w_.cell.keeps_unit_state, staged = w_.two_stages();
  const std::size_t hidden = batch * size(hidden_ld_);
  // A tape's initial states outlive the call.
  initial_hidden_ = tape_ ? tape_->initial_hidden.data() : memory.take<float>(hidden);
  if (unit_state) initial_unit_state_ = tape_ ? tape_->initial_unit_state.data() : memory.take<float>(state);
  if (s_.recurrent_mask) recurrent_mask_ = tape_ ? tape_->recurrent_mask.data() : memory.take<float>(hidden);
  gates_ = tape_ ? tape_->gates.data() : memory.take<float>(size(planes_) * size(w_.panels() * w_.gates_width()));
  if (unit_state) unit_state_ = tape_ ? tape_->unit_state.data() : memory.take<float>(size(unit_state_planes_) * size(w_.padded_units()));
  hidden_ = tape_ ? tape_->hidden.data() : memory.take<float>(2 * hidden);
  const bool zones[2] = {s_.zoneout.keeps(w_.cell, 0), s_.zoneout.keeps(w_.cell, 1)};
  // A cell with h alone has it in its unit state too.
  const bool plain = zones[0] && s_.recurrent_mask && !(unit_state && w_.cell.states == 1);
  if (plain) plain_hidden_ = memory.take<float>(batch * size(copy_ld_));
  if (staged) staged_ = tape_ ? tape_->staged.data() : memory.take<float>(state);
  if (s_.ragged()) order_ = memory.take<int>(batch);
  meetings_ = memory.take<Barrier>(size(threads_));
  thread_memory_ = memory.take<ThreadMemory>(size(threads_));
  for (int i = 0; i < threads_; ++i) {
    ThreadMemory m{};
    m.x_rows = memory.take<const float*>(all);
    m.x_index = memory.take<int>(all);
    if (s_.input_mask) {
      m.masked_rows = memory.take<const float*>(all);
      m.masked = memory.take<float>(all * size(w_.inputs));
      m.x_batch_row = memory.take<int>(all);
    }
    m.h_in = memory.take<const float*>(batch);
    m.h_out = memory.take<float*>(batch);
    m.y_out = memory.take<float*>(batch);
    if (zones[0]) m.zone[0] = memory.take<float>(batch * size(copy_ld_));
    if (zones[1]) m.zone[1] = memory.take<float>(state);
    if (plain) m.h_plain = memory.take<float*>(batch);
    if (zones[1] && w_.cell.layer_norm) m.kept = memory.take<float>(size(w_.padded_units()));
    if (staged) m.staged_out = memory.take<float*>(batch);
    if (w_.cell.projection) m.h_slot = memory.take<int>(batch);
    if (beside_) {
      m.beside_sums = memory.take<float>(kBesideSums);
      m.beside_inputs = memory.take<float>(size(w_.inputs) * size(chunk_));
    }
    for (int** p : {&m.rows, &m.batch_row, &m.index, &m.c_in, &m.c_out, &m.last, &m.last_step}) *p = memory.take<int>(batch);
    if (m.rows) thread_memory_[i] = m;
  }
}

void ForwardPass::prepare() {
  const int copies = s_.recurrent_masks;
  for (int k = 0; k < copies; ++k) pad_rows(s_.initial[0], s_.batch, w_.outputs, copy_ld_, hidden_ld_, initial_hidden_ + k * copy_ld_);
  if (w_.cell.keeps_unit_state) pad_rows(s_.initial[w_.cell.states - 1], s_.batch, w_.units, ld_, ld_, initial_unit_state_);
  if (plain_hidden_) pad_rows(s_.carried[0] ? s_.carried[0] : s_.initial[0], s_.batch, w_.outputs, copy_ld_, copy_ld_, plain_hidden_);
  if (s_.recurrent_mask) {
    pad_rows(s_.recurrent_mask, s_.batch * copies, w_.outputs, copy_ld_, copy_ld_, recurrent_mask_);
    const std::int64_t all = static_cast<std::int64_t>(s_.batch) * hidden_ld_;
    for (std::int64_t i = 0; i < all; ++i) initial_hidden_[i] *= recurrent_mask_[i];
  }
  if (s_.carried[0]) place_carried();
  if (order_) {
    std::iota(order_, order_ + s_.batch, 0);
    if (s_.lengths)  // ties by row: the order that a stable sort gives, without its memory
      std::sort(order_, order_ + s_.batch,
                [&](int a, int b) { return s_.lengths[a] != s_.lengths[b] ? s_.lengths[a] > s_.lengths[b] : a < b; });
  }
  for (int i = 0; i < threads_; ++i) new (meetings_ + i) Barrier;
}

// The carried states where a step would have left them.
void ForwardPass::place_carried() {
  const int copies = s_.recurrent_masks;
  float* const h = hidden_ + first_slot() * hidden_ld_;
  for (int k = 0; k < copies; ++k) pad_rows(s_.carried[0], s_.batch, w_.outputs, copy_ld_, hidden_ld_, h + k * copy_ld_);
  if (s_.recurrent_mask)
    for (std::int64_t i = 0; i < s_.batch * hidden_ld_; ++i) h[i] *= recurrent_mask_[i];
  if (!w_.cell.keeps_unit_state) return;
  const int lanes = w_.kernels.lanes;
  const float* c = s_.carried[w_.cell.states - 1];
  for (int row = 0; row < s_.batch; ++row, c += w_.units)
    for (int u = 0; u < w_.padded_units(); u += lanes) {
      float* to = unit_state_ + (u / lanes * unit_state_planes_ + (tape_ ? first_slot() : 0) + row) * lanes;
      const int n = std::clamp(w_.units - u, 0, lanes);
      std::fill(std::copy_n(c + u, n, to), to + lanes, 0.0f);
    }
}

// One thread's part of the pass.
class ForwardWorker {
 public:
  ForwardWorker(const ForwardPass& pass, const Team& team) : j_(pass), w_(pass.w_), s_(pass.s_), m_(pass.thread_memory_[team.id]) {
    const Sharing share = choose_sharing(team.size, w_, s_);
    idle_ = team.id >= share.row_groups * share.unit_groups;
    if (idle_) return;
    const int group = team.id / share.unit_groups;
    meeting_ = pass.meetings_ + group;
    id_ = team.id % share.unit_groups;
    parties_ = share.unit_groups;
    const Range panels = split(w_.panels(), share.unit_groups, id_);
    first_panel_ = static_cast<int>(panels.begin);
    panels_ = static_cast<int>(panels.end - panels.begin);
    if (w_.cell.projection) columns_ = split(w_.projection.layout.panels, share.unit_groups, id_);
    if (s_.ragged()) {
      for (int g = 0; g < group; ++g) first_row_ += (s_.batch - g + share.row_groups - 1) / share.row_groups;
      for (int i = group; i < s_.batch; i += share.row_groups) m_.rows[n_rows_++] = j_.order_[i];
    } else {
      const Range r = split(s_.batch, share.row_groups, group);
      first_row_ = static_cast<int>(r.begin);
      for (std::int64_t i = r.begin; i < r.end; ++i) m_.rows[n_rows_++] = static_cast<int>(i);
    }
    beside_ = j_.beside_ && n_rows_ == 1;
  }

  void run() {
    if (idle_) return;
    start();
    for (int step = 0; step < s_.time; step += j_.chunk_) {
      const int end = std::min(step + j_.chunk_, s_.time);
      if (!beside_ || step == 0) input_products(step, end);
      if (beside_) begin_beside(end);
      for (int t = step; t < end; ++t) {
        const int n = address_rows(t);
        if (s_.zoneout.any() && (s_.zoneout.random || t == 0)) draw_zoneout(t, s_.zoneout.random ? n : n_rows_);
        if (n > 0) one_step(n);
        meet();
      }
      if (j_.pipeline_.y) j_.pipeline_.y->reach(static_cast<unsigned>(end));
      if (beside_) w_.kernels.gemm_finish(beside_product_);
    }
    finish();
  }

 private:
  int unit_begin() const { return first_panel_ * w_.panel_units(); }
  int unit_end() const { return std::min((first_panel_ + panels_) * w_.panel_units(), w_.units); }
  // This thread's part of h.
  int hidden_begin() const {
    return w_.cell.projection ? std::min(static_cast<int>(columns_.begin * w_.projection.layout.width()), w_.outputs) : unit_begin();
  }
  int hidden_end() const {
    return w_.cell.projection ? std::min(static_cast<int>(columns_.end * w_.projection.layout.width()), w_.outputs) : unit_end();
  }
  void meet() {
    if (parties_ == 1) return;
    const unsigned round = meeting_->arrive(id_, parties_);
    constexpr int kSteps = 8;  // of a tile: about the 70 ns that the news takes
    if (beside_) w_.kernels.gemm_advance(beside_product_, kSteps);
    meeting_->wait_for_others(round, id_, parties_);
  }

  // What is the same for all steps.
  void start() {
    for (int r = 0; r < n_rows_; ++r) {
      const int row = m_.rows[r];
      m_.last[row] = s_.carried[0] ? static_cast<int>(j_.first_slot()) + row : -1;
      m_.last_step[row] = s_.carried[0] ? kCarried : kInitial;
    }
    const double mine = static_cast<double>(w_.recurrent.bytes()) * panels_ / w_.panels();
    turns_ = !w_.cell.layer_norm && mine > 0.75 * static_cast<double>(cache_sizes().l2);
    input_ = product(w_.input, 0);
    recurrent_ = product(w_.recurrent, w_.cell.recurrent_vector);
    recurrent_.a = m_.h_in;
    recurrent_.c_row = m_.index;
    recurrent_.load_mask = w_.cell.adds_to;

    cell_ = CellForwardArgs{};
    cell_.activation = w_.activation;
    cell_.recurrent_activation = w_.recurrent_activation;
    cell_.gates_panel_stride = recurrent_.c_panel_stride;
    cell_.gates_row = m_.index;
    cell_.keep_gates = j_.tape_ != nullptr;
    cell_.c_in_panel_stride = cell_.c_out_panel_stride = j_.unit_state_planes_ * w_.kernels.lanes;
    cell_.c_in_row = m_.c_in;
    cell_.c_initial = j_.initial_unit_state_;
    cell_.c_initial_ld = j_.ld_;
    cell_.batch_row = m_.batch_row;
    cell_.c_out_row = m_.c_out;
    cell_.h_in = m_.h_in;
    cell_.h_out = m_.h_out;
    // Without a sequence output the (unmasked) h still has to reach the final state when the recurrent mask hides it.
    cell_.y_out = j_.y_ || j_.recurrent_mask_ ? m_.y_out : nullptr;
    cell_.recurrent_mask = j_.recurrent_mask_;
    cell_.copies = s_.recurrent_masks;
    cell_.copy_stride = j_.copy_ld_;
    cell_.units = w_.units;
    cell_.vectors = w_.gate_vectors();
    cell_.peephole = w_.peephole.data();
    cell_.norm = w_.norm.data();
    cell_.norm_scales = j_.tape_ ? j_.tape_->norm_scales.data() : nullptr;
    cell_.zone_h = m_.zone[0];
    cell_.zone_c = m_.zone[1];
    cell_.zone_ld = j_.ld_;
    cell_.h_plain = m_.h_plain;
    cell_.kept = m_.kept;
    if (w_.cell.projection) start_projection();
  }

  // Of the first n rows at this step; without randomness once for all steps.
  void draw_zoneout(int step, int n) {
    const Range units{unit_begin(), static_cast<std::int64_t>(first_panel_ + panels_) * w_.panel_units()};
    const Range hidden = w_.cell.projection ? Range{hidden_begin(), hidden_end()} : units;
    const int* rows = s_.zoneout.random ? m_.batch_row : m_.rows;
    if (m_.zone[0]) zoneout_shares(w_.kernels, s_, rows, n, step, 0, hidden, j_.copy_ld_, m_.zone[0]);
    if (m_.zone[1]) zoneout_shares(w_.kernels, s_, rows, n, step, 1, units, j_.ld_, m_.zone[1]);
  }

  void start_projection() {
    cell_.h_out = m_.staged_out;
    cell_.y_out = nullptr;
    cell_.recurrent_mask = nullptr;
    cell_.zone_h = nullptr;
    w_.projection.address_panels(projection_, static_cast<int>(columns_.begin), static_cast<int>(columns_.end - columns_.begin));
    projection_.a = const_cast<const float**>(m_.staged_out);
    projection_.c = j_.hidden_ + columns_.begin * w_.projection.layout.width();
    projection_.c_row = m_.h_slot;
    projection_.ldc = j_.hidden_ld_;
    w_.projection.layout.address_columns(projection_);
    projection_.limit = INT64_MAX / 2;  // rows have room for whole panels
  }

  // Index in `gates` of a step of this thread's row number r.
  int gates_index(int step, int r) const {
    return j_.tape_ ? j_.tape_->pair(step, m_.rows[r]) : first_row_ * j_.window_ + (step % j_.window_) * n_rows_ + r;
  }

  // A product with this thread's panels of `m`, into the vectors of `gates` from `first_vector` on.
  GemmArgs product(const PackedMatrix& m, int first_vector) const {
    GemmArgs g{};
    m.address_panels(g, first_panel_, panels_);
    g.ldc = w_.gates_width();
    g.c_panel_stride = j_.planes_ * g.ldc;
    g.c = j_.gates_ + first_panel_ * g.c_panel_stride;
    for (int v = 0; v < g.vectors; ++v) g.c_vector[v] = (first_vector + v) * w_.kernels.lanes;
    g.limit = INT64_MAX / 2;  // padding lanes are computed: they are zero
    return g;
  }

  // The part of a product that belongs to one gate (all of it, where the cell has but one).
  void gate_product(GemmArgs g, const PanelLayout& layout, int gate) const {
    if (w_.cell.gates > 1) select_vectors(g, layout.vector_of_gate(gate), 1, w_.kernels.lanes);
    gemm_blocked(w_.kernels, g);
  }

  // The inputs of some steps as rows of the input product; returns whether there are any.
  bool address_inputs(int begin, int end) {
    if (j_.pipeline_.x) j_.pipeline_.x->wait_for(static_cast<unsigned>(end));
    int n = 0;
    for (int step = begin; step < end; ++step)
      for (int r = 0; r < n_rows_; ++r) {
        const int row = m_.rows[r];
        if (s_.ragged() && !s_.valid(row, step)) continue;
        m_.x_rows[n] = s_.x + (static_cast<std::int64_t>(row) * s_.time + s_.input_time(step)) * w_.inputs;
        if (s_.input_mask) m_.x_batch_row[n] = row;
        m_.x_index[n++] = gates_index(step, r);
      }
    input_.rows = n;
    input_.a = m_.x_rows;
    input_.c_row = m_.x_index;
    return n > 0;
  }

  // The input products of the chunk that begins at `step`, to advance beside this one's steps.
  void begin_beside(int step) {
    address_inputs(step, std::min(step + j_.chunk_, s_.time));
    beside_product_ = {&input_, m_.beside_inputs, m_.beside_sums, 0, 0, 0};
    if (input_.rows == j_.chunk_) w_.kernels.transpose(m_.x_rows, 0, input_.rows, w_.inputs, m_.beside_inputs, input_.rows);
  }

  void input_products(int begin, int end) {
    if (!address_inputs(begin, end)) return;
    GemmArgs& g = input_;
    if (!s_.input_mask) gemm_blocked(w_.kernels, g);
    else masked_input_products(g.rows);
    if (w_.cell.layer_norm) w_.kernels.lstm_norm_inputs({g.rows, w_.units, g.c, g.c_panel_stride, m_.x_index, cell_.norm_scales});
  }

  // With one dropout mask a gate: gate by gate.
  void masked_input_products(int n) {
    GemmArgs& g = input_;
    g.a = m_.masked_rows;
    for (int gate = 0; gate < w_.cell.gates; ++gate) {
      for (int i = 0; i < n; ++i) {
        const float* mask = s_.input_mask + (static_cast<std::int64_t>(m_.x_batch_row[i]) * w_.cell.gates + gate) * w_.inputs;
        float* masked = m_.masked + static_cast<std::int64_t>(i) * w_.inputs;
        for (int k = 0; k < w_.inputs; ++k) masked[k] = m_.x_rows[i][k] * mask[k];
        m_.masked_rows[i] = masked;
      }
      gate_product(g, w_.input.layout, gate);
    }
  }

  // Where the rows that take part in a step read and write; returns how many there are.
  int address_rows(int step) {
    const std::int64_t ld = j_.hidden_ld_;
    int n = 0;
    for (int r = 0; r < n_rows_; ++r) {
      const int row = m_.rows[r];
      if (s_.resets && s_.reset(row, step)) {
        m_.last[row] = -1;
        m_.last_step[row] = kInitial;
        if (j_.plain_hidden_) reset_plain_hidden(row);
      }
      if (s_.ragged() && !s_.valid(row, step)) {
        if (j_.y_) repeat_output(row, step);
        continue;
      }
      m_.batch_row[n] = row;
      m_.last_step[row] = step;
      m_.index[n] = gates_index(step, r);
      const int last = m_.last[row];
      m_.h_in[n] = last < 0 ? j_.initial_hidden_ + row * ld : j_.hidden_ + last * ld;
      if (j_.tape_) {
        m_.h_out[n] = j_.hidden_ + m_.index[n] * ld;
        m_.c_in[n] = last;
        m_.last[row] = m_.c_out[n] = m_.index[n];
      } else {
        const int slot = last < 0 ? row : (last + s_.batch) % (2 * s_.batch);  // the two slots take turns
        m_.h_out[n] = j_.hidden_ + slot * ld;
        m_.c_in[n] = last < 0 ? -1 : row;
        m_.c_out[n] = row;
        m_.last[row] = slot;
      }
      if (m_.h_slot) m_.h_slot[n] = m_.last[row];
      if (m_.h_plain) m_.h_plain[n] = j_.plain_hidden_ + row * j_.copy_ld_;
      m_.y_out[n] =
          j_.y_ ? j_.y_ + s_.output_row(row, step) * j_.output_ld_ : j_.final_state_[0] + static_cast<std::int64_t>(row) * w_.outputs;
      if (j_.staged_) m_.staged_out[n] = j_.staged_ + (j_.tape_ ? m_.index[n] : row) * j_.ld_;
      ++n;
    }
    return n;
  }

  void one_step(int n) {
    recurrent_.rows = cell_.rows = n;
    if (!w_.cell.reset_forward) {
      by_panels(recurrent_, w_.cell.forward, [this](const GemmArgs& g) { recurrent_product(g, 0, w_.cell.gates); });
      if (w_.cell.projection) project(n);
      return;
    }
    // The reset gate before the product: z and r from h, then the candidate from r*h.
    const PanelLayout& layout = w_.recurrent.layout;
    GemmArgs reset = recurrent_;
    if (s_.recurrent_masks == 1) select_vectors(reset, layout.vector_of_gate(0), 2, w_.kernels.lanes);
    cell_.h_out = m_.staged_out;
    const int candidate = w_.cell.gates - 1;
    if (s_.recurrent_masks > 1)
      for (int i = 0; i < n; ++i) m_.h_in[i] += candidate * j_.copy_ld_;
    by_panels(reset, w_.cell.reset_forward, [&](const GemmArgs& g) { recurrent_product(g, -candidate, candidate); });
    meet();
    cell_.h_out = m_.h_out;
    GemmArgs mixed = recurrent_;
    select_vectors(mixed, layout.vector_of_gate(candidate), 1, w_.kernels.lanes);
    mixed.a = const_cast<const float**>(m_.staged_out);
    by_panels(mixed, w_.cell.forward, [this](const GemmArgs& g) { gemm_blocked(w_.kernels, g); });
  }

  // h from what the cell made of all units; its copies behind the recurrent mask, and the output.
  void project(int n) {
    meet();
    projection_.rows = n;
    if (projection_.panels > 0) gemm_blocked(w_.kernels, projection_);
    if (!j_.y_ && !j_.recurrent_mask_ && !m_.zone[0]) return;
    const int begin = hidden_begin(), end = hidden_end();
    for (int i = 0; i < n; ++i) {
      float* h = m_.h_out[i];
      if (m_.zone[0]) mix_projected(i, begin, end, h);
      if (!j_.y_ && !j_.recurrent_mask_) continue;
      std::copy(h + begin, h + end, m_.y_out[i] + begin);
      if (!j_.recurrent_mask_) continue;
      const float* mask = j_.recurrent_mask_ + m_.batch_row[i] * j_.hidden_ld_;
      for (std::int64_t k = s_.recurrent_masks - 1; k >= 0; --k)  // the first copy is h itself: last
        for (std::int64_t u = begin; u < end; ++u) h[k * j_.copy_ld_ + u] = h[u] * mask[k * j_.copy_ld_ + u];
    }
  }

  // Zoneout of a projected h, of a step's row i.
  void mix_projected(int i, int begin, int end, float* h) {
    const float* keep = m_.zone[0] + i * j_.copy_ld_;
    const float* before = m_.h_plain ? m_.h_plain[i] : m_.h_in[i];
    for (int u = begin; u < end; ++u) h[u] = keep[u] * before[u] + (1.0f - keep[u]) * h[u];
    if (m_.h_plain) std::copy(h + begin, h + end, m_.h_plain[i] + begin);
  }

  // This thread's part of the initial h, where zoneout reads it.
  void reset_plain_hidden(int row) {
    float* to = j_.plain_hidden_ + row * j_.copy_ld_;
    const int begin = hidden_begin(), end = hidden_end();
    if (s_.initial[0]) std::copy_n(s_.initial[0] + static_cast<std::int64_t>(row) * w_.outputs + begin, end - begin, to + begin);
    else std::fill(to + begin, to + end, 0.0f);
  }

  // The product of h; with one mask a gate, of `gates` gates in turn, h's copy for gate 0 being `first_copy` copies from h_in.
  void recurrent_product(const GemmArgs& g, int first_copy, int gates) {
    if (beside_) return w_.kernels.gemm_row(g, beside_product_);
    if (s_.recurrent_masks == 1) return gemm_blocked(w_.kernels, g);
    for (int gate = 0; gate < gates; ++gate) {
      GemmArgs part = g;
      part.a_offset = (first_copy + gate) * j_.copy_ld_;
      gate_product(part, w_.recurrent.layout, gate);
    }
  }

  template <class Product>
  void by_panels(const GemmArgs& g, void (*KernelTable::*cell)(const CellForwardArgs&), Product&& product) {
    // Few rows: all panels at once (the kernel pairs them). More: panel by panel, so that the sums are still in L1 when
    // the gates are computed. Where this thread's panels outgrow L2, every other step walks them backwards: it starts
    // with those that are still there.
    constexpr int kFewRows = 3;
    const int at_once = w_.cell.layer_norm ? panels_ : g.rows > kFewRows ? 1 : turns_ ? 2 : panels_;
    for (int i = 0; i < panels_; i += at_once) {
      const int n = std::min(at_once, panels_ - i), p = turns_ && backwards_ ? panels_ - i - n : i;
      GemmArgs part = g;
      part.panels = n;
      part.b += p * g.b_panel_stride;
      part.c += p * g.c_panel_stride;
      if (part.bias) part.bias += p * g.bias_panel_stride;
      product(part);
      cell_.panels = n;
      cell_.gates = recurrent_.c + p * g.c_panel_stride;
      cell_.c_in = cell_.c_out = j_.unit_state_ + (first_panel_ + p) * cell_.c_in_panel_stride;
      cell_.unit = (first_panel_ + p) * w_.panel_units();
      (w_.kernels.*cell)(cell_);
    }
    backwards_ = !backwards_;
  }

  // The h that a row has before its first step, or after a reset before the next: (B, P), or null for zeros.
  const float* given_hidden(int row) const { return m_.last_step[row] == kCarried ? s_.carried[0] : s_.initial[0]; }

  // The output of an excluded step: 0, or h as it is.
  void repeat_output(int row, int step) {
    const int begin = hidden_begin(), n = hidden_end() - begin;
    float* const y = j_.y_ + begin;
    const float* const given = given_hidden(row);
    const float* h = m_.last_step[row] >= 0 ? y + s_.output_row(row, m_.last_step[row]) * j_.output_ld_
                     : given                ? given + static_cast<std::int64_t>(row) * w_.outputs + begin
                                            : nullptr;
    float* out = y + s_.output_row(row, step) * j_.output_ld_;
    if (!h || s_.zero_output(row, step)) std::fill_n(out, n, 0.0f);
    else std::memcpy(out, h, static_cast<std::size_t>(n) * sizeof(float));
  }

  void finish() {
    const int begin = hidden_begin(), end = hidden_end(), units = w_.units, lanes = w_.kernels.lanes;
    if (!j_.final_state_[0]) return;
    for (int r = 0; r < n_rows_; ++r) {
      const int row = m_.rows[r];
      float* h = j_.final_state_[0] + static_cast<std::int64_t>(row) * w_.outputs;
      const int last = m_.last[row];
      if (m_.last_step[row] < 0) {
        const float* const given = given_hidden(row);
        if (given) std::copy_n(given + static_cast<std::int64_t>(row) * w_.outputs + begin, end - begin, h + begin);
        else std::fill(h + begin, h + end, 0.0f);
      } else if (!j_.recurrent_mask_) {
        std::copy_n(j_.hidden_ + last * j_.hidden_ld_ + begin, end - begin, h + begin);
      } else if (j_.y_) {
        std::copy_n(j_.y_ + s_.output_row(row, m_.last_step[row]) * j_.output_ld_ + begin, end - begin, h + begin);
      }
      if (w_.cell.states == 1) continue;
      float* c = j_.final_state_[1] + static_cast<std::int64_t>(row) * units;
      for (int u = unit_begin(), last_unit = unit_end(); u < last_unit; u += lanes) {
        const float* from = last < 0 ? j_.initial_unit_state_ + row * j_.ld_ + u
                                     : j_.unit_state_ + (u / lanes * j_.unit_state_planes_ + (j_.tape_ ? last : row)) * lanes;
        std::copy_n(from, std::min(lanes, last_unit - u), c + u);
      }
    }
  }

  static constexpr int kInitial = -1, kCarried = -2;  // of last_step

  const ForwardPass& j_;
  const RecurrentWeights& w_;
  const Sequence& s_;
  const ForwardPass::ThreadMemory& m_;
  Barrier* meeting_ = nullptr;
  bool idle_ = false, turns_ = false, backwards_ = false, beside_ = false;
  int id_ = 0, parties_ = 1, first_panel_ = 0, panels_ = 0;
  int n_rows_ = 0, first_row_ = 0;  // this thread's rows, and how many other threads have before them
  Range columns_{0, 0};             // panels of the projection
  GemmArgs input_{}, recurrent_{}, projection_{};
  GemmBeside beside_product_{};
  CellForwardArgs cell_{};
};

void ForwardPass::run(const Team& team) { ForwardWorker(*this, team).run(); }

}  // namespace lstmfast
