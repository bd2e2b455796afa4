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

// Whether `x` is a C-contiguous float32 array. NumPy has one object for the native float32, which most arrays share; others (as
// those of unpickled dtypes) are compared.
inline bool is_float_array(py::handle x) {
  auto& numpy = py::detail::npy_api::get();
  if (!numpy.PyArray_Check_(x.ptr())) return false;
  static const PyObject* const float32 = py::dtype::of<float>().release().ptr();
  if (py::detail::array_proxy(x.ptr())->descr != float32) return py::isinstance<FloatArray>(x);
  return (py::detail::array_proxy(x.ptr())->flags & py::array::c_style) != 0;
}

// A fresh float32 array; pybind11's constructors would make vectors of its shape and strides first.
inline FloatArray new_array(std::initializer_list<py::ssize_t> shape) {
  auto& numpy = py::detail::npy_api::get();
  PyObject* const array =
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype::of<float>().release().ptr(), static_cast<int>(shape.size()),
                                  const_cast<py::ssize_t*>(shape.begin()), nullptr, nullptr, 0, nullptr);
  if (!array) throw py::error_already_set();
  return py::reinterpret_steal<FloatArray>(array);
}

// The caller's array for a result, checked, or a fresh one.
inline py::array_t<float, py::array::c_style> result_array(const std::optional<py::array_t<float, py::array::c_style>>& out,
                                                           std::initializer_list<py::ssize_t> shape) {
  if (!out) return new_array(shape);
  check_shape(*out, "out", shape);
  if (!out->writeable()) throw py::value_error("out: expected a writeable array");
  return *out;
}

}  // namespace lstmfast
