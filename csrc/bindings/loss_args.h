// SPDX-License-Identifier: BSD-3-Clause
// Checks of the arguments that all losses share.
#pragma once

#include <optional>

#include "bindings/array_args.h"
#include "kernels/kernel_table.h"
#include "layers/embedding.h"
#include "threading/work.h"

namespace lstmfast {

using LabelArray = py::array_t<std::int64_t, py::array::c_style>;
using OptionalLabels = std::optional<LabelArray>;

// The inputs; the caller sets the outputs. ValueError names the argument.
inline LossArgs loss_args(const FloatArray& prediction, const char* prediction_name, const OptionalLabels& labels,
                          const OptionalFloatArray& target, const char* target_name, const OptionalFloatArray& weight) {
  check_shape(prediction, prediction_name, {-1, -1});
  LossArgs a{};
  a.rows = prediction.shape(0);
  a.columns = prediction.shape(1);
  if (a.columns == 0)
    throw py::value_error(std::string(prediction_name) + ": expected at least one column, got shape " + shape_text(prediction));
  if (labels.has_value() == target.has_value()) throw py::value_error("labels: expected either labels or targets, got both or neither");
  if (target) {
    check_shape(*target, target_name, {a.rows, a.columns});
    a.target = target->data();
  } else {
    check_shape(*labels, "labels", {a.rows});
    a.label = labels->data();
    const std::int64_t bad = first_bad_id(a.label, a.rows, a.columns);
    if (bad >= 0)
      throw py::value_error("labels: expected numbers from 0 to " + std::to_string(a.columns - 1) + ", got " +
                            std::to_string(a.label[bad]) + " at [" + std::to_string(bad) + "]");
  }
  if (weight) {
    check_shape(*weight, "weight", {a.rows});
    a.weight = weight->data();
  }
  a.prediction = prediction.data();
  return a;
}

inline double loss_work(const LossArgs& a) { return static_cast<double>(a.rows) * static_cast<double>(a.columns) * kTranscendentalWork; }

}  // namespace lstmfast
