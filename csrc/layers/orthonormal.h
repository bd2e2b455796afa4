// SPDX-License-Identifier: BSD-3-Clause
// Random orthogonal matrices. LAPACK's QR meets its threads after every column: beside a busy process, building LSTM(256) took
// seconds in it (35 ms alone).
#pragma once

#include "kernels/kernel_table.h"

namespace lstmfast {

// Makes the columns of a (m, n), m >= n, orthonormal in place: the Q of its QR with a positive diagonal of R. By CholeskyQR2
// (Yamamoto, Nakatsukasa, Yanagisawa and Fukaya 2015), on the caller's thread. False, with `a` half done, where the columns are
// nearly dependent (a distance below 1e-6 of a column's length from the span of those before it).
bool orthonormalize(const KernelTable& kernels, std::int64_t m, std::int64_t n, double* a);

}  // namespace lstmfast
