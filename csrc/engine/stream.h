// SPDX-License-Identifier: BSD-3-Clause
// A program run step by step: states that stay between calls, and a path for single steps with nothing left to set up.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "engine/convolution_operation.h"
#include "engine/program.h"
#include "threading/parallel.h"

namespace lstmfast {

class Stream {
 public:
  // The program must be a chain: each operation reads what the one before wrote. It must outlive the stream.
  Stream(const Program& program, int batch);

  int batch() const { return batch_; }
  const Program& program() const { return program_; }
  // One step: x (batch, inputs) to y (batch, outputs). Only where steps_directly().
  void step(const float* x, float* y);
  bool steps_directly() const { return direct_; }
  std::int64_t input_width() const { return input_width_; }
  std::int64_t output_width() const { return output_width_; }
  double step_work() const { return work_; }

  // States as plain arrays, (batch, width) each: two an operation that has some (the second unused where it has one).
  void get_states(float* const* states) const;
  void set_states(const float* const* states);
  void reset(const int* rows, int n);  // null: all

  // One caller at a time: a stream is one conversation.
  bool enter() { return !busy_.exchange(true, std::memory_order_acquire); }
  void leave() { busy_.store(false, std::memory_order_release); }

 private:
  struct Layer {
    const RecurrentWeights* recurrent = nullptr;
    const DenseWeights* dense = nullptr;
    const Conv1DOperation* convolution = nullptr;  // one with a state
    const KernelTable* kernels = nullptr;
    Activation activation = Activation::kLinear;
    bool softmax = false;
    std::int64_t ld = 0;  // of rows of h, or of the output
    std::int64_t width = 0;
    float* hidden[2] = {};        // two states of h, taking turns
    float** rows[2] = {};         // row starts of them
    float* unit_state = nullptr;  // [panel][row][VL]
    float* gates = nullptr;       // [panel][row][gates_width]
    float* context = nullptr;     // the steps before, of a convolution
    float* reset_hidden = nullptr;
    float** reset_rows = nullptr;
    Zoneout zoneout;
    float* zone[2] = {};  // one row for all: the shares of h and of c that zoneout keeps; null where that is none
  };
  void carve(Carver& memory);
  void run(const Team& team, float* y) const;
  void run_recurrent(const Layer& layer, const float* const* x, float* const* y, Range rows, int id, int parties, Barrier* meeting) const;
  void run_dense(const Layer& layer, const float* const* x, float* y, Range rows, int id, int parties) const;

  const Program& program_;
  const int batch_;
  bool direct_ = true;
  int parity_ = 0;  // which of the two states of h is the current one
  std::int64_t input_width_ = 0, output_width_ = 0;
  double work_ = 0;
  std::size_t weight_bytes_ = 0;
  std::vector<Layer> layers_;
  std::unique_ptr<Arena> arena_;
  const float** x_rows_ = nullptr;
  float** y_rows_ = nullptr;
  int* identity_ = nullptr;
  std::atomic<bool> busy_{false};
};

}  // namespace lstmfast
