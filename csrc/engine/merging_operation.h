// SPDX-License-Identifier: BSD-3-Clause
// Inputs of one shape joined element by element, in a frozen model.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

enum class Join { kAdd, kSubtract, kMultiply, kAverage, kMaximum, kMinimum };

// The output has a mask where all inputs have one: steps that count in any. A masked step is a factor of 1 in a product and is left
// out of a maximum or minimum; sums do not look at masks. All as in Keras.
class MergingOperation final : public SimpleOperation {
 public:
  MergingOperation(std::vector<int> in, std::vector<int> out, std::string layer, Join join)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), join_(join) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  bool masked(const Run& run, std::size_t i, std::int64_t row) const { return input(run, i).mask && !input(run, i).mask[row]; }
  void join_row(const Run& run, std::int64_t row, float* y) const;
  Join join_;
};

}  // namespace lstmfast
