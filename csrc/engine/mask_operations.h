// SPDX-License-Identifier: BSD-3-Clause
// Masks as what layers compute with, in a frozen model.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// The mask of (batch, time, ...) as numbers (batch, time): 1 where a step counts. All do where there is no mask.
class MaskValuesOperation final : public UnmaskedOperation {
 public:
  using UnmaskedOperation::UnmaskedOperation;
  bool reads_ids(std::size_t) const override { return true; }
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

// Whether ids, or numbers, are others than `value`: 1 where they are. (batch, time) of ids gives as many numbers.
class DiffersOperation final : public UnmaskedOperation {
 public:
  DiffersOperation(std::vector<int> in, std::vector<int> out, std::string layer, double value)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), value_(value) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  bool reads_ids(std::size_t) const override { return true; }

 private:
  const double value_;
};

// inputs: x, and what has a mask. x with that mask; or with its own where it has one.
class CarryMaskOperation final : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  bool passes_data() const override { return true; }
  bool reads_ids(std::size_t which) const override { return which == 1; }
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

// inputs: x (batch, time, width), and numbers (batch, time) that are 0 for steps that do not count: x with them as its mask.
class GiveMaskOperation final : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  bool passes_data() const override { return true; }
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

// inputs: y, and x. y as it is; x must come without a mask.
class RefuseMaskOperation final : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  bool passes_data() const override { return true; }
  bool reads_ids(std::size_t which) const override { return which == 1; }
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

}  // namespace lstmfast
