// SPDX-License-Identifier: BSD-3-Clause
#include <chrono>
#include <thread>

#include "threading/parallel.h"
#include "threading/workers.h"

namespace lstmfast {
namespace detail {

thread_local std::int64_t held_up = 0;
thread_local bool leads = false;

std::int64_t nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void cpu_relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A step of the other thread takes microseconds. Plain loads first: a pause costs 40 to 140 cycles. With more threads than
// CPUs the one we wait for may need ours.
void wait_for(const std::atomic<unsigned>& reached, unsigned round, int parties) {
  const auto there = [&] { return static_cast<int>(reached.load(std::memory_order_acquire) - round) >= 0; };
  for (int i = 0; i < 64; ++i)
    if (there()) return;
  const int pauses = parties > cpus_allowed() ? 16 : 1000;
  for (int i = 0; i < pauses; ++i) {
    if (there()) return;
    cpu_relax();
  }
  if (leads && parties <= cpus_allowed()) spread_out();
  const std::int64_t start = nanoseconds();
  while (!there()) std::this_thread::yield();
  held_up += nanoseconds() - start;
}

}  // namespace detail

unsigned Barrier::arrive(int id, int parties) {
  if (parties <= kFew) {
    std::atomic<unsigned>& mine = announced_[id].round;
    const unsigned round = mine.load(std::memory_order_relaxed) + 1;
    mine.store(round, std::memory_order_release);
    return round;
  }
  const unsigned round = shared_.round.load(std::memory_order_acquire) + 1;
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties) {
    arrived_.store(0, std::memory_order_relaxed);
    shared_.round.store(round, std::memory_order_release);
  }
  return round;
}

void Barrier::wait_for_others(unsigned round, int id, int parties) {
  if (parties > kFew) return detail::wait_for(shared_.round, round, parties);
  for (int other = 0; other < parties; ++other)
    if (other != id) detail::wait_for(announced_[other].round, round, parties);
}

void Progress::wait_for(unsigned n) const { detail::wait_for(reached_, n, 2); }

}  // namespace lstmfast
