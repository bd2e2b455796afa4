// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include "dispatch/cpu_features.h"
#include "engine/operation.h"
#include "recurrent/forward_pass.h"
#include "recurrent/planning.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

Sequence sequence_of(const Tensor& x, const RecurrentOperation::Options& o) {
  Sequence s;
  s.batch = x.batch;
  s.time = x.time;
  s.x = x.data;
  s.mask = x.mask;
  s.lengths = x.lengths;
  s.reversed = o.backwards;
  s.zero_masked = o.zero_masked;
  s.zoneout = o.zoneout;
  return s;
}

// With zero_output_for_mask the single output of a row whose last step is masked is 0.
void clear_masked_ends(const Sequence& s, std::int64_t width, float* y) {
  if (!s.zero_masked || !s.mask) return;
  for (int row = 0; row < s.batch; ++row) {
    const int n = s.lengths ? s.lengths[row] : s.time;
    if (n == 0) continue;
    if (!s.mask[static_cast<std::int64_t>(row) * s.time + (s.reversed ? 0 : n - 1)]) std::fill_n(y + row * width, width, 0.0f);
  }
}

}  // namespace

void Operation::refuse(const std::string& what) const { throw std::invalid_argument("layer '" + name + "': " + what); }

void SimpleOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  Tensor& out = output(run);
  out.data = first_output ? first_output : memory.take<float>(static_cast<std::size_t>(out.elements()));
  out.mask = input(run).mask;
}

void UnmaskedOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  SimpleOperation::place_outputs(run, memory, first_output);
  output(run).mask = nullptr;
}

// ---- recurrent

void RecurrentOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, " + std::to_string(weights->inputs) + "), got 2 axes");
  if (x.width != weights->inputs)
    refuse("expected " + std::to_string(weights->inputs) + " features a step, got " + std::to_string(x.width));
  if (static_cast<std::int64_t>(x.batch) * x.time > INT32_MAX) refuse("at most 2**31 - 1 steps (batch times time) fit one call");
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    const Tensor& state = input(run, i);
    const int width = state_width(static_cast<int>(i) - 1);
    if (state.time != 0 || state.width != width || state.batch != x.batch)
      refuse("expected initial states of shape (batch, " + std::to_string(width) + ")");
  }
  Tensor& y = output(run);
  const bool sequences = options.sequences || run.states;
  y = {};
  y.batch = x.batch;
  y.time = sequences ? x.time : 0;
  y.width = weights->outputs;
  y.lengths = sequences ? x.lengths : nullptr;
  for (std::size_t i = 1; i < outputs.size(); ++i) {
    Tensor& state = output(run, i);
    state = {};
    state.batch = x.batch;
    state.width = state_width(static_cast<int>(i) - 1);
  }
}

void RecurrentOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Tensor& out = output(run, i);
    out.data = i == 0 && first_output ? first_output : memory.take<float>(static_cast<std::size_t>(out.elements()));
  }
  output(run).mask = output(run).time ? input(run).mask : nullptr;
}

namespace {

// One recurrent operation of a run, ready to be executed: where its states come from and go to, and its pass.
class SequenceRun {
 public:
  SequenceRun(const RecurrentOperation& op, Run& run) : op_(op), x_(run.slots[op.inputs[0]]), out_(run.slots[op.outputs[0]]) {
    s_ = sequence_of(x_, op.options);
    // Keras hands no mask on to a call with an initial state, though the output has it.
    if (op.inputs.size() > 1) s_.mask = nullptr;
    for (int k = 0; k < op.weights->cell.states; ++k) {
      const std::size_t slot = static_cast<std::size_t>(k) + 1;
      if (run.states) {
        wanted_[k] = run.states[op.state_index + k];
        s_.initial[k] = wanted_[k];
      } else {
        if (op.inputs.size() > 1) s_.initial[k] = run.slots[op.inputs[slot]].data;
        if (slot < op.outputs.size()) wanted_[k] = const_cast<float*>(run.slots[op.outputs[slot]].data);
      }
    }
    if (!sequences() && op.outputs.size() == 1) wanted_[0] = y();
  }

  double flops() const { return ForwardPass::flops(*op_.weights, s_); }
  int threads() const { return threads_for_pass(flops(), *op_.weights, s_); }

  // Places (or, without memory, measures) what the pass needs.
  ForwardPass carve(Carver& memory, int threads, Pipeline pipeline = {}) {
    const RecurrentWeights& w = *op_.weights;
    for (int k = 0; k < 2; ++k) {
      float* const spare = memory.take<float>(static_cast<std::size_t>(s_.batch) * static_cast<std::size_t>(std::max(w.units, w.outputs)));
      finals_[k] = wanted_[k] ? wanted_[k] : spare;
    }
    ForwardPass pass(w, s_, sequences() ? y() : nullptr, finals_, nullptr, threads, pipeline);
    pass.carve(memory);
    return pass;
  }

  void finish() const {
    if (sequences()) return;
    if (finals_[0] != out_.data) std::copy_n(finals_[0], out_.elements(), y());
    clear_masked_ends(s_, op_.weights->outputs, y());
  }

 private:
  bool sequences() const { return out_.time > 0; }
  float* y() const { return const_cast<float*>(out_.data); }

  const RecurrentOperation& op_;
  const Tensor &x_, &out_;
  Sequence s_;
  float *wanted_[2] = {}, *finals_[2] = {};  // final states
};

}  // namespace

void RecurrentOperation::execute(Run& run) const {
  SequenceRun sequence(*this, run);
  const int threads = sequence.threads();  // asked once: the scratch depends on it
  Carver measure;
  sequence.carve(measure, threads);
  Arena scratch(measure.bytes());
  Carver place(scratch.data());
  ForwardPass pass = sequence.carve(place, threads);
  pass.prepare();
  run_team(threads, [&](const Team& team) { pass.run(team); });
  sequence.finish();
}

bool RecurrentOperation::pipelines(const Run& run) const {
  constexpr int kFewSteps = 48;  // four chunks
  const Tensor& x = input(run);
  return x.batch == 1 && x.time >= kFewSteps && 4 * (weights->input.bytes() + weights->step_bytes()) <= cache_sizes().l2;
}

std::size_t RecurrentOperation::execute_pipeline(Run& run, const RecurrentOperation* const* operations, std::size_t count) {
  constexpr std::size_t kMost = 8;  // on the stack: a call allocates nothing
  std::array<std::optional<SequenceRun>, kMost> sequences;
  std::array<std::optional<ForwardPass>, kMost> passes;
  count = std::min(count, kMost);
  double flops = 0;
  for (std::size_t i = 0; i < count; ++i) flops += sequences[i].emplace(*operations[i], run).flops();
  const std::size_t layers = std::min(count, static_cast<std::size_t>(threads_for_work(flops)));
  if (layers < 2) {
    operations[0]->execute(run);
    return 1;
  }
  const auto carve = [&](Carver& memory) {
    Progress* const progress = memory.take<Progress>(layers);
    for (std::size_t i = 0; i < layers; ++i)
      passes[i].emplace(sequences[i]->carve(memory, 1, {i > 0 ? progress + i - 1 : nullptr, i + 1 < layers ? progress + i : nullptr}));
    return progress;
  };
  Carver measure;
  carve(measure);
  Arena scratch(measure.bytes());
  Carver place(scratch.data());
  Progress* const progress = carve(place);
  for (std::size_t i = 0; i < layers; ++i) new (progress + i) Progress;
  for (std::size_t i = 0; i < layers; ++i) passes[i]->prepare();
  // A smaller team takes the layers in their order: none waits for one that comes later.
  run_team(static_cast<int>(layers), [&](const Team& team) {
    for (std::size_t i = static_cast<std::size_t>(team.id); i < layers; i += static_cast<std::size_t>(team.size))
      passes[i]->run({0, 1, nullptr});
  });
  for (std::size_t i = 0; i < layers; ++i) sequences[i]->finish();
  return layers;
}

double RecurrentOperation::work(const Run& run) const { return ForwardPass::flops(*weights, sequence_of(input(run), options)); }

// ---- both directions

void BidirectionalOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, " + std::to_string(forward->inputs) + "), got 2 axes");
  if (x.width != forward->inputs)
    refuse("expected " + std::to_string(forward->inputs) + " features a step, got " + std::to_string(x.width));
  if (static_cast<std::int64_t>(x.batch) * x.time > INT32_MAX) refuse("at most 2**31 - 1 steps (batch times time) fit one call");
  for (std::size_t i = 0; i < n_results(); ++i) {
    Tensor& y = output(run, i);
    y = {};
    y.batch = x.batch;
    y.time = options.sequences ? x.time : 0;
    y.width = direction(static_cast<int>(i)).outputs + (merge == Merge::kConcat ? backward->outputs : 0);
    y.lengths = options.sequences ? x.lengths : nullptr;
  }
  if (!gives_states()) return;
  for (int k = 0; k < 2; ++k) {
    const RecurrentWeights& w = direction(k);
    for (int i = 0; i < w.cell.states; ++i) {
      Tensor& state = output(run, state_output(k, i));
      state = {};
      state.batch = x.batch;
      state.width = i ? w.units : w.outputs;
    }
  }
}

void BidirectionalOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    Tensor& out = output(run, i);
    out.data = i == 0 && first_output ? first_output : memory.take<float>(static_cast<std::size_t>(out.elements()));
    if (i < n_results()) out.mask = out.time ? input(run).mask : nullptr;
  }
}

namespace {

// The two calls, and beside them memory for what is merged afterwards and for the final states.
struct Directions {
  struct Direction {
    const RecurrentWeights* w;
    Sequence s;
    float* y;
    float* final_state[2];
    float* end;  // without sequences: what is merged, the final h but for masked ends
  };
  Direction directions[2];
  float* second = nullptr;  // the backward direction's output where it is not written in place

  Directions(const BidirectionalOperation& op, const Tensor& x, Run& run, Carver& memory) {
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    const auto data = [&](std::size_t i) { return const_cast<float*>(run.slots[op.outputs[i]].data); };
    const Tensor& out = run.slots[op.outputs[0]];
    const bool sequences = out.time > 0, beside = op.merge == Merge::kConcat, apart = op.merge == Merge::kNone;
    float* const y = data(0);
    if (sequences && !beside) second = apart ? data(1) : memory.take<float>(size(out.elements()));
    for (int k = 0; k < 2; ++k) {
      const RecurrentWeights& w = op.direction(k);
      Direction& call = directions[k];
      call.w = &w;
      RecurrentOperation::Options o = op.options;
      if (k) o.backwards = !o.backwards;
      call.s = sequence_of(x, o);
      call.s.turned = k == 1;
      call.s.output_ld = sequences && beside ? out.width : w.outputs;
      call.y = !sequences ? nullptr : k == 0 ? y : beside ? y + op.forward->outputs : second;
      for (int i = 0; i < 2; ++i)
        call.final_state[i] = op.gives_states() && i < w.cell.states
                                  ? data(op.state_output(k, i))
                                  : memory.take<float>(size(x.batch) * size(std::max(w.units, w.outputs)));
      call.end = sequences           ? nullptr
                 : apart             ? data(size(k))
                 : op.gives_states() ? memory.take<float>(size(x.batch) * size(w.outputs))
                                     : call.final_state[0];
    }
  }

  std::pair<ForwardPass, ForwardPass> carve(Carver& memory, int threads) const {
    const auto pass = [&](const Direction& d) {
      ForwardPass made(*d.w, d.s, d.y, d.final_state, nullptr, threads);
      made.carve(memory);
      return made;
    };
    const ForwardPass first = pass(directions[0]);
    return {first, pass(directions[1])};
  }
};

}  // namespace

void BidirectionalOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  Tensor& out = output(run);
  const int threads = threads_for_work(work(run));  // asked once: the scratch depends on it
  Carver measure;
  Directions(*this, x, run, measure).carve(measure, threads);
  Arena scratch(measure.bytes());
  Carver place(scratch.data());
  const Directions d(*this, x, run, place);
  auto [one, two] = d.carve(place, threads);
  one.prepare();
  two.prepare();
  const bool apart = rows_hide_weights(x.batch, static_cast<double>(forward->step_bytes()));
  run_team(threads, [&, &f = one, &b = two](const Team& team) {
    const int half = (team.size + 1) / 2;
    if (!apart || team.size == 1) {
      f.run(team);
      b.run(team);
    } else if (team.id < half) {
      f.run({team.id, half, nullptr});
    } else {
      b.run({team.id - half, team.size - half, nullptr});
    }
  });
  float* const y = mutable_data(out);
  const bool sequences = out.time > 0;
  if (!sequences)
    for (const Directions::Direction& call : d.directions) {
      if (call.end != call.final_state[0]) std::copy_n(call.final_state[0], x.batch * call.w->outputs, call.end);
      clear_masked_ends(call.s, call.w->outputs, call.end);
    }
  const float* const first = sequences ? y : d.directions[0].end;
  const float* const second = sequences ? d.second : d.directions[1].end;
  const std::int64_t n = out.elements();
  switch (merge) {
    case Merge::kNone: return;
    case Merge::kConcat:
      if (sequences) return;
      for (std::int64_t row = 0; row < out.batch; ++row) {
        float* to = std::copy_n(first + row * forward->outputs, forward->outputs, y + row * out.width);
        std::copy_n(second + row * backward->outputs, backward->outputs, to);
      }
      return;
    case Merge::kSum:
      for (std::int64_t i = 0; i < n; ++i) y[i] = first[i] + second[i];
      return;
    case Merge::kMul:
      for (std::int64_t i = 0; i < n; ++i) y[i] = first[i] * second[i];
      return;
    case Merge::kAve:
      for (std::int64_t i = 0; i < n; ++i) y[i] = (first[i] + second[i]) * 0.5f;
      return;
  }
}

double BidirectionalOperation::work(const Run& run) const {
  const Sequence s = sequence_of(input(run), options);
  return ForwardPass::flops(*forward, s) + ForwardPass::flops(*backward, s);
}

}  // namespace lstmfast
