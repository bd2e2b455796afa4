// SPDX-License-Identifier: BSD-3-Clause
#include "engine/attention_operation.h"

#include <algorithm>
#include <cstdlib>

#include "memory/arena.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

bool fits(std::int64_t size, std::int64_t whole) { return size == 1 || size == whole; }

std::string shape_of(std::int64_t steps, std::int64_t keys) { return "(" + std::to_string(steps) + ", " + std::to_string(keys) + ")"; }

}  // namespace

void AttentionOperation::infer(Run& run) const {
  const Tensor &q = input(run), &k = input(run, 1), &v = input(run, 2);
  if (q.time == 0 || k.time == 0 || v.time == 0) refuse("expected inputs of shape (batch, time, features), got 2 axes");
  if (q.lengths || k.lengths || v.lengths) refuse("it does not take lengths, which say nothing of which input they belong to: use masks");
  if (q.batch != k.batch || q.batch != v.batch) refuse("expected inputs of one batch size");
  if (k.time != v.time) refuse("expected as many keys as values, got " + std::to_string(k.time) + " and " + std::to_string(v.time));
  const std::int64_t widths[] = {heads_.heads * heads_.key_size, heads_.key_heads * heads_.key_size, heads_.key_heads * heads_.value_size};
  for (std::size_t i = 0; i < std::size(widths); ++i)
    if (input(run, i).width != widths[i])
      refuse("expected " + std::to_string(widths[i]) + " features, got " + std::to_string(input(run, i).width));
  const auto check = [&](std::int64_t steps, std::int64_t keys) {
    if (!fits(steps, q.time) || !fits(keys, k.time))
      refuse("its attention mask has shape " + shape_of(steps, keys) + ", expected " + shape_of(q.time, k.time));
  };
  if (!visibility_.pairs.empty()) check(visibility_.pair_steps, visibility_.pair_keys);
  if (const Tensor* const mask = given(run)) {
    if (mask->batch != q.batch || mask->time == 0) refuse("expected an attention mask of shape (batch, steps, keys)");
    check(mask->time, mask->width);
  }
  output(run) = q.with_width(heads_.heads * heads_.value_size);
}

AttentionSizes AttentionOperation::sizes(const Run& run) const {
  const Tensor &q = input(run), &k = input(run, 1);
  return {q.batch, q.time, k.time, heads_.heads, heads_.key_heads, heads_.key_size, heads_.value_size};
}

AttentionOperation::Pairs AttentionOperation::pairs(const Run& run) const {
  const Tensor* const mask = given(run);
  const std::uint8_t* const queries = hiding_query_mask(run);
  const bool keys = input(run, 2).mask || (visibility_.key_mask_hides && input(run, 1).mask);
  const bool still = visibility_.causal || visibility_.window > 0 || !visibility_.pairs.empty();
  return {queries || keys || mask, queries || still || (mask && mask->time > 1)};
}

// What depends on steps alone.
void AttentionOperation::see_steps(std::int64_t step, std::int64_t keys, std::uint8_t* seen) const {
  const Visibility& v = visibility_;
  for (std::int64_t key = 0; key < keys; ++key)
    seen[key] = (!v.causal || key <= step) && (v.window == 0 || std::abs(step - key) < v.window);
  if (v.pairs.empty()) return;
  const std::uint8_t* const row = v.pairs.data() + (v.pair_steps > 1 ? step * v.pair_keys : 0);
  for (std::int64_t key = 0; key < keys; ++key) seen[key] &= row[v.pair_keys > 1 ? key : 0];
}

void AttentionOperation::see_row(const Run& run, std::int64_t sample, std::int64_t step, std::int64_t keys, std::uint8_t* seen) const {
  see_steps(step, keys, seen);
  if (const std::uint8_t* const mask = hiding_query_mask(run); mask && !mask[sample * input(run).time + step]) {
    std::fill_n(seen, keys, std::uint8_t{0});
    return;
  }
  const std::uint8_t* const masks[] = {input(run, 2).mask, visibility_.key_mask_hides ? input(run, 1).mask : nullptr};
  for (const std::uint8_t* const mask : masks)
    for (std::int64_t key = 0; mask && key < keys; ++key) seen[key] &= mask[sample * keys + key];
  if (const Tensor* const mask = given(run)) {
    const float* const row = mask->data + (sample * mask->time + (mask->time > 1 ? step : 0)) * mask->width;
    for (std::int64_t key = 0; key < keys; ++key) seen[key] &= row[mask->width > 1 ? key : 0] != 0;
  }
}

void AttentionOperation::attend(const Run& run, AttentionForwardArgs args) const {
  const AttentionSizes& s = args.sizes;
  const auto [by_sample, by_step] = pairs(run);
  const std::int64_t samples = by_sample ? s.batch : 1, steps = by_step ? s.steps : 1;
  Arena arena(static_cast<std::size_t>(by_sample || by_step ? samples * steps * s.keys : 0));
  if (by_sample || by_step) {
    auto* const seen = reinterpret_cast<std::uint8_t*>(arena.data());
    for (std::int64_t sample = 0; sample < samples; ++sample)
      for (std::int64_t step = 0; step < steps; ++step) see_row(run, sample, step, s.keys, seen + (sample * steps + step) * s.keys);
    args.mask = seen;
    args.mask_strides[0] = by_sample ? steps * s.keys : 0;
    args.mask_strides[1] = 0;
    args.mask_strides[2] = by_step ? s.keys : 0;
    args.mask_strides[3] = 1;
  }
  args.v = input(run, 2).data;
  args.zero_blind = visibility_.zero_blind;
  const Tensor& out = output(run);
  float* const context = args.context = mutable_data(out);
  attention_forward(kernels_, args);
  const std::uint8_t* const queries = visibility_.query_mask_hides ? nullptr : input(run).mask;
  for (std::int64_t row = 0; queries && row < out.rows(); ++row)
    if (!queries[row]) std::fill_n(context + row * out.width, out.width, 0.0f);
}

void AttentionOperation::execute(Run& run) const {
  AttentionForwardArgs args{};
  args.sizes = sizes(run);
  args.q = input(run).data;
  args.k = input(run, 1).data;
  args.scale = heads_.scale;
  attend(run, args);
}

void AdditiveAttentionOperation::execute(Run& run) const {
  AttentionForwardArgs args{};
  const AttentionSizes& s = args.sizes = sizes(run);
  const std::int64_t width = s.key_size, count = s.keys * width;
  const float *const q = input(run).data, *const k = input(run, 1).data;
  Arena scores(static_cast<std::size_t>(s.batch * s.scores()) * sizeof(float));
  args.probabilities = reinterpret_cast<float*>(scores.data());
  args.scored = true;
  parallel_for(s.batch * s.steps, threads_for_work(work(run)), [&](std::int64_t begin, std::int64_t end) {
    Arena memory(static_cast<std::size_t>(count) * sizeof(float));
    auto* const h = reinterpret_cast<float*>(memory.data());
    for (std::int64_t row = begin; row < end; ++row) {
      const float *const query = q + row * width, *const keys = k + row / s.steps * count;
      for (std::int64_t key = 0; key < s.keys; ++key)
        for (std::int64_t i = 0; i < width; ++i) h[key * width + i] = (query[i] + keys[key * width + i]) * inner_;
      kernels_.activation_forward(Activation::kTanh, count, h, h);
      dense_forward(outer_, h, s.keys, Activation::kLinear, args.probabilities + row * s.keys);
    }
  });
  attend(run, args);
}

double AdditiveAttentionOperation::work(const Run& run) const {
  const AttentionSizes s = sizes(run);
  return s.work() + kTranscendentalWork * static_cast<double>(s.batch * s.scores()) * static_cast<double>(s.key_size);
}

}  // namespace lstmfast
