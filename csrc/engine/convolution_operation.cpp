// SPDX-License-Identifier: BSD-3-Clause
#include "engine/convolution_operation.h"

#include <algorithm>

#include "layers/elementwise.h"

namespace lstmfast {

std::int64_t Conv1DOperation::outputs_of(std::int64_t time) const {
  if (options.padding == Padding::kValid) return time < reach() ? 0 : (time - reach()) / options.stride + 1;
  return time == 0 ? 0 : (time - 1) / options.stride + 1;
}

std::int64_t Conv1DOperation::zeros_before(std::int64_t time) const {
  if (options.padding == Padding::kValid) return 0;
  if (options.padding == Padding::kCausal) return reach() - 1;
  const std::int64_t last = (std::max<std::int64_t>(time, 1) - 1) / options.stride * options.stride;
  return std::max<std::int64_t>(0, last + reach() - std::max<std::int64_t>(time, 1)) / 2;
}

void Conv1DOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  if (x.width != weights->channels())
    refuse("expected " + std::to_string(weights->channels()) + " features, got " + std::to_string(x.width));
  const std::int64_t steps = outputs_of(x.time);
  if (steps == 0) refuse("expected at least " + std::to_string(reach()) + " time steps, got " + std::to_string(x.time));
  Tensor y;
  y.batch = x.batch;
  y.time = static_cast<int>(steps);
  y.width = weights->filters;
  if (x.lengths) {
    std::int32_t* const lengths = run.new_lengths(x.batch);
    for (int b = 0; b < x.batch; ++b) lengths[b] = static_cast<std::int32_t>(outputs_of(x.lengths[b]));
    y.lengths = lengths;
  }
  output(run) = y;
}

Windows Conv1DOperation::windows(const Run& run) const {
  const Tensor &x = input(run), &y = output(run);
  return {x.batch, (y.time - 1) * options.stride + reach(), options.stride, options.dilation, y.time};
}

void Conv1DOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  Windows n = windows(run);
  if (options.padding == Padding::kValid && !x.lengths) {
    n.time = x.time;
    conv1d_forward(*weights, x.data, n, options.activation, y);
  } else {
    // Rows between their zeros. In a stream the steps before this chunk stand in front.
    float* const context = run.states && n_states() ? run.states[state_index] : nullptr;
    const std::int64_t c = x.width, row = n.time * c;
    Arena padded(static_cast<std::size_t>(x.batch * row) * sizeof(float));
    float* const to = reinterpret_cast<float*>(padded.data());
    for (int b = 0; b < x.batch; ++b) {
      const std::int64_t length = x.lengths ? x.lengths[b] : x.time, before = zeros_before(length);
      const std::int64_t steps = std::min(length, n.time - before);
      float* const at = to + b * row;
      if (context) std::copy_n(context + b * before * c, before * c, at);
      else std::fill_n(at, before * c, 0.0f);
      std::copy_n(x.data + static_cast<std::int64_t>(b) * x.time * c, steps * c, at + before * c);
      std::fill(at + (before + steps) * c, at + row, 0.0f);
      if (context) std::copy_n(at + row - before * c, before * c, context + b * before * c);
    }
    conv1d_forward(*weights, to, n, options.activation, y);
  }
  if (options.softmax) softmax_forward(weights->kernels, n.rows(), weights->filters, y, y);
}

double Conv1DOperation::work(const Run& run) const { return weights->work(windows(run)); }

// ---- transposed

void TransposedConvolutionOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  if (x.width != weights_.shape.filters)
    refuse("expected " + std::to_string(weights_.shape.filters) + " features, got " + std::to_string(x.width));
  const std::int64_t steps = outputs_of(x.time);
  if (steps <= 0 || steps > INT32_MAX) refuse("it makes " + std::to_string(steps) + " steps of " + std::to_string(x.time));
  Tensor y = x.with_width(weights_.shape.channels());
  y.time = static_cast<int>(steps);
  if (x.lengths) {
    std::int32_t* const lengths = run.new_lengths(x.batch);
    for (int b = 0; b < x.batch; ++b) lengths[b] = static_cast<std::int32_t>(std::max<std::int64_t>(outputs_of(x.lengths[b]), 0));
    y.lengths = lengths;
  }
  output(run) = y;
}

Windows TransposedConvolutionOperation::windows(const Run& run) const {
  const Tensor &x = input(run), &y = output(run);
  const std::int64_t reached = (x.time - 1) * options_.stride + (weights_.shape.taps - 1) * options_.dilation + 1;
  return {x.batch, std::max<std::int64_t>(reached, options_.cut + y.time), options_.stride, options_.dilation, x.time};
}

void TransposedConvolutionOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const Tensor& out = output(run);
  const Windows n = windows(run);
  const std::int64_t row = n.time * out.width;
  Carver measure;
  const auto place = [&](Carver& memory) {
    float* const reached = memory.take<float>(static_cast<std::size_t>(n.batch * row));
    return std::pair(reached, memory.take<float>(static_cast<std::size_t>(x.lengths ? x.elements() : 0)));
  };
  place(measure);
  Arena arena(measure.bytes());
  Carver memory(arena.data());
  const auto [reached, cleared] = place(memory);
  const float* from = x.data;
  if (x.lengths) {
    std::copy_n(x.data, x.elements(), cleared);
    for (std::int64_t b = 0; b < x.batch; ++b)
      std::fill(cleared + (b * x.time + x.lengths[b]) * x.width, cleared + (b + 1) * x.time * x.width, 0.0f);
    from = cleared;
  }
  conv1d_input_gradient(weights_, n, from, reached);
  float* const y = mutable_data(out);
  for (std::int64_t b = 0; b < x.batch; ++b)
    std::copy_n(reached + b * row + options_.cut * out.width, out.time * out.width, y + b * out.time * out.width);
  if (!bias_.empty())
    for (std::int64_t i = 0; i < out.rows(); ++i) weights_.kernels.accumulate(out.width, bias_.data(), y + i * out.width);
  if (options_.softmax) softmax_forward(weights_.kernels, out.rows(), out.width, y, y);
  else if (options_.activation != Activation::kLinear) activation_forward(weights_.kernels, options_.activation, out.elements(), y, y);
}

double TransposedConvolutionOperation::work(const Run& run) const { return weights_.shape.work(windows(run)); }

}  // namespace lstmfast
