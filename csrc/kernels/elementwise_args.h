// SPDX-License-Identifier: BSD-3-Clause
// Arguments of the kernels that are not matrix products or cells; part of kernel_table.h.
#pragma once

// Rows of predictions to losses and gradients. Each row's result depends on nothing but the row.
struct LossArgs {
  std::int64_t rows, columns;
  const float* prediction;    // (rows, columns) logits, or values for the squared error
  const float* target;        // (rows, columns), or null: label
  const std::int64_t* label;  // [rows], 0 <= label < columns; softmax_cross_entropy only
  const float* weight;        // [rows] factor of each row's gradient (not of its loss), or null
  float* loss;                // [rows]
  float* gradient;            // (rows, columns) d loss / d prediction, times weight; may be prediction
  float* output;              // (rows, columns) probabilities; null for the squared error
};

struct SgdArgs {
  std::int64_t n;
  float* value;
  const float* gradient;
  float* velocity;  // null: no momentum
  float learning_rate, momentum;
  bool nesterov;
};

struct AdamArgs {
  std::int64_t n;
  float* value;
  const float* gradient;
  float *mean, *variance;  // running means of g and g^2
  float step;              // learning rate with both bias corrections
  float one_minus_beta_1, one_minus_beta_2;
  float epsilon;
};

// Elements [begin, end) of a random mask: `below` with probability threshold / 2^32, else `above`. Element i is a function of
// key, stream and i alone (kernels/random-inl.h).
struct RandomMaskArgs {
  std::uint64_t key;
  std::uint32_t stream[3];
  std::int64_t begin, end;  // end <= 2^34
  std::uint32_t threshold;
  float below, above;
  const float* x;  // times the mask; or null for the mask itself
  float* y;        // element i to y[i]; may be x
};

constexpr std::uint32_t mask_threshold(double probability) {
  const double scaled = probability * 0x1p32;
  return scaled <= 0 ? 0 : scaled >= 0x1p32 - 1 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(scaled);
}

// What KernelTable::math evaluates: for tests and benchmarks of simd/math-inl.h.
enum class MathFunction : int { kTanh, kSigmoidOfHalf, kSigmoid, kExp, kExpm1, kLog, kLog1pUnit, kSoftplus, kNormalCdf, kCount };
