// SPDX-License-Identifier: BSD-3-Clause
// A fixed scale and shift of each feature, in a frozen model: Normalization and Rescaling.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// scale * x + shift, or (x - shift) / scale: one of each for all features, or one for each feature.
class AffineOperation final : public SimpleOperation {
 public:
  AffineOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::vector<float> scale, std::vector<float> shift,
                  bool inverse)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)),
        scale_(std::move(scale)),
        shift_(std::move(shift)),
        inverse_(inverse) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return (scale_.size() + shift_.size()) * sizeof(float); }

 private:
  std::vector<float> scale_, shift_;  // of equal size
  bool inverse_;
};

}  // namespace lstmfast
