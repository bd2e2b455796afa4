// SPDX-License-Identifier: BSD-3-Clause
// The frozen model.
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <vector>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/cell_args.h"
#include "bindings/gil.h"
#include "bindings/program_class.h"
#include "bindings/tensor_args.h"
#include "bindings/zoneout_args.h"
#include "dispatch/select.h"
#include "engine/convolution_operation.h"
#include "engine/merging_operation.h"
#include "engine/pooling_operation.h"
#include "engine/program.h"
#include "engine/rectifier_operation.h"

namespace lstmfast {

void register_operations(ProgramClass& program);

namespace {

using MaskArray = py::array_t<bool, py::array::c_style>;
using LengthArray = py::array_t<std::int32_t, py::array::c_style>;

using CellArrays = std::tuple<std::string, FloatArray, FloatArray, OptionalFloatArray, std::string, std::string, std::vector<FloatArray>>;

std::unique_ptr<RecurrentWeights> pack_cell(const CellArrays& c) {
  return std::apply([](const auto&... a) { return std::unique_ptr<RecurrentWeights>(new RecurrentWeights(packed_cell(kernels(), a...))); },
                    c);
}

// Slots of what stands before the states, then, if they are given or wanted, those of so many states.
void check_state_slots(const Slots& slots, const char* name, std::size_t before, int states) {
  const std::size_t all = before + static_cast<std::size_t>(states);
  if (slots.size() != before && slots.size() != all)
    throw py::value_error(std::string(name) + ": expected " + std::to_string(before) + " or " + std::to_string(all) + " slots, got " +
                          std::to_string(slots.size()));
}

Merge merge_named(const std::string& name) {
  if (name == "concat") return Merge::kConcat;
  if (name == "sum") return Merge::kSum;
  if (name == "mul") return Merge::kMul;
  if (name == "ave") return Merge::kAve;
  if (name == "none") return Merge::kNone;
  throw py::value_error("merge: expected 'concat', 'sum', 'mul', 'ave' or 'none', got '" + name + "'");
}

void add_dense(Program& p, const std::string& name, Slots in, Slots out, const FloatArray& kernel, const OptionalFloatArray& bias,
               const std::string& activation) {
  check_shape(kernel, "kernel", {-1, -1});
  if (kernel.size() == 0) throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  if (bias) check_shape(*bias, "bias", {kernel.shape(1)});
  const bool softmax = activation == "softmax";
  auto w = std::make_unique<DenseWeights>(kernels(), kernel.data(), bias ? bias->data() : nullptr, kernel.shape(0), kernel.shape(1));
  add<DenseOperation>(p, std::move(in), std::move(out), name, 1, std::move(w),
                      softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax);
}

Pool pool_named(const std::string& name) {
  if (name == "max") return Pool::kMax;
  if (name == "average") return Pool::kAverage;
  throw py::value_error("pool: expected 'max' or 'average', got '" + name + "'");
}

Join join_named(const std::string& name) {
  constexpr const char* kNames[] = {"add", "subtract", "multiply", "average", "maximum", "minimum"};
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i)
    if (name == kNames[i]) return static_cast<Join>(i);
  throw py::value_error("join: expected 'add', 'subtract', 'multiply', 'average', 'maximum' or 'minimum', got '" + name + "'");
}

Padding padding_named(const std::string& name) {
  if (name == "valid") return Padding::kValid;
  if (name == "same") return Padding::kSame;
  if (name == "causal") return Padding::kCausal;
  throw py::value_error("padding: expected 'valid', 'same' or 'causal', got '" + name + "'");
}

void add_conv1d(Program& p, const std::string& name, Slots in, Slots out, const FloatArray& kernel, const OptionalFloatArray& bias,
                py::ssize_t stride, py::ssize_t dilation, py::ssize_t groups, const std::string& padding, const std::string& activation) {
  check_shape(kernel, "kernel", {-1, -1, -1});
  if (kernel.size() == 0) throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  if (bias) check_shape(*bias, "bias", {kernel.shape(2)});
  if (stride <= 0 || dilation <= 0) throw py::value_error("stride, dilation: expected positive numbers");
  if (groups <= 0 || kernel.shape(2) % groups)
    throw py::value_error("groups: expected a divisor of the filters, got " + std::to_string(groups));
  const bool softmax = activation == "softmax";
  auto w = std::make_unique<Conv1DWeights>(kernels(), kernel.data(), bias ? bias->data() : nullptr, kernel.shape(0), kernel.shape(1),
                                           kernel.shape(2), groups);
  add<Conv1DOperation>(p, std::move(in), std::move(out), name, 1, std::move(w),
                       Conv1DOperation::Options{stride, dilation, padding_named(padding),
                                                softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax});
}

py::object run(const Program& p, const std::vector<py::array>& xs, const std::optional<std::vector<std::optional<LengthArray>>>& lengths,
               const std::optional<std::vector<std::optional<MaskArray>>>& masks,
               const std::optional<std::vector<OptionalFloatArray>>& outs) {
  if (xs.size() != p.inputs().size())
    throw py::value_error("x: expected " + std::to_string(p.inputs().size()) + " arrays, got " + std::to_string(xs.size()));
  SlotArray slots(p.slots());
  Run r{slots.data()};
  for (std::size_t i = 0; i < xs.size(); ++i) {
    Tensor& t = r.slots[p.inputs()[i]];
    set_input(t, xs[i], static_cast<int>(i));
    if (t.batch != r.slots[p.inputs()[0]].batch) throw py::value_error("x: expected arrays of the same batch size");
    if (lengths && (*lengths)[i]) {
      const LengthArray& n = *(*lengths)[i];
      check_shape(n, "lengths", {t.batch});
      t.lengths = n.data();
      for (int b = 0; b < t.batch; ++b)
        if (t.lengths[b] < 0 || t.lengths[b] > t.time)
          throw py::value_error("lengths: expected 0 to " + std::to_string(t.time) + ", got " + std::to_string(t.lengths[b]) + " for row " +
                                std::to_string(b));
    }
    if (masks && (*masks)[i]) {
      check_shape(*(*masks)[i], "mask", {t.batch, t.time});
      t.mask = reinterpret_cast<const std::uint8_t*>((*masks)[i]->data());
    }
  }
  p.infer(r);
  if (outs && outs->size() != p.outputs().size())
    throw py::value_error("out: expected " + std::to_string(p.outputs().size()) + " arrays, got " + std::to_string(outs->size()));
  if (p.outputs().size() == 1) {
    FloatArray y = result(r.slots[p.outputs()[0]], outs ? (*outs)[0] : OptionalFloatArray(), "out");
    if (outs)
      for (const py::array& x : xs) check_apart(y, x, "x");
    float* const to = y.mutable_data();
    without_gil(p.work(r), [&] { p.execute(r, &to); });
    return y;
  }
  py::tuple ys(p.outputs().size());
  std::vector<float*> to;
  for (std::size_t i = 0; i < p.outputs().size(); ++i) {
    FloatArray y = result(r.slots[p.outputs()[i]], outs ? (*outs)[i] : OptionalFloatArray(), "out");
    if (outs) {
      for (const py::array& x : xs) check_apart(y, x, "x");
      for (std::size_t k = 0; k < i; ++k) check_apart(y, (*outs)[k].value(), "another output");
    }
    to.push_back(y.mutable_data());
    ys[i] = y;
  }
  without_gil(p.work(r), [&] { p.execute(r, to.data()); });
  return ys;
}

}  // namespace

void register_engine(py::module_& m) {
  ProgramClass program(m, "Program", "Prepacked operations on numbered slots, run in one call.");
  program.def(py::init<int, Slots, Slots>(), py::arg("slots"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "recurrent",
          [](Program& p, const std::string& name, Slots in, Slots out, const CellArrays& cell, bool sequences, bool backwards,
             bool zero_masked, const std::array<float, 2>& zoneout) {
            auto weights = pack_cell(cell);
            check_state_slots(in, "inputs", 1, weights->cell.states);
            check_state_slots(out, "outputs", 1, weights->cell.states);
            const RecurrentOperation::Options options{sequences, backwards, zero_masked, checked_zoneout(zoneout)};
            p.add(std::make_unique<RecurrentOperation>(std::move(in), std::move(out), name, std::move(weights), options));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("cell"), py::arg("return_sequences"), py::arg("go_backwards"),
          py::arg("zero_output_for_mask"), py::arg("zoneout"))
      .def(
          "bidirectional",
          [](Program& p, const std::string& name, Slots in, Slots out, const CellArrays& forward, const CellArrays& backward,
             const std::string& merge, bool sequences, bool backwards, bool zero_masked, const std::array<float, 2>& zoneout) {
            auto one = pack_cell(forward), two = pack_cell(backward);
            const RecurrentOperation::Options options{sequences, backwards, zero_masked, checked_zoneout(zoneout)};
            check_slots(in, "inputs", 1, 1);
            check_state_slots(out, "outputs", merge_named(merge) == Merge::kNone ? 2 : 1, one->cell.states + two->cell.states);
            p.add(std::make_unique<BidirectionalOperation>(std::move(in), std::move(out), name, std::move(one), std::move(two), options,
                                                           merge_named(merge)));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("forward"), py::arg("backward"), py::arg("merge"),
          py::arg("return_sequences"), py::arg("go_backwards"), py::arg("zero_output_for_mask"), py::arg("zoneout"))
      .def("dense", &add_dense, py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("kernel").noconvert(),
           py::arg("bias").noconvert(), py::arg("activation"))
      .def("conv1d", &add_conv1d, py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("kernel").noconvert(),
           py::arg("bias").noconvert(), py::arg("stride"), py::arg("dilation"), py::arg("groups"), py::arg("padding"),
           py::arg("activation"))
      .def(
          "activation",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& activation) {
            const bool softmax = activation == "softmax";
            add<ActivationOperation>(p, std::move(in), std::move(out), name, 1, kernels(),
                                     softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax);
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("activation"))
      .def(
          "embedding",
          [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& table, bool mask_zero) {
            check_shape(table, "table", {-1, -1});
            if (table.size() == 0) throw py::value_error("table: expected a shape without zeros, got " + shape_text(table));
            add<EmbeddingOperation>(p, std::move(in), std::move(out), name, 1, table.data(), table.shape(0), table.shape(1), mask_zero);
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("table").noconvert(), py::arg("mask_zero"))
      .def(
          "masking",
          [](Program& p, const std::string& name, Slots in, Slots out, float value, bool clears) {
            add<MaskingOperation>(p, std::move(in), std::move(out), name, 1, value, clears);
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("value"), py::arg("clears"))
      .def(
          "concatenate",
          [](Program& p, const std::string& name, Slots in, Slots out) {
            check_slots(out, "outputs", 1, 1);
            p.add(std::make_unique<ConcatenateOperation>(std::move(in), std::move(out), name));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "pooling",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& pool, py::ssize_t size, py::ssize_t stride,
             bool same) {
            if (size <= 0 || stride <= 0) throw py::value_error("size, stride: expected positive numbers");
            add<PoolingOperation>(p, std::move(in), std::move(out), name, 1,
                                  PoolingOperation::Options{pool_named(pool), size, stride, same});
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("pool"), py::arg("size"), py::arg("stride"), py::arg("same"))
      .def(
          "adaptive_pooling",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& pool, py::ssize_t windows) {
            if (windows <= 0) throw py::value_error("windows: expected a positive number, got " + std::to_string(windows));
            add<PoolingOperation>(p, std::move(in), std::move(out), name, 1,
                                  PoolingOperation::Options{pool_named(pool), 1, 1, false, windows});
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("pool"), py::arg("windows"))
      .def(
          "global_pooling",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& pool, bool keepdims) {
            add<GlobalPoolingOperation>(p, std::move(in), std::move(out), name, 1, pool_named(pool), keepdims);
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("pool"), py::arg("keepdims"))
      .def(
          "merge",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& join) {
            check_slots(out, "outputs", 1, 1);
            p.add(std::make_unique<MergingOperation>(std::move(in), std::move(out), name, join_named(join)));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("join"))
      .def("end_mask", &Program::end_mask, "Let no mask go through the operation added last.")
      .def(
          "rectifier",
          [](Program& p, const std::string& name, Slots in, Slots out, std::optional<float> max_value, float negative_slope,
             float threshold) {
            add<RectifierOperation>(
                p, std::move(in), std::move(out), name, 1,
                RectifierOperation::Options{max_value.has_value(), max_value.value_or(0.0f), negative_slope, threshold});
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("max_value"), py::arg("negative_slope"), py::arg("threshold"))
      .def(
          "leaky",
          [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& slopes) {
            check_shape(slopes, "slopes", {-1});
            if (slopes.size() == 0) throw py::value_error("slopes: expected at least one number");
            add<LeakyOperation>(p, std::move(in), std::move(out), name, 1,
                                std::vector<float>(slopes.data(), slopes.data() + slopes.size()));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("slopes").noconvert())
      .def_property_readonly("nbytes", &Program::bytes)
      .def("run", &run, py::arg("xs"), py::arg("lengths") = py::none(), py::arg("masks") = py::none(), py::arg("outs") = py::none());
  register_operations(program);
}

}  // namespace lstmfast
