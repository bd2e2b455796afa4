// SPDX-License-Identifier: BSD-3-Clause
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <vector>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/cell_args.h"
#include "bindings/gil.h"
#include "bindings/zoneout_args.h"
#include "dispatch/select.h"
#include "layers/elementwise.h"
#include "recurrent/sequence.h"

namespace lstmfast {
namespace {

using MaskArray = py::array_t<bool, py::array::c_style>;
using LengthArray = py::array_t<std::int32_t, py::array::c_style>;
using OptionalStates = std::optional<std::vector<OptionalFloatArray>>;

// Keeps the arrays alive from which the backward pass packs its transposes.
struct BoundRecurrentWeights {
  FloatArray kernel, recurrent_kernel;
  std::vector<FloatArray> extra;
  RecurrentWeights weights;
};

// Keeps everything alive that the tape points to.
struct BoundTape {
  std::unique_ptr<SequenceTape> tape;
  FloatArray x;
  std::vector<OptionalFloatArray> initial, carried;
  std::optional<MaskArray> mask;
  std::optional<LengthArray> lengths;
  std::optional<MaskArray> resets;
  OptionalFloatArray input_mask, recurrent_mask;
};

std::unique_ptr<BoundRecurrentWeights> new_weights(const std::string& cell, const FloatArray& kernel, const FloatArray& recurrent_kernel,
                                                   const OptionalFloatArray& bias, const std::string& activation,
                                                   const std::string& recurrent_activation, const std::string& isa,
                                                   const std::vector<FloatArray>& extra) {
  return std::unique_ptr<BoundRecurrentWeights>(new BoundRecurrentWeights{
      kernel, recurrent_kernel, extra,
      packed_cell(kernels_or_chosen(isa), cell, kernel, recurrent_kernel, bias, activation, recurrent_activation, extra)});
}

// Checks states that are given and puts their data into `to`.
std::vector<OptionalFloatArray> take_states(const RecurrentWeights& w, const OptionalStates& given, const char* name, py::ssize_t batch,
                                            const float** to) {
  std::vector<OptionalFloatArray> taken(2);
  if (!given) return taken;
  const std::size_t n_states = static_cast<std::size_t>(w.cell.states);
  if (given->size() != n_states)
    throw py::value_error(std::string(name) + ": expected " + std::to_string(n_states) + " arrays, got " + std::to_string(given->size()));
  for (std::size_t k = 0; k < n_states; ++k) {
    taken[k] = (*given)[k];
    if (!taken[k]) continue;
    check_shape(*taken[k], name, {batch, k == 0 ? w.outputs : w.units});
    to[k] = taken[k]->data();
  }
  return taken;
}

py::tuple forward(const BoundRecurrentWeights& bound, FloatArray x, const OptionalStates& initial_state, std::optional<MaskArray> mask,
                  std::optional<LengthArray> lengths, OptionalFloatArray recurrent_mask, OptionalFloatArray input_mask,
                  bool return_sequences, bool go_backwards, bool zero_output_for_mask, bool save, const OptionalFloatArray& result,
                  std::optional<MaskArray> resets, const std::array<float, 2>& zoneout, std::optional<std::uint64_t> zoneout_key,
                  int first_step, const OptionalStates& carried_state) {
  const RecurrentWeights& w = bound.weights;
  check_shape(x, "x", {-1, -1, w.inputs});
  const py::ssize_t batch = x.shape(0), time = x.shape(1);
  if (time == 0) throw py::value_error("x: expected at least one time step, got shape " + shape_text(x));
  if (batch * time > INT32_MAX)
    throw py::value_error("x: at most 2**31 - 1 steps (batch times time) fit one call, got shape " + shape_text(x));
  Sequence s;
  s.batch = static_cast<int>(batch);
  s.time = static_cast<int>(time);
  s.x = x.data();
  s.reversed = go_backwards;
  s.zero_masked = zero_output_for_mask;
  const std::size_t n_states = static_cast<std::size_t>(w.cell.states);
  std::vector<OptionalFloatArray> initial = take_states(w, initial_state, "initial_state", batch, s.initial);
  std::vector<OptionalFloatArray> carried = take_states(w, carried_state, "carried_state", batch, s.carried);
  for (std::size_t k = 0; carried_state && k < n_states; ++k)
    if (!carried[k]) throw py::value_error("carried_state: expected arrays, got None");
  if (mask) {
    check_shape(*mask, "mask", {batch, time});
    s.mask = reinterpret_cast<const std::uint8_t*>(mask->data());
  }
  if (lengths) {
    check_shape(*lengths, "lengths", {batch});
    s.lengths = lengths->data();
    for (py::ssize_t b = 0; b < batch; ++b)
      if (s.lengths[b] < 0 || s.lengths[b] > time)
        throw py::value_error("lengths: expected 0 to " + std::to_string(time) + ", got " + std::to_string(s.lengths[b]) + " for row " +
                              std::to_string(b));
  }
  if (resets) {
    check_shape(*resets, "resets", {batch, time});
    s.resets = reinterpret_cast<const std::uint8_t*>(resets->data());
  }
  s.zoneout = checked_zoneout(zoneout);
  s.zoneout.random = zoneout_key.has_value();
  s.zoneout.key = zoneout_key.value_or(0);
  s.zoneout.first_step = first_step;
  if (input_mask) {
    check_shape(*input_mask, "input_mask", {batch, w.cell.gates, w.inputs});
    s.input_mask = input_mask->data();
  }
  if (recurrent_mask) {  // one for all gates, or one a gate
    s.recurrent_masks = recurrent_mask->ndim() == 3 ? w.cell.gates : 1;
    if (recurrent_mask->ndim() == 3) check_shape(*recurrent_mask, "recurrent_mask", {batch, w.cell.gates, w.outputs});
    else check_shape(*recurrent_mask, "recurrent_mask", {batch, w.outputs});
    s.recurrent_mask = recurrent_mask->data();
  }
  std::optional<FloatArray> y;
  if (return_sequences) y = result_array(result, {batch, time, w.outputs});
  FloatArray h = return_sequences ? new_array({batch, w.outputs}) : result_array(result, {batch, w.outputs});
  py::list states;
  states.append(h);
  float* final_state[2] = {h.mutable_data(), nullptr};
  if (w.cell.states == 2) {
    FloatArray c = new_array({batch, w.units});
    final_state[1] = c.mutable_data();
    states.append(c);
  }
  float* out = y ? y->mutable_data() : nullptr;
  std::unique_ptr<SequenceTape> tape;
  const double flops = 2.0 * static_cast<double>(batch * time) * w.cell.gates * w.units * (w.inputs + w.outputs);
  without_gil(flops, [&] { tape = sequence_forward(w, s, out, final_state, save); });
  py::object kept = py::none();
  if (save)
    kept = py::cast(
        std::unique_ptr<BoundTape>(new BoundTape{std::move(tape), std::move(x), std::move(initial), std::move(carried), std::move(mask),
                                                 std::move(lengths), std::move(resets), std::move(input_mask), std::move(recurrent_mask)}));
  return py::make_tuple(y ? py::object(*y) : py::object(h), py::tuple(states), kept);
}

py::tuple backward(const BoundRecurrentWeights& bound, BoundTape& kept, const OptionalFloatArray& dy, const OptionalStates& dstates,
                   FloatArray& dkernel, FloatArray& drecurrent, std::optional<FloatArray>& dbias, bool accumulate, bool needs_dx,
                   std::vector<FloatArray> dextra) {
  const RecurrentWeights& w = bound.weights;
  if (!kept.tape) throw py::value_error("tape: has been used already; a tape serves one backward pass");
  const Sequence& s = kept.tape->sequence;
  const py::ssize_t columns = static_cast<py::ssize_t>(w.cell.gates) * w.units;
  const std::size_t n_states = static_cast<std::size_t>(w.cell.states);
  SequenceGradients g;
  if (dy) {
    check_shape(*dy, "dy", {s.batch, s.time, w.outputs});
    g.dy = dy->data();
  }
  if (dstates) {
    if (dstates->size() != n_states)
      throw py::value_error("dstates: expected " + std::to_string(n_states) + " arrays, got " + std::to_string(dstates->size()));
    for (std::size_t k = 0; k < n_states; ++k) {
      if (!(*dstates)[k]) continue;
      check_shape(*(*dstates)[k], "dstates", {s.batch, k == 0 ? w.outputs : w.units});
      g.dfinal[k] = (*dstates)[k]->data();
    }
  }
  check_shape(dkernel, "dkernel", {w.inputs, columns});
  check_shape(drecurrent, "drecurrent", {w.outputs, columns});
  if (dbias && w.cell.biases == 1) check_shape(*dbias, "dbias", {columns});
  if (dbias && w.cell.biases == 2) check_shape(*dbias, "dbias", {2, columns});
  g.dkernel = dkernel.mutable_data();
  g.drecurrent = drecurrent.mutable_data();
  g.dbias = dbias ? dbias->mutable_data() : nullptr;
  check_extra(w.cell, w.units, w.outputs, dextra, "dextra", "d");
  for (FloatArray& d : dextra) g.dextra.push_back(d.mutable_data());
  g.accumulate = accumulate;
  std::optional<FloatArray> dx;
  if (needs_dx) {
    dx = new_array({s.batch, s.time, w.inputs});
    g.dx = dx->mutable_data();
  }
  py::list dinitial, dcarried;
  const auto state_gradient = [&](py::list& list, std::size_t k) {
    FloatArray d = new_array({s.batch, k == 0 ? w.outputs : w.units});
    list.append(d);
    return d.mutable_data();
  };
  const bool carried = s.carried[0];
  for (std::size_t k = 0; k < n_states; ++k) {
    g.dinitial[k] = state_gradient(dinitial, k);
    if (carried) g.dcarried[k] = state_gradient(dcarried, k);
  }
  {
    const py::gil_scoped_release release;
    sequence_backward(w, *kept.tape, g);
    kept.tape.reset();
  }
  return py::make_tuple(dx ? py::object(*dx) : py::object(py::none()), py::tuple(dinitial),
                        carried ? py::object(py::tuple(dcarried)) : py::object(py::none()));
}

// The gates buffer (V, B, T, H), vectors as cell_spec.h and the kernels order them, and the state a unit, (B, T, H), that a
// forward pass kept: time as in x, NaN where a step does not count. None for a cell that keeps no such state.
py::object tape_gates(const BoundRecurrentWeights& bound, const BoundTape& kept) {
  const RecurrentWeights& w = bound.weights;
  if (!kept.tape) throw py::value_error("tape: has been used already; its gates have become gradients");
  if (!w.cell.keeps_unit_state) return py::none();
  const SequenceTape& tape = *kept.tape;
  const Sequence& s = tape.sequence;
  const std::int64_t lanes = w.kernels.lanes, width = w.gates_width(), steps = static_cast<std::int64_t>(s.batch) * s.time;
  const int vectors = w.gate_vectors();
  FloatArray gates = new_array({vectors, s.batch, s.time, w.units}), state = new_array({s.batch, s.time, w.units});
  float *g_out = gates.mutable_data(), *s_out = state.mutable_data();
  std::fill_n(g_out, vectors * steps * w.units, std::numeric_limits<float>::quiet_NaN());
  std::fill_n(s_out, steps * w.units, std::numeric_limits<float>::quiet_NaN());
  for (int step = 0; step < s.time; ++step)
    for (int row = 0; row < s.batch; ++row) {
      const std::int64_t pair = tape.pair(step, row), place = static_cast<std::int64_t>(row) * s.time + s.input_time(step);
      if (pair < 0) continue;
      for (std::int64_t u = 0; u < w.units; ++u) {
        const std::int64_t panel = u / lanes, in_panel = panel * tape.pairs + pair, lane = u % lanes;
        s_out[place * w.units + u] = tape.unit_state.data()[(panel * tape.planes + pair) * lanes + lane];
        for (int v = 0; v < vectors; ++v) g_out[(v * steps + place) * w.units + u] = tape.gates.data()[in_panel * width + v * lanes + lane];
      }
    }
  for (int v = 0; v < w.cell.gates && !w.cell.layer_norm; ++v) {  // of some activations what they were given is kept
    const bool of_gate = (w.cell.sigmoids >> ((w.cell.input_first + v) % w.cell.gates)) & 1;
    const Activation activation = of_gate ? w.recurrent_activation : w.activation;
    float* plane = g_out + v * steps * w.units;
    if (slope_needs_input(activation)) activation_forward(w.kernels, activation, steps * w.units, plane, plane);
  }
  return py::make_tuple(gates, state);
}

}  // namespace

void register_recurrent(py::module_& m) {
  py::class_<BoundRecurrentWeights>(m, "RecurrentWeights", "A recurrent cell's weights, packed for the kernels; immutable.")
      .def(py::init(&new_weights), py::arg("cell"), py::arg("kernel").noconvert(), py::arg("recurrent_kernel").noconvert(),
           py::arg("bias").noconvert() = py::none(), py::arg("activation") = "tanh", py::arg("recurrent_activation") = "sigmoid",
           py::arg("isa") = "", py::arg("extra").noconvert() = py::tuple())
      .def_property_readonly("nbytes", [](const BoundRecurrentWeights& b) { return b.weights.bytes(); });
  py::class_<BoundTape>(m, "RecurrentTape", "What a recurrent forward pass keeps for one backward pass.");
  m.def("recurrent_forward", &forward, py::arg("weights"), py::arg("x").noconvert(), py::arg("initial_state").noconvert() = py::none(),
        py::arg("mask").noconvert() = py::none(), py::arg("lengths").noconvert() = py::none(),
        py::arg("recurrent_mask").noconvert() = py::none(), py::arg("input_mask").noconvert() = py::none(),
        py::arg("return_sequences") = false, py::arg("go_backwards") = false, py::arg("zero_output_for_mask") = false,
        py::arg("save") = false, py::arg("out").noconvert() = py::none(), py::arg("resets").noconvert() = py::none(),
        py::arg("zoneout") = std::array<float, 2>{0.0f, 0.0f}, py::arg("zoneout_key") = py::none(), py::arg("first_step") = 0,
        py::arg("carried_state").noconvert() = py::none());
  m.def("recurrent_tape_gates", &tape_gates, py::arg("weights"), py::arg("tape"),
        "The gates buffer (V, B, T, H) and the state a unit (B, T, H) of a forward pass with save=True; NaN at steps that do "
        "not count. None if the cell keeps none.");
  m.def("recurrent_backward", &backward, py::arg("weights"), py::arg("tape"), py::arg("dy").noconvert(), py::arg("dstates").noconvert(),
        py::arg("dkernel").noconvert(), py::arg("drecurrent").noconvert(), py::arg("dbias").noconvert(), py::arg("accumulate") = false,
        py::arg("needs_dx") = true, py::arg("dextra").noconvert() = py::tuple());
}

}  // namespace lstmfast
