// SPDX-License-Identifier: BSD-3-Clause
#include "engine/program.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

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

void Program::plan_memory() const {
  const std::size_t count = operations_.size();
  const auto slot_count = static_cast<std::size_t>(slots_);
  // Which operation's memory a slot shows, -1 for the caller's; and which operation reads that memory last.
  std::vector<int> owner(slot_count, -1);
  std::vector<std::size_t> last(count);
  std::vector<std::pair<int, int>> passed;  // from the second's memory to the first's
  for (std::size_t i = 0; i < count; ++i) {
    const Operation& op = *operations_[i];
    for (const int slot : op.inputs)
      if (const int of = owner[static_cast<std::size_t>(slot)]; of >= 0) last[static_cast<std::size_t>(of)] = i;
    last[i] = i;
    for (const int slot : op.outputs) owner[static_cast<std::size_t>(slot)] = static_cast<int>(i);
    // What passes an input's memory on may also have some of its own: then both must last, which the input's does.
    if (op.passes_data())
      if (const int of = owner[static_cast<std::size_t>(op.inputs[0])]; of >= 0) passed.emplace_back(static_cast<int>(i), of);
  }
  for (const int slot : outputs_)
    if (const int of = owner[static_cast<std::size_t>(slot)]; of >= 0) last[static_cast<std::size_t>(of)] = count;
  // An input whose memory is passed on lasts as long as what it is passed on to.
  for (std::size_t k = passed.size(); k-- > 0;) {
    const auto [to, from] = passed[k];
    last[static_cast<std::size_t>(from)] = std::max(last[static_cast<std::size_t>(from)], last[static_cast<std::size_t>(to)]);
  }
  places_.assign(count, 0);
  n_places_ = 0;
  std::vector<int> free;
  std::vector<std::size_t> waiting;  // operations whose memory is in use
  for (std::size_t i = 0; i < count; ++i) {
    if (free.empty()) {
      places_[i] = n_places_++;
    } else {
      places_[i] = free.back();
      free.pop_back();
    }
    waiting.push_back(i);
    // Recurrent layers that follow each other may run at the same time: until the last has run all that they read is read.
    if (i + 1 < count && sequences_[i] && sequences_[i + 1] && sequences_[i + 1]->follows(*sequences_[i])) continue;
    for (std::size_t k = waiting.size(); k-- > 0;)
      if (last[waiting[k]] <= i) {
        free.push_back(places_[waiting[k]]);
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(k));
      }
  }
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
  std::call_once(planned_, [this] { plan_memory(); });
  if (places_.size() != operations_.size()) throw std::invalid_argument("operations were added after the first run");
  constexpr int kInline = 64;  // places of usual programs need no allocation
  std::size_t few[kInline] = {};
  std::vector<std::size_t> many(n_places_ > kInline ? static_cast<std::size_t>(n_places_) : 0);
  std::size_t* const sizes = many.empty() ? few : many.data();
  const auto place_one = [&](std::size_t i, Carver& data, Carver& masks) {
    const Operation& op = *operations_[i];
    Placer placer(data, masks);
    op.place_outputs(run, placer, result_of(op.outputs[0]));
    if (op.ends_mask) run.slots[op.outputs[0]].mask = nullptr;
  };
  Carver masks_size;
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    Carver data;
    place_one(i, data, masks_size);
    std::size_t& size = sizes[places_[i]];
    size = std::max(size, data.bytes());
  }
  std::size_t total = masks_size.bytes();
  for (int p = 0; p < n_places_; ++p) total += std::exchange(sizes[p], total);  // from here on where each place begins
  Arena arena(total);
  Carver masks(arena.data());
  for (std::size_t i = 0; i < operations_.size(); ++i) {
    Carver data(arena.data() + sizes[places_[i]]);
    place_one(i, data, masks);
  }
  for (std::size_t i = 0; i < operations_.size();) i += execute_some(run, i);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Tensor& out = run.slots[outputs_[i]];
    if (out.data != results[i]) std::copy_n(out.data, out.elements(), results[i]);
  }
}

}  // namespace lstmfast
