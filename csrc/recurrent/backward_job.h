// SPDX-License-Identifier: BSD-3-Clause
// The two parts of the backward pass, for one thread: the steps, last to first, with only what depends on the step after
// (gate gradients, and dG x U^T); then the gradients of weights and inputs, products over all pairs at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "recurrent/sequence.h"

namespace lstmfast {

struct BackwardJob {
  const RecurrentWeights& w;
  SequenceTape& tape;
  const SequenceGradients& grads;
  std::int64_t ld, hidden_ld;  // floats a row of c and of h
  float* dh;                   // (B, hidden_ld): gradient of h that comes from later steps
  float* dc;                   // (B, ld)
  float* d_outputs;            // [pair][hidden_ld]: the whole gradient of a projected h
  float* d_unprojected;        // (B, ld)
  float* c_made;               // [panel][pair][VL]: what the cell made before zoneout mixed it, for peepholes; null where it is c
  float* d_initial[2];         // (B, hidden_ld), (B, ld): of initial states that resets bring back; null without resets
  float* d_norm;               // (B, norm_ld): of layer normalization's weights, [panel][14][VL] a row
  std::int64_t norm_ld;
  const float* const* x_rows;       // [pairs]
  const float* const* hidden_rows;  // [pairs]: h of the step before
  const float* const* staged_rows;  // [pairs]: r*h, for the cell whose reset gate comes before the product; h unprojected
  const std::int32_t* dx_rows;      // [pairs]: row of dx, b*T + t
  const std::int32_t* before;       // [pairs]: the row's pair before, -1 for the initial state
  std::int64_t weight_rows;         // of the gradients of kernel, recurrent kernel and bias, one after the other
  float* partial;  // [weight_rows][G*H]: their sums over the second half of the batch; null where all pairs are summed at once
  std::vector<Barrier>& meetings;
};

// Scratch of one thread, the same from call to call as long as the shapes are: what another core has written last comes late.
struct BackwardMemory {
  float* scratch;
  float* zone[2];  // shares of h (B, hidden_ld) and of c (B, ld) that zoneout keeps at a step
  const float** pointers;
  int* ints;
  std::int64_t rows;  // of weights, whose transposed inputs `scratch` can hold
};

class BackwardSteps {
 public:
  BackwardSteps(const BackwardJob& job, const Team& team, BackwardMemory& memory);
  void run();

  static std::size_t pointers_needed(int batch) { return 4 * static_cast<std::size_t>(batch); }
  static std::size_t ints_needed(int batch) { return 3 * static_cast<std::size_t>(batch); }
  static std::size_t scratch_needed(const RecurrentWeights& w, const SequenceTape& tape);

 private:
  int n_columns() const { return std::min(column_end_, j_.w.outputs) - column_begin_; }
  void draw_zoneout(const int* batch_row, int n, int step);
  void unproject(const int* batch_row, const int* index, const float* const* dy, const float* const* output_rows, int n);
  void reset_gradients(const GemmArgs& state_product, CellBackwardArgs c, const float* const* hidden_rows, int n);
  void state_gradients(GemmArgs g, const int* batch_row, int n);
  void start_anew(int step);
  void meet();

  const BackwardJob& j_;
  const Sequence& s_;
  BackwardMemory& m_;
  bool idle_ = false;
  bool carries_hidden_ = false;  // a share of the gradient of h passes a step by
  int group_ = 0, id_ = 0, parties_ = 1, unit_begin_ = 0, unit_end_ = 0, column_begin_ = 0, column_end_ = 0;
  Range rows_{};
};

class BackwardProducts {
 public:
  BackwardProducts(const BackwardJob& job, const Team& team, BackwardMemory& memory)
      : j_(job), s_(job.tape.sequence), team_(team), m_(memory) {}
  void run();

  static std::int64_t weight_rows(const RecurrentWeights& w, bool bias);
  // Whether the weights' gradients are summed over each half of the batch apart: the same for any number of threads.
  static bool sums_halves(const RecurrentWeights& w, std::int64_t weight_rows, const SequenceTape& tape);
  // Rows of weights that each of so many threads takes at once.
  static std::int64_t rows_at_once(std::int64_t weight_rows, int threads, bool halves);
  static std::size_t pointers_needed(const RecurrentWeights& w, std::int64_t rows);
  static std::size_t scratch_needed(const RecurrentWeights& w, const SequenceTape& tape, std::int64_t rows, int threads);

 private:
  void weight_gradients();
  void weight_gradients(Range rows, Range pairs, bool to_partial);
  float* weight_gradient(std::int64_t row) const;
  void projection_gradients();
  void norm_gradients();
  void peephole_gradients();
  void input_gradients();
  void masked_input_gradients(const GemmArgs& g, std::int64_t pair);
  void mask_inputs(Range features, std::int64_t pair, int gate, int depth);
  void transpose(Range features, const float* const* rows, std::int64_t offset, int depth, float* out);

  const BackwardJob& j_;
  const Sequence& s_;
  const Team& team_;
  BackwardMemory& m_;
};

}  // namespace lstmfast
