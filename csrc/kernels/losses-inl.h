// SPDX-License-Identifier: BSD-3-Clause
// Losses fused with their gradients, from logits: no logarithm of a rounded probability, so that any finite logit
// gives a finite loss. An infinite logit on the right side costs nothing, on the wrong side infinity; NaN gives NaN.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

LSTMFAST_INLINE float scalar_log(float x) {
  alignas(64) float lanes[kLanes];
  store(lanes, log(set1(x)));
  return lanes[0];
}

LSTMFAST_INLINE Wide wide_add(const Wide& a, const Wide& b) {
  return wide_map([](F32 x, F32 y) { return add(x, y); }, a, b);
}

// -sum_j t_j log p_j. Gradient: p_j sum(t) - t_j, the plain p - t where the targets add up to 1.
void softmax_cross_entropy(const LossArgs& a) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const float* x = a.prediction + r * a.columns;
    float* gradient = a.gradient + r * a.columns;
    float* p = a.output + r * a.columns;
    const float weight = a.weight ? a.weight[r] : 1.0f;
    const float most = row_max(a.columns, x);
    const float label_logit = a.target ? 0.0f : x[a.label[r]] - most;
    const float sum = row_exp(a.columns, x, most, p);
    const float log_sum = scalar_log(sum);
    if (!a.target) {
      a.loss[r] = log_sum - label_logit;
      for_vectors(a.columns, [=](std::int64_t j, int n) {
        const F32 q = div(load_some(p + j, n), set1(sum));
        store_some(p + j, q, n);
        store_some(gradient + j, mul(set1(weight), q), n);
      });
      gradient[a.label[r]] = weight * (p[a.label[r]] - 1.0f);
      continue;
    }
    const float* t = a.target + r * a.columns;
    Wide loss = wide_set1(0.0f), total = wide_set1(0.0f);
    for_wide(a.columns, [&](std::int64_t j, int n) {
      const Wide target = wide_load(t + j, n, 0.0f);
      const Wide term = wide_map(
          [=](F32 tj, F32 xj) {
            const F32 minus_log_p = sub(set1(log_sum), sub(xj, set1(most)));
            return select(eq(tj, zero()), zero(), mul(tj, minus_log_p));  // 0 * inf must be 0
          },
          target, wide_load(x + j, n, 0.0f));
      loss = wide_add(loss, term);
      total = wide_add(total, target);
    });
    // A NaN row has no term that counts if all targets are 0: keep it visible.
    a.loss[r] = sum == sum ? wide_sum(loss) : sum;
    const float mass = wide_sum(total);
    for_vectors(a.columns, [=](std::int64_t j, int n) {
      const F32 q = div(load_some(p + j, n), set1(sum));
      store_some(p + j, q, n);
      store_some(gradient + j, mul(set1(weight), sub(mul(q, set1(mass)), load_some(t + j, n))), n);
    });
  }
}

// Terms of one row (or, with one column, of many rows): loss into the caller's accumulator.
LSTMFAST_INLINE F32 sigmoid_term(F32 x, F32 t, F32& p) {
  const F32 one = set1(1.0f);
  const F32 e = exp(neg(abs(x)));
  const Mask negative = lt(x, zero());
  p = div(select(negative, e, one), add(one, e));
  // log(1 + e) + |x| (1 - t or t): the part of the target on the other side; 0 * inf must be 0.
  const F32 other = select(negative, t, sub(one, t));
  return add(log1p_unit(e), select(eq(other, zero()), zero(), mul(other, abs(x))));
}

void sigmoid_cross_entropy(const LossArgs& a) {
  if (a.columns == 1) {
    for_vectors(a.rows, [=](std::int64_t i, int n) {
      const F32 t = load_some(a.target + i, n);
      const F32 weight = a.weight ? load_some(a.weight + i, n) : set1(1.0f);
      F32 p;
      store_some(a.loss + i, sigmoid_term(load_some(a.prediction + i, n), t, p), n);
      store_some(a.output + i, p, n);
      store_some(a.gradient + i, mul(weight, sub(p, t)), n);
    });
    return;
  }
  const float count = static_cast<float>(a.columns);
  const F32 share = set1(1.0f / count);  // of each term: their sum might overflow where the mean does not
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::int64_t first = r * a.columns;
    const F32 weight = set1((a.weight ? a.weight[r] : 1.0f) / count);
    Wide loss = wide_set1(0.0f);
    for_wide(a.columns, [&](std::int64_t j, int n) {
      const Wide x = wide_load(a.prediction + first + j, n, -__builtin_inff());  // absent lanes cost nothing
      const Wide t = wide_load(a.target + first + j, n, 0.0f);
      Wide p, gradient;
      for (int i = 0; i < kParts; ++i) {
        loss.part[i] = fma(share, sigmoid_term(x.part[i], t.part[i], p.part[i]), loss.part[i]);
        gradient.part[i] = mul(weight, sub(p.part[i], t.part[i]));
      }
      wide_store(a.output + first + j, p, n);
      wide_store(a.gradient + first + j, gradient, n);
    });
    a.loss[r] = wide_sum(loss);
  }
}

void mean_squared_error(const LossArgs& a) {
  const float count = static_cast<float>(a.columns);
  if (a.columns == 1) {
    for_vectors(a.rows, [=](std::int64_t i, int n) {
      const F32 d = sub(load_some(a.prediction + i, n), load_some(a.target + i, n));
      const F32 weight = a.weight ? load_some(a.weight + i, n) : set1(1.0f);
      store_some(a.loss + i, mul(d, d), n);
      store_some(a.gradient + i, mul(mul(set1(2.0f), weight), d), n);
    });
    return;
  }
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const std::int64_t first = r * a.columns;
    const F32 weight = set1(2.0f * (a.weight ? a.weight[r] : 1.0f) / count);
    Wide loss = wide_set1(0.0f);
    for_wide(a.columns, [&](std::int64_t j, int n) {
      const Wide d = wide_map([](F32 p, F32 t) { return sub(p, t); }, wide_load(a.prediction + first + j, n, 0.0f),
                              wide_load(a.target + first + j, n, 0.0f));
      loss = wide_map([](F32 e, F32 sum) { return fma(e, e, sum); }, d, loss);
      wide_store(a.gradient + first + j, wide_map([=](F32 e) { return mul(weight, e); }, d), n);
    });
    a.loss[r] = wide_sum(loss) / count;
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
