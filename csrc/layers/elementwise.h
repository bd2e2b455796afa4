// SPDX-License-Identifier: BSD-3-Clause
// Activations over whole arrays, dealt out to threads. Every element (softmax: row) depends on nothing else, so the
// bits do not depend on the team.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

// y[i] = activation(x[i]); y may be x.
void activation_forward(const KernelTable& kernels, Activation activation, std::int64_t n, const float* x, float* y);

// dx = dy * slope; x is needed only where the output does not tell the slope (gelu, gelu_tanh, silu), y only where it does.
// dx may be dy.
void activation_backward(const KernelTable& kernels, Activation activation, std::int64_t n, const float* x, const float* y, const float* dy,
                         float* dx);

// Over the last axis: x, y (rows, columns); y may be x, dx may be dy.
void softmax_forward(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* x, float* y);
void softmax_backward(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* y, const float* dy, float* dx);

}  // namespace lstmfast
