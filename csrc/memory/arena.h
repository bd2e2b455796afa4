// SPDX-License-Identifier: BSD-3-Clause
// One block of scratch for one call. Blocks wait in a pool between calls and only grow, so that memory is that of the
// largest calls that ran at the same time, whatever the mix of shapes, and a call allocates nothing.
#pragma once

#include <cstddef>

namespace lstmfast {

// Lays arrays out one after the other; run once without memory to measure, once with it to place.
class Carver {
 public:
  explicit Carver(std::byte* base = nullptr) : base_(base) {}
  template <class T>
  T* take(std::size_t count) {
    std::byte* const at = base_ ? base_ + bytes_ : nullptr;
    bytes_ += (count * sizeof(T) + 127) / 128 * 128;
    return reinterpret_cast<T*>(at);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* base_;
  std::size_t bytes_ = 0;
};

class Arena {
 public:
  Arena() = default;
  // At least `bytes`, 128-byte aligned (2 MiB and huge pages from 2 MiB on), not initialised. Throws std::bad_alloc.
  explicit Arena(std::size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  std::byte* data() { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lstmfast
