// SPDX-License-Identifier: BSD-3-Clause
// Layer normalization (Ba, Kiros & Hinton 2016) and root mean square normalization (Zhang & Sennrich 2019) of rows:
//   normal = (x - mean(x)) / sqrt(variance(x) + epsilon)   y = gamma*normal + beta
// without the mean for the latter. The variance is that of the deviations, in a second pass, which corrects the mean too: a large
// mean costs no digits of the variance and is right to its own last one.
//
// A few rows at a time, so that the chains of sums of one hide behind those of the others (and the way from 16 sums to one
// with them); what is done to a row is the same in any company. Where a first look takes lines of several rows in turn, the hardware
// sees no stream: the group before asks for them. That is not enough for rows that share a page of memory (4 KB) in arrays beyond
// the caches: there one row after the other, asked for ahead of time, takes 0.5 to 0.8 of the time (AVX-512, arrays of 8 MB); in the
// caches it would take 1.3 of it.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr int kNormRows = kLanes == 16 ? 4 : kLanes == 8 ? 2 : 1;  // as many as have registers
constexpr std::int64_t kAhead = 768, kWriteAhead = 512;            // floats, of rows one after the other
constexpr std::int64_t kPage = 1024;                               // floats
// Columns from which on a row's memory takes longer than the chains of its own sums.
constexpr std::int64_t kForwardColumns = kLanes == 16 ? 128 : 256, kBackwardColumns = kLanes == 16 ? 64 : 256;

// The first n lanes, 0 < n <= 16; the others are 0.
LSTMFAST_INLINE Wide wide_load_some(const float* p, int n) {
  Wide w;
  for (int i = 0; i < kParts; ++i) {
    const int left = n - i * kLanes;
    w.part[i] = left >= kLanes ? load(p + i * kLanes) : left > 0 ? load_n(p + i * kLanes, left) : zero();
  }
  return w;
}

// 0 in the lanes from n on.
LSTMFAST_INLINE Wide wide_only(Wide w, int n) {
  if (n < kWide)
    for (int i = 0; i < kParts; ++i) w.part[i] = only(w.part[i], n - i * kLanes);
  return w;
}

// p's elements, or `absent` where there is no p.
LSTMFAST_INLINE Wide wide_or(const float* p, std::int64_t j, int n, float absent) {
  return p ? wide_load_some(p + j, n) : wide_set1(absent);
}

LSTMFAST_INLINE F32 mean_of(const Wide& sum, float count) { return div(set1(wide_sum(sum)), set1(count)); }

template <bool Centered>
LSTMFAST_INLINE F32 deviation(F32 x, F32 mean) {
  return Centered ? sub(x, mean) : x;
}

template <int R, bool Centered>
LSTMFAST_INLINE void layer_norm_forward_rows(const LayerNormArgs& a, std::int64_t row) {
  const float* x = a.x + row * a.columns;
  float* y = a.y + row * a.columns;
  const float count = static_cast<float>(a.columns);
  F32 mean[R], scale[R];
  Wide sum[R], rest[R];
  for (int r = 0; r < R; ++r) mean[r] = zero();
  if constexpr (Centered) {
    for (int r = 0; r < R; ++r) {  // the first look at the row: one after the other, which is a stream to the hardware
      sum[r] = wide_set1(0.0f);
      for_wide(a.columns, [&](std::int64_t j, int n) {
        if constexpr (R == 1) {
          __builtin_prefetch(x + j + kAhead);
          __builtin_prefetch(y + j + kWriteAhead, 1);
        }
        sum[r] = wide_map([](F32 s, F32 v) { return add(s, v); }, sum[r], wide_load_some(x + r * a.columns + j, n));
      });
    }
    for (int r = 0; r < R; ++r) mean[r] = mean_of(sum[r], count);
  }
  for (int r = 0; r < R; ++r) sum[r] = rest[r] = wide_set1(0.0f);
  for_wide(a.columns, [&](std::int64_t j, int n) {
    for (int r = 0; r < R; ++r) {
      const F32 m = mean[r];
      Wide d = wide_map([=](F32 v) { return deviation<Centered>(v, m); }, wide_load_some(x + r * a.columns + j, n));
      if constexpr (Centered) {
        d = wide_only(d, n);
        rest[r] = wide_map([](F32 s, F32 v) { return add(s, v); }, rest[r], d);
      }
      sum[r] = wide_map([](F32 s, F32 v) { return fma(v, v, s); }, sum[r], d);
    }
  });
  for (int r = 0; r < R; ++r) {
    F32 variance = mean_of(sum[r], count);
    if constexpr (Centered) {  // what rounding left in the mean
      const F32 left = mean_of(rest[r], count);
      mean[r] = add(mean[r], left);
      variance = max(zero(), fma(neg(left), left, variance));
    }
    scale[r] = div(set1(1.0f), sqrt(add(variance, set1(a.epsilon))));
    if (a.moments) {
      store_n(a.moments + 2 * (row + r), mean[r], 1);
      store_n(a.moments + 2 * (row + r) + 1, scale[r], 1);
    }
  }
  for_wide(a.columns, [&](std::int64_t j, int n) {
    const Wide gamma = wide_or(a.gamma, j, n, 1.0f), beta = wide_or(a.beta, j, n, 0.0f);
    for (int r = 0; r < R; ++r) {
      const F32 m = mean[r], s = scale[r];
      const Wide normal = wide_map([=](F32 v) { return mul(deviation<Centered>(v, m), s); }, wide_load_some(x + r * a.columns + j, n));
      wide_store(y + r * a.columns + j, wide_map([](F32 v, F32 g, F32 b) { return fma(v, g, b); }, normal, gamma, beta), n);
    }
  });
}

// dx = scale * (e - mean(e) - normal*mean(e*normal)), e = dy*gamma; without mean(e) where there is no mean.
template <int R, bool Centered>
LSTMFAST_INLINE void layer_norm_backward_rows(const LayerNormBackwardArgs& a, std::int64_t row) {
  const std::int64_t first = row * a.columns;
  const float count = static_cast<float>(a.columns);
  F32 mean[R], scale[R];
  Wide sum[R], product[R];
  for (int r = 0; r < R; ++r) {
    mean[r] = set1(a.moments[2 * (row + r)]);
    scale[r] = set1(a.moments[2 * (row + r) + 1]);
    sum[r] = product[r] = wide_set1(0.0f);
  }
  const auto normal = [&](int r, std::int64_t j, int n) {
    const F32 m = mean[r], s = scale[r];
    return wide_map([=](F32 v) { return mul(deviation<Centered>(v, m), s); }, wide_load_some(a.x + first + r * a.columns + j, n));
  };
  for_wide(a.columns, [&](std::int64_t j, int n) {
    const Wide gamma = wide_or(a.gamma, j, n, 1.0f);
    Wide of_gamma = wide_load_some(a.dgamma + j, n), of_beta = wide_load_some(a.dbeta + j, n);
    if constexpr (R == 1) {
      __builtin_prefetch(a.x + first + j + kAhead);
      __builtin_prefetch(a.dy + first + j + kAhead);
      __builtin_prefetch((a.dx ? a.dx : a.x) + first + j + kWriteAhead, 1);
    }
    for (int r = 0; r < R; ++r) {
      if constexpr (R > 1) __builtin_prefetch(a.x + first + (R + r) * a.columns + j);
      const Wide v = normal(r, j, n), dy = wide_load_some(a.dy + first + r * a.columns + j, n);
      const Wide e = wide_map([](F32 d, F32 g) { return mul(d, g); }, dy, gamma);
      if constexpr (Centered) sum[r] = wide_map([](F32 s, F32 d) { return add(s, d); }, sum[r], e);
      product[r] = wide_map([](F32 s, F32 d, F32 b) { return fma(d, b, s); }, product[r], e, v);
      of_gamma = wide_map([](F32 s, F32 d, F32 b) { return fma(d, b, s); }, of_gamma, dy, v);
      of_beta = wide_map([](F32 s, F32 d) { return add(s, d); }, of_beta, dy);
    }
    wide_store(a.dgamma + j, of_gamma, n);
    wide_store(a.dbeta + j, of_beta, n);
  });
  if (!a.dx) return;
  F32 mean_e[R], mean_product[R];
  for (int r = 0; r < R; ++r) {
    mean_e[r] = Centered ? mean_of(sum[r], count) : zero();
    mean_product[r] = mean_of(product[r], count);
  }
  for_wide(a.columns, [&](std::int64_t j, int n) {
    const Wide gamma = wide_or(a.gamma, j, n, 1.0f);
    for (int r = 0; r < R; ++r) {
      if constexpr (R > 1) __builtin_prefetch(a.dy + first + (R + r) * a.columns + j);
      const F32 s = scale[r], of_e = mean_e[r], of_product = mean_product[r];
      const Wide dx = wide_map(
          [=](F32 v, F32 d, F32 g) {
            const F32 e = mul(d, g);
            return mul(s, fma(neg(v), of_product, deviation<Centered>(e, of_e)));
          },
          normal(r, j, n), wide_load_some(a.dy + first + r * a.columns + j, n), gamma);
      wide_store(a.dx + first + r * a.columns + j, dx, n);
    }
  });
}

// f.template operator()<R>(first row) over all rows, R at a time; or one, `alone`.
template <class F>
LSTMFAST_INLINE void for_row_groups(std::int64_t rows, F f, bool alone = false) {
  std::int64_t row = 0;
  for (; !alone && row + kNormRows <= rows; row += kNormRows) f.template operator()<kNormRows>(row);
  for (; row < rows; ++row) f.template operator()<1>(row);
}

void layer_norm_forward(const LayerNormArgs& a) {
  const bool alone = a.far && a.columns >= kForwardColumns && a.columns <= kPage;
  for_row_groups(
      a.rows,
      [&]<int R>(std::int64_t row) {
        if (a.centered) layer_norm_forward_rows<R, true>(a, row);
        else layer_norm_forward_rows<R, false>(a, row);
      },
      alone);
}

void layer_norm_backward(const LayerNormBackwardArgs& a) {
  const bool alone = a.far && a.columns >= kBackwardColumns && a.columns <= kPage;
  for_row_groups(
      a.rows,
      [&]<int R>(std::int64_t row) {
        if (a.centered) layer_norm_backward_rows<R, true>(a, row);
        else layer_norm_backward_rows<R, false>(a, row);
      },
      alone);
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
