// SPDX-License-Identifier: BSD-3-Clause
// Activations, embeddings and losses. Dense is in bind_dense.cpp.
#include <pybind11/stl.h>

#include <vector>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "bindings/loss_args.h"
#include "dispatch/select.h"
#include "layers/dropout.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/losses.h"
#include "layers/orthonormal.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

std::vector<std::string> activation_names() {
  std::vector<std::string> names(std::begin(kActivationNames), std::end(kActivationNames));
  names.emplace_back("softmax");
  return names;
}

FloatArray array_like(const FloatArray& a) { return FloatArray(std::vector<py::ssize_t>(a.shape(), a.shape() + a.ndim())); }

void check_same_shape(const py::array& a, const char* name, const py::array& model, const char* model_name) {
  if (a.ndim() == model.ndim() && std::equal(a.shape(), a.shape() + a.ndim(), model.shape())) return;
  throw py::value_error(std::string(name) + ": expected the shape of " + model_name + ", " + shape_text(model) + ", got " + shape_text(a));
}

std::int64_t last_axis(const FloatArray& a, const char* name) {
  if (a.ndim() == 0) throw py::value_error(std::string(name) + ": softmax needs at least one axis, got shape ()");
  return a.shape(a.ndim() - 1);
}

FloatArray bound_activation_forward(const std::string& name, const FloatArray& x, const OptionalFloatArray& out) {
  if (out) check_same_shape(*out, "out", x, "x");
  FloatArray y = out ? *out : array_like(x);
  const float* in = x.data();
  float* result = y.mutable_data();
  const std::int64_t n = x.size();
  const double work = static_cast<double>(n) * kTranscendentalWork;
  if (name == "softmax") {
    const std::int64_t columns = last_axis(x, "x");
    if (n > 0) without_gil(work, [&] { softmax_forward(kernels(), n / columns, columns, in, result); });
  } else {
    const Activation activation = activation_named(name, "name");
    without_gil(work, [&] { activation_forward(kernels(), activation, n, in, result); });
  }
  return y;
}

FloatArray bound_activation_backward(const std::string& name, const OptionalFloatArray& x, const OptionalFloatArray& y,
                                     const FloatArray& dy) {
  if (x) check_same_shape(*x, "x", dy, "dy");
  if (y) check_same_shape(*y, "y", dy, "dy");
  const bool softmax = name == "softmax";
  const Activation activation = softmax ? Activation::kLinear : activation_named(name, "name");
  const bool needs_x = slope_needs_input(activation);
  if (needs_x && !x) throw py::value_error("x: the backward pass of '" + name + "' needs the input, got None");
  if (!needs_x && !y) throw py::value_error("y: the backward pass of '" + name + "' needs the output, got None");
  FloatArray dx = array_like(dy);
  const float *in = x ? x->data() : nullptr, *out = y ? y->data() : nullptr, *gradient = dy.data();
  float* result = dx.mutable_data();
  const std::int64_t n = dy.size();
  const double work = static_cast<double>(n) * kTranscendentalWork;
  if (softmax) {
    const std::int64_t columns = last_axis(dy, "dy");
    if (n > 0) without_gil(work, [&] { softmax_backward(kernels(), n / columns, columns, out, gradient, result); });
  } else {
    without_gil(work, [&] { activation_backward(kernels(), activation, n, in, out, gradient, result); });
  }
  return dx;
}

// Calls f(const Id*) for ids of either integer type.
template <class F>
void with_ids(const py::array& ids, F&& f) {
  const bool contiguous = (ids.flags() & py::array::c_style) != 0;
  if (contiguous && py::isinstance<py::array_t<std::int32_t>>(ids)) return f(static_cast<const std::int32_t*>(ids.data()));
  if (contiguous && py::isinstance<py::array_t<std::int64_t>>(ids)) return f(static_cast<const std::int64_t*>(ids.data()));
  throw py::type_error("ids: expected a C-contiguous array of int32 or int64, got " + std::string(py::str(ids.dtype())) +
                       (contiguous ? "" : ", not contiguous"));
}

std::string position_text(const py::array& a, std::int64_t flat) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(a.ndim()));
  for (py::ssize_t axis = a.ndim() - 1; axis >= 0; --axis) {
    index[static_cast<std::size_t>(axis)] = flat % a.shape(axis);
    flat /= a.shape(axis);
  }
  std::string s;
  for (const std::int64_t i : index) s += (s.empty() ? "" : ", ") + std::to_string(i);
  return "[" + s + "]";
}

template <class Id>
void check_ids(const py::array& array, const char* name, const Id* ids, std::int64_t vocabulary) {
  const std::int64_t bad = first_bad_id(ids, array.size(), vocabulary);
  if (bad < 0) return;
  throw py::value_error(std::string(name) + ": expected numbers from 0 to " + std::to_string(vocabulary - 1) + ", got " +
                        std::to_string(ids[bad]) + " at " + position_text(array, bad));
}

FloatArray bound_embedding_forward(const FloatArray& table, const py::array& ids) {
  check_shape(table, "table", {-1, -1});
  const std::int64_t n = ids.size(), width = table.shape(1);
  std::vector<py::ssize_t> shape(ids.shape(), ids.shape() + ids.ndim());
  shape.push_back(width);
  FloatArray y(shape);
  const float* from = table.data();
  float* to = y.mutable_data();
  with_ids(ids, [&](const auto* id) {
    check_ids(ids, "ids", id, table.shape(0));
    without_gil(static_cast<double>(n * width) * kStreamWork, [&] { embedding_forward(from, width, id, n, to); });
  });
  return y;
}

void bound_embedding_backward(const py::array& ids, const FloatArray& dy, FloatArray& dtable, bool accumulate) {
  check_shape(dtable, "dtable", {-1, -1});
  const std::int64_t n = ids.size(), vocabulary = dtable.shape(0), width = dtable.shape(1);
  std::vector<py::ssize_t> expected(ids.shape(), ids.shape() + ids.ndim());
  expected.push_back(width);
  if (dy.ndim() != ids.ndim() + 1 || !std::equal(expected.begin(), expected.end(), dy.shape()))
    throw py::value_error("dy: expected the shape of ids and one axis of " + std::to_string(width) + " more, got " + shape_text(dy) +
                          " with ids " + shape_text(ids));
  const float* from = dy.data();
  float* to = dtable.mutable_data();
  with_ids(ids, [&](const auto* id) {
    check_ids(ids, "ids", id, vocabulary);
    without_gil(static_cast<double>((n + vocabulary) * width) * kStreamWork,
                [&] { embedding_backward(kernels(), id, n, from, width, vocabulary, accumulate, to); });
  });
}

py::tuple bound_softmax_cross_entropy(const FloatArray& logits, const OptionalLabels& labels, const OptionalFloatArray& targets,
                                      const OptionalFloatArray& weight) {
  LossArgs a = loss_args(logits, "logits", labels, targets, "targets", weight);
  FloatArray loss = new_array({a.rows}), gradient = array_like(logits), p = array_like(logits);
  a.loss = loss.mutable_data();
  a.gradient = gradient.mutable_data();
  a.output = p.mutable_data();
  without_gil(loss_work(a), [&] { softmax_cross_entropy(kernels(), a); });
  return py::make_tuple(loss, gradient, p);
}

py::tuple bound_sigmoid_cross_entropy(const FloatArray& logits, const FloatArray& targets, const OptionalFloatArray& weight) {
  LossArgs a = loss_args(logits, "logits", {}, targets, "targets", weight);
  FloatArray loss = new_array({a.rows}), gradient = array_like(logits), p = array_like(logits);
  a.loss = loss.mutable_data();
  a.gradient = gradient.mutable_data();
  a.output = p.mutable_data();
  without_gil(2 * loss_work(a), [&] { sigmoid_cross_entropy(kernels(), a); });
  return py::make_tuple(loss, gradient, p);
}

py::tuple bound_mean_squared_error(const FloatArray& pred, const FloatArray& target, const OptionalFloatArray& weight) {
  LossArgs a = loss_args(pred, "pred", {}, target, "target", weight);
  FloatArray loss = new_array({a.rows}), gradient = array_like(pred);
  a.loss = loss.mutable_data();
  a.gradient = gradient.mutable_data();
  without_gil(loss_work(a), [&] { mean_squared_error(kernels(), a); });
  return py::make_tuple(loss, gradient);
}

void check_rate(double rate) {
  if (!(rate >= 0 && rate <= 1)) throw py::value_error("rate: expected 0 to 1, got " + std::to_string(rate));
}

FloatArray bound_dropout(std::uint64_t key, double rate, const FloatArray& x) {
  check_rate(rate);
  FloatArray y = array_like(x);
  float* out = y.mutable_data();
  const double work = static_cast<double>(x.size()) * kTranscendentalWork;
  without_gil(work, [&] { dropout(kernels(), key, rate, x.size(), x.data(), out); });
  return y;
}

FloatArray bound_dropout_mask(std::uint64_t key, double rate, const std::vector<py::ssize_t>& shape) {
  check_rate(rate);
  FloatArray mask(shape);
  float* out = mask.mutable_data();
  without_gil(static_cast<double>(mask.size()) * kTranscendentalWork, [&] { dropout(kernels(), key, rate, mask.size(), nullptr, out); });
  return mask;
}

bool bound_orthonormalize(py::array_t<double, py::array::c_style>& a, const std::string& isa) {
  check_shape(a, "a", {-1, -1});
  const std::int64_t m = a.shape(0), n = a.shape(1);
  if (m < n) throw py::value_error("a: expected at least as many rows as columns, got shape " + shape_text(a));
  double* const data = a.mutable_data();
  const double work = static_cast<double>(m * n) * static_cast<double>(n);
  bool done = false;
  without_gil(work, [&] { done = orthonormalize(kernels_or_chosen(isa), m, n, data); });
  return done;
}

}  // namespace

void register_layers(py::module_& m) {
  m.def("activation_names", &activation_names, "Activations that have kernels.");
  m.def("activation_forward", &bound_activation_forward, py::arg("name"), py::arg("x").noconvert(), py::arg("out").noconvert() = py::none(),
        "Any shape, softmax over the last axis; out may be x.");
  m.def("activation_backward", &bound_activation_backward, py::arg("name"), py::arg("x").noconvert(), py::arg("y").noconvert(),
        py::arg("dy").noconvert(), "dx. x may be None except for gelu, gelu_tanh and silu; those need no y.");
  m.def("dropout", &bound_dropout, py::arg("key"), py::arg("rate"), py::arg("x").noconvert(),
        "x times a mask that key determines: 0 with probability rate, else 1 / (1 - rate). Of a gradient: the way back.");
  m.def("dropout_mask", &bound_dropout_mask, py::arg("key"), py::arg("rate"), py::arg("shape"), "The mask itself.");
  m.def("orthonormalize", &bound_orthonormalize, py::arg("a").noconvert(), py::arg("isa") = "",
        "Makes the columns of a (m, n) float64, m >= n, orthonormal in place; False, a being half done, where they are nearly dependent.");
  m.def("embedding_forward", &bound_embedding_forward, py::arg("table").noconvert(), py::arg("ids").noconvert(),
        "table (V, E)[ids], ids of any shape, int32 or int64.");
  m.def("embedding_backward", &bound_embedding_backward, py::arg("ids").noconvert(), py::arg("dy").noconvert(),
        py::arg("dtable").noconvert(), py::arg("accumulate") = false, "Adds the rows of dy up into dtable (V, E), or overwrites it.");
  m.def("softmax_cross_entropy", &bound_softmax_cross_entropy, py::arg("logits").noconvert(), py::arg("labels").noconvert() = py::none(),
        py::arg("targets").noconvert() = py::none(), py::arg("weight").noconvert() = py::none(),
        "(loss (M,), dlogits (M, C), probabilities (M, C)) from logits (M, C) and labels (M,) or targets (M, C).");
  m.def("sigmoid_cross_entropy", &bound_sigmoid_cross_entropy, py::arg("logits").noconvert(), py::arg("targets").noconvert(),
        py::arg("weight").noconvert() = py::none(), "(loss (M,), dlogits (M, C), probabilities (M, C)); the mean over C.");
  m.def("mean_squared_error", &bound_mean_squared_error, py::arg("pred").noconvert(), py::arg("target").noconvert(),
        py::arg("weight").noconvert() = py::none(), "(loss (M,), dpred (M, C)); the mean over C.");
}

}  // namespace lstmfast
