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

// Rows normalized by themselves: (x - mean) * scale, scale = 1/sqrt(variance + epsilon); not centered: without the mean, and with
// the mean square for the variance.
struct LayerNormArgs {
  std::int64_t rows, columns;
  const float* x;      // (rows, columns)
  const float* gamma;  // [columns], or null for 1
  const float* beta;   // [columns], or null for 0
  float epsilon;
  bool centered;
  float* y;        // (rows, columns); may be x
  float* moments;  // [row][mean (0 if not centered), scale], or null
  bool far;        // the arrays do not fit the caches
};

struct LayerNormBackwardArgs {
  std::int64_t rows, columns;
  const float* x;
  const float* dy;
  const float* gamma;    // as in the forward pass
  const float* moments;  // of the forward pass
  bool centered;
  float* dx;      // (rows, columns), or null; may be dy
  float* dgamma;  // [columns] sums over rows, added to, in the order of the rows
  float* dbeta;
  bool far;  // as in the forward pass
};

// Sums over the rows that count, added to `first` and `second`: of d = x - mean and of d^2; with dy, of dy and of dy * d * scale.
struct ColumnSumsArgs {
  std::int64_t rows, columns;
  const float* x;
  const float* dy;             // or null
  const float* mean;           // [columns]
  const float* scale;          // [columns], only with dy
  const std::uint8_t* counts;  // [rows], or null for all
  float *first, *second;
};

// Columns normalized with given means and scales: y = (x - mean) * scale * gamma + beta.
struct BatchNormArgs {
  std::int64_t rows, columns;
  const float* x;
  const float *mean, *scale;  // [columns]
  const float *gamma, *beta;  // [columns], or null for 1 and 0
  float* y;
};

// dx = by_dy * dy - (constant + by_normal * (x - mean) * scale), the latter only in rows that count.
struct BatchNormBackwardArgs {
  std::int64_t rows, columns;
  const float* x;
  const float* dy;
  const float *mean, *scale;                  // [columns]
  const std::uint8_t* counts;                 // [rows], or null for all
  const float *by_dy, *by_normal, *constant;  // [columns]
  float* dx;
};

// What every optimizer's update gets: elements of one parameter, and the running means that belong to them, in the
// order that each kernel names.
inline constexpr int kUpdateSlots = 3;
struct UpdateArgs {
  std::int64_t n;
  float* value;
  const float* gradient;
  float* slot[kUpdateSlots];
};

// Velocity; not touched where the momentum is 0.
struct SgdArgs : UpdateArgs {
  float learning_rate, momentum;
  bool nesterov;
};

// Decay of the running means of g and of g^2.
struct MomentArgs : UpdateArgs {
  float beta_1, beta_2, one_minus_beta_1, one_minus_beta_2;
  float epsilon;
};

// Running means of g and g^2; with amsgrad the largest of the latter so far.
struct AdamArgs : MomentArgs {
  float step;  // learning rate with both bias corrections
  bool amsgrad;
};

// Running mean of g, and the largest |g|.
struct AdamaxArgs : MomentArgs {
  float step;  // learning rate with the mean's bias correction
};

// Running means of g and g^2.
struct NadamArgs : MomentArgs {
  float mean_step, gradient_step;  // learning rate times what the mean and the gradient weigh in a step
  float variance_correction;
};

// Running mean of g.
struct LionArgs : MomentArgs {
  float learning_rate;
};

// Running mean of g^2; then the last step where momentum > 0; then the running mean of g where centered.
struct RmspropArgs : UpdateArgs {
  float learning_rate, rho, one_minus_rho, momentum, epsilon;
  bool centered;
};

// Sum of g^2.
struct AdagradArgs : UpdateArgs {
  float learning_rate, epsilon;
};

// Running means of g^2 and of the squared steps.
struct AdadeltaArgs : UpdateArgs {
  float learning_rate, rho, one_minus_rho, epsilon;
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
