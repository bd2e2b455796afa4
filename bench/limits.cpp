// SPDX-License-Identifier: BSD-3-Clause
// What this machine can do at most: limits.py compiles and runs this, and says what the figures mean.
//
//     limits SECONDS THREADS...     writes "fma ISA THREADS GF/s", "read THREADS BYTES GB/s" and "meeting NS", a line each
//
// Each figure is the best of the trials that fit into SECONDS: what disturbs a trial can only make it slower.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#include <sys/mman.h>
#endif

namespace {

constexpr long kRounds = 1000;   // of fused multiply-adds in one call
constexpr double kTrial = 1e-3;  // seconds; shorter ones would time the clock and the gate
constexpr std::size_t kSmallest = 32 << 10, kLargest = 32 << 20;
constexpr std::size_t kPage = 2 << 20;  // a huge page

struct Isa {
  const char* name;
  double flops;  // of one round
  float (*fma)(long rounds);
  float (*read)(const float* from, std::size_t bytes, long times);
};

// The vectors are the compiler's own, as wide as the target's registers: the same lines make every instruction set.
// CHAINS sums hide the latency of an addition and fit the registers; a sum that nobody reads would be optimized away.
#define LIMITS_ISA(NAME, TARGET, WIDTH, CHAINS)                                \
  TARGET float fma_##NAME(long rounds) {                                       \
    typedef float Vector __attribute__((vector_size(WIDTH)));                  \
    Vector sum[CHAINS], one = {}, small = {};                                  \
    one += 0.999f, small += 0.001f;                                            \
    for (int k = 0; k < CHAINS; ++k) sum[k] = one * float(k);                  \
    for (; rounds > 0; --rounds)                                               \
      for (int k = 0; k < CHAINS; ++k) sum[k] = sum[k] * one + small;          \
    for (int k = 1; k < CHAINS; ++k) sum[0] += sum[k];                         \
    return sum[0][0];                                                          \
  }                                                                            \
  TARGET float read_##NAME(const float* from, std::size_t bytes, long times) { \
    typedef float Vector __attribute__((vector_size(WIDTH), may_alias));       \
    Vector sum[8] = {};                                                        \
    const Vector* const begin = reinterpret_cast<const Vector*>(from);         \
    const Vector* const end = begin + bytes / WIDTH;                           \
    for (; times > 0; --times)                                                 \
      for (const Vector* v = begin; v < end; v += 8)                           \
        for (int k = 0; k < 8; ++k) sum[k] += v[k];                            \
    for (int k = 1; k < 8; ++k) sum[0] += sum[k];                              \
    return sum[0][0];                                                          \
  }                                                                            \
  constexpr Isa k_##NAME{#NAME, 2.0 * CHAINS * (WIDTH / sizeof(float)), fma_##NAME, read_##NAME};

#if defined(__x86_64__)
LIMITS_ISA(avx512, __attribute__((target("avx512f"))), 64, 16)
LIMITS_ISA(avx2, __attribute__((target("avx2,fma"))), 32, 12)
#endif
LIMITS_ISA(plain, , 16, 12)  // SSE2, NEON: what every CPU of the kind has

// Widest first.
std::vector<Isa> available() {
  std::vector<Isa> all;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) all.push_back(k_avx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(k_avx2);
#endif
  if (all.empty()) all.push_back(k_plain);
  return all;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Spins, but lets others run when it takes so long that the partner must have lost its CPU.
template <class Done>
void spin(Done done) {
  for (int i = 1; !done(); ++i)
    if (i % 4096 == 0) std::this_thread::yield();
}

class Gate {
 public:
  explicit Gate(long parties) : parties_(parties) {}
  void wait() {
    const long all = (arrived_.fetch_add(1) / parties_ + 1) * parties_;
    spin([&] { return arrived_.load() >= all; });
  }

 private:
  const long parties_;
  std::atomic<long> arrived_{0};
};

// Thread `id` gets the CPU of that number among those this process may use, as duel.py's workers do.
void pin([[maybe_unused]] int id) {
#ifdef __linux__
  cpu_set_t allowed, own;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  id %= std::max(1, CPU_COUNT(&allowed));
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || id-- > 0) continue;
    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    sched_setaffinity(0, sizeof own, &own);
    return;
  }
#endif
}

// Repetitions a second of `make(id)(repetitions)`, on as many threads at once.
template <class Make>
double best_rate(int threads, double seconds, Make make) {
  Gate gate(threads);
  long repetitions = 1;
  bool done = false;
  double best = 0;
  const auto body = [&](int id) {
    pin(id);
    auto work = make(id);
    work(1);
    gate.wait();
    const double end = now() + seconds;
    for (;;) {
      const double start = now();  // before the gate: a thread that is late counts against the rate, not for it
      gate.wait();
      if (done) return;
      work(repetitions);
      gate.wait();
      if (id != 0) continue;  // the others wait at the gate above
      const double taken = now() - start;
      if (taken < kTrial) repetitions *= 2;
      else best = std::max(best, double(repetitions) / taken);
      done = best > 0 && now() >= end;
    }
  };
  std::vector<std::thread> others;
  for (int id = 0; id < threads; ++id) others.emplace_back(body, id);
  for (std::thread& t : others) t.join();
  return best;
}

void keep(float value) {
  static std::atomic<float> sink;
  sink.store(value, std::memory_order_relaxed);
}

double fma_gflops(const Isa& isa, int threads, double seconds) {
  const auto make = [&](int) { return [&](long n) { keep(isa.fma(n * kRounds)); }; };
  return best_rate(threads, seconds, make) * kRounds * isa.flops * threads * 1e-9;
}

double read_gbs(const Isa& isa, int threads, std::size_t bytes, double seconds) {
  const std::size_t share = bytes / std::size_t(threads) / 512 * 512;  // 8 of the widest vectors
  const auto make = [&](int) {
    void* memory = std::aligned_alloc(kPage, (share + kPage - 1) / kPage * kPage);
    if (!memory) throw std::bad_alloc();
#ifdef __linux__
    madvise(memory, share, MADV_HUGEPAGE);
#endif
    std::shared_ptr<float> numbers(static_cast<float*>(memory), std::free);
    std::fill_n(numbers.get(), share / sizeof(float), 1.0f);  // untouched pages would all be one page of zeros
    return [&isa, share, numbers](long n) { keep(isa.read(numbers.get(), share, n)); };
  };
  return best_rate(threads, seconds, make) * double(share) * threads * 1e-9;
}

// Two threads tell each other that they are there, and go on when both are.
double meeting_ns(double seconds) {
  struct alignas(128) Flag {
    std::atomic<long> round{0};
  };
  Flag flags[2];
  const auto make = [&](int id) {
    return [&own = flags[id].round, &other = flags[1 - id].round](long n) {
      for (; n > 0; --n) {
        const long round = own.load(std::memory_order_relaxed) + 1;
        own.store(round, std::memory_order_release);
        spin([&] { return other.load(std::memory_order_acquire) >= round; });
      }
    };
  };
  return 1e9 / best_rate(2, seconds, make);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const double seconds = std::atof(argv[1]);
  const std::vector<Isa> isas = available();
  bool two = false;
  for (int i = 2; i < argc; ++i) {
    const int threads = std::atoi(argv[i]);
    if (threads < 1) return 2;
    two = two || threads > 1;
    for (const Isa& isa : isas) std::printf("fma %s %d %.6g\n", isa.name, threads, fma_gflops(isa, threads, seconds));
    for (std::size_t bytes = kSmallest; bytes <= kLargest; bytes *= 2)
      std::printf("read %d %zu %.6g\n", threads, bytes, read_gbs(isas.front(), threads, bytes, seconds));
  }
  if (two) std::printf("meeting %.6g\n", meeting_ns(seconds));
  return 0;
}
