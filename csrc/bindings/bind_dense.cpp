// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <memory>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/dense.h"

namespace lstmfast {
namespace {

// The arrays are kept for the transpose, which is packed when a backward pass first asks for it.
struct BoundDenseWeights {
  FloatArray kernel;
  OptionalFloatArray bias;
  DenseWeights weights;
};

std::unique_ptr<BoundDenseWeights> new_dense_weights(FloatArray kernel, OptionalFloatArray bias, const std::string& isa) {
  check_shape(kernel, "kernel", {-1, -1});
  if (kernel.shape(0) == 0 || kernel.shape(1) == 0)
    throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  if (bias) check_shape(*bias, "bias", {kernel.shape(1)});
  const float* k = kernel.data();
  const float* b = bias ? bias->data() : nullptr;
  const py::ssize_t depth = kernel.shape(0), columns = kernel.shape(1);
  return std::unique_ptr<BoundDenseWeights>(
      new BoundDenseWeights{std::move(kernel), std::move(bias), DenseWeights(kernels_or_chosen(isa), k, b, depth, columns)});
}

double work(const DenseWeights& w, py::ssize_t m) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(w.k) * static_cast<double>(w.n);
}

FloatArray bound_dense_forward(const BoundDenseWeights& bound, const FloatArray& x, const std::string& activation,
                               const OptionalFloatArray& result) {
  const DenseWeights& w = bound.weights;
  check_shape(x, "x", {-1, w.k});
  const Activation act = activation_named(activation, "activation");
  FloatArray y = result_array(result, {x.shape(0), w.n});
  const float* in = x.data();
  float* out = y.mutable_data();
  const py::ssize_t m = x.shape(0);
  without_gil(work(w, m), [&] { dense_forward(w, in, m, act, out); });
  return y;
}

OptionalFloatArray bound_dense_backward(const BoundDenseWeights& bound, const FloatArray& x, const FloatArray& dz, FloatArray& dkernel,
                                        std::optional<FloatArray>& dbias, bool accumulate, bool needs_dx) {
  const DenseWeights& w = bound.weights;
  check_shape(x, "x", {-1, w.k});
  check_shape(dz, "dz", {x.shape(0), w.n});
  check_shape(dkernel, "dkernel", {w.k, w.n});
  if (dbias) check_shape(*dbias, "dbias", {w.n});
  OptionalFloatArray dx;
  if (needs_dx) dx = new_array({x.shape(0), w.k});
  const float *px = x.data(), *pdz = dz.data();
  float *pk = dkernel.mutable_data(), *pb = dbias ? dbias->mutable_data() : nullptr, *pdx = dx ? dx->mutable_data() : nullptr;
  const py::ssize_t m = x.shape(0);
  without_gil(2 * work(w, m), [&] { dense_backward(w, px, pdz, m, pk, pb, accumulate, pdx); });
  return dx;
}

}  // namespace

void register_dense(py::module_& m) {
  py::class_<BoundDenseWeights>(m, "DenseWeights", "A Dense layer's weights, packed for the kernels; immutable.")
      .def(py::init(&new_dense_weights), py::arg("kernel").noconvert(), py::arg("bias").noconvert() = py::none(), py::arg("isa") = "")
      .def_property_readonly("nbytes", [](const BoundDenseWeights& b) { return b.weights.forward.bytes(); });
  m.def("dense_forward", &bound_dense_forward, py::arg("weights"), py::arg("x").noconvert(), py::arg("activation") = "linear",
        py::arg("out").noconvert() = py::none());
  m.def("dense_backward", &bound_dense_backward, py::arg("weights"), py::arg("x").noconvert(), py::arg("dz").noconvert(),
        py::arg("dkernel").noconvert(), py::arg("dbias").noconvert(), py::arg("accumulate") = false, py::arg("needs_dx") = true);
}

}  // namespace lstmfast
