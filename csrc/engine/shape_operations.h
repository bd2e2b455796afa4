// SPDX-License-Identifier: BSD-3-Clause
// Operations of a frozen model that move numbers to other places. Masks end here, as in Keras.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// The same numbers as so many steps of so many features: steps 0 for no time axis, one of both -1 for what is left.
class ReshapeOperation final : public UnmaskedOperation {
 public:
  ReshapeOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::int64_t steps, std::int64_t width)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), steps_(steps), width_(width) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  std::int64_t steps_, width_;
};

// (batch, width) to (batch, steps, width), all steps alike.
class RepeatOperation final : public UnmaskedOperation {
 public:
  RepeatOperation(std::vector<int> in, std::vector<int> out, std::string layer, int steps)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), steps_(steps) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  int steps_;
};

// (batch, steps, width) to (batch, width, steps).
class TransposeOperation final : public UnmaskedOperation {
 public:
  using UnmaskedOperation::UnmaskedOperation;
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

// Every step so many times, then steps of zeros before and behind, or steps left out where these numbers are negative.
class ResampleOperation final : public UnmaskedOperation {
 public:
  struct Options {
    std::int64_t times = 1, before = 0, behind = 0;
  };
  ResampleOperation(std::vector<int> in, std::vector<int> out, std::string layer, Options o)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), options_(o) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  bool crops() const { return options_.before < 0 || options_.behind < 0; }
  const Options options_;
};

}  // namespace lstmfast
