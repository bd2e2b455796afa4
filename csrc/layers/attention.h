// SPDX-License-Identifier: BSD-3-Clause
// Scaled dot-product attention (Vaswani et al. 2017) of several heads: softmax(scale q k^T) v.
//
// Queries are (batch, steps, heads, size), keys and values (batch, keys, key_heads, size): adjacent heads of the queries share one
// of the keys where there are fewer of those. Heads of a sample are products of their own, dealt to threads: what one gives
// depends neither on the batch nor on the number of threads.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace lstmfast {

struct AttentionSizes {
  std::int64_t batch, steps, keys, heads, key_heads, key_size, value_size;
  std::int64_t scores() const { return steps * keys; }  // of one head of one sample
  double work() const;                                  // of the forward pass, as threads_for_work counts
};

struct AttentionForwardArgs {
  AttentionSizes sizes;
  const float *q, *k, *v;
  float scale;
  // (batch, heads, steps, keys) of bytes with these strides, 0 for a score that does not count; or null. All scores of a step
  // that sees nothing are equal: its weights are too, or 0 with zero_blind.
  const std::uint8_t* mask;
  std::int64_t mask_strides[4];
  bool zero_blind;
  const float* drop;     // factors of the weights, (batch, heads, steps, keys), or null
  float* probabilities;  // (batch, heads, steps, keys), or null
  float* context;        // (batch, steps, heads, value_size)
  bool scored = false;   // probabilities come as scores; q, k and scale are not read
};

struct AttentionBackwardArgs {
  AttentionSizes sizes;
  const float *q, *k, *v;
  float scale;
  const float *drop, *probabilities;
  const float* dcontext;        // or null
  const float* dprobabilities;  // or null
  float *dq, *dk, *dv;
};

void attention_forward(const KernelTable& kernels, const AttentionForwardArgs& args);
void attention_backward(const KernelTable& kernels, const AttentionBackwardArgs& args);

}  // namespace lstmfast
