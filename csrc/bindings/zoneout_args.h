// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <array>
#include <string>

#include "bindings/array_args.h"
#include "recurrent/sequence.h"

namespace lstmfast {

// Zoneout of h and c, for inference, from a pair of rates.
inline Zoneout checked_zoneout(const std::array<float, 2>& rates) {
  Zoneout z;
  for (std::size_t k = 0; k < 2; ++k) {
    if (!(rates[k] >= 0 && rates[k] < 1))
      throw py::value_error("zoneout: expected rates from 0 to below 1, got " + std::to_string(rates[k]));
    z.rate[k] = rates[k];
  }
  return z;
}

}  // namespace lstmfast
