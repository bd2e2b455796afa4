// SPDX-License-Identifier: BSD-3-Clause
// A frozen model: operations in order, on numbered slots. Immutable once built; any number of threads may run it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/operation.h"

namespace lstmfast {

class Program {
 public:
  Program(int slots, std::vector<int> inputs, std::vector<int> outputs);
  // Throws std::invalid_argument if a slot does not exist, nothing before has written one that is read, or one is written again.
  void add(std::unique_ptr<Operation> operation);
  void end_mask();  // no mask goes through the operation added last

  const std::vector<int>& inputs() const { return inputs_; }
  const std::vector<int>& outputs() const { return outputs_; }
  const std::vector<std::unique_ptr<Operation>>& operations() const { return operations_; }
  int slots() const { return slots_; }
  std::size_t bytes() const;
  // Operations with states, in order; each has two pointers in Run::states.
  const std::vector<const Operation*>& stateful() const { return stateful_; }

  // Shapes of all slots from those of the inputs (set before). Throws std::invalid_argument.
  void infer(Run& run) const;
  double work(const Run& run) const;
  // Runs everything after infer(); `results`: where each output goes.
  void execute(Run& run, float* const* results) const;

 private:
  int slots_;
  std::vector<int> inputs_, outputs_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<const RecurrentOperation*> sequences_;  // as operations_, null where one is not of this kind
  std::vector<const Operation*> stateful_;
  std::vector<bool> written_;  // of each slot
  // Which place in memory each operation's outputs take: places are taken again when nothing reads what stands there any more, so
  // that a large model stays in the cache. Planned once, when the program first runs.
  mutable std::once_flag planned_;
  mutable std::vector<int> places_;
  mutable int n_places_ = 0;

  void plan_memory() const;

  void check_slots(const std::vector<int>& slots) const;
  // Runs the operations from the i-th on that belong together, and returns how many.
  std::size_t execute_some(Run& run, std::size_t i) const;
};

}  // namespace lstmfast
