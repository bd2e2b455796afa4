// SPDX-License-Identifier: BSD-3-Clause
// Sums of probabilities by their logarithms, in float64; for ctc.cpp and ctc_beam_search.cpp.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/kernel_table.h"

namespace lstmfast {

inline constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// exp(x), or 0 where 1 + exp(x) is 1 anyway: most of what is added up is far below the largest.
inline double exp_beside_one(double x) { return x > -40.0 ? std::exp(x) : 0.0; }

// log(exp(a) + exp(b) + exp(c)). The largest is worth 1 in the sum, which so never over- or underflows.
inline double log_add(double a, double b, double c = kImpossible) {
  if (a < b) std::swap(a, b);
  if (a < c) std::swap(a, c);
  if (a == kImpossible) return a;
  const double rest = exp_beside_one(b - a) + exp_beside_one(c - a);
  return rest == 0.0 ? a : a + std::log(1.0 + rest);
}

// The logarithm of a row's sum of exponentials, from its softmax: of the largest entry, whose probability is at least
// 1/C, the logarithm is exact to a rounding of float32. NaN for a row that has no softmax.
inline double log_sum(const float* logits, const float* probabilities, std::int64_t classes) {
  std::int64_t best = 0;
  for (std::int64_t k = 1; k < classes; ++k)
    if (logits[k] > logits[best]) best = k;
  return static_cast<double>(logits[best]) - std::log(static_cast<double>(probabilities[best]));
}

}  // namespace lstmfast
