// SPDX-License-Identifier: BSD-3-Clause
// Batch normalization of the columns of a matrix. Sums over rows are those of blocks of rows, then of the blocks in order in
// float64: the number of threads changes no bit.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

// Mean and variance of each column over the rows that count (all where `counts` is null), sums divided by `total`.
void batch_moments(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* x, const std::uint8_t* counts,
                   double total, double* mean, double* variance);

void batch_norm_forward(const KernelTable& kernels, const BatchNormArgs& args);

struct BatchNormGradients {
  const float* gamma;  // or null for 1
  double total;        // what the sums of batch_moments were divided by; 0 where mean and scale do not come from x
  bool accumulate;
  float *dgamma, *dbeta;  // written, or with accumulate added to; or null
};

// args without by_dy, by_normal and constant; no dx: gradients of gamma and beta alone.
void batch_norm_backward(const KernelTable& kernels, BatchNormBackwardArgs args, const BatchNormGradients& gradients);

}  // namespace lstmfast
