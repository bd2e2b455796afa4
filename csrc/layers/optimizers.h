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

  // `slot` collects gradients; release makes them factor times their sum with the slot and empties it.
  void hold_gradients(int slot);
  void release_gradients(int slot, double factor);

  void scale_values(const std::vector<double>& factors);  // one factor a parameter
  void average_values(int slot, float keep);              // the slot becomes keep slot + (1 - keep) value

  // Updates. Of `args` only the numbers count; which slots each uses stands at its struct.
  void sgd(const SgdArgs& args) { update(kernels_.sgd, args); }
  void adam(const AdamArgs& args) { update(kernels_.adam, args); }
  void adamax(const AdamaxArgs& args) { update(kernels_.adamax, args); }
  void nadam(const NadamArgs& args) { update(kernels_.nadam, args); }
  void lion(const LionArgs& args) { update(kernels_.lion, args); }
  void rmsprop(const RmspropArgs& args) { update(kernels_.rmsprop, args); }
  void adagrad(const AdagradArgs& args) { update(kernels_.adagrad, args); }
  void adadelta(const AdadeltaArgs& args) { update(kernels_.adadelta, args); }

 private:
  std::vector<double> sums_of_squares() const;
  template <class F>
  void for_parts(double work, F&& f) const;
  template <class Args>
  void update(void (*kernel)(const Args&), const Args& args) const;

  const KernelTable& kernels_;
  std::vector<Parameter> parameters_;
  std::vector<std::int64_t> offsets_;  // of each parameter in the concatenation of all; the last entry is the total
};

}  // namespace lstmfast
