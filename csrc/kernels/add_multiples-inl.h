// SPDX-License-Identifier: BSD-3-Clause
// The inner loop of the linear algebra in float64 that initializers need. Left to the compiler's vectorizer: each element is a
// chain of its own, so that its bits do not depend on the vectors' width.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// y[i] += the sum over k of factors[k] * rows[k * ld + i], in the order of k. Eight rows at a time: y is read and written once for
// eight multiply-adds.
void add_multiples(std::int64_t n, std::int64_t count, const double* factors, const double* rows, std::int64_t ld, double* __restrict y) {
  for (; count >= 8; count -= 8, factors += 8, rows += 8 * ld) {
    const double f0 = factors[0], f1 = factors[1], f2 = factors[2], f3 = factors[3];
    const double f4 = factors[4], f5 = factors[5], f6 = factors[6], f7 = factors[7];
    const double *const r4 = rows + 4 * ld, *const r0 = rows;
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = y[i] + f0 * r0[i];
      sum += f1 * r0[ld + i];
      sum += f2 * r0[2 * ld + i];
      sum += f3 * r0[3 * ld + i];
      sum += f4 * r4[i];
      sum += f5 * r4[ld + i];
      sum += f6 * r4[2 * ld + i];
      y[i] = sum + f7 * r4[3 * ld + i];
    }
  }
  for (; count > 0; --count, ++factors, rows += ld) {
    const double f = factors[0];
    for (std::int64_t i = 0; i < n; ++i) y[i] += f * rows[i];
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
