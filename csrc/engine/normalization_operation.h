// SPDX-License-Identifier: BSD-3-Clause
// Layer and root mean square normalization over features in a frozen model.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

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

}  // namespace lstmfast
