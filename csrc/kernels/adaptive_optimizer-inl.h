// SPDX-License-Identifier: BSD-3-Clause
// Adam's kin and the optimizers that divide by past gradients, in Keras's forms; element by element like
// optimizer-inl.h.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// Kingma & Ba 2015, section 7: the largest |g| instead of the root of the mean square.
void adamax(const AdamaxArgs& a) {
  const F32 step = set1(a.step), epsilon = set1(a.epsilon);
  const F32 keep_1 = set1(a.beta_1), rest_1 = set1(a.one_minus_beta_1), keep_2 = set1(a.beta_2);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n);
    const F32 m = running_mean(a.slot[0] + i, g, keep_1, rest_1, n);
    const F32 u = max(mul(keep_2, load_some(a.slot[1] + i, n)), abs(g));
    store_some(a.slot[1] + i, u, n);
    store_some(a.value + i, sub(load_some(a.value + i, n), div(mul(step, m), add(u, epsilon))), n);
  });
}

// Dozat 2016: the step looks ahead along the mean.
void nadam(const NadamArgs& a) {
  const F32 mean_step = set1(a.mean_step), gradient_step = set1(a.gradient_step), correction = set1(a.variance_correction);
  const F32 keep_1 = set1(a.beta_1), keep_2 = set1(a.beta_2), epsilon = set1(a.epsilon);
  const F32 rest_1 = set1(a.one_minus_beta_1), rest_2 = set1(a.one_minus_beta_2);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n);
    const F32 m = running_mean(a.slot[0] + i, g, keep_1, rest_1, n);
    const F32 v = running_mean(a.slot[1] + i, mul(g, g), keep_2, rest_2, n);
    const F32 ahead = fma(mean_step, m, mul(gradient_step, g));
    const F32 move = div(ahead, add(sqrt(mul(v, correction)), epsilon));
    store_some(a.value + i, sub(load_some(a.value + i, n), move), n);
  });
}

// Chen et al. 2023: p -= rate sign(beta_1 m + (1 - beta_1) g). The sign of 0 is 0 and of NaN NaN.
void lion(const LionArgs& a) {
  const F32 rate = set1(a.learning_rate), keep_1 = set1(a.beta_1), keep_2 = set1(a.beta_2);
  const F32 rest_1 = set1(a.one_minus_beta_1), rest_2 = set1(a.one_minus_beta_2);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n), m = load_some(a.slot[0] + i, n);
    const F32 d = fma(m, keep_1, mul(g, rest_1));
    const F32 move = select(lt(zero(), d), rate, select(lt(d, zero()), neg(rate), d));
    running_mean(a.slot[0] + i, g, keep_2, rest_2, n);
    store_some(a.value + i, sub(load_some(a.value + i, n), move), n);
  });
}

// Hinton 2012, epsilon under the root; centered: Graves 2013, equation 40.
void rmsprop(const RmspropArgs& a) {
  const F32 rate = set1(a.learning_rate), rho = set1(a.rho), rest = set1(a.one_minus_rho);
  const F32 momentum = set1(a.momentum), epsilon = set1(a.epsilon);
  float* const last = a.momentum > 0.0f ? a.slot[1] : nullptr;
  float* const average = a.centered ? a.slot[last ? 2 : 1] : nullptr;
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n);
    const F32 square = running_mean(a.slot[0] + i, mul(g, g), rho, rest, n);
    F32 spread = square;
    if (average) {
      const F32 mean = running_mean(average + i, g, rho, rest, n);
      spread = fma(neg(mean), mean, square);
    }
    F32 move = div(mul(rate, g), sqrt(add(spread, epsilon)));
    if (last) {
      move = fma(momentum, load_some(last + i, n), move);
      store_some(last + i, move, n);
    }
    store_some(a.value + i, sub(load_some(a.value + i, n), move), n);
  });
}

// Duchi et al. 2011.
void adagrad(const AdagradArgs& a) {
  const F32 rate = set1(a.learning_rate), epsilon = set1(a.epsilon);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n);
    const F32 total = fma(g, g, load_some(a.slot[0] + i, n));
    store_some(a.slot[0] + i, total, n);
    const F32 move = div(mul(rate, g), sqrt(add(total, epsilon)));
    store_some(a.value + i, sub(load_some(a.value + i, n), move), n);
  });
}

// Zeiler 2012.
void adadelta(const AdadeltaArgs& a) {
  const F32 rate = set1(a.learning_rate), rho = set1(a.rho), rest = set1(a.one_minus_rho), epsilon = set1(a.epsilon);
  for_vectors(a.n, [=](std::int64_t i, int n) {
    const F32 g = load_some(a.gradient + i, n), steps = load_some(a.slot[1] + i, n);
    const F32 square = running_mean(a.slot[0] + i, mul(g, g), rho, rest, n);
    const F32 move = div(mul(sqrt(add(steps, epsilon)), g), sqrt(add(square, epsilon)));
    running_mean(a.slot[1] + i, mul(move, move), rho, rest, n);
    store_some(a.value + i, fma(neg(rate), move, load_some(a.value + i, n)), n);
  });
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
