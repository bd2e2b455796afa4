// SPDX-License-Identifier: BSD-3-Clause
// Checked views of NumPy arguments. Array parameters are declared noconvert: pybind11 would otherwise
// copy a strided or float64 OUTPUT, and the result would be lost in the copy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace lstmfast {

namespace py = pybind11;
using FloatArray = py::array_t<float, py::array::c_style>;
using OptionalFloatArray = std::optional<FloatArray>;

inline std::string shape_text(const py::array& a) {
  std::string s = "(";
  for (py::ssize_t i = 0; i < a.ndim(); ++i) s += (i ? ", " : "") + std::to_string(a.shape(i));
  return s + (a.ndim() == 1 ? ",)" : ")");
}

// ValueError unless `a` has this shape; -1 stands for any length. Example: "kernel: expected shape (5, *), got (4, 8)".
inline void check_shape(const py::array& a, const char* name, std::initializer_list<py::ssize_t> expected) {
  bool same = a.ndim() == static_cast<py::ssize_t>(expected.size());
  py::ssize_t i = 0;
  for (const py::ssize_t e : expected) {
    same = same && (e < 0 || a.shape(i) == e);
    ++i;
  }
  if (same) return;
  std::string text = "(";
  i = 0;
  for (const py::ssize_t e : expected) text += (i++ ? ", " : "") + (e < 0 ? std::string("*") : std::to_string(e));
  throw py::value_error(std::string(name) + ": expected shape " + text + (expected.size() == 1 ? ",)" : ")") + ", got " + shape_text(a));
}

// The caller's array for a result, checked, or a fresh one.
inline py::array_t<float, py::array::c_style> result_array(const std::optional<py::array_t<float, py::array::c_style>>& out,
                                                           std::initializer_list<py::ssize_t> shape) {
  if (!out) return FloatArray(std::vector<py::ssize_t>(shape));
  check_shape(*out, "out", shape);
  if (!out->writeable()) throw py::value_error("out: expected a writeable array");
  return *out;
}

// A fresh float32 array.
inline FloatArray new_array(std::initializer_list<py::ssize_t> shape) { return FloatArray(std::vector<py::ssize_t>(shape)); }

}  // namespace lstmfast
