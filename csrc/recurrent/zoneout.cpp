// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/zoneout.h"

namespace lstmfast {

void zoneout_shares(const KernelTable& kernels, const Sequence& s, const int* batch_row, int rows, int step, int state, Range range,
                    std::int64_t ld, float* keeps) {
  const Zoneout& z = s.zoneout;
  RandomMaskArgs a{};
  a.key = z.key;
  a.begin = range.begin;
  a.end = range.end;
  a.threshold = z.random ? mask_threshold(z.rate[state]) : 0;
  a.below = 1.0f;
  a.above = z.random ? 0.0f : z.rate[state];
  for (int r = 0; r < rows; ++r) {
    a.stream[0] = static_cast<std::uint32_t>(state);
    a.stream[1] = static_cast<std::uint32_t>(batch_row[r]);
    a.stream[2] = static_cast<std::uint32_t>(z.first_step + step);
    a.y = keeps + r * ld;
    kernels.random_mask(a);
  }
}

}  // namespace lstmfast
