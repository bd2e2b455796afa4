// SPDX-License-Identifier: BSD-3-Clause
// The gradient of a weight matrix that multiplied rows of x: dW = X^T dZ and db = 1^T dZ.
#pragma once

#include "gemm/packed_matrix.h"

namespace lstmfast {

// Rows of x by pointer. A row's features are `taps` runs of `width` floats, `tap_step` apart: one run for Dense, one a tap for a
// convolution, whose rows overlap.
struct FeatureRows {
  const float* const* rows;
  std::int64_t count;
  std::int64_t taps, width, tap_step;
  std::int64_t features() const { return taps * width; }
};

// From dz (count, ld), of which the first `layout.limit` columns take part: dkernel (features, ld) and dbias or null, of which these
// columns are written. Features (and a row of ones) are dealt to threads; each sums the rows in order.
void weight_gradient(const KernelTable& kernels, const PanelLayout& layout, const FeatureRows& x, const float* dz, std::int64_t ld,
                     float* dkernel, float* dbias, bool accumulate, int threads);

}  // namespace lstmfast
