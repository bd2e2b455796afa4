// SPDX-License-Identifier: BSD-3-Clause
// The frozen model's class, to which several files add methods.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "engine/program.h"

namespace lstmfast {

using ProgramClass = pybind11::class_<Program, std::shared_ptr<Program>>;
using Slots = std::vector<int>;

}  // namespace lstmfast
