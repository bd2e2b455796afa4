// SPDX-License-Identifier: BSD-3-Clause
// The LSTM with layer normalization (Ba, Kiros & Hinton 2016, equations 20 to 22):
//   z = LN(h U) + LN(x W) + b   i, f, o = sigmoid(z)   g = tanh(z)   c = f*c_prev + i*g   h = o*tanh(LN(c))
// each LN over its whole row (4H sums, H of c) with a gain and an offset of its own.
//
// A panel of the gates buffer has 8 vectors a pair: x's sums, then h's; each normalized in place, and turned into their
// gradients by the backward pass, which computes the gates again: that is cheaper than to keep and to read them.
// The weights, a panel: gains of h (4 vectors), gains of x (4), offsets with the bias (4), gain and offset of c.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr int kNormGates = 8;     // vectors a panel in the gates buffer
constexpr int kNormWeights = 14;  // vectors a panel of weights, and of their gradients
constexpr int kNormKept = 6;      // vectors a panel that the backward step keeps of a row
constexpr float kNormEpsilon = 1e-3f;

// A sum over the units of a row whose order does not depend on the vector's width: 16 sums, of the units with the same
// remainder by 16, then a tree.
struct RowSum {
  static constexpr int kParts = 16 / kLanes;
  F32 part[kParts];
  LSTMFAST_INLINE RowSum() {
    for (F32& p : part) p = zero();
  }
  LSTMFAST_INLINE void more(int panel, F32 x) { part[panel % kParts] = add(part[panel % kParts], x); }
  LSTMFAST_INLINE F32 mean(float count) const {
    float t[16];
    for (int k = 0; k < kParts; ++k) store(t + k * kLanes, part[k]);
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) t[i] += t[i + half];
    return set1(t[0] / count);
  }
};

struct Moments {
  F32 mean, scale;  // 1/sqrt(variance + epsilon)
  LSTMFAST_INLINE F32 normal(F32 x, int n) const { return only(mul(sub(x, mean), scale), n); }
};

// Of `vectors` vectors a panel, in two passes: the variance of small deviations from a large mean keeps its digits.
LSTMFAST_INLINE Moments row_moments(const float* row, std::int64_t panel_stride, int vectors, int units) {
  const float count = static_cast<float>(vectors) * static_cast<float>(units);
  RowSum sum;
  for (int p = 0; p * kLanes < units; ++p)
    for (int v = 0; v < vectors; ++v) sum.more(p, only(load(row + p * panel_stride + v * kLanes), unit_lanes(units, p * kLanes)));
  Moments m;
  m.mean = sum.mean(count);
  RowSum squares;
  for (int p = 0; p * kLanes < units; ++p)
    for (int v = 0; v < vectors; ++v) {
      const F32 d = only(sub(load(row + p * panel_stride + v * kLanes), m.mean), unit_lanes(units, p * kLanes));
      squares.more(p, mul(d, d));
    }
  m.scale = div(set1(1.0f), sqrt(add(squares.mean(count), set1(kNormEpsilon))));
  return m;
}

LSTMFAST_INLINE float first_lane(F32 x) {
  float t[kLanes];
  store(t, x);
  return t[0];
}

void lstm_norm_inputs(const NormInputArgs& a) {
  for (int r = 0; r < a.rows; ++r) {
    float* row = a.gates + static_cast<std::int64_t>(a.gates_row[r]) * (kNormGates * kLanes);
    const Moments m = row_moments(row, a.gates_panel_stride, 4, a.units);
    if (a.scales) a.scales[2 * a.gates_row[r]] = first_lane(m.scale);
    for (int p = 0; p * kLanes < a.units; ++p)
      for (int v = 0; v < 4; ++v) {
        float* z = row + p * a.gates_panel_stride + v * kLanes;
        store(z, m.normal(load(z), unit_lanes(a.units, p * kLanes)));
      }
  }
}

// The pre-activation of gate v from the normalized sums.
LSTMFAST_INLINE F32 norm_gate(const float* weights, int v, F32 x, F32 h) {
  return fma(load(weights + v * kLanes), h, fma(load(weights + (4 + v) * kLanes), x, load(weights + (8 + v) * kLanes)));
}

// With zoneout c is mixed with the one before when LN(c) is done: until then it waits in a.kept.
template <class Act, bool kZoneout>
inline void lstm_norm_forward_with(const CellForwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  for (int r = 0; r < a.rows; ++r) {
    float* row = a.gates + static_cast<std::int64_t>(a.gates_row[r]) * (kNormGates * kLanes);
    float* c_out = a.c_out + static_cast<std::int64_t>(a.c_out_row[r]) * kLanes;
    const bool waits = kZoneout && a.zone_c;
    float* c_row = waits ? a.kept : c_out;
    const std::int64_t c_stride = waits ? kLanes : a.c_out_panel_stride;
    const bool stored = a.c_in_row[r] >= 0;
    const float* before =
        stored ? a.c_in + static_cast<std::int64_t>(a.c_in_row[r]) * kLanes : a.c_initial + a.batch_row[r] * a.c_initial_ld;
    const std::int64_t before_stride = stored ? a.c_in_panel_stride : kLanes;
    const Moments of_h = row_moments(row + 4 * kLanes, a.gates_panel_stride, 4, a.units);
    if (a.keep_gates) a.norm_scales[2 * a.gates_row[r] + 1] = first_lane(of_h.scale);
    for (int p = 0; p < a.panels; ++p) {
      const int unit = p * kLanes, n = unit_lanes(a.units, unit);
      float* z = row + p * a.gates_panel_stride;
      const float* weights = a.norm + kNormWeights * unit;
      F32 sum[4];
      for (int v = 0; v < 4; ++v) {
        const F32 h = of_h.normal(load(z + (4 + v) * kLanes), n);
        if (a.keep_gates) store(z + (4 + v) * kLanes, h);
        sum[v] = norm_gate(weights, v, load(z + v * kLanes), h);
      }
      const F32 i = act.gate(sum[0]), f = act.gate(sum[1]), g = act.state(sum[2]);
      store(c_row + p * c_stride, fma(f, load(before + p * before_stride), mul(i, g)));
      store(a.h_out[r] + unit, act.gate(sum[3]));  // until c's moments are known
    }
    const Moments of_c = row_moments(c_row, c_stride, 1, a.units);
    for (int p = 0; p < a.panels; ++p) {
      const int unit = p * kLanes;
      const float* weights = a.norm + kNormWeights * unit;
      const F32 c = load(c_row + p * c_stride), normal = of_c.normal(c, unit_lanes(a.units, unit));
      const F32 y = act.state(fma(load(weights + 12 * kLanes), normal, load(weights + 13 * kLanes)));
      F32 h = mul(load(a.h_out[r] + unit), y);
      if constexpr (kZoneout) {
        h = zoned_hidden(a, r, unit, h);
        if (a.zone_c)
          store(c_out + p * a.c_out_panel_stride, zoned(load(a.zone_c + r * a.zone_ld + unit), load(before + p * before_stride), c));
      }
      store_hidden(a, r, unit, h);
    }
  }
}

template <class Act>
inline void lstm_norm_forward_zoned_or_not(const CellForwardArgs& a) {
  if (a.zone_h || a.zone_c) lstm_norm_forward_with<Act, true>(a);
  else lstm_norm_forward_with<Act, false>(a);
}

void lstm_norm_forward(const CellForwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid)
    lstm_norm_forward_zoned_or_not<DefaultActivations>(a);
  else lstm_norm_forward_zoned_or_not<AnyActivations>(a);
}

// From the gradient d of gain*normal + offset to that of what was normalized: scale * (e - mean(e) - normal*mean(e*normal)),
// e = d*gain.
struct NormGradient {
  RowSum sum, product;
  LSTMFAST_INLINE void more(int panel, F32 e, F32 normal) {
    sum.more(panel, e);
    product.more(panel, mul(e, normal));
  }
};
struct NormGradientMeans {
  F32 sum, product, scale;
  LSTMFAST_INLINE NormGradientMeans(const NormGradient& g, float count, F32 s)
      : sum(g.sum.mean(count)), product(g.product.mean(count)), scale(s) {}
  LSTMFAST_INLINE F32 of(F32 e, F32 normal, int n) const { return only(mul(scale, sub(sub(e, sum), mul(normal, product))), n); }
};

// The pre-activation of gate v again, from the normalized sums that the forward pass left in a row of the gates buffer.
LSTMFAST_INLINE F32 gate_sum(const CellBackwardArgs& a, const float* row, int panel, int v) {
  const float* z = row + panel * a.gates_panel_stride;
  return norm_gate(a.norm + kNormWeights * panel * kLanes, v, load(z + v * kLanes), load(z + (4 + v) * kLanes));
}

LSTMFAST_INLINE void add_to(float* sum, F32 x) { store(sum, add(load(sum), x)); }

// With zoneout the c that LN saw is computed again, from the gates and the c before.
template <class Act, bool kZoneout>
inline void lstm_norm_backward_with(const CellBackwardArgs& a) {
  const Act act(a.activation, a.recurrent_activation);
  const float units = static_cast<float>(a.units);
  for (int r = 0; r < a.rows; ++r) {
    float* row = a.gates + static_cast<std::int64_t>(a.gates_row[r]) * (kNormGates * kLanes);
    const bool stored = a.c_prev_row[r] >= 0;
    const float* before =
        stored ? a.c + static_cast<std::int64_t>(a.c_prev_row[r]) * kLanes : a.c_initial + a.batch_row[r] * a.c_initial_ld;
    const std::int64_t before_stride = stored ? a.c_panel_stride : kLanes;
    if constexpr (kZoneout)
      for (int p = 0; p < a.panels; ++p) {
        const F32 i = act.gate(gate_sum(a, row, p, 0)), f = act.gate(gate_sum(a, row, p, 1)), g = act.state(gate_sum(a, row, p, 2));
        store(a.kept + (kNormKept * p + 5) * kLanes, fma(f, load(before + p * before_stride), mul(i, g)));
      }
    const float* c_row = kZoneout ? a.kept + 5 * kLanes : a.c + static_cast<std::int64_t>(a.c_row[r]) * kLanes;
    const std::int64_t c_stride = kZoneout ? kNormKept * kLanes : a.c_panel_stride;
    float* dc_row = a.dc + a.batch_row[r] * a.dc_ld;
    float* gradient = a.norm_gradient + a.batch_row[r] * a.norm_gradient_ld;
    const Moments of_c = row_moments(c_row, c_stride, 1, a.units);
    NormGradient for_c;
    for (int p = 0; p < a.panels; ++p) {
      const int unit = p * kLanes, n = unit_lanes(a.units, unit);
      const float* weights = a.norm + kNormWeights * unit;
      float* kept = a.kept + kNormKept * unit;
      const F32 z_o = gate_sum(a, row, p, 3), o = act.gate(z_o);
      const F32 c = of_c.normal(load(c_row + p * c_stride), n);
      const F32 z_y = fma(load(weights + 12 * kLanes), c, load(weights + 13 * kLanes)), y = act.state(z_y);
      const F32 dh = only(load_hidden_gradient(a, r, unit), n);
      const F32 dy = mul(mul(dh, o), act.state_slope(act.keep_state(z_y, y)));
      const F32 e = mul(dy, load(weights + 12 * kLanes));
      for_c.more(p, e, c);
      add_to(gradient + (kNormWeights * unit + 12 * kLanes), mul(dy, c));
      add_to(gradient + (kNormWeights * unit + 13 * kLanes), dy);
      const F32 z_i = gate_sum(a, row, p, 0), z_f = gate_sum(a, row, p, 1), z_g = gate_sum(a, row, p, 2);
      store(kept, act.keep_gate(z_i, act.gate(z_i)));
      store(kept + kLanes, act.keep_gate(z_f, act.gate(z_f)));
      store(kept + 2 * kLanes, act.keep_state(z_g, act.state(z_g)));
      store(kept + 3 * kLanes, mul(mul(dh, y), act.gate_slope(act.keep_gate(z_o, o))));
      store(kept + 4 * kLanes, e);
      store(kept + 5 * kLanes, c);
    }
    const NormGradientMeans to_c(for_c, units, of_c.scale);
    NormGradient for_x, for_h;
    for (int p = 0; p < a.panels; ++p) {
      const int unit = p * kLanes, n = unit_lanes(a.units, unit);
      const float* z = row + p * a.gates_panel_stride;
      float* kept = a.kept + kNormKept * unit;
      const F32 kept_i = load(kept), kept_f = load(kept + kLanes), kept_g = load(kept + 2 * kLanes);
      const F32 i = act.gate_again(kept_i), f = act.gate_again(kept_f), g = act.state_again(kept_g);
      F32 dc_out = load(dc_row + unit), passing = zero();
      if constexpr (kZoneout)
        if (a.zone_c) dc_out = zoned_cell_gradient(a, r, unit, dc_out, passing);
      const F32 dc = only(add(dc_out, to_c.of(load(kept + 4 * kLanes), load(kept + 5 * kLanes), n)), n);
      const F32 dz[4] = {mul(mul(dc, g), act.gate_slope(kept_i)), mul(mul(dc, load(before + p * before_stride)), act.gate_slope(kept_f)),
                         mul(mul(dc, i), act.state_slope(kept_g)), load(kept + 3 * kLanes)};
      store(dc_row + unit, kZoneout ? fma(dc, f, passing) : mul(dc, f));
      for (int v = 0; v < 4; ++v) {
        const float* gains = a.plain_norm + kNormWeights * unit + v * kLanes;
        float* to = gradient + kNormWeights * unit + v * kLanes;
        const F32 x = load(z + v * kLanes), h = load(z + (4 + v) * kLanes);
        for_h.more(p, mul(dz[v], load(gains)), h);
        for_x.more(p, mul(dz[v], load(gains + 4 * kLanes)), x);
        add_to(to, mul(dz[v], h));
        add_to(to + 4 * kLanes, mul(dz[v], x));
        add_to(to + 8 * kLanes, dz[v]);
        store(kept + v * kLanes, dz[v]);
      }
    }
    const float* scales = a.norm_scales + 2 * a.gates_row[r];
    const NormGradientMeans to_x(for_x, 4 * units, set1(scales[0])), to_h(for_h, 4 * units, set1(scales[1]));
    for (int p = 0; p < a.panels; ++p) {
      const int unit = p * kLanes, n = unit_lanes(a.units, unit);
      float* z = row + p * a.gates_panel_stride;
      const float* kept = a.kept + kNormKept * unit;
      for (int v = 0; v < 4; ++v) {
        const float* gains = a.plain_norm + kNormWeights * unit + v * kLanes;
        const F32 dz = load(kept + v * kLanes);
        store(z + v * kLanes, to_x.of(mul(dz, load(gains + 4 * kLanes)), load(z + v * kLanes), n));
        store(z + (4 + v) * kLanes, to_h.of(mul(dz, load(gains)), load(z + (4 + v) * kLanes), n));
      }
    }
  }
}

template <class Act>
inline void lstm_norm_backward_zoned_or_not(const CellBackwardArgs& a) {
  if (a.zone_h || a.zone_c) lstm_norm_backward_with<Act, true>(a);
  else lstm_norm_backward_with<Act, false>(a);
}

void lstm_norm_backward(const CellBackwardArgs& a) {
  if (a.activation == Activation::kTanh && a.recurrent_activation == Activation::kSigmoid)
    lstm_norm_backward_zoned_or_not<DefaultActivations>(a);
  else lstm_norm_backward_zoned_or_not<AnyActivations>(a);
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
