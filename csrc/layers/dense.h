// SPDX-License-Identifier: BSD-3-Clause
// y = act(x W + b) and its gradients.
#pragma once

#include <mutex>

#include "gemm/packed_matrix.h"

namespace lstmfast {

// Packed once; the transpose when a backward pass first needs it (the source arrays must live until then).
class DenseWeights {
 public:
  // kernel (K, N) row-major, bias (N,) or null.
  DenseWeights(const KernelTable& kernels, const float* kernel, const float* bias, std::int64_t k, std::int64_t n);

  const KernelTable& kernels;
  const std::int64_t k, n;
  PackedMatrix forward;
  const PackedMatrix& transposed() const;

 private:
  const float* source_;
  mutable std::once_flag transposed_once_;
  mutable PackedMatrix transposed_;
};

// x (M, K) -> y (M, N).
void dense_forward(const DenseWeights& w, const float* x, std::int64_t m, Activation activation, float* y);

// From dz (M, N), the gradient before the activation: dkernel (K, N), dbias (N,) or null, dx (M, K) or null.
void dense_backward(const DenseWeights& w, const float* x, const float* dz, std::int64_t m, float* dkernel, float* dbias, bool accumulate,
                    float* dx);

}  // namespace lstmfast
