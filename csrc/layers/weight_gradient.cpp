// SPDX-License-Identifier: BSD-3-Clause
#include "layers/weight_gradient.h"

#include <algorithm>
#include <vector>

#include "threading/parallel.h"

namespace lstmfast {
namespace {

constexpr std::int64_t kDepth = 256, kStride = kDepth + 16;

// Features [begin, end) of `depth` rows from `first` on, one feature a row of `to`.
void transpose_features(const KernelTable& kernels, const FeatureRows& x, std::int64_t first, std::int64_t depth, std::int64_t begin,
                        std::int64_t end, float* to) {
  for (std::int64_t feature = begin; feature < end;) {
    const std::int64_t tap = feature / x.width, start = feature - tap * x.width;
    const std::int64_t count = std::min(x.width - start, end - feature);
    kernels.transpose(x.rows + first, tap * x.tap_step + start, static_cast<int>(depth), static_cast<int>(count),
                      to + (feature - begin) * kStride, kStride);
    feature += count;
  }
}

}  // namespace

void weight_gradient(const KernelTable& kernels, const PanelLayout& layout, const FeatureRows& x, const float* dz, std::int64_t ld,
                     float* dkernel, float* dbias, bool accumulate, int threads) {
  const std::int64_t kernel_features = x.features(), features = kernel_features + (dbias ? 1 : 0);
  const PackedMatrix b = pack(kernels, layout, dz, x.count, ld, nullptr, nullptr);  // dZ in panels serves as B
  Buffer scratch(static_cast<std::size_t>(features * kStride));
  std::vector<const float*> columns(static_cast<std::size_t>(features));  // x's features and the ones, a block of rows deep
  for (std::int64_t i = 0; i < features; ++i) columns[static_cast<std::size_t>(i)] = scratch.data() + i * kStride;
  parallel_for(
      features, threads,
      [&](std::int64_t begin, std::int64_t end) {
        float* mine = scratch.data() + begin * kStride;
        const std::int64_t kernel_rows = std::min(end, kernel_features) - begin;
        for (std::int64_t first = 0; first < x.count; first += kDepth) {
          const std::int64_t depth = std::min(kDepth, x.count - first);
          if (kernel_rows > 0) transpose_features(kernels, x, first, depth, begin, begin + kernel_rows, mine);
          GemmArgs g{};
          layout.address_columns(g);
          b.address_panels(g, 0, layout.panels);
          g.k = g.k_block = depth;
          g.b += first * g.b_stride;
          g.ldc = ld;
          g.load_mask = first > 0 || accumulate ? ~0u : 0u;
          if (kernel_rows > 0) {
            g.rows = static_cast<int>(kernel_rows);
            g.a = columns.data() + begin;
            g.c = dkernel + begin * ld;
            kernels.gemm(g);
          }
          if (end > kernel_features) {
            std::fill_n(mine + (end - 1 - begin) * kStride, depth, 1.0f);
            g.rows = 1;
            g.a = columns.data() + end - 1;
            g.c = dbias;
            kernels.gemm(g);
          }
        }
      },
      6);
}

}  // namespace lstmfast
