// SPDX-License-Identifier: BSD-3-Clause
#include "layers/elementwise.h"

#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

constexpr std::int64_t kLine = 16;  // floats in a cache line: threads do not share one

int threads_for(std::int64_t elements) { return threads_for_work(static_cast<double>(elements) * kTranscendentalWork); }

}  // namespace

void activation_forward(const KernelTable& kernels, Activation activation, std::int64_t n, const float* x, float* y) {
  parallel_for(
      n, threads_for(n),
      [&](std::int64_t begin, std::int64_t end) { kernels.activation_forward(activation, end - begin, x + begin, y + begin); }, kLine);
}

void activation_backward(const KernelTable& kernels, Activation activation, std::int64_t n, const float* x, const float* y, const float* dy,
                         float* dx) {
  parallel_for(
      n, threads_for(n),
      [&](std::int64_t begin, std::int64_t end) {
        kernels.activation_backward(activation, end - begin, x ? x + begin : nullptr, y ? y + begin : nullptr, dy + begin, dx + begin);
      },
      kLine);
}

void softmax_forward(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* x, float* y) {
  parallel_for(rows, threads_for(rows * columns), [&](std::int64_t begin, std::int64_t end) {
    kernels.softmax_forward(end - begin, columns, x + begin * columns, y + begin * columns);
  });
}

void softmax_backward(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* y, const float* dy, float* dx) {
  parallel_for(rows, threads_for(rows * columns), [&](std::int64_t begin, std::int64_t end) {
    kernels.softmax_backward(end - begin, columns, y + begin * columns, dy + begin * columns, dx + begin * columns);
  });
}

}  // namespace lstmfast
