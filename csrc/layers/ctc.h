// SPDX-License-Identifier: BSD-3-Clause
// Connectionist temporal classification (Graves et al. 2006): the loss of label sequences whose places in time are not
// known, and the decoding of its outputs. Sequences are dealt out to threads; each one's result depends on it alone.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace lstmfast {

struct CtcArgs {
  std::int64_t batch, time, classes, max_labels;
  const float* logits;               // (B, T, C)
  const std::int64_t* labels;        // (B, max_labels): of row b the first label_length[b] count; none is the blank
  const std::int64_t* label_length;  // [B]
  const std::int64_t* input_length;  // [B] steps that count
  std::int64_t blank;
  const float* weight;  // [B] factor of each sequence's gradient (not of its loss), or null
  float* loss;          // [B] -log p(labels | logits); infinite where the labels do not fit into the steps
  float* gradient;      // (B, T, C) d loss / d logits; NaN where the loss is not finite; 0 beyond the steps. Or null
};
void ctc_loss(const KernelTable& kernels, const CtcArgs& args);

struct CtcBeamArgs {
  std::int64_t batch, time, classes;
  const float* logits;               // (B, T, C)
  const std::int64_t* input_length;  // [B]
  std::int64_t blank, beam_width, top_paths;
  std::int32_t* paths;  // (top_paths, B, T) best first, filled up with -1
  float* scores;        // (B, top_paths) log-probabilities; -infinity where there are fewer paths
};
// Prefix beam search (Graves 2012, section 7.5.3; Hannun et al. 2014): labellings that end in the blank and in a label
// are counted apart, and the best beam_width by their sum are kept after each step. Throws std::bad_alloc.
void ctc_beam_search(const KernelTable& kernels, const CtcBeamArgs& args);

}  // namespace lstmfast
