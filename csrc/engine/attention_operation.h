// SPDX-License-Identifier: BSD-3-Clause
// Attention in a frozen model: softmax(scores) v for several heads, and what may be seen.
#pragma once

#include "engine/operation.h"
#include "layers/attention.h"

namespace lstmfast {

// Which keys a query sees. Masks of steps come with the tensors at run time.
struct Visibility {
  bool causal = false;              // those up to its own step
  std::int64_t window = 0;          // those less than so many steps away; 0: all
  std::vector<std::uint8_t> pairs;  // (steps, keys) that are seen, either of which may be 1; or empty
  std::int64_t pair_steps = 0, pair_keys = 0;
  bool query_mask_hides = false;  // a masked query sees nothing; otherwise what it gives is 0
  bool key_mask_hides = false;    // the mask of the keys counts beside that of the values
  bool zero_blind = false;        // what sees nothing gets 0, not the mean
};

// inputs: queries (batch, steps, heads*key_size), keys (batch, keys, key_heads*key_size), values (batch, keys, key_heads*value_size),
// and perhaps numbers (batch, steps or 1, keys or 1) that are 0 for pairs that are not seen.
class AttentionOperation : public SimpleOperation {
 public:
  struct Heads {
    std::int64_t heads, key_heads, key_size, value_size;
    float scale;
  };
  AttentionOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, Heads h, Visibility v)
      : SimpleOperation(std::move(in), std::move(out), std::move(layer)), kernels_(k), heads_(h), visibility_(std::move(v)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override { return sizes(run).work(); }
  std::size_t bytes() const override { return visibility_.pairs.size(); }

 protected:
  AttentionSizes sizes(const Run& run) const;
  // From the masks and q, k, v, or scores in place of q and k.
  void attend(const Run& run, AttentionForwardArgs args) const;
  const KernelTable& kernels_;

 private:
  struct Pairs {
    bool by_sample, by_step;  // whether they differ from sample to sample, from step to step
  };
  Pairs pairs(const Run& run) const;
  const Tensor* given(const Run& run) const { return inputs.size() > 3 ? &input(run, 3) : nullptr; }
  const std::uint8_t* hiding_query_mask(const Run& run) const { return visibility_.query_mask_hides ? input(run).mask : nullptr; }
  void see_steps(std::int64_t step, std::int64_t keys, std::uint8_t* seen) const;
  void see_row(const Run& run, std::int64_t sample, std::int64_t step, std::int64_t keys, std::uint8_t* seen) const;

  const Heads heads_;
  const Visibility visibility_;
};

// The scores are sums over features: outer * tanh(inner * (query + key)). One head.
class AdditiveAttentionOperation final : public AttentionOperation {
 public:
  // outer: one for each feature
  AdditiveAttentionOperation(std::vector<int> in, std::vector<int> out, std::string layer, const KernelTable& k, std::int64_t features,
                             std::int64_t value_size, Visibility v, float inner, const std::vector<float>& outer)
      : AttentionOperation(std::move(in), std::move(out), std::move(layer), k, {1, 1, features, value_size, 1.0f}, std::move(v)),
        inner_(inner),
        outer_(k, outer.data(), nullptr, features, 1) {}
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return AttentionOperation::bytes() + outer_.forward.bytes(); }

 private:
  const float inner_;
  const DenseWeights outer_;
};

}  // namespace lstmfast
