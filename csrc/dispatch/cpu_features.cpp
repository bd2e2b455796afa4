// SPDX-License-Identifier: BSD-3-Clause
#include "dispatch/cpu_features.h"

#if defined(__linux__)
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#endif
#if defined(_MSC_VER) && defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace lstmfast {

std::uint32_t cpu_features() {
  std::uint32_t found = 0;
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
  // These ask cpuid AND xgetbv: a CPU whose system does not save the wide registers counts as without.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) found |= kAvx2;
  if (__builtin_cpu_supports("fma")) found |= kFma;
  if (__builtin_cpu_supports("f16c")) found |= kF16c;
  if (__builtin_cpu_supports("avx512f")) found |= kAvx512f;
  if (__builtin_cpu_supports("avx512bw")) found |= kAvx512bw;
  if (__builtin_cpu_supports("avx512dq")) found |= kAvx512dq;
  if (__builtin_cpu_supports("avx512vl")) found |= kAvx512vl;
#elif defined(_MSC_VER) && defined(_M_X64)
  int r[4];
  __cpuid(r, 1);
  const bool osxsave = r[2] >> 27 & 1;
  const unsigned long long xcr0 = osxsave ? _xgetbv(0) : 0;
  const bool ymm = (xcr0 & 0x6) == 0x6, zmm = (xcr0 & 0xe6) == 0xe6;
  if (ymm && (r[2] >> 12 & 1)) found |= kFma;
  if (ymm && (r[2] >> 29 & 1)) found |= kF16c;
  __cpuidex(r, 7, 0);
  if (ymm && (r[1] >> 5 & 1)) found |= kAvx2;
  if (zmm && (r[1] >> 16 & 1)) found |= kAvx512f;
  if (zmm && (r[1] >> 17 & 1)) found |= kAvx512dq;
  if (zmm && (r[1] >> 30 & 1)) found |= kAvx512bw;
  if (zmm && (r[1] >> 31 & 1)) found |= kAvx512vl;
#endif
  return found;
}

#if defined(__linux__)
namespace {

// The size that the kernel gives for the level, or 0: "index2/size" reads "1024K". sysconf counts the last level of AMD's
// servers once for each of its parts.
std::size_t cache_from_sysfs(const char* level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::string found, type, size;
    std::ifstream(folder + "level") >> found;
    std::ifstream(folder + "type") >> type;
    std::ifstream(folder + "size") >> size;
    if (found == level && type != "Instruction" && !size.empty() && size.back() == 'K')
      return std::strtoull(size.c_str(), nullptr, 10) << 10;
  }
  return 0;
}

}  // namespace
#endif

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = [] {
    CacheSizes s{32u << 10, 1u << 20, 16u << 20};
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (l1 > 0) s.l1 = static_cast<std::size_t>(l1);
    if (l2 > 0) s.l2 = static_cast<std::size_t>(l2);
    if (l3 > 0) s.l3 = static_cast<std::size_t>(l3);
#endif
#if defined(__linux__)
    if (const std::size_t shared = cache_from_sysfs("3")) s.l3 = shared;
#endif
    return s;
  }();
  return sizes;
}

}  // namespace lstmfast
