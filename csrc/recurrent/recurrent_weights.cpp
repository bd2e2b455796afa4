// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/recurrent_weights.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace lstmfast {

RecurrentWeights::RecurrentWeights(const KernelTable& k, const CellSpec& spec, const float* kernel, const float* recurrent_kernel,
                                   const float* bias, int input_count, int unit_count, Activation act, Activation recurrent_act,
                                   const std::vector<const float*>& extra, int output_count)
    : kernels(k),
      cell(spec),
      inputs(input_count),
      units(unit_count),
      outputs(output_count ? output_count : unit_count),
      activation(act),
      recurrent_activation(recurrent_act),
      source_kernel_(kernel),
      source_recurrent_(recurrent_kernel) {
  if (extra.size() != extra_weights(cell, units, outputs).size())
    throw std::invalid_argument("extra: expected " + std::to_string(extra_weights(cell, units, outputs).size()) + " weights for cell '" +
                                cell.name + "', got " + std::to_string(extra.size()));
  const std::int64_t columns = static_cast<std::int64_t>(cell.gates) * units;
  // Where h's product adds to x's, so does its bias.
  std::vector<float> input_bias;
  if (bias && cell.biases == 2) {
    input_bias.assign(bias, bias + columns);
    for (int g = 0; g < cell.gates; ++g)
      if (cell.adds_to >> g & 1)
        for (std::int64_t i = g * units; i < (g + 1) * units; ++i) input_bias[static_cast<std::size_t>(i)] += bias[columns + i];
  }
  // The default activations take half of z in the sigmoid gates (see lstm_cell-inl.h).
  const bool halves = cell.sigmoids && act == Activation::kTanh && recurrent_act == Activation::kSigmoid;
  const auto packed = [&](const float* source, int rows, int first_gate, const float* b) {
    const PanelLayout layout = cell.unit_panels ? PanelLayout::gated(k, cell.gates, units, first_gate) : PanelLayout::plain(k, units);
    float scale[4] = {1, 1, 1, 1};
    if (halves && !cell.layer_norm)  // moments are those of the sums themselves
      for (int g = 0; g < cell.gates; ++g)
        if (cell.sigmoids >> g & 1) scale[layout.vector_of_gate(g)] = 0.5f;
    return pack(k, layout, source, rows, columns, b, scale);
  };
  input = packed(kernel, inputs, cell.input_first, cell.layer_norm ? nullptr : input_bias.empty() ? bias : input_bias.data());
  recurrent = packed(recurrent_kernel, outputs, cell.recurrent_first, bias && cell.biases == 2 ? bias + columns : nullptr);
  if (cell.peephole) {
    peephole = pack_by_panel(extra[0], 3, halves ? 0.5f : 1.0f);
    plain_peephole = pack_by_panel(extra[0], 3, 1.0f);
  }
  if (cell.layer_norm) {
    norm = pack_norm(extra.data(), bias, halves ? 0.5f : 1.0f);
    plain_norm = pack_norm(extra.data(), bias, 1.0f);
  }
  if (cell.projection) {
    source_projection_ = extra.back();
    projection = pack(k, PanelLayout::plain(k, outputs), source_projection_, units, outputs, nullptr, nullptr);
  }
}

Buffer RecurrentWeights::pack_by_panel(const float* source, int rows, float scale) const {
  const int lanes = kernels.lanes;
  Buffer packed(static_cast<std::size_t>(rows * padded_units()));
  float* out = packed.data();
  for (int unit = 0; unit < padded_units(); unit += lanes)
    for (int row = 0; row < rows; ++row)
      for (int lane = 0; lane < lanes; ++lane)
        *out++ = unit + lane < units ? source[static_cast<std::int64_t>(row) * units + unit + lane] * scale : 0.0f;
  return packed;
}

Buffer RecurrentWeights::pack_norm(const float* const* extra, const float* bias, float gate_scale) const {
  const int lanes = kernels.lanes;
  const std::size_t panel = static_cast<std::size_t>(kNormWeights) * static_cast<std::size_t>(lanes);
  Buffer packed(static_cast<std::size_t>(panels()) * panel);
  std::fill_n(packed.data(), static_cast<std::size_t>(panels()) * panel, 0.0f);
  for (int unit = 0; unit < units; ++unit) {
    float* out = packed.data() + static_cast<std::size_t>(unit / lanes) * panel + unit % lanes;
    for (int gate = 0; gate < 4; ++gate) {
      const std::int64_t i = static_cast<std::int64_t>(gate) * units + unit;
      const float scale = cell.sigmoids >> gate & 1 ? gate_scale : 1.0f;
      out[gate * lanes] = extra[0][i] * scale;
      out[(4 + gate) * lanes] = extra[2][i] * scale;
      out[(8 + gate) * lanes] = (extra[1][i] + extra[3][i] + (bias ? bias[i] : 0.0f)) * scale;
    }
    out[12 * lanes] = extra[4][unit];
    out[13 * lanes] = extra[5][unit];
  }
  return packed;
}

const RecurrentWeights::Transposed& RecurrentWeights::transposed() const {
  std::call_once(transposed_once_, [this] {
    const std::int64_t columns = static_cast<std::int64_t>(cell.gates) * units;
    transposed_.recurrent = pack_transposed(kernels, recurrent.layout, source_recurrent_, outputs, columns);
    if (cell.projection) transposed_.projection = pack_transposed(kernels, projection.layout, source_projection_, units, outputs);
  });
  return transposed_;
}

const PackedMatrix& RecurrentWeights::transposed_input() const {
  std::call_once(transposed_input_once_, [this] {
    transposed_input_ = pack_transposed(kernels, input.layout, source_kernel_, inputs, static_cast<std::int64_t>(cell.gates) * units);
  });
  return transposed_input_;
}

}  // namespace lstmfast
