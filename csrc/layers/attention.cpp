// SPDX-License-Identifier: BSD-3-Clause
#include "layers/attention.h"

#include <algorithm>

#include "gemm/gemm.h"
#include "memory/arena.h"
#include "threading/parallel.h"
#include "threading/work.h"

namespace lstmfast {
namespace {

constexpr float kNever = -1e30f;  // a score that does not count

// Steps whose scores are in work at the same time: they fit into L2 beside the packed keys and values.
std::int64_t rows_at_once(const AttentionSizes& s) {
  constexpr std::int64_t kScores = 32768;
  return std::min(s.steps, std::clamp<std::int64_t>(kScores / s.keys, 24, 240));
}

// A row of so many floats with zeros behind it, where a packed depth reaches further.
std::int64_t padded(const KernelTable& kernels, std::int64_t n) {
  const PanelLayout layout = PanelLayout::plain(kernels, n);
  return layout.panels * layout.width();
}

// C = A B, or C += A B; rows of A by pointer.
void multiply(const KernelTable& kernels, const float* const* a, std::int64_t rows, const PackedMatrix& b, float* c, std::int64_t ldc,
              bool add = false) {
  GemmArgs g{};
  b.layout.address_columns(g);
  b.address_panels(g, 0, b.layout.panels);
  g.rows = static_cast<int>(rows);
  g.a = a;
  g.c = c;
  g.ldc = ldc;
  g.load_mask = add ? ~0u : 0u;
  gemm_blocked(kernels, g);
}

void point(const float** pointers, const float* first, std::int64_t rows, std::int64_t ld) {
  for (std::int64_t i = 0; i < rows; ++i) pointers[i] = first + i * ld;
}

// Rows times a factor, with zeros up to `width`.
void copy_rows(const float* from, std::int64_t rows, std::int64_t ld, std::int64_t n, float factor, float* to, std::int64_t width) {
  for (std::int64_t i = 0; i < rows; ++i, from += ld, to += width) {
    for (std::int64_t j = 0; j < n; ++j) to[j] = from[j] * factor;
    std::fill(to + n, to + width, 0.0f);
  }
}

void multiply_by(float* x, const float* factors, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) x[i] *= factors[i];
}

// Scores that do not count become kNever.
void hide(float* scores, std::int64_t n, const std::uint8_t* mask, std::int64_t stride) {
  if (stride == 1)
    for (std::int64_t i = 0; i < n; ++i) scores[i] = mask[i] ? scores[i] : kNever;
  else
    for (std::int64_t i = 0; i < n; ++i) scores[i] = mask[i * stride] ? scores[i] : kNever;
}

bool sees_any(const std::uint8_t* mask, std::int64_t n, std::int64_t stride) {
  for (std::int64_t i = 0; i < n; ++i)
    if (mask[i * stride]) return true;
  return false;
}

// From one step to the next in each array, and where heads begin.
struct Strides {
  explicit Strides(const AttentionSizes& s)
      : q(s.heads * s.key_size), k(s.key_heads * s.key_size), v(s.key_heads * s.value_size), c(s.heads * s.value_size) {}
  std::int64_t query(const AttentionSizes& s, std::int64_t sample, std::int64_t step, std::int64_t head) const {
    return (sample * s.steps + step) * q + head * s.key_size;
  }
  std::int64_t context(const AttentionSizes& s, std::int64_t sample, std::int64_t step, std::int64_t head) const {
    return (sample * s.steps + step) * c + head * s.value_size;
  }
  std::int64_t key(const AttentionSizes& s, std::int64_t sample, std::int64_t head) const {
    return sample * s.keys * k + head * s.key_size;
  }
  std::int64_t value(const AttentionSizes& s, std::int64_t sample, std::int64_t head) const {
    return sample * s.keys * v + head * s.value_size;
  }
  std::int64_t q, k, v, c;
};

// body(head, first step, steps) for the heads of the queries that share one of the keys.
template <class F>
void for_blocks(const AttentionSizes& s, std::int64_t key_head, std::int64_t at_once, F body) {
  const std::int64_t group = s.heads / s.key_heads;
  for (std::int64_t head = key_head * group; head < (key_head + 1) * group; ++head)
    for (std::int64_t step = 0; step < s.steps; step += at_once) body(head, step, std::min(at_once, s.steps - step));
}

// body(sample, head of the keys, scratch) for all, on as many threads as they are worth.
template <class Place, class F>
void for_heads(const AttentionSizes& s, double work, Place place, F body) {
  Carver measure;
  place(measure);
  const int threads = threads_for_work(work);
  Arena arena(static_cast<std::size_t>(threads) * measure.bytes());
  run_team(threads, [&](const Team& team) {
    Carver memory(arena.data() + static_cast<std::size_t>(team.id) * measure.bytes());
    const auto scratch = place(memory);
    const Range mine = split(s.batch * s.key_heads, team.size, team.id);
    for (std::int64_t i = mine.begin; i < mine.end; ++i) body(i / s.key_heads, i % s.key_heads, scratch);
  });
}

}  // namespace

double AttentionSizes::work() const {
  const double scores_ = static_cast<double>(batch) * static_cast<double>(heads) * static_cast<double>(scores());
  return scores_ * (2.0 * static_cast<double>(key_size + value_size) + kTranscendentalWork);
}

void attention_forward(const KernelTable& kernels, const AttentionForwardArgs& a) {
  const AttentionSizes& s = a.sizes;
  const Strides ld(s);
  const std::int64_t at_once = rows_at_once(s), depth = padded(kernels, s.key_size);
  struct Scratch {
    float *queries, *scores, *weights;
    const float** rows;
  };
  const auto place = [&](Carver& memory) {
    Scratch p{};
    p.queries = memory.take<float>(static_cast<std::size_t>(a.scored ? 0 : at_once * depth));
    p.scores = memory.take<float>(static_cast<std::size_t>(a.probabilities ? 0 : at_once * s.keys));
    p.weights = memory.take<float>(static_cast<std::size_t>(a.drop ? at_once * s.keys : 0));
    p.rows = memory.take<const float*>(static_cast<std::size_t>(at_once));
    return p;
  };
  for_heads(s, s.work(), place, [&](std::int64_t sample, std::int64_t key_head, const Scratch& p) {
    PackedMatrix keys;
    if (!a.scored)
      keys = pack_transposed(kernels, PanelLayout::plain(kernels, s.key_size), a.k + ld.key(s, sample, key_head), s.keys, ld.k);
    const PackedMatrix values =
        pack(kernels, PanelLayout::plain(kernels, s.value_size), a.v + ld.value(s, sample, key_head), s.keys, ld.v, nullptr, nullptr);
    for_blocks(s, key_head, at_once, [&](std::int64_t head, std::int64_t step, std::int64_t rows) {
      const std::int64_t first = ((sample * s.heads + head) * s.steps + step) * s.keys;  // of the block's scores
      float* const scores = a.probabilities ? a.probabilities + first : p.scores;
      if (!a.scored) {
        copy_rows(a.q + ld.query(s, sample, step, head), rows, ld.q, s.key_size, a.scale, p.queries, depth);
        point(p.rows, p.queries, rows, depth);
        multiply(kernels, p.rows, rows, keys, scores, s.keys);
      }
      const std::uint8_t* mask =
          a.mask ? a.mask + sample * a.mask_strides[0] + head * a.mask_strides[1] + step * a.mask_strides[2] : nullptr;
      for (std::int64_t i = 0; mask && i < rows; ++i) hide(scores + i * s.keys, s.keys, mask + i * a.mask_strides[2], a.mask_strides[3]);
      kernels.softmax_forward(rows, s.keys, scores, scores);
      for (std::int64_t i = 0; mask && a.zero_blind && i < rows; ++i)
        if (!sees_any(mask + i * a.mask_strides[2], s.keys, a.mask_strides[3])) std::fill_n(scores + i * s.keys, s.keys, 0.0f);
      const float* weights = scores;
      if (a.drop) {
        std::copy_n(scores, rows * s.keys, p.weights);
        multiply_by(p.weights, a.drop + first, rows * s.keys);
        weights = p.weights;
      }
      point(p.rows, weights, rows, s.keys);
      multiply(kernels, p.rows, rows, values, a.context + ld.context(s, sample, step, head), ld.c);
    });
  });
}

// With P the probabilities, W = P * drop the weights and C = W V the context:
//   dV = W^T dC   dP = drop * dC V^T + what came for P itself   dS = P * (dP - sum of P dP)   dQ = scale dS K   dK = scale dS^T Q
// dV and dK are summed as their transposes, whose second operands W and dS are then rows of scores as they are.
void attention_backward(const KernelTable& kernels, const AttentionBackwardArgs& a) {
  const AttentionSizes& s = a.sizes;
  const Strides ld(s);
  const std::int64_t at_once = rows_at_once(s), depth = padded(kernels, s.value_size), widest = std::max(s.key_size, s.value_size);
  struct Scratch {
    float *dcontext, *scores, *weights, *columns, *dkeys, *dvalues;
    const float** rows;
  };
  const auto place = [&](Carver& memory) {
    Scratch p{};
    p.dcontext = memory.take<float>(static_cast<std::size_t>(at_once * depth));
    p.scores = memory.take<float>(static_cast<std::size_t>(at_once * s.keys));
    p.weights = memory.take<float>(static_cast<std::size_t>(a.drop ? at_once * s.keys : 0));
    p.columns = memory.take<float>(static_cast<std::size_t>(widest * at_once));
    p.dkeys = memory.take<float>(static_cast<std::size_t>(s.key_size * s.keys));
    p.dvalues = memory.take<float>(static_cast<std::size_t>(s.value_size * s.keys));
    p.rows = memory.take<const float*>(static_cast<std::size_t>(std::max(at_once, widest)));
    return p;
  };
  // sums (n, keys) += columns of x (rows, n) times scores (rows, keys)
  const auto add_products = [&](const Scratch& p, const float* x, std::int64_t x_ld, std::int64_t n, std::int64_t rows, const float* scores,
                                float* sums) {
    point(p.rows, x, rows, x_ld);
    kernels.transpose(p.rows, 0, static_cast<int>(rows), static_cast<int>(n), p.columns, at_once);
    const PackedMatrix packed = pack(kernels, PanelLayout::plain(kernels, s.keys), scores, rows, s.keys, nullptr, nullptr);
    point(p.rows, p.columns, n, at_once);
    multiply(kernels, p.rows, n, packed, sums, s.keys, true);
  };
  // sums (n, keys) as (keys, n)
  const auto turn = [&](const Scratch& p, const float* sums, std::int64_t n, float* to, std::int64_t to_ld) {
    point(p.rows, sums, n, s.keys);
    kernels.transpose(p.rows, 0, static_cast<int>(n), static_cast<int>(s.keys), to, to_ld);
  };
  for_heads(s, 2.5 * s.work(), place, [&](std::int64_t sample, std::int64_t key_head, const Scratch& p) {
    const float scales[] = {a.scale, a.scale, a.scale, a.scale};
    const PackedMatrix keys =
        pack(kernels, PanelLayout::plain(kernels, s.key_size), a.k + ld.key(s, sample, key_head), s.keys, ld.k, nullptr, scales);
    const PackedMatrix values =
        pack_transposed(kernels, PanelLayout::plain(kernels, s.value_size), a.v + ld.value(s, sample, key_head), s.keys, ld.v);
    std::fill_n(p.dkeys, s.key_size * s.keys, 0.0f);
    std::fill_n(p.dvalues, s.value_size * s.keys, 0.0f);
    for_blocks(s, key_head, at_once, [&](std::int64_t head, std::int64_t step, std::int64_t rows) {
      const std::int64_t first = ((sample * s.heads + head) * s.steps + step) * s.keys, count = rows * s.keys;
      const float* const probabilities = a.probabilities + first;
      if (a.dcontext) {
        const float* const dcontext = a.dcontext + ld.context(s, sample, step, head);
        const float* weights = probabilities;
        if (a.drop) {
          std::copy_n(probabilities, count, p.weights);
          multiply_by(p.weights, a.drop + first, count);
          weights = p.weights;
        }
        add_products(p, dcontext, ld.c, s.value_size, rows, weights, p.dvalues);
        copy_rows(dcontext, rows, ld.c, s.value_size, 1.0f, p.dcontext, depth);
        point(p.rows, p.dcontext, rows, depth);
        multiply(kernels, p.rows, rows, values, p.scores, s.keys);
        if (a.drop) multiply_by(p.scores, a.drop + first, count);
        if (a.dprobabilities) kernels.accumulate(count, a.dprobabilities + first, p.scores);
      } else {
        std::copy_n(a.dprobabilities + first, count, p.scores);
      }
      kernels.softmax_backward(rows, s.keys, probabilities, p.scores, p.scores);
      const std::int64_t at = ld.query(s, sample, step, head);
      add_products(p, a.q + at, ld.q, s.key_size, rows, p.scores, p.dkeys);
      point(p.rows, p.scores, rows, s.keys);
      multiply(kernels, p.rows, rows, keys, a.dq + at, ld.q);
    });
    kernels.scale(s.key_size * s.keys, a.scale, p.dkeys);
    turn(p, p.dkeys, s.key_size, a.dk + ld.key(s, sample, key_head), ld.k);
    turn(p, p.dvalues, s.value_size, a.dv + ld.value(s, sample, key_head), ld.v);
  });
}

}  // namespace lstmfast
