// SPDX-License-Identifier: BSD-3-Clause
// Batch normalization (Ioffe & Szegedy 2015): columns of a matrix, each with a mean and a scale of its own.
// Sums over rows go in ascending order, so that their bits do not depend on how rows are grouped.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// first += d and second += d^2, d = x - mean; with dy: first += dy and second += dy*d*scale.
template <int R, bool Gradient>
LSTMFAST_INLINE void add_rows(const ColumnSumsArgs& a, const std::int64_t* rows) {
  for_wide(a.columns, [&](std::int64_t j, int n) {
    const Wide mean = wide_load_some(a.mean + j, n);
    const Wide scale = Gradient ? wide_load_some(a.scale + j, n) : mean;
    Wide first = wide_load_some(a.first + j, n), second = wide_load_some(a.second + j, n);
    for (int r = 0; r < R; ++r) {
      const std::int64_t at = rows[r] * a.columns + j;
      Wide d = wide_map([](F32 v, F32 m) { return sub(v, m); }, wide_load_some(a.x + at, n), mean);
      Wide factor = d;
      if constexpr (Gradient) {
        factor = wide_load_some(a.dy + at, n);
        d = wide_map([](F32 v, F32 s) { return mul(v, s); }, d, scale);
      }
      first = wide_map([](F32 s, F32 v) { return add(s, v); }, first, factor);
      second = wide_map([](F32 s, F32 f, F32 v) { return fma(f, v, s); }, second, factor, d);
    }
    wide_store(a.first + j, first, n);
    wide_store(a.second + j, second, n);
  });
}

template <bool Gradient>
LSTMFAST_INLINE void column_sums_of(const ColumnSumsArgs& a) {
  constexpr int kRows = 4;
  std::int64_t rows[kRows];
  int found = 0;
  for (std::int64_t r = 0; r < a.rows; ++r) {
    if (a.counts && !a.counts[r]) continue;
    rows[found++] = r;
    if (found < kRows) continue;
    add_rows<kRows, Gradient>(a, rows);
    found = 0;
  }
  for (int r = 0; r < found; ++r) add_rows<1, Gradient>(a, rows + r);
}

void column_sums(const ColumnSumsArgs& a) {
  if (a.dy) column_sums_of<true>(a);
  else column_sums_of<false>(a);
}

// y = (x - mean)*scale*gamma + beta
void batch_norm_forward(const BatchNormArgs& a) {
  for_row_groups(a.rows, [&]<int R>(std::int64_t row) {
    for_wide(a.columns, [&](std::int64_t j, int n) {
      const Wide mean = wide_load_some(a.mean + j, n), scale = wide_load_some(a.scale + j, n);
      const Wide gamma = wide_or(a.gamma, j, n, 1.0f), beta = wide_or(a.beta, j, n, 0.0f);
      for (int r = 0; r < R; ++r) {
        const std::int64_t at = (row + r) * a.columns + j;
        const Wide normal = wide_map([](F32 v, F32 m, F32 s) { return mul(sub(v, m), s); }, wide_load_some(a.x + at, n), mean, scale);
        wide_store(a.y + at, wide_map([](F32 v, F32 g, F32 b) { return fma(v, g, b); }, normal, gamma, beta), n);
      }
    });
  });
}

// dx = by_dy*dy - (constant + by_normal*(x - mean)*scale), without what is in parentheses where a row does not count.
void batch_norm_backward(const BatchNormBackwardArgs& a) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    const bool counts = !a.counts || a.counts[r];
    for_wide(a.columns, [&](std::int64_t j, int n) {
      const std::int64_t at = r * a.columns + j;
      Wide dx = wide_map([](F32 d, F32 f) { return mul(d, f); }, wide_load_some(a.dy + at, n), wide_load_some(a.by_dy + j, n));
      if (counts) {
        const Wide normal = wide_map([](F32 v, F32 m, F32 s) { return mul(sub(v, m), s); }, wide_load_some(a.x + at, n),
                                     wide_load_some(a.mean + j, n), wide_load_some(a.scale + j, n));
        const Wide through = wide_map([](F32 v, F32 f, F32 c) { return fma(v, f, c); }, normal, wide_load_some(a.by_normal + j, n),
                                      wide_load_some(a.constant + j, n));
        dx = wide_map([](F32 d, F32 t) { return sub(d, t); }, dx, through);
      }
      wide_store(a.dx + at, dx, n);
    });
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
