// SPDX-License-Identifier: BSD-3-Clause
// Loops over arrays, and sixteen lanes on every instruction set: sums over a row or an array run in sixteen
// partial sums that are added as a fixed tree, so that their bits do not depend on the vector length.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// The first n lanes; costs no branch where n is the constant kLanes.
LSTMFAST_INLINE F32 load_some(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
LSTMFAST_INLINE void store_some(float* p, F32 v, int n) {
  if (n == kLanes) store(p, v);
  else store_n(p, v, n);
}

alignas(64) constexpr float kLaneIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
// The first n lanes; 0 in the others, whatever they held.
LSTMFAST_INLINE F32 only(F32 x, int n) { return n == kLanes ? x : select(lt(load(kLaneIndex), set1(static_cast<float>(n))), x, zero()); }

// f(first element, lanes) for each vector of 0..n.
template <class F>
LSTMFAST_INLINE void for_vectors(std::int64_t n, F f) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, kLanes);
  if (i < n) f(i, static_cast<int>(n - i));
}

constexpr int kWide = 16;
constexpr int kParts = kWide / kLanes;

struct Wide {
  F32 part[kParts];
};

// f(first element, lanes) for each group of sixteen of 0..n.
template <class F>
LSTMFAST_INLINE void for_wide(std::int64_t n, F f) {
  std::int64_t i = 0;
  for (; i + kWide <= n; i += kWide) f(i, kWide);
  if (i < n) f(i, static_cast<int>(n - i));
}

LSTMFAST_INLINE Wide wide_set1(float x) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = set1(x);
  return w;
}

// The first n lanes, 0 < n <= 16; the others are `fill`.
LSTMFAST_INLINE Wide wide_load(const float* p, int n, float fill) {
  Wide w;
  if (n == kWide) {
    for (int i = 0; i < kParts; ++i) w.part[i] = load(p + i * kLanes);
    return w;
  }
  alignas(64) float lanes[kWide];
  for (int i = 0; i < kWide; ++i) lanes[i] = i < n ? p[i] : fill;
  for (int i = 0; i < kParts; ++i) w.part[i] = load(lanes + i * kLanes);
  return w;
}

LSTMFAST_INLINE void wide_store(float* p, const Wide& w, int n) {
  for (int i = 0; i < kParts; ++i) {
    const int left = n - i * kLanes;
    if (left >= kLanes) store(p + i * kLanes, w.part[i]);
    else if (left > 0) store_n(p + i * kLanes, w.part[i], left);
  }
}

// f of each vector of one, two or three groups.
template <class F>
LSTMFAST_INLINE Wide wide_map(F f, const Wide& a) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = f(a.part[i]);
  return w;
}
template <class F>
LSTMFAST_INLINE Wide wide_map(F f, const Wide& a, const Wide& b) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = f(a.part[i], b.part[i]);
  return w;
}
template <class F>
LSTMFAST_INLINE Wide wide_map(F f, const Wide& a, const Wide& b, const Wide& c) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = f(a.part[i], b.part[i], c.part[i]);
  return w;
}

LSTMFAST_INLINE float wide_sum(const Wide& w) {
  alignas(64) float lanes[kWide];
  wide_store(lanes, w, kWide);
  for (int half = kWide / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

LSTMFAST_INLINE float wide_max(const Wide& w) {
  alignas(64) float lanes[kWide];
  wide_store(lanes, w, kWide);
  float most = lanes[0];
  for (int i = 1; i < kWide; ++i) most = lanes[i] > most ? lanes[i] : most;
  return most;
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
