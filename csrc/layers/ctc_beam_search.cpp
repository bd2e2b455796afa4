// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "layers/ctc.h"
#include "layers/ctc_math.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

// Labellings as a tree: each is its parent and one label more. Node 0 is the empty one.
class Labellings {
 public:
  Labellings() { nodes_.push_back({-1, -1, false}); }

  std::int64_t parent(std::int64_t node) const { return at(node).parent; }
  std::int64_t label(std::int64_t node) const { return at(node).label; }

  // The labelling with one label more, or -1 if nobody made it yet.
  std::int64_t find(std::int64_t node, std::int64_t label) const {
    if (!at(node).has_children) return -1;
    const auto found = children_.find({node, label});
    return found == children_.end() ? -1 : found->second;
  }
  std::int64_t make(std::int64_t parent, std::int64_t label) {
    const auto node = static_cast<std::int64_t>(nodes_.size());
    nodes_.push_back({parent, label, false});
    children_.emplace(std::pair(parent, label), node);
    nodes_[static_cast<std::size_t>(parent)].has_children = true;
    return node;
  }

 private:
  struct Node {
    std::int64_t parent, label;
    bool has_children;
  };
  struct Hash {
    std::size_t operator()(const std::pair<std::int64_t, std::int64_t>& key) const {
      return static_cast<std::size_t>(static_cast<std::uint64_t>(key.first) * 0x9e3779b97f4a7c15u + static_cast<std::uint64_t>(key.second));
    }
  };
  const Node& at(std::int64_t node) const { return nodes_[static_cast<std::size_t>(node)]; }

  std::vector<Node> nodes_;
  std::unordered_map<std::pair<std::int64_t, std::int64_t>, std::int64_t, Hash> children_;
};

struct Beam {
  std::int64_t node;           // -1: not made yet
  std::int64_t parent, label;  // what it would be made of
  double blank, emit;          // log probabilities of the ways that end in the blank, and in the last label
  double total;
  std::int64_t place;  // equal totals stay in the order in which they came: the result depends on nothing but the logits
};

// The best `width`, best first.
void keep_best(std::vector<Beam>& beams, std::int64_t width) {
  for (std::size_t i = 0; i < beams.size(); ++i) {
    beams[i].total = log_add(beams[i].blank, beams[i].emit);
    beams[i].place = static_cast<std::int64_t>(i);
  }
  const auto better = [](const Beam& a, const Beam& b) { return a.total != b.total ? a.total > b.total : a.place < b.place; };
  if (static_cast<std::int64_t>(beams.size()) > width) {
    std::nth_element(beams.begin(), beams.begin() + width, beams.end(), better);
    beams.resize(static_cast<std::size_t>(width));
  }
  std::sort(beams.begin(), beams.end(), better);
}

class Search {
 public:
  Search(const CtcBeamArgs& args, std::int64_t b) : args_(args), b_(b), probabilities_(static_cast<std::size_t>(args.classes)) {}

  void run(const KernelTable& kernels) {
    std::vector<Beam> beams{{0, -1, -1, 0.0, kImpossible, 0.0, 0}};
    for (std::int64_t t = 0; t < args_.input_length[b_]; ++t) {
      const float* const logits = args_.logits + (b_ * args_.time + t) * args_.classes;
      kernels.softmax_forward(1, args_.classes, logits, probabilities_.data());
      const double log_total = log_sum(logits, probabilities_.data(), args_.classes);
      if (std::isnan(log_total)) {  // no order among these
        beams.assign(static_cast<std::size_t>(args_.top_paths), {0, -1, -1, log_total, log_total, log_total, 0});
        return write(beams);
      }
      step(beams, logits, log_total);
    }
    keep_best(beams, args_.top_paths);
    write(beams);
  }

 private:
  void write(const std::vector<Beam>& beams) {
    for (std::int64_t k = 0; k < args_.top_paths; ++k) {
      std::int32_t* const path = args_.paths + (k * args_.batch + b_) * args_.time;
      std::fill_n(path, args_.time, -1);
      const bool found = k < static_cast<std::int64_t>(beams.size());
      args_.scores[b_ * args_.top_paths + k] = static_cast<float>(found ? beams[static_cast<std::size_t>(k)].total : kImpossible);
      if (found) write(path, beams[static_cast<std::size_t>(k)].node);
    }
  }

  void step(std::vector<Beam>& beams, const float* logits, double log_total) {
    const auto log_p = [&](std::int64_t k) { return static_cast<double>(logits[k]) - log_total; };
    std::vector<Beam> next;
    next.reserve(beams.size() * static_cast<std::size_t>(args_.classes));
    places_.clear();
    for (const Beam& beam : beams) {
      places_.emplace(beam.node, next.size());
      const double again = beam.label >= 0 ? beam.emit + log_p(beam.label) : kImpossible;
      next.push_back({beam.node, beam.parent, beam.label, beam.total + log_p(args_.blank), again, 0.0, 0});
    }
    for (const Beam& beam : beams) {
      for (std::int64_t k = 0; k < args_.classes; ++k) {
        if (k == args_.blank) continue;
        // The same label again is a second one only behind a blank.
        const double score = (k == beam.label ? beam.blank : beam.total) + log_p(k);
        if (score == kImpossible) continue;
        const std::int64_t child = labellings_.find(beam.node, k);
        const auto place = child < 0 ? places_.end() : places_.find(child);
        if (place != places_.end()) next[place->second].emit = log_add(next[place->second].emit, score);
        else next.push_back({child, beam.node, k, kImpossible, score, 0.0, 0});
      }
    }
    keep_best(next, args_.beam_width);
    for (Beam& beam : next)
      if (beam.node < 0) beam.node = labellings_.make(beam.parent, beam.label);
    beams = std::move(next);
  }

  void write(std::int32_t* path, std::int64_t node) const {
    std::int64_t length = 0;
    for (std::int64_t n = node; labellings_.parent(n) >= 0; n = labellings_.parent(n)) ++length;
    for (std::int64_t n = node; labellings_.parent(n) >= 0; n = labellings_.parent(n))
      path[--length] = static_cast<std::int32_t>(labellings_.label(n));
  }

  const CtcBeamArgs& args_;
  std::int64_t b_;
  std::vector<float> probabilities_;
  Labellings labellings_;
  std::unordered_map<std::int64_t, std::size_t> places_;
};

}  // namespace

void ctc_beam_search(const KernelTable& kernels, const CtcBeamArgs& args) {
  constexpr double kCandidateWork = 3000;  // a table look-up and its share of the sort
  double work = 0.0;
  for (std::int64_t b = 0; b < args.batch; ++b)
    work += static_cast<double>(args.input_length[b]) * static_cast<double>(args.classes * args.beam_width) * kCandidateWork;
  const auto threads = static_cast<int>(std::min<std::int64_t>(threads_for_work(work), std::max<std::int64_t>(args.batch, 1)));
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;  // a team's body must not throw
  std::mutex failing;
  run_team(threads, [&](const Team&) {
    try {
      for (std::int64_t b = next++; b < args.batch; b = next++) Search(args, b).run(kernels);
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace lstmfast
