// SPDX-License-Identifier: BSD-3-Clause
// Arithmetic in a frozen model, element by element: operators between symbolic tensors, and layers that scale and shift.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

enum class Arithmetic { kAdd, kSubtract, kMultiply, kDivide, kMaximum, kMinimum };

// Two tensors, with axes of size 1 broadcast; or one and constants, the same for all samples; or one with itself.
class ArithmeticOperation final : public SimpleOperation {
 public:
  struct Constants {
    std::vector<float> values = {};  // (steps, width), either of which may be 1; or empty
    std::int64_t steps = 0, width = 0;
    bool reverse = false;  // they stand on the left
  };
  ArithmeticOperation(std::vector<int> in, std::vector<int> out, std::string layer, Arithmetic kind, Constants constants)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), kind_(kind), constants_(std::move(constants)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return constants_.values.size() * sizeof(float); }

 private:
  Arithmetic kind_;
  Constants constants_;
};

// One time step of each row, counted from its end if `step` is negative; 0 where a row is too short. In a stream every step.
class PickOperation final : public UnmaskedOperation {
 public:
  PickOperation(std::vector<int> in, std::vector<int> out, std::string layer, int step)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), step_(step) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  int step_;
};

}  // namespace lstmfast
