// SPDX-License-Identifier: BSD-3-Clause
// Sixteen lanes on every instruction set: sums over a row or an array run in sixteen partial sums that are
// added as a fixed tree, so that the bits do not depend on the vector length.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr int kWide = 16;
constexpr int kParts = kWide / kLanes;

struct Wide {
  F32 part[kParts];
};

LSTMFAST_INLINE Wide wide_set1(float x) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = set1(x);
  return w;
}

LSTMFAST_INLINE Wide wide_load(const float* p) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = load(p + i * kLanes);
  return w;
}

LSTMFAST_INLINE int part_lanes(int n, int part) {
  const int left = n - part * kLanes;
  return left < 0 ? 0 : left > kLanes ? kLanes : left;
}

// The first n lanes, 0 <= n <= 16; the others are `fill`.
LSTMFAST_INLINE Wide wide_load_n(const float* p, int n, F32 fill) {
  alignas(64) float lanes[kWide];
  for (int i = 0; i < kParts; ++i) store(lanes + i * kLanes, fill);
  for (int i = 0; i < n; ++i) lanes[i] = p[i];
  return wide_load(lanes);
}

LSTMFAST_INLINE void wide_store(float* p, const Wide& w) {
  for (int i = 0; i < kParts; ++i) store(p + i * kLanes, w.part[i]);
}
LSTMFAST_INLINE void wide_store_n(float* p, const Wide& w, int n) {
  for (int i = 0; i < kParts && i * kLanes < n; ++i) store_n(p + i * kLanes, w.part[i], part_lanes(n, i));
}

template <class F>
LSTMFAST_INLINE Wide wide_map(const Wide& a, F f) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = f(a.part[i]);
  return w;
}
template <class F>
LSTMFAST_INLINE Wide wide_map(const Wide& a, const Wide& b, F f) {
  Wide w;
  for (int i = 0; i < kParts; ++i) w.part[i] = f(a.part[i], b.part[i]);
  return w;
}

LSTMFAST_INLINE float wide_sum(const Wide& w) {
  alignas(64) float lanes[kWide];
  wide_store(lanes, w);
  for (int half = kWide / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  return lanes[0];
}

LSTMFAST_INLINE float wide_max(const Wide& w) {
  alignas(64) float lanes[kWide];
  wide_store(lanes, w);
  float most = lanes[0];
  for (int i = 1; i < kWide; ++i) most = lanes[i] > most ? lanes[i] : most;
  return most;
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
