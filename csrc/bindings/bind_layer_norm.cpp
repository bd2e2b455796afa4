// SPDX-License-Identifier: BSD-3-Clause
// Layer normalization of rows, for the layers and, with a chosen instruction set, for tests.
#include <pybind11/stl.h>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/layer_norm.h"

namespace lstmfast {
namespace {

const float* vector_data(const OptionalFloatArray& a, const char* name, py::ssize_t columns) {
  if (!a) return nullptr;
  check_shape(*a, name, {columns});
  return a->data();
}

void forward(const KernelTable& kernels, const FloatArray& x, const OptionalFloatArray& gamma, const OptionalFloatArray& beta,
             float epsilon, bool centered, FloatArray& y, std::optional<FloatArray>& moments) {
  check_shape(x, "x", {-1, -1});
  check_shape(y, "y", {x.shape(0), x.shape(1)});
  LayerNormArgs a{};
  a.rows = x.shape(0);
  a.columns = x.shape(1);
  a.x = x.data();
  a.gamma = vector_data(gamma, "gamma", x.shape(1));
  a.beta = vector_data(beta, "beta", x.shape(1));
  a.epsilon = epsilon;
  a.centered = centered;
  a.y = y.mutable_data();
  if (moments) {
    check_shape(*moments, "moments", {x.shape(0), 2});
    a.moments = moments->mutable_data();
  }
  without_gil(layer_norm_work(a.rows, a.columns), [&] { layer_norm_forward(kernels, a); });
}

void backward(const KernelTable& kernels, const FloatArray& x, const FloatArray& dy, const OptionalFloatArray& gamma,
              const FloatArray& moments, bool centered, std::optional<FloatArray>& dgamma, std::optional<FloatArray>& dbeta,
              bool accumulate, std::optional<FloatArray>& dx) {
  check_shape(x, "x", {-1, -1});
  check_shape(dy, "dy", {x.shape(0), x.shape(1)});
  check_shape(moments, "moments", {x.shape(0), 2});
  LayerNormBackwardArgs a{};
  a.rows = x.shape(0);
  a.columns = x.shape(1);
  a.x = x.data();
  a.dy = dy.data();
  a.gamma = vector_data(gamma, "gamma", x.shape(1));
  a.moments = moments.data();
  a.centered = centered;
  if (dx) {
    check_shape(*dx, "dx", {x.shape(0), x.shape(1)});
    a.dx = dx->mutable_data();
  }
  if (vector_data(dgamma, "dgamma", x.shape(1))) a.dgamma = dgamma->mutable_data();
  if (vector_data(dbeta, "dbeta", x.shape(1))) a.dbeta = dbeta->mutable_data();
  without_gil(2 * layer_norm_work(a.rows, a.columns), [&] { layer_norm_backward(kernels, a, accumulate); });
}

py::tuple bound_forward(const FloatArray& x, const OptionalFloatArray& gamma, const OptionalFloatArray& beta, float epsilon, bool centered,
                        bool keep) {
  check_shape(x, "x", {-1, -1});
  FloatArray y = new_array({x.shape(0), x.shape(1)});
  std::optional<FloatArray> moments;
  if (keep) moments = new_array({x.shape(0), 2});
  forward(kernels(), x, gamma, beta, epsilon, centered, y, moments);
  return py::make_tuple(y, moments);
}

std::optional<FloatArray> bound_backward(const FloatArray& x, const FloatArray& dy, const OptionalFloatArray& gamma,
                                         const FloatArray& moments, bool centered, std::optional<FloatArray> dgamma,
                                         std::optional<FloatArray> dbeta, bool accumulate, bool needs_dx) {
  check_shape(x, "x", {-1, -1});
  std::optional<FloatArray> dx;
  if (needs_dx) dx = new_array({x.shape(0), x.shape(1)});
  backward(kernels(), x, dy, gamma, moments, centered, dgamma, dbeta, accumulate, dx);
  return dx;
}

}  // namespace

void register_layer_norm(py::module_& m, py::module_& testing) {
  m.def("layer_norm_forward", &bound_forward, py::arg("x").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
        py::arg("epsilon"), py::arg("centered"), py::arg("keep"),
        "(y (M, C), moments (M, 2) or None) from rows x (M, C), gamma (C,) and beta (C,) or None; not centered: divided by the root mean "
        "square. keep: also what the way back needs.");
  m.def("layer_norm_backward", &bound_backward, py::arg("x").noconvert(), py::arg("dy").noconvert(), py::arg("gamma").noconvert(),
        py::arg("moments").noconvert(), py::arg("centered"), py::arg("dgamma").noconvert(), py::arg("dbeta").noconvert(),
        py::arg("accumulate"), py::arg("needs_dx"), "dx (M, C) or None; dgamma and dbeta (C,) are written where they are arrays.");
  testing.def(
      "layer_norm_forward",
      [](const std::string& isa, const FloatArray& x, const OptionalFloatArray& gamma, const OptionalFloatArray& beta, float epsilon,
         bool centered, FloatArray& y,
         std::optional<FloatArray> moments) { forward(kernels_for(isa), x, gamma, beta, epsilon, centered, y, moments); },
      py::arg("isa"), py::arg("x").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(), py::arg("epsilon"),
      py::arg("centered"), py::arg("y").noconvert(), py::arg("moments").noconvert());
  testing.def(
      "layer_norm_backward",
      [](const std::string& isa, const FloatArray& x, const FloatArray& dy, const OptionalFloatArray& gamma, const FloatArray& moments,
         bool centered, std::optional<FloatArray> dgamma, std::optional<FloatArray> dbeta, bool accumulate,
         std::optional<FloatArray> dx) { backward(kernels_for(isa), x, dy, gamma, moments, centered, dgamma, dbeta, accumulate, dx); },
      py::arg("isa"), py::arg("x").noconvert(), py::arg("dy").noconvert(), py::arg("gamma").noconvert(), py::arg("moments").noconvert(),
      py::arg("centered"), py::arg("dgamma").noconvert(), py::arg("dbeta").noconvert(), py::arg("accumulate"), py::arg("dx").noconvert());
}

}  // namespace lstmfast
