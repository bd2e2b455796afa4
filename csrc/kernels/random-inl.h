// SPDX-License-Identifier: BSD-3-Clause
// Random masks from a counter: Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
// A number is a function of the key and its place alone: any thread may draw any of them, and the backward pass draws them
// again instead of keeping them. Element i of a stream is word (i % 64) / 16 of block i / 64 * 16 + i % 16, so that sixteen
// blocks advance side by side and their words are stored in a row; plain integer code, which compilers turn into vectors.
#pragma once

namespace lstmfast::LSTMFAST_ISA {
namespace {

constexpr int kBlocks = 16, kWords = 4;

struct PhiloxGroup {
  std::uint32_t word[kWords][kBlocks];
};

// The rounds are inside the loop over blocks and unrolled: so compilers see one loop to turn into vectors.
LSTMFAST_INLINE void philox_group(std::uint64_t key, const std::uint32_t stream[3], std::uint32_t first_block, PhiloxGroup& g) {
  const std::uint32_t low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  for (std::uint32_t b = 0; b < kBlocks; ++b) {
    std::uint32_t c0 = first_block + b, c1 = stream[0], c2 = stream[1], c3 = stream[2];
    std::uint32_t k0 = low, k1 = high;
    _Pragma("GCC unroll 10") for (int round = 0; round < 10; ++round) {
      const std::uint64_t x = static_cast<std::uint64_t>(0xD2511F53u) * c0, y = static_cast<std::uint64_t>(0xCD9E8D57u) * c2;
      c0 = static_cast<std::uint32_t>(y >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(y);
      c2 = static_cast<std::uint32_t>(x >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(x);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    g.word[0][b] = c0;
    g.word[1][b] = c1;
    g.word[2][b] = c2;
    g.word[3][b] = c3;
  }
}

void random_mask(const RandomMaskArgs& a) {
  constexpr std::int64_t kGroup = kBlocks * kWords;
  PhiloxGroup g;
  for (std::int64_t first = a.begin / kGroup * kGroup; first < a.end; first += kGroup) {
    philox_group(a.key, a.stream, static_cast<std::uint32_t>(first / kWords), g);
    const std::uint32_t* const bits = g.word[0];
    const std::int64_t begin = a.begin > first ? a.begin : first, end = a.end < first + kGroup ? a.end : first + kGroup;
    if (a.x) {
      for (std::int64_t i = begin; i < end; ++i) a.y[i] = a.x[i] * (bits[i - first] < a.threshold ? a.below : a.above);
    } else {
      for (std::int64_t i = begin; i < end; ++i) a.y[i] = bits[i - first] < a.threshold ? a.below : a.above;
    }
  }
}

}  // namespace
}  // namespace lstmfast::LSTMFAST_ISA
