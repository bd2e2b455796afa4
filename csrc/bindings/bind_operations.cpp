// SPDX-License-Identifier: BSD-3-Clause
// Operations of a frozen model that have no states: arithmetic, normalization, attention, shapes, masks.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/activation_names.h"
#include "bindings/array_args.h"
#include "bindings/program_class.h"
#include "dispatch/select.h"
#include "engine/arithmetic_operation.h"
#include "engine/attention_operation.h"
#include "engine/convolution_operation.h"
#include "engine/id_operations.h"
#include "engine/mask_operations.h"
#include "engine/normalization_operation.h"
#include "engine/shape_operations.h"

namespace lstmfast {

void register_operations(ProgramClass& program);

namespace {

using OptionalBytes = std::optional<py::array_t<bool, py::array::c_style>>;

// A method of this name, whose first arguments are those of all operations.
template <class F, class... Arguments>
void operation(ProgramClass& program, const char* kind, F&& f, const Arguments&... arguments) {
  program.def(kind, std::forward<F>(f), py::arg("name"), py::arg("inputs"), py::arg("outputs"), arguments...);
}

std::vector<float> copied(const FloatArray& a) { return {a.data(), a.data() + a.size()}; }

std::vector<float> vector_of(const OptionalFloatArray& a, const char* name, py::ssize_t width) {
  if (!a) return {};
  check_shape(*a, name, {width});
  return copied(*a);
}

Arithmetic arithmetic_named(const std::string& name) {
  constexpr const char* kNames[] = {"add", "subtract", "multiply", "divide", "maximum", "minimum"};
  for (int i = 0; i < static_cast<int>(std::size(kNames)); ++i)
    if (name == kNames[i]) return static_cast<Arithmetic>(i);
  throw py::value_error("kind: expected 'add', 'subtract', 'multiply', 'divide', 'maximum' or 'minimum', got '" + name + "'");
}

void add_arithmetic(Program& p, const std::string& name, Slots in, Slots out, const std::string& kind, const OptionalFloatArray& constants,
                    bool reverse) {
  ArithmeticOperation::Constants c;
  if (constants) {
    check_shape(*constants, "constants", {-1, -1});
    if (constants->size() == 0) throw py::value_error("constants: expected at least one number");
    c = {copied(*constants), constants->shape(0), constants->shape(1), reverse};
  }
  check_slots(in, "inputs", 1, constants ? 1 : 2);
  check_slots(out, "outputs", 1, 1);
  p.add(std::make_unique<ArithmeticOperation>(std::move(in), std::move(out), name, arithmetic_named(kind), std::move(c)));
}

void add_transposed(Program& p, const std::string& name, Slots in, Slots out, const FloatArray& kernel, const OptionalFloatArray& bias,
                    py::ssize_t stride, py::ssize_t dilation, py::ssize_t cut, py::ssize_t steps_at_zero, const std::string& activation) {
  check_shape(kernel, "kernel", {-1, -1, -1});
  if (kernel.size() == 0) throw py::value_error("kernel: expected a shape without zeros, got " + shape_text(kernel));
  if (stride <= 0 || dilation <= 0) throw py::value_error("stride, dilation: expected positive numbers");
  if (cut < 0) throw py::value_error("cut: expected no negative number, got " + std::to_string(cut));
  const bool softmax = activation == "softmax";
  add<TransposedConvolutionOperation>(
      p, std::move(in), std::move(out), name, 1, kernels(), kernel.data(), kernel.shape(0), kernel.shape(1), kernel.shape(2),
      vector_of(bias, "bias", kernel.shape(1)),
      TransposedConvolutionOperation::Options{stride, dilation, cut, steps_at_zero,
                                              softmax ? Activation::kLinear : activation_named(activation, "activation"), softmax});
}

// What attention of all kinds is told of who sees what.
Visibility visibility_of(bool causal, std::int64_t window, const OptionalBytes& pairs, bool query_mask_hides, bool key_mask_hides,
                         bool zero_blind) {
  Visibility v;
  v.causal = causal;
  v.window = window;
  v.query_mask_hides = query_mask_hides;
  v.key_mask_hides = key_mask_hides;
  v.zero_blind = zero_blind;
  if (window < 0) throw py::value_error("window: expected no negative number, got " + std::to_string(window));
  if (pairs) {
    check_shape(*pairs, "pairs", {-1, -1});
    if (pairs->size() == 0) throw py::value_error("pairs: expected a shape without zeros, got " + shape_text(*pairs));
    v.pairs.assign(pairs->data(), pairs->data() + pairs->size());
    v.pair_steps = pairs->shape(0);
    v.pair_keys = pairs->shape(1);
  }
  return v;
}

void add_attention(Program& p, const std::string& name, Slots in, Slots out, std::int64_t heads, std::int64_t key_heads,
                   std::int64_t key_size, std::int64_t value_size, float scale, bool causal, std::int64_t window,
                   const OptionalBytes& pairs, bool query_mask_hides, bool key_mask_hides, bool zero_blind) {
  if (heads <= 0 || key_heads <= 0 || heads % key_heads) throw py::value_error("key_heads: expected a divisor of heads");
  if (key_size <= 0 || value_size <= 0) throw py::value_error("key_size, value_size: expected positive numbers");
  check_slots(in, "inputs", 3, 4);
  check_slots(out, "outputs", 1, 1);
  p.add(std::make_unique<AttentionOperation>(std::move(in), std::move(out), name, kernels(),
                                             AttentionOperation::Heads{heads, key_heads, key_size, value_size, scale},
                                             visibility_of(causal, window, pairs, query_mask_hides, key_mask_hides, zero_blind)));
}

void add_additive_attention(Program& p, const std::string& name, Slots in, Slots out, std::int64_t value_size, float inner,
                            const FloatArray& outer, bool causal) {
  check_shape(outer, "outer", {-1});
  if (outer.size() == 0 || value_size <= 0) throw py::value_error("outer, value_size: expected at least one feature");
  add<AdditiveAttentionOperation>(p, std::move(in), std::move(out), name, 3, kernels(), outer.size(), value_size,
                                  visibility_of(causal, 0, {}, false, false, false), inner, copied(outer));
}

using IdArray = py::array_t<std::int64_t, py::array::c_style>;

void add_lookup(Program& p, const std::string& name, Slots in, Slots out, const IdArray& keys, const IdArray& values, std::int32_t other,
                std::int32_t buckets) {
  check_shape(keys, "keys", {-1});
  check_shape(values, "values", {keys.size()});
  if (buckets < 0 || other < 0) throw py::value_error("other, buckets: expected no negative numbers");
  LookupOperation::Table table{{keys.data(), keys.data() + keys.size()}, {}, other, buckets};
  for (py::ssize_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys.at(i) <= keys.at(i - 1)) throw py::value_error("keys: expected ascending numbers");
    if (values.at(i) > INT32_MAX || values.at(i) < INT32_MIN) throw py::value_error("values: expected numbers below 2**31");
    table.values.push_back(static_cast<std::int32_t>(values.at(i)));
  }
  add<LookupOperation>(p, std::move(in), std::move(out), name, 1, std::move(table));
}

Encoding encoding_named(const std::string& name) {
  if (name == "one_hot") return Encoding::kOneHot;
  if (name == "multi_hot") return Encoding::kMultiHot;
  if (name == "count") return Encoding::kCount;
  throw py::value_error("mode: expected 'one_hot', 'multi_hot' or 'count', got '" + name + "'");
}

void register_ids(ProgramClass& program) {
  operation(
      program, "discretize",
      [](Program& p, const std::string& name, Slots in, Slots out, const py::array_t<double, py::array::c_style>& boundaries) {
        check_shape(boundaries, "boundaries", {-1});
        std::vector<double> ascending(boundaries.data(), boundaries.data() + boundaries.size());
        if (!std::is_sorted(ascending.begin(), ascending.end())) throw py::value_error("boundaries: expected ascending numbers");
        add<DiscretizeOperation>(p, std::move(in), std::move(out), name, 1, std::move(ascending));
      },
      py::arg("boundaries").noconvert());
  operation(program, "lookup", &add_lookup, py::arg("keys").noconvert(), py::arg("values").noconvert(), py::arg("other"),
            py::arg("buckets"));
  operation(
      program, "encode",
      [](Program& p, const std::string& name, Slots in, Slots out, const std::string& mode, std::int32_t depth, bool strict) {
        if (depth <= 0) throw py::value_error("depth: expected a positive number, got " + std::to_string(depth));
        add<EncodeOperation>(p, std::move(in), std::move(out), name, 1, encoding_named(mode), depth, strict);
      },
      py::arg("mode"), py::arg("depth"), py::arg("strict"));
}

void register_normalizations(ProgramClass& program) {
  operation(
      program, "normalization",
      [](Program& p, const std::string& name, Slots in, Slots out, std::int64_t width, const OptionalFloatArray& gamma,
         const OptionalFloatArray& beta, float epsilon, bool centered) {
        add<NormalizationOperation>(
            p, std::move(in), std::move(out), name, 1, kernels(),
            NormalizationOperation::Options{width, vector_of(gamma, "gamma", width), vector_of(beta, "beta", width), epsilon, centered});
      },
      py::arg("width"), py::arg("gamma").noconvert(), py::arg("beta").noconvert(), py::arg("epsilon"), py::arg("centered"));
  operation(
      program, "batch_normalization",
      [](Program& p, const std::string& name, Slots in, Slots out, const FloatArray& mean, const FloatArray& scale,
         const OptionalFloatArray& gamma, const OptionalFloatArray& beta) {
        check_shape(mean, "mean", {-1});
        const py::ssize_t width = mean.size();
        add<BatchNormalizationOperation>(
            p, std::move(in), std::move(out), name, 1, kernels(),
            BatchNormalizationOperation::Options{copied(mean), vector_of(scale, "scale", width), vector_of(gamma, "gamma", width),
                                                 vector_of(beta, "beta", width)});
      },
      py::arg("mean").noconvert(), py::arg("scale").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert());
  operation(
      program, "group_normalization",
      [](Program& p, const std::string& name, Slots in, Slots out, std::int64_t width, std::int64_t groups, const OptionalFloatArray& gamma,
         const OptionalFloatArray& beta, float epsilon) {
        if (width <= 0 || groups <= 0 || width % groups) throw py::value_error("groups: expected a divisor of the width");
        add<GroupNormalizationOperation>(
            p, std::move(in), std::move(out), name, 1,
            GroupNormalizationOperation::Options{width, groups, vector_of(gamma, "gamma", width), vector_of(beta, "beta", width), epsilon});
      },
      py::arg("width"), py::arg("groups"), py::arg("gamma").noconvert(), py::arg("beta").noconvert(), py::arg("epsilon"));
  operation(program, "unit_normalization", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<UnitNormalizationOperation>(p, std::move(in), std::move(out), name, 1);
  });
}

void register_shapes_and_masks(ProgramClass& program) {
  operation(
      program, "reshape",
      [](Program& p, const std::string& name, Slots in, Slots out, std::int64_t steps, std::int64_t width) {
        add<ReshapeOperation>(p, std::move(in), std::move(out), name, 1, steps, width);
      },
      py::arg("steps"), py::arg("width"));
  operation(
      program, "repeat",
      [](Program& p, const std::string& name, Slots in, Slots out, int steps) {
        if (steps <= 0) throw py::value_error("steps: expected a positive number, got " + std::to_string(steps));
        add<RepeatOperation>(p, std::move(in), std::move(out), name, 1, steps);
      },
      py::arg("steps"));
  operation(program, "transpose", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<TransposeOperation>(p, std::move(in), std::move(out), name, 1);
  });
  operation(
      program, "resample",
      [](Program& p, const std::string& name, Slots in, Slots out, std::int32_t times, std::int32_t before, std::int32_t behind) {
        if (times <= 0) throw py::value_error("times: expected a positive number, got " + std::to_string(times));
        add<ResampleOperation>(p, std::move(in), std::move(out), name, 1, ResampleOperation::Options{times, before, behind});
      },
      py::arg("times"), py::arg("before"), py::arg("behind"));
  operation(
      program, "pick",
      [](Program& p, const std::string& name, Slots in, Slots out, int step) {
        add<PickOperation>(p, std::move(in), std::move(out), name, 1, step);
      },
      py::arg("step"));
  operation(
      program, "differs",
      [](Program& p, const std::string& name, Slots in, Slots out, double value) {
        add<DiffersOperation>(p, std::move(in), std::move(out), name, 1, value);
      },
      py::arg("value"));
  operation(program, "mask_values", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<MaskValuesOperation>(p, std::move(in), std::move(out), name, 1);
  });
  operation(program, "carry_mask", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<CarryMaskOperation>(p, std::move(in), std::move(out), name, 2);
  });
  operation(program, "give_mask", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<GiveMaskOperation>(p, std::move(in), std::move(out), name, 2);
  });
  operation(program, "refuse_mask", [](Program& p, const std::string& name, Slots in, Slots out) {
    add<RefuseMaskOperation>(p, std::move(in), std::move(out), name, 2);
  });
}

}  // namespace

void register_operations(ProgramClass& program) {
  register_normalizations(program);
  register_shapes_and_masks(program);
  register_ids(program);
  operation(program, "arithmetic", &add_arithmetic, py::arg("kind"), py::arg("constants").noconvert(), py::arg("reverse"));
  operation(program, "transposed_convolution", &add_transposed, py::arg("kernel").noconvert(), py::arg("bias").noconvert(),
            py::arg("stride"), py::arg("dilation"), py::arg("cut"), py::arg("steps_at_zero"), py::arg("activation"));
  operation(program, "attention", &add_attention, py::arg("heads"), py::arg("key_heads"), py::arg("key_size"), py::arg("value_size"),
            py::arg("scale"), py::arg("causal"), py::arg("window"), py::arg("pairs").noconvert(), py::arg("query_mask_hides"),
            py::arg("key_mask_hides"), py::arg("zero_blind"));
  operation(program, "additive_attention", &add_additive_attention, py::arg("value_size"), py::arg("inner"), py::arg("outer").noconvert(),
            py::arg("causal"));
}

}  // namespace lstmfast
