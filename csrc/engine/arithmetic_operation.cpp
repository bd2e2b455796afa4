// SPDX-License-Identifier: BSD-3-Clause
#include "engine/arithmetic_operation.h"

#include <algorithm>
#include <cmath>

#include "threading/work.h"

namespace lstmfast {
namespace {

// One side of an operator: where its values of a row stand, and how far apart (0: one for all features).
struct Side {
  const float* data = nullptr;
  std::int64_t batch_stride = 0, time_stride = 0, stride = 0;
  const float* row(std::int64_t b, std::int64_t t) const { return data + b * batch_stride + t * time_stride; }
};

Side side_of(const Tensor& x) {
  const std::int64_t time = x.time ? x.time : 1;
  return {x.data, time * x.width, time == 1 ? 0 : x.width, x.width == 1 ? 0 : 1};
}

template <class F>
void apply(const Side& left, const Side& right, const Tensor& out, float* y, F&& f) {
  for (std::int64_t b = 0; b < out.batch; ++b)
    for (std::int64_t t = 0; t < (out.time ? out.time : 1); ++t) {
      const float *const l = left.row(b, t), *const r = right.row(b, t);
      if (left.stride && right.stride)
        for (std::int64_t i = 0; i < out.width; ++i) y[i] = f(l[i], r[i]);
      else
        for (std::int64_t i = 0; i < out.width; ++i) y[i] = f(l[i * left.stride], r[i * right.stride]);
      y += out.width;
    }
}

}  // namespace

void ArithmeticOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  Tensor y = x.with_width(x.width);
  const auto agree = [](std::int64_t a, std::int64_t b) { return a == b || a == 1 || b == 1; };
  const auto broadcast = [&](std::int64_t time, std::int64_t width) {
    y.time = std::max(x.time, static_cast<int>(time));
    y.width = std::max(x.width, width);
    if (x.time != y.time) y.lengths = nullptr;
  };
  if (!constants_.values.empty()) {
    if (!agree(constants_.width, x.width))
      refuse("expected " + std::to_string(constants_.width) + " features, got " + std::to_string(x.width));
    if (!agree(constants_.steps, x.time ? x.time : 1) || (x.time == 0 && constants_.steps > 1))
      refuse("expected " + std::to_string(constants_.steps) + " steps, got " + std::to_string(x.time));
    broadcast(x.time ? constants_.steps : 0, constants_.width);
  } else if (inputs.size() > 1) {
    const Tensor& other = input(run, 1);
    if (other.batch != x.batch || !agree(other.time, x.time) || !agree(other.width, x.width) || !other.time != !x.time)
      refuse("its inputs cannot be broadcast to one shape");
    broadcast(other.time, other.width);
    if (!y.lengths && other.time == y.time) y.lengths = other.lengths;
  }
  output(run) = y;
}

void ArithmeticOperation::execute(Run& run) const {
  const Tensor& out = output(run);
  Side left = side_of(input(run)), right = side_of(input(run, inputs.size() - 1));
  if (!constants_.values.empty())
    right = {constants_.values.data(), 0, constants_.steps > 1 ? constants_.width : 0, constants_.width > 1 ? 1 : 0};
  if (constants_.reverse) std::swap(left, right);
  float* const y = mutable_data(out);
  switch (kind_) {
    case Arithmetic::kAdd: return apply(left, right, out, y, [](float a, float b) { return a + b; });
    case Arithmetic::kSubtract: return apply(left, right, out, y, [](float a, float b) { return a - b; });
    case Arithmetic::kMultiply: return apply(left, right, out, y, [](float a, float b) { return a * b; });
    case Arithmetic::kDivide: return apply(left, right, out, y, [](float a, float b) { return a / b; });
    // NaN stays, as in NumPy.
    case Arithmetic::kMaximum: return apply(left, right, out, y, [](float a, float b) { return a > b || std::isnan(a) ? a : b; });
    case Arithmetic::kMinimum: return apply(left, right, out, y, [](float a, float b) { return a < b || std::isnan(a) ? a : b; });
  }
}

double ArithmeticOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

// ---- one step

void PickOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  if (!run.states && (step_ < -x.time || step_ >= x.time))
    refuse("it picks step " + std::to_string(step_) + " of a sequence of " + std::to_string(x.time));
  Tensor y;
  y.batch = x.batch;
  y.time = run.states ? x.time : 0;
  y.width = x.width;
  output(run) = y;
}

void PickOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* y = mutable_data(output(run));
  if (run.states) {
    std::copy_n(x.data, x.elements(), y);
    return;
  }
  for (std::int64_t b = 0; b < x.batch; ++b, y += x.width) {
    const std::int64_t steps = x.lengths ? x.lengths[b] : x.time, t = step_ < 0 ? steps + step_ : step_;
    if (t >= 0 && t < steps) std::copy_n(x.data + (b * x.time + t) * x.width, x.width, y);
    else std::fill_n(y, x.width, 0.0f);
  }
}

double PickOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

}  // namespace lstmfast
