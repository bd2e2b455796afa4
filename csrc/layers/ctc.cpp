// SPDX-License-Identifier: BSD-3-Clause
#include "layers/ctc.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "layers/ctc_math.h"
#include "memory/buffer.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

constexpr double kStateWork = 3000;  // a state's sums forwards and backwards, four exponentials and two logarithms

// One sequence. States 0 .. 2L of a labelling of L: even ones are the blank, state 2i + 1 is label i.
class Sequence {
 public:
  Sequence(const CtcArgs& a, std::int64_t b, double* scratch, float* row)
      : args_(a),
        time_(a.input_length[b]),
        states_(2 * a.label_length[b] + 1),
        logits_(a.logits + b * a.time * a.classes),
        labels_(a.labels + b * a.max_labels),
        gradient_(a.gradient ? a.gradient + b * a.time * a.classes : nullptr),
        log_sums_(scratch),
        alpha_(scratch + a.time),
        row_(row) {}

  // Doubles that `scratch` must hold.
  static std::int64_t scratch_size(std::int64_t time, std::int64_t max_labels) {
    const std::int64_t stride = 2 * max_labels + 1 + kPad;
    return time + (time + 2) * stride;
  }

  double run(const KernelTable& kernels, float weight) {
    const std::int64_t classes = args_.classes, used = time_ * classes;
    if (gradient_) std::fill(gradient_ + used, gradient_ + args_.time * classes, 0.0f);
    if (time_ == 0) return states_ == 1 ? 0.0 : -kImpossible;
    const bool numbers = normalize(kernels);
    const double log_p = numbers ? forwards() : std::numeric_limits<double>::quiet_NaN();
    if (gradient_) {
      if (std::isfinite(log_p)) {
        backwards(log_p);
        if (weight != 1.0f) kernels.scale(used, weight, gradient_);
      } else {
        std::fill_n(gradient_, used, std::numeric_limits<float>::quiet_NaN());
      }
    }
    return -log_p;
  }

 private:
  static constexpr std::int64_t kPad = 2;  // impossible states before the first of a row, or behind the last

  std::int64_t label(std::int64_t s) const { return s % 2 ? labels_[s / 2] : args_.blank; }
  double log_p(std::int64_t t, std::int64_t k) const { return static_cast<double>(logits_[t * args_.classes + k]) - log_sums_[t]; }
  // Whether a path may go from state s - 2 to s: past a blank, between labels that differ.
  bool may_skip(std::int64_t s) const { return s % 2 && s > 1 && labels_[s / 2] != labels_[s / 2 - 1]; }
  // States that at step t can be reached from the first and lead to the last.
  std::int64_t first_state(std::int64_t t) const { return std::max<std::int64_t>(0, states_ - 2 * (time_ - t)); }
  std::int64_t end_state(std::int64_t t) const { return std::min(states_, 2 * t + 2); }
  double* alpha(std::int64_t t) const { return alpha_ + t * (states_ + kPad) + kPad; }

  // Softmax to the gradient, or to a row that is used again; false if a step has none.
  bool normalize(const KernelTable& kernels) {
    const std::int64_t classes = args_.classes;
    bool numbers = true;
    for (std::int64_t t = 0; t < time_; ++t) {
      float* const p = gradient_ ? gradient_ + t * classes : row_;
      kernels.softmax_forward(1, classes, logits_ + t * classes, p);
      log_sums_[t] = log_sum(logits_ + t * classes, p, classes);
      numbers = numbers && !std::isnan(log_sums_[t]);
    }
    return numbers;
  }

  // alpha(t)[s]: log probability of all ways to be in state s at step t, that step's output included.
  double forwards() {
    for (std::int64_t t = 0; t < time_; ++t) {
      double* const now = alpha(t);
      std::fill(now - kPad, now + states_, kImpossible);
      const double* const before = t ? alpha(t - 1) : nullptr;
      const double blank = log_p(t, args_.blank);
      for (std::int64_t s = first_state(t); s < end_state(t); ++s) {
        const double ways = t ? log_add(before[s], before[s - 1], may_skip(s) ? before[s - 2] : kImpossible) : 0.0;
        now[s] = ways + (s % 2 ? log_p(t, labels_[s / 2]) : blank);
      }
    }
    const double* const last = alpha(time_ - 1) + states_;
    return log_add(last[-1], last[-2]);
  }

  // Softmax minus the part of each class in the ways that give the labels. beta[s]: log probability of the rest after
  // step t from state s; onward[s] the same with the output of step t + 1, for s at that step.
  void backwards(double log_total) {
    double* const onward = alpha_ + time_ * (states_ + kPad);
    std::fill(onward, onward + states_ + kPad, kImpossible);
    for (std::int64_t t = time_ - 1; t >= 0; --t) {
      const double* const forward = alpha(t);
      float* const gradient = gradient_ + t * args_.classes;
      const double blank = log_p(t, args_.blank);
      double blanks = 0.0;
      const std::int64_t first = first_state(t), end = end_state(t);
      for (std::int64_t s = 0; s < states_; ++s) {  // ascending: onward[s] is overwritten after its last use
        if (s < first || s >= end) {
          onward[s] = kImpossible;
          continue;
        }
        const double beta = t == time_ - 1
                                ? (s >= states_ - 2 ? 0.0 : kImpossible)
                                : log_add(onward[s], onward[s + 1], s + 2 < states_ && may_skip(s + 2) ? onward[s + 2] : kImpossible);
        const double part = exp_beside_one(forward[s] + beta - log_total);
        if (s % 2) gradient[labels_[s / 2]] -= static_cast<float>(part);
        else blanks += part;
        onward[s] = beta + (s % 2 ? log_p(t, labels_[s / 2]) : blank);
      }
      gradient[args_.blank] -= static_cast<float>(blanks);
    }
  }

  const CtcArgs& args_;
  std::int64_t time_, states_;
  const float* logits_;
  const std::int64_t* labels_;
  float* gradient_;
  double *log_sums_, *alpha_;
  float* row_;
};

}  // namespace

void ctc_loss(const KernelTable& kernels, const CtcArgs& args) {
  double work = 0.0;
  for (std::int64_t b = 0; b < args.batch; ++b)
    work += static_cast<double>(args.input_length[b]) *
            (static_cast<double>(args.classes) * kTranscendentalWork + static_cast<double>(2 * args.label_length[b] + 1) * kStateWork);
  const auto threads = static_cast<int>(std::min<std::int64_t>(threads_for_work(work), std::max<std::int64_t>(args.batch, 1)));
  // Float64 scratch in whole cache lines, then a row of floats for losses without gradients.
  const std::int64_t doubles = (Sequence::scratch_size(args.time, args.max_labels) + 15) / 16 * 16;
  const std::int64_t share = 2 * doubles + (args.classes + 31) / 32 * 32;
  Buffer scratch(static_cast<std::size_t>(share * threads));
  std::atomic<std::int64_t> next{0};
  run_team(threads, [&](const Team& team) {
    float* const own = scratch.data() + team.id * share;
    for (std::int64_t b = next++; b < args.batch; b = next++) {
      Sequence sequence(args, b, reinterpret_cast<double*>(own), own + 2 * doubles);
      args.loss[b] = static_cast<float>(sequence.run(kernels, args.weight ? args.weight[b] : 1.0f));
    }
  });
}

}  // namespace lstmfast
