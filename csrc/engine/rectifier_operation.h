// SPDX-License-Identifier: BSD-3-Clause
// Rectifiers with arguments, in a frozen model: those without are activations.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// ReLU with a maximum, a slope below the threshold, and a threshold.
class RectifierOperation final : public SimpleOperation {
 public:
  struct Options {
    bool limited = false;
    float max_value = 0, negative_slope = 0, threshold = 0;
  };
  RectifierOperation(std::vector<int> in, std::vector<int> out, std::string layer, Options o)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), options_(o) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  Options options_;
};

// x above 0, else a slope times x: one for all features, or one for each.
class LeakyOperation final : public SimpleOperation {
 public:
  LeakyOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::vector<float> slopes)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), slopes_(std::move(slopes)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return slopes_.size() * sizeof(float); }

 private:
  std::vector<float> slopes_;
};

}  // namespace lstmfast
