// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/optimizers.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

// The variables of a model, their gradients and an optimizer's running means; keeps the arrays alive and updates
// them in place.
class ParameterGroup {
 public:
  ParameterGroup(const KernelTable& table, const py::sequence& values, const py::sequence& grads, int slots)
      : slots_(check_slots(slots)), parameters_(table, collect(values, grads)) {}

  py::list slot(int k) const {
    check_slot(k);
    py::list arrays;
    for (const auto& of_parameter : slots_of_parameter_) arrays.append(of_parameter[static_cast<std::size_t>(k)]);
    return arrays;
  }

  double global_norm() const {
    double norm = 0;
    run(kStreamWork, [&] { norm = parameters_.global_norm(); });
    return norm;
  }

  py::array_t<double> norms() const {
    std::vector<double> n;
    run(kStreamWork, [&] { n = parameters_.norms(); });
    return py::array_t<double>(static_cast<py::ssize_t>(n.size()), n.data());
  }

  double clip_global_norm(double limit) {
    check_positive(limit, "max_norm");
    double norm = 0;
    run(2 * kStreamWork, [&] {
      norm = parameters_.global_norm();
      const double factor = clip_factor(norm, limit);
      if (factor != 1.0) parameters_.scale_gradients(factor);
    });
    return norm;
  }

  void clip_norm(double limit) {
    check_positive(limit, "max_norm");
    run(2 * kStreamWork, [&] {
      std::vector<double> factors;
      for (const double norm : parameters_.norms()) factors.push_back(clip_factor(norm, limit));
      parameters_.scale_gradients(factors);
    });
  }

  void clip_value(double limit) {
    check_positive(limit, "max_value");
    run(kStreamWork, [&] { parameters_.clip_gradients(static_cast<float>(limit)); });
  }

  void scale_gradients(double factor) {
    check_number(factor, "factor");
    run(kStreamWork, [&] { parameters_.scale_gradients(factor); });
  }

  void hold_gradients(int k) {
    check_slot(k);
    run(kStreamWork, [&] { parameters_.hold_gradients(k); });
  }

  void release_gradients(int k, double factor) {
    check_slot(k);
    check_number(factor, "factor");
    run(kUpdateWork, [&] { parameters_.release_gradients(k, factor); });
  }

  void scale_values(const std::vector<double>& factors) {
    if (factors.size() != slots_of_parameter_.size())
      throw py::value_error("factors: expected one for each of " + std::to_string(slots_of_parameter_.size()) + " parameters, got " +
                            std::to_string(factors.size()));
    run(kStreamWork, [&] { parameters_.scale_values(factors); });
  }

  void average_values(int k, double keep) {
    check_slot(k);
    check_number(keep, "keep");
    run(kStreamWork, [&] { parameters_.average_values(k, static_cast<float>(keep)); });
  }

  void sgd(double learning_rate, double momentum, bool nesterov) {
    if (momentum != 0.0 && slots_ < 1)
      throw py::value_error("momentum: a group made with slots=0 has no velocity, got " + std::to_string(momentum));
    SgdArgs a{};
    a.learning_rate = static_cast<float>(learning_rate);
    a.momentum = momentum > 0.0 ? above_zero(momentum) : static_cast<float>(momentum);
    a.nesterov = nesterov;
    run(kUpdateWork, [&] { parameters_.sgd(a); });
  }

  void adam(double learning_rate, double beta_1, double beta_2, double epsilon, std::int64_t step, bool amsgrad) {
    need_slots(amsgrad ? 3 : 2, "adam");
    const double t = check_step(step);
    check_beta(beta_1, "beta_1");
    check_beta(beta_2, "beta_2");
    AdamArgs a{};
    a.step = static_cast<float>(learning_rate * std::sqrt(1.0 - std::pow(beta_2, t)) / (1.0 - std::pow(beta_1, t)));
    set_moments(a, beta_1, beta_2, epsilon);
    a.amsgrad = amsgrad;
    run(kUpdateWork, [&] { parameters_.adam(a); });
  }

  void adamax(double learning_rate, double beta_1, double beta_2, double epsilon, std::int64_t step) {
    need_slots(2, "adamax");
    const double t = check_step(step);
    check_beta(beta_1, "beta_1");
    check_beta(beta_2, "beta_2");
    AdamaxArgs a{};
    a.step = static_cast<float>(learning_rate / (1.0 - std::pow(beta_1, t)));
    set_moments(a, beta_1, beta_2, epsilon);
    run(kUpdateWork, [&] { parameters_.adamax(a); });
  }

  // Keras's schedule of the momentum, beta_1 (1 - 0.96^t / 2); `product` is that of all of them up to this step.
  void nadam(double learning_rate, double beta_1, double beta_2, double epsilon, std::int64_t step, double product) {
    need_slots(2, "nadam");
    const double t = check_step(step);
    check_beta(beta_1, "beta_1");
    check_beta(beta_2, "beta_2");
    check_beta(product, "product");
    const double now = beta_1 * (1.0 - 0.5 * std::pow(0.96, t)), next = beta_1 * (1.0 - 0.5 * std::pow(0.96, t + 1.0));
    NadamArgs a{};
    a.mean_step = static_cast<float>(learning_rate * next / (1.0 - product * next));
    a.gradient_step = static_cast<float>(learning_rate * (1.0 - now) / (1.0 - product));
    a.variance_correction = static_cast<float>(1.0 / (1.0 - std::pow(beta_2, t)));
    set_moments(a, beta_1, beta_2, epsilon);
    run(kUpdateWork, [&] { parameters_.nadam(a); });
  }

  void lion(double learning_rate, double beta_1, double beta_2) {
    need_slots(1, "lion");
    LionArgs a{};
    a.learning_rate = static_cast<float>(learning_rate);
    set_moments(a, beta_1, beta_2, 0.0);
    run(kUpdateWork, [&] { parameters_.lion(a); });
  }

  void rmsprop(double learning_rate, double rho, double momentum, double epsilon, bool centered) {
    need_slots(1 + (momentum > 0.0 ? 1 : 0) + (centered ? 1 : 0), "rmsprop");
    RmspropArgs a{};
    a.learning_rate = static_cast<float>(learning_rate);
    a.rho = static_cast<float>(rho);
    a.one_minus_rho = static_cast<float>(1.0 - rho);
    a.momentum = momentum > 0.0 ? above_zero(momentum) : 0.0f;
    a.epsilon = static_cast<float>(epsilon);
    a.centered = centered;
    run(kUpdateWork, [&] { parameters_.rmsprop(a); });
  }

  void adagrad(double learning_rate, double epsilon) {
    need_slots(1, "adagrad");
    AdagradArgs a{};
    a.learning_rate = static_cast<float>(learning_rate);
    a.epsilon = static_cast<float>(epsilon);
    run(kUpdateWork, [&] { parameters_.adagrad(a); });
  }

  void adadelta(double learning_rate, double rho, double epsilon) {
    need_slots(2, "adadelta");
    AdadeltaArgs a{};
    a.learning_rate = static_cast<float>(learning_rate);
    a.rho = static_cast<float>(rho);
    a.one_minus_rho = static_cast<float>(1.0 - rho);
    a.epsilon = static_cast<float>(epsilon);
    run(kUpdateWork, [&] { parameters_.adadelta(a); });
  }

  std::int64_t size() const { return parameters_.size(); }

 private:
  static int check_slots(int slots) {
    if (slots < 0) throw py::value_error("slots: expected 0 or more, got " + std::to_string(slots));
    return slots;
  }
  void check_slot(int k) const {
    if (k < 0 || k >= slots_) throw py::index_error("k: expected a slot below " + std::to_string(slots_) + ", got " + std::to_string(k));
  }
  static void check_positive(double limit, const char* name) {
    if (!(limit > 0)) throw py::value_error(std::string(name) + ": expected a positive number, got " + std::to_string(limit));
  }
  static void check_beta(double beta, const char* name) {
    if (!(beta >= 0 && beta < 1)) throw py::value_error(std::string(name) + ": expected 0 <= beta < 1, got " + std::to_string(beta));
  }
  static void check_number(double x, const char* name) {
    if (std::isnan(x)) throw py::value_error(std::string(name) + ": expected a number, got NaN");
  }
  // Kernels see from the number that there is a momentum: it must not round to 0.
  static float above_zero(double momentum) { return std::max(static_cast<float>(momentum), std::numeric_limits<float>::min()); }
  static void set_moments(MomentArgs& a, double beta_1, double beta_2, double epsilon) {
    a.beta_1 = static_cast<float>(beta_1);
    a.beta_2 = static_cast<float>(beta_2);
    a.one_minus_beta_1 = static_cast<float>(1.0 - beta_1);
    a.one_minus_beta_2 = static_cast<float>(1.0 - beta_2);
    a.epsilon = static_cast<float>(epsilon);
  }
  static double check_step(std::int64_t step) {
    if (step < 1) throw py::value_error("step: expected 1 for the first update and so on, got " + std::to_string(step));
    return static_cast<double>(step);
  }
  void need_slots(int n, const char* optimizer) const {
    if (slots_ < n)
      throw py::value_error(std::string(optimizer) + ": needs a group made with slots=" + std::to_string(n) +
                            ", got slots=" + std::to_string(slots_));
  }
  // As Keras does: a gradient that is not finite must show in the parameters, not vanish.
  static double clip_factor(double norm, double limit) {
    if (!std::isfinite(norm)) return std::numeric_limits<double>::quiet_NaN();
    return norm > limit ? limit / norm : 1.0;
  }

  template <class F>
  void run(double work, F&& f) const {
    without_gil(static_cast<double>(parameters_.size()) * work, f);
  }

  FloatArray take(const py::handle& item, const char* name, std::size_t i) {
    const std::string where = std::string(name) + "[" + std::to_string(i) + "]: expected a writable C-contiguous float32 array, got ";
    if (!py::isinstance<FloatArray>(item)) {
      if (!py::isinstance<py::array>(item)) throw py::type_error(where + std::string(py::str(py::type::of(item))));
      const auto other = py::reinterpret_borrow<py::array>(item);
      throw py::type_error(where + std::string(py::str(other.dtype())) + " of shape " + shape_text(other));
    }
    auto array = py::reinterpret_borrow<FloatArray>(item);
    if (!array.writeable()) throw py::value_error(where + "a read-only one");
    kept_.push_back(array);
    return array;
  }

  std::vector<Parameter> collect(const py::sequence& values, const py::sequence& grads) {
    if (values.size() != grads.size())
      throw py::value_error("grads: expected as many as values, " + std::to_string(values.size()) + ", got " +
                            std::to_string(grads.size()));
    std::vector<Parameter> all;
    std::vector<std::pair<const float*, const float*>> spans;
    for (std::size_t i = 0; i < values.size(); ++i) {
      FloatArray value = take(values[i], "values", i), grad = take(grads[i], "grads", i);
      const std::vector<py::ssize_t> shape(value.shape(), value.shape() + value.ndim());
      if (grad.ndim() != value.ndim() || !std::equal(shape.begin(), shape.end(), grad.shape()))
        throw py::value_error("grads[" + std::to_string(i) + "]: expected the shape of the value, " + shape_text(value) + ", got " +
                              shape_text(grad));
      Parameter p{value.size(), value.mutable_data(), grad.mutable_data(), {}};
      std::vector<FloatArray> slots;
      for (int k = 0; k < slots_; ++k) {
        FloatArray zeros(shape);
        std::fill_n(zeros.mutable_data(), zeros.size(), 0.0f);
        p.slots.push_back(zeros.mutable_data());
        slots.push_back(std::move(zeros));
      }
      slots_of_parameter_.push_back(std::move(slots));
      for (const float* start : {p.value, p.gradient}) spans.emplace_back(start, start + p.size);
      all.push_back(std::move(p));
    }
    // Two threads may update what overlaps at the same time.
    std::sort(spans.begin(), spans.end());
    for (std::size_t i = 1; i < spans.size(); ++i)
      if (spans[i].first < spans[i - 1].second) throw py::value_error("values, grads: expected arrays without common memory, two overlap");
    return all;
  }

  int slots_;
  std::vector<FloatArray> kept_;
  std::vector<std::vector<FloatArray>> slots_of_parameter_;
  ParameterSet parameters_;
};

}  // namespace

void register_optimizers(py::module_& m) {
  py::class_<ParameterGroup>(m, "ParameterGroup", "Parameters of a model, updated in place by one call.")
      .def(py::init([](const py::sequence& values, const py::sequence& grads, int slots, const std::string& isa) {
             return std::make_unique<ParameterGroup>(kernels_or_chosen(isa), values, grads, slots);
           }),
           py::arg("values"), py::arg("grads"), py::arg("slots") = 0, py::arg("isa") = "",
           "values and grads: lists of writable float32 arrays, kept by reference; slots: running means a parameter.")
      .def_property_readonly("size", &ParameterGroup::size, "Elements of all parameters.")
      .def("slot", &ParameterGroup::slot, py::arg("k"), "The k-th running mean of each parameter; writable.")
      .def("global_norm", &ParameterGroup::global_norm, "Euclidean norm of all gradients.")
      .def("norms", &ParameterGroup::norms, "Euclidean norm of each gradient.")
      .def("clip_global_norm", &ParameterGroup::clip_global_norm, py::arg("max_norm"), "Scales all gradients; returns the norm before.")
      .def("clip_norm", &ParameterGroup::clip_norm, py::arg("max_norm"), "Scales each gradient by its own norm.")
      .def("clip_value", &ParameterGroup::clip_value, py::arg("max_value"), "Clips each element to -max_value..max_value.")
      .def("scale_gradients", &ParameterGroup::scale_gradients, py::arg("factor"), "Multiplies all gradients.")
      .def("hold_gradients", &ParameterGroup::hold_gradients, py::arg("k"), "Adds gradients to slot k.")
      .def("release_gradients", &ParameterGroup::release_gradients, py::arg("k"), py::arg("factor"),
           "Gradients become factor times their sum with slot k, which becomes 0.")
      .def("scale_values", &ParameterGroup::scale_values, py::arg("factors"), "Multiplies each parameter by its factor.")
      .def("average_values", &ParameterGroup::average_values, py::arg("k"), py::arg("keep"),
           "Slot k becomes keep times itself and 1 - keep times the values.")
      .def("sgd", &ParameterGroup::sgd, py::arg("learning_rate"), py::arg("momentum") = 0.0, py::arg("nesterov") = false)
      .def("adam", &ParameterGroup::adam, py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
           py::arg("step"), py::arg("amsgrad") = false)
      .def("adamax", &ParameterGroup::adamax, py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
           py::arg("step"))
      .def("nadam", &ParameterGroup::nadam, py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"), py::arg("epsilon"),
           py::arg("step"), py::arg("product"))
      .def("lion", &ParameterGroup::lion, py::arg("learning_rate"), py::arg("beta_1"), py::arg("beta_2"))
      .def("rmsprop", &ParameterGroup::rmsprop, py::arg("learning_rate"), py::arg("rho"), py::arg("momentum"), py::arg("epsilon"),
           py::arg("centered") = false)
      .def("adagrad", &ParameterGroup::adagrad, py::arg("learning_rate"), py::arg("epsilon"))
      .def("adadelta", &ParameterGroup::adadelta, py::arg("learning_rate"), py::arg("rho"), py::arg("epsilon"));
}

}  // namespace lstmfast
