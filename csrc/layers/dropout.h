// SPDX-License-Identifier: BSD-3-Clause
// Dropout (Srivastava et al. 2014) from a counter: element i of a mask is a function of the key and i alone, so that the
// backward pass draws the mask again, and bits do not depend on the team.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

// y = x * mask, the mask being 0 with probability `rate`, else 1 / (1 - rate); from null the mask itself. y may be x.
void dropout(const KernelTable& kernels, std::uint64_t key, double rate, std::int64_t n, const float* x, float* y);

}  // namespace lstmfast
