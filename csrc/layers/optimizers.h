// SPDX-License-Identifier: BSD-3-Clause
// One call updates all parameters of a model: many small arrays are walked as if they were one.
#pragma once

#include <vector>

#include "kernels/kernel_table.h"

namespace lstmfast {

struct Parameter {
  std::int64_t size;
  float* value;
  float* gradient;
  std::vector<float*> slots;  // an optimizer's running means; each [size]
};

class ParameterSet {
 public:
  ParameterSet(const KernelTable& kernels, std::vector<Parameter> parameters);

  std::int64_t size() const { return offsets_.back(); }  // elements of all parameters

  // Norms of the gradients. Summed in an order that depends on the sizes alone; right even where a float's square
  // overflows or vanishes.
  std::vector<double> norms() const;
  double global_norm() const;

  void scale_gradients(double factor);                       // all
  void scale_gradients(const std::vector<double>& factors);  // one factor a parameter
  void clip_gradients(float limit);                          // to -limit..limit

  // Slot 0 is the velocity; not touched when the momentum is 0.
  void sgd(float learning_rate, float momentum, bool nesterov);
  // Slots 0 and 1 are the means of g and g^2. `step` is learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t).
  void adam(float step, float one_minus_beta_1, float one_minus_beta_2, float epsilon);

 private:
  std::vector<double> sums_of_squares() const;
  template <class F>
  void for_parts(double work, F&& f) const;

  const KernelTable& kernels_;
  std::vector<Parameter> parameters_;
  std::vector<std::int64_t> offsets_;  // of each parameter in the concatenation of all; the last entry is the total
};

}  // namespace lstmfast
