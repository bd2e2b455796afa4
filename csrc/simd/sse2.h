// SPDX-License-Identifier: BSD-3-Clause
// SSE2, what every x86-64 has: 4 floats, 16 registers, no fused multiply-add. fma() rounds twice here, so
// results differ from the other instruction sets in the last bits (and only there). The vocabulary is
// described in simd.h.
#pragma once

#include <emmintrin.h>

namespace lstmfast::sse2 {
namespace {

using F32 = __m128;
using I32 = __m128i;
using Mask = __m128;
constexpr int kLanes = 4;
// A multiplication overwrites an operand, so each product needs a register of its own: 9 sums + 3 values of A +
// 1 column of B + 1 product; with 4 vectors and 3 rows (12 sums) the loop would spill.
constexpr int kAccumulators = 9;
constexpr int kBesideRows = 8;

LSTMFAST_INLINE F32 load(const float* p) { return _mm_loadu_ps(p); }
LSTMFAST_INLINE void store(float* p, F32 v) { _mm_storeu_ps(p, v); }
// Pairs as 64-bit integers: those intrinsics take any alignment, the ones for a double want that of a double.
LSTMFAST_INLINE F32 load_pair(const float* p) { return _mm_castsi128_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))); }
LSTMFAST_INLINE F32 load_n(const float* p, int n) {
  switch (n) {
    case 0: return _mm_setzero_ps();
    case 1: return _mm_load_ss(p);
    case 2: return load_pair(p);
    case 3: return _mm_movelh_ps(load_pair(p), _mm_load_ss(p + 2));
    default: return load(p);
  }
}
LSTMFAST_INLINE void store_n(float* p, F32 v, int n) {
  if (n >= 4) return store(p, v);
  if (n >= 2) _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_castps_si128(v));
  if (n == 3) _mm_store_ss(p + 2, _mm_movehl_ps(v, v));
  if (n == 1) _mm_store_ss(p, v);
}
LSTMFAST_INLINE F32 set1(float x) { return _mm_set1_ps(x); }
LSTMFAST_INLINE F32 zero() { return _mm_setzero_ps(); }
LSTMFAST_INLINE F32 broadcast(const float* p) { return _mm_set1_ps(*p); }

LSTMFAST_INLINE F32 add(F32 a, F32 b) { return _mm_add_ps(a, b); }
LSTMFAST_INLINE F32 sub(F32 a, F32 b) { return _mm_sub_ps(a, b); }
LSTMFAST_INLINE F32 mul(F32 a, F32 b) { return _mm_mul_ps(a, b); }
LSTMFAST_INLINE F32 div(F32 a, F32 b) { return _mm_div_ps(a, b); }
LSTMFAST_INLINE F32 sqrt(F32 a) { return _mm_sqrt_ps(a); }
LSTMFAST_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
LSTMFAST_INLINE F32 min(F32 bound, F32 x) { return _mm_min_ps(bound, x); }
LSTMFAST_INLINE F32 max(F32 bound, F32 x) { return _mm_max_ps(bound, x); }
LSTMFAST_INLINE F32 abs(F32 a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
LSTMFAST_INLINE F32 neg(F32 a) { return _mm_xor_ps(a, _mm_set1_ps(-0.0f)); }
LSTMFAST_INLINE F32 copysign(F32 magnitude, F32 sign) {
  const F32 bit = _mm_set1_ps(-0.0f);
  return _mm_or_ps(_mm_andnot_ps(bit, magnitude), _mm_and_ps(bit, sign));
}

LSTMFAST_INLINE Mask lt(F32 a, F32 b) { return _mm_cmplt_ps(a, b); }
LSTMFAST_INLINE Mask le(F32 a, F32 b) { return _mm_cmple_ps(a, b); }
LSTMFAST_INLINE Mask eq(F32 a, F32 b) { return _mm_cmpeq_ps(a, b); }
LSTMFAST_INLINE Mask is_nan(F32 a) { return _mm_cmpunord_ps(a, a); }
LSTMFAST_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)); }

LSTMFAST_INLINE I32 to_int(F32 a) { return _mm_cvtps_epi32(a); }
LSTMFAST_INLINE F32 to_float(I32 a) { return _mm_cvtepi32_ps(a); }
// No rounding instruction before SSE4.1: through integers where they reach; beyond 2^23 all floats are whole.
LSTMFAST_INLINE F32 round(F32 a) { return select(lt(abs(a), set1(8388608.0f)), copysign(to_float(to_int(a)), a), a); }
LSTMFAST_INLINE I32 set1_int(std::int32_t x) { return _mm_set1_epi32(x); }
LSTMFAST_INLINE I32 add_int(I32 a, I32 b) { return _mm_add_epi32(a, b); }
LSTMFAST_INLINE I32 sub_int(I32 a, I32 b) { return _mm_sub_epi32(a, b); }
LSTMFAST_INLINE I32 and_int(I32 a, I32 b) { return _mm_and_si128(a, b); }
LSTMFAST_INLINE I32 or_int(I32 a, I32 b) { return _mm_or_si128(a, b); }
template <int n>
LSTMFAST_INLINE I32 shift_left(I32 a) {
  return _mm_slli_epi32(a, n);
}
template <int n>
LSTMFAST_INLINE I32 shift_right(I32 a) {
  return _mm_srai_epi32(a, n);
}
LSTMFAST_INLINE I32 as_int(F32 a) { return _mm_castps_si128(a); }
LSTMFAST_INLINE F32 as_float(I32 a) { return _mm_castsi128_ps(a); }

}  // namespace
}  // namespace lstmfast::sse2
