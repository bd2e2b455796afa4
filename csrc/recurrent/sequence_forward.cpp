// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/forward_pass.h"
#include "recurrent/planning.h"
#include "recurrent/sequence.h"

namespace lstmfast {
namespace {

// Pairs are numbered by quarters of the batch, in them by steps, in them by rows: threads share rows in such blocks, and each
// then writes memory of its own. Were the rows of a step side by side, a core would prefetch the lines that its neighbour is
// about to write: 8 rows of 64 units took 157 us on two threads instead of 120 (Zen 4). Not by threads: sums over pairs are
// the same for any number of them.
void number_pairs(SequenceTape& tape) {
  constexpr int kBlocks = 4;
  const Sequence& s = tape.sequence;
  tape.pair_of.resize(static_cast<std::size_t>(s.time) * static_cast<std::size_t>(s.batch));
  std::int32_t n = 0;
  for (int block = 0; block < kBlocks; ++block) {
    if (block == kBlocks / 2) tape.first_half = n;
    const Range rows = split(s.batch, kBlocks, block);
    for (int step = 0; step < s.time; ++step)
      for (std::int64_t row = rows.begin; row < rows.end; ++row)
        tape.pair_of[static_cast<std::size_t>(step * static_cast<std::int64_t>(s.batch) + row)] =
            s.valid(static_cast<int>(row), step) ? n++ : -1;
  }
  tape.pairs = n;
}

std::unique_ptr<SequenceTape> new_tape(const RecurrentWeights& w, const Sequence& s) {
  auto tape = std::make_unique<SequenceTape>();
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const std::int64_t ld = state_stride(w), hidden_ld = hidden_stride(w) * s.recurrent_masks;
  tape->sequence = s;
  tape->units_ld = ld;
  tape->outputs_ld = hidden_stride(w);
  number_pairs(*tape);
  tape->planes = tape->pairs + (s.carried[0] ? s.batch : 0);
  tape->gates = Buffer(size(tape->pairs * w.panels() * w.gates_width()));
  if (w.cell.keeps_unit_state) {
    tape->unit_state = Buffer(size(tape->planes * w.padded_units()));
    tape->initial_unit_state = Buffer(size(s.batch * ld));
  }
  if (w.cell.layer_norm) tape->norm_scales = Buffer(size(tape->pairs * 2));
  if (w.two_stages()) tape->staged = Buffer(size(tape->pairs * ld));
  tape->hidden = Buffer(size(tape->planes * hidden_ld));
  tape->initial_hidden = Buffer(size(s.batch * hidden_ld));
  if (s.recurrent_mask) tape->recurrent_mask = Buffer(size(s.batch * hidden_ld));
  return tape;
}

}  // namespace

std::unique_ptr<SequenceTape> sequence_forward(const RecurrentWeights& w, const Sequence& s, float* y, float* const final_state[2],
                                               bool keep) {
  auto tape = keep ? new_tape(w, s) : nullptr;
  const int threads = threads_for_pass(ForwardPass::flops(w, s), w, s);
  ForwardPass pass(w, s, y, final_state, tape.get(), threads);
  Carver measure;
  pass.carve(measure);
  Arena arena(measure.bytes());
  Carver place(arena.data());
  pass.carve(place);
  pass.prepare();
  run_team(threads, [&](const Team& team) { pass.run(team); });
  return tape;
}

}  // namespace lstmfast
