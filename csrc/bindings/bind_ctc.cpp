// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <string>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/ctc.h"

namespace lstmfast {
namespace {

using Integers = py::array_t<std::int64_t, py::array::c_style>;

void check_lengths(const Integers& lengths, const char* name, py::ssize_t batch, py::ssize_t most) {
  check_shape(lengths, name, {batch});
  for (py::ssize_t b = 0; b < batch; ++b)
    if (lengths.data()[b] < 0 || lengths.data()[b] > most)
      throw py::value_error(std::string(name) + "[" + std::to_string(b) + "]: expected 0 to " + std::to_string(most) + ", got " +
                            std::to_string(lengths.data()[b]));
}

void check_logits(const FloatArray& logits, std::int64_t blank) {
  check_shape(logits, "logits", {-1, -1, -1});
  if (logits.shape(2) < 1) throw py::value_error("logits: expected at least one class, got shape " + shape_text(logits));
  if (blank < 0 || blank >= logits.shape(2))
    throw py::value_error("blank: expected a class number below " + std::to_string(logits.shape(2)) + ", got " + std::to_string(blank));
}

py::tuple bound_ctc_loss(const FloatArray& logits, const Integers& labels, const Integers& label_lengths, const Integers& input_lengths,
                         std::int64_t blank, const OptionalFloatArray& weight, bool gradient, const std::string& isa) {
  check_logits(logits, blank);
  CtcArgs a{};
  a.batch = logits.shape(0);
  a.time = logits.shape(1);
  a.classes = logits.shape(2);
  check_shape(labels, "labels", {a.batch, -1});
  a.max_labels = labels.shape(1);
  check_lengths(label_lengths, "label_lengths", a.batch, a.max_labels);
  check_lengths(input_lengths, "input_lengths", a.batch, a.time);
  if (weight) check_shape(*weight, "weight", {a.batch});
  for (std::int64_t b = 0; b < a.batch; ++b)
    for (std::int64_t i = 0; i < label_lengths.data()[b]; ++i) {
      const std::int64_t label = labels.data()[b * a.max_labels + i];
      if (label < 0 || label >= a.classes || label == blank)
        throw py::value_error("labels[" + std::to_string(b) + ", " + std::to_string(i) + "]: expected a class number below " +
                              std::to_string(a.classes) + " other than the blank " + std::to_string(blank) + ", got " +
                              std::to_string(label));
    }
  FloatArray loss = new_array({a.batch});
  OptionalFloatArray derivative;
  if (gradient) derivative = new_array({a.batch, a.time, a.classes});
  a.logits = logits.data();
  a.labels = labels.data();
  a.label_length = label_lengths.data();
  a.input_length = input_lengths.data();
  a.blank = blank;
  a.weight = weight ? weight->data() : nullptr;
  a.loss = loss.mutable_data();
  a.gradient = derivative ? derivative->mutable_data() : nullptr;
  const KernelTable& table = kernels_or_chosen(isa);
  without_gil(static_cast<double>(logits.size()) * 50 + 1000.0 * static_cast<double>(a.batch * a.time * (2 * a.max_labels + 1)),
              [&] { ctc_loss(table, a); });
  return py::make_tuple(loss, derivative);
}

py::tuple bound_ctc_beam_search(const FloatArray& logits, const Integers& input_lengths, std::int64_t blank, std::int64_t beam_width,
                                std::int64_t top_paths) {
  check_logits(logits, blank);
  CtcBeamArgs a{};
  a.batch = logits.shape(0);
  a.time = logits.shape(1);
  a.classes = logits.shape(2);
  check_lengths(input_lengths, "input_lengths", a.batch, a.time);
  if (beam_width < 1) throw py::value_error("beam_width: expected 1 or more, got " + std::to_string(beam_width));
  if (top_paths < 1) throw py::value_error("top_paths: expected 1 or more, got " + std::to_string(top_paths));
  py::array_t<std::int32_t> paths(std::vector<py::ssize_t>{top_paths, a.batch, a.time});
  FloatArray scores = new_array({a.batch, top_paths});
  a.logits = logits.data();
  a.input_length = input_lengths.data();
  a.blank = blank;
  a.beam_width = beam_width;
  a.top_paths = top_paths;
  a.paths = paths.mutable_data();
  a.scores = scores.mutable_data();
  without_gil(static_cast<double>(logits.size() * beam_width) * 1000, [&] { ctc_beam_search(kernels(), a); });
  return py::make_tuple(paths, scores);
}

}  // namespace

void register_ctc(py::module_& m) {
  m.def("ctc_loss", &bound_ctc_loss, py::arg("logits").noconvert(), py::arg("labels").noconvert(), py::arg("label_lengths").noconvert(),
        py::arg("input_lengths").noconvert(), py::arg("blank"), py::arg("weight").noconvert() = py::none(), py::arg("gradient") = true,
        py::arg("isa") = "", "(loss (B,), dlogits (B, T, C) or None) from logits (B, T, C) and labels (B, L) int64.");
  m.def("ctc_beam_search", &bound_ctc_beam_search, py::arg("logits").noconvert(), py::arg("input_lengths").noconvert(), py::arg("blank"),
        py::arg("beam_width"), py::arg("top_paths"),
        "(paths (top_paths, B, T) int32, best first and filled up with -1; log-probabilities (B, top_paths)).");
}

}  // namespace lstmfast
