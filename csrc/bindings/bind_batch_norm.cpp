// SPDX-License-Identifier: BSD-3-Clause
// Batch normalization of columns, for the layer and, with a chosen instruction set, for tests.
#include <pybind11/stl.h>

#include <cmath>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/batch_norm.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

using DoubleArray = py::array_t<double, py::array::c_style>;
using OptionalCounts = std::optional<py::array_t<bool, py::array::c_style>>;

const float* vector_data(const OptionalFloatArray& a, const char* name, py::ssize_t columns) {
  if (!a) return nullptr;
  check_shape(*a, name, {columns});
  return a->data();
}

const std::uint8_t* counts_data(const OptionalCounts& counts, py::ssize_t rows) {
  if (!counts) return nullptr;
  check_shape(*counts, "counts", {rows});
  return reinterpret_cast<const std::uint8_t*>(counts->data());
}

double work(const FloatArray& x) { return 2 * kStreamWork * static_cast<double>(x.size()); }

py::tuple moments(const KernelTable& kernels, const FloatArray& x, const OptionalCounts& counts, double total) {
  check_shape(x, "x", {-1, -1});
  if (!(total > 0)) throw py::value_error("total: expected a positive number, got " + std::to_string(total));
  DoubleArray mean(x.shape(1)), variance(x.shape(1));
  const std::uint8_t* const which = counts_data(counts, x.shape(0));
  double *const m = mean.mutable_data(), *const v = variance.mutable_data();
  without_gil(work(x), [&] { batch_moments(kernels, x.shape(0), x.shape(1), x.data(), which, total, m, v); });
  return py::make_tuple(mean, variance);
}

FloatArray forward(const KernelTable& kernels, const FloatArray& x, const FloatArray& mean, const FloatArray& scale,
                   const OptionalFloatArray& gamma, const OptionalFloatArray& beta) {
  check_shape(x, "x", {-1, -1});
  check_shape(mean, "mean", {x.shape(1)});
  check_shape(scale, "scale", {x.shape(1)});
  FloatArray y = new_array({x.shape(0), x.shape(1)});
  const BatchNormArgs a{x.shape(0),
                        x.shape(1),
                        x.data(),
                        mean.data(),
                        scale.data(),
                        vector_data(gamma, "gamma", x.shape(1)),
                        vector_data(beta, "beta", x.shape(1)),
                        y.mutable_data()};
  without_gil(work(x), [&] { batch_norm_forward(kernels, a); });
  return y;
}

std::optional<FloatArray> backward(const KernelTable& kernels, const FloatArray& x, const FloatArray& dy, const FloatArray& mean,
                                   const FloatArray& scale, const OptionalFloatArray& gamma, const OptionalCounts& counts, double total,
                                   std::optional<FloatArray> dgamma, std::optional<FloatArray> dbeta, bool accumulate, bool needs_dx) {
  check_shape(x, "x", {-1, -1});
  check_shape(dy, "dy", {x.shape(0), x.shape(1)});
  check_shape(mean, "mean", {x.shape(1)});
  check_shape(scale, "scale", {x.shape(1)});
  BatchNormBackwardArgs a{};
  a.rows = x.shape(0);
  a.columns = x.shape(1);
  a.x = x.data();
  a.dy = dy.data();
  a.mean = mean.data();
  a.scale = scale.data();
  a.counts = counts_data(counts, x.shape(0));
  std::optional<FloatArray> dx;
  if (needs_dx) {
    dx = new_array({x.shape(0), x.shape(1)});
    a.dx = dx->mutable_data();
  }
  BatchNormGradients g{vector_data(gamma, "gamma", x.shape(1)), total, accumulate, nullptr, nullptr};
  if (vector_data(dgamma, "dgamma", x.shape(1))) g.dgamma = dgamma->mutable_data();
  if (vector_data(dbeta, "dbeta", x.shape(1))) g.dbeta = dbeta->mutable_data();
  without_gil(work(x), [&] { batch_norm_backward(kernels, a, g); });
  return dx;
}

}  // namespace

void register_batch_norm(py::module_& m, py::module_& testing) {
  m.def(
      "batch_moments", [](const FloatArray& x, const OptionalCounts& counts, double total) { return moments(kernels(), x, counts, total); },
      py::arg("x").noconvert(), py::arg("counts").noconvert(), py::arg("total"),
      "(mean (C,), variance (C,)) float64 of the columns of x (M, C), over rows where counts (M,) is True, sums divided by total.");
  m.def(
      "batch_norm_forward",
      [](const FloatArray& x, const FloatArray& mean, const FloatArray& scale, const OptionalFloatArray& gamma,
         const OptionalFloatArray& beta) { return forward(kernels(), x, mean, scale, gamma, beta); },
      py::arg("x").noconvert(), py::arg("mean").noconvert(), py::arg("scale").noconvert(), py::arg("gamma").noconvert(),
      py::arg("beta").noconvert(), "(x - mean) * scale * gamma + beta of the columns of x (M, C).");
  m.def(
      "batch_norm_backward",
      [](const FloatArray& x, const FloatArray& dy, const FloatArray& mean, const FloatArray& scale, const OptionalFloatArray& gamma,
         const OptionalCounts& counts, double total, const std::optional<FloatArray>& dgamma, const std::optional<FloatArray>& dbeta,
         bool accumulate,
         bool needs_dx) { return backward(kernels(), x, dy, mean, scale, gamma, counts, total, dgamma, dbeta, accumulate, needs_dx); },
      py::arg("x").noconvert(), py::arg("dy").noconvert(), py::arg("mean").noconvert(), py::arg("scale").noconvert(),
      py::arg("gamma").noconvert(), py::arg("counts").noconvert(), py::arg("total"), py::arg("dgamma").noconvert(),
      py::arg("dbeta").noconvert(), py::arg("accumulate"), py::arg("needs_dx"),
      "dx (M, C) or None; total as in batch_moments, 0 where mean and scale are not x's own. dgamma and dbeta are written where they are "
      "arrays.");
  testing.def(
      "batch_norm",
      [](const std::string& isa, const FloatArray& x, const FloatArray& dy, const FloatArray& gamma, const FloatArray& beta,
         const OptionalCounts& counts, double total, float epsilon) {
        const KernelTable& k = kernels_for(isa);
        const py::tuple found = moments(k, x, counts, total);
        const auto mean64 = found[0].cast<DoubleArray>(), variance = found[1].cast<DoubleArray>();
        FloatArray mean = new_array({x.shape(1)}), scale = new_array({x.shape(1)}), dgamma = new_array({x.shape(1)}),
                   dbeta = new_array({x.shape(1)});
        for (py::ssize_t c = 0; c < x.shape(1); ++c) {
          mean.mutable_at(c) = static_cast<float>(mean64.at(c));
          scale.mutable_at(c) = static_cast<float>(1 / std::sqrt(variance.at(c) + static_cast<double>(epsilon)));
        }
        const FloatArray y = forward(k, x, mean, scale, gamma, beta);
        const auto dx = backward(k, x, dy, mean, scale, gamma, counts, total, dgamma, dbeta, false, true);
        return py::make_tuple(mean64, variance, y, dx, dgamma, dbeta);
      },
      py::arg("isa"), py::arg("x").noconvert(), py::arg("dy").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
      py::arg("counts").noconvert(), py::arg("total"), py::arg("epsilon"));
}

}  // namespace lstmfast
