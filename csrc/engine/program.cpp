// SPDX-License-Identifier: BSD-3-Clause
#include "engine/program.h"

#include <algorithm>

namespace lstmfast {

Program::Program(int slots, std::vector<int> inputs, std::vector<int> outputs)
    : slots_(slots), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

void Program::add(std::unique_ptr<Operation> operation) {
  sequences_.push_back(dynamic_cast<const RecurrentOperation*>(operation.get()));
  if (operation->n_states() > 0) {
    operation->state_index = static_cast<int>(2 * stateful_.size());
    stateful_.push_back(operation.get());
  }
  operations_.push_back(std::move(operation));
}

void Program::end_mask() { operations_.back()->ends_mask = true; }

std::size_t Program::bytes() const {
  std::size_t n = 0;
  for (const auto& op : operations_) n += op->bytes();
  return n;
}

void Program::infer(Run& run) const {
  for (const auto& op : operations_) op->infer(run);
}

double Program::work(const Run& run) const {
  double work = 0;
  for (const auto& op : operations_) work += op->work(run);
  return work;
}

std::size_t Program::execute_some(Run& run, std::size_t i) const {
  std::size_t count = 0;
  for (std::size_t k = i; k < sequences_.size() && sequences_[k] && sequences_[k]->pipelines(run); ++k, ++count)
    if (k > i && !sequences_[k]->follows(*sequences_[k - 1])) break;
  if (count > 1) return RecurrentOperation::execute_pipeline(run, &sequences_[i], count);
  operations_[i]->execute(run);
  return 1;
}

void Program::execute(Run& run, float* const* results) const {
  // An operation writes the caller's array when its first output is one of the program's; other outputs are copied.
  const auto result_of = [&](int slot) -> float* {
    const auto at = std::find(outputs_.begin(), outputs_.end(), slot);
    return at == outputs_.end() ? nullptr : results[at - outputs_.begin()];
  };
  const auto place = [&](Carver& memory) {
    for (const auto& op : operations_) {
      op->place_outputs(run, memory, result_of(op->outputs[0]));
      if (op->ends_mask) run.slots[op->outputs[0]].mask = nullptr;
    }
  };
  Carver measure;
  place(measure);
  Arena arena(measure.bytes());
  Carver memory(arena.data());
  place(memory);
  for (std::size_t i = 0; i < operations_.size();) i += execute_some(run, i);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Tensor& out = run.slots[outputs_[i]];
    if (out.data != results[i]) std::copy_n(out.data, out.elements(), results[i]);
  }
}

}  // namespace lstmfast
