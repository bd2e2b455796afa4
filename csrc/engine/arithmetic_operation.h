// SPDX-License-Identifier: BSD-3-Clause
// Operators between symbolic tensors, and one step of a sequence, in a frozen model. Masks end here, as in Keras.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

enum class Arithmetic { kAdd, kSubtract, kMultiply, kDivide, kMaximum, kMinimum };

// Two tensors, with axes of size 1 broadcast; or one and a number, or one and a number for each feature; or one with itself.
class ArithmeticOperation final : public SimpleOperation {
 public:
  // constants: none, one, or one for each feature; reverse: they stand on the left.
  ArithmeticOperation(std::vector<int> in, std::vector<int> out, std::string layer, Arithmetic kind, std::vector<float> constants,
                      bool reverse)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)),
        kind_(kind),
        constants_(std::move(constants)),
        reverse_(reverse) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Carver& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return constants_.size() * sizeof(float); }

 private:
  Arithmetic kind_;
  std::vector<float> constants_;
  bool reverse_;
};

// One time step of each row, counted from its end if `step` is negative; 0 where a row is too short. In a stream every step.
class PickOperation final : public SimpleOperation {
 public:
  PickOperation(std::vector<int> in, std::vector<int> out, std::string layer, int step)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), step_(step) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Carver& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  int step_;
};

}  // namespace lstmfast
