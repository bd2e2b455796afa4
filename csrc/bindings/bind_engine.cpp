// SPDX-License-Identifier: BSD-3-Clause
// The frozen model and its streams.
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <vector>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "bindings/zoneout_args.h"
#include "dispatch/select.h"
#include "engine/affine_operation.h"
#include "engine/convolution_operation.h"
#include "engine/merging_operation.h"
#include "engine/pooling_operation.h"
#include "engine/program.h"
#include "engine/rectifier_operation.h"
#include "engine/stream.h"

namespace lstmfast {
namespace {

using Slots = std::vector<int>;
using MaskArray = py::array_t<bool, py::array::c_style>;
using LengthArray = py::array_t<std::int32_t, py::array::c_style>;

std::unique_ptr<RecurrentWeights> pack_cell(const std::string& cell, const FloatArray& kernel, const FloatArray& recurrent_kernel,
                                            const OptionalFloatArray& bias, const std::string& activation,
                                            const std::string& recurrent_activation, const std::vector<FloatArray>& extra) {
  std::vector<const float*> extra_data;
  extra_data.reserve(extra.size());
  for (const FloatArray& e : extra) extra_data.push_back(e.data());
  return std::make_unique<RecurrentWeights>(
      kernels(), cell_spec(cell), kernel.data(), recurrent_kernel.data(), bias ? bias->data() : nullptr, static_cast<int>(kernel.shape(0)),
      static_cast<int>(kernel.shape(1)) / cell_spec(cell).gates, activation_named(activation, "activation"),
      activation_named(recurrent_activation, "recurrent_activation"), extra_data, static_cast<int>(recurrent_kernel.shape(0)));
}

using CellArrays = std::tuple<std::string, FloatArray, FloatArray, OptionalFloatArray, std::string, std::string, std::vector<FloatArray>>;

std::unique_ptr<RecurrentWeights> pack_cell(const CellArrays& c) {
  return std::apply([](const auto&... a) { return pack_cell(a...); }, c);
}

Merge merge_named(const std::string& name) {
  if (name == "concat") return Merge::kConcat;
  if (name == "sum") return Merge::kSum;
  if (name == "mul") return Merge::kMul;
  if (name == "ave") return Merge::kAve;
  throw py::value_error("merge: expected 'concat', 'sum', 'mul' or 'ave', got '" + name + "'");
}

void add_dense(Program& p, const std::string& name, Slots in, Slots out, const FloatArray& kernel, const OptionalFloatArray& bias,
               const std::string& activation) {
  const bool softmax = activation == "softmax";
  auto w = std::make_unique<DenseWeights>(kernels(), kernel.data(), bias ? bias->data() : nullptr, kernel.shape(0), kernel.shape(1));
  p.add(std::make_unique<DenseOperation>(std::move(in), std::move(out), name, std::move(w),
                                         softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax));
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
  const bool softmax = activation == "softmax";
  auto w = std::make_unique<Conv1DWeights>(kernels(), kernel.data(), bias ? bias->data() : nullptr, kernel.shape(0), kernel.shape(1),
                                           kernel.shape(2), groups);
  p.add(std::make_unique<Conv1DOperation>(
      std::move(in), std::move(out), name, std::move(w),
      Conv1DOperation::Options{stride, dilation, padding_named(padding),
                               softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax}));
}

// Slots of a run: a program of usual size needs no allocation for them.
class SlotArray {
 public:
  explicit SlotArray(int n) {
    if (n > kInline) many_.resize(static_cast<std::size_t>(n));
    slots_ = n > kInline ? many_.data() : inline_;
  }
  Tensor* data() { return slots_; }

 private:
  static constexpr int kInline = 32;
  Tensor inline_[kInline];
  std::vector<Tensor> many_;
  Tensor* slots_;
};

void set_input(Tensor& t, const py::array& x, int index) {
  const auto what = [&] { return "x" + (index ? "[" + std::to_string(index) + "]" : std::string()); };
  if (!(x.flags() & py::array::c_style)) throw py::value_error(what() + ": expected a C-contiguous array");
  t = {};
  const char kind = x.dtype().kind();
  const bool ids = kind == 'i' && (x.itemsize() == 4 || x.itemsize() == 8);
  if (!ids && !(kind == 'f' && x.itemsize() == 4)) throw py::type_error(what() + ": expected float32, or int32 or int64 ids");
  const py::ssize_t n = x.ndim(), feature_axes = ids ? 0 : 1;
  if (n < 1 + feature_axes || n > 2 + feature_axes)
    throw py::value_error(
        what() +
        (ids ? ": expected shape (batch, time) or (batch,), got " : ": expected shape (batch, time, features) or (batch, features), got ") +
        shape_text(x));
  if (x.size() == 0) throw py::value_error(what() + ": expected a shape without zeros, got " + shape_text(x));
  for (py::ssize_t i = 0; i < n; ++i)
    if (x.shape(i) > INT32_MAX) throw py::value_error(what() + ": too large, shape " + shape_text(x));
  t.batch = static_cast<int>(x.shape(0));
  t.time = n == 2 + feature_axes ? static_cast<int>(x.shape(1)) : 0;
  t.width = ids ? 1 : x.shape(n - 1);
  if (!ids) t.data = static_cast<const float*>(x.data());
  else if (x.itemsize() == 4) t.ids32 = static_cast<const std::int32_t*>(x.data());
  else t.ids64 = static_cast<const std::int64_t*>(x.data());
}

std::vector<py::ssize_t> shape_of(const Tensor& t) {
  if (t.time) return {t.batch, t.time, t.width};
  return {t.batch, t.width};
}

FloatArray result(const Tensor& t, const OptionalFloatArray& out, const char* name) {
  const std::vector<py::ssize_t> shape = shape_of(t);
  if (!out) return FloatArray(shape);
  if (shape.size() == 3) check_shape(*out, name, {shape[0], shape[1], shape[2]});
  else check_shape(*out, name, {shape[0], shape[1]});
  if (!out->writeable()) throw py::value_error(std::string(name) + ": expected a writeable array");
  return *out;
}

// Operations write their results while they still read what came in.
void check_apart(const py::array& out, const py::array& other, const char* what) {
  const auto* const a = static_cast<const char*>(out.data());
  const auto* const b = static_cast<const char*>(other.data());
  if (a < b + other.nbytes() && b < a + out.nbytes())
    throw py::value_error(std::string("out: expected an array that does not overlap ") + what);
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

// A stream with the program that it runs.
struct BoundStream {
  BoundStream(std::shared_ptr<Program> p, int batch)
      : program(std::move(p)),
        stream(*program, batch),
        takes_ids(dynamic_cast<const EmbeddingOperation*>(program->operations().front().get()) != nullptr) {}
  std::shared_ptr<Program> program;
  Stream stream;
  const bool takes_ids;
};

class InUse {
 public:
  explicit InUse(Stream& s) : s_(s) {
    if (!s.enter()) throw std::runtime_error("this stream is in use by another thread; open one stream a thread");
  }
  ~InUse() { s_.leave(); }

 private:
  Stream& s_;
};

std::vector<FloatArray> state_arrays(const Stream& s) {
  std::vector<FloatArray> arrays;
  for (const Operation* op : s.program().stateful())
    for (int k = 0; k < 2; ++k) arrays.push_back(new_array({k < op->n_states() ? s.batch() : 0, op->state_width(k)}));
  return arrays;
}

// Any number of steps; `result_of(tensor)` gives the array for the outputs.
template <class F>
FloatArray advance(BoundStream& b, const py::array& x, F&& result_of) {
  Stream& s = b.stream;
  const InUse guard(s);
  SlotArray slots(b.program->slots());
  Run r{slots.data()};
  Tensor& t = r.slots[b.program->inputs()[0]];
  set_input(t, x, 0);
  if (t.batch != s.batch()) throw py::value_error("x: expected a batch of " + std::to_string(s.batch()) + ", got shape " + shape_text(x));
  std::vector<FloatArray> arrays = state_arrays(s);
  std::vector<float*> states;
  states.reserve(arrays.size());
  for (FloatArray& a : arrays) states.push_back(a.mutable_data());
  r.states = states.data();
  b.program->infer(r);
  FloatArray y = result_of(r.slots[b.program->outputs()[0]]);
  float* const to = y.mutable_data();
  without_gil(b.program->work(r), [&] {
    s.get_states(states.data());
    b.program->execute(r, &to);
    s.set_states(states.data());
  });
  return y;
}

py::object push(BoundStream& b, const py::array& x, const OptionalFloatArray& out) {
  return advance(b, x, [&](const Tensor& t) {
    if (t.time == 0) throw py::value_error("x: expected shape (batch, time, ...), got " + shape_text(x));
    FloatArray y = result(t, out, "out");
    if (out) check_apart(y, x, "x");
    return y;
  });
}

// The array as it is where it is float32 and C-contiguous, else a converted copy of real numbers.
FloatArray as_floats(py::handle x, const char* name) {
  if (py::isinstance<FloatArray>(x)) return py::reinterpret_borrow<FloatArray>(x);
  const py::array any = py::array::ensure(x);
  if (!any) throw py::value_error(std::string(name) + ": expected an array");
  const char kind = any.dtype().kind();
  if (kind != 'f' && kind != 'i' && kind != 'u' && kind != 'b')
    throw py::type_error(std::string(name) + ": expected numbers, got dtype " + py::str(any.dtype()).cast<std::string>());
  return py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(any);
}

py::array as_ids(py::handle x) {
  const py::array any = py::array::ensure(x);
  if (!any) throw py::value_error("x: expected an array");
  const char kind = any.dtype().kind();
  if (kind != 'i' && kind != 'u' && kind != 'b')
    throw py::type_error("x: expected integer ids, got dtype " + py::str(any.dtype()).cast<std::string>());
  if (kind == 'i' && any.itemsize() == 4) return py::array_t<std::int32_t, py::array::c_style>::ensure(any);
  return py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>::ensure(any);
}

// Models that begin with ids, masks and the like take the way of chunks, with one step in the chunk.
py::object step_by_push(BoundStream& b, py::handle x, const OptionalFloatArray& out) {
  py::array given = b.takes_ids ? as_ids(x) : py::array(as_floats(x, "x"));
  if (given.ndim() < 1) throw py::value_error("x: expected an array with a batch axis");
  py::list shape;
  shape.append(given.shape(0));
  shape.append(1);
  for (py::ssize_t i = 1; i < given.ndim(); ++i) shape.append(given.shape(i));
  return advance(b, given.attr("reshape")(shape), [&](Tensor t) {
    t.time = 0;
    FloatArray y = result(t, out, "out");
    if (out) check_apart(y, given, "x");
    return y;
  });
}

py::object step(BoundStream& b, py::handle given, py::handle out) {
  Stream& s = b.stream;
  FloatArray y;
  if (!out.is_none()) {
    if (!py::isinstance<FloatArray>(out)) throw py::type_error("out: expected a C-contiguous float32 array");
    y = py::reinterpret_borrow<FloatArray>(out);
  }
  if (!s.steps_directly()) return step_by_push(b, given, out.is_none() ? OptionalFloatArray() : OptionalFloatArray(y));
  const FloatArray x = as_floats(given, "x");
  if (x.ndim() != 2 || x.shape(0) != s.batch() || x.shape(1) != s.input_width()) check_shape(x, "x", {s.batch(), s.input_width()});
  if (out.is_none()) {
    y = new_array({s.batch(), s.output_width()});
  } else {
    if (y.ndim() != 2 || y.shape(0) != s.batch() || y.shape(1) != s.output_width()) check_shape(y, "out", {s.batch(), s.output_width()});
    if (!y.writeable()) throw py::value_error("out: expected a writeable array");
    check_apart(y, x, "x");
  }
  const InUse guard(s);
  const float* const from = x.data();
  float* const to = y.mutable_data();
  without_gil(s.step_work(), [&] { s.step(from, to); });
  return py::object(y);
}

py::list get_states(BoundStream& b) {
  const InUse guard(b.stream);
  std::vector<FloatArray> arrays = state_arrays(b.stream);
  std::vector<float*> states;
  states.reserve(arrays.size());
  for (FloatArray& a : arrays) states.push_back(a.mutable_data());
  b.stream.get_states(states.data());
  py::list found;
  std::size_t i = 0;
  for (const Operation* op : b.program->stateful()) {
    for (int k = 0; k < op->n_states(); ++k) found.append(arrays[i + static_cast<std::size_t>(k)]);
    i += 2;
  }
  return found;
}

void set_states(BoundStream& b, const std::vector<FloatArray>& given) {
  const InUse guard(b.stream);
  std::vector<const float*> states;
  std::size_t i = 0;
  for (const Operation* op : b.program->stateful())
    for (int k = 0; k < 2; ++k) {
      const bool exists = k < op->n_states();
      if (exists && i == given.size()) throw py::value_error("state: too few arrays, got " + std::to_string(given.size()));
      if (exists) check_shape(given[i], "state", {b.stream.batch(), op->state_width(k)});
      states.push_back(exists ? given[i++].data() : nullptr);
    }
  if (i != given.size()) throw py::value_error("state: expected " + std::to_string(i) + " arrays, got " + std::to_string(given.size()));
  b.stream.set_states(states.data());
}

void reset(BoundStream& b, const std::optional<std::vector<int>>& rows) {
  const InUse guard(b.stream);
  if (rows)
    for (const int row : *rows)
      if (row < 0 || row >= b.stream.batch())
        throw py::index_error("rows: expected 0 to " + std::to_string(b.stream.batch() - 1) + ", got " + std::to_string(row));
  if (rows) b.stream.reset(rows->data(), static_cast<int>(rows->size()));
  else b.stream.reset(nullptr, b.stream.batch());
}

}  // namespace

void register_engine(py::module_& m) {
  py::class_<Program, std::shared_ptr<Program>>(m, "Program", "Prepacked operations on numbered slots, run in one call.")
      .def(py::init<int, Slots, Slots>(), py::arg("slots"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "recurrent",
          [](Program& p, const std::string& name, Slots in, Slots out, const CellArrays& cell, bool sequences, bool backwards,
             bool zero_masked, const std::array<float, 2>& zoneout) {
            auto weights = pack_cell(cell);
            const RecurrentOperation::Options options{sequences, backwards, zero_masked, checked_zoneout(weights->cell, zoneout)};
            p.add(std::make_unique<RecurrentOperation>(std::move(in), std::move(out), name, std::move(weights), options));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("cell"), py::arg("return_sequences"), py::arg("go_backwards"),
          py::arg("zero_output_for_mask"), py::arg("zoneout"))
      .def(
          "bidirectional",
          [](Program& p, const std::string& name, Slots in, Slots out, const CellArrays& forward, const CellArrays& backward,
             const std::string& merge, bool sequences, bool backwards, bool zero_masked, const std::array<float, 2>& zoneout) {
            auto one = pack_cell(forward), two = pack_cell(backward);
            const RecurrentOperation::Options options{sequences, backwards, zero_masked, checked_zoneout(one->cell, zoneout)};
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
            p.add(std::make_unique<ActivationOperation>(std::move(in), std::move(out), name, kernels(),
                                                        softmax ? Activation::kLinear : activation_named(activation, "activation"),
                                                        softmax));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("activation"))
      .def(
          "embedding",
          [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& table, bool mask_zero) {
            p.add(std::make_unique<EmbeddingOperation>(std::move(in), std::move(out), name, table.data(), table.shape(0), table.shape(1),
                                                       mask_zero));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("table").noconvert(), py::arg("mask_zero"))
      .def(
          "masking",
          [](Program& p, const std::string& name, Slots in, Slots out, float value, bool clears) {
            p.add(std::make_unique<MaskingOperation>(std::move(in), std::move(out), name, value, clears));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("value"), py::arg("clears"))
      .def(
          "concatenate",
          [](Program& p, const std::string& name, Slots in, Slots out) {
            p.add(std::make_unique<ConcatenateOperation>(std::move(in), std::move(out), name));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "flatten",
          [](Program& p, const std::string& name, Slots in, Slots out) {
            p.add(std::make_unique<FlattenOperation>(std::move(in), std::move(out), name));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"))
      .def(
          "pooling",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& pool, py::ssize_t size, py::ssize_t stride,
             bool same) {
            p.add(std::make_unique<PoolingOperation>(std::move(in), std::move(out), name,
                                                     PoolingOperation::Options{pool_named(pool), size, stride, same}));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("pool"), py::arg("size"), py::arg("stride"), py::arg("same"))
      .def(
          "global_pooling",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& pool, bool keepdims) {
            p.add(std::make_unique<GlobalPoolingOperation>(std::move(in), std::move(out), name, pool_named(pool), keepdims));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("pool"), py::arg("keepdims"))
      .def(
          "merge",
          [](Program& p, const std::string& name, Slots in, Slots out, const std::string& join) {
            p.add(std::make_unique<MergingOperation>(std::move(in), std::move(out), name, join_named(join)));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("join"))
      .def(
          "rectifier",
          [](Program& p, const std::string& name, Slots in, Slots out, std::optional<float> max_value, float negative_slope,
             float threshold) {
            p.add(std::make_unique<RectifierOperation>(
                std::move(in), std::move(out), name,
                RectifierOperation::Options{max_value.has_value(), max_value.value_or(0.0f), negative_slope, threshold}));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("max_value"), py::arg("negative_slope"), py::arg("threshold"))
      .def(
          "leaky",
          [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& slopes) {
            check_shape(slopes, "slopes", {-1});
            if (slopes.size() == 0) throw py::value_error("slopes: expected at least one number");
            p.add(std::make_unique<LeakyOperation>(std::move(in), std::move(out), name,
                                                   std::vector<float>(slopes.data(), slopes.data() + slopes.size())));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("slopes").noconvert())
      .def(
          "affine",
          [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& scale, const FloatArray& shift, bool inverse) {
            check_shape(scale, "scale", {-1});
            if (scale.size() == 0) throw py::value_error("scale: expected at least one number");
            check_shape(shift, "shift", {scale.size()});
            p.add(std::make_unique<AffineOperation>(std::move(in), std::move(out), name,
                                                    std::vector<float>(scale.data(), scale.data() + scale.size()),
                                                    std::vector<float>(shift.data(), shift.data() + shift.size()), inverse));
          },
          py::arg("name"), py::arg("inputs"), py::arg("outputs"), py::arg("scale").noconvert(), py::arg("shift").noconvert(),
          py::arg("inverse"))
      .def_property_readonly("nbytes", &Program::bytes)
      .def("run", &run, py::arg("xs"), py::arg("lengths") = py::none(), py::arg("masks") = py::none(), py::arg("outs") = py::none());
  py::class_<BoundStream>(m, "Stream", "A program run step by step.")
      .def(py::init<std::shared_ptr<Program>, int>(), py::arg("program"), py::arg("batch"))
      .def_property_readonly("steps_directly", [](const BoundStream& b) { return b.stream.steps_directly(); })
      .def_property_readonly("batch", [](const BoundStream& b) { return b.stream.batch(); })
      .def_property_readonly("takes_ids", [](const BoundStream& b) { return b.takes_ids; })
      .def("step", &step, py::arg("x"), py::arg("out") = py::none(),
           "One step: x (B, I) to (B, O), float32; or (B,) ids. `out`, a (B, O) float32 array, is written and returned.\n\n"
           "Raises ValueError or TypeError if an array does not fit, RuntimeError if another thread is using the stream.")
      .def("push", &push, py::arg("x"), py::arg("out").noconvert() = py::none())
      .def("get_states", &get_states)
      .def("set_states", &set_states, py::arg("states").noconvert())
      .def("reset", &reset, py::arg("rows") = py::none());
}

}  // namespace lstmfast
