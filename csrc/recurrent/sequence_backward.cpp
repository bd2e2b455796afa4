// SPDX-License-Identifier: BSD-3-Clause
// Back-propagation through time.
#include <algorithm>
#include <numeric>
#include <utility>

#include "recurrent/backward_job.h"
#include "recurrent/planning.h"

namespace lstmfast {

void sequence_backward(const RecurrentWeights& w, SequenceTape& tape, const SequenceGradients& grads) {
  const Sequence& s = tape.sequence;
  const std::int64_t ld = tape.units_ld, outputs_ld = tape.outputs_ld;
  w.transposed();  // here, as the team below packs nothing
  if (grads.dx) w.transposed_input();

  Buffer dh(static_cast<std::size_t>(s.batch * outputs_ld)), dc, d_initial[2], d_outputs, d_unprojected, d_norm, c_made;
  pad_rows(grads.dfinal[0], s.batch, w.outputs, outputs_ld, outputs_ld, dh.data());
  if (w.cell.projection) {
    d_outputs = Buffer(static_cast<std::size_t>(tape.pairs * outputs_ld));
    d_unprojected = Buffer(static_cast<std::size_t>(s.batch * ld));
    pad_rows(nullptr, s.batch, 0, ld, ld, d_unprojected.data());
  }
  if (w.cell.states == 2) {
    dc = Buffer(static_cast<std::size_t>(s.batch * ld));
    pad_rows(grads.dfinal[1], s.batch, w.units, ld, ld, dc.data());
  }

  const bool zones[2] = {s.zoneout.keeps(w.cell, 0), s.zoneout.keeps(w.cell, 1)};
  if (w.cell.peephole && zones[1]) c_made = Buffer(static_cast<std::size_t>(tape.pairs * w.padded_units()));

  if (s.resets) {
    for (int k = 0; k < std::min(w.cell.states, 2); ++k) {
      const std::int64_t n = s.batch * (k == 0 ? outputs_ld : ld);
      d_initial[k] = Buffer(static_cast<std::size_t>(n));
      std::fill_n(d_initial[k].data(), n, 0.0f);
    }
  }

  const std::int64_t norm_ld = w.cell.layer_norm ? w.padded_units() * RecurrentWeights::kNormWeights : 0;
  if (w.cell.layer_norm) {
    d_norm = Buffer(static_cast<std::size_t>(s.batch * norm_ld));
    std::fill_n(d_norm.data(), s.batch * norm_ld, 0.0f);
  }

  const std::int64_t hidden_ld = outputs_ld * s.recurrent_masks;
  const std::size_t pairs = static_cast<std::size_t>(tape.pairs);
  std::vector<const float*> x_rows(pairs), hidden_rows(pairs), staged_rows(w.two_stages() ? pairs : 0);
  std::vector<std::int32_t> dx_rows(pairs), before(pairs), last(static_cast<std::size_t>(s.batch), -1);
  if (s.carried[0]) std::iota(last.begin(), last.end(), static_cast<std::int32_t>(tape.pairs));
  for (int step = 0; step < s.time; ++step)
    for (int row = 0; row < s.batch; ++row) {
      if (s.resets && s.reset(row, step)) last[static_cast<std::size_t>(row)] = -1;
      const std::int32_t p = tape.pair(step, row);
      if (p < 0) continue;
      const std::size_t i = static_cast<std::size_t>(p);
      dx_rows[i] = row * s.time + s.input_time(step);
      if (w.two_stages()) staged_rows[i] = tape.staged.data() + p * ld;
      x_rows[i] = s.x + static_cast<std::int64_t>(dx_rows[i]) * w.inputs;
      before[i] = std::exchange(last[static_cast<std::size_t>(row)], p);
      hidden_rows[i] = before[i] < 0 ? tape.initial_hidden.data() + row * hidden_ld : tape.hidden.data() + before[i] * hidden_ld;
    }
  if (grads.dx && s.ragged()) std::fill_n(grads.dx, static_cast<std::int64_t>(s.batch) * s.time * w.inputs, 0.0f);

  const double flops =
      4.0 * static_cast<double>(tape.pairs) * w.units * (w.cell.gates * (w.inputs + w.outputs) + (w.cell.projection ? w.outputs : 0));
  const int threads = threads_for_work(flops);
  const std::int64_t weight_rows = BackwardProducts::weight_rows(w, grads.dbias && !w.cell.layer_norm);  // see norm_gradients
  const bool halves = BackwardProducts::sums_halves(w, weight_rows, tape);
  std::vector<Barrier> meetings(static_cast<std::size_t>(threads));
  std::vector<BackwardMemory> memory(static_cast<std::size_t>(threads));
  float* partial = nullptr;
  const auto carve = [&](Carver place) {
    for (BackwardMemory& m : memory) {
      // Should the team turn out to be one thread (busy, forked), that one has room for all rows.
      const int sharing = &m == &memory[0] ? 1 : threads;
      m.rows = BackwardProducts::rows_at_once(weight_rows, sharing, halves);
      m.pointers =
          place.take<const float*>(std::max(BackwardSteps::pointers_needed(s.batch), BackwardProducts::pointers_needed(w, m.rows)));
      m.ints = place.take<int>(BackwardSteps::ints_needed(s.batch));
      for (int k = 0; k < 2; ++k)
        m.zone[k] = zones[k] ? place.take<float>(static_cast<std::size_t>(s.batch * (k == 0 ? outputs_ld : ld))) : nullptr;
      m.scratch =
          place.take<float>(std::max(BackwardSteps::scratch_needed(w, tape), BackwardProducts::scratch_needed(w, tape, m.rows, sharing)));
    }
    if (halves) partial = place.take<float>(static_cast<std::size_t>(weight_rows * w.cell.gates * w.units));
    return place.bytes();
  };
  Arena arena(carve(Carver{}));
  carve(Carver(arena.data()));
  const BackwardJob job{w,
                        tape,
                        grads,
                        ld,
                        outputs_ld,
                        dh.data(),
                        dc.data(),
                        d_outputs.data(),
                        d_unprojected.data(),
                        c_made.data(),
                        {d_initial[0].data(), d_initial[1].data()},
                        d_norm.data(),
                        norm_ld,
                        x_rows.data(),
                        hidden_rows.data(),
                        staged_rows.data(),
                        dx_rows.data(),
                        before.data(),
                        weight_rows,
                        partial,
                        meetings};
  run_team(threads, [&](const Team& team) {
    BackwardMemory& m = memory[static_cast<std::size_t>(team.id)];
    BackwardSteps(job, team, m).run();
    team.wait();
    BackwardProducts(job, team, m).run();
  });

  // What reaches a row's beginning is of the carried states where there are some, else of the initial ones, as resets' is.
  const auto put = [&](float* out, const float* d, int n, std::int64_t stride, bool add) {
    for (int row = 0; row < s.batch && out && d; ++row, out += n, d += stride)
      for (int i = 0; i < n; ++i) out[i] = (add ? out[i] : 0.0f) + d[i];
  };
  for (int k = 0; k < std::min(w.cell.states, 2); ++k) {
    const int n = k == 0 ? w.outputs : w.units;
    const std::int64_t stride = k == 0 ? outputs_ld : ld;
    if (grads.dinitial[k]) std::fill_n(grads.dinitial[k], static_cast<std::int64_t>(s.batch) * n, 0.0f);
    put(s.carried[0] ? grads.dcarried[k] : grads.dinitial[k], (k == 0 ? dh : dc).data(), n, stride, false);
    put(grads.dinitial[k], d_initial[k].data(), n, stride, true);
  }
}

}  // namespace lstmfast
