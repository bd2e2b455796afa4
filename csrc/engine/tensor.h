// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <cstdint>

namespace lstmfast {

// What flows between the operations of a program: (batch, time, width) float32, (batch, width) where time is 0, or ids.
struct Tensor {
  int batch = 0, time = 0;
  std::int64_t width = 0;
  const float* data = nullptr;
  const std::int32_t* ids32 = nullptr;  // (batch, time), or (batch,), in place of data
  const std::int64_t* ids64 = nullptr;
  std::int64_t made_ids = 0;              // of ids that an operation makes: all are below this; they are there when it has run
  const std::uint8_t* mask = nullptr;     // (batch, time) or null
  const std::int32_t* lengths = nullptr;  // (batch,) or null

  bool holds_ids() const { return ids32 || ids64 || made_ids > 0; }
  std::int64_t rows() const { return static_cast<std::int64_t>(batch) * (time ? time : 1); }
  std::int64_t elements() const { return rows() * width; }
  // The shape of what has `features` for each step or row of this; no data and no mask yet.
  Tensor with_width(std::int64_t features) const {
    Tensor t;
    t.batch = batch;
    t.time = time;
    t.width = features;
    t.lengths = lengths;
    return t;
  }
};

}  // namespace lstmfast
