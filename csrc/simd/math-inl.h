// SPDX-License-Identifier: BSD-3-Clause
// Elementary functions of vectors, once for all instruction sets. Coefficients: tools/fit_math.py.
//
// Largest errors over ALL float32, in ulp of the exact value (tests/kernels/test_math.py counts them):
//
//                   fused   sse2
//   tanh             4.93   5.78   a rational of degree 9 over 8: 13 operations, each rounds
//   sigmoid          2.41   2.41
//   exp              0.91   1.18
//   expm1            1.49   1.62
//   log              0.86   0.86
//   log1p_unit       1.47   1.46
//   softplus         1.88   1.78
//   normal_cdf       5.93   7.12
//   sigmoid_of_half  1.8e-7 and 2.1e-7 absolute; exactly 0 and 1 at saturation
//
// NaN stays NaN. Only multiply-add and true division are used, so AVX2, AVX-512 and NEON give the same bits; sse2 has
// no fused multiply-add and rounds once more. Team threads flush denormals (threading/denormals.h): there a denormal
// argument counts as 0 and a result too small for a normal float is 0. Elsewhere they are numbers like others.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// c[0] + c[1] x + ...; the recursion unrolls at compile time.
template <int N>
LSTMFAST_INLINE F32 polynomial(const float (&c)[N], F32 x) {
  F32 y = fma(set1(c[N - 1]), x, set1(c[N - 2]));
  for (int i = N - 3; i >= 0; --i) y = fma(y, x, set1(c[i]));
  return y;
}

LSTMFAST_INLINE F32 clamp(F32 low, F32 high, F32 x) { return max(low, min(high, x)); }

// ---- tanh and the sigmoid of cells --------------------------------------------------------------------------

constexpr float kTanhP[] = {1.0f, 0.134345472f, 0.00355954119f, 2.1683305e-05f, 1.49038808e-08f};
constexpr float kTanhQ[] = {1.0f, 0.467678756f, 0.0261192247f, 0.000339106511f, 8.39651534e-07f};
// The largest argument where the quotient is exactly 1, fused or not, with none above 1 before it. tanh itself is 2.8
// ulp below 1 there.
constexpr float kTanhClamp = 8.14281845f;

// tanh(x) = p/q. For cells that merge the divisions of several gates: 1 <= q < 300 and |p| <= q, so that products of
// several are far from overflow.
LSTMFAST_INLINE void tanh_ratio(F32 x, F32& p, F32& q) {
  x = clamp(set1(-kTanhClamp), set1(kTanhClamp), x);
  const F32 s = mul(x, x);
  p = mul(x, polynomial(kTanhP, s));
  q = polynomial(kTanhQ, s);
}

// Exactly x for tiny x, exactly +-1 from the clamp on, never beyond.
LSTMFAST_INLINE F32 tanh(F32 x) {
  F32 p, q;
  tanh_ratio(x, p, q);
  return div(p, q);
}

// The sigmoid of a cell's gate, from HALF the pre-activation (the half is folded into the packed weights). Accurate
// relative to 1; for full relative accuracy of small values see sigmoid().
LSTMFAST_INLINE F32 sigmoid_of_half(F32 half) { return fma(set1(0.5f), tanh(half), set1(0.5f)); }

// ---- exponentials ---------------------------------------------------------------------------------------------

constexpr float kExp[] = {1.0f, 1.0f, 0.49999994f, 0.166665167f, 0.0416682586f, 0.00836895127f, 0.00138142146f};
constexpr float kExpm1[] = {0.5f, 0.166665405f, 0.0416670404f, 0.00836675335f, 0.00138823058f};

// x = n ln 2 + r, |r| <= ln 2 / 2 (Cody & Waite 1980): the first part of ln 2 has 10 bits, so that n times it is exact.
LSTMFAST_INLINE F32 reduce_by_ln2(F32 x, F32& n) {
  n = round(mul(x, set1(1.44269504f)));
  const F32 r = fma(n, set1(-0.693359375f), x);
  return fma(n, set1(2.12194440e-4f), r);
}

// 2^n for whole n from -126 to 127.
LSTMFAST_INLINE F32 power_of_two(I32 n) { return as_float(shift_left<23>(add_int(n, set1_int(127)))); }

// 2^n exp(r). 2^n comes in two factors, because n reaches -150 and 128; only the second product can round.
LSTMFAST_INLINE F32 exp_of_reduced(F32 r, F32 n) {
  const I32 whole = to_int(n), half = shift_right<1>(whole);
  return mul(mul(polynomial(kExp, r), power_of_two(half)), power_of_two(sub_int(whole, half)));
}

LSTMFAST_INLINE F32 exp(F32 x) {
  F32 n;
  const F32 r = reduce_by_ln2(clamp(set1(-104.0f), set1(89.0f), x), n);  // beyond: 0 and infinity
  return exp_of_reduced(r, n);
}

LSTMFAST_INLINE F32 expm1(F32 x) {
  x = clamp(set1(-18.0f), set1(89.0f), x);  // beyond: -1 and infinity
  F32 n;
  const F32 r = reduce_by_ln2(x, n);
  const F32 p = fma(mul(r, r), polynomial(kExpm1, r), r);
  // 2^n p + (2^n - 1), halved because n reaches 128.
  const F32 half = power_of_two(sub_int(to_int(n), set1_int(1)));
  const F32 y = fma(half, p, sub(half, set1(0.5f)));
  return select(lt(abs(x), set1(1e-30f)), x, add(y, y));  // keeps -0 and what half*p would flush
}

// 1/(1 + exp(-x)) with full relative accuracy on both sides.
LSTMFAST_INLINE F32 sigmoid(F32 x) {
  const F32 e = exp(neg(abs(x)));
  return div(select(lt(x, zero()), e, set1(1.0f)), add(set1(1.0f), e));
}

// ---- logarithms -------------------------------------------------------------------------------------------------

constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
constexpr float kLog[] = {0.333333313f, -0.250008166f, 0.200012073f, -0.166233286f,
                          0.142019108f, -0.131606385f, 0.127616033f, -0.0763423815f};

// log(1 + f) + low, for 1 + f between sqrt(1/2) and sqrt(2).
LSTMFAST_INLINE F32 log_near_one(F32 f, F32 low) {
  const F32 s = mul(f, f);
  F32 tail = fma(mul(f, s), polynomial(kLog, f), low);
  tail = fma(s, set1(-0.5f), tail);
  return add(f, tail);
}

LSTMFAST_INLINE F32 log(F32 x) {
  const F32 infinity = set1(__builtin_inff());
  const Mask denormal = lt(x, set1(1.17549435e-38f));
  const F32 scaled = select(denormal, mul(x, set1(8388608.0f)), x);
  // x = 2^e (1 + f): the integer difference to sqrt(1/2) has e on top.
  const I32 bits = as_int(scaled);
  const I32 e = shift_right<23>(sub_int(bits, set1_int(0x3f3504f3)));
  const F32 f = sub(as_float(sub_int(bits, shift_left<23>(e))), set1(1.0f));
  const F32 exponent = add(to_float(e), select(denormal, set1(-23.0f), zero()));
  F32 y = log_near_one(f, mul(exponent, set1(kLn2Low)));
  y = fma(exponent, set1(kLn2High), y);
  y = select(lt(x, infinity), y, x);  // infinity and NaN
  y = select(lt(x, zero()), set1(__builtin_nanf("")), y);
  return select(eq(x, zero()), neg(infinity), y);
}

// log(1 + x) for 0 <= x <= 1.
LSTMFAST_INLINE F32 log1p_unit(F32 x) {
  const Mask small = lt(x, set1(0.41421356f));
  const F32 f = select(small, x, mul(set1(0.5f), sub(x, set1(1.0f))));  // 1 + x = 2 (1 + f)
  const F32 y = log_near_one(f, select(small, zero(), set1(kLn2Low)));
  return add(y, select(small, zero(), set1(kLn2High)));
}

// log(1 + exp(x)).
LSTMFAST_INLINE F32 softplus(F32 x) { return add(max(zero(), x), log1p_unit(exp(neg(abs(x))))); }

// ---- normal distribution ---------------------------------------------------------------------------------------

constexpr float kTailP[] = {0.5f, 0.436982363f, 0.182237059f, 0.0402892642f, 0.00406301254f};
constexpr float kTailQ[] = {1.0f, 1.67184973f, 1.19841301f, 0.466829091f, 0.100997001f, 0.0101843337f};

// Phi(x), the probability that a standard normal variable is below x; bell = exp(-x^2/2).
LSTMFAST_INLINE F32 normal_cdf(F32 x, F32& bell) {
  const F32 t = min(set1(14.5f), abs(x));  // Phi(-14.5) is below the smallest float
  // t = high + low, high of 12 bits: its square is exact. The rounding of t^2 would show in the tail.
  const F32 high = as_float(and_int(add_int(as_int(t), set1_int(0x800)), set1_int(~0xfff)));
  const F32 low = sub(t, high), half = set1(-0.5f);
  F32 n;
  const F32 r = reduce_by_ln2(max(set1(-104.0f), mul(half, mul(high, high))), n);
  bell = exp_of_reduced(add(r, mul(half, mul(low, add(t, high)))), n);
  const F32 tail = mul(bell, div(polynomial(kTailP, t), polynomial(kTailQ, t)));
  return select(lt(x, zero()), tail, sub(set1(1.0f), tail));
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
