// SPDX-License-Identifier: BSD-3-Clause
// Zoneout (Krueger et al. 2016, "Zoneout: regularizing RNNs by randomly preserving hidden activations"): in training a random
// share of the units keeps h, or c, of the step before; in inference all of them keep that share of it.
#pragma once

#include "recurrent/sequence.h"

namespace lstmfast {

// How much of a state (0: h, 1: c) the elements `range` of some rows of the batch keep at a step: `keeps` is [row][ld], with one
// row for each of `batch_row`.
void zoneout_shares(const KernelTable& kernels, const Sequence& s, const int* batch_row, int rows, int step, int state, Range range,
                    std::int64_t ld, float* keeps);

}  // namespace lstmfast
