// SPDX-License-Identifier: BSD-3-Clause
// Normalization of rows with a learned scale and shift, for any number of rows.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

void layer_norm_forward(const KernelTable& kernels, const LayerNormArgs& args);

// args.dgamma and dbeta: (columns,) arrays that are overwritten, or with `accumulate` added to; or null.
void layer_norm_backward(const KernelTable& kernels, LayerNormBackwardArgs args, bool accumulate);

double layer_norm_work(std::int64_t rows, std::int64_t columns);  // as threads_for_work counts

}  // namespace lstmfast
