// SPDX-License-Identifier: BSD-3-Clause
#include "layers/optimizers.h"

#include <algorithm>
#include <cmath>

#include "threading/parallel.h"
#include "threading/work.h"

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

void ParameterSet::hold_gradients(int slot) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    kernels_.accumulate(last - first, p.gradient + first, p.slots[static_cast<std::size_t>(slot)] + first);
  });
}

void ParameterSet::release_gradients(int slot, double factor) {
  for_parts(kUpdateWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    float* held = p.slots[static_cast<std::size_t>(slot)] + first;
    kernels_.accumulate(last - first, held, p.gradient + first);
    scale(kernels_, last - first, factor, p.gradient + first);
    std::fill_n(held, last - first, 0.0f);
  });
}

void ParameterSet::scale_values(const std::vector<double>& factors) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    if (factors[i] != 1.0) kernels_.scale(last - first, static_cast<float>(factors[i]), parameters_[i].value + first);
  });
}

void ParameterSet::average_values(int slot, float keep) {
  for_parts(kStreamWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    kernels_.blend(last - first, keep, p.value + first, p.slots[static_cast<std::size_t>(slot)] + first);
  });
}

template <class Args>
void ParameterSet::update(void (*kernel)(const Args&), const Args& args) const {
  for_parts(kUpdateWork, [&](std::size_t i, std::int64_t first, std::int64_t last) {
    const Parameter& p = parameters_[i];
    Args part = args;
    part.n = last - first;
    part.value = p.value + first;
    part.gradient = p.gradient + first;
    for (std::size_t k = 0; k < kUpdateSlots; ++k) part.slot[k] = k < p.slots.size() ? p.slots[k] + first : nullptr;
    kernel(part);
  });
}

template void ParameterSet::update(void (*)(const SgdArgs&), const SgdArgs&) const;
template void ParameterSet::update(void (*)(const AdamArgs&), const AdamArgs&) const;
template void ParameterSet::update(void (*)(const AdamaxArgs&), const AdamaxArgs&) const;
template void ParameterSet::update(void (*)(const NadamArgs&), const NadamArgs&) const;
template void ParameterSet::update(void (*)(const LionArgs&), const LionArgs&) const;
template void ParameterSet::update(void (*)(const RmspropArgs&), const RmspropArgs&) const;
template void ParameterSet::update(void (*)(const AdagradArgs&), const AdagradArgs&) const;
template void ParameterSet::update(void (*)(const AdadeltaArgs&), const AdadeltaArgs&) const;

}  // namespace lstmfast
