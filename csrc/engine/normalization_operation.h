// SPDX-License-Identifier: BSD-3-Clause
// Normalizations in a frozen model.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// Layer and root mean square normalization over features.
class NormalizationOperation final : public SimpleOperation {
 public:
  struct Options {
    std::int64_t width;
    std::vector<float> gamma, beta;  // empty where there is none
    float epsilon;
    bool centered;
  };
  NormalizationOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, Options o)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), kernels_(k), options_(std::move(o)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return (options_.gamma.size() + options_.beta.size()) * sizeof(float); }

 private:
  const KernelTable& kernels_;
  const Options options_;
};

// Batch normalization with the means and scales of inference, one for each feature.
class BatchNormalizationOperation final : public SimpleOperation {
 public:
  struct Options {
    std::vector<float> mean, scale;
    std::vector<float> gamma, beta;  // empty where there is none
  };
  BatchNormalizationOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, Options o)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), kernels_(k), options_(std::move(o)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override {
    return (options_.mean.size() + options_.scale.size() + options_.gamma.size() + options_.beta.size()) * sizeof(float);
  }

 private:
  const KernelTable& kernels_;
  const Options options_;
};

// Mean 0 and variance 1 over all steps of each group of features.
class GroupNormalizationOperation final : public SimpleOperation {
 public:
  struct Options {
    std::int64_t width, groups;
    std::vector<float> gamma, beta;  // empty where there is none
    float epsilon;
  };
  GroupNormalizationOperation(std::vector<int> in, std::vector<int> out, std::string layer, Options o)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), options_(std::move(o)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return (options_.gamma.size() + options_.beta.size()) * sizeof(float); }

 private:
  void normalize_sample(const Tensor& x, std::int64_t sample, float* y) const;
  const Options options_;
};

// The features of each step divided by their Euclidean length, or times 1e12 where it is less than 1e-12.
class UnitNormalizationOperation final : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

}  // namespace lstmfast
