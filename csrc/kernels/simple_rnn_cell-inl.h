// SPDX-License-Identifier: BSD-3-Clause
// The simple recurrent cell (Elman 1990): h = act(z). A panel holds `vectors` vectors of adjacent units.
// Uses AnyActivations, store_hidden and load_hidden_gradient of lstm_cell-inl.h.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

void simple_rnn_forward(const CellForwardArgs& a) {
  const AnyActivations act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p)
    for (int r = 0; r < a.rows; ++r) {
      float* z = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[r]) * (a.vectors * kLanes);
      for (int v = 0; v < a.vectors; ++v) {
        const int unit = a.unit + (p * a.vectors + v) * kLanes;
        if (unit >= a.units) break;
        const F32 x = load(z + v * kLanes), h = act.state(x);
        if (a.keep_gates) store(z + v * kLanes, act.keep_state(x, h));
        store_hidden(a, r, unit, zoned_hidden(a, r, unit, h));
      }
    }
}

void simple_rnn_backward(const CellBackwardArgs& a) {
  const AnyActivations act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p)
    for (int r = 0; r < a.rows; ++r) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[r]) * (a.vectors * kLanes);
      for (int v = 0; v < a.vectors; ++v) {
        const int unit = a.unit + (p * a.vectors + v) * kLanes;
        if (unit >= a.units) {  // whole vectors of padding: no gradient may come from them
          store(gates + v * kLanes, zero());
          continue;
        }
        store(gates + v * kLanes, mul(load_hidden_gradient(a, r, unit), act.state_slope(load(gates + v * kLanes))));
      }
    }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
