// SPDX-License-Identifier: BSD-3-Clause
// One vector vocabulary for all kernels: picks the backend for the instruction set being compiled.
//
// A backend (one file an instruction set) defines, inside namespace lstmfast::<isa>::(anonymous):
//   kLanes                 floats in a vector
//   kAccumulators          vectors a matrix tile may keep in registers beside its operands
//   kBesideRows            rows of the tile that advances beside a product of one row (kernels/gemm_row-inl.h)
//   F32, I32, Mask         a vector of floats, of 32-bit integers, of booleans
//   load, store            kLanes floats, any alignment
//   load_n, store_n        the first n lanes, 0 <= n <= kLanes; the others read as 0 and touch no memory
//   set1, zero             all lanes alike
//   broadcast(p)           all lanes *p, in a register of its own (never folded into the instruction that uses it)
//   add sub mul div sqrt   IEEE, true division (no reciprocal estimates: same bits on AVX2 and AVX-512)
//   fma(a, b, c)           a*b + c, rounded once where the hardware can (twice on sse2)
//   min, max(bound, x)     keeps a NaN in x when it is the SECOND argument
//   abs, neg, copysign(magnitude, sign), round (to nearest even)
//   lt, le, eq, is_nan     comparisons; select(mask, a, b) is a where mask, else b
//   to_int (nearest), to_float, add_int, sub_int, shift_left<n>, shift_right<n>, set1_int, as_int, as_float, and_int, or_int
// Everything is inline with internal linkage: an object compiled for AVX-512 must export nothing that
// the linker could pick for a baseline caller (see docs/decisions/0002-one-source-per-isa.md).
#pragma once

#include <cstdint>

#define LSTMFAST_INLINE inline __attribute__((always_inline))

#if defined(LSTMFAST_ISA_avx512)
#include "simd/avx512.h"
#elif defined(LSTMFAST_ISA_avx2)
#include "simd/avx2.h"
#elif defined(LSTMFAST_ISA_sse2)
#include "simd/sse2.h"
#elif defined(LSTMFAST_ISA_neon)
#include "simd/neon.h"
#else
#error "compile with LSTMFAST_ISA_<name> defined: see cmake/isa.cmake"
#endif
