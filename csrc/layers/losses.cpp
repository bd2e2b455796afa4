// SPDX-License-Identifier: BSD-3-Clause
#include "layers/losses.h"

#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

LossArgs rows_of(LossArgs a, std::int64_t begin, std::int64_t end) {
  const std::int64_t first = begin * a.columns;
  a.rows = end - begin;
  a.prediction += first;
  if (a.target) a.target += first;
  if (a.label) a.label += begin;
  if (a.weight) a.weight += begin;
  a.loss += begin;
  a.gradient += first;
  if (a.output) a.output += first;
  return a;
}

void for_rows(const LossArgs& args, void (*kernel)(const LossArgs&), double work) {
  parallel_for(args.rows, threads_for_work(static_cast<double>(args.rows) * static_cast<double>(args.columns) * work),
               [&](std::int64_t begin, std::int64_t end) { kernel(rows_of(args, begin, end)); });
}

}  // namespace

void softmax_cross_entropy(const KernelTable& kernels, const LossArgs& args) {
  for_rows(args, kernels.softmax_cross_entropy, kTranscendentalWork);
}
void sigmoid_cross_entropy(const KernelTable& kernels, const LossArgs& args) {
  for_rows(args, kernels.sigmoid_cross_entropy, 2 * kTranscendentalWork);
}
void mean_squared_error(const KernelTable& kernels, const LossArgs& args) { for_rows(args, kernels.mean_squared_error, kStreamWork); }

}  // namespace lstmfast
