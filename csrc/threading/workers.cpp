// SPDX-License-Identifier: BSD-3-Clause
#include "threading/workers.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__)
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

#include "threading/denormals.h"

namespace lstmfast {

#if defined(_OPENMP)
bool has_openmp() { return true; }
#else
bool has_openmp() { return false; }
#endif

namespace {
std::atomic<std::int64_t> measured_meeting{100};
}
std::int64_t meeting_ns() { return measured_meeting.load(std::memory_order_relaxed); }

namespace detail {
namespace {

std::atomic<bool> in_forked_child{false};

#if defined(_OPENMP)

const int openmp_threads_at_load = omp_get_max_threads();
std::atomic<bool> threads_used{false};

// Threads made while it lives take no signals: those are for the program's threads.
class SignalsElsewhere {
#if defined(__unix__)
 public:
  SignalsElsewhere() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsElsewhere() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsElsewhere(const SignalsElsewhere&) = delete;
  SignalsElsewhere& operator=(const SignalsElsewhere&) = delete;

 private:
  sigset_t before_;
#endif
};

int current_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// One worker's desk: the caller puts a job on it, the worker says when it is done. Both count jobs.
struct alignas(128) Desk {
  Job job;
  std::atomic<unsigned> given{0};
  std::atomic<int> cpu{-1};  // where the worker began its last job
  int thread = 0;            // the system's number of it
  std::int64_t waited = 0;   // ns, for the job before
  std::atomic<bool> asleep{false};
  alignas(128) std::atomic<unsigned> done{0};
  std::mutex mutex;
  std::condition_variable woken;

  void give(const Job& j) {
    job = j;
    // Sequentially consistent, as is `asleep`: either the worker sees the job or we see it asleep.
    given.store(given.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
    if (!asleep.load(std::memory_order_seq_cst)) return;
    {
      const std::lock_guard<std::mutex> lock(mutex);
    }
    woken.notify_one();
  }

  // Spins for a while, then sleeps. Between the calls of a loop lie tens to hundreds of microseconds of Python; to sleep
  // and wake takes 50: the spinning lasts four times as long as the last wait did, where that was not much more. (Half as long
  // again was not enough: 5% of the training steps of a small model found the worker asleep.)
  void wait_beyond(unsigned seen) {
    constexpr std::int64_t kShort = 60'000, kLong = 300'000;  // ns
    const auto there = [&](std::memory_order order) { return given.load(order) != seen; };
    for (int i = 0; i < 1000; ++i)
      if (there(std::memory_order_acquire)) return;
    const std::int64_t start = nanoseconds(), spin = waited < kLong ? std::max(kShort, 4 * waited) : kShort;
    for (std::int64_t now = start; now < start + spin; now = nanoseconds())
      for (int i = 0; i < 16; ++i) {
        if (there(std::memory_order_acquire)) {
          waited = now - start;
          return;
        }
        cpu_relax();
      }
    {
      std::unique_lock<std::mutex> lock(mutex);
      asleep.store(true, std::memory_order_seq_cst);
      woken.wait(lock, [&] { return there(std::memory_order_seq_cst); });
      asleep.store(false, std::memory_order_relaxed);
    }
    waited = nanoseconds() - start;
  }

  // Moves the worker to another CPU that it may use.
  void leave(int from) {
    if (from < 0) return;
    cpu.store(-1, std::memory_order_relaxed);
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(thread, sizeof allowed, &allowed) != 0) return;
    cpu_set_t others = allowed;
    CPU_CLR(from, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(thread, sizeof others, &others) == 0)
      sched_setaffinity(thread, sizeof allowed, &allowed);
#endif
  }

  // The worker's life: a job without a body ends it.
  void work(int id) {
    const FlushDenormals flush;
#if defined(__linux__)
    thread = gettid();
#endif
    for (unsigned seen = done.load(std::memory_order_relaxed);;) {
      wait_beyond(seen);
      const Job mine = job;
      const int here = current_cpu();
      cpu.store(here, std::memory_order_relaxed);
      if (here == mine.cpu && mine.size <= cpus_allowed()) leave(here);
      if (mine.body) mine.body(mine.context, Team{id, mine.size, mine.meeting});
      done.store(++seen, std::memory_order_release);
      if (!mine.body) return;
    }
  }
};

// All desks, never freed: their threads outlive the program's last static destructor.
class Workers {
 public:
  // At least `n` workers, if the runtime gives them; returns how many there are.
  int ensure(int n) {
    if (n > asked_) hire(n);
    if (!measured_ && size_ > 0) measure();
    return size_;
  }
  int size() const { return size_; }
  Desk& desk(int member) { return *desks_[static_cast<std::size_t>(member) - 1]; }

 private:
  // OpenMP's threads belong to the thread that opens the region, and no thread of the program may stay in there: one of
  // our own does. It stands for member 0, the caller, in the count of threads and in their places (OMP_PLACES), and sleeps.
  // More workers than before need a new region.
  void hire(int n) {
    for (int member = 1; member <= size_; ++member) desk(member).give({});
    join_team(size_ + 1);
    if (host_over_) {
      host_over_->store(true);
      host_over_->notify_one();
    }
    size_ = 0;
    asked_ = n;
    while (static_cast<int>(desks_.size()) < n) desks_.push_back(new Desk);
    threads_used.store(true);
    const auto over = std::make_shared<std::atomic<bool>>(false);
    std::atomic<int> present{0};
    const auto host = [this, n, over, &present] {
#pragma omp parallel num_threads(n + 1)
      {
        const int member = omp_get_thread_num();
        if (member == 0) present.store(omp_get_num_threads(), std::memory_order_release);
        if (member == 0) over->wait(false);
        else desk(member).work(member);
      }
    };
    {
      const SignalsElsewhere blocked;
      std::thread(host).detach();
    }
    host_over_ = over;
    while (present.load(std::memory_order_acquire) == 0) std::this_thread::yield();
    size_ = present.load(std::memory_order_relaxed) - 1;
  }

  // What a meeting of two costs: the best of some batches. A new thread may sit on our own CPU until the system moves it,
  // some milliseconds later: what takes longer than any transfer between cores is tried again with a later team.
  void measure() {
    constexpr int kBatches = 8, kMeetings = 32;
    constexpr std::int64_t kPlausible = 1'000, kPause = 20'000'000;  // ns
    const std::int64_t begin = nanoseconds();
    if (begin - tried_ < kPause) return;
    tried_ = begin;
    std::int64_t best = INT64_MAX;
    Barrier meeting;
    const auto meet = [](void*, const Team& team) {
      for (int i = 0; i < kMeetings; ++i) team.wait();
    };
    for (int batch = 0; batch < kBatches; ++batch) {
      desk(1).give({meet, nullptr, 2, &meeting});
      const std::int64_t start = nanoseconds();
      meet(nullptr, Team{0, 2, &meeting});
      best = std::min(best, (nanoseconds() - start) / kMeetings);
      join_team(2);
    }
    measured_ = best <= kPlausible;
    if (measured_) measured_meeting.store(best);
  }

  std::vector<Desk*> desks_;
  std::shared_ptr<std::atomic<bool>> host_over_;
  int size_ = 0, asked_ = 0;
  bool measured_ = false;
  std::int64_t tried_ = 0;
};

Workers& workers() {
  static Workers& all = *new Workers;
  return all;
}

#if defined(__unix__)
[[maybe_unused]] const int fork_handler = pthread_atfork(nullptr, nullptr, [] {
  if (threads_used.load()) in_forked_child.store(true);
});
#endif

#endif

}  // namespace

bool forked() { return in_forked_child.load(std::memory_order_relaxed); }

#if defined(_OPENMP)

bool runs_alone() { return forked() || omp_in_parallel(); }

int openmp_limit() {
  const int now = omp_get_max_threads();
  return now < openmp_threads_at_load ? now : INT32_MAX;
}

void start_team(Job& job) {
  Workers& all = workers();
  job.cpu = current_cpu();
  try {
    job.size = std::min(job.size, all.ensure(job.size - 1) + 1);
  } catch (const std::exception&) {  // no thread or no memory to be had
    job.size = 1;
  }
  for (int member = 1; member < job.size; ++member) all.desk(member).give(job);
}

void join_team(int size) {
  for (int member = 1; member < size; ++member) {
    Desk& desk = workers().desk(member);
    wait_for(desk.done, desk.given.load(std::memory_order_relaxed), size);
  }
}

void spread_out() {
  const int here = current_cpu();
  for (int member = 1; member <= workers().size(); ++member) {
    Desk& desk = workers().desk(member);
    if (desk.cpu.load(std::memory_order_relaxed) == here) desk.leave(here);
  }
}

#else

void spread_out() {}
bool runs_alone() { return true; }
int openmp_limit() { return INT32_MAX; }
void start_team(Job& job) { job.size = 1; }
void join_team(int) {}

#endif

}  // namespace detail
}  // namespace lstmfast
