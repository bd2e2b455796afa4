// SPDX-License-Identifier: BSD-3-Clause
// Keras's names of the activations that kernels know.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "kernels/kernel_table.h"

namespace lstmfast {

inline constexpr const char* kActivationNames[] = {"linear",      "relu",       "sigmoid",   "tanh",     "hard_sigmoid", "elu",
                                                   "selu",        "gelu",       "gelu_tanh", "silu",     "softplus",     "softsign",
                                                   "exponential", "leaky_relu", "relu6",     "hard_tanh"};
static_assert(std::size(kActivationNames) == static_cast<std::size_t>(Activation::kCount));

inline Activation activation_named(const std::string& name, const char* argument) {
  for (int i = 0; i < static_cast<int>(Activation::kCount); ++i)
    if (name == kActivationNames[i]) return static_cast<Activation>(i);
  throw pybind11::value_error(std::string(argument) + ": no native activation is called '" + name + "'");
}

}  // namespace lstmfast
