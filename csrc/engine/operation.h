// SPDX-License-Identifier: BSD-3-Clause
// The operations of a frozen model: prepacked, immutable, run by any number of threads at once.
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/tensor.h"
#include "layers/dense.h"
#include "memory/arena.h"
#include "recurrent/sequence.h"

namespace lstmfast {

// One run of a program.
struct Run {
  Tensor* slots;
  // A stream: every recurrent operation gives one output a step, and goes on from these states, which it replaces.
  // Two arrays (h and c, or one and null) an operation with states, in the order of the operations; or null.
  float* const* states = nullptr;
  // Of outputs whose rows end elsewhere than their inputs': live as long as the run.
  std::vector<std::unique_ptr<std::int32_t[]>> made_lengths = {};
  std::int32_t* new_lengths(int batch) {
    made_lengths.push_back(std::make_unique<std::int32_t[]>(static_cast<std::size_t>(batch)));
    return made_lengths.back().get();
  }
};

// Gives an operation memory for its outputs. Masks stay until the program's end, for they are passed on; the rest only until the
// last operation that reads it.
class Placer {
 public:
  Placer(Carver& data, Carver& masks) : data_(data), masks_(masks) {}
  template <class T>
  T* take(std::size_t count) {
    if constexpr (std::is_same_v<T, std::uint8_t>) return masks_.take<T>(count);
    else return data_.take<T>(count);
  }

 private:
  Carver &data_, &masks_;
};

class Operation {
 public:
  Operation(std::vector<int> in, std::vector<int> out, std::string layer)
      : inputs(std::move(in)), outputs(std::move(out)), name(std::move(layer)) {}
  virtual ~Operation() = default;
  // Shape and lengths of the outputs. Throws std::invalid_argument if the input does not fit.
  virtual void infer(Run& run) const = 0;
  // Memory for the outputs and their masks; the first output may be the caller's. What is
  // taken must not depend on masks: they are not there yet when it is measured.
  virtual void place_outputs(Run& run, Placer& memory, float* first_output) const = 0;
  virtual void execute(Run& run) const = 0;
  // Floating-point operations, to choose whether the interpreter lock is worth releasing.
  virtual double work(const Run& run) const = 0;
  virtual std::size_t bytes() const { return 0; }
  virtual bool passes_data() const { return false; }                           // the output may be the (first) input's memory
  virtual bool reads_ids(std::size_t /*which input*/) const { return false; }  // which may hold ids, not numbers
  virtual int n_states() const { return 0; }                                   // of a stream: recurrent 1 or 2
  virtual int state_width(int /*which*/) const { return 0; }

  const std::vector<int> inputs, outputs;
  const std::string name;  // of the layer, for errors
  int state_index = 0;     // first of its pointers in Run::states; set by the program
  bool ends_mask = false;  // what comes out has no mask

 protected:
  const Tensor& input(const Run& run, std::size_t i = 0) const { return run.slots[inputs[i]]; }
  Tensor& output(Run& run, std::size_t i = 0) const { return run.slots[outputs[i]]; }
  const Tensor& output(const Run& run, std::size_t i = 0) const { return run.slots[outputs[i]]; }
  static float* mutable_data(const Tensor& t) { return const_cast<float*>(t.data); }  // a placed output
  [[noreturn]] void refuse(const std::string& what) const;
};

// The default for operations with one output, which has the mask of the (first) input.
class SimpleOperation : public Operation {
 public:
  using Operation::Operation;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
};

// The same where the output's steps are not the input's: it has no mask.
class UnmaskedOperation : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  void place_outputs(Run& run, Placer& memory, float* first_output) const final;
};

class RecurrentOperation final : public Operation {
 public:
  struct Options {
    bool sequences = false, backwards = false, zero_masked = false;
    Zoneout zoneout;
  };
  // inputs: x, then initial states if there are any; outputs: y, then the final states if they are wanted.
  RecurrentOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::unique_ptr<RecurrentWeights> w, Options o)
      : Operation(std::move(in), std::move(out), std::move(layer)), weights(std::move(w)), options(o) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return weights->bytes(); }
  int n_states() const override { return weights->cell.states; }
  int state_width(int which) const override { return which ? weights->units : weights->outputs; }

  // Whether it may run while `before` does: it reads that one's output, step by step.
  bool follows(const RecurrentOperation& before) const {
    return inputs.size() == 1 && inputs[0] == before.outputs[0] && !options.backwards;
  }
  // Whether it should have a thread of its own beside its neighbours: there is but one row, so that threads could only share
  // its units, and its weights are small (LSTM: up to 90 units with an L2 of 1 MiB), so that meetings would cost more than
  // the sharing gains.
  bool pipelines(const Run& run) const;
  // Runs some that follow each other, as many as there are threads for; returns how many.
  static std::size_t execute_pipeline(Run& run, const RecurrentOperation* const* operations, std::size_t count);

  const std::unique_ptr<RecurrentWeights> weights;
  const Options options;
};

enum class Merge { kConcat, kSum, kMul, kAve, kNone };

class BidirectionalOperation final : public Operation {
 public:
  // outputs: y, without a merge that of each direction; then, if they are wanted, the final states of each direction.
  BidirectionalOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::unique_ptr<RecurrentWeights> f,
                         std::unique_ptr<RecurrentWeights> b, RecurrentOperation::Options forward_options, Merge m)
      : Operation(std::move(in), std::move(out), std::move(layer)),
        forward(std::move(f)),
        backward(std::move(b)),
        options(forward_options),
        merge(m) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return forward->bytes() + backward->bytes(); }
  std::size_t n_results() const { return merge == Merge::kNone ? 2 : 1; }  // outputs that are no states
  bool gives_states() const { return outputs.size() > n_results(); }
  const RecurrentWeights& direction(int k) const { return k ? *backward : *forward; }
  // Which of the outputs is a final state of a direction.
  std::size_t state_output(int k, int state) const {
    return n_results() + static_cast<std::size_t>((k ? forward->cell.states : 0) + state);
  }

  const std::unique_ptr<RecurrentWeights> forward, backward;
  const RecurrentOperation::Options options;  // of the forward direction
  const Merge merge;
};

// Dense with its activation; with softmax as a second pass over the rows.
class DenseOperation final : public SimpleOperation {
 public:
  DenseOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::unique_ptr<DenseWeights> w, Activation a, bool s)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), weights(std::move(w)), activation(a), softmax(s) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return weights->forward.bytes(); }

  const std::unique_ptr<DenseWeights> weights;
  const Activation activation;
  const bool softmax;
};

class ActivationOperation final : public SimpleOperation {
 public:
  ActivationOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, Activation a, bool s)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), kernels(k), activation(a), softmax(s) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

  const KernelTable& kernels;
  const Activation activation;
  const bool softmax;
};

class EmbeddingOperation final : public SimpleOperation {
 public:
  EmbeddingOperation(std::vector<int> in, std::vector<int> out, std::string layer, const float* table, std::int64_t vocabulary,
                     std::int64_t width, bool mask_zero);
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return table_.size() * sizeof(float); }
  bool reads_ids(std::size_t) const override { return true; }

 private:
  template <class Id>
  void look_up(const Id* ids, Tensor& out) const;
  std::vector<float> table_;
  std::int64_t vocabulary_, width_;
  bool mask_zero_;
};

// A mask of the steps that hold something else than `value`; other steps become 0 unless nothing reads them.
class MaskingOperation final : public SimpleOperation {
 public:
  bool passes_data() const override { return true; }
  MaskingOperation(std::vector<int> in, std::vector<int> out, std::string layer, float value, bool clears)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), value_(value), clears_(clears) {}
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  float value_;
  bool clears_;
};

// Side by side along the last axis; masks are joined by "or", as in Keras.
class ConcatenateOperation final : public SimpleOperation {
 public:
  using SimpleOperation::SimpleOperation;
  void infer(Run& run) const override;
  void place_outputs(Run& run, Placer& memory, float* first_output) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
};

}  // namespace lstmfast
