// SPDX-License-Identifier: BSD-3-Clause
// What this CPU has and this operating system saves across context switches, and how big its caches are.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lstmfast {

enum CpuFeature : std::uint32_t {
  kAvx2 = 1u << 0,
  kFma = 1u << 1,
  kF16c = 1u << 2,
  kAvx512f = 1u << 3,
  kAvx512bw = 1u << 4,
  kAvx512dq = 1u << 5,
  kAvx512vl = 1u << 6,
};

std::uint32_t cpu_features();

struct CacheSizes {
  std::size_t l1, l2, l3;  // bytes; of one core, of one core, shared
};
const CacheSizes& cache_sizes();

}  // namespace lstmfast
