// SPDX-License-Identifier: BSD-3-Clause
// The only file that is compiled once per instruction set (cmake/isa.cmake). It exports one symbol,
// lstmfast::<isa>::kKernels; all else has internal linkage, and no std:: template is instantiated here:
// the linker would be free to use a copy compiled for AVX-512 in baseline code.
#include "kernels/kernel_table.h"
#include "simd/simd.h"

#include "simd/math-inl.h"

#include "kernels/gemm-inl.h"
#include "kernels/gemm_row-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/loops-inl.h"
#include "kernels/activation-inl.h"
#include "kernels/lstm_cell-inl.h"
#include "kernels/lstm_norm_cell-inl.h"
#include "kernels/gru_cell-inl.h"
#include "kernels/simple_rnn_cell-inl.h"
#include "kernels/layer_norm-inl.h"
#include "kernels/batch_norm-inl.h"
#include "kernels/losses-inl.h"
#include "kernels/optimizer-inl.h"
#include "kernels/adaptive_optimizer-inl.h"
#include "kernels/random-inl.h"
#include "kernels/add_multiples-inl.h"
#include "kernels/math_map-inl.h"

#define LSTMFAST_STRING_(x) #x
#define LSTMFAST_STRING(x) LSTMFAST_STRING_(x)

namespace lstmfast::LSTMFAST_ISA {
extern const KernelTable kKernels;
const KernelTable kKernels = {
    LSTMFAST_STRING(LSTMFAST_ISA),
    kLanes,
    kAccumulators,
    kBesideRows,
#define LSTMFAST_KERNEL(name, ...) name,
#include "kernels/kernels.def"
#undef LSTMFAST_KERNEL
};
}  // namespace lstmfast::LSTMFAST_ISA
