// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <cstring>
#include <numeric>

#include "dispatch/cpu_features.h"
#include "gemm/gemm.h"
#include "recurrent/sequence.h"

namespace lstmfast {

std::int64_t state_stride(const RecurrentWeights& w) {
  const std::int64_t ld = w.padded_units();
  return ld % 256 == 0 ? ld + w.layout().lanes : ld;
}

void pad_rows(const float* source, int rows, std::int64_t n, std::int64_t width, std::int64_t ld, float* out) {
  for (int r = 0; r < rows; ++r, out += ld) {
    if (source) std::memcpy(out, source + r * n, static_cast<std::size_t>(n) * sizeof(float));
    std::fill(out + (source ? n : 0), out + width, 0.0f);
  }
}

Sharing choose_sharing(int threads, int rows, int unit_parts, double weight_bytes) {
  // Rows apart: no meeting, but every thread streams all the weights. Worth it when they stay in its own L2 or when
  // its rows are many enough to hide the stream from L3 (13 rows: see kernels-research on machine balance).
  // Otherwise units apart: each thread keeps its share of the weights in its L2 and meets the others once a step.
  const bool fits = weight_bytes <= 0.7 * static_cast<double>(cache_sizes().l2);
  const int rows_each = rows / threads;
  if (rows_each >= 13 || (fits && rows >= threads)) return {std::min(threads, rows), 1};
  const int unit_groups = std::min(threads, unit_parts);
  return {std::min(rows, threads / unit_groups), unit_groups};
}

namespace {

struct ForwardJob {
  const RecurrentWeights& w;
  const Sequence& s;
  SequenceTape* tape;
  float* y;
  float* const* final_state;
  std::int64_t ld;         // of state rows
  std::int64_t hidden_ld;  // of rows of h, which hold one copy a recurrent mask
  int chunk;               // steps whose input products are computed at once
  std::int64_t planes;     // pairs a panel of `gates`
  float* gates;
  float* cell;
  std::int64_t cell_planes;
  float* hidden;                // [2][B][hidden_ld] when nothing is kept
  const float* initial_hidden;  // as the product reads it: times the recurrent mask
  const float* initial_cell;
  const float* recurrent_mask;
  const std::vector<int>& order;   // rows, longest first where lengths are given
  std::vector<Barrier>& meetings;  // one a group of rows
};

// One thread's part of the job.
class ForwardWorker {
 public:
  ForwardWorker(const ForwardJob& job, const Team& team, std::vector<std::byte>& memory) : j_(job), team_(team) {
    const Sharing share = choose_sharing(team.size, job.s.batch, job.w.layout().panels, static_cast<double>(job.w.recurrent.bytes()));
    idle_ = team.id >= share.row_groups * share.unit_groups;
    if (idle_) return;
    group_ = team.id / share.unit_groups;
    parties_ = share.unit_groups;
    const Range panels = split(job.w.layout().panels, share.unit_groups, team.id % share.unit_groups);
    first_panel_ = static_cast<int>(panels.begin);
    panels_ = static_cast<int>(panels.end - panels.begin);
    carve(memory);
    if (job.s.ragged()) {
      for (int i = group_; i < job.s.batch; i += share.row_groups) rows_[n_rows_++] = job.order[static_cast<std::size_t>(i)];
    } else {
      const Range r = split(job.s.batch, share.row_groups, group_);
      for (std::int64_t i = r.begin; i < r.end; ++i) rows_[n_rows_++] = static_cast<int>(i);
    }
  }

  static std::size_t memory_needed(int batch, int chunk, int masked_inputs) {
    return static_cast<std::size_t>(batch) * (sizeof(int) * 7 + sizeof(void*) * 3) +
           static_cast<std::size_t>(batch) * static_cast<std::size_t>(chunk) *
               (2 * sizeof(void*) + 2 * sizeof(int) + sizeof(float) * static_cast<std::size_t>(masked_inputs)) +
           256;
  }

  void run() {
    if (idle_) return;
    start();
    for (int step = 0; step < j_.s.time; step += j_.chunk) {
      const int end = std::min(step + j_.chunk, j_.s.time);
      input_products(step, end);
      for (int t = step; t < end; ++t) {
        one_step(t);
        if (parties_ > 1) j_.meetings[static_cast<std::size_t>(group_)].wait(parties_);
      }
    }
    finish();
  }

 private:
  template <class T>
  T* take(std::byte*& p, std::size_t n) {
    T* out = reinterpret_cast<T*>(p);
    p += n * sizeof(T);
    return out;
  }

  void carve(std::vector<std::byte>& memory) {
    std::byte* p = memory.data();
    const std::size_t b = static_cast<std::size_t>(j_.s.batch), all = b * static_cast<std::size_t>(j_.chunk);
    x_rows_ = take<const float*>(p, all);
    masked_rows_ = take<const float*>(p, all);
    h_in_ = take<const float*>(p, b);
    h_out_ = take<float*>(p, b);
    y_out_ = take<float*>(p, b);
    x_index_ = take<int>(p, all);
    x_batch_row_ = take<int>(p, all);
    rows_ = take<int>(p, b);
    batch_row_ = take<int>(p, b);
    index_ = take<int>(p, b);
    c_in_ = take<int>(p, b);
    c_out_ = take<int>(p, b);
    if (j_.s.input_mask) masked_ = take<float>(p, all * static_cast<std::size_t>(j_.w.inputs));
    last_step_ = take<int>(p, b);
    last_ = take<int>(p, b);  // where a row's state is: its last pair, or its slot; -1: the initial state
  }

  int unit_begin() const { return first_panel_ * j_.w.panel_units(); }
  int unit_end() const { return std::min((first_panel_ + panels_) * j_.w.panel_units(), j_.w.units); }

  void start() {
    for (int r = 0; r < n_rows_; ++r) last_[rows_[r]] = -1;
  }

  // Index of a pair in `gates`.
  int gates_index(int step, int row) const { return j_.tape ? j_.tape->pair(step, row) : (step % j_.chunk) * j_.s.batch + row; }

  void input_products(int begin, int end) {
    const Sequence& s = j_.s;
    const RecurrentWeights& w = j_.w;
    int n = 0;
    for (int step = begin; step < end; ++step)
      for (int r = 0; r < n_rows_; ++r) {
        if (s.ragged() && !s.valid(rows_[r], step)) continue;
        x_rows_[n] = s.x + (static_cast<std::int64_t>(rows_[r]) * s.time + s.input_time(step)) * w.inputs;
        x_batch_row_[n] = rows_[r];
        x_index_[n++] = gates_index(step, rows_[r]);
      }
    if (n == 0) return;
    GemmArgs g = product(w.input);
    g.rows = n;
    g.a = x_rows_;
    g.c_row = x_index_;
    if (!s.input_mask) return gemm_blocked(w.kernels, g);
    g.a = masked_rows_;
    for (int gate = 0; gate < w.cell.gates; ++gate) {
      for (int i = 0; i < n; ++i) {
        const float* mask = s.input_mask + (static_cast<std::int64_t>(x_batch_row_[i]) * w.cell.gates + gate) * w.inputs;
        float* masked = masked_ + static_cast<std::int64_t>(i) * w.inputs;
        for (int k = 0; k < w.inputs; ++k) masked[k] = x_rows_[i][k] * mask[k];
        masked_rows_[i] = masked;
      }
      gate_product(g, gate);
    }
  }

  // The part of a product that belongs to one gate (all of it, where the cell has but one).
  void gate_product(GemmArgs g, int gate) const {
    if (j_.w.cell.gates > 1) select_gate(g, gate, j_.w.kernels.lanes);
    gemm_blocked(j_.w.kernels, g);
  }

  // A product with this thread's panels of `m`, into `gates`.
  GemmArgs product(const PackedMatrix& m) const {
    GemmArgs g{};
    m.address_panels(g, first_panel_, panels_);
    g.ldc = m.layout.width();
    g.c_panel_stride = j_.planes * g.ldc;
    g.c = j_.gates + first_panel_ * g.c_panel_stride;
    for (int v = 0; v < g.vectors; ++v) g.c_vector[v] = v * j_.w.kernels.lanes;
    g.limit = INT64_MAX / 2;  // padding lanes are computed: they are zero
    return g;
  }

  void one_step(int step) {
    const Sequence& s = j_.s;
    const RecurrentWeights& w = j_.w;
    const std::int64_t ld = j_.hidden_ld;
    int n = 0;
    for (int r = 0; r < n_rows_; ++r) {
      const int row = rows_[r];
      if (s.ragged() && !s.valid(row, step)) {
        if (j_.y) repeat_output(row, step);
        continue;
      }
      batch_row_[n] = row;
      last_step_[row] = step;
      index_[n] = gates_index(step, row);
      const int last = last_[row];
      if (j_.tape) {
        h_in_[n] = last < 0 ? j_.initial_hidden + row * ld : j_.hidden + last * ld;
        h_out_[n] = j_.hidden + index_[n] * ld;
        c_in_[n] = last;
        last_[row] = c_out_[n] = index_[n];
      } else {
        const int slot = last < 0 ? row : (last + j_.s.batch) % (2 * j_.s.batch);  // the two slots take turns
        h_in_[n] = last < 0 ? j_.initial_hidden + row * ld : j_.hidden + last * ld;
        h_out_[n] = j_.hidden + slot * ld;
        c_in_[n] = last < 0 ? -1 : row;
        c_out_[n] = row;
        last_[row] = slot;
      }
      // Without a sequence output the (unmasked) h still has to reach the final state when the recurrent mask hides it.
      y_out_[n] = j_.y ? j_.y + (static_cast<std::int64_t>(row) * s.time + step) * w.units
                       : j_.final_state[0] + static_cast<std::int64_t>(row) * w.units;
      ++n;
    }
    if (n == 0) return;

    GemmArgs g = product(w.recurrent);
    g.rows = n;
    g.a = h_in_;
    g.c_row = index_;
    g.load_mask = ~0u;

    CellForwardArgs c{};
    c.rows = n;
    c.activation = w.activation;
    c.recurrent_activation = w.recurrent_activation;
    c.gates_panel_stride = g.c_panel_stride;
    c.gates_row = index_;
    c.keep_gates = j_.tape != nullptr;
    c.c_in_panel_stride = c.c_out_panel_stride = j_.cell_planes * w.kernels.lanes;
    c.c_in_row = c_in_;
    c.c_initial = j_.initial_cell;
    c.c_initial_ld = j_.ld;
    c.batch_row = batch_row_;
    c.c_out_row = c_out_;
    c.h_out = h_out_;
    c.y_out = j_.y || j_.recurrent_mask ? y_out_ : nullptr;
    c.recurrent_mask = j_.recurrent_mask;
    c.copies = s.recurrent_masks;
    c.copy_stride = j_.ld;
    c.units = w.units;
    c.vectors = w.layout().vectors;

    // Few rows: all panels at once (the kernel pairs them). More: panel by panel, so that the sums are still in L1 when
    // the gates are computed.
    constexpr int kFewRows = 3;
    const int at_once = n <= kFewRows ? panels_ : 1;
    for (int p = 0; p < panels_; p += at_once) {
      GemmArgs part = g;
      part.panels = at_once;
      part.b += p * g.b_panel_stride;
      part.c += p * g.c_panel_stride;
      if (s.recurrent_masks == 1) {
        gemm_blocked(w.kernels, part);
      } else {
        for (int gate = 0; gate < w.cell.gates; ++gate) {
          part.a_offset = gate * j_.ld;
          gate_product(part, gate);
        }
      }
      c.panels = at_once;
      c.gates = part.c;
      c.c_in = c.c_out = j_.cell + (first_panel_ + p) * c.c_in_panel_stride;
      c.unit = (first_panel_ + p) * w.panel_units();
      (w.kernels.*w.cell.forward)(c);
    }
  }

  // The output of an excluded step: 0, or h as it is.
  void repeat_output(int row, int step) {
    const int begin = unit_begin(), n = unit_end() - begin;
    float* const rows = j_.y + static_cast<std::int64_t>(row) * j_.s.time * j_.w.units + begin;
    const float* h = last_[row] >= 0   ? rows + static_cast<std::int64_t>(last_step_[row]) * j_.w.units
                     : j_.s.initial[0] ? j_.s.initial[0] + static_cast<std::int64_t>(row) * j_.w.units + begin
                                       : nullptr;
    float* out = rows + static_cast<std::int64_t>(step) * j_.w.units;
    if (!h || j_.s.zero_output(row, step)) std::fill_n(out, n, 0.0f);
    else std::memcpy(out, h, static_cast<std::size_t>(n) * sizeof(float));
  }

  void finish() {
    const int begin = unit_begin(), end = unit_end(), units = j_.w.units, lanes = j_.w.kernels.lanes;
    for (int r = 0; r < n_rows_; ++r) {
      const int row = rows_[r];
      float* h = j_.final_state[0] + static_cast<std::int64_t>(row) * units;
      const int last = last_[row];
      if (last < 0) {
        if (j_.s.initial[0]) std::copy_n(j_.s.initial[0] + static_cast<std::int64_t>(row) * units + begin, end - begin, h + begin);
        else std::fill(h + begin, h + end, 0.0f);
      } else if (!j_.recurrent_mask) {
        std::copy_n(j_.hidden + last * j_.hidden_ld + begin, end - begin, h + begin);
      } else if (j_.y) {
        std::copy_n(j_.y + (static_cast<std::int64_t>(row) * j_.s.time + last_step_[row]) * units + begin, end - begin, h + begin);
      }
      if (!j_.w.cell.has_cell) continue;
      float* c = j_.final_state[1] + static_cast<std::int64_t>(row) * units;
      for (int u = begin; u < end; u += lanes) {
        const float* from =
            last < 0 ? j_.initial_cell + row * j_.ld + u : j_.cell + (u / lanes * j_.cell_planes + (j_.tape ? last : row)) * lanes;
        std::copy_n(from, std::min(lanes, end - u), c + u);
      }
    }
  }

  const ForwardJob& j_;
  const Team& team_;
  bool idle_ = false;
  int group_ = 0, parties_ = 1, first_panel_ = 0, panels_ = 0, n_rows_ = 0;
  const float** x_rows_ = nullptr;
  const float** masked_rows_ = nullptr;
  float* masked_ = nullptr;
  const float** h_in_ = nullptr;
  float** h_out_ = nullptr;
  float** y_out_ = nullptr;
  int *x_index_ = nullptr, *x_batch_row_ = nullptr, *rows_ = nullptr, *batch_row_ = nullptr, *index_ = nullptr, *c_in_ = nullptr,
      *c_out_ = nullptr, *last_ = nullptr, *last_step_ = nullptr;
};

// Steps whose input products fit, with their gates, in a share of L2; at least one.
int chunk_steps(const RecurrentWeights& w, const Sequence& s, int threads) {
  const double step_bytes = static_cast<double>(s.batch) / threads * static_cast<double>(w.layout().panels * w.layout().width()) * 4;
  const double budget = static_cast<double>(cache_sizes().l2) / 4;
  return static_cast<int>(std::clamp(budget / step_bytes, 1.0, static_cast<double>(s.time)));
}

std::unique_ptr<SequenceTape> new_tape(const RecurrentWeights& w, const Sequence& s, std::int64_t ld) {
  auto tape = std::make_unique<SequenceTape>();
  tape->sequence = s;
  tape->units_ld = ld;
  tape->pairs = static_cast<std::int64_t>(s.time) * s.batch;
  if (s.ragged()) {
    tape->pair_of.resize(static_cast<std::size_t>(tape->pairs));
    std::int32_t n = 0;
    for (int step = 0; step < s.time; ++step)
      for (int row = 0; row < s.batch; ++row)
        tape->pair_of[static_cast<std::size_t>(step) * static_cast<std::size_t>(s.batch) + static_cast<std::size_t>(row)] =
            s.valid(row, step) ? n++ : -1;
    tape->pairs = n;
  }
  const std::size_t pairs = static_cast<std::size_t>(tape->pairs);
  tape->gates = Buffer(pairs * static_cast<std::size_t>(w.layout().panels * w.layout().width()));
  if (w.cell.has_cell) tape->cell = Buffer(pairs * static_cast<std::size_t>(w.padded_units()));
  tape->hidden = Buffer(pairs * static_cast<std::size_t>(ld * s.recurrent_masks));
  return tape;
}

}  // namespace

std::unique_ptr<SequenceTape> sequence_forward(const RecurrentWeights& w, const Sequence& s, float* y, float* const final_state[2],
                                               bool keep) {
  const std::int64_t ld = state_stride(w);
  const std::size_t state = static_cast<std::size_t>(s.batch) * static_cast<std::size_t>(ld);
  auto tape = keep ? new_tape(w, s, ld) : nullptr;

  const int copies = s.recurrent_masks;
  Buffer initial_hidden(state * static_cast<std::size_t>(copies)), initial_cell, recurrent_mask, gates, cell, hidden;
  for (int k = 0; k < copies; ++k) pad_rows(s.initial[0], s.batch, w.units, ld, copies * ld, initial_hidden.data() + k * ld);
  if (w.cell.has_cell) {
    initial_cell = Buffer(state);
    pad_rows(s.initial[1], s.batch, w.units, ld, ld, initial_cell.data());
  }
  if (s.recurrent_mask) {
    const std::size_t all = state * static_cast<std::size_t>(copies);
    recurrent_mask = Buffer(all);
    pad_rows(s.recurrent_mask, s.batch * copies, w.units, ld, ld, recurrent_mask.data());
    for (std::size_t i = 0; i < all; ++i) initial_hidden.data()[i] *= recurrent_mask.data()[i];
  }

  const double flops = 2.0 * s.time * s.batch * w.cell.gates * w.units * (w.inputs + w.units);
  const int threads = threads_for_work(flops);
  const int chunk = chunk_steps(w, s, threads);
  const std::int64_t planes = keep ? tape->pairs : static_cast<std::int64_t>(chunk) * s.batch;
  const std::int64_t cell_planes = keep ? tape->pairs : s.batch;
  if (!keep) {
    gates = Buffer(static_cast<std::size_t>(planes * w.layout().panels * w.layout().width()));
    if (w.cell.has_cell) cell = Buffer(static_cast<std::size_t>(cell_planes * w.padded_units()));
    hidden = Buffer(2 * state * static_cast<std::size_t>(copies));
  }

  std::vector<int> order;
  if (s.ragged()) {
    order.resize(static_cast<std::size_t>(s.batch));
    std::iota(order.begin(), order.end(), 0);
    if (s.lengths) std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return s.lengths[a] > s.lengths[b]; });
  }
  std::vector<Barrier> meetings(static_cast<std::size_t>(threads));
  std::vector<std::vector<std::byte>> memory(static_cast<std::size_t>(threads));
  for (auto& m : memory) m.resize(ForwardWorker::memory_needed(s.batch, chunk, s.input_mask ? w.inputs : 0));

  const ForwardJob job{w,
                       s,
                       tape.get(),
                       y,
                       final_state,
                       ld,
                       copies * ld,
                       chunk,
                       planes,
                       keep ? tape->gates.data() : gates.data(),
                       keep ? tape->cell.data() : cell.data(),
                       cell_planes,
                       keep ? tape->hidden.data() : hidden.data(),
                       initial_hidden.data(),
                       initial_cell.data(),
                       s.recurrent_mask ? recurrent_mask.data() : nullptr,
                       order,
                       meetings};
  run_team(threads, [&](const Team& team) { ForwardWorker(job, team, memory[static_cast<std::size_t>(team.id)]).run(); });

  if (keep) {
    tape->initial_hidden = std::move(initial_hidden);
    tape->initial_cell = std::move(initial_cell);
    tape->recurrent_mask = std::move(recurrent_mask);
  }
  return tape;
}

}  // namespace lstmfast
