// SPDX-License-Identifier: BSD-3-Clause
// Pooling over time in a frozen model: in windows, or of whole sequences.
#pragma once

#include <utility>

#include "engine/operation.h"

namespace lstmfast {

enum class Pool { kMax, kAverage };

class PoolingOperation final : public UnmaskedOperation {
 public:
  struct Options {
    Pool pool = Pool::kMax;
    std::int64_t size = 1, stride = 1;
    bool same = false;
    std::int64_t windows = 0;  // so many over the whole sequence, whatever size and stride are; 0: windows of a size
  };
  PoolingOperation(std::vector<int> in, std::vector<int> out, std::string layer, Options o)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), options_(o) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  std::int64_t outputs_of(std::int64_t time) const;
  // The steps of a row's window.
  std::pair<std::int64_t, std::int64_t> window(std::int64_t number, std::int64_t length) const;
  Options options_;
};

// Padding is left out; an average is over the steps that the mask counts.
class GlobalPoolingOperation final : public UnmaskedOperation {
 public:
  GlobalPoolingOperation(std::vector<int> in, std::vector<int> out, std::string layer, Pool pool, bool keeps_time)
      : UnmaskedOperation(std::move(in), std::move(out), std::move(layer)), pool_(pool), keeps_time_(keeps_time) {}
  void infer(Run& run) const override;
  void execute(Run& run) const override;
  double work(const Run& run) const override;

 private:
  Pool pool_;
  bool keeps_time_;
};

}  // namespace lstmfast
