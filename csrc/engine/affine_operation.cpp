// SPDX-License-Identifier: BSD-3-Clause
#include "engine/affine_operation.h"

#include "threading/work.h"

namespace lstmfast {

void AffineOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (scale_.size() > 1 && static_cast<std::int64_t>(scale_.size()) != x.width)
    refuse("expected " + std::to_string(scale_.size()) + " features, got " + std::to_string(x.width));
  Tensor y;
  y.batch = x.batch;
  y.time = x.time;
  y.width = x.width;
  y.lengths = x.lengths;
  output(run) = y;
}

void AffineOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  // The layers do the same two operations one after the other, for the same bits.
  const bool shared = scale_.size() == 1;
  const std::int64_t width = shared ? x.elements() : x.width, rows = shared ? 1 : x.rows();
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t i = 0; i < width; ++i) {
      const std::size_t k = shared ? 0 : static_cast<std::size_t>(i);
      const float v = x.data[row * width + i];
      if (inverse_) {
        y[row * width + i] = (v - shift_[k]) / scale_[k];
      } else {
        const float product = v * scale_[k];
        y[row * width + i] = product + shift_[k];
      }
    }
}

double AffineOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

}  // namespace lstmfast
