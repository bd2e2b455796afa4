// SPDX-License-Identifier: BSD-3-Clause
#include "memory/arena.h"
#include "memory/buffer.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace lstmfast {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kKeptBytes = std::size_t{512} << 20;  // most that waits for reuse
constexpr std::size_t kKeptBuffers = 64;

std::atomic<bool> poison{false};

struct Kept {
  float* data;
  std::size_t bytes;
};

constexpr std::size_t kMostArenas = 256;  // that wait; more at once than that are freed after use

// Leaked on purpose: buffers may be released while the interpreter is going down.
struct Recycler {
  std::mutex mutex;
  std::vector<Kept> kept;  // oldest first
  std::size_t bytes = 0;
  std::vector<Kept> arenas;  // latest last
};
Recycler& recycler() {
  static Recycler* r = new Recycler;
  return *r;
}

// Sizes in steps of an eighth, so that slightly different shapes share memory.
std::size_t size_class(std::size_t bytes) {
  std::size_t step = 64;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

float* allocate(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 128;
  bytes = (bytes + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
  void* p = _aligned_malloc(bytes, alignment);
#else
  void* p = std::aligned_alloc(alignment, bytes);
#endif
  if (!p) throw std::bad_alloc();
#if defined(__linux__)
  if (bytes >= kHugePage) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  return static_cast<float*>(p);
}

void deallocate(float* p) {
#if defined(_WIN32)
  _aligned_free(p);
#else
  std::free(p);
#endif
}

void poison_if_asked(float* data, std::size_t bytes) {
  if (poison.load(std::memory_order_relaxed)) std::fill_n(data, bytes / sizeof(float), std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

Buffer::Buffer(std::size_t count) {
  if (count > std::numeric_limits<std::size_t>::max() / 8) throw std::bad_alloc();
  bytes_ = size_class(std::max<std::size_t>(count, 16) * sizeof(float));
  {
    Recycler& r = recycler();
    const std::lock_guard lock(r.mutex);
    for (std::size_t i = r.kept.size(); i-- > 0;) {  // the latest is the warmest
      if (r.kept[i].bytes != bytes_) continue;
      data_ = r.kept[i].data;
      r.bytes -= bytes_;
      r.kept.erase(r.kept.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  }
  if (!data_) data_ = allocate(bytes_);
  poison_if_asked(data_, bytes_);
}

void Buffer::release() {
  if (!data_) return;
  std::vector<float*> surplus;
  {
    Recycler& r = recycler();
    const std::lock_guard lock(r.mutex);
    r.kept.push_back({data_, bytes_});
    r.bytes += bytes_;
    while (r.bytes > kKeptBytes || r.kept.size() > kKeptBuffers) {
      surplus.push_back(r.kept.front().data);
      r.bytes -= r.kept.front().bytes;
      r.kept.erase(r.kept.begin());
    }
  }
  for (float* p : surplus) deallocate(p);
  data_ = nullptr;
}

Arena::Arena(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 4) throw std::bad_alloc();
  Kept block{nullptr, 0};
  {
    Recycler& r = recycler();
    const std::lock_guard lock(r.mutex);
    // The warmest that is large enough; else the largest, which grows.
    std::size_t best = r.arenas.size();
    for (std::size_t i = r.arenas.size(); i-- > 0;) {
      if (r.arenas[i].bytes >= bytes) {
        best = i;
        break;
      }
      if (best == r.arenas.size() || r.arenas[i].bytes > r.arenas[best].bytes) best = i;
    }
    if (best < r.arenas.size()) {
      block = r.arenas[best];
      r.arenas.erase(r.arenas.begin() + static_cast<std::ptrdiff_t>(best));
    }
  }
  if (block.bytes < bytes) {
    if (block.data) deallocate(block.data);
    block.bytes = size_class(std::max<std::size_t>(bytes, 4096));
    block.data = allocate(block.bytes);
  }
  data_ = reinterpret_cast<std::byte*>(block.data);
  bytes_ = block.bytes;
  poison_if_asked(block.data, bytes_);
}

Arena::~Arena() {
  if (!data_) return;
  float* const data = reinterpret_cast<float*>(data_);
  {
    Recycler& r = recycler();
    const std::lock_guard lock(r.mutex);
    if (r.arenas.size() < kMostArenas) {
      r.arenas.push_back({data, bytes_});
      return;
    }
  }
  deallocate(data);
}

void poison_buffers(bool on) { poison.store(on); }

std::size_t release_recycled_buffers() {
  Recycler& r = recycler();
  const std::lock_guard lock(r.mutex);
  std::size_t bytes = std::exchange(r.bytes, 0);
  for (const Kept& k : r.kept) deallocate(k.data);
  for (const Kept& k : r.arenas) {
    deallocate(k.data);
    bytes += k.bytes;
  }
  r.kept.clear();
  r.arenas.clear();
  return bytes;
}

}  // namespace lstmfast
