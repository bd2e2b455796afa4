// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/planning.h"

#include <algorithm>
#include <cstring>

#include "dispatch/cpu_features.h"
#include "threading/parallel.h"

namespace lstmfast {

bool advances_beside(const RecurrentWeights& w, const Sequence& s, int threads) {
  constexpr int kFewInputs = 16;
  if (s.batch > threads || s.time < 2 * w.kernels.beside_rows || w.inputs < kFewInputs) return false;
  if (s.input_mask || s.recurrent_masks > 1 || w.cell.layer_norm || w.cell.reset_forward) return false;
  // The input's weights are read again for every chunk: they should not drive the recurrent ones out of L3, which others use too.
  if (2 * (w.input.bytes() + w.recurrent.bytes()) > cache_sizes().l3) return false;
  const double mine = static_cast<double>(w.recurrent.bytes()) * s.batch / threads;
  return mine > 1.5 * static_cast<double>(cache_sizes().l1);
}

int chunk_steps(const RecurrentWeights& w, const Sequence& s, int threads, bool beside) {
  if (beside) return w.kernels.beside_rows;
  const double step_bytes = static_cast<double>(s.batch) / threads * static_cast<double>(w.panels() * w.gates_width()) * 4;
  const double budget = static_cast<double>(cache_sizes().l2) / 4;
  return static_cast<int>(std::clamp(budget / step_bytes, 1.0, static_cast<double>(s.time)));
}

std::int64_t state_stride(const RecurrentWeights& w) {
  const std::int64_t ld = w.padded_units();
  return ld % 256 == 0 ? ld + w.kernels.lanes : ld;
}

std::int64_t hidden_stride(const RecurrentWeights& w) {
  if (!w.cell.projection) return state_stride(w);
  const std::int64_t ld = w.projection.layout.panels * w.projection.layout.width();
  return ld % 256 == 0 ? ld + w.kernels.lanes : ld;
}

void pad_rows(const float* source, int rows, std::int64_t n, std::int64_t width, std::int64_t ld, float* out) {
  for (int r = 0; r < rows; ++r, out += ld) {
    if (source) std::memcpy(out, source + r * n, static_cast<std::size_t>(n) * sizeof(float));
    std::fill(out + (source ? n : 0), out + width, 0.0f);
  }
}

namespace {

// Rows from which on arithmetic hides the stream of the weights, from L2 and from L3.
constexpr double kRowsHideL2 = 2.5, kRowsHideL3 = 13;

bool fit_l2(double bytes) { return bytes <= 0.7 * static_cast<double>(cache_sizes().l2); }

}  // namespace

bool rows_hide_weights(int rows, double weight_bytes) { return fit_l2(weight_bytes) || rows >= kRowsHideL3; }

Sharing choose_sharing(int threads, int rows, int unit_parts, double weight_bytes) {
  const auto parts_of = [](int n, int groups) { return (n + groups - 1) / groups; };
  // Nanoseconds of one thread's part of a step, at 100 operations a nanosecond: two a weight (4 bytes) and row.
  const auto step_ns = [&](const Sharing& s) {
    const double bytes = weight_bytes * parts_of(unit_parts, s.unit_groups) / unit_parts;
    const double least = fit_l2(bytes) ? kRowsHideL2 : kRowsHideL3;
    return bytes / 200 * std::max<double>(parts_of(rows, s.row_groups), least);
  };
  const int unit_groups = std::min(threads, unit_parts);
  const Sharing apart{std::min(threads, rows), 1}, shared{std::min(rows, threads / unit_groups), unit_groups};
  const double meeting = 3.0 * static_cast<double>(meeting_ns());  // and h moves to the other cores
  return step_ns(apart) <= step_ns(shared) + meeting ? apart : shared;
}

Sharing choose_sharing(int threads, const RecurrentWeights& w, const Sequence& s) {
  return choose_sharing(threads, s.batch, w.cell.layer_norm ? 1 : w.panels(), static_cast<double>(w.step_bytes()));
}

int threads_for_pass(double flops, const RecurrentWeights& w, const Sequence& s) {
  const Sharing share = choose_sharing(threads_for_work(flops), w, s);
  return share.row_groups * share.unit_groups;
}

}  // namespace lstmfast
