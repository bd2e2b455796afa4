// SPDX-License-Identifier: BSD-3-Clause
#include "layers/layer_norm.h"

#include <algorithm>

#include "dispatch/cpu_features.h"
#include "memory/buffer.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

// The gradients of gamma and beta are sums over rows: of blocks of so many, then of the blocks in order, whoever does which.
constexpr std::int64_t kBlock = 64;

// Whether so many arrays leave the caches, of which others use a part.
bool beyond_caches(std::int64_t rows, std::int64_t columns, int arrays) {
  return static_cast<std::size_t>(rows * columns * arrays) * sizeof(float) >= cache_sizes().l3 / 2;
}

}  // namespace

double layer_norm_work(std::int64_t rows, std::int64_t columns) {
  return kStreamWork * static_cast<double>(rows) * static_cast<double>(columns);
}

void layer_norm_forward(const KernelTable& kernels, const LayerNormArgs& args) {
  const bool far = beyond_caches(args.rows, args.columns, 2);
  parallel_for(args.rows, threads_for_work(layer_norm_work(args.rows, args.columns)), [&](std::int64_t begin, std::int64_t end) {
    LayerNormArgs part = args;
    part.far = far;
    part.rows = end - begin;
    part.x += begin * args.columns;
    part.y += begin * args.columns;
    if (part.moments) part.moments += 2 * begin;
    kernels.layer_norm_forward(part);
  });
}

void layer_norm_backward(const KernelTable& kernels, LayerNormBackwardArgs args, bool accumulate) {
  const std::int64_t columns = args.columns, blocks = (args.rows + kBlock - 1) / kBlock;
  float* const gradients[2] = {args.dgamma, args.dbeta};
  args.far = beyond_caches(args.rows, columns, 3);
  Buffer sums(static_cast<std::size_t>(2 * blocks * columns));
  const int threads = threads_for_work(2 * layer_norm_work(args.rows, columns));
  run_team(threads, [&](const Team& team) {
    const Range mine = split(blocks, team.size, team.id);
    for (std::int64_t b = mine.begin; b < mine.end; ++b) {
      LayerNormBackwardArgs part = args;
      const std::int64_t row = b * kBlock;
      part.rows = std::min(kBlock, args.rows - row);
      part.x += row * columns;
      part.dy += row * columns;
      part.moments += 2 * row;
      if (part.dx) part.dx += row * columns;
      part.dgamma = sums.data() + 2 * b * columns;
      part.dbeta = part.dgamma + columns;
      std::fill_n(part.dgamma, 2 * columns, 0.0f);
      kernels.layer_norm_backward(part);
    }
    team.wait();
    const Range own = split(columns, team.size, team.id, 16);
    for (int k = 0; k < 2; ++k) {
      float* const to = gradients[k];
      if (!to || own.begin >= own.end) continue;
      if (!accumulate) std::fill(to + own.begin, to + own.end, 0.0f);
      for (std::int64_t b = 0; b < blocks; ++b)
        kernels.accumulate(own.end - own.begin, sums.data() + (2 * b + k) * columns + own.begin, to + own.begin);
    }
  });
}

}  // namespace lstmfast
