// SPDX-License-Identifier: BSD-3-Clause
// AVX-512 (F, BW, DQ, VL): 16 floats, 32 registers. The vocabulary is described in simd.h.
#pragma once

// GCC warns of its own _mm512_undefined_ps() wherever an intrinsic is inlined (PR 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

namespace lstmfast::avx512 {
namespace {

using F32 = __m512;
using I32 = __m512i;
using Mask = __mmask16;
constexpr int kLanes = 16;
constexpr int kAccumulators = 24;  // 24 sums + 4 columns of B + 1 or 2 values of A = 30 of 32 registers
constexpr int kBesideRows = 10;

LSTMFAST_INLINE Mask first(int n) { return static_cast<Mask>((1u << n) - 1u); }
LSTMFAST_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
LSTMFAST_INLINE void store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
LSTMFAST_INLINE F32 load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
LSTMFAST_INLINE void store_n(float* p, F32 v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
LSTMFAST_INLINE F32 set1(float x) { return _mm512_set1_ps(x); }
LSTMFAST_INLINE F32 zero() { return _mm512_setzero_ps(); }
LSTMFAST_INLINE F32 broadcast(const float* p) {
  F32 v = _mm512_set1_ps(*p);
  // GCC folds the broadcast into each FMA that uses it; a 6x4 tile then issues 24 broadcast loads
  // instead of 6 and becomes load-bound. The empty statement pins the value to a register.
  asm("" : "+v"(v));
  return v;
}

LSTMFAST_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
LSTMFAST_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
LSTMFAST_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
LSTMFAST_INLINE F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
LSTMFAST_INLINE F32 sqrt(F32 a) { return _mm512_sqrt_ps(a); }
LSTMFAST_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
LSTMFAST_INLINE F32 min(F32 bound, F32 x) { return _mm512_min_ps(bound, x); }
LSTMFAST_INLINE F32 max(F32 bound, F32 x) { return _mm512_max_ps(bound, x); }
LSTMFAST_INLINE F32 abs(F32 a) { return _mm512_abs_ps(a); }
LSTMFAST_INLINE F32 neg(F32 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
LSTMFAST_INLINE F32 copysign(F32 magnitude, F32 sign) {
  const F32 bit = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
LSTMFAST_INLINE F32 round(F32 a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

LSTMFAST_INLINE Mask lt(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
LSTMFAST_INLINE Mask le(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
LSTMFAST_INLINE Mask eq(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
LSTMFAST_INLINE Mask is_nan(F32 a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
LSTMFAST_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm512_mask_blend_ps(m, b, a); }

LSTMFAST_INLINE I32 to_int(F32 a) { return _mm512_cvtps_epi32(a); }
LSTMFAST_INLINE F32 to_float(I32 a) { return _mm512_cvtepi32_ps(a); }
LSTMFAST_INLINE I32 set1_int(std::int32_t x) { return _mm512_set1_epi32(x); }
LSTMFAST_INLINE I32 add_int(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
LSTMFAST_INLINE I32 sub_int(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
LSTMFAST_INLINE I32 and_int(I32 a, I32 b) { return _mm512_and_si512(a, b); }
LSTMFAST_INLINE I32 or_int(I32 a, I32 b) { return _mm512_or_si512(a, b); }
template <int n>
LSTMFAST_INLINE I32 shift_left(I32 a) {
  return _mm512_slli_epi32(a, n);
}
template <int n>
LSTMFAST_INLINE I32 shift_right(I32 a) {
  return _mm512_srai_epi32(a, n);
}
LSTMFAST_INLINE I32 as_int(F32 a) { return _mm512_castps_si512(a); }
LSTMFAST_INLINE F32 as_float(I32 a) { return _mm512_castsi512_ps(a); }

}  // namespace
}  // namespace lstmfast::avx512
