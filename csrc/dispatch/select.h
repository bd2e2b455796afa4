// SPDX-License-Identifier: BSD-3-Clause
// Which kernels run: the best compiled instruction set that this machine supports, or the one that
// the environment variable LSTMFAST_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace lstmfast {

std::vector<std::string> compiled_isas();   // best first
std::vector<std::string> available_isas();  // those of them that run here

// The table of one instruction set. Throws std::invalid_argument, saying whether the name is unknown,
// the build lacks it or the machine does.
const KernelTable& kernels_for(const std::string& name);

// The chosen table; the choice is made once, at the first call.
const KernelTable& kernels();

// The named table, or the chosen one for an empty name.
inline const KernelTable& kernels_or_chosen(const std::string& name) { return name.empty() ? kernels() : kernels_for(name); }

}  // namespace lstmfast
