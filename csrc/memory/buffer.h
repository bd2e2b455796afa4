// SPDX-License-Identifier: BSD-3-Clause
// Aligned float memory that is recycled: a training step asks for the same sizes again and again, and
// fresh pages cost more (0.2 us for 4 KiB) than filling them.
#pragma once

#include <cstddef>
#include <utility>

namespace lstmfast {

class Buffer {
 public:
  Buffer() = default;
  // `count` floats, 128-byte aligned (2 MiB and huge pages from 2 MiB on), not initialised. Throws std::bad_alloc.
  explicit Buffer(std::size_t count);
  ~Buffer() { release(); }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Buffer& operator=(Buffer&& other) noexcept {
    if (this != &other) {
      release();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = other.bytes_;
    }
    return *this;
  }

  float* data() { return data_; }
  const float* data() const { return data_; }
  explicit operator bool() const { return data_ != nullptr; }
  std::size_t bytes() const { return data_ ? bytes_ : 0; }

 private:
  void release();
  float* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Tests: fill every buffer handed out with NaN, so that a read of unwritten scratch shows in the result.
void poison_buffers(bool on);
// Gives all recycled memory back to the system; returns how many bytes that were.
std::size_t release_recycled_buffers();

}  // namespace lstmfast
