// SPDX-License-Identifier: BSD-3-Clause
#include "engine/stream.h"

#include <algorithm>
#include <numeric>

#include "dispatch/cpu_features.h"
#include "gemm/gemm.h"
#include "recurrent/planning.h"
#include "recurrent/sequence.h"

namespace lstmfast {

Stream::Stream(const Program& program, int batch) : program_(program), batch_(batch) {
  for (const auto& op : program.operations()) {
    Layer layer;
    if (const auto* r = dynamic_cast<const RecurrentOperation*>(op.get())) {
      const RecurrentWeights& w = *r->weights;
      layer.recurrent = &w;
      layer.zoneout = r->options.zoneout;
      layer.kernels = &w.kernels;
      layer.ld = hidden_stride(w);
      layer.width = w.outputs;
      direct_ = direct_ && !w.cell.projection && !w.cell.layer_norm;  // those go as chunks of one step
      work_ += 2.0 * batch * w.cell.gates * w.units * (w.inputs + w.units);
    } else if (const auto* d = dynamic_cast<const DenseOperation*>(op.get())) {
      layer.dense = d->weights.get();
      layer.kernels = &d->weights->kernels;
      layer.activation = d->activation;
      layer.softmax = d->softmax;
      layer.ld = layer.width = d->weights->n;
      work_ += 2.0 * batch * static_cast<double>(d->weights->n) * static_cast<double>(d->weights->k);
    } else if (const auto* a = dynamic_cast<const ActivationOperation*>(op.get()); a && !layers_.empty() && layers_.back().dense &&
                                                                                   layers_.back().activation == Activation::kLinear &&
                                                                                   !layers_.back().softmax) {
      layers_.back().activation = a->activation;
      layers_.back().softmax = a->softmax;
      continue;
    } else {
      direct_ = false;
      const auto* c = dynamic_cast<const Conv1DOperation*>(op.get());
      if (c && c->n_states() > 0) {
        layer.convolution = c;
        layer.ld = c->state_width(0);
      }
    }
    weight_bytes_ += op->bytes();
    layers_.push_back(layer);
  }
  direct_ = direct_ && !layers_.empty();
  if (direct_) {
    const Layer& first = layers_.front();
    input_width_ = first.recurrent ? first.recurrent->inputs : first.dense->k;
    output_width_ = layers_.back().width;
    // With few rows the stream of weights costs more than the arithmetic: both in units of a hundred thousand a microsecond.
    work_ = std::max(work_, static_cast<double>(weight_bytes_));
  }
  Carver measure;
  carve(measure);
  arena_ = std::make_unique<Arena>(measure.bytes());
  Carver place(arena_->data());
  carve(place);
  std::iota(identity_, identity_ + batch_, 0);
  for (Layer& layer : layers_)
    for (int k = 0; k < 2; ++k)
      if (layer.rows[k])
        for (int b = 0; b < batch_; ++b) layer.rows[k][b] = layer.hidden[k] + b * layer.ld;
  for (Layer& layer : layers_)
    if (layer.reset_rows)
      for (int b = 0; b < batch_; ++b) layer.reset_rows[b] = layer.reset_hidden + b * layer.ld;
  for (Layer& layer : layers_)
    for (int k = 0; k < 2; ++k)
      if (layer.zone[k]) std::fill_n(layer.zone[k], layer.ld, layer.zoneout.rate[k]);
  reset(nullptr, batch_);
}

void Stream::carve(Carver& memory) {
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  x_rows_ = memory.take<const float*>(size(batch_));
  y_rows_ = memory.take<float*>(size(batch_));
  identity_ = memory.take<int>(size(batch_));
  for (Layer& layer : layers_) {
    if (layer.convolution) layer.context = memory.take<float>(size(batch_ * layer.ld));
    if (!layer.kernels) continue;
    const int copies = layer.recurrent ? 2 : 1;
    for (int k = 0; k < copies; ++k) {
      layer.hidden[k] = memory.take<float>(size(batch_ * layer.ld));
      layer.rows[k] = memory.take<float*>(size(batch_));
    }
    if (!layer.recurrent) continue;
    for (int k = 0; k < 2; ++k)
      if (layer.zoneout.keeps(layer.recurrent->cell, k)) layer.zone[k] = memory.take<float>(size(layer.ld));
    const RecurrentWeights& w = *layer.recurrent;
    layer.gates = memory.take<float>(size(batch_ * w.panels() * w.gates_width()));
    if (w.cell.keeps_unit_state) layer.unit_state = memory.take<float>(size(batch_ * w.padded_units()));
    if (w.cell.reset_forward) {
      layer.reset_hidden = memory.take<float>(size(batch_ * layer.ld));
      layer.reset_rows = memory.take<float*>(size(batch_));
    }
  }
}

void Stream::step(const float* x, float* y) {
  for (int b = 0; b < batch_; ++b) {
    x_rows_[b] = x + b * input_width_;
    y_rows_[b] = y + b * output_width_;
  }
  run_team(threads_for_work(work_), [&](const Team& team) { run(team, y); });
  parity_ ^= 1;
}

void Stream::run(const Team& team, float* y) const {
  constexpr int kManyParts = 64;  // layers differ; about even halves
  const bool apart = choose_sharing(team.size, batch_, kManyParts, static_cast<double>(weight_bytes_)).unit_groups == 1;
  const Range rows = apart ? split(batch_, team.size, team.id) : Range{0, batch_};
  const int id = apart ? 0 : team.id, parties = apart ? 1 : team.size;
  if (rows.begin == rows.end) return;
  const float* const* x = x_rows_;
  for (const Layer& layer : layers_) {
    const bool last = &layer == &layers_.back();
    if (layer.recurrent) run_recurrent(layer, x, last ? y_rows_ : nullptr, rows, id, parties, team.meeting);
    else run_dense(layer, x, last ? y : layer.hidden[0], rows, id, parties);
    if (!last && parties > 1) team.meeting->wait(id, parties);
    x = layer.recurrent ? layer.rows[parity_ ^ 1] : layer.rows[0];
  }
}

void Stream::run_recurrent(const Layer& layer, const float* const* x, float* const* y, Range rows, int id, int parties,
                           Barrier* meeting) const {
  const RecurrentWeights& w = *layer.recurrent;
  const Range panels = split(w.panels(), parties, id);
  const int first = static_cast<int>(panels.begin), count = static_cast<int>(panels.end - panels.begin), lanes = w.kernels.lanes;
  const std::int64_t width = w.gates_width(), plane = batch_ * width;

  CellForwardArgs c{};
  c.rows = static_cast<int>(rows.end - rows.begin);
  c.panels = count;
  c.activation = w.activation;
  c.recurrent_activation = w.recurrent_activation;
  c.gates = layer.gates + first * plane;
  c.gates_panel_stride = plane;
  c.gates_row = c.c_in_row = c.c_out_row = c.batch_row = identity_ + rows.begin;
  c.c_in_panel_stride = c.c_out_panel_stride = static_cast<std::int64_t>(batch_) * lanes;
  c.c_in = c.c_out = layer.unit_state + first * c.c_in_panel_stride;
  c.h_in = layer.rows[parity_] + rows.begin;
  c.h_out = layer.rows[parity_ ^ 1] + rows.begin;
  c.y_out = y ? y + rows.begin : nullptr;
  c.copies = 1;
  c.unit = first * w.panel_units();
  c.units = w.units;
  c.vectors = w.gate_vectors();
  c.peephole = w.peephole.data();
  c.zone_h = layer.zone[0];
  c.zone_c = layer.zone[1];

  const auto product = [&](const PackedMatrix& m, const float* const* a, int first_vector, unsigned load_mask) {
    GemmArgs g{};
    m.address_panels(g, first, count);
    g.rows = c.rows;
    g.a = a + rows.begin;
    g.c = c.gates;
    g.c_row = c.gates_row;
    g.ldc = width;
    g.c_panel_stride = plane;
    for (int v = 0; v < g.vectors; ++v) g.c_vector[v] = (first_vector + v) * lanes;
    g.limit = INT64_MAX / 2;
    g.load_mask = load_mask;
    return g;
  };
  const GemmArgs input = product(w.input, x, 0, 0);
  GemmArgs g = product(w.recurrent, layer.rows[parity_], w.cell.recurrent_vector, w.cell.adds_to);
  // Where this thread's weights outgrow L2, every other step walks the panels backwards and starts with those still there.
  const double mine = static_cast<double>(weight_bytes_) / (parties > 1 ? parties : 1);
  if (mine > 0.75 * static_cast<double>(cache_sizes().l2) && !w.cell.reset_forward) {
    constexpr int kAtOnce = 2;
    for (int i = 0; i < count; i += kAtOnce) {
      const int n = std::min(kAtOnce, count - i), p = parity_ ? count - i - n : i;
      for (const GemmArgs* whole : {&input, static_cast<const GemmArgs*>(&g)}) {
        GemmArgs part = *whole;
        part.panels = n;
        part.b += p * part.b_panel_stride;
        part.c += p * part.c_panel_stride;
        if (part.bias) part.bias += p * part.bias_panel_stride;
        gemm_blocked(w.kernels, part);
      }
    }
    if (count > 0) (w.kernels.*w.cell.forward)(c);
    return;
  }
  if (count > 0) gemm_blocked(w.kernels, input);
  if (w.cell.reset_forward) {  // z and r, then the candidate from r*h
    const int candidate = w.recurrent.layout.vector_of_gate(w.cell.gates - 1);
    GemmArgs reset = g;
    select_vectors(reset, w.recurrent.layout.vector_of_gate(0), 2, lanes);
    if (count > 0) gemm_blocked(w.kernels, reset);
    CellForwardArgs r = c;
    r.h_out = layer.reset_rows + rows.begin;
    if (count > 0) (w.kernels.*w.cell.reset_forward)(r);
    if (parties > 1) meeting->wait(id, parties);
    select_vectors(g, candidate, 1, lanes);
    g.a = layer.reset_rows + rows.begin;
  }
  if (count == 0) return;
  gemm_blocked(w.kernels, g);
  (w.kernels.*w.cell.forward)(c);
}

void Stream::run_dense(const Layer& layer, const float* const* x, float* y, Range rows, int id, int parties) const {
  const DenseWeights& w = *layer.dense;
  // Softmax needs whole rows: one thread's work.
  const bool whole = layer.softmax;
  if (whole && id != 0) return;
  const Range panels = whole ? Range{0, w.forward.layout.panels} : split(w.forward.layout.panels, parties, id);
  if (panels.begin == panels.end) return;
  GemmArgs g{};
  w.forward.layout.address_columns(g);
  const int first = static_cast<int>(panels.begin);
  w.forward.address_panels(g, first, static_cast<int>(panels.end - panels.begin));
  g.rows = static_cast<int>(rows.end - rows.begin);
  g.a = x + rows.begin;
  g.c = y + rows.begin * w.n + first * g.c_panel_stride;
  g.ldc = w.n;
  g.limit -= first * g.limit_panel;
  gemm_blocked(w.kernels, g);
  const std::int64_t begin = first * w.forward.layout.width(), end = std::min(panels.end * w.forward.layout.width(), w.n);
  for (std::int64_t row = rows.begin; row < rows.end; ++row) {
    float* const part = y + row * w.n + begin;
    if (layer.activation != Activation::kLinear) w.kernels.activation_forward(layer.activation, end - begin, part, part);
    if (whole) w.kernels.softmax_forward(1, w.n, part, part);
  }
}

void Stream::get_states(float* const* states) const {
  int k = 0;
  for (const Layer& layer : layers_) {
    if (layer.convolution) {
      std::copy_n(layer.context, batch_ * layer.ld, states[k]);
      k += 2;
    }
    if (!layer.recurrent) continue;
    const RecurrentWeights& w = *layer.recurrent;
    for (int b = 0; b < batch_; ++b) {
      std::copy_n(layer.rows[parity_][b], w.outputs, states[k] + static_cast<std::int64_t>(b) * w.outputs);
      if (w.cell.states == 1) continue;
      for (int u = 0; u < w.units; u += w.kernels.lanes)
        std::copy_n(layer.unit_state + (u / w.kernels.lanes * batch_ + b) * w.kernels.lanes, std::min(w.kernels.lanes, w.units - u),
                    states[k + 1] + static_cast<std::int64_t>(b) * w.units + u);
    }
    k += 2;
  }
}

void Stream::set_states(const float* const* states) {
  int k = 0;
  for (Layer& layer : layers_) {
    if (layer.convolution) {
      std::copy_n(states[k], batch_ * layer.ld, layer.context);
      k += 2;
    }
    if (!layer.recurrent) continue;
    const RecurrentWeights& w = *layer.recurrent;
    for (int b = 0; b < batch_; ++b) {
      std::copy_n(states[k] + static_cast<std::int64_t>(b) * w.outputs, w.outputs, layer.hidden[parity_] + b * layer.ld);
      if (!w.cell.keeps_unit_state) continue;
      const float* const from = states[k + w.cell.states - 1] + static_cast<std::int64_t>(b) * w.units;
      for (int u = 0; u < w.units; u += w.kernels.lanes)
        std::copy_n(from + u, std::min(w.kernels.lanes, w.units - u),
                    layer.unit_state + (u / w.kernels.lanes * batch_ + b) * w.kernels.lanes);
    }
    k += 2;
  }
}

void Stream::reset(const int* rows, int n) {
  for (Layer& layer : layers_) {
    if (layer.convolution)
      for (int i = 0; i < n; ++i) std::fill_n(layer.context + (rows ? rows[i] : i) * layer.ld, layer.ld, 0.0f);
    if (!layer.recurrent) continue;
    const RecurrentWeights& w = *layer.recurrent;
    for (int i = 0; i < n; ++i) {
      const int b = rows ? rows[i] : i;
      for (float* h : layer.hidden) std::fill_n(h + b * layer.ld, layer.ld, 0.0f);
      if (w.cell.keeps_unit_state)
        for (int p = 0; p < w.panels(); ++p) std::fill_n(layer.unit_state + (p * batch_ + b) * w.kernels.lanes, w.kernels.lanes, 0.0f);
    }
  }
}

}  // namespace lstmfast
