// SPDX-License-Identifier: BSD-3-Clause
#include "engine/rectifier_operation.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {
void RectifierOperation::infer(Run& run) const { output(run) = input(run).with_width(input(run).width); }

void RectifierOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  // Step by step as `activations.relu` does it, for the same bits.
  const bool at_least = options_.limited && options_.threshold == 0;
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    const float v = x.data[i], below = options_.threshold - v;
    float above = (at_least ? v >= options_.threshold : v > options_.threshold) ? v : 0.0f;
    if (options_.limited) above = std::clamp(above, 0.0f, options_.max_value);
    y[i] = above - options_.negative_slope * (below < 0 ? 0.0f : below);
  }
}

double RectifierOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

void LeakyOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (slopes_.size() > 1 && static_cast<std::int64_t>(slopes_.size()) != x.width)
    refuse("expected " + std::to_string(slopes_.size()) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(x.width);
}

void LeakyOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  const bool shared = slopes_.size() == 1;
  for (std::int64_t row = 0; row < x.rows(); ++row)
    for (std::int64_t i = 0; i < x.width; ++i) {
      const float v = x.data[row * x.width + i];
      y[row * x.width + i] = v > 0 ? v : slopes_[shared ? 0 : static_cast<std::size_t>(i)] * v;
    }
}

double LeakyOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

}  // namespace lstmfast
