// SPDX-License-Identifier: BSD-3-Clause
#include "threading/parallel.h"

#include <algorithm>
#include <atomic>

#include "threading/denormals.h"
#include "threading/workers.h"

namespace lstmfast {

Range split(std::int64_t n, int parts, int index, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit;
  const std::int64_t begin = units * index / parts * unit, end = units * (index + 1) / parts * unit;
  return {std::min(begin, n), std::min(end, n)};
}

namespace {

std::atomic<bool> team_busy{false};  // one team at a time: a second one would oversubscribe the cores

// How the last teams fared. A neighbour that keeps a core busy makes a worker start, or meet, milliseconds late. A call
// that waited for more than the other threads saved it was a loss. Most neighbours go away, so the first loss only counts;
// from the second on calls run alone for a multiple of what was lost, a multiple that doubles with each loss (in the end
// some 3% of the time goes into trying again) and halves with each call that gained.
class TeamHealth {
 public:
  // Whether calls follow each other closely: then workers still spin, so that a team starts at once (or will from the next
  // call on).
  bool hot(std::int64_t now) { return now - called_.exchange(now, std::memory_order_relaxed) < kHot; }
  bool alone(std::int64_t now) const { return now < alone_until_.load(std::memory_order_relaxed); }
  // A call on `threads` threads, of which it waited `waited` ns for others.
  void ran(std::int64_t waited, int threads) {
    const int multiple = multiple_.load(std::memory_order_relaxed);
    std::int64_t lost = 0;
    if (waited > 0) {  // else no need for the clock, which costs 30 ns
      const std::int64_t now = detail::nanoseconds(), elapsed = now - called_.load(std::memory_order_relaxed);
      lost = elapsed - (elapsed - waited) * threads;  // against the same work alone
      if (lost >= kNoticed) {
        multiple_.store(std::clamp(2 * multiple, 2, kMost), std::memory_order_relaxed);
        alone_until_.store(now + std::min<std::int64_t>(lost, 10'000'000) * multiple, std::memory_order_relaxed);
        return;
      }
    }
    if (lost <= 0 && multiple > 0) multiple_.store(multiple > 2 ? multiple / 2 : 0, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t kHot = 50'000;       // ns from call to call; workers spin for 60 us at least
  static constexpr std::int64_t kNoticed = 100'000;  // ns; waking a sleeping worker takes up to 50 us
  static constexpr int kMost = 32;
  std::atomic<std::int64_t> called_{-1'000'000'000}, alone_until_{0};
  std::atomic<int> multiple_{0};
};

TeamHealth health;

}  // namespace

int threads_for_work(double flops) {
  // At about 100 operations a nanosecond. Waking a sleeping worker takes 5 to 50 us. Work goes to a spinning one and back
  // in the time of two meetings, but whoever needs two cores depends on the system to run both: the second should save
  // three times that, and a microsecond and a half.
  constexpr double kRate = 100, kSleepingWorker = 10'000;
  const double hot_worker = std::max(1'500.0, 6.0 * static_cast<double>(meeting_ns()));
  const int n = num_threads();
  if (n == 1 || flops < 2 * kRate * hot_worker) return 1;
  const std::int64_t now = detail::nanoseconds();
  if (n <= cpus_allowed() && health.alone(now)) return 1;
  const double worth = kRate * (health.hot(now) ? hot_worker : kSleepingWorker);
  return static_cast<int>(std::clamp(flops / worth, 1.0, static_cast<double>(n)));
}

namespace detail {

void run_team(int threads, void (*body)(void*, const Team&), void* context) {
  if (threads > 1 && !runs_alone() && !team_busy.exchange(true)) {
    Barrier meeting;
    Job job{body, context, threads, &meeting};
    held_up = 0;
    leads = true;
    start_team(job);
    {
      const FlushDenormals flush;
      body(context, Team{0, job.size, &meeting});
    }
    join_team(job.size);
    leads = false;
    health.ran(held_up, job.size);
    team_busy.store(false);
    return;
  }
  const FlushDenormals flush;
  body(context, Team{0, 1, nullptr});
}

}  // namespace detail
}  // namespace lstmfast
