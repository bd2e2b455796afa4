// SPDX-License-Identifier: BSD-3-Clause
#include "engine/program.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace lstmfast {

Program::Program(int slots, std::vector<int> inputs, std::vector<int> outputs)
    : slots_(slots),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)),
      written_(static_cast<std::size_t>(std::max(slots, 0)), false) {
  check_slots(inputs_);
  check_slots(outputs_);
  if (inputs_.empty() || outputs_.empty()) throw std::invalid_argument("expected a program with inputs and outputs");
  for (const int slot : inputs_) written_[static_cast<std::size_t>(slot)] = true;
}

void Program::check_slots(const std::vector<int>& slots) const {
  for (const int slot : slots)
    if (slot < 0 || slot >= slots_)
      throw std::invalid_argument("slot: expected 0 to " + std::to_string(slots_ - 1) + ", got " + std::to_string(slot));
}

void Program::add(std::unique_ptr<Operation> operation) {
  check_slots(operation->inputs);
  check_slots(operation->outputs);
  if (operation->inputs.empty() || operation->outputs.empty())
    throw std::invalid_argument("layer '" + operation->name + "': expected inputs and outputs");
  for (const int slot : operation->inputs)
    if (!written_[static_cast<std::size_t>(slot)])
      throw std::invalid_argument("layer '" + operation->name + "': reads slot " + std::to_string(slot) + ", which nothing has written");
  for (const int slot : operation->outputs) {
    if (written_[static_cast<std::size_t>(slot)])
      throw std::invalid_argument("layer '" + operation->name + "': writes slot " + std::to_string(slot) + " again");
    written_[static_cast<std::size_t>(slot)] = true;
  }
  sequences_.push_back(dynamic_cast<const RecurrentOperation*>(operation.get()));
  if (operation->n_states() > 0) {
    operation->state_index = static_cast<int>(2 * stateful_.size());
    stateful_.push_back(operation.get());
  }
  operations_.push_back(std::move(operation));
}

void Program::end_mask() {
  if (operations_.empty()) throw std::invalid_argument("expected an operation before it");
  operations_.back()->ends_mask = true;
}

std::size_t Program::bytes() const {
  std::size_t n = 0;
  for (const auto& op : operations_) n += op->bytes();
  return n;
}

void Program::infer(Run& run) const {
  for (const int slot : outputs_)
    if (!written_[static_cast<std::size_t>(slot)]) throw std::invalid_argument("no operation writes output slot " + std::to_string(slot));
  const auto refuse = [](const std::string& layer, const char* what) { throw std::invalid_argument("layer '" + layer + "': " + what); };
  for (const auto& op : operations_) {
    for (std::size_t i = 0; i < op->inputs.size(); ++i)
      if (run.slots[op->inputs[i]].holds_ids() && !op->reads_ids(i)) refuse(op->name, "it reads ids as numbers");
    op->infer(run);
  }
  for (const int slot : outputs_)
    if (run.slots[slot].holds_ids()) throw std::invalid_argument("output slot " + std::to_string(slot) + " holds ids");
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
