// SPDX-License-Identifier: BSD-3-Clause
// Scaled dot-product attention, for the layers and, with a chosen instruction set, for tests.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "dispatch/select.h"
#include "layers/attention.h"

namespace lstmfast {
namespace {

AttentionSizes checked_sizes(const FloatArray& q, const FloatArray& k, const FloatArray& v) {
  check_shape(q, "q", {-1, -1, -1, -1});
  check_shape(k, "k", {q.shape(0), -1, -1, q.shape(3)});
  check_shape(v, "v", {q.shape(0), k.shape(1), k.shape(2), -1});
  if (q.shape(2) == 0 || k.shape(2) == 0 || q.shape(2) % k.shape(2))
    throw py::value_error("k: expected a number of heads that divides those of q, got " + shape_text(k) + " with q " + shape_text(q));
  if (q.size() == 0 || k.size() == 0 || v.size() == 0) throw py::value_error("q, k, v: expected shapes without zeros");
  return {q.shape(0), q.shape(1), k.shape(1), q.shape(2), k.shape(2), q.shape(3), v.shape(3)};
}

const float* scores_data(const OptionalFloatArray& a, const char* name, const AttentionSizes& s) {
  if (!a) return nullptr;
  check_shape(*a, name, {s.batch, s.heads, s.steps, s.keys});
  return a->data();
}

py::tuple forward(const KernelTable& kernels, const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale,
                  const std::optional<py::array>& mask, const OptionalFloatArray& drop, bool zero_blind, bool keep) {
  AttentionForwardArgs a{};
  const AttentionSizes& s = a.sizes = checked_sizes(q, k, v);
  a.q = q.data();
  a.k = k.data();
  a.v = v.data();
  a.scale = scale;
  if (mask) {
    if (!py::isinstance<py::array_t<bool>>(*mask)) throw py::type_error("mask: expected an array of bool");
    check_shape(*mask, "mask", {s.batch, s.heads, s.steps, s.keys});
    a.mask = static_cast<const std::uint8_t*>(mask->data());
    std::copy_n(mask->strides(), 4, a.mask_strides);
  }
  a.drop = scores_data(drop, "drop", s);
  a.zero_blind = zero_blind;
  OptionalFloatArray probabilities;
  if (keep) {
    probabilities = new_array({s.batch, s.heads, s.steps, s.keys});
    a.probabilities = probabilities->mutable_data();
  }
  FloatArray context = new_array({s.batch, s.steps, s.heads, s.value_size});
  a.context = context.mutable_data();
  without_gil(s.work(), [&] { attention_forward(kernels, a); });
  return py::make_tuple(context, probabilities);
}

py::tuple backward(const KernelTable& kernels, const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale,
                   const FloatArray& probabilities, const OptionalFloatArray& drop, const OptionalFloatArray& dcontext,
                   const OptionalFloatArray& dprobabilities) {
  AttentionBackwardArgs a{};
  const AttentionSizes& s = a.sizes = checked_sizes(q, k, v);
  a.q = q.data();
  a.k = k.data();
  a.v = v.data();
  a.scale = scale;
  a.probabilities = scores_data(probabilities, "probabilities", s);
  a.drop = scores_data(drop, "drop", s);
  a.dprobabilities = scores_data(dprobabilities, "dprobabilities", s);
  if (dcontext) {
    check_shape(*dcontext, "dcontext", {s.batch, s.steps, s.heads, s.value_size});
    a.dcontext = dcontext->data();
  }
  if (!dcontext && !dprobabilities) throw py::value_error("dcontext: expected an array where dprobabilities is None");
  FloatArray dq = new_array({s.batch, s.steps, s.heads, s.key_size}), dk = new_array({s.batch, s.keys, s.key_heads, s.key_size}),
             dv = new_array({s.batch, s.keys, s.key_heads, s.value_size});
  a.dq = dq.mutable_data();
  a.dk = dk.mutable_data();
  a.dv = dv.mutable_data();
  without_gil(s.work(), [&] { attention_backward(kernels, a); });
  return py::make_tuple(dq, dk, dv);
}

}  // namespace

void register_attention(py::module_& m, py::module_& testing) {
  m.def(
      "attention_forward",
      [](const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale, const std::optional<py::array>& mask,
         const OptionalFloatArray& drop, bool zero_blind,
         bool keep) { return forward(kernels(), q, k, v, scale, mask, drop, zero_blind, keep); },
      py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("scale"), py::arg("mask").noconvert(),
      py::arg("drop").noconvert(), py::arg("zero_blind"), py::arg("keep"),
      "(context (B, T, N, V), probabilities (B, N, T, S) or None) from q (B, T, N, K), k (B, S, M, K), v (B, S, M, V), M a divisor of N; "
      "mask and drop have the shape of the probabilities.");
  m.def(
      "attention_backward",
      [](const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale, const FloatArray& probabilities,
         const OptionalFloatArray& drop, const OptionalFloatArray& dcontext, const OptionalFloatArray& dprobabilities) {
        return backward(kernels(), q, k, v, scale, probabilities, drop, dcontext, dprobabilities);
      },
      py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("scale"), py::arg("probabilities").noconvert(),
      py::arg("drop").noconvert(), py::arg("dcontext").noconvert(), py::arg("dprobabilities").noconvert(), "(dq, dk, dv).");
  testing.def(
      "attention_forward",
      [](const std::string& isa, const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale,
         const std::optional<py::array>& mask, const OptionalFloatArray& drop, bool zero_blind,
         bool keep) { return forward(kernels_for(isa), q, k, v, scale, mask, drop, zero_blind, keep); },
      py::arg("isa"), py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("scale"),
      py::arg("mask").noconvert(), py::arg("drop").noconvert(), py::arg("zero_blind"), py::arg("keep"));
  testing.def(
      "attention_backward",
      [](const std::string& isa, const FloatArray& q, const FloatArray& k, const FloatArray& v, float scale,
         const FloatArray& probabilities, const OptionalFloatArray& drop, const OptionalFloatArray& dcontext,
         const OptionalFloatArray& dprobabilities) {
        return backward(kernels_for(isa), q, k, v, scale, probabilities, drop, dcontext, dprobabilities);
      },
      py::arg("isa"), py::arg("q").noconvert(), py::arg("k").noconvert(), py::arg("v").noconvert(), py::arg("scale"),
      py::arg("probabilities").noconvert(), py::arg("drop").noconvert(), py::arg("dcontext").noconvert(),
      py::arg("dprobabilities").noconvert());
}

}  // namespace lstmfast
