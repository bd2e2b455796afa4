// SPDX-License-Identifier: BSD-3-Clause
// One forward pass over a batch of sequences, ready to be run by a team: the shared buffers, and what each thread does.
#pragma once

#include "memory/arena.h"
#include "recurrent/sequence.h"

namespace lstmfast {

// Layers on threads of their own, each a few steps behind the one below: the steps of x that are there, and of y that are done.
struct Pipeline {
  const Progress* x = nullptr;
  Progress* y = nullptr;
};

class ForwardPass {
 public:
  // `threads`: the largest team that may run it. With a tape, that keeps what the backward pass needs.
  ForwardPass(const RecurrentWeights& w, const Sequence& s, float* y, float* const final_state[2], SequenceTape* tape, int threads,
              Pipeline pipeline = {});

  // Places (or, without memory, measures) the scratch. All of it, then prepare, then run.
  void carve(Carver& memory);
  void prepare();
  // One thread's part; `team` may be a part of a larger one.
  void run(const Team& team);

  static double flops(const RecurrentWeights& w, const Sequence& s) {
    return 2.0 * s.time * s.batch * w.units * (w.cell.gates * (w.inputs + w.outputs) + (w.cell.projection ? w.outputs : 0));
  }

 private:
  friend class ForwardWorker;
  // The row of `hidden` (and, with a tape, the plane of `unit_state`) of the first row's carried state.
  std::int64_t first_slot() const { return tape_ ? tape_->pairs : s_.batch; }
  void place_carried();

  struct ThreadMemory {
    const float **x_rows, **masked_rows, **h_in;
    float **h_out, **y_out, **staged_out;
    float* masked;
    float* zone[2];                      // of h (B, copy_ld), of c (B, ld): see zoneout_shares; null where its rate is 0
    float** h_plain;                     // rows of `plain_hidden_`
    float* kept;                         // (padded units): c until it is mixed, see lstm_norm_forward
    float *beside_sums, *beside_inputs;  // of the input product that advances beside the steps
    int* h_slot;                         // row of `hidden_` that a projection writes
    int *x_index, *x_batch_row, *rows, *batch_row, *index, *c_in, *c_out;
    int* last;       // by row: where its h is, -1 for the initial one
    int* last_step;  // by row: the step that made it, or that none did
  };

  const RecurrentWeights& w_;
  const Sequence& s_;
  float* const y_;
  float* final_state_[2];
  SequenceTape* const tape_;
  const int threads_;
  const Pipeline pipeline_;
  const std::int64_t ld_;         // of rows of c
  const std::int64_t copy_ld_;    // of h
  const std::int64_t hidden_ld_;  // of rows of h, which hold one copy a recurrent mask
  const std::int64_t output_ld_;
  // One row a thread: the next chunk's input products advance beside this chunk's steps (kernels/gemm_row-inl.h).
  const bool beside_;
  int chunk_;                       // steps whose input products are computed at once
  int window_;                      // steps that `gates` has room for, without a tape
  std::int64_t planes_;             // pairs a panel of `gates`
  std::int64_t unit_state_planes_;  // likewise of `unit_state`
  float* gates_ = nullptr;
  float* unit_state_ = nullptr;
  float* hidden_ = nullptr;          // [2][B][hidden_ld] when nothing is kept
  float* staged_ = nullptr;          // (B, ld), or one row a pair
  float* initial_hidden_ = nullptr;  // as the product reads it: times the recurrent mask
  float* initial_unit_state_ = nullptr;
  float* recurrent_mask_ = nullptr;
  float* plain_hidden_ = nullptr;  // (B, copy_ld): h itself, which zoneout keeps, where `hidden_` holds it behind a mask
  int* order_ = nullptr;           // rows, longest first where lengths are given
  Barrier* meetings_ = nullptr;    // one a group of rows
  ThreadMemory* thread_memory_ = nullptr;
};

}  // namespace lstmfast
