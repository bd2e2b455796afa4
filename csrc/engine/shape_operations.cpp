// SPDX-License-Identifier: BSD-3-Clause
#include "engine/shape_operations.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {

// ---- reshape

void ReshapeOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  const std::int64_t size = x.elements() / x.batch;
  std::int64_t steps = steps_ == 0 ? 1 : steps_, width = width_;
  if (steps < 0 && width > 0) steps = size / width;
  if (width < 0 && steps > 0) width = size / steps;
  if (steps <= 0 || width <= 0 || steps * width != size || steps > INT32_MAX)
    refuse("its " + std::to_string(size) + " numbers are no " + std::to_string(steps_) + " steps of " + std::to_string(width_) +
           " features");
  Tensor y = x.with_width(width);
  y.time = steps_ == 0 ? 0 : static_cast<int>(steps);
  if (y.time != x.time) y.lengths = nullptr;
  output(run) = y;
}

void ReshapeOperation::execute(Run& run) const { std::copy_n(input(run).data, input(run).elements(), mutable_data(output(run))); }

double ReshapeOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

// ---- repeat

void RepeatOperation::infer(Run& run) const {
  if (input(run).time != 0) refuse("expected an input of shape (batch, features), got 3 axes");
  Tensor& y = output(run) = input(run).with_width(input(run).width);
  y.time = steps_;
  y.lengths = nullptr;
}

void RepeatOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* to = mutable_data(output(run));
  for (std::int64_t b = 0; b < x.batch; ++b)
    for (int t = 0; t < steps_; ++t) to = std::copy_n(x.data + b * x.width, x.width, to);
}

double RepeatOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

// ---- transpose

void TransposeOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  if (x.width > INT32_MAX) refuse("too many features: " + std::to_string(x.width));
  Tensor& y = output(run) = x.with_width(x.time);
  y.time = static_cast<int>(x.width);
  y.lengths = nullptr;
}

void TransposeOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* y = mutable_data(output(run));
  for (std::int64_t b = 0; b < x.batch; ++b) {
    const float* const from = x.data + b * x.time * x.width;
    for (std::int64_t i = 0; i < x.width; ++i)
      for (std::int64_t t = 0; t < x.time; ++t) *y++ = from[t * x.width + i];
  }
}

double TransposeOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

// ---- resample

void ResampleOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  const std::int64_t more = options_.before + options_.behind, steps = x.time * options_.times + more;
  if (steps <= 0) refuse("expected more than " + std::to_string(-more) + " time steps, got " + std::to_string(x.time));
  if (steps > INT32_MAX) refuse("it makes too many steps: " + std::to_string(steps));
  Tensor y = x.with_width(x.width);
  y.time = static_cast<int>(steps);
  if (x.lengths) {
    std::int32_t* const lengths = run.new_lengths(x.batch);
    for (int b = 0; b < x.batch; ++b) {
      const std::int64_t n = x.lengths[b];
      lengths[b] = static_cast<std::int32_t>(crops() ? std::clamp<std::int64_t>(n + options_.before, 0, steps) : n * options_.times + more);
    }
    y.lengths = lengths;
  }
  output(run) = y;
}

void ResampleOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const Tensor& out = output(run);
  float* y = mutable_data(out);
  // A padded row gets its zeros at its own end.
  const bool own_ends = x.lengths && options_.before + options_.behind > 0;
  for (std::int64_t b = 0; b < x.batch; ++b) {
    const float* const from = x.data + b * x.time * x.width;
    const std::int64_t steps = (own_ends ? x.lengths[b] : x.time) * options_.times;
    for (std::int64_t t = -options_.before; t < out.time - options_.before; ++t, y += x.width) {
      if (t >= 0 && t < steps) std::copy_n(from + t / options_.times * x.width, x.width, y);
      else std::fill_n(y, x.width, 0.0f);
    }
  }
}

double ResampleOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

}  // namespace lstmfast
