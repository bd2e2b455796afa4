// SPDX-License-Identifier: BSD-3-Clause
// The functions of simd/math-inl.h over an array, so that tests can count ulps and benchmarks can time them.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

template <class F>
LSTMFAST_INLINE void math_loop(std::int64_t n, const float* x, float* y, F f) {
  for_vectors(n, [=](std::int64_t i, int m) { store_some(y + i, f(load_some(x + i, m)), m); });
}

void math(MathFunction function, std::int64_t n, const float* x, float* y) {
  switch (function) {
    case MathFunction::kTanh: return math_loop(n, x, y, [](F32 v) { return tanh(v); });
    case MathFunction::kSigmoidOfHalf: return math_loop(n, x, y, [](F32 v) { return sigmoid_of_half(v); });
    case MathFunction::kSigmoid: return math_loop(n, x, y, [](F32 v) { return sigmoid(v); });
    case MathFunction::kExp: return math_loop(n, x, y, [](F32 v) { return exp(v); });
    case MathFunction::kExpm1: return math_loop(n, x, y, [](F32 v) { return expm1(v); });
    case MathFunction::kLog: return math_loop(n, x, y, [](F32 v) { return log(v); });
    case MathFunction::kLog1pUnit: return math_loop(n, x, y, [](F32 v) { return log1p_unit(v); });
    case MathFunction::kSoftplus: return math_loop(n, x, y, [](F32 v) { return softplus(v); });
    case MathFunction::kNormalCdf:
      return math_loop(n, x, y, [](F32 v) {
        F32 bell;
        return normal_cdf(v, bell);
      });
    case MathFunction::kCount: return;
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
