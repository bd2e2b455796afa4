// SPDX-License-Identifier: BSD-3-Clause
// Losses with their gradients; LossArgs says what each array holds. Rows are dealt out to threads.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

void softmax_cross_entropy(const KernelTable& kernels, const LossArgs& args);
void sigmoid_cross_entropy(const KernelTable& kernels, const LossArgs& args);
void mean_squared_error(const KernelTable& kernels, const LossArgs& args);

}  // namespace lstmfast
