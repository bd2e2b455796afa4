// SPDX-License-Identifier: BSD-3-Clause
// Updates of parameters in place, and what clipping needs. All but sum_squares work element by element, so callers
// may cut arrays anywhere; sum_squares adds in an order that depends on n alone.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// Keras's forms. Momentum: v = momentum v - rate g; p += v, or with Nesterov's p += momentum v - rate g.
void sgd(const SgdArgs& a) {
  const F32 rate = set1(a.learning_rate), momentum = set1(a.momentum);
  if (a.momentum == 0.0f) {
    for_vectors(a.n, [=](std::int64_t i, int n) {
      store_some(a.value + i, fma(neg(rate), load_some(a.gradient + i, n), load_some(a.value + i, n)), n);
    });
    return;
  }
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 step = mul(rate, load_some(a.gradient + i, n));
    const F32 velocity = sub(mul(momentum, load_some(a.slot[0] + i, n)), step);
    store_some(a.slot[0] + i, velocity, n);
    const F32 move = a.nesterov ? sub(mul(momentum, velocity), step) : velocity;
    store_some(a.value + i, add(load_some(a.value + i, n), move), n);
  });
}

// mean = beta mean + (1 - beta) x, in memory. The form mean + (1 - beta)(x - mean) would lose a small x beside a large
// mean that a small beta ought to forget.
LSTMFAST_INLINE F32 running_mean(float* mean, F32 x, F32 beta, F32 one_minus_beta, int n) {
  const F32 next = fma(beta, load_some(mean, n), mul(one_minus_beta, x));
  store_some(mean, next, n);
  return next;
}

// Kingma & Ba 2015, the form before section 2.1: p -= step m / (sqrt(v) + epsilon), step with both bias corrections.
// AMSGrad (Reddi et al. 2018) takes the largest v so far.
void adam(const AdamArgs& a) {
  const F32 step = set1(a.step), epsilon = set1(a.epsilon);
  const F32 keep_1 = set1(a.beta_1), keep_2 = set1(a.beta_2);
  const F32 rest_1 = set1(a.one_minus_beta_1), rest_2 = set1(a.one_minus_beta_2);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n);
    const F32 m = running_mean(a.slot[0] + i, g, keep_1, rest_1, n);
    F32 v = running_mean(a.slot[1] + i, mul(g, g), keep_2, rest_2, n);
    if (a.amsgrad) {
      v = max(load_some(a.slot[2] + i, n), v);
      store_some(a.slot[2] + i, v, n);
    }
    const F32 move = div(mul(step, m), add(sqrt(v), epsilon));
    store_some(a.value + i, sub(load_some(a.value + i, n), move), n);
  });
}

// Sixteen float32 sums over at most 1024 elements, then float64.
void sum_squares(std::int64_t n, const float* x, double* sum) {
  double total = 0.0;
  for (std::int64_t first = 0; first < n; first += 1024) {
    const std::int64_t count = n - first < 1024 ? n - first : 1024;
    Wide squares = wide_set1(0.0f);
    for_wide(count, [&](std::int64_t i, int m) {
      squares = wide_map([](F32 v, F32 s) { return fma(v, v, s); }, wide_load(x + first + i, m, 0.0f), squares);
    });
    alignas(64) float lanes[kWide];
    wide_store(lanes, squares, kWide);
    for (int i = 0; i < kWide; ++i) total += static_cast<double>(lanes[i]);
  }
  *sum = total;
}

void scale(std::int64_t n, float factor, float* x) {
  for_vectors(n, [=](std::int64_t i, int m) { store_some(x + i, mul(set1(factor), load_some(x + i, m)), m); });
}

void clip(std::int64_t n, float low, float high, float* x) {
  for_vectors(n, [=](std::int64_t i, int m) { store_some(x + i, clamp(set1(low), set1(high), load_some(x + i, m)), m); });
}

// y += x
void accumulate(std::int64_t n, const float* x, float* y) {
  for_vectors(n, [=](std::int64_t i, int m) { store_some(y + i, add(load_some(y + i, m), load_some(x + i, m)), m); });
}

// y = keep y + (1 - keep) x
void blend(std::int64_t n, float keep, const float* x, float* y) {
  const F32 old = set1(keep), rest = set1(1.0f - keep);
  for_vectors(n, [=](std::int64_t i, int m) { store_some(y + i, fma(old, load_some(y + i, m), mul(rest, load_some(x + i, m))), m); });
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
