// SPDX-License-Identifier: BSD-3-Clause
#include "recurrent/recurrent_weights.h"

namespace lstmfast {

RecurrentWeights::RecurrentWeights(const KernelTable& k, const CellSpec& spec, const float* kernel, const float* recurrent_kernel,
                                   const float* bias, int input_count, int unit_count, Activation act, Activation recurrent_act)
    : kernels(k),
      cell(spec),
      inputs(input_count),
      units(unit_count),
      activation(act),
      recurrent_activation(recurrent_act),
      source_kernel_(kernel),
      source_recurrent_(recurrent_kernel) {
  const PanelLayout layout = cell.unit_panels ? PanelLayout::gated(k, cell.gates, units) : PanelLayout::plain(k, units);
  // The default activations take half of z in the sigmoid gates (see lstm_cell-inl.h).
  float scale[4] = {1, 1, 1, 1};
  if (cell.sigmoids && act == Activation::kTanh && recurrent_act == Activation::kSigmoid)
    for (int g = 0; g < cell.gates; ++g)
      if (cell.sigmoids >> g & 1) scale[g] = 0.5f;
  const std::int64_t columns = static_cast<std::int64_t>(cell.gates) * units;
  input = pack(k, layout, kernel, inputs, columns, bias, scale);
  recurrent = pack(k, layout, recurrent_kernel, units, columns, nullptr, scale);
}

const RecurrentWeights::Transposed& RecurrentWeights::transposed() const {
  std::call_once(transposed_once_, [this] {
    const std::int64_t columns = static_cast<std::int64_t>(cell.gates) * units;
    transposed_.input = pack_transposed(kernels, layout(), source_kernel_, inputs, columns);
    transposed_.recurrent = pack_transposed(kernels, layout(), source_recurrent_, units, columns);
  });
  return transposed_;
}

}  // namespace lstmfast
