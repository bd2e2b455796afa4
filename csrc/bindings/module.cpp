// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace lstmfast {
void register_runtime(py::module_& m);
void register_attention(py::module_& m, py::module_& testing);
void register_batch_norm(py::module_& m, py::module_& testing);
void register_conv1d(py::module_& m);
void register_dense(py::module_& m);
void register_recurrent(py::module_& m);
void register_layers(py::module_& m);
void register_layer_norm(py::module_& m, py::module_& testing);
void register_ctc(py::module_& m);
void register_optimizers(py::module_& m);
void register_engine(py::module_& m);
void register_streams(py::module_& m);
void register_testing(py::module_& testing);
void register_testing_elementwise(py::module_& testing);
}  // namespace lstmfast

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "Native kernels of lstmfast. Arrays are float32 and C-contiguous; nothing is converted silently.";
  lstmfast::register_runtime(m);
  lstmfast::register_dense(m);
  lstmfast::register_conv1d(m);
  lstmfast::register_recurrent(m);
  lstmfast::register_layers(m);
  lstmfast::register_ctc(m);
  lstmfast::register_optimizers(m);
  lstmfast::register_engine(m);
  lstmfast::register_streams(m);
  auto testing = m.def_submodule("testing", "Kernels of a chosen instruction set, for tests and benchmarks.");
  lstmfast::register_testing(testing);
  lstmfast::register_testing_elementwise(testing);
  lstmfast::register_attention(m, testing);
  lstmfast::register_batch_norm(m, testing);
  lstmfast::register_layer_norm(m, testing);
}
