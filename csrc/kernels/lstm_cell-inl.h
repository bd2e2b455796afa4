// SPDX-License-Identifier: BSD-3-Clause
// The LSTM's gates (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000), in Keras's order i, f, c~, o:
//   i, f, o = sigmoid(z)   g = tanh(z)   c = f*c_prev + i*g   h = o*tanh(c)
// With the default activations the packed weights carry a factor 1/2 in i, f and o, so that
// sigmoid(z) = 1/2 + 1/2 tanh(z/2) needs no multiplication; other activations get z itself.
// With peepholes (Gers & Schmidhuber 2000) the gates see the cell as well: i and f the c before, o the new one.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

// Of a gate the forward pass keeps what the slope follows from: `keep_gate(z, gate(z))`, from which `gate_again` makes its value.
struct DefaultActivations {
  LSTMFAST_INLINE explicit DefaultActivations(Activation, Activation) {}
  LSTMFAST_INLINE F32 gate(F32 half) const { return sigmoid_of_half(half); }
  LSTMFAST_INLINE F32 state(F32 x) const { return tanh(x); }
  LSTMFAST_INLINE F32 keep_gate(F32, F32 y) const { return y; }
  LSTMFAST_INLINE F32 keep_state(F32, F32 y) const { return y; }
  LSTMFAST_INLINE F32 gate_again(F32 kept) const { return kept; }
  LSTMFAST_INLINE F32 state_again(F32 kept) const { return kept; }
  LSTMFAST_INLINE F32 gate_slope(F32 y) const { return mul(y, sub(set1(1.0f), y)); }
  LSTMFAST_INLINE F32 state_slope(F32 y) const { return fma(neg(y), y, set1(1.0f)); }
};

struct AnyActivations {
  Activation state_, gate_;
  LSTMFAST_INLINE explicit AnyActivations(Activation state, Activation gate) : state_(state), gate_(gate) {}
  LSTMFAST_INLINE F32 gate(F32 x) const { return activate(gate_, x); }
  LSTMFAST_INLINE F32 state(F32 x) const { return activate(state_, x); }
  LSTMFAST_INLINE F32 keep_gate(F32 x, F32 y) const { return slope_needs_input(gate_) ? x : y; }
  LSTMFAST_INLINE F32 keep_state(F32 x, F32 y) const { return slope_needs_input(state_) ? x : y; }
  LSTMFAST_INLINE F32 gate_again(F32 kept) const { return slope_needs_input(gate_) ? activate(gate_, kept) : kept; }
  LSTMFAST_INLINE F32 state_again(F32 kept) const { return slope_needs_input(state_) ? activate(state_, kept) : kept; }
  LSTMFAST_INLINE F32 gate_slope(F32 kept) const { return activation_slope(gate_, kept); }
  LSTMFAST_INLINE F32 state_slope(F32 kept) const { return activation_slope(state_, kept); }
};

LSTMFAST_INLINE int unit_lanes(int units, int unit) { return units - unit < kLanes ? units - unit : kLanes; }

// Where h goes: the padded row that the next step reads, times the recurrent dropout mask, and the caller's output.
LSTMFAST_INLINE void store_hidden(const CellForwardArgs& a, int row, int unit, F32 h) {
  const int n = unit_lanes(a.units, unit);
  if (a.y_out) {
    if (n == kLanes) store(a.y_out[row] + unit, h);
    else store_n(a.y_out[row] + unit, h, n);
  }
  float* out = a.h_out[row] + unit;
  if (!a.recurrent_mask) return store(out, h);
  const float* mask = a.recurrent_mask + a.batch_row[row] * a.copies * a.copy_stride + unit;
  for (int k = 0; k < a.copies; ++k) store(out + k * a.copy_stride, mul(h, load(mask + k * a.copy_stride)));
}

// Zoneout's mixture; exact where `keep` is 0 or 1.
LSTMFAST_INLINE F32 zoned(F32 keep, F32 before, F32 now) { return fma(keep, before, mul(sub(set1(1.0f), keep), now)); }
LSTMFAST_INLINE F32 zoned_hidden(const CellForwardArgs& a, int row, int unit, F32 h) {
  if (!a.zone_h) return h;
  const float* before = a.h_plain ? a.h_plain[row] : a.h_in[row];
  const F32 mixed = zoned(load(a.zone_h + row * a.zone_ld + unit), load(before + unit), h);
  if (a.h_plain) store(a.h_plain[row] + unit, mixed);
  return mixed;
}

// The gradient that reaches h: from the layer above and from the next step. With zoneout its part that passes the step by is
// left in a.dh, and the rest returned.
LSTMFAST_INLINE F32 load_hidden_gradient(const CellBackwardArgs& a, int row, int unit) {
  F32 dh = load(a.dh + a.batch_row[row] * a.dh_ld + unit);
  if (a.dy) {
    const int n = unit_lanes(a.units, unit);
    dh = add(dh, n == kLanes ? load(a.dy[row] + unit) : load_n(a.dy[row] + unit, n));
  }
  if (a.zone_h) {
    const F32 keep = load(a.zone_h + row * a.zone_ld + unit);
    store(a.dh + a.batch_row[row] * a.dh_ld + unit, mul(keep, dh));
    dh = mul(sub(set1(1.0f), keep), dh);
  }
  return dh;
}

// With zoneout: the part of the gradient of c that reaches what the cell made; the rest is `passing`.
LSTMFAST_INLINE F32 zoned_cell_gradient(const CellBackwardArgs& a, int row, int unit, F32 dc, F32& passing) {
  const F32 keep = load(a.zone_c + row * a.zone_ld + unit);
  passing = mul(keep, dc);
  return mul(sub(set1(1.0f), keep), dc);
}

template <class Act, bool kPeephole>
inline void lstm_forward_with(const CellForwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int r = 0; r < a.rows; ++r) {
      float* z = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[r]) * (4 * kLanes);
      const float* c_prev = a.c_in_row[r] >= 0 ? a.c_in + p * a.c_in_panel_stride + static_cast<std::int64_t>(a.c_in_row[r]) * kLanes
                                               : a.c_initial + a.batch_row[r] * a.c_initial_ld + unit;
      const F32 before = load(c_prev);
      F32 z_i = load(z), z_f = load(z + kLanes), z_o = load(z + 3 * kLanes);
      const F32 z_g = load(z + 2 * kLanes);
      if constexpr (kPeephole) {
        z_i = fma(load(a.peephole + 3 * unit), before, z_i);
        z_f = fma(load(a.peephole + 3 * unit + kLanes), before, z_f);
      }
      const F32 i = act.gate(z_i);
      const F32 f = act.gate(z_f);
      const F32 g = act.state(z_g);
      const F32 c = fma(f, before, mul(i, g));
      if constexpr (kPeephole) z_o = fma(load(a.peephole + 3 * unit + 2 * kLanes), c, z_o);
      const F32 o = act.gate(z_o);
      const F32 c_out = a.zone_c ? zoned(load(a.zone_c + r * a.zone_ld + unit), before, c) : c;
      store(a.c_out + p * a.c_out_panel_stride + static_cast<std::int64_t>(a.c_out_row[r]) * kLanes, c_out);
      if (a.keep_gates) {
        store(z, act.keep_gate(z_i, i));
        store(z + kLanes, act.keep_gate(z_f, f));
        store(z + 2 * kLanes, act.keep_state(z_g, g));
        store(z + 3 * kLanes, act.keep_gate(z_o, o));
      }
      store_hidden(a, r, unit, zoned_hidden(a, r, unit, mul(o, act.state(c))));
    }
  }
}

void lstm_forward(const CellForwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) lstm_forward_with<DefaultActivations, false>(a);
  else lstm_forward_with<AnyActivations, false>(a);
}
void lstm_peephole_forward(const CellForwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) lstm_forward_with<DefaultActivations, true>(a);
  else lstm_forward_with<AnyActivations, true>(a);
}

template <class Act, bool kPeephole>
inline void lstm_backward_with(const CellBackwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  for (int p = 0; p < a.panels; ++p) {
    const int unit = a.unit + p * kLanes;
    for (int r = 0; r < a.rows; ++r) {
      float* gates = a.gates + p * a.gates_panel_stride + static_cast<std::int64_t>(a.gates_row[r]) * (4 * kLanes);
      const float* c_prev = a.c_prev_row[r] >= 0 ? a.c + p * a.c_panel_stride + static_cast<std::int64_t>(a.c_prev_row[r]) * kLanes
                                                 : a.c_initial + a.batch_row[r] * a.c_initial_ld + unit;
      float* dc_row = a.dc + a.batch_row[r] * a.dc_ld + unit;
      const F32 kept_i = load(gates), kept_f = load(gates + kLanes), kept_g = load(gates + 2 * kLanes), kept_o = load(gates + 3 * kLanes);
      const F32 i = act.gate_again(kept_i), f = act.gate_again(kept_f), g = act.state_again(kept_g), o = act.gate_again(kept_o);
      const F32 dh = load_hidden_gradient(a, r, unit);
      const F32 before = load(c_prev);
      // With zoneout h was made of c before it was mixed with the one before.
      const F32 c =
          a.zone_c ? fma(f, before, mul(i, g)) : load(a.c + p * a.c_panel_stride + static_cast<std::int64_t>(a.c_row[r]) * kLanes);
      const F32 tanh_c = act.state(c);
      const F32 dz_o = mul(mul(dh, tanh_c), act.gate_slope(kept_o));
      F32 dc_out = load(dc_row), passing = zero();
      if (a.zone_c) {
        dc_out = zoned_cell_gradient(a, r, unit, dc_out, passing);
        if constexpr (kPeephole) store(a.c_made + p * a.c_made_panel_stride + static_cast<std::int64_t>(a.gates_row[r]) * kLanes, c);
      }
      F32 dc = fma(mul(dh, o), act.state_slope(act.keep_state(c, tanh_c)), dc_out);
      if constexpr (kPeephole) dc = fma(dz_o, load(a.peephole + 3 * unit + 2 * kLanes), dc);
      const F32 dz_i = mul(mul(dc, g), act.gate_slope(kept_i));
      const F32 dz_f = mul(mul(dc, before), act.gate_slope(kept_f));
      store(gates, dz_i);
      store(gates + kLanes, dz_f);
      store(gates + 2 * kLanes, mul(mul(dc, i), act.state_slope(kept_g)));
      store(gates + 3 * kLanes, dz_o);
      F32 through = a.zone_c ? fma(dc, f, passing) : mul(dc, f);
      if constexpr (kPeephole) through = fma(dz_i, load(a.peephole + 3 * unit), fma(dz_f, load(a.peephole + 3 * unit + kLanes), through));
      store(dc_row, through);
    }
  }
}

void lstm_backward(const CellBackwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) lstm_backward_with<DefaultActivations, false>(a);
  else lstm_backward_with<AnyActivations, false>(a);
}
void lstm_peephole_backward(const CellBackwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid) lstm_backward_with<DefaultActivations, true>(a);
  else lstm_backward_with<AnyActivations, true>(a);
}

void lstm_peephole_gradient(const PeepholeGradientArgs& a) {
  const int n = unit_lanes(a.units, a.unit);
  float* const out[3] = {a.gradient + a.unit, a.gradient + a.units + a.unit, a.gradient + 2 * static_cast<std::int64_t>(a.units) + a.unit};
  F32 sum[3];
  for (int k = 0; k < 3; ++k) sum[k] = a.accumulate ? load_n(out[k], n) : zero();
  for (std::int64_t pair = 0; pair < a.pairs; ++pair) {
    const float* dz = a.gates + pair * (4 * kLanes);
    const F32 c_prev = load(a.before[pair] >= 0 ? a.c + static_cast<std::int64_t>(a.before[pair]) * kLanes
                                                : a.c_initial + a.step[pair] / a.time * a.c_initial_ld + a.unit);
    sum[0] = fma(load(dz), c_prev, sum[0]);
    sum[1] = fma(load(dz + kLanes), c_prev, sum[1]);
    sum[2] = fma(load(dz + 3 * kLanes), load(a.c_made + pair * kLanes), sum[2]);
  }
  for (int k = 0; k < 3; ++k) store_n(out[k], sum[k], n);
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
