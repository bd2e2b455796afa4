// SPDX-License-Identifier: BSD-3-Clause
#include "engine/pooling_operation.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {
namespace {

// As NumPy's maximum: NaN wins.
float greater(float a, float b) { return a > b || a != a ? a : b; }

void take(Pool pool, const float* x, std::int64_t width, float* y) {
  if (pool == Pool::kMax)
    for (std::int64_t i = 0; i < width; ++i) y[i] = greater(y[i], x[i]);
  else
    for (std::int64_t i = 0; i < width; ++i) y[i] += x[i];
}

}  // namespace

// ---- windows

std::int64_t PoolingOperation::outputs_of(std::int64_t time) const {
  if (options_.windows > 0) return time == 0 ? 0 : options_.windows;
  if (options_.same) return time == 0 ? 0 : (time - 1) / options_.stride + 1;
  return time < options_.size ? 0 : (time - options_.size) / options_.stride + 1;
}

void PoolingOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  const std::int64_t steps = outputs_of(x.time);
  if (steps == 0) refuse("expected at least " + std::to_string(options_.size) + " time steps, got " + std::to_string(x.time));
  Tensor y;
  y.batch = x.batch;
  y.time = static_cast<int>(steps);
  y.width = x.width;
  if (x.lengths) {
    std::int32_t* const lengths = run.new_lengths(x.batch);
    for (int b = 0; b < x.batch; ++b) lengths[b] = static_cast<std::int32_t>(outputs_of(x.lengths[b]));
    y.lengths = lengths;
  }
  output(run) = y;
}

std::pair<std::int64_t, std::int64_t> PoolingOperation::window(std::int64_t number, std::int64_t length) const {
  if (options_.windows > 0) return {number * length / options_.windows, ((number + 1) * length - 1) / options_.windows + 1};
  const std::int64_t last = (std::max<std::int64_t>(length, 1) - 1) / options_.stride * options_.stride;
  const std::int64_t left = options_.same ? std::max<std::int64_t>(0, last + options_.size - std::max<std::int64_t>(length, 1)) / 2 : 0;
  const std::int64_t start = number * options_.stride - left;
  return {std::max<std::int64_t>(start, 0), std::min(start + options_.size, length)};
}

void PoolingOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const Tensor& out = output(run);
  for (int b = 0; b < x.batch; ++b) {
    const std::int64_t length = x.lengths ? x.lengths[b] : x.time;
    const float* const from = x.data + static_cast<std::int64_t>(b) * x.time * x.width;
    for (int t = 0; t < out.time; ++t) {
      float* const y = mutable_data(out) + (static_cast<std::int64_t>(b) * out.time + t) * out.width;
      const auto [begin, end] = window(t, length);
      std::fill_n(y, out.width, 0.0f);
      if (begin >= end) continue;
      // Averages over windows of a size begin with 0, as the layer's do: it is not the same for a negative zero.
      const bool copies = options_.pool == Pool::kMax || options_.windows > 0;
      if (copies) std::copy_n(from + begin * x.width, x.width, y);
      for (std::int64_t s = copies ? begin + 1 : begin; s < end; ++s) take(options_.pool, from + s * x.width, x.width, y);
      if (options_.pool == Pool::kMax) continue;
      const auto count = static_cast<float>(end - begin);
      if (options_.windows > 0)
        for (std::int64_t i = 0; i < out.width; ++i) y[i] /= count;
      else
        for (std::int64_t i = 0; i < out.width; ++i) y[i] *= 1.0f / count;
    }
  }
}

double PoolingOperation::work(const Run& run) const {
  if (options_.windows > 0) return kStreamWork * static_cast<double>(input(run).elements());
  return kStreamWork * static_cast<double>(output(run).elements()) * static_cast<double>(options_.size);
}

// ---- whole sequences

void GlobalPoolingOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  Tensor y;
  y.batch = x.batch;
  y.time = keeps_time_ ? 1 : 0;
  y.width = x.width;
  output(run) = y;
}

void GlobalPoolingOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const std::uint8_t* const mask = pool_ == Pool::kAverage ? x.mask : nullptr;  // a maximum does not look at it, as in Keras
  for (int b = 0; b < x.batch; ++b) {
    const int length = x.lengths ? x.lengths[b] : x.time;
    const float* const from = x.data + static_cast<std::int64_t>(b) * x.time * x.width;
    float* const y = mutable_data(output(run)) + b * x.width;
    std::fill_n(y, x.width, 0.0f);
    if (length == 0) continue;
    int count = 0;
    for (int t = 0; t < length; ++t) {
      if (mask && !mask[static_cast<std::int64_t>(b) * x.time + t]) continue;
      if (count++ == 0) std::copy_n(from + t * x.width, x.width, y);
      else take(pool_, from + t * x.width, x.width, y);
    }
    if (pool_ == Pool::kAverage)
      for (std::int64_t i = 0; i < x.width; ++i) y[i] /= static_cast<float>(count);
  }
}

double GlobalPoolingOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

}  // namespace lstmfast
