// SPDX-License-Identifier: BSD-3-Clause
// Operations of a frozen model that make ids, or vectors of them: what stands before an Embedding or a Dense.
#pragma once

#include "engine/operation.h"

namespace lstmfast {

// One output of ids, which has no mask.
class IdsOperation : public Operation {
 public:
  using Operation::Operation;
  void place_outputs(Run& run, Placer& memory, float* first_output) const final;

 protected:
  static std::int32_t* mutable_ids(const Tensor& t) { return const_cast<std::int32_t*>(t.ids32); }
};

// (batch, features) to the numbers of the ranges that they lie in, as (batch, features) ids: how many boundaries are not greater.
class DiscretizeOperation final : public IdsOperation {
 public:
  DiscretizeOperation(std::vector<int> in, std::vector<int> out, std::string layer, std::vector<double> boundaries)
      : IdsOperation(std::move(in), std::move(out), std::move(layer)), boundaries_(std::move(boundaries)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return boundaries_.size() * sizeof(double); }

 private:
  const std::vector<double> boundaries_;  // ascending
};

// Ids to the values of a table; others to one of `buckets` values from `other` on, by the remainder of a division.
class LookupOperation final : public IdsOperation {
 public:
  struct Table {
    std::vector<std::int64_t> keys;    // ascending
    std::vector<std::int32_t> values;  // negative ones: no category
    std::int32_t other, buckets;       // no buckets: all ids must be in the table
  };
  LookupOperation(std::vector<int> in, std::vector<int> out, std::string layer, Table table)
      : IdsOperation(std::move(in), std::move(out), std::move(layer)), table_(std::move(table)) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  std::size_t bytes() const override { return table_.keys.size() * (sizeof(std::int64_t) + sizeof(std::int32_t)); }
  bool reads_ids(std::size_t) const override { return true; }

 private:
  const std::int32_t* find(std::int64_t key) const;  // null if it is not there
  const Table table_;
};

enum class Encoding { kOneHot, kMultiHot, kCount };

// Ids as vectors of `depth` numbers; negative ones leave no trace.
class EncodeOperation final : public UnmaskedOperation {
 public:
  // strict: ids from depth on are errors
  EncodeOperation(std::vector<int> in, std::vector<int> out, std::string layer, Encoding mode, std::int64_t depth, bool strict)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), mode_(mode), depth_(depth), strict_(strict) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;
  bool reads_ids(std::size_t) const override { return true; }

 private:
  const Encoding mode_;
  const std::int64_t depth_;
  const bool strict_;
};

}  // namespace lstmfast
