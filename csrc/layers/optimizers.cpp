// SPDX-License-Identifier: BSD-3-Clause
#include "layers/optimizers.h"

#include <algorithm>
#include <cmath>

#include "layers/work.h"
#include "threading/parallel.h"

namespace lstmfast {
namespace {

constexpr std::int64_t kChunk = 16384;  // elements of one parameter whose squares are added in one go

// In float64, for the rare arrays whose squares leave float32's range.
double careful_sum(const Parameter& p) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < p.size; ++i) sum += static_cast<double>(p.gradient[i]) * static_cast<double>(p.gradient[i]);
  return sum;
}

// A factor for a norm near float32's end would be flushed to 0.
void scale(const KernelTable& kernels, std::int64_t n, double factor, float* x) {
  if (factor > 0.0 && factor < 1e-30) {
    kernels.scale(n, 1e-20f, x);
    factor *= 1e20;
  }
  kernels.scale(n, static_cast<float>(factor), x);
}

}  // namespace

ParameterSet::ParameterSet(const KernelTable& kernels, std::vector<Parameter> parameters)
    : kernels_(kernels), parameters_(std::move(parameters)), offsets_{0} {
  for (const Parameter& p : parameters_) offsets_.push_back(offsets_.back() + p.size);
}

// f(parameter index, first element, end) for parts that together cover all parameters once, side by side.
template <class F>
void ParameterSet::for_parts(double work, F&& f) const {
  parallel_for(
      size(), threads_for_work(static_cast<double>(size()) * work),
      [&](std::int64_t begin, std::int64_t end) {
        auto i = static_cast<std::size_t>(std::upper_bound(offsets_.begin(), offsets_.end(), begin) - offsets_.begin()) - 1;
        for (; i < parameters_.size() && offsets_[i] < end; ++i) {
          const std::int64_t first = std::max(begin, offsets_[i]) - offsets_[i];
          const std::int64_t last = std::min(end, offsets_[i + 1]) - offsets_[i];
          if (first < last) f(i, first, last);
        }
      },
      16);
}

std::vector<double> ParameterSet::sums_of_squares() const {
  struct Chunk {
    std::size_t parameter;
    std::int64_t begin, end;
  };
  std::vector<Chunk> chunks;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    for (std::int64_t b = 0; b < parameters_[i].size; b += kChunk) chunks.push_back({i, b, std::min(b + kChunk, parameters_[i].size)});
  std::vector<double> partial(chunks.size());
  parallel_for(static_cast<std::int64_t>(chunks.size()), threads_for_work(static_cast<double>(size()) * kStreamWork),
               [&](std::int64_t begin, std::int64_t end) {
                 for (auto c = static_cast<std::size_t>(begin); c < static_cast<std::size_t>(end); ++c) {
                   const Chunk& chunk = chunks[c];
                   kernels_.sum_squares(chunk.end - chunk.begin, parameters_[chunk.parameter].gradient + chunk.begin, &partial[c]);
                 }
               });
  std::vector<double> sums(parameters_.size(), 0.0);
  for (std::size_t c = 0; c < chunks.size(); ++c) sums[chunks[c].parameter] += partial[c];
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (!(sums[i] < 1e37 && sums[i] > 1e-25)) sums[i] = careful_sum(parameters_[i]);
  return sums;
}

std::vector<double> ParameterSet::norms() const {
  std::vector<double> n = sums_of_squares();
  for (double& x : n) x = std::sqrt(x);
  return n;
}

double ParameterSet::global_norm() const {
  double sum = 0.0;
  for (const double s : sums_of_squares()) sum += s;
  return std::sqrt(sum);
}

void ParameterSet::scale_gradients(double factor) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    scale(kernels_, last - first, factor, parameters_[i].gradient + first);
  });
}

void ParameterSet::scale_gradients(const std::vector<double>& factors) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    if (factors[i] != 1.0) scale(kernels_, last - first, factors[i], parameters_[i].gradient + first);
  });
}

void ParameterSet::clip_gradients(float limit) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    kernels_.clip(last - first, -limit, limit, parameters_[i].gradient + first);
  });
}

void ParameterSet::sgd(float learning_rate, float momentum, bool nesterov) {
  for_parts(kUpdateWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    SgdArgs a{};
    a.n = last - first;
    a.value = p.value + first;
    a.gradient = p.gradient + first;
    a.velocity = momentum != 0.0f ? p.slots[0] + first : nullptr;
    a.learning_rate = learning_rate;
    a.momentum = momentum;
    a.nesterov = nesterov;
    kernels_.sgd(a);
  });
}

void ParameterSet::adam(float step, float one_minus_beta_1, float one_minus_beta_2, float epsilon) {
  for_parts(kUpdateWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    AdamArgs a{};
    a.n = last - first;
    a.value = p.value + first;
    a.gradient = p.gradient + first;
    a.mean = p.slots[0] + first;
    a.variance = p.slots[1] + first;
    a.step = step;
    a.one_minus_beta_1 = one_minus_beta_1;
    a.one_minus_beta_2 = one_minus_beta_2;
    a.epsilon = epsilon;
    kernels_.adam(a);
  });
}

}  // namespace lstmfast
