// SPDX-License-Identifier: BSD-3-Clause
#include "layers/orthonormal.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lstmfast {
namespace {

constexpr std::int64_t kBlock = 8;  // rows that add_multiples takes at once

// The upper triangle of a'a; the strips of kBlock rows of a stay in L1 while every row of r takes its part of them.
void gram(const KernelTable& kernels, std::int64_t m, std::int64_t n, const double* a, double* r) {
  std::fill_n(r, n * n, 0.0);
  for (std::int64_t i = 0; i < m; i += kBlock) {
    const std::int64_t rows = std::min(kBlock, m - i);
    const double* const strip = a + i * n;
    for (std::int64_t j = 0; j < n; ++j) {
      double factors[kBlock];
      for (std::int64_t k = 0; k < rows; ++k) factors[k] = strip[k * n + j];
      kernels.add_multiples(n - j, rows, factors, strip + j, n, r + j * n + j);
    }
  }
}

// r'r = the matrix whose upper triangle r holds; false where a pivot all but vanishes.
bool cholesky(const KernelTable& kernels, std::int64_t n, double* r) {
  constexpr double kLeast = 1e-12;
  std::vector<double> factors(static_cast<std::size_t>(n));
  for (std::int64_t k = 0; k < n; ++k) {
    double* const row = r + k * n + k;
    const double whole = row[0];
    for (std::int64_t t = 0; t < k; ++t) factors[static_cast<std::size_t>(t)] = -r[t * n + k];
    kernels.add_multiples(n - k, k, factors.data(), r + k, n, row);
    if (!(row[0] > kLeast * whole)) return false;
    const double scale = 1 / std::sqrt(row[0]);
    for (std::int64_t j = 0; j < n - k; ++j) row[j] *= scale;
  }
  return true;
}

// a = a r^-1, row by row: kBlock unknowns, then what they take from the rest of the row.
void solve(const KernelTable& kernels, std::int64_t m, std::int64_t n, const double* r, double* a) {
  for (std::int64_t i = 0; i < m; ++i) {
    double* const row = a + i * n;
    for (std::int64_t k = 0; k < n; k += kBlock) {
      const std::int64_t end = std::min(k + kBlock, n);
      double factors[kBlock];
      for (std::int64_t t = k; t < end; ++t) {
        double rest = row[t];
        for (std::int64_t s = k; s < t; ++s) rest -= row[s] * r[s * n + t];
        row[t] = rest / r[t * n + t];
        factors[t - k] = -row[t];
      }
      kernels.add_multiples(n - end, end - k, factors, r + k * n + end, n, row + end);
    }
  }
}

}  // namespace

bool orthonormalize(const KernelTable& kernels, std::int64_t m, std::int64_t n, double* a) {
  std::vector<double> r(static_cast<std::size_t>(n * n));
  for (int pass = 0; pass < 2; ++pass) {  // the second removes what the square of the condition number cost the first
    gram(kernels, m, n, a, r.data());
    if (!cholesky(kernels, n, r.data())) return false;
    solve(kernels, m, n, r.data(), a);
  }
  return true;
}

}  // namespace lstmfast
