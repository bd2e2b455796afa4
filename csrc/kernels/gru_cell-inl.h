// SPDX-License-Identifier: BSD-3-Clause
// The gated recurrent unit (Cho et al. 2014), gates in Keras's order z, r, h~:
//   z, r = sigmoid(z)   h = z*h_prev + (1-z)*n
// with the reset gate after the product, n = tanh(x part + r * h part), in the vectors [x part, z, r, h part]; or before
// it, n = tanh(x part + (r*h_prev) U), in the vectors [n, z, r] and in two stages with the product between them.
// The state of each unit (c_in, c_out) is h itself: the rows that the product reads may carry a dropout mask.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

LSTMFAST_INLINE const float* unit_state(const CellForwardArgs& a, int panel, int row, int unit) {
  return a.c_in_row[row] >= 0 ? a.c_in + panel * a.c_in_panel_stride + static_cast<std::int64_t>(a.c_in_row[row]) * kLanes
                              : a.c_initial + a.batch_row[row] * a.c_initial_ld + unit;
}
LSTMFAST_INLINE const float* unit_state_before(const CellBackwardArgs& a, int panel, int row, int unit) {
  return a.c_prev_row[row] >= 0 ? a.c + panel * a.c_panel_stride + static_cast<std::int64_t>(a.c_prev_row[row]) * kLanes
                                : a.c_initial + a.batch_row[row] * a.c_initial_ld + unit;
}

// h = n + z*(h_prev - n), to the unit's state, the product's row and the output.
LSTMFAST_INLINE void mix_state(const CellForwardArgs& a, int panel, int row, int unit, F32 z, F32 n) {
  const F32 before = load(unit_state(a, panel, row, unit));
  F32 h = fma(z, sub(before, n), n);
  if (a.zone_h) h = zoned(load(a.zone_h + row * a.zone_ld + unit), before, h);
  store(a.c_out + panel * a.c_out_panel_stride + static_cast<std::int64_t>(a.c_out_row[row]) * kLanes, h);
  store_hidden(a, row, unit, h);
}

// What of dh passes the step by: the part that z lets through, and what zoneout keeps, which is there already.
LSTMFAST_INLINE void pass_by(const CellBackwardArgs& a, int row, int unit, F32 dh, F32 z) {
  float* out = a.dh + a.batch_row[row] * a.dh_ld + unit;
  store(out, a.zone_h ? fma(dh, z, load(out)) : mul(dh, z));
}

template <class Act>
inline void gru_forward_with(const CellForwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (4 * kLanes);
      const F32 x_z = load(gates + kLanes), x_r = load(gates + 2 * kLanes);
      const F32 z = act.gate(x_z), r = act.gate(x_r);
      const F32 x_n = fma(r, load(gates + 3 * kLanes), load(gates));
      const F32 n = act.state(x_n);
      if (a.keep_gates) {
        store(gates, act.keep_state(x_n, n));
        store(gates + kLanes, act.keep_gate(x_z, z));
        store(gates + 2 * kLanes, act.keep_gate(x_r, r));
      }
      mix_state(a, p, row, unit, z, n);
    }
  }
}

void gru_forward(const CellForwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) gru_forward_with<DefaultActivations>(a);
  else gru_forward_with<AnyActivations>(a);
}

// dG = [dn, dz, dr, dn*r]; dh = dh*z passes by.
template <class Act>
inline void gru_backward_with(const CellBackwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  const F32 one = set1(1.0f);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (4 * kLanes);
      const F32 kept_n = load(gates), kept_z = load(gates + kLanes), kept_r = load(gates + 2 * kLanes), h_part = load(gates + 3 * kLanes);
      const F32 n = act.state_again(kept_n), z = act.gate_again(kept_z), r = act.gate_again(kept_r);
      const F32 dh = load_hidden_gradient(a, row, unit);
      const F32 dn = mul(mul(dh, sub(one, z)), act.state_slope(kept_n));
      store(gates, dn);
      store(gates + kLanes, mul(mul(dh, sub(load(unit_state_before(a, p, row, unit)), n)), act.gate_slope(kept_z)));
      store(gates + 2 * kLanes, mul(mul(dn, h_part), act.gate_slope(kept_r)));
      store(gates + 3 * kLanes, mul(dn, r));
      pass_by(a, row, unit, dh, z);
    }
  }
}

void gru_backward(const CellBackwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) gru_backward_with<DefaultActivations>(a);
  else gru_backward_with<AnyActivations>(a);
}

// ---- the reset gate before the product

// First stage: z and r, and r*h (of h as the product would have read it) into the rows h_out.
template <class Act>
inline void gru_reset_forward_with(const CellForwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (3 * kLanes);
      const F32 x_z = load(gates + kLanes), x_r = load(gates + 2 * kLanes), r = act.gate(x_r);
      store(gates + kLanes, act.keep_gate(x_z, act.gate(x_z)));
      store(gates + 2 * kLanes, act.keep_gate(x_r, r));
      store(a.h_out[row] + unit, mul(r, load(a.h_in[row] + unit)));
    }
  }
}

void gru_reset_forward(const CellForwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) gru_reset_forward_with<DefaultActivations>(a);
  else gru_reset_forward_with<AnyActivations>(a);
}

// Second stage: the candidate and the new state.
void gru_reset_before_forward(const CellForwardArgs& a) {
  const AnyActivations act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p)
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (3 * kLanes);
      const F32 x_n = load(gates), n = act.state(x_n);
      if (a.keep_gates) store(gates, act.keep_state(x_n, n));
      mix_state(a, p, row, a.unit + p * kLanes, act.gate_again(load(gates + kLanes)), n);
    }
}

// First stage backwards: dn and dz; r stays. dh = dh*z passes by.
void gru_reset_before_backward(const CellBackwardArgs& a) {
  const AnyActivations act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (3 * kLanes);
      const F32 kept_n = load(gates), kept_z = load(gates + kLanes), n = act.state_again(kept_n), z = act.gate_again(kept_z);
      const F32 dh = load_hidden_gradient(a, row, unit);
      store(gates, mul(mul(dh, sub(set1(1.0f), z)), act.state_slope(kept_n)));
      store(gates + kLanes, mul(mul(dh, sub(load(unit_state_before(a, p, row, unit)), n)), act.gate_slope(kept_z)));
      pass_by(a, row, unit, dh, z);
    }
  }
}

// Second stage backwards, from the gradient of r*h: dr, and r times it (and the dropout mask) to dh.
void gru_reset_backward(const CellBackwardArgs& a) {
  const AnyActivations act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int row = 0; row < a.rows; ++row) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[row]) * (3 * kLanes);
      float* dh = a.dh + a.batch_row[row] * a.dh_ld + unit;
      const F32 kept_r = load(gates + 2 * kLanes), r = act.gate_again(kept_r);
      const F32 d = load_n(a.dreset + row * a.reset_ld + unit, unit_lanes(a.units, unit));  // nobody wrote the padding
      store(gates + 2 * kLanes, mul(mul(d, load(a.h_in[row] + unit)), act.gate_slope(kept_r)));
      F32 through = mul(d, r);
      if (a.mask) through = mul(through, load(a.mask + a.batch_row[row] * a.mask_stride + unit));
      store(dh, add(load(dh), through));
    }
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
