// SPDX-License-Identifier: BSD-3-Clause
// Rows of a table by integer id, and the gradient's way back.
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

// Position of the first id outside 0..vocabulary-1, or -1. Id: std::int32_t or std::int64_t.
template <class Id>
std::int64_t first_bad_id(const Id* ids, std::int64_t n, std::int64_t vocabulary);

// y (n, width) = table[ids]; ids checked before.
template <class Id>
void embedding_forward(const float* table, std::int64_t width, const Id* ids, std::int64_t n, float* y);

// dtable (vocabulary, width) = or += the sums of the rows of dy (n, width) with each id, added in the order of the rows.
template <class Id>
void embedding_backward(const KernelTable& kernels, const Id* ids, std::int64_t n, const float* dy, std::int64_t width,
                        std::int64_t vocabulary, bool accumulate, float* dtable);

}  // namespace lstmfast
