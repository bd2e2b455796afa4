// SPDX-License-Identifier: BSD-3-Clause
// The kernels that are not matrix products or cells, of a chosen instruction set and into the caller's memory: tests
// can put canaries around it.
#include <pybind11/stl.h>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/loss_args.h"
#include "dispatch/select.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/losses.h"
#include "threading/denormals.h"

namespace lstmfast {
namespace {

constexpr const char* kMathNames[] = {"tanh", "sigmoid_of_half", "sigmoid", "exp", "expm1", "log", "log1p_unit", "softplus", "normal_cdf"};
static_assert(std::size(kMathNames) == static_cast<std::size_t>(MathFunction::kCount));

// With `flush`, as in a team: denormals count as zero. Without, as in simd/math-inl.h alone.
void math(const std::string& isa, const std::string& name, const FloatArray& x, FloatArray& y, bool flush) {
  const KernelTable& k = kernels_for(isa);
  check_shape(x, "x", {-1});
  check_shape(y, "y", {x.shape(0)});
  for (int i = 0; i < static_cast<int>(MathFunction::kCount); ++i) {
    if (name != kMathNames[i]) continue;
    const float* in = x.data();
    float* out = y.mutable_data();
    const std::int64_t n = x.size();
    const py::gil_scoped_release release;
    if (flush) {
      const FlushDenormals guard;
      k.math(static_cast<MathFunction>(i), n, in, out);
    } else {
      k.math(static_cast<MathFunction>(i), n, in, out);
    }
    return;
  }
  throw py::value_error("name: no function is called '" + name + "'");
}

void test_activation_forward(const std::string& isa, const std::string& name, const FloatArray& x, FloatArray& y) {
  check_shape(x, "x", {-1});
  check_shape(y, "y", {x.shape(0)});
  activation_forward(kernels_for(isa), activation_named(name, "name"), x.size(), x.data(), y.mutable_data());
}

void test_activation_backward(const std::string& isa, const std::string& name, const OptionalFloatArray& x, const OptionalFloatArray& y,
                              const FloatArray& dy, FloatArray& dx) {
  check_shape(dy, "dy", {-1});
  check_shape(dx, "dx", {dy.shape(0)});
  const Activation activation = activation_named(name, "name");
  if (slope_needs_input(activation) ? !x : !y) throw py::value_error("x, y: the one that the slope needs is None");
  if (x) check_shape(*x, "x", {dy.shape(0)});
  if (y) check_shape(*y, "y", {dy.shape(0)});
  activation_backward(kernels_for(isa), activation, dy.size(), x ? x->data() : nullptr, y ? y->data() : nullptr, dy.data(),
                      dx.mutable_data());
}

void test_softmax_forward(const std::string& isa, const FloatArray& x, FloatArray& y) {
  check_shape(x, "x", {-1, -1});
  check_shape(y, "y", {x.shape(0), x.shape(1)});
  softmax_forward(kernels_for(isa), x.shape(0), x.shape(1), x.data(), y.mutable_data());
}

void test_softmax_backward(const std::string& isa, const FloatArray& y, const FloatArray& dy, FloatArray& dx) {
  check_shape(y, "y", {-1, -1});
  for (const auto& [array, name] : {std::pair<const FloatArray&, const char*>{dy, "dy"}, {dx, "dx"}})
    check_shape(array, name, {y.shape(0), y.shape(1)});
  softmax_backward(kernels_for(isa), y.shape(0), y.shape(1), y.data(), dy.data(), dx.mutable_data());
}

// name: a loss of _core. labels or targets as there; output is None for mean_squared_error.
void test_loss(const std::string& isa, const std::string& name, const FloatArray& prediction, const OptionalLabels& labels,
               const OptionalFloatArray& targets, const OptionalFloatArray& weight, FloatArray& loss, FloatArray& gradient,
               std::optional<FloatArray>& output) {
  const KernelTable& k = kernels_for(isa);
  LossArgs a = loss_args(prediction, "prediction", labels, targets, "targets", weight);
  check_shape(loss, "loss", {a.rows});
  check_shape(gradient, "gradient", {a.rows, a.columns});
  if (output) check_shape(*output, "output", {a.rows, a.columns});
  if (output.has_value() == (name == "mean_squared_error")) throw py::value_error("output: an array for cross-entropies, else None");
  a.loss = loss.mutable_data();
  a.gradient = gradient.mutable_data();
  a.output = output ? output->mutable_data() : nullptr;
  if (name == "softmax_cross_entropy") softmax_cross_entropy(k, a);
  else if (name == "sigmoid_cross_entropy" && a.target) sigmoid_cross_entropy(k, a);
  else if (name == "mean_squared_error" && a.target) mean_squared_error(k, a);
  else throw py::value_error("name: no loss is called '" + name + "', or it needs targets");
}

void test_embedding_backward(const std::string& isa, const LabelArray& ids, const FloatArray& dy, FloatArray& dtable, bool accumulate) {
  check_shape(ids, "ids", {-1});
  check_shape(dtable, "dtable", {-1, -1});
  check_shape(dy, "dy", {ids.shape(0), dtable.shape(1)});
  if (first_bad_id(ids.data(), ids.size(), dtable.shape(0)) >= 0) throw py::value_error("ids: out of range");
  embedding_backward(kernels_for(isa), ids.data(), ids.size(), dy.data(), dtable.shape(1), dtable.shape(0), accumulate,
                     dtable.mutable_data());
}

double test_sum_squares(const std::string& isa, const FloatArray& x) {
  double sum = -1;
  kernels_for(isa).sum_squares(x.size(), x.data(), &sum);
  return sum;
}

}  // namespace

void register_testing_elementwise(py::module_& testing) {
  testing.def("math_names", [] { return std::vector<std::string>(std::begin(kMathNames), std::end(kMathNames)); });
  testing.def("math", &math, py::arg("isa"), py::arg("name"), py::arg("x").noconvert(), py::arg("y").noconvert(), py::arg("flush") = false);
  testing.def("activation_forward", &test_activation_forward, py::arg("isa"), py::arg("name"), py::arg("x").noconvert(),
              py::arg("y").noconvert());
  testing.def("activation_backward", &test_activation_backward, py::arg("isa"), py::arg("name"), py::arg("x").noconvert(),
              py::arg("y").noconvert(), py::arg("dy").noconvert(), py::arg("dx").noconvert());
  testing.def("softmax_forward", &test_softmax_forward, py::arg("isa"), py::arg("x").noconvert(), py::arg("y").noconvert());
  testing.def("softmax_backward", &test_softmax_backward, py::arg("isa"), py::arg("y").noconvert(), py::arg("dy").noconvert(),
              py::arg("dx").noconvert());
  testing.def("loss", &test_loss, py::arg("isa"), py::arg("name"), py::arg("prediction").noconvert(), py::arg("labels").noconvert(),
              py::arg("targets").noconvert(), py::arg("weight").noconvert(), py::arg("loss").noconvert(), py::arg("gradient").noconvert(),
              py::arg("output").noconvert());
  testing.def("embedding_backward", &test_embedding_backward, py::arg("isa"), py::arg("ids").noconvert(), py::arg("dy").noconvert(),
              py::arg("dtable").noconvert(), py::arg("accumulate"));
  testing.def("sum_squares", &test_sum_squares, py::arg("isa"), py::arg("x").noconvert());
}

}  // namespace lstmfast
