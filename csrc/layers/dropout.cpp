// SPDX-License-Identifier: BSD-3-Clause
#include "layers/dropout.h"

#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {

void dropout(const KernelTable& kernels, std::uint64_t key, double rate, std::int64_t n, const float* x, float* y) {
  constexpr std::int64_t kGroup = 64;  // elements that the generator makes at once
  RandomMaskArgs all{};
  all.key = key;
  all.threshold = mask_threshold(rate);
  all.above = rate < 1 ? static_cast<float>(1 / (1 - rate)) : 0.0f;
  all.x = x;
  all.y = y;
  parallel_for(
      n, threads_for_work(static_cast<double>(n) * kTranscendentalWork),
      [&](std::int64_t begin, std::int64_t end) {
        RandomMaskArgs part = all;
        part.begin = begin;
        part.end = end;
        kernels.random_mask(part);
      },
      kGroup);
}

}  // namespace lstmfast
