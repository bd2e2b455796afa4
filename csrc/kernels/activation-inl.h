// SPDX-License-Identifier: BSD-3-Clause
#pragma once
namespace lstmfast::LSTMFAST_ISA {
namespace {
LSTMFAST_INLINE F32 activate(Activation a, F32 x) {
  switch (a) {
    case Activation::kTanh: return tanh(x);
    case Activation::kSigmoid: return sigmoid_of_half(mul(set1(0.5f), x));
    case Activation::kRelu: return max(zero(), x);
    default: return x;
  }
}
// d activation / d pre-activation, from the OUTPUT y of an activation that a cell may use.
LSTMFAST_INLINE F32 activation_slope(Activation a, F32 y) {
  switch (a) {
    case Activation::kTanh: return fma(neg(y), y, set1(1.0f));
    case Activation::kSigmoid: return mul(y, sub(set1(1.0f), y));
    case Activation::kRelu: return select(lt(zero(), y), set1(1.0f), zero());
    default: return set1(1.0f);
  }
}
void activation_forward(Activation a, std::int64_t n, const float* x, float* y) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, activate(a, load(x + i)));
  if (i < n) store_n(y + i, activate(a, load_n(x + i, static_cast<int>(n - i))), static_cast<int>(n - i));
}
void activation_backward(Activation a, std::int64_t n, const float*, const float* y, const float* dy, float* dx) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(dx + i, mul(load(dy + i), activation_slope(a, load(y + i))));
  if (i < n) {
    const int m = static_cast<int>(n - i);
    store_n(dx + i, mul(load_n(dy + i, m), activation_slope(a, load_n(y + i, m))), m);
  }
}
}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
