// SPDX-License-Identifier: BSD-3-Clause
// NEON (Advanced SIMD of AArch64): 4 floats, 32 registers. The vocabulary is described in simd.h.
#pragma once

#include <arm_neon.h>

namespace lstmfast::neon {
namespace {

using F32 = float32x4_t;
using I32 = int32x4_t;
using Mask = uint32x4_t;
constexpr int kLanes = 4;
constexpr int kAccumulators = 24;  // 24 sums + 4 columns of B + 1 value of A = 29 of 32 registers
constexpr int kBesideRows = 10;

LSTMFAST_INLINE F32 load(const float* p) { return vld1q_f32(p); }
LSTMFAST_INLINE void store(float* p, F32 v) { vst1q_f32(p, v); }
LSTMFAST_INLINE F32 zero() { return vdupq_n_f32(0.0f); }
LSTMFAST_INLINE F32 load_n(const float* p, int n) {
  if (n >= 4) return load(p);
  F32 v = zero();
  if (n >= 1) v = vld1q_lane_f32(p, v, 0);
  if (n >= 2) v = vld1q_lane_f32(p + 1, v, 1);
  if (n >= 3) v = vld1q_lane_f32(p + 2, v, 2);
  return v;
}
LSTMFAST_INLINE void store_n(float* p, F32 v, int n) {
  if (n >= 4) return store(p, v);
  if (n >= 1) vst1q_lane_f32(p, v, 0);
  if (n >= 2) vst1q_lane_f32(p + 1, v, 1);
  if (n >= 3) vst1q_lane_f32(p + 2, v, 2);
}
LSTMFAST_INLINE F32 set1(float x) { return vdupq_n_f32(x); }
LSTMFAST_INLINE F32 broadcast(const float* p) { return vld1q_dup_f32(p); }

LSTMFAST_INLINE F32 add(F32 a, F32 b) { return vaddq_f32(a, b); }
LSTMFAST_INLINE F32 sub(F32 a, F32 b) { return vsubq_f32(a, b); }
LSTMFAST_INLINE F32 mul(F32 a, F32 b) { return vmulq_f32(a, b); }
LSTMFAST_INLINE F32 div(F32 a, F32 b) { return vdivq_f32(a, b); }
LSTMFAST_INLINE F32 sqrt(F32 a) { return vsqrtq_f32(a); }
LSTMFAST_INLINE F32 fma(F32 a, F32 b, F32 c) { return vfmaq_f32(c, a, b); }
// These keep a NaN in either argument; the vocabulary asks for the second only.
LSTMFAST_INLINE F32 min(F32 bound, F32 x) { return vminq_f32(bound, x); }
LSTMFAST_INLINE F32 max(F32 bound, F32 x) { return vmaxq_f32(bound, x); }
LSTMFAST_INLINE F32 abs(F32 a) { return vabsq_f32(a); }
LSTMFAST_INLINE F32 neg(F32 a) { return vnegq_f32(a); }
LSTMFAST_INLINE F32 copysign(F32 magnitude, F32 sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
LSTMFAST_INLINE F32 round(F32 a) { return vrndnq_f32(a); }

LSTMFAST_INLINE Mask lt(F32 a, F32 b) { return vcltq_f32(a, b); }
LSTMFAST_INLINE Mask le(F32 a, F32 b) { return vcleq_f32(a, b); }
LSTMFAST_INLINE Mask eq(F32 a, F32 b) { return vceqq_f32(a, b); }
LSTMFAST_INLINE Mask is_nan(F32 a) { return vmvnq_u32(vceqq_f32(a, a)); }
LSTMFAST_INLINE F32 select(Mask m, F32 a, F32 b) { return vbslq_f32(m, a, b); }

LSTMFAST_INLINE I32 to_int(F32 a) { return vcvtnq_s32_f32(a); }
LSTMFAST_INLINE F32 to_float(I32 a) { return vcvtq_f32_s32(a); }
LSTMFAST_INLINE I32 set1_int(std::int32_t x) { return vdupq_n_s32(x); }
LSTMFAST_INLINE I32 add_int(I32 a, I32 b) { return vaddq_s32(a, b); }
LSTMFAST_INLINE I32 sub_int(I32 a, I32 b) { return vsubq_s32(a, b); }
LSTMFAST_INLINE I32 and_int(I32 a, I32 b) { return vandq_s32(a, b); }
LSTMFAST_INLINE I32 or_int(I32 a, I32 b) { return vorrq_s32(a, b); }
template <int n>
LSTMFAST_INLINE I32 shift_left(I32 a) {
  return vshlq_n_s32(a, n);
}
template <int n>
LSTMFAST_INLINE I32 shift_right(I32 a) {
  return vshrq_n_s32(a, n);
}
LSTMFAST_INLINE I32 as_int(F32 a) { return vreinterpretq_s32_f32(a); }
LSTMFAST_INLINE F32 as_float(I32 a) { return vreinterpretq_f32_s32(a); }

}  // namespace
}  // namespace lstmfast::neon
