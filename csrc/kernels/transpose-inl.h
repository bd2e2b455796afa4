// SPDX-License-Identifier: BSD-3-Clause
// Rows (by pointer) to columns: out[column*ld + row] = rows[row][offset + column]. Turns a block of X or
// H into the A operand of the weight gradients, whose depth runs over (time, batch).
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

void transpose(const float* const* rows, std::int64_t offset, int n_rows, int n_columns, float* out, std::int64_t ld) {
  // 4 rows at a time: 16 bytes go to each output line in one store, and the four source streams are sequential.
  int r = 0;
  for (; r + 4 <= n_rows; r += 4) {
    const float* s0 = rows[r] + offset;
    const float* s1 = rows[r + 1] + offset;
    const float* s2 = rows[r + 2] + offset;
    const float* s3 = rows[r + 3] + offset;
    float* o = out + r;
    for (int c = 0; c < n_columns; ++c, o += ld) {
      o[0] = s0[c];
      o[1] = s1[c];
      o[2] = s2[c];
      o[3] = s3[c];
    }
  }
  for (; r < n_rows; ++r) {
    const float* s = rows[r] + offset;
    for (int c = 0; c < n_columns; ++c) out[c * ld + r] = s[c];
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
