// SPDX-License-Identifier: BSD-3-Clause
// Convolution over time in a frozen model.
#pragma once

#include "engine/operation.h"
#include "layers/conv1d.h"

namespace lstmfast {

enum class Padding { kValid, kSame, kCausal };

class Conv1DOperation final : public UnmaskedOperation {
 public:
  struct Options {
    std::int64_t stride = 1, dilation = 1;
    Padding padding = Padding::kValid;
    Activation activation = Activation::kLinear;
    bool softmax = false;
  };
  Conv1DOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::unique_ptr<Conv1DWeights> w, Options o)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), weights(std::move(w)), options(o) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return weights->bytes(); }
  // A causal one carries the steps before a window's last from chunk to chunk of a stream.
  int n_states() const override { return options.padding == Padding::kCausal && options.stride == 1 && reach() > 1; }
  int state_width(int which) const override { return which ? 0 : static_cast<int>((reach() - 1) * weights->channels()); }

  const std::unique_ptr<Conv1DWeights> weights;
  const Options options;

 private:
  std::int64_t reach() const { return (weights->taps - 1) * options.dilation + 1; }
  std::int64_t outputs_of(std::int64_t time) const;
  std::int64_t zeros_before(std::int64_t time) const;  // steps of padding in front of a row of this length
  Windows windows(const Run& run) const;
};

// Windows of the output, each an input step times the kernel, summed where they overlap; then the bias and an activation.
class TransposedConvolutionOperation final : public UnmaskedOperation {
 public:
  struct Options {
    std::int64_t stride = 1, dilation = 1;
    // The output: `cut` steps after the first that windows reach, of steps_at_zero + time * stride for a row.
    std::int64_t cut = 0, steps_at_zero = 0;
    Activation activation = Activation::kLinear;
    bool softmax = false;
  };
  // kernel (taps, filters, channels)
  TransposedConvolutionOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, const float* kernel,
                                 std::int64_t taps, std::int64_t filters, std::int64_t channels, std::vector<float> bias, Options o)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)),
        weights_(k, {taps, filters, channels, 1}, kernel, o.stride),
        bias_(std::move(bias)),
        options_(o) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return weights_.bytes() + bias_.size() * sizeof(float); }

 private:
  std::int64_t outputs_of(std::int64_t time) const { return time == 0 ? 0 : options_.steps_at_zero + time * options_.stride; }
  Windows windows(const Run& run) const;
  const Conv1DTransposed weights_;
  const std::vector<float> bias_;  // or empty
  const Options options_;
};

}  // namespace lstmfast
