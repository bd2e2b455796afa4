// SPDX-License-Identifier: BSD-3-Clause
// The operations that treat each row (or step) on its own.
#include <algorithm>
#include <stdexcept>

#include "engine/operation.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "threading/work.h"

namespace lstmfast {
// ---- dense

void DenseOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.width != weights->k) refuse("expected " + std::to_string(weights->k) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(weights->n);
}

void DenseOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  dense_forward(*weights, x.data, x.rows(), activation, y);
  if (softmax) softmax_forward(weights->kernels, x.rows(), weights->n, y, y);
}

double DenseOperation::work(const Run& run) const {
  return 2.0 * static_cast<double>(input(run).rows()) * static_cast<double>(weights->k) * static_cast<double>(weights->n);
}

// ---- activation

void ActivationOperation::infer(Run& run) const { output(run) = input(run).with_width(input(run).width); }

void ActivationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  float* const y = mutable_data(output(run));
  if (softmax) softmax_forward(kernels, x.rows(), x.width, x.data, y);
  else activation_forward(kernels, activation, x.elements(), x.data, y);
}

double ActivationOperation::work(const Run& run) const { return kTranscendentalWork * static_cast<double>(input(run).elements()); }

// ---- embedding

EmbeddingOperation::EmbeddingOperation(std::vector<int> in, std::vector<int> out, std::string layer, const float* table,
                                       std::int64_t vocabulary, std::int64_t width, bool mask_zero)
    : SimpleOperation(std::move(in), std::move(out), std::move(layer)),
      table_(table, table + vocabulary * width),
      vocabulary_(vocabulary),
      width_(width),
      mask_zero_(mask_zero) {}

void EmbeddingOperation::infer(Run& run) const {
  const Tensor& ids = input(run);
  if (!ids.holds_ids()) refuse("expected integer ids");
  output(run) = ids.with_width(width_);
  if (ids.made_ids > 0) {
    if (ids.made_ids > vocabulary_)
      refuse("expected ids from 0 to " + std::to_string(vocabulary_ - 1) + ", and may get " + std::to_string(ids.made_ids - 1));
    return;
  }
  const std::int64_t bad = ids.ids32 ? first_bad_id(ids.ids32, ids.rows(), vocabulary_) : first_bad_id(ids.ids64, ids.rows(), vocabulary_);
  if (bad >= 0)
    refuse("expected ids from 0 to " + std::to_string(vocabulary_ - 1) + ", got " +
           std::to_string(ids.ids32 ? ids.ids32[bad] : ids.ids64[bad]));
}

void EmbeddingOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  SimpleOperation::place_outputs(run, memory, first_output);
  Tensor& out = output(run);
  out.mask = mask_zero_ && out.time ? memory.take<std::uint8_t>(static_cast<std::size_t>(out.rows())) : nullptr;
}

template <class Id>
void EmbeddingOperation::look_up(const Id* ids, Tensor& out) const {
  embedding_forward(table_.data(), width_, ids, out.rows(), mutable_data(out));
  if (!mask_zero_ || !out.time) return;
  std::uint8_t* const mask = const_cast<std::uint8_t*>(out.mask);
  for (std::int64_t i = 0; i < out.rows(); ++i) mask[i] = ids[i] != 0;
}

void EmbeddingOperation::execute(Run& run) const {
  const Tensor& ids = input(run);
  if (ids.ids32) look_up(ids.ids32, output(run));
  else look_up(ids.ids64, output(run));
}

double EmbeddingOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).rows() * width_); }

// ---- masking

void MaskingOperation::infer(Run& run) const {
  if (input(run).time == 0) refuse("expected an input of shape (batch, time, features), got 2 axes");
  output(run) = input(run).with_width(input(run).width);
}

void MaskingOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  Tensor& out = output(run);
  if (clears_ || first_output) SimpleOperation::place_outputs(run, memory, first_output);
  else out.data = input(run).data;
  out.mask = memory.take<std::uint8_t>(static_cast<std::size_t>(out.rows()));
}

void MaskingOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  Tensor& out = output(run);
  std::uint8_t* const mask = const_cast<std::uint8_t*>(out.mask);
  for (std::int64_t row = 0; row < x.rows(); ++row) {
    const float* const from = x.data + row * x.width;
    mask[row] = std::any_of(from, from + x.width, [this](float v) { return v != value_; });
    if (out.data == x.data) continue;
    float* const to = mutable_data(out) + row * x.width;
    if (mask[row] || value_ == 0) std::copy_n(from, x.width, to);  // as it is: zeros have signs
    else std::fill_n(to, x.width, 0.0f);
  }
}

double MaskingOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(input(run).elements()); }

// ---- concatenate

void ConcatenateOperation::infer(Run& run) const {
  std::int64_t width = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = input(run, i);
    if (x.batch != input(run).batch || x.time != input(run).time) refuse("expected inputs of the same batch and time");
    width += x.width;
  }
  Tensor& y = output(run) = input(run).with_width(width);
  for (std::size_t i = 1; i < inputs.size(); ++i)
    if (!y.lengths) y.lengths = input(run, i).lengths;
}

void ConcatenateOperation::place_outputs(Run& run, Placer& memory, float* first_output) const {
  SimpleOperation::place_outputs(run, memory, first_output);
  const std::uint8_t* const mask = memory.take<std::uint8_t>(static_cast<std::size_t>(output(run).rows()));
  bool masked = true;  // an input without a mask counts everywhere
  for (std::size_t i = 0; i < inputs.size(); ++i) masked &= input(run, i).mask != nullptr;
  output(run).mask = masked ? mask : nullptr;
}

void ConcatenateOperation::execute(Run& run) const {
  Tensor& out = output(run);
  std::uint8_t* const mask = const_cast<std::uint8_t*>(out.mask);
  if (mask) std::fill_n(mask, out.rows(), std::uint8_t{0});
  std::int64_t column = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = input(run, i);
    for (std::int64_t row = 0; row < x.rows(); ++row)
      std::copy_n(x.data + row * x.width, x.width, mutable_data(out) + row * out.width + column);
    if (mask)
      for (std::int64_t row = 0; row < x.rows(); ++row) mask[row] |= x.mask[row];
    column += x.width;
  }
}

double ConcatenateOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

}  // namespace lstmfast
