// SPDX-License-Identifier: BSD-3-Clause
#include "layers/conv1d.h"

#include <algorithm>

#include "gemm/gemm.h"
#include "layers/weight_gradient.h"
#include "memory/arena.h"
#include "threading/parallel.h"

namespace lstmfast {
namespace {

// Where each window starts, group 0.
void point_to_windows(const float** rows, const float* x, std::int64_t channels, const Windows& n) {
  for (std::int64_t b = 0; b < n.batch; ++b)
    for (std::int64_t t = 0; t < n.outputs; ++t) *rows++ = x + (b * n.time + t * n.stride) * channels;
}

// A's depth as `taps` runs of `width` floats, `step` apart; one run where they are adjacent.
void address_taps(GemmArgs& g, std::int64_t width, std::int64_t step) {
  if (step == width || g.k == width) return;
  g.k_block = width;
  g.a_block_stride = step;
  g.b_block_stride = width * g.b_stride;
}

PackedMatrix pack_phase(const KernelTable& kernels, const Conv1DShape& shape, const float* kernel, std::int64_t stride, std::int64_t phase,
                        std::int64_t taps, std::int64_t group) {
  const std::int64_t f = shape.group_filters(), c = shape.group_channels;
  Buffer transposed(static_cast<std::size_t>(taps * f * c));
  for (std::int64_t j = 0; j < taps; ++j) {
    const std::int64_t tap = phase + (taps - 1 - j) * stride;
    float* const to = transposed.data() + j * f * c;
    for (std::int64_t channel = 0; channel < c; ++channel) {
      const float* const from = kernel + (tap * c + channel) * shape.filters + group * f;
      for (std::int64_t filter = 0; filter < f; ++filter) to[filter * c + channel] = from[filter];
    }
  }
  return pack(kernels, PanelLayout::plain(kernels, c), transposed.data(), taps * f, c, nullptr, nullptr);
}

std::size_t bytes_of(const std::vector<PackedMatrix>& matrices) {
  std::size_t total = 0;
  for (const PackedMatrix& m : matrices) total += m.bytes();
  return total;
}

}  // namespace

double Conv1DShape::work(const Windows& n) const {
  return 2.0 * static_cast<double>(n.rows()) * static_cast<double>(taps * group_channels) * static_cast<double>(filters);
}

Conv1DTransposed::Conv1DTransposed(const KernelTable& table, const Conv1DShape& of, const float* kernel, std::int64_t stride_)
    : kernels(table), shape(of), stride(stride_) {
  for (std::int64_t phase = 0; phase < std::min(stride, shape.taps); ++phase)
    for (std::int64_t group = 0; group < shape.groups; ++group)
      phases.push_back(pack_phase(table, shape, kernel, stride, phase, phase_taps(phase), group));
}

std::size_t Conv1DTransposed::bytes() const { return bytes_of(phases); }

Conv1DWeights::Conv1DWeights(const KernelTable& table, const float* kernel, const float* bias, std::int64_t taps_, std::int64_t channels_,
                             std::int64_t filters_, std::int64_t groups_)
    : Conv1DShape{taps_, channels_, filters_, groups_}, kernels(table), source_(kernel) {
  const PanelLayout layout = PanelLayout::plain(table, group_filters());
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t column = group * group_filters();
    forward.push_back(pack(table, layout, kernel + column, taps * group_channels, filters, bias ? bias + column : nullptr, nullptr));
  }
}

std::size_t Conv1DWeights::bytes() const { return bytes_of(forward); }

const Conv1DTransposed& Conv1DWeights::transposed(std::int64_t stride) const {
  const std::lock_guard<std::mutex> lock(transposing_);
  const auto found = transposed_.find(stride);
  return found != transposed_.end() ? found->second : transposed_.try_emplace(stride, kernels, *this, source_, stride).first->second;
}

void conv1d_forward(const Conv1DWeights& w, const float* x, const Windows& n, Activation activation, float* y) {
  Arena arena(static_cast<std::size_t>(n.rows()) * sizeof(float*));
  const float** const rows = reinterpret_cast<const float**>(arena.data());
  point_to_windows(rows, x, w.channels(), n);
  parallel_for(
      n.rows(), threads_for_work(w.work(n)),
      [&](std::int64_t begin, std::int64_t end) {
        // A few hundred rows at a time, so that the activation finds them in the cache.
        constexpr std::int64_t kRows = 240;
        for (std::int64_t row = begin; row < end; row += kRows) {
          const std::int64_t count = std::min(kRows, end - row);
          float* const part = y + row * w.filters;
          for (std::int64_t group = 0; group < w.groups; ++group) {
            const PackedMatrix& m = w.forward[static_cast<std::size_t>(group)];
            GemmArgs g{};
            m.layout.address_columns(g);
            m.address_panels(g, 0, m.layout.panels);
            address_taps(g, w.group_channels, n.dilation * w.channels());
            g.rows = static_cast<int>(count);
            g.a = rows + row;
            g.a_offset = group * w.group_channels;
            g.c = part + group * w.group_filters();
            g.ldc = w.filters;
            gemm_blocked(w.kernels, g);
          }
          if (activation != Activation::kLinear) w.kernels.activation_forward(activation, count * w.filters, part, part);
        }
      },
      6);
}

void conv1d_backward(const Conv1DWeights& w, const float* x, const Windows& n, const float* dz, float* dkernel, float* dbias,
                     bool accumulate, float* dx) {
  const int threads = threads_for_work(w.work(n));
  if (dx) conv1d_input_gradient(w.transposed(n.stride), n, dz, dx);
  std::vector<const float*> rows(static_cast<std::size_t>(n.rows()));
  for (std::int64_t group = 0; group < w.groups; ++group) {
    const std::int64_t column = group * w.group_filters();
    point_to_windows(rows.data(), x + group * w.group_channels, w.channels(), n);
    const FeatureRows features{rows.data(), n.rows(), w.taps, w.group_channels, n.dilation * w.channels()};
    weight_gradient(w.kernels, w.forward[static_cast<std::size_t>(group)].layout, features, dz + column, w.filters, dkernel + column,
                    dbias ? dbias + column : nullptr, accumulate, threads);
  }
}

void conv1d_input_gradient(const Conv1DTransposed& t, const Windows& n, const float* dz, float* dx) {
  const Conv1DShape& w = t.shape;
  const int threads = threads_for_work(w.work(n));
  // dz between zeros, so that windows of it exist for every step of x.
  const std::int64_t most_steps = (n.time + n.stride - 1) / n.stride;
  const std::int64_t before = (t.phase_taps(0) - 1) * n.dilation, after = std::max<std::int64_t>(0, most_steps - n.outputs);
  const std::int64_t length = before + n.outputs + after;
  Buffer padded(static_cast<std::size_t>(n.batch * length * w.filters));
  for (std::int64_t b = 0; b < n.batch; ++b) {
    float* const to = padded.data() + b * length * w.filters;
    std::fill_n(to, before * w.filters, 0.0f);
    std::copy_n(dz + b * n.outputs * w.filters, n.outputs * w.filters, to + before * w.filters);
    std::fill_n(to + (before + n.outputs) * w.filters, after * w.filters, 0.0f);
  }
  std::vector<const float*> rows(static_cast<std::size_t>(n.batch * most_steps));
  std::vector<std::int32_t> places(rows.size());
  for (std::int64_t phase = 0; phase < n.stride; ++phase) {
    const std::int64_t taps = t.phase_taps(phase);
    const std::int64_t steps = phase < n.time ? (n.time - phase + n.stride - 1) / n.stride : 0;
    std::int64_t count = 0;
    for (std::int64_t b = 0; b < n.batch; ++b)
      for (std::int64_t q = 0; q < steps; ++q, ++count) {
        const std::int64_t step = b * n.time + q * n.stride + phase;
        const std::int64_t start = b * length + before + q - (taps - 1) * n.dilation;
        rows[static_cast<std::size_t>(count)] = padded.data() + start * w.filters;
        places[static_cast<std::size_t>(count)] = static_cast<std::int32_t>(step);
        if (taps == 0) std::fill_n(dx + step * w.channels(), w.channels(), 0.0f);
      }
    if (taps == 0 || count == 0) continue;
    for (std::int64_t group = 0; group < w.groups; ++group) {
      const PackedMatrix& m = t.packed(phase, group);
      parallel_for(
          count, threads,
          [&](std::int64_t begin, std::int64_t end) {
            GemmArgs g{};
            m.layout.address_columns(g);
            m.address_panels(g, 0, m.layout.panels);
            address_taps(g, w.group_filters(), n.dilation * w.filters);
            g.rows = static_cast<int>(end - begin);
            g.a = rows.data() + begin;
            g.a_offset = group * w.group_filters();
            g.c = dx + group * w.group_channels;
            g.c_row = places.data() + begin;
            g.ldc = w.channels();
            gemm_blocked(t.kernels, g);
          },
          6);
    }
  }
}

}  // namespace lstmfast
