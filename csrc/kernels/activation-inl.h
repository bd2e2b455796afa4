// SPDX-License-Identifier: BSD-3-Clause
// Activations and their slopes, as Keras 3 defines them (leaky_relu: slope 0.2; elu: alpha 1; gelu: the exact form).
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr float kSeluScale = 1.05070098f, kSeluAlpha = 1.67326324f;  // Klambauer et al. 2017
constexpr float kLeakySlope = 0.2f;
constexpr float kGeluTanhScale = 0.797884561f, kGeluTanhCube = 0.044715f;  // Hendrycks & Gimpel 2016: sqrt(2/pi)
constexpr float kBellHeight = 0.39894228f;                                 // 1/sqrt(2 pi)

template <Activation A>
LSTMFAST_INLINE F32 activation(F32 x) {
  const F32 one = set1(1.0f), half = set1(0.5f);
  if constexpr (A == Activation::kRelu) return max(zero(), x);
  if constexpr (A == Activation::kSigmoid) return sigmoid(x);
  if constexpr (A == Activation::kTanh) return tanh(x);
  if constexpr (A == Activation::kHardSigmoid) return clamp(zero(), one, fma(x, set1(1.0f / 6.0f), half));
  if constexpr (A == Activation::kElu) return select(lt(zero(), x), x, expm1(x));
  if constexpr (A == Activation::kSelu) return mul(set1(kSeluScale), select(lt(zero(), x), x, mul(set1(kSeluAlpha), expm1(x))));
  if constexpr (A == Activation::kGelu) {
    F32 bell;
    return mul(max(set1(-15.0f), x), normal_cdf(x, bell));  // the bound: -inf * 0 must be 0
  }
  if constexpr (A == Activation::kGeluTanh) {
    const F32 inner = mul(mul(set1(kGeluTanhScale), x), fma(mul(set1(kGeluTanhCube), x), x, one));
    return mul(max(set1(-15.0f), x), fma(half, tanh(inner), half));
  }
  if constexpr (A == Activation::kSilu) return mul(max(set1(-110.0f), x), sigmoid(x));
  if constexpr (A == Activation::kSoftplus) return softplus(x);
  if constexpr (A == Activation::kSoftsign) {
    const F32 bounded = clamp(set1(-1e30f), set1(1e30f), x);  // inf/inf must be 1
    return div(bounded, add(one, abs(bounded)));
  }
  if constexpr (A == Activation::kExponential) return exp(x);
  if constexpr (A == Activation::kLeakyRelu) return select(lt(x, zero()), mul(set1(kLeakySlope), x), x);
  if constexpr (A == Activation::kRelu6) return clamp(zero(), set1(6.0f), x);
  if constexpr (A == Activation::kHardTanh) return clamp(set1(-1.0f), one, x);
  return x;
}

// d activation / d x from its OUTPUT y; at a corner, the slope on the left of it.
template <Activation A>
LSTMFAST_INLINE F32 slope_from_output(F32 y) {
  const F32 one = set1(1.0f);
  const auto where = [](Mask m, float value) { return select(m, set1(value), zero()); };
  if constexpr (A == Activation::kRelu) return where(lt(zero(), y), 1.0f);
  if constexpr (A == Activation::kSigmoid) return mul(y, sub(one, y));
  if constexpr (A == Activation::kTanh) return fma(neg(y), y, one);
  if constexpr (A == Activation::kHardSigmoid) return select(lt(y, one), where(lt(zero(), y), 1.0f / 6.0f), zero());
  if constexpr (A == Activation::kElu) return select(lt(zero(), y), one, add(y, one));
  if constexpr (A == Activation::kSelu) return select(lt(zero(), y), set1(kSeluScale), add(y, set1(kSeluScale * kSeluAlpha)));
  if constexpr (A == Activation::kSoftplus) return neg(expm1(neg(y)));
  if constexpr (A == Activation::kSoftsign) return mul(sub(one, abs(y)), sub(one, abs(y)));
  if constexpr (A == Activation::kExponential) return y;
  if constexpr (A == Activation::kLeakyRelu) return select(lt(zero(), y), one, set1(kLeakySlope));
  if constexpr (A == Activation::kRelu6) return select(lt(y, set1(6.0f)), where(lt(zero(), y), 1.0f), zero());
  if constexpr (A == Activation::kHardTanh) return where(lt(abs(y), one), 1.0f);
  return one;
}

// The same from x, for those where y does not tell: they are not monotonic.
template <Activation A>
LSTMFAST_INLINE F32 slope_from_input(F32 x) {
  const F32 one = set1(1.0f), half = set1(0.5f);
  if constexpr (A == Activation::kGelu) {
    F32 bell;
    const F32 cdf = normal_cdf(x, bell);
    const F32 bounded = clamp(set1(-15.0f), set1(15.0f), x);
    return fma(mul(bounded, set1(kBellHeight)), bell, cdf);
  } else if constexpr (A == Activation::kGeluTanh) {
    const F32 bounded = clamp(set1(-15.0f), set1(15.0f), x);
    const F32 square = mul(mul(set1(kGeluTanhCube), bounded), bounded);
    const F32 t = tanh(mul(mul(set1(kGeluTanhScale), bounded), add(square, one)));
    const F32 inner_slope = mul(set1(kGeluTanhScale), fma(set1(3.0f), square, one));
    return fma(mul(mul(half, bounded), fma(neg(t), t, one)), inner_slope, fma(half, t, half));
  } else {  // silu: s (1 + x (1 - s)), and 1 - s = sigmoid(-x)
    const F32 bounded = clamp(set1(-110.0f), set1(110.0f), x);
    return mul(sigmoid(x), fma(bounded, sigmoid(neg(x)), one));
  }
}

// From what a forward pass keeps: the input where the slope needs that, else the output.
template <Activation A>
LSTMFAST_INLINE F32 slope_from_kept(F32 kept) {
  if constexpr (slope_needs_input(A)) return slope_from_input<A>(kept);
  else return slope_from_output<A>(kept);
}

template <Activation A>
void activation_forward_loop(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, int m) { store_some(y + i, activation<A>(load_some(x + i, m)), m); });
}

template <Activation A>
void activation_backward_loop(std::int64_t n, const float* x, const float* y, const float* dy, float* dx) {
  const float* kept = slope_needs_input(A) ? x : y;
  for_vectors(n,
              [=](std::int64_t i, int m) { store_some(dx + i, mul(load_some(dy + i, m), slope_from_kept<A>(load_some(kept + i, m))), m); });
}

// Calls f.template operator()<A>() for the activation A that is known at run time.
template <int A = 0, class F>
LSTMFAST_INLINE auto with_activation(Activation a, F f) {
  if constexpr (A + 1 == static_cast<int>(Activation::kCount)) {
    return f.template operator()<static_cast<Activation>(A)>();
  } else {
    if (static_cast<int>(a) == A) return f.template operator()<static_cast<Activation>(A)>();
    return with_activation<A + 1>(a, f);
  }
}

void activation_forward(Activation a, std::int64_t n, const float* x, float* y) {
  with_activation(a, [=]<Activation A>() { activation_forward_loop<A>(n, x, y); });
}
void activation_backward(Activation a, std::int64_t n, const float* x, const float* y, const float* dy, float* dx) {
  with_activation(a, [=]<Activation A>() { activation_backward_loop<A>(n, x, y, dy, dx); });
}

// One vector, for cells with other activations than the default.
[[gnu::noinline]] F32 activate(Activation a, F32 x) {
  return with_activation(a, [=]<Activation A>() { return activation<A>(x); });
}
[[gnu::noinline]] F32 activation_slope(Activation a, F32 kept) {
  return with_activation(a, [=]<Activation A>() { return slope_from_kept<A>(kept); });
}

// Rows of probabilities. y may be x; a row with NaN, +inf or nothing above -inf is NaN throughout.
LSTMFAST_INLINE float row_max(std::int64_t columns, const float* x) {
  Wide most = wide_set1(-__builtin_inff());
  for_wide(columns, [&](std::int64_t j, int n) {
    most = wide_map([](F32 a, F32 b) { return max(a, b); }, most, wide_load(x + j, n, -__builtin_inff()));
  });
  return wide_max(most);
}

// y = exp(x - most); returns the sum.
LSTMFAST_INLINE float row_exp(std::int64_t columns, const float* x, float most, float* y) {
  Wide sum = wide_set1(0.0f);
  for_wide(columns, [&](std::int64_t j, int n) {
    const Wide e = wide_map([=](F32 a) { return exp(sub(a, set1(most))); }, wide_load(x + j, n, -__builtin_inff()));
    sum = wide_map([](F32 a, F32 b) { return add(a, b); }, sum, e);
    wide_store(y + j, e, n);
  });
  return wide_sum(sum);
}

void softmax_forward(std::int64_t rows, std::int64_t columns, const float* x, float* y) {
  for (std::int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
    const F32 sum = set1(row_exp(columns, x, row_max(columns, x), y));
    for_vectors(columns, [=](std::int64_t j, int n) { store_some(y + j, div(load_some(y + j, n), sum), n); });
  }
}

// dx = y (dy - sum of y dy over the row).
void softmax_backward(std::int64_t rows, std::int64_t columns, const float* y, const float* dy, float* dx) {
  for (std::int64_t r = 0; r < rows; ++r, y += columns, dy += columns, dx += columns) {
    Wide dot = wide_set1(0.0f);
    for_wide(columns, [&](std::int64_t j, int n) {
      dot = wide_map([](F32 a, F32 b, F32 c) { return fma(a, b, c); }, wide_load(y + j, n, 0.0f), wide_load(dy + j, n, 0.0f), dot);
    });
    const F32 mean = set1(wide_sum(dot));
    for_vectors(columns, [=](std::int64_t j, int n) { store_some(dx + j, mul(load_some(y + j, n), sub(load_some(dy + j, n), mean)), n); });
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
