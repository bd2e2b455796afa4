// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/recurrent_weights.h"

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
    if (halves)
      for (int g = 0; g < cell.gates; ++g)
        if (cell.sigmoids >> g & 1) scale[layout.vector_of_gate(g)] = 0.5f;
    return pack(k, layout, source, rows, columns, b, scale);
  };
  input = packed(kernel, inputs, cell.input_first, input_bias.empty() ? bias : input_bias.data());
  recurrent = packed(recurrent_kernel, outputs, cell.recurrent_first, bias && cell.biases == 2 ? bias + columns : nullptr);
  if (cell.peephole) {
    peephole = pack_by_panel(extra[0], 3, halves ? 0.5f : 1.0f);
    plain_peephole = pack_by_panel(extra[0], 3, 1.0f);
  }
  if (cell.projection) {
    source_projection_ = extra[cell.peephole ? 1 : 0];
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

const RecurrentWeights::Transposed& RecurrentWeights::transposed() const {
  std::call_once(transposed_once_, [this] {
    const std::int64_t columns = static_cast<std::int64_t>(cell.gates) * units;
    transposed_.input = pack_transposed(kernels, input.layout, source_kernel_, inputs, columns);
    transposed_.recurrent = pack_transposed(kernels, recurrent.layout, source_recurrent_, outputs, columns);
    if (cell.projection) transposed_.projection = pack_transposed(kernels, projection.layout, source_projection_, units, outputs);
  });
  return transposed_;
}

}  // namespace lstmfast
