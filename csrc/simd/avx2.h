// SPDX-License-Identifier: BSD-3-Clause
// AVX2 + FMA: 8 floats, 16 registers. The vocabulary is described in simd.h.
#pragma once

#include <immintrin.h>

namespace lstmfast::avx2 {
namespace {

using F32 = __m256;
using I32 = __m256i;
using Mask = __m256;
constexpr int kLanes = 8;
constexpr int kAccumulators = 12;  // 12 sums + 3 values of A + 1 column of B = all 16 registers
constexpr int kBesideRows = 4;

alignas(64) constexpr std::int32_t kFirst[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
LSTMFAST_INLINE I32 first(int n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirst + 8 - n)); }
LSTMFAST_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
LSTMFAST_INLINE void store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
LSTMFAST_INLINE F32 load_n(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
LSTMFAST_INLINE void store_n(float* p, F32 v, int n) { _mm256_maskstore_ps(p, first(n), v); }
LSTMFAST_INLINE F32 set1(float x) { return _mm256_set1_ps(x); }
LSTMFAST_INLINE F32 zero() { return _mm256_setzero_ps(); }
LSTMFAST_INLINE F32 broadcast(const float* p) { return _mm256_broadcast_ss(p); }

LSTMFAST_INLINE F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
LSTMFAST_INLINE F32 sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
LSTMFAST_INLINE F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
LSTMFAST_INLINE F32 div(F32 a, F32 b) { return _mm256_div_ps(a, b); }
LSTMFAST_INLINE F32 sqrt(F32 a) { return _mm256_sqrt_ps(a); }
LSTMFAST_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
LSTMFAST_INLINE F32 min(F32 bound, F32 x) { return _mm256_min_ps(bound, x); }
LSTMFAST_INLINE F32 max(F32 bound, F32 x) { return _mm256_max_ps(bound, x); }
LSTMFAST_INLINE F32 abs(F32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
LSTMFAST_INLINE F32 neg(F32 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
LSTMFAST_INLINE F32 copysign(F32 magnitude, F32 sign) {
  const F32 bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
LSTMFAST_INLINE F32 round(F32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

LSTMFAST_INLINE Mask lt(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
LSTMFAST_INLINE Mask le(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
LSTMFAST_INLINE Mask eq(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
LSTMFAST_INLINE Mask is_nan(F32 a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
LSTMFAST_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm256_blendv_ps(b, a, m); }

LSTMFAST_INLINE I32 to_int(F32 a) { return _mm256_cvtps_epi32(a); }
LSTMFAST_INLINE F32 to_float(I32 a) { return _mm256_cvtepi32_ps(a); }
LSTMFAST_INLINE I32 set1_int(std::int32_t x) { return _mm256_set1_epi32(x); }
LSTMFAST_INLINE I32 add_int(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
LSTMFAST_INLINE I32 sub_int(I32 a, I32 b) { return _mm256_sub_epi32(a, b); }
LSTMFAST_INLINE I32 and_int(I32 a, I32 b) { return _mm256_and_si256(a, b); }
LSTMFAST_INLINE I32 or_int(I32 a, I32 b) { return _mm256_or_si256(a, b); }
template <int n>
LSTMFAST_INLINE I32 shift_left(I32 a) {
  return _mm256_slli_epi32(a, n);
}
template <int n>
LSTMFAST_INLINE I32 shift_right(I32 a) {
  return _mm256_srai_epi32(a, n);
}
LSTMFAST_INLINE I32 as_int(F32 a) { return _mm256_castps_si256(a); }
LSTMFAST_INLINE F32 as_float(I32 a) { return _mm256_castsi256_ps(a); }

}  // namespace
}  // namespace lstmfast::avx2
