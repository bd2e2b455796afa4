// SPDX-License-Identifier: BSD-3-Clause
#include "layers/dense.h"

#include <algorithm>
#include <vector>

#include "gemm/gemm.h"
#include "layers/weight_gradient.h"
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

  const auto x_rows = row_pointers(x, m, w.k);
  weight_gradient(w.kernels, w.forward.layout, {x_rows.data(), m, 1, w.k, 0}, dz, w.n, dkernel, dbias, accumulate, threads_for_work(flops));
}

}  // namespace lstmfast
