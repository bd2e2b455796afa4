// SPDX-License-Identifier: BSD-3-Clause
// Convolution over time, y[b, t] = act(bias + sum over taps k of x[b, t*stride + k*dilation] W[k]), and its gradients.
//
// Whole windows only: padding is zeros that the caller puts around x. A window is a row of A by pointer; windows overlap in
// x, and nothing is copied. So an output's bits depend on its window and on nothing else.
#pragma once

#include <vector>

#include "gemm/packed_matrix.h"

namespace lstmfast {

// x (batch, time, channels) to y (batch, outputs, filters).
struct Windows {
  std::int64_t batch, time, stride, dilation, outputs;
  std::int64_t rows() const { return batch * outputs; }
};

// Packed once; the source array must live as long as gradients of x are asked for.
class Conv1DWeights {
 public:
  // kernel (taps, channels/groups, filters), bias (filters,) or null. Group g's filters see the channels of group g alone.
  Conv1DWeights(const KernelTable& kernels, const float* kernel, const float* bias, std::int64_t taps, std::int64_t group_channels,
                std::int64_t filters, std::int64_t groups);

  const KernelTable& kernels;
  const std::int64_t taps, group_channels, filters, groups;
  std::vector<PackedMatrix> forward;  // of each group: (taps*group_channels, filters/groups)

  std::int64_t channels() const { return group_channels * groups; }
  std::int64_t group_filters() const { return filters / groups; }
  std::size_t bytes() const;
  double work(const Windows& windows) const;
  // W[tap, channel, filter]
  const float* source(std::int64_t tap, std::int64_t channel, std::int64_t filter) const {
    return source_ + (tap * group_channels + channel) * filters + filter;
  }

 private:
  const float* source_;
};

void conv1d_forward(const Conv1DWeights& w, const float* x, const Windows& windows, Activation activation, float* y);

// From dz (batch, outputs, filters), the gradient before the activation: dkernel, dbias or null, dx (as x) or null.
void conv1d_backward(const Conv1DWeights& w, const float* x, const Windows& windows, const float* dz, float* dkernel, float* dbias,
                     bool accumulate, float* dx);

// dx alone (batch, time, channels), every step of it written: a transposed convolution of dz.
void conv1d_input_gradient(const Conv1DWeights& w, const Windows& windows, const float* dz, float* dx);

}  // namespace lstmfast
