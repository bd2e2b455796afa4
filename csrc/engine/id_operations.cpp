// SPDX-License-Identifier: BSD-3-Clause
#include "engine/id_operations.h"

#include <algorithm>

#include "threading/work.h"

namespace lstmfast {
namespace {

// f(position, id) for all.
template <class F>
void for_ids(const Tensor& x, F f) {
  if (x.ids32)
    for (std::int64_t i = 0; i < x.rows(); ++i) f(i, static_cast<std::int64_t>(x.ids32[i]));
  else
    for (std::int64_t i = 0; i < x.rows(); ++i) f(i, x.ids64[i]);
}

double search_work(std::int64_t count, std::size_t size) {
  double steps = 1;
  for (std::size_t n = size; n > 0; n /= 2) ++steps;
  return kStreamWork * static_cast<double>(count) * steps;
}

}  // namespace

void IdsOperation::place_outputs(Run& run, Placer& memory, float* /*first_output*/) const {
  Tensor& out = output(run);
  out.ids32 = memory.take<std::int32_t>(static_cast<std::size_t>(out.rows()));
}

// ---- ranges

void DiscretizeOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (x.time != 0) refuse("expected an input of shape (batch, features), got 3 axes");
  if (x.width > INT32_MAX) refuse("too many features: " + std::to_string(x.width));
  Tensor& y = output(run) = x.with_width(1);
  y.time = static_cast<int>(x.width);
  y.lengths = nullptr;
  y.made_ids = static_cast<std::int64_t>(boundaries_.size()) + 1;
}

void DiscretizeOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  std::int32_t* const ids = mutable_ids(output(run));
  for (std::int64_t i = 0; i < x.elements(); ++i) {
    const auto above = std::upper_bound(boundaries_.begin(), boundaries_.end(), static_cast<double>(x.data[i]));
    ids[i] = static_cast<std::int32_t>(above - boundaries_.begin());
  }
}

double DiscretizeOperation::work(const Run& run) const { return search_work(input(run).elements(), boundaries_.size()); }

// ---- a table

const std::int32_t* LookupOperation::find(std::int64_t key) const {
  const auto at = std::lower_bound(table_.keys.begin(), table_.keys.end(), key);
  return at != table_.keys.end() && *at == key ? &table_.values[static_cast<std::size_t>(at - table_.keys.begin())] : nullptr;
}

void LookupOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (!x.holds_ids()) refuse("expected integer ids");
  if (table_.buckets == 0) {
    if (x.made_ids > 0) refuse("its ids are made by another layer, and may not be in its vocabulary");
    for_ids(x, [&](std::int64_t, std::int64_t id) {
      if (!find(id)) refuse("all inputs should be in the vocabulary, got " + std::to_string(id));
    });
  }
  Tensor& y = output(run) = x.with_width(1);
  std::int64_t most = static_cast<std::int64_t>(table_.other) + table_.buckets - 1;
  for (const std::int32_t value : table_.values) most = std::max<std::int64_t>(most, value);
  y.made_ids = std::max<std::int64_t>(most + 1, 1);
}

void LookupOperation::execute(Run& run) const {
  std::int32_t* const ids = mutable_ids(output(run));
  for_ids(input(run), [&](std::int64_t i, std::int64_t id) {
    if (const std::int32_t* const value = find(id)) {
      ids[i] = *value;
      return;
    }
    const std::int64_t left = id % table_.buckets;
    ids[i] = table_.other + static_cast<std::int32_t>(left < 0 ? left + table_.buckets : left);
  });
}

double LookupOperation::work(const Run& run) const { return search_work(input(run).rows(), table_.keys.size()); }

// ---- vectors

void EncodeOperation::infer(Run& run) const {
  const Tensor& x = input(run);
  if (!x.holds_ids()) refuse("expected integer ids");
  if (mode_ != Encoding::kOneHot && x.time == 0) refuse("expected ids of shape (batch, number), got 1 axis");
  const auto check = [&](std::int64_t id) {
    if (id >= depth_) refuse("expected categories from 0 to " + std::to_string(depth_ - 1) + ", got " + std::to_string(id));
  };
  if (strict_ && x.made_ids > 0) check(x.made_ids - 1);
  else if (strict_) for_ids(x, [&](std::int64_t, std::int64_t id) { check(id); });
  Tensor& y = output(run) = x.with_width(depth_);
  if (mode_ == Encoding::kOneHot && x.time != 1) return;
  y.time = 0;
  y.lengths = nullptr;
}

void EncodeOperation::execute(Run& run) const {
  const Tensor& x = input(run);
  const Tensor& out = output(run);
  float* const y = mutable_data(out);
  std::fill_n(y, out.elements(), 0.0f);
  const std::int64_t shared = mode_ == Encoding::kOneHot ? 1 : x.time;  // ids that share a vector
  for_ids(x, [&](std::int64_t i, std::int64_t id) {
    if (id < 0 || id >= depth_) return;
    float& at = y[i / shared * depth_ + id];
    at = mode_ == Encoding::kCount ? at + 1.0f : 1.0f;
  });
}

double EncodeOperation::work(const Run& run) const { return kStreamWork * static_cast<double>(output(run).elements()); }

}  // namespace lstmfast
