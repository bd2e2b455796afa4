// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/gil.h"
#include "capi/capi.h"
#include "dispatch/cpu_features.h"
#include "dispatch/select.h"
#include "memory/buffer.h"
#include "threading/parallel.h"

namespace py = pybind11;

namespace lstmfast {

void register_runtime(py::module_& m) {
  m.attr("__version__") = LSTMFAST_VERSION;
  m.attr("_C_API") = py::capsule(c_api_table(), "lstmfast._core._C_API");
  m.def("isa", [] { return kernels().name; });
  m.def("available_isas", &available_isas);
  m.def("compiled_isas", &compiled_isas);
  m.def("get_num_threads", &num_threads);
  m.def("set_num_threads", &set_num_threads, py::arg("n"));
  m.def("cpus_allowed", &cpus_allowed);
  m.def("gil_work", [] { return static_cast<long long>(kGilWork); });
  m.def("has_openmp", &has_openmp);
  m.def("meeting_ns", &meeting_ns);
  m.def("cache_sizes", [] {
    const CacheSizes& c = cache_sizes();
    return py::make_tuple(c.l1, c.l2, c.l3);
  });
  m.def("release_memory", &release_recycled_buffers, "Give recycled scratch memory back to the system; returns the bytes.");
}

}  // namespace lstmfast
