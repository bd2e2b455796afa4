// SPDX-License-Identifier: BSD-3-Clause
// Threads: a team that runs one function side by side, with a barrier for use inside it. The only file
// that knows OpenMP is workers.cpp.
//
// Guards, so that the library never hurts the program around it:
//  - small work stays on the calling thread (threads_for_work);
//  - a call that is nested, or finds the team busy with another thread's call, runs on a team of one;
//  - a child after fork() runs on a team of one (it has no threads);
//  - a barrier spins for microseconds, then yields its core: a busy neighbour costs its share, not a collapse;
//  - denormals are flushed inside the team and the caller's floating-point state is put back.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace lstmfast {

// Meeting point of some threads; reusable at once. All that meet must name the same number, and each its own id.
class Barrier {
 public:
  void wait(int id, int parties) { wait_for_others(arrive(id, parties), id, parties); }
  // The two halves, for who has something to do while the news travels. arrive returns what wait_for_others wants to know.
  unsigned arrive(int id, int parties);
  void wait_for_others(unsigned round, int id, int parties);

 private:
  // Few parties: each announces its round on a line of its own and reads the others', one transfer between two cores
  // where a shared counter and a shared round take two. (128 bytes: adjacent-line prefetch pairs lines.)
  static constexpr int kFew = 4;
  struct alignas(128) Line {
    std::atomic<unsigned> round{0};
  };
  Line announced_[kFew];
  alignas(128) std::atomic<int> arrived_{0};
  Line shared_;
};

// How far one thread has come, for another that follows it.
class Progress {
 public:
  void reach(unsigned n) { reached_.store(n, std::memory_order_release); }
  void wait_for(unsigned n) const;

 private:
  alignas(128) std::atomic<unsigned> reached_{0};
};

struct Team {
  int id;  // 0 .. size-1
  int size;
  Barrier* meeting;  // of the whole team
  void wait() const {
    if (size > 1) meeting->wait(id, size);
  }
};

struct Range {
  std::int64_t begin, end;
};
// Part `index` of `parts` of 0..n, in whole multiples of `unit` where possible.
Range split(std::int64_t n, int parts, int index, std::int64_t unit = 1);

// What calls may use: set_num_threads, else LSTMFAST_NUM_THREADS, OMP_NUM_THREADS, the CPUs allowed (affinity,
// cgroup), whichever comes first; a limit set through the OpenMP runtime (threadpoolctl) counts as well.
int num_threads();
void set_num_threads(int n);  // throws std::invalid_argument unless 1 <= n <= 1024
int cpus_allowed();
bool has_openmp();

// What a meeting of two threads costs on this machine: measured when threads are first started, before that a guess.
std::int64_t meeting_ns();

// How many threads are worth waking for `flops` floating-point operations' worth of work.
int threads_for_work(double flops);

namespace detail {
void run_team(int threads, void (*body)(void*, const Team&), void* context);
}

// Runs body(const Team&) on `threads` threads (fewer where a guard says so) and returns when all have.
// The body must not throw.
template <class F>
void run_team(int threads, F&& body) {
  detail::run_team(threads, [](void* f, const Team& team) { (*static_cast<std::remove_reference_t<F>*>(f))(team); }, &body);
}

// body(begin, end) over 0..n split evenly over `threads` threads.
template <class F>
void parallel_for(std::int64_t n, int threads, F&& body, std::int64_t unit = 1) {
  run_team(threads, [&](const Team& team) {
    const Range r = split(n, team.size, team.id, unit);
    if (r.begin < r.end) body(r.begin, r.end);
  });
}

}  // namespace lstmfast
