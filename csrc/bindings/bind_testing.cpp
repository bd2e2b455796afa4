// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <atomic>
#include <vector>

#include "bindings/array_args.h"
#include "dispatch/select.h"
#include "gemm/gemm.h"
#include "memory/buffer.h"
#include "threading/parallel.h"

namespace lstmfast {
namespace {

// c (M, N) = a (M, K) b (K, N) + bias, or c += a b: the bare matrix kernel, single-threaded, into the caller's memory.
void matmul(const std::string& isa, const FloatArray& a, const FloatArray& b, const OptionalFloatArray& bias, FloatArray& c,
            bool accumulate, bool blocked) {
  const KernelTable& k = kernels_for(isa);
  check_shape(a, "a", {-1, -1});
  const py::ssize_t m = a.shape(0), depth = a.shape(1);
  check_shape(b, "b", {depth, -1});
  const py::ssize_t n = b.shape(1);
  check_shape(c, "c", {m, n});
  if (bias) check_shape(*bias, "bias", {n});
  const PackedMatrix packed = pack(k, PanelLayout::plain(k, n), b.data(), depth, n, bias ? bias->data() : nullptr, nullptr);
  std::vector<const float*> rows(static_cast<std::size_t>(m));
  for (py::ssize_t i = 0; i < m; ++i) rows[static_cast<std::size_t>(i)] = a.data() + i * depth;
  GemmArgs g{};
  packed.layout.address_columns(g);
  g.rows = static_cast<int>(m);
  packed.address_panels(g, 0, packed.layout.panels);
  g.a = rows.data();
  g.c = c.mutable_data();
  g.ldc = n;
  g.load_mask = accumulate ? ~0u : 0u;
  if (blocked) gemm_blocked(k, g);
  else k.gemm(g);
}

// Every thread adds its number, meets the others, and checks that all have added: returns how many rounds went wrong.
int barrier_errors(int threads, int rounds) {
  std::atomic<int> sum{0}, errors{0};
  const py::gil_scoped_release release;
  run_team(threads, [&](const Team& team) {
    const int expected = team.size * (team.size + 1) / 2;
    for (int i = 0; i < rounds; ++i) {
      sum.fetch_add(team.id + 1);
      team.wait();
      if (sum.load() != expected) errors.fetch_add(1);
      team.wait();
      if (team.id == 0) sum.store(0);
      team.wait();
    }
  });
  return errors.load();
}

int team_size(int threads) {
  int size = 0;
  run_team(threads, [&](const Team& team) {
    if (team.id == 0) size = team.size;
  });
  return size;
}

}  // namespace

void register_testing(py::module_& testing) {
  testing.def("matmul", &matmul, py::arg("isa"), py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("bias").noconvert(),
              py::arg("c").noconvert(), py::arg("accumulate") = false, py::arg("blocked") = true);
  testing.def("lanes", [](const std::string& isa) { return kernels_for(isa).lanes; });
  testing.def("poison_buffers", &poison_buffers, py::arg("on"), "Fill scratch memory with NaN before each use.");
  testing.def("barrier_errors", &barrier_errors, py::arg("threads"), py::arg("rounds"));
  testing.def("team_size", &team_size, py::arg("threads"), "Threads that a team of this size really gets here.");
}

}  // namespace lstmfast
