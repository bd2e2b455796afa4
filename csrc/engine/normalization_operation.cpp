// SPDX-License-Identifier: BSD-3-Clause
#include "engine/normalization_operation.h"

#include "layers/layer_norm.h"

namespace lstmfast {

void NormalizationOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.width != options_.width) refuse("expected " + std::to_string(options_.width) + " features, got " + std::to_string(x.width));
  output(run) = x.with_width(x.width);
}

void NormalizationOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const auto data = [](const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); };
  LayerNormArgs a{};
  a.rows = x.rows();
  a.columns = x.width;
  a.x = x.data;
  a.gamma = data(options_.gamma);
  a.beta = data(options_.beta);
  a.epsilon = options_.epsilon;
  a.centered = options_.centered;
  a.y = mutable_data(output(run));
  layer_norm_forward(kernels_, a);
}

double NormalizationOperation::work(const Run& run) const { return layer_norm_work(input(run).rows(), input(run).width); }

}  // namespace lstmfast
