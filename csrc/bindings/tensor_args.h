// SPDX-License-Identifier: BSD-3-Clause
// NumPy arrays as the tensors of a program's run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bindings/array_args.h"
#include "engine/tensor.h"

namespace lstmfast {

// Slots of a run: a program of usual size needs no allocation for them.
class SlotArray {
 public:
  explicit SlotArray(int n) {
    if (n > kInline) many_.resize(static_cast<std::size_t>(n));
    slots_ = n > kInline ? many_.data() : inline_;
  }
  Tensor* data() { return slots_; }

 private:
  static constexpr int kInline = 32;
  Tensor inline_[kInline];
  std::vector<Tensor> many_;
  Tensor* slots_;
};

inline void set_input(Tensor& t, const py::array& x, int index) {
  const auto what = [&] { return "x" + (index ? "[" + std::to_string(index) + "]" : std::string()); };
  if (!(x.flags() & py::array::c_style)) throw py::value_error(what() + ": expected a C-contiguous array");
  t = {};
  const char kind = x.dtype().kind();
  const bool ids = kind == 'i' && (x.itemsize() == 4 || x.itemsize() == 8);
  if (!ids && !(kind == 'f' && x.itemsize() == 4)) throw py::type_error(what() + ": expected float32, or int32 or int64 ids");
  const py::ssize_t n = x.ndim(), feature_axes = ids ? 0 : 1;
  if (n < 1 + feature_axes || n > 2 + feature_axes)
    throw py::value_error(
        what() +
        (ids ? ": expected shape (batch, time) or (batch,), got " : ": expected shape (batch, time, features) or (batch, features), got ") +
        shape_text(x));
  if (x.size() == 0) throw py::value_error(what() + ": expected a shape without zeros, got " + shape_text(x));
  for (py::ssize_t i = 0; i < n; ++i)
    if (x.shape(i) > INT32_MAX) throw py::value_error(what() + ": too large, shape " + shape_text(x));
  t.batch = static_cast<int>(x.shape(0));
  t.time = n == 2 + feature_axes ? static_cast<int>(x.shape(1)) : 0;
  t.width = ids ? 1 : x.shape(n - 1);
  if (!ids) t.data = static_cast<const float*>(x.data());
  else if (x.itemsize() == 4) t.ids32 = static_cast<const std::int32_t*>(x.data());
  else t.ids64 = static_cast<const std::int64_t*>(x.data());
}

inline std::vector<py::ssize_t> shape_of(const Tensor& t) {
  if (t.time) return {t.batch, t.time, t.width};
  return {t.batch, t.width};
}

inline FloatArray result(const Tensor& t, const OptionalFloatArray& out, const char* name) {
  const std::vector<py::ssize_t> shape = shape_of(t);
  if (!out) return FloatArray(shape);
  if (shape.size() == 3) check_shape(*out, name, {shape[0], shape[1], shape[2]});
  else check_shape(*out, name, {shape[0], shape[1]});
  if (!out->writeable()) throw py::value_error(std::string(name) + ": expected a writeable array");
  return *out;
}

// Operations write their results while they still read what came in.
inline void check_apart(const py::array& out, const py::array& other, const char* what) {
  const auto* const a = static_cast<const char*>(out.data());
  const auto* const b = static_cast<const char*>(other.data());
  if (a < b + other.nbytes() && b < a + out.nbytes())
    throw py::value_error(std::string("out: expected an array that does not overlap ") + what);
}

}  // namespace lstmfast
