// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <algorithm>
#include <atomic>
#include <limits>
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

// Elements [begin, end) of a random mask, or of x times it, in an array like `frame`, whose other elements stay.
FloatArray random_mask(const std::string& isa, std::uint64_t key, const std::vector<std::uint32_t>& stream, std::int64_t begin,
                       std::int64_t end, std::uint32_t threshold, float below, float above, const OptionalFloatArray& x, FloatArray frame) {
  if (stream.size() != 3) throw py::value_error("stream: expected 3 numbers");
  RandomMaskArgs a{};
  a.key = key;
  std::copy(stream.begin(), stream.end(), a.stream);
  a.begin = begin;
  a.end = end;
  a.threshold = threshold;
  a.below = below;
  a.above = above;
  if (x) a.x = x->data();
  a.y = frame.mutable_data();
  kernels_for(isa).random_mask(a);
  return frame;
}

// c (N,) = a (K,) b (K, N) and, beside it, d (M, N) = x (M, L) w (L, N) + bias: gemm_row for some panels at a time, `times` over,
// then gemm_finish. The sums' scratch starts as NaN.
void matmul_beside(const std::string& isa, const FloatArray& a, const FloatArray& b, const FloatArray& x, const FloatArray& w,
                   const OptionalFloatArray& bias, FloatArray& c, FloatArray& d, int times) {
  const KernelTable& k = kernels_for(isa);
  check_shape(b, "b", {-1, -1});
  const py::ssize_t depth = b.shape(0), n = b.shape(1);
  check_shape(a, "a", {depth});
  check_shape(x, "x", {-1, -1});
  const py::ssize_t m = x.shape(0), inner = x.shape(1);
  check_shape(w, "w", {inner, n});
  if (bias) check_shape(*bias, "bias", {n});
  check_shape(c, "c", {n});
  check_shape(d, "d", {m, n});
  const PanelLayout layout = PanelLayout::plain(k, n);
  const PackedMatrix one = pack(k, layout, b.data(), depth, n, nullptr, nullptr);
  const PackedMatrix other = pack(k, layout, w.data(), inner, n, bias ? bias->data() : nullptr, nullptr);
  const py::ssize_t padded = layout.panels * layout.width();
  std::vector<float> c_padded(static_cast<std::size_t>(padded)), d_padded(static_cast<std::size_t>(m * padded));
  std::vector<float> sums(kBesideSums, std::numeric_limits<float>::quiet_NaN()), x_packed(static_cast<std::size_t>(m * inner));
  std::vector<const float*> x_rows(static_cast<std::size_t>(m));
  for (py::ssize_t i = 0; i < m; ++i) x_rows[static_cast<std::size_t>(i)] = x.data() + i * inner;
  const float* const a_row = a.data();
  k.transpose(x_rows.data(), 0, static_cast<int>(m), static_cast<int>(inner), x_packed.data(), m);
  const auto product = [&](const PackedMatrix& packed, const float* const* rows, py::ssize_t count, float* to) {
    GemmArgs g{};
    layout.address_columns(g);
    packed.address_panels(g, 0, layout.panels);
    g.rows = static_cast<int>(count);
    g.a = rows;
    g.c = to;
    g.ldc = padded;
    return g;
  };
  const GemmArgs row = product(one, &a_row, 1, c_padded.data()), rest = product(other, x_rows.data(), m, d_padded.data());
  GemmBeside beside{&rest, x_packed.data(), sums.data(), 0, 0, 0};
  for (int i = 0; i < times; ++i)
    for (int p = 0; p < layout.panels; p += 2) {
      GemmArgs part = row;
      part.panels = std::min(2, layout.panels - p);
      part.b += p * row.b_panel_stride;
      part.c += p * row.c_panel_stride;
      k.gemm_row(part, beside);
      k.gemm_advance(beside, 3);
    }
  k.gemm_finish(beside);
  std::copy_n(c_padded.data(), n, c.mutable_data());
  for (py::ssize_t i = 0; i < m; ++i) std::copy_n(d_padded.data() + i * padded, n, d.mutable_data() + i * n);
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
  testing.def("matmul_beside", &matmul_beside, py::arg("isa"), py::arg("a").noconvert(), py::arg("b").noconvert(), py::arg("x").noconvert(),
              py::arg("w").noconvert(), py::arg("bias").noconvert(), py::arg("c").noconvert(), py::arg("d").noconvert(), py::arg("times"));
  testing.def("random_mask", &random_mask, py::arg("isa"), py::arg("key"), py::arg("stream"), py::arg("begin"), py::arg("end"),
              py::arg("threshold"), py::arg("below"), py::arg("above"), py::arg("x").noconvert(), py::arg("frame").noconvert());
  testing.def("beside_rows", [](const std::string& isa) { return kernels_for(isa).beside_rows; });
  testing.def("lanes", [](const std::string& isa) { return kernels_for(isa).lanes; });
  testing.def("poison_buffers", &poison_buffers, py::arg("on"), "Fill scratch memory with NaN before each use.");
  testing.def("barrier_errors", &barrier_errors, py::arg("threads"), py::arg("rounds"));
  testing.def("team_size", &team_size, py::arg("threads"), "Threads that a team of this size really gets here.");
}

}  // namespace lstmfast
