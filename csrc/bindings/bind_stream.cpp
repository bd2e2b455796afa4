// SPDX-License-Identifier: BSD-3-Clause
// The frozen model's streams.
#include <pybind11/stl.h>

#include <memory>
#include <vector>

#include "bindings/array_args.h"
#include "bindings/gil.h"
#include "bindings/tensor_args.h"
#include "engine/program.h"
#include "engine/stream.h"

namespace lstmfast {
namespace {

// A stream with the program that it runs.
struct BoundStream {
  BoundStream(std::shared_ptr<Program> p, int batch)
      : program(std::move(p)), stream(*program, batch), takes_ids(program->operations().front()->reads_ids(0)) {}
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
  if (is_float_array(x)) return py::reinterpret_borrow<FloatArray>(x);
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
    if (!is_float_array(out)) throw py::type_error("out: expected a C-contiguous float32 array");
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

// `step` as CPython calls a builtin method: pybind11's dispatch (a search for the type and for an overload, two casters, a record of
// the call) took a third of the 0.5 us of a step of 8 units. docs/decisions/0006-frozen-programs.md
PyObject* step_method(PyObject* self, PyObject* const* args, Py_ssize_t given, PyObject* keywords) {
  constexpr const char* kNames[] = {"x", "out"};
  constexpr Py_ssize_t kMost = 2;
  PyObject* values[kMost] = {};
  if (given > kMost) return PyErr_Format(PyExc_TypeError, "step() takes at most 2 arguments, got %zd", given);
  for (Py_ssize_t i = 0; i < given; ++i) values[i] = args[i];
  for (Py_ssize_t k = 0, n = keywords ? PyTuple_GET_SIZE(keywords) : 0; k < n; ++k) {
    PyObject* const name = PyTuple_GET_ITEM(keywords, k);
    Py_ssize_t i = 0;
    while (i < kMost && PyUnicode_CompareWithASCIIString(name, kNames[i]) != 0) ++i;
    if (i == kMost) return PyErr_Format(PyExc_TypeError, "step() got an unexpected argument '%U'", name);
    if (values[i]) return PyErr_Format(PyExc_TypeError, "step() got argument '%s' twice", kNames[i]);
    values[i] = args[given + k];
  }
  if (!values[0]) return PyErr_Format(PyExc_TypeError, "step() needs an argument 'x'");
  // The descriptor has checked the type of `self`; there is no object in it where a subclass did not call __init__.
  auto* const stream = static_cast<BoundStream*>(reinterpret_cast<py::detail::instance*>(self)->get_value_and_holder().value_ptr());
  if (!stream) return PyErr_Format(PyExc_TypeError, "step() of a stream that was not initialized");
  try {
    return step(*stream, values[0], values[1] ? values[1] : Py_None).release().ptr();
  } catch (...) {
    py::detail::try_translate_exceptions();
    return nullptr;
  }
}

constexpr const char* kStepDoc =
    "step($self, /, x, out=None)\n--\n\n"
    "One step: x (B, I) to (B, O), float32; or (B,) ids. `out`, a (B, O) float32 array, is written and returned.\n\n"
    "Raises ValueError or TypeError if an array does not fit, RuntimeError if another thread is using the stream.";

void add_step(const py::class_<BoundStream>& stream) {
  static PyMethodDef definition = {"step", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&step_method)),
                                   METH_FASTCALL | METH_KEYWORDS, kStepDoc};
  PyObject* const method = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(stream.ptr()), &definition);
  if (!method) throw py::error_already_set();
  stream.attr("step") = py::reinterpret_steal<py::object>(method);
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

void register_streams(py::module_& m) {
  py::class_<BoundStream> stream(m, "Stream", "A program run step by step.");
  stream.def(py::init<std::shared_ptr<Program>, int>(), py::arg("program"), py::arg("batch"))
      .def_property_readonly("steps_directly", [](const BoundStream& b) { return b.stream.steps_directly(); })
      .def_property_readonly("batch", [](const BoundStream& b) { return b.stream.batch(); })
      .def_property_readonly("takes_ids", [](const BoundStream& b) { return b.takes_ids; })
      .def("push", &push, py::arg("x"), py::arg("out").noconvert() = py::none())
      .def("get_states", &get_states)
      .def("set_states", &set_states, py::arg("states").noconvert())
      .def("reset", &reset, py::arg("rows") = py::none());
  add_step(stream);
}

}  // namespace lstmfast
