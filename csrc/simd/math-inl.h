// SPDX-License-Identifier: BSD-3-Clause
#pragma once
#include "simd/simd.h"
namespace lstmfast::LSTMFAST_ISA {
namespace {
LSTMFAST_INLINE F32 tanh(F32 x) {
  x = max(set1(-7.99f), min(set1(7.99f), x));
  const F32 s = mul(x, x);
  F32 p = fma(s, set1(1.394553628e-8f), set1(2.102733560e-5f));
  p = fma(s, p, set1(3.520756727e-3f));
  p = fma(s, p, set1(1.340216100e-1f));
  p = fma(s, p, set1(1.0f));
  F32 q = fma(s, set1(8.015776984e-7f), set1(3.326951409e-4f));
  q = fma(s, q, set1(2.597254514e-2f));
  q = fma(s, q, set1(4.673549533e-1f));
  q = fma(s, q, set1(1.0f));
  return div(mul(x, p), q);
}
// Sigmoid of a cell's gate, from HALF the pre-activation (the half is folded into the packed weights).
LSTMFAST_INLINE F32 sigmoid_of_half(F32 half) { return fma(set1(0.5f), tanh(half), set1(0.5f)); }
}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
