// SPDX-License-Identifier: BSD-3-Clause
#include "engine/normalization_operation.h"

#include <algorithm>
#include <cmath>

#include "layers/batch_norm.h"
#include "layers/layer_norm.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

const float* data_or_null(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

double stream_work(const Tensor& x) { return kStreamWork * static_cast<double>(x.elements()); }

}  // namespace

// ---- rows

void NormalizationOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.width != options_.width) refuse("expected " + std::to_string(options_.width) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(x.width);
}

void NormalizationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  LayerNormArgs a{};
  a.rows = x.rows();
  a.columns = x.width;
  a.x = x.data;
  a.gamma = data_or_null(options_.gamma);
  a.beta = data_or_null(options_.beta);
  a.epsilon = options_.epsilon;
  a.centered = options_.centered;
  a.y = mutable_data(output(run));
  layer_norm_forward(kernels_, a);
}

double NormalizationOperation::work(const Run& run) const { return layer_norm_work(input(run).rows(), input(run).width); }

// ---- the batch's

void BatchNormalizationOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  const auto width = static_cast<std::int64_t>(options_.mean.size());
  if (x.width != width) refuse("expected " + std::to_string(width) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(x.width);
}

void BatchNormalizationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  batch_norm_forward(kernels_, {x.rows(), x.width, x.data, options_.mean.data(), options_.scale.data(), data_or_null(options_.gamma),
                                data_or_null(options_.beta), mutable_data(output(run))});
}

double BatchNormalizationOperation::work(const Run& run) const { return stream_work(input(run)); }

// ---- groups

void GroupNormalizationOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.width != options_.width) refuse("expected " + std::to_string(options_.width) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(x.width);
}

// Sums in float64 of what the layer computes in float32.
void GroupNormalizationOperation::normalize_sample(const Tensor& x, std::int64_t sample, float* y) const {
  const std::int64_t steps = x.time ? x.time : 1, size = x.width / options_.groups;
  const float* const from = x.data + sample * steps * x.width;
  float* const to = y + sample * steps * x.width;
  const double count = static_cast<double>(steps) * static_cast<double>(size);
  for (std::int64_t group = 0; group < options_.groups; ++group) {
    const std::int64_t begin = group * size, end = begin + size;
    double sum = 0, squares = 0;
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t i = begin; i < end; ++i) sum += static_cast<double>(from[t * x.width + i]);
    const auto mean = static_cast<float>(sum / count);
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t i = begin; i < end; ++i) {
        const float deviation = from[t * x.width + i] - mean, square = deviation * deviation;
        to[t * x.width + i] = deviation;
        squares += static_cast<double>(square);
      }
    const float inverse = 1.0f / std::sqrt(static_cast<float>(squares / count) + options_.epsilon);
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t i = begin; i < end; ++i) {
        const auto k = static_cast<std::size_t>(i);
        float v = to[t * x.width + i] * inverse;
        if (!options_.gamma.empty()) v *= options_.gamma[k];
        if (!options_.beta.empty()) v += options_.beta[k];
        to[t * x.width + i] = v;
      }
  }
}

void GroupNormalizationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  parallel_for(x.batch, threads_for_work(work(run)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t sample = begin; sample < end; ++sample) normalize_sample(x, sample, y);
  });
}

double GroupNormalizationOperation::work(const Run& run) const { return 3 * stream_work(input(run)); }

// ---- length 1

void UnitNormalizationOperation::infer(Run& run) const { output(run) = input(run).with_width(input(run).width); }

void UnitNormalizationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    const float* const from = x.data + row * x.width;
    double squares = 0;
    for (std::int64_t i = 0; i < x.width; ++i) squares += static_cast<double>(from[i] * from[i]);
    const float inverse = std::min(1.0f / std::sqrt(static_cast<float>(squares)), 1e12f);
    for (std::int64_t i = 0; i < x.width; ++i) y[row * x.width + i] = from[i] * inverse;
  }
}

double UnitNormalizationOperation::work(const Run& run) const { return 2 * stream_work(input(run)); }

}  // namespace lstmfast
