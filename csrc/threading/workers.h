// SPDX-License-Identifier: BSD-3-Clause
// The threads that teams are made of: OpenMP's. They stay inside one parallel region for as long as the process lives, and
// take work from a cache line each. Entering a parallel region costs about 750 ns even with threads that spin (libgomp,
// Zen 4), a line to a spinning thread and back 120 ns: that makes a second thread worth its while in one step of 128 units.
#pragma once

#include <atomic>
#include <cstdint>

#include "threading/parallel.h"

namespace lstmfast::detail {

struct Job {
  void (*body)(void*, const Team&) = nullptr;
  void* context = nullptr;
  int size = 0;  // of the team, the caller included
  Barrier* meeting = nullptr;
  int cpu = -1;  // where member 0 began
};

// Gives `job` to the members 1 .. job.size-1 of the team; the caller is member 0. Starts threads that are missing, and
// lowers job.size if the OpenMP runtime does not give as many. One caller at a time.
void start_team(Job& job);
// Returns when they have run it.
void join_team(int size);
// Moves workers off the CPU that the calling thread, a team's member 0, runs on. A thread that wakes may be put there, and
// stay for 100 ms until the system balances its load, while the two take turns of 4 ms. A worker that gets to run looks for
// itself; this is for those that do not.
void spread_out();

// Whether teams are out of the question: no OpenMP, inside another parallel region, or in a forked child, which has no threads.
bool runs_alone();
bool forked();
int openmp_limit();  // threads that the OpenMP runtime allows since the program lowered its number; INT32_MAX if it has not

// Waits until `reached` has counted up to `round`: spins for some microseconds, then yields the core. `parties`: how many
// threads wait for each other. What outlasts the spinning is added to `held_up`.
void wait_for(const std::atomic<unsigned>& reached, unsigned round, int parties);
extern thread_local std::int64_t held_up;  // ns
extern thread_local bool leads;            // is member 0 of a team

std::int64_t nanoseconds();
void cpu_relax();

}  // namespace lstmfast::detail
