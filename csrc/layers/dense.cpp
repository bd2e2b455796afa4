// SPDX-License-Identifier: BSD-3-Clause
#include "layers/dense.h"

#include <algorithm>
#include <vector>

#include "gemm/gemm.h"
#include "memory/arena.h"
#include "threading/parallel.h"

namespace lstmfast {
namespace {

// In memory of the pool: a call allocates nothing.
const float** row_pointers(Arena& arena, const float* first, std::int64_t rows, std::int64_t ld) {
  const float** const p = reinterpret_cast<const float**>(arena.data());
  for (std::int64_t i = 0; i < rows; ++i) p[i] = first + i * ld;
  return p;
}

std::vector<const float*> row_pointers(const float* first, std::int64_t rows, std::int64_t ld) {
  std::vector<const float*> p(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows; ++i) p[static_cast<std::size_t>(i)] = first + i * ld;
  return p;
}

// Rows [r.begin, r.end) of x times all of w, into y.
GemmArgs product(const PackedMatrix& w, const float* const* rows, Range r, float* y, std::int64_t n) {
  GemmArgs g{};
  w.layout.address_columns(g);
  g.rows = static_cast<int>(r.end - r.begin);
  w.address_panels(g, 0, w.layout.panels);
  g.a = rows + r.begin;
  g.c = y + r.begin * n;
  g.ldc = n;
  return g;
}

}  // namespace

DenseWeights::DenseWeights(const KernelTable& table, const float* kernel, const float* bias, std::int64_t depth, std::int64_t columns)
    : kernels(table),
      k(depth),
      n(columns),
      forward(pack(table, PanelLayout::plain(table, columns), kernel, depth, columns, bias, nullptr)),
      source_(kernel) {}

const PackedMatrix& DenseWeights::transposed() const {
  std::call_once(transposed_once_, [this] { transposed_ = pack_transposed(kernels, forward.layout, source_, k, n); });
  return transposed_;
}

void dense_forward(const DenseWeights& w, const float* x, std::int64_t m, Activation activation, float* y) {
  Arena arena(static_cast<std::size_t>(m) * sizeof(float*));
  const float* const* rows = row_pointers(arena, x, m, w.k);
  parallel_for(
      m, threads_for_work(2.0 * static_cast<double>(m) * static_cast<double>(w.k) * static_cast<double>(w.n)),
      [&](std::int64_t begin, std::int64_t end) {
        // A few hundred rows at a time, so that the activation finds them in the cache.
        constexpr std::int64_t kRows = 240;
        for (std::int64_t row = begin; row < end; row += kRows) {
          const Range r{row, std::min(row + kRows, end)};
          gemm_blocked(w.kernels, product(w.forward, rows, r, y, w.n));
          if (activation != Activation::kLinear) {
            float* part = y + r.begin * w.n;
            w.kernels.activation_forward(activation, (r.end - r.begin) * w.n, part, part);
          }
        }
      },
      6);
}

void dense_backward(const DenseWeights& w, const float* x, const float* dz, std::int64_t m, float* dkernel, float* dbias, bool accumulate,
                    float* dx) {
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(w.k) * static_cast<double>(w.n);
  if (dx) {
    // dX = dZ W^T: dZ's rows padded to the panels of W, as the transpose's depth is.
    const PackedMatrix& wt = w.transposed();
    const std::int64_t padded = wt.k;
    Buffer copy;
    const float* source = dz;
    if (padded != w.n) {
      copy = Buffer(static_cast<std::size_t>(m * padded));
      for (std::int64_t i = 0; i < m; ++i) {
        std::copy_n(dz + i * w.n, w.n, copy.data() + i * padded);
        std::fill(copy.data() + i * padded + w.n, copy.data() + (i + 1) * padded, 0.0f);
      }
      source = copy.data();
    }
    const auto rows = row_pointers(source, m, padded);
    parallel_for(
        m, threads_for_work(flops),
        [&](std::int64_t begin, std::int64_t end) { gemm_blocked(w.kernels, product(wt, rows.data(), {begin, end}, dx, w.k)); }, 6);
  }

  // dW = X^T dZ and db = 1^T dZ: features (and a row of ones) dealt to threads, each sums the rows in order. dZ packed
  // into panels serves as B.
  const PackedMatrix b = pack(w.kernels, w.forward.layout, dz, m, w.n, nullptr, nullptr);
  const auto x_rows = row_pointers(x, m, w.k);
  const std::int64_t features = w.k + (dbias ? 1 : 0);
  constexpr std::int64_t kDepth = 256, kStride = kDepth + 16;
  const int threads = threads_for_work(flops);
  Buffer scratch(static_cast<std::size_t>(features * kStride));
  const auto columns = row_pointers(scratch.data(), features, kStride);  // x's features and the ones, a block of rows deep
  parallel_for(
      features, threads,
      [&](std::int64_t begin, std::int64_t end) {
        float* mine = scratch.data() + begin * kStride;
        const std::int64_t kernel_rows = std::min(end, w.k) - begin;
        for (std::int64_t first = 0; first < m; first += kDepth) {
          const std::int64_t depth = std::min(kDepth, m - first);
          if (kernel_rows > 0)
            w.kernels.transpose(x_rows.data() + first, begin, static_cast<int>(depth), static_cast<int>(kernel_rows), mine, kStride);
          GemmArgs g{};
          w.forward.layout.address_columns(g);
          b.address_panels(g, 0, b.layout.panels);
          g.k = g.k_block = depth;
          g.b += first * g.b_stride;
          g.ldc = w.n;
          g.load_mask = first > 0 || accumulate ? ~0u : 0u;
          if (kernel_rows > 0) {
            g.rows = static_cast<int>(kernel_rows);
            g.a = columns.data() + begin;
            g.c = dkernel + begin * w.n;
            w.kernels.gemm(g);
          }
          if (end > w.k) {
            std::fill_n(mine + (end - 1 - begin) * kStride, depth, 1.0f);
            g.rows = 1;
            g.a = columns.data() + end - 1;
            g.c = dbias;
            w.kernels.gemm(g);
          }
        }
      },
      6);
}

}  // namespace lstmfast
