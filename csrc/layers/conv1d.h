// SPDX-License-Identifier: BSD-3-Clause
// Convolution over time, y[b, t] = act(bias + sum over taps k of x[b, t*stride + k*dilation] W[k]), and its gradients.
//
// Whole windows only: padding is zeros that the caller puts around x. A window is a row of A by pointer; windows overlap in
// x, and nothing is copied. So an output's bits depend on its window and on nothing else.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "gemm/packed_matrix.h"

namespace lstmfast {

// x (batch, time, channels) to y (batch, outputs, filters).
struct Windows {
  std::int64_t batch, time, stride, dilation, outputs;
  std::int64_t rows() const { return batch * outputs; }
};

// kernel (taps, channels/groups, filters). Group g's filters see the channels of group g alone.
struct Conv1DShape {
  std::int64_t taps, group_channels, filters, groups;
  std::int64_t channels() const { return group_channels * groups; }
  std::int64_t group_filters() const { return filters / groups; }
  // Of a pass over the windows, in floating-point operations.
  double work(const Windows& windows) const;
};

// What takes gradients of y to those of x: a convolution of dz for each of `stride` phases, the steps phase, phase + stride, ... of
// x, which no other taps reach than phase, phase + stride, ...
struct Conv1DTransposed {
  Conv1DTransposed(const KernelTable& kernels, const Conv1DShape& shape, const float* kernel, std::int64_t stride);

  const KernelTable& kernels;
  const Conv1DShape shape;
  const std::int64_t stride;
  // Of each phase that has taps, of each group: (phase_taps*group_filters, group_channels), last tap first, each transposed.
  std::vector<PackedMatrix> phases;

  std::int64_t phase_taps(std::int64_t phase) const { return phase < shape.taps ? (shape.taps - phase + stride - 1) / stride : 0; }
  const PackedMatrix& packed(std::int64_t phase, std::int64_t group) const {
    return phases[static_cast<std::size_t>(phase * shape.groups + group)];
  }
  std::size_t bytes() const;
};

// Packed once; for gradients of x when one is first asked for (the source array must live until then).
class Conv1DWeights : public Conv1DShape {
 public:
  // bias (filters,) or null
  Conv1DWeights(const KernelTable& kernels, const float* kernel, const float* bias, std::int64_t taps, std::int64_t group_channels,
                std::int64_t filters, std::int64_t groups);

  const KernelTable& kernels;
  std::vector<PackedMatrix> forward;  // of each group: (taps*group_channels, filters/groups)

  std::size_t bytes() const;
  const Conv1DTransposed& transposed(std::int64_t stride) const;

 private:
  const float* source_;
  mutable std::mutex transposing_;
  mutable std::map<std::int64_t, Conv1DTransposed> transposed_;  // by stride: a layer has one
};

void conv1d_forward(const Conv1DWeights& w, const float* x, const Windows& windows, Activation activation, float* y);

// From dz (batch, outputs, filters), the gradient before the activation: dkernel, dbias or null, dx (as x) or null.
void conv1d_backward(const Conv1DWeights& w, const float* x, const Windows& windows, const float* dz, float* dkernel, float* dbias,
                     bool accumulate, float* dx);

// dx alone (batch, time, channels), every step of it written: a transposed convolution of dz.
void conv1d_input_gradient(const Conv1DTransposed& w, const Windows& windows, const float* dz, float* dx);

}  // namespace lstmfast
