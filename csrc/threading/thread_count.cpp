// SPDX-License-Identifier: BSD-3-Clause
// How many threads calls may use.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "threading/parallel.h"
#include "threading/workers.h"

namespace lstmfast {
namespace {

constexpr int kMostThreads = 1024;  // a bound on nonsense, not a choice
std::atomic<int> explicit_threads{0};

// The number that `text` begins with, or 0 where it begins with none. OMP_NUM_THREADS may be a list: its first entry counts.
long long leading_number(const char* text) {
  const long long n = text ? std::strtoll(text, nullptr, 10) : 0;
  return n > 0 ? n : 0;
}

int threads_from_env(const char* name) { return static_cast<int>(std::min<long long>(leading_number(std::getenv(name)), kMostThreads)); }

// CPUs that the cgroup's quota amounts to, rounded up; 0: no limit.
int cgroup_cpus() {
#if defined(__linux__)
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {  // "max 100000" or "150000 100000": quota and period, microseconds
    char line[64] = {};
    const bool read = std::fgets(line, sizeof line, f) != nullptr;
    std::fclose(f);
    const char* second = read ? std::strchr(line, ' ') : nullptr;
    const long long quota = second ? leading_number(line) : 0, period = leading_number(second);
    if (quota > 0 && period > 0) return static_cast<int>((quota + period - 1) / period);
  }
#endif
  return 0;
}

}  // namespace

int cpus_allowed() {
  static const int cpus = [] {
    int n = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    const int quota = cgroup_cpus();
    if (quota > 0) n = std::min(n, quota);
    return std::max(1, n);
  }();
  return cpus;
}

int num_threads() {
  if (!has_openmp() || detail::forked()) return 1;
  static const int by_default = [] {
    const int own = threads_from_env("LSTMFAST_NUM_THREADS");
    if (own > 0) return own;
    const int openmp = threads_from_env("OMP_NUM_THREADS");
    return openmp > 0 ? openmp : cpus_allowed();
  }();
  const int set = explicit_threads.load(std::memory_order_relaxed);
  return std::min(set > 0 ? set : by_default, detail::openmp_limit());
}

void set_num_threads(int n) {
  if (n < 1 || n > kMostThreads)
    throw std::invalid_argument("n: expected a number of threads from 1 to " + std::to_string(kMostThreads) + ", got " + std::to_string(n));
  explicit_threads.store(n);
}

}  // namespace lstmfast
