// SPDX-License-Identifier: BSD-3-Clause
#include "threading/parallel.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#include "threading/denormals.h"

namespace lstmfast {
namespace {

constexpr int kMostThreads = 1024;   // a bound on nonsense, not a choice
std::atomic<bool> team_busy{false};  // one team at a time: a second one would oversubscribe the cores
std::atomic<bool> threads_used{false};
std::atomic<bool> forked{false};  // a child of a process that had threads: libgomp would hang in it
std::atomic<int> explicit_threads{0};

inline void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The number that `text` begins with, or 0 where it begins with none. OMP_NUM_THREADS may be a list: its first entry counts.
long long leading_number(const char* text) {
  const long long n = text ? std::strtoll(text, nullptr, 10) : 0;
  return n > 0 ? n : 0;
}

[[maybe_unused]] int threads_from_env(const char* name) {
  return static_cast<int>(std::min<long long>(leading_number(std::getenv(name)), kMostThreads));
}

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

#if defined(_OPENMP)
const int openmp_threads_at_load = omp_get_max_threads();
#endif

#if defined(__linux__)
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  if (threads_used.load()) forked.store(true);
  team_busy.store(false);
});
#endif

}  // namespace

namespace {

std::int64_t nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

thread_local std::int64_t held_up = 0;  // nanoseconds of this thread's waits that outlasted the spinning

// Returns when `reached` is at least `round`. A step of the other thread takes microseconds. Plain loads first: a pause
// costs 40 to 140 cycles. With more threads than CPUs the one we wait for may need ours.
void wait_for(const std::atomic<unsigned>& reached, unsigned round, int parties) {
  static const int cpus = cpus_allowed();
  const auto there = [&] { return static_cast<int>(reached.load(std::memory_order_acquire) - round) >= 0; };
  const int pauses = parties > cpus ? 16 : 1000;
  for (int i = 0; i < 64; ++i)
    if (there()) return;
  for (int i = 0; i < pauses; ++i) {
    if (there()) return;
    cpu_relax();
  }
  const std::int64_t start = nanoseconds();
  while (!there()) std::this_thread::yield();
  held_up += nanoseconds() - start;
}

}  // namespace

void Barrier::wait(int id, int parties) {
  if (parties <= kFew) {
    std::atomic<unsigned>& mine = announced_[id].round;
    const unsigned round = mine.load(std::memory_order_relaxed) + 1;
    mine.store(round, std::memory_order_release);
    for (int other = 0; other < parties; ++other)
      if (other != id) wait_for(announced_[other].round, round, parties);
    return;
  }
  const unsigned round = shared_.round.load(std::memory_order_acquire) + 1;
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties) {
    arrived_.store(0, std::memory_order_relaxed);
    shared_.round.store(round, std::memory_order_release);
    return;
  }
  wait_for(shared_.round, round, parties);
}

Range split(std::int64_t n, int parts, int index, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  const std::int64_t begin = units * index / parts * unit, end = units * (index + 1) / parts * unit;
  return {std::min(begin, n), std::min(end, n)};
}

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

bool has_openmp() {
#if defined(_OPENMP)
  return true;
#else
  return false;
#endif
}

int num_threads() {
#if defined(_OPENMP)
  if (forked.load(std::memory_order_relaxed)) return 1;
  static const int by_default = [] {
    const int own = threads_from_env("LSTMFAST_NUM_THREADS");
    if (own > 0) return own;
    const int openmp = threads_from_env("OMP_NUM_THREADS");
    return openmp > 0 ? openmp : cpus_allowed();
  }();
  const int set = explicit_threads.load(std::memory_order_relaxed);
  const int wanted = set > 0 ? set : by_default;
  const int openmp_now = omp_get_max_threads();
  return openmp_now < openmp_threads_at_load ? std::min(wanted, openmp_now) : wanted;
#else
  return 1;
#endif
}

void set_num_threads(int n) {
  if (n < 1 || n > kMostThreads)
    throw std::invalid_argument("n: expected a number of threads from 1 to " + std::to_string(kMostThreads) + ", got " + std::to_string(n));
  explicit_threads.store(n);
}

namespace {

// How the last teams fared. A neighbour that keeps a core busy makes a worker start, or meet, milliseconds late. A call
// that waited for more than the other threads saved it was a loss, and calls then run alone for a multiple of what was
// lost: a multiple that doubles with each loss (in the end some 2% of the time goes into trying again) and halves with
// each call that gained, because most neighbours go away.
class TeamHealth {
 public:
  // Whether calls follow each other closely: then workers still spin, so that a team starts in about a microsecond (or
  // will from the next call on).
  bool hot(std::int64_t now) { return now - called_.exchange(now, std::memory_order_relaxed) < kHot; }
  bool alone(std::int64_t now) const { return now < alone_until_.load(std::memory_order_relaxed); }
  // A call of `elapsed` ns on `threads` threads, of which it waited `waited` for others.
  void ran(std::int64_t now, std::int64_t elapsed, std::int64_t waited, int threads) {
    called_.store(now, std::memory_order_relaxed);
    const std::int64_t lost = elapsed - (elapsed - waited) * threads;  // against the same work alone
    const int multiple = multiple_.load(std::memory_order_relaxed);
    if (lost < kNoticed) {
      if (lost < 0 && multiple > kLeast) multiple_.store(multiple / 2, std::memory_order_relaxed);
      return;
    }
    multiple_.store(std::min(2 * multiple, kMost), std::memory_order_relaxed);
    alone_until_.store(now + std::min<std::int64_t>(lost, 10'000'000) * multiple, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kHot = 30'000;      // ns; workers spin for 60 us and more (see _load_core.py)
  static constexpr std::int64_t kNoticed = 100'000;  // ns; waking a sleeping worker takes up to 50 us
  static constexpr int kLeast = 2, kMost = 64;
  std::atomic<std::int64_t> called_{-1'000'000'000}, alone_until_{0};
  std::atomic<int> multiple_{kLeast};
};

TeamHealth health;

}  // namespace

int threads_for_work(double flops) {
  // At about 100 Gflop/s a hundred thousand operations are a microsecond. Waking a sleeping worker takes 5 to 50 us, a
  // spinning one about 1.
  constexpr double kPerThread = 1e6, kPerHotThread = 1.5e5;
  const int n = num_threads();
  if (n == 1 || flops < 2 * kPerHotThread) return 1;
  const std::int64_t now = nanoseconds();
  if (n <= cpus_allowed() && health.alone(now)) return 1;
  const double per_thread = health.hot(now) ? kPerHotThread : kPerThread;
  return static_cast<int>(std::clamp(flops / per_thread, 1.0, static_cast<double>(n)));
}

namespace detail {

void run_team(int threads, void (*body)(void*, const Team&), void* context) {
#if defined(_OPENMP)
  if (threads > 1 && !forked.load(std::memory_order_relaxed) && !omp_in_parallel() && !team_busy.exchange(true)) {
    threads_used.store(true, std::memory_order_relaxed);
    Barrier meeting;
    const std::int64_t start = nanoseconds();
    std::int64_t mine_done = 0;
    held_up = 0;
#pragma omp parallel num_threads(threads)
    {
      const FlushDenormals flush;
      const int id = omp_get_thread_num();
      body(context, Team{id, omp_get_num_threads(), &meeting});
      if (id == 0) mine_done = nanoseconds();
    }
    const std::int64_t now = nanoseconds();
    health.ran(now, now - start, held_up + (now - mine_done), threads);  // waited at meetings, and at the end
    team_busy.store(false);
    return;
  }
#else
  (void)threads;
#endif
  const FlushDenormals flush;
  body(context, Team{0, 1, nullptr});
}

}  // namespace detail
}  // namespace lstmfast
