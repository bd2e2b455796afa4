// SPDX-License-Identifier: BSD-3-Clause
#include "engine/merging_operation.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {
namespace {

// y = f(y, x), element by element.
template <class F>
void apply(const float* x, std::int64_t width, float* y, F&& f) {
  for (std::int64_t i = 0; i < width; ++i) y[i] = f(y[i], x[i]);
}

}  // namespace

void MergingOperation::infer(Run& run) const {
  Tensor y;
  const Tensor& first = input(run);
  y.batch = first.batch;
  y.time = first.time;
  y.width = first.width;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = input(run, i);
    if (x.batch != y.batch || x.time != y.time || x.width != y.width) refuse("expected inputs of the same shape");
    if (!y.lengths) y.lengths = x.lengths;
  }
  output(run) = y;
}

void MergingOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  SimpleOperation::place_outputs(run, memory, first_output);
  Tensor& out = output(run);
  const std::uint8_t* const mask = memory.take<std::uint8_t>(static_cast<std::size_t>(out.rows()));
  bool all = true;
  for (std::size_t i = 0; i < inputs.size(); ++i) all &= input(run, i).mask != nullptr;
  out.mask = all ? mask : nullptr;
}

void MergingOperation::join_row(const Run& run, std::int64_t row, float* y) const {
  const std::int64_t width = output(run).width;
  const auto data = [&](std::size_t i) { return input(run, i).data + row * width; };
  if (join_ == Join::kMultiply && masked(run, 0, row)) std::fill_n(y, width, 1.0f);
  else std::copy_n(data(0), width, y);
  bool left_masked = masked(run, 0, row), left_has = input(run).mask != nullptr;
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    const float* const x = data(i);
    const bool right_masked = masked(run, i, row);
    switch (join_) {
      case Join::kAdd:
      case Join::kAverage: apply(x, width, y, [](float a, float b) { return a + b; }); break;
      case Join::kSubtract: apply(x, width, y, [](float a, float b) { return a - b; }); break;
      case Join::kMultiply:
        if (!right_masked) apply(x, width, y, [](float a, float b) { return a * b; });
        break;
      case Join::kMaximum:
      case Join::kMinimum:
        if (!right_masked) {
          if (left_masked) std::copy_n(x, width, y);
          else if (join_ == Join::kMaximum) apply(x, width, y, [](float a, float b) { return a > b || a != a ? a : b; });
          else apply(x, width, y, [](float a, float b) { return a < b || a != a ? a : b; });
        }
        // The mask of what has been joined so far: none as soon as one input has none.
        left_has = left_has && input(run, i).mask;
        left_masked = left_has && left_masked && right_masked;
        break;
    }
  }
}

void MergingOperation::execute(Run& run) const {
  Tensor& out = output(run);
  std::uint8_t* const mask = const_cast<std::uint8_t*>(out.mask);
  const float count = static_cast<float>(inputs.size());
  for (std::int64_t row = 0; row < out.rows(); ++row) {
    float* const y = mutable_data(out) + row * out.width;
    join_row(run, row, y);
    if (join_ == Join::kAverage)
      for (std::int64_t i = 0; i < out.width; ++i) y[i] /= count;
    if (!mask) continue;
    mask[row] = 0;
    for (std::size_t i = 0; i < inputs.size(); ++i) mask[row] |= input(run, i).mask[row];
    if (join_ == Join::kMultiply && !mask[row]) std::fill_n(y, out.width, 0.0f);
  }
}

double MergingOperation::work(const Run& run) const {
  return kStreamWork * static_cast<double>(output(run).elements()) * static_cast<double>(inputs.size());
}

}  // namespace lstmfast
