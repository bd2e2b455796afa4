// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <memory>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/conv1d.h"

namespace lstmfast {
namespace {

// The kernel is kept for the gradient of the input, which packs it anew.
struct BoundConv1DWeights {
  FloatArray kernel;
  Conv1DWeights weights;
};

std::unique_ptr<BoundConv1DWeights> new_conv1d_weights(FloatArray kernel, const OptionalFloatArray& bias, py::ssize_t groups,
                                                       const std::string& isa) {
  check_shape(kernel, "kernel", {-1, -1, -1});
  if (kernel.size() == 0) throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  if (groups < 1 || kernel.shape(2) % groups != 0)
    throw py::value_error("groups: expected a divisor of the " + std::to_string(kernel.shape(2)) + " filters, got " +
                          std::to_string(groups));
  if (bias) check_shape(*bias, "bias", {kernel.shape(2)});
  const float* k = kernel.data();
  const py::ssize_t taps = kernel.shape(0), channels = kernel.shape(1), filters = kernel.shape(2);
  return std::unique_ptr<BoundConv1DWeights>(new BoundConv1DWeights{
      std::move(kernel), Conv1DWeights(kernels_or_chosen(isa), k, bias ? bias->data() : nullptr, taps, channels, filters, groups)});
}

Windows windows_of(const Conv1DWeights& w, py::ssize_t batch, py::ssize_t time, py::ssize_t stride, py::ssize_t dilation) {
  if (stride < 1) throw py::value_error("stride: expected a positive integer, got " + std::to_string(stride));
  if (dilation < 1) throw py::value_error("dilation: expected a positive integer, got " + std::to_string(dilation));
  if (stride > 1 && dilation > 1) throw py::value_error("dilation: expected 1 with a stride above 1, got " + std::to_string(dilation));
  const std::int64_t longest = (INT64_MAX - 1) / w.taps;
  const std::int64_t reach = dilation > longest ? INT64_MAX : (w.taps - 1) * dilation + 1;
  if (time > INT32_MAX || batch * time > INT32_MAX)
    throw py::value_error("x: too large, " + std::to_string(batch) + " rows of " + std::to_string(time) + " steps");
  if (time < reach)
    throw py::value_error("x: expected at least " + std::to_string(reach) + " time steps, as many as a window has, got " +
                          std::to_string(time));
  return {batch, time, stride, dilation, (time - reach) / stride + 1};
}

Windows windows_of(const Conv1DWeights& w, const FloatArray& x, py::ssize_t stride, py::ssize_t dilation) {
  check_shape(x, "x", {-1, -1, w.channels()});
  return windows_of(w, x.shape(0), x.shape(1), stride, dilation);
}

FloatArray bound_conv1d_forward(const BoundConv1DWeights& bound, const FloatArray& x, py::ssize_t stride, py::ssize_t dilation,
                                const std::string& activation, const OptionalFloatArray& result) {
  const Conv1DWeights& w = bound.weights;
  const Windows n = windows_of(w, x, stride, dilation);
  const Activation act = activation_named(activation, "activation");
  FloatArray y = result_array(result, {n.batch, n.outputs, w.filters});
  const float* in = x.data();
  float* out = y.mutable_data();
  without_gil(w.work(n), [&] { conv1d_forward(w, in, n, act, out); });
  return y;
}

OptionalFloatArray bound_conv1d_backward(const BoundConv1DWeights& bound, const FloatArray& x, const FloatArray& dz, py::ssize_t stride,
                                         py::ssize_t dilation, FloatArray& dkernel, std::optional<FloatArray>& dbias, bool accumulate,
                                         bool needs_dx) {
  const Conv1DWeights& w = bound.weights;
  const Windows n = windows_of(w, x, stride, dilation);
  check_shape(dz, "dz", {n.batch, n.outputs, w.filters});
  check_shape(dkernel, "dkernel", {w.taps, w.group_channels, w.filters});
  if (dbias) check_shape(*dbias, "dbias", {w.filters});
  OptionalFloatArray dx;
  if (needs_dx) dx = new_array({n.batch, n.time, w.channels()});
  const float *px = x.data(), *pdz = dz.data();
  float *pk = dkernel.mutable_data(), *pb = dbias ? dbias->mutable_data() : nullptr, *pdx = dx ? dx->mutable_data() : nullptr;
  without_gil(2 * w.work(n), [&] { conv1d_backward(w, px, n, pdz, pk, pb, accumulate, pdx); });
  return dx;
}

FloatArray bound_conv1d_input_gradient(const BoundConv1DWeights& bound, const FloatArray& dz, py::ssize_t time, py::ssize_t stride,
                                       py::ssize_t dilation) {
  const Conv1DWeights& w = bound.weights;
  check_shape(dz, "dz", {-1, -1, w.filters});
  const Windows n = windows_of(w, dz.shape(0), time, stride, dilation);
  check_shape(dz, "dz", {n.batch, n.outputs, w.filters});
  FloatArray dx = new_array({n.batch, n.time, w.channels()});
  const float* pdz = dz.data();
  float* pdx = dx.mutable_data();
  without_gil(w.work(n), [&] { conv1d_input_gradient(w.transposed(n.stride), n, pdz, pdx); });
  return dx;
}

}  // namespace

void register_conv1d(py::module_& m) {
  py::class_<BoundConv1DWeights>(m, "Conv1DWeights", "A convolution's weights, packed for the kernels; immutable.")
      .def(py::init(&new_conv1d_weights), py::arg("kernel").noconvert(), py::arg("bias").noconvert() = py::none(), py::arg("groups") = 1,
           py::arg("isa") = "")
      .def_property_readonly("nbytes", [](const BoundConv1DWeights& b) { return b.weights.bytes(); });
  m.def("conv1d_forward", &bound_conv1d_forward, py::arg("weights"), py::arg("x").noconvert(), py::arg("stride") = 1,
        py::arg("dilation") = 1, py::arg("activation") = "linear", py::arg("out").noconvert() = py::none(),
        "Whole windows of x (batch, time, channels) to (batch, outputs, filters).");
  m.def("conv1d_backward", &bound_conv1d_backward, py::arg("weights"), py::arg("x").noconvert(), py::arg("dz").noconvert(),
        py::arg("stride"), py::arg("dilation"), py::arg("dkernel").noconvert(), py::arg("dbias").noconvert(), py::arg("accumulate") = false,
        py::arg("needs_dx") = true);
  m.def("conv1d_input_gradient", &bound_conv1d_input_gradient, py::arg("weights"), py::arg("dz").noconvert(), py::arg("time"),
        py::arg("stride") = 1, py::arg("dilation") = 1,
        "The transposed convolution: dz (batch, outputs, filters) to dx (batch, time, channels).");
}

}  // namespace lstmfast
