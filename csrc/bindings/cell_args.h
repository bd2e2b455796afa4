// SPDX-License-Identifier: BSD-3-Clause
// The weights of a recurrent cell from arrays.
#pragma once

#include <string>
#include <vector>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "recurrent/recurrent_weights.h"

namespace lstmfast {

// Checks the weights that a cell has beside the three, or their gradients, whose names begin with `prefix`.
inline void check_extra(const CellSpec& cell, int units, int outputs, const std::vector<FloatArray>& given, const char* argument,
                        const std::string& prefix) {
  const std::vector<ExtraWeight> expected = extra_weights(cell, units, outputs);
  if (given.size() != expected.size())
    throw py::value_error(std::string(argument) + ": expected " + std::to_string(expected.size()) + " arrays for cell '" + cell.name +
                          "', got " + std::to_string(given.size()));
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string name = prefix + expected[i].name;
    if (expected[i].rows) check_shape(given[i], name.c_str(), {expected[i].rows, expected[i].columns});
    else check_shape(given[i], name.c_str(), {expected[i].columns});
  }
}

// Packed; the arrays must outlive them where a backward pass is to come. ValueError names the argument.
inline RecurrentWeights packed_cell(const KernelTable& kernels, const std::string& cell, const FloatArray& kernel,
                                    const FloatArray& recurrent_kernel, const OptionalFloatArray& bias, const std::string& activation,
                                    const std::string& recurrent_activation, const std::vector<FloatArray>& extra) {
  const CellSpec& spec = cell_spec(cell);
  check_shape(recurrent_kernel, "recurrent_kernel", {-1, -1});
  // h has as many elements as the recurrent kernel has rows: the units, unless it is a projection of them.
  const py::ssize_t outputs = recurrent_kernel.shape(0), units = spec.projection ? recurrent_kernel.shape(1) / spec.gates : outputs;
  const py::ssize_t columns = units * spec.gates;
  check_shape(recurrent_kernel, "recurrent_kernel", {outputs, columns});
  check_shape(kernel, "kernel", {-1, columns});
  if (bias && spec.biases == 1) check_shape(*bias, "bias", {columns});
  if (bias && spec.biases == 2) check_shape(*bias, "bias", {2, columns});
  if (outputs == 0) throw py::value_error("recurrent_kernel: expected a shape without zeros, got " + shape_text(recurrent_kernel));
  if (units == 0 || kernel.shape(0) == 0) throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  check_extra(spec, static_cast<int>(units), static_cast<int>(outputs), extra, "extra", "");
  std::vector<const float*> extra_data;
  extra_data.reserve(extra.size());
  for (const FloatArray& e : extra) extra_data.push_back(e.data());
  return RecurrentWeights(kernels, spec, kernel.data(), recurrent_kernel.data(), bias ? bias->data() : nullptr,
                          static_cast<int>(kernel.shape(0)), static_cast<int>(units), activation_named(activation, "activation"),
                          activation_named(recurrent_activation, "recurrent_activation"), extra_data, static_cast<int>(outputs));
}

}  // namespace lstmfast
