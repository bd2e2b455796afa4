// SPDX-License-Identifier: BSD-3-Clause
#include "engine/mask_operations.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {
namespace {

// What passes a tensor on: the same memory, unless it is the caller's that is to be written.
void pass(const Tensor& x, Tensor& out, const float* first_output) {
  out.data = first_output ? first_output : x.data;
  out.mask = x.mask;
}

void copy_if_apart(const Tensor& x, const Tensor& out) {
  if (out.data != x.data) std::copy_n(x.data, x.elements(), const_cast<float*>(out.data));
}

double pass_work(const Tensor& x) { return kStreamWork * static_cast<double>(x.elements()); }

}  // namespace

// ---- as numbers

void MaskValuesOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time == 0) refuse("expected an input with a time axis");
  Tensor y;
  y.batch = x.batch;
  y.width = x.time;
  output(run) = y;
}

void MaskValuesOperation::execute(Run& run) const {
  const std::uint8_t* const mask = input(run).mask;
  float* const y = mutable_data(output(run));
  for (std::int64_t i = 0; i < output(run).elements(); ++i) y[i] = !mask || mask[i] ? 1.0f : 0.0f;
}

double MaskValuesOperation::work(const Run& run) const { return pass_work(output(run)); }

// ---- comparison

void DiffersOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  const bool ids = x.holds_ids();
  if (ids && x.time == 0) refuse("expected ids of shape (batch, time), got 1 axis");
  Tensor& y = output(run) = x.with_width(ids ? x.time : x.width);
  if (!ids) return;
  y.time = 0;
  y.lengths = nullptr;
}

void DiffersOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  const auto compare = [&](const auto* values) {
    for (std::int64_t i = 0; i < output(run).elements(); ++i) y[i] = static_cast<double>(values[i]) != value_ ? 1.0f : 0.0f;
  };
  if (x.ids32) compare(x.ids32);
  else if (x.ids64) compare(x.ids64);
  else compare(x.data);
}

double DiffersOperation::work(const Run& run) const { return pass_work(output(run)); }

// ---- another tensor's

void CarryMaskOperation::infer(Run& run) const {
  const Tensor &x = input(run), &from = input(run, 1);
  if (x.batch != from.batch) refuse("expected inputs of one batch size");
  output(run) = x.with_width(x.width);
}

void CarryMaskOperation::place_outputs(Run& run, Placer& /*memory*/, float* first_output) const {
  const Tensor& from = input(run, 1);
  Tensor& out = output(run);
  pass(input(run), out, first_output);
  if (out.mask || !from.mask || out.time == 0) return;
  if (out.time != from.time) refuse("a mask of " + std::to_string(from.time) + " steps goes on to " + std::to_string(out.time));
  out.mask = from.mask;
}

void CarryMaskOperation::execute(Run& run) const { copy_if_apart(input(run), output(run)); }

double CarryMaskOperation::work(const Run& run) const { return pass_work(input(run)); }

// ---- from numbers

void GiveMaskOperation::infer(Run& run) const {
  const Tensor &x = input(run), &mask = input(run, 1);
  if (x.time == 0 || mask.time != 0 || mask.batch != x.batch || mask.width != x.time)
    refuse("expected a mask with a number for each step of (" + std::to_string(x.batch) + ", " + std::to_string(x.time) + ")");
  output(run) = x.with_width(x.width);
}

void GiveMaskOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  Tensor& out = output(run);
  pass(input(run), out, first_output);
  out.mask = memory.take<std::uint8_t>(static_cast<std::size_t>(out.rows()));
}

void GiveMaskOperation::execute(Run& run) const {
  copy_if_apart(input(run), output(run));
  auto* const mask = const_cast<std::uint8_t*>(output(run).mask);
  const float* const values = input(run, 1).data;
  for (std::int64_t i = 0; i < output(run).rows(); ++i) mask[i] = values[i] != 0;
}

double GiveMaskOperation::work(const Run& run) const { return pass_work(input(run)); }

// ---- none

void RefuseMaskOperation::infer(Run& run) const { output(run) = input(run).with_width(input(run).width); }

void RefuseMaskOperation::place_outputs(Run& run, Placer& /*memory*/, float* first_output) const {
  if (input(run, 1).mask) refuse("it was frozen for inputs without a mask, and got one");
  pass(input(run), output(run), first_output);
}

void RefuseMaskOperation::execute(Run& run) const { copy_if_apart(input(run), output(run)); }

double RefuseMaskOperation::work(const Run& run) const { return pass_work(input(run)); }

}  // namespace lstmfast
