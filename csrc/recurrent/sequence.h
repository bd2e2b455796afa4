// SPDX-License-Identifier: BSD-3-Clause
// A cell over a batch of sequences, forward and backward: one call for all time steps.
//
// Work is counted in *pairs*: a valid step of a row. Steps that a mask or a length excludes make no pair and cost
// nothing. Each thread owns some rows and some panels of units; threads that share rows meet once a step.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "memory/arena.h"
#include "recurrent/recurrent_weights.h"
#include "threading/parallel.h"

namespace lstmfast {

// Shares of h and of c that keep their value, see zoneout.h. Behind recurrent dropout it is h itself that stays, not what the
// product reads; a projected h keeps of its own columns, c of the units.
struct Zoneout {
  float rate[2] = {};
  bool random = false;  // in training: whole units, drawn anew at each step from key, row and first_step + step
  std::uint64_t key = 0;
  int first_step = 0;
  bool any() const { return rate[0] > 0 || rate[1] > 0; }
  bool keeps(const CellSpec& cell, int state) const { return state < cell.states && rate[state] > 0; }
};

struct Sequence {
  int time = 0, batch = 0;
  const float* x = nullptr;               // (B, T, I)
  const float* initial[2] = {};           // h (B, P), c (B, H), or null for zeros
  const float* carried[2] = {};           // likewise: the states to begin with, where a reset leads to others; or null: the initial ones
  const std::uint8_t* mask = nullptr;     // (B, T), or null
  const std::int32_t* lengths = nullptr;  // (B,), or null
  const std::uint8_t* resets = nullptr;   // (B, T): the state is the initial one again before this step; or null
  // Dropout masks, scaled, the same for all steps; or null. With one mask a gate (Keras draws them so when there is
  // recurrent dropout) each gate's product has inputs of its own.
  const float* input_mask = nullptr;      // (B, G, I): multiplies x on its way into each gate's product
  const float* recurrent_mask = nullptr;  // (B, recurrent_masks, P): multiplies h on its way into the recurrent product
  int recurrent_masks = 1;                // 1 or G
  Zoneout zoneout;
  bool reversed = false;       // from the last step to the first; outputs in processing order
  bool zero_masked = false;    // outputs of masked steps are 0, not the last h; beyond a length they always are
  bool turned = false;         // outputs in the opposite order of processing
  std::int64_t output_ld = 0;  // floats from one step's output to the next (0: outputs), as with two directions side by side

  int input_time(int step) const { return reversed ? time - 1 - step : step; }
  bool ragged() const { return mask || lengths; }
  bool valid(int row, int step) const {
    const int t = input_time(step);
    return (!lengths || t < lengths[row]) && (!mask || mask[static_cast<std::int64_t>(row) * time + t]);
  }
  bool reset(int row, int step) const {
    const int t = input_time(step);
    return resets && (!lengths || t < lengths[row]) && resets[static_cast<std::int64_t>(row) * time + t];
  }
  // Row of y, (B, T, output_ld), that a step writes.
  std::int64_t output_row(int row, int step) const { return static_cast<std::int64_t>(row) * time + (turned ? time - 1 - step : step); }
  // Whether the output of an excluded step is 0.
  bool zero_output(int row, int step) const { return zero_masked || (lengths && input_time(step) >= lengths[row]); }
};

// What the backward pass needs of the forward pass. The arrays that Sequence points to must outlive it.
struct SequenceTape {
  Sequence sequence;
  std::int64_t pairs = 0;
  std::int64_t first_half = 0;        // of them, of the first half of the batch
  std::int64_t planes = 0;            // pairs, and behind them the carried states of each row where there are some
  std::vector<std::int32_t> pair_of;  // [step][row], -1 where excluded
  std::int64_t units_ld = 0;          // floats a row of c, and of what there is a unit
  std::int64_t outputs_ld = 0;        // floats a row of h: units_ld unless h is projected
  Buffer gates;                       // [panel][pair][gates_width]; becomes dG
  Buffer unit_state;                  // [panel][plane][VL]: LSTM c, GRU h
  Buffer staged;                      // [pair][units_ld]: r*h where the reset gate comes before the product; h unprojected
  Buffer norm_scales;                 // [pair][2], for the cell with layer normalization: 1/sqrt(variance) of x's and h's sums
  Buffer hidden;                      // [plane][recurrent_masks][outputs_ld]: h as the recurrent product saw it
  Buffer initial_hidden;              // (B, recurrent_masks, outputs_ld), likewise; zero-padded, as are the next two
  Buffer initial_unit_state;          // (B, units_ld)
  Buffer recurrent_mask;              // (B, recurrent_masks, outputs_ld)

  std::int32_t pair(int step, int row) const {
    return pair_of[static_cast<std::size_t>(step * static_cast<std::int64_t>(sequence.batch) + row)];
  }
};

// Fills y ((B, T, output_ld), or null), final_state[0] = h (B, P) and [1] = c (B, H). With keep, returns the tape.
std::unique_ptr<SequenceTape> sequence_forward(const RecurrentWeights& w, const Sequence& s, float* y, float* const final_state[2],
                                               bool keep);

struct SequenceGradients {
  const float* dy = nullptr;    // like y, or null
  const float* dfinal[2] = {};  // like the final states, or null
  float* dkernel = nullptr;     // (I, G*H)
  float* drecurrent = nullptr;  // (P, G*H)
  float* dbias = nullptr;       // (biases, G*H), or null
  std::vector<float*> dextra;   // one for each of extra_weights(cell)
  bool accumulate = false;      // add to the gradients of weights instead of overwriting them
  float* dx = nullptr;          // (B, T, I), or null
  float* dinitial[2] = {};      // like the initial states
  float* dcarried[2] = {};      // like the carried states
};

// Uses the tape up: its gates become gate gradients.
void sequence_backward(const RecurrentWeights& w, SequenceTape& tape, const SequenceGradients& grads);

}  // namespace lstmfast
