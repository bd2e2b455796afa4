// SPDX-License-Identifier: BSD-3-Clause
#include "layers/batch_norm.h"

#include <algorithm>
#include <vector>

#include "memory/buffer.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

constexpr std::int64_t kBlock = 64;  // rows whose sums are in float32

int threads_for(std::int64_t rows, std::int64_t columns) {
  return threads_for_work(kStreamWork * static_cast<double>(rows) * static_cast<double>(columns));
}

// first[c] and second[c] of all rows.
void sum_columns(const KernelTable& kernels, const ColumnSumsArgs& args, double* first, double* second) {
  const std::int64_t columns = args.columns, blocks = (args.rows + kBlock - 1) / kBlock;
  Buffer sums(static_cast<std::size_t>(2 * blocks * columns));
  run_team(threads_for(args.rows, columns), [&](const Team& team) {
    const Range mine = split(blocks, team.size, team.id);
    for (std::int64_t b = mine.begin; b < mine.end; ++b) {
      ColumnSumsArgs part = args;
      const std::int64_t row = b * kBlock;
      part.rows = std::min(kBlock, args.rows - row);
      part.x += row * columns;
      if (part.dy) part.dy += row * columns;
      if (part.counts) part.counts += row;
      part.first = sums.data() + 2 * b * columns;
      part.second = part.first + columns;
      std::fill_n(part.first, 2 * columns, 0.0f);
      kernels.column_sums(part);
    }
    team.wait();
    const Range own = split(columns, team.size, team.id, 16);
    std::fill(first + own.begin, first + own.end, 0.0);
    std::fill(second + own.begin, second + own.end, 0.0);
    for (std::int64_t b = 0; b < blocks; ++b) {
      const float* const part = sums.data() + 2 * b * columns;
      for (std::int64_t c = own.begin; c < own.end; ++c) {
        first[c] += static_cast<double>(part[c]);
        second[c] += static_cast<double>(part[columns + c]);
      }
    }
  });
}

}  // namespace

void batch_moments(const KernelTable& kernels, std::int64_t rows, std::int64_t columns, const float* x, const std::uint8_t* counts,
                   double total, double* mean, double* variance) {
  const std::int64_t counted = counts ? rows - std::count(counts, counts + rows, std::uint8_t{0}) : rows;
  std::vector<float> about(static_cast<std::size_t>(columns), 0.0f);
  ColumnSumsArgs a{};
  a.rows = rows;
  a.columns = columns;
  a.x = x;
  a.mean = about.data();
  a.counts = counts;
  sum_columns(kernels, a, mean, variance);
  // Again about the mean, so that a large one costs no digits: sums of d = x - about, which is near the mean.
  for (std::int64_t c = 0; c < columns; ++c) about[static_cast<std::size_t>(c)] = static_cast<float>(mean[c] / total);
  sum_columns(kernels, a, mean, variance);
  for (std::int64_t c = 0; c < columns; ++c) {
    const double near = static_cast<double>(about[static_cast<std::size_t>(c)]), sum = mean[c], n = static_cast<double>(counted);
    mean[c] = (sum + n * near) / total;
    const double off = mean[c] - near;
    const double v = (variance[c] - 2 * off * sum + n * off * off) / total;
    variance[c] = v < 0 ? 0.0 : v;
  }
}

void batch_norm_forward(const KernelTable& kernels, const BatchNormArgs& args) {
  parallel_for(args.rows, threads_for(args.rows, args.columns), [&](std::int64_t begin, std::int64_t end) {
    BatchNormArgs part = args;
    part.rows = end - begin;
    part.x += begin * args.columns;
    part.y += begin * args.columns;
    kernels.batch_norm_forward(part);
  });
}

void batch_norm_backward(const KernelTable& kernels, BatchNormBackwardArgs args, const BatchNormGradients& gradients) {
  const std::int64_t columns = args.columns;
  const auto size = static_cast<std::size_t>(columns);
  std::vector<double> dbeta(size), dgamma(size);
  ColumnSumsArgs sums{};
  sums.rows = args.rows;
  sums.columns = columns;
  sums.x = args.x;
  sums.dy = args.dy;
  sums.mean = args.mean;
  sums.scale = args.scale;
  sum_columns(kernels, sums, dbeta.data(), dgamma.data());
  const auto give = [&](const std::vector<double>& from, float* to) {
    for (std::size_t c = 0; to && c < size; ++c) to[c] = static_cast<float>(from[c]) + (gradients.accumulate ? to[c] : 0.0f);
  };
  give(dgamma, gradients.dgamma);
  give(dbeta, gradients.dbeta);
  if (!args.dx) return;
  std::vector<float> factors(3 * size, 0.0f);
  for (std::size_t c = 0; c < size; ++c) {
    const double factor = static_cast<double>(args.scale[c]) * (gradients.gamma ? static_cast<double>(gradients.gamma[c]) : 1.0);
    factors[c] = static_cast<float>(factor);
    if (gradients.total == 0) continue;
    factors[size + c] = static_cast<float>(factor * dgamma[c] / gradients.total);
    factors[2 * size + c] = static_cast<float>(factor * dbeta[c] / gradients.total);
  }
  args.by_dy = factors.data();
  args.by_normal = factors.data() + columns;
  args.constant = factors.data() + 2 * columns;
  parallel_for(args.rows, threads_for(args.rows, columns), [&](std::int64_t begin, std::int64_t end) {
    BatchNormBackwardArgs part = args;
    part.rows = end - begin;
    part.x += begin * columns;
    part.dy += begin * columns;
    part.dx += begin * columns;
    if (part.counts) part.counts += begin;
    kernels.batch_norm_backward(part);
  });
}

}  // namespace lstmfast
