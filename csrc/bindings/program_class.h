// SPDX-License-Identifier: BSD-3-Clause
// The frozen model's class, to which several files add methods.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/program.h"

namespace lstmfast {

using ProgramClass = pybind11::class_<Program, std::shared_ptr<Program>>;
using Slots = std::vector<int>;

// A ValueError, if an operation was given another number of slots.
inline void check_slots(const Slots& slots, const char* name, std::size_t least, std::size_t most) {
  if (slots.size() < least || slots.size() > most)
    throw pybind11::value_error(std::string(name) + ": expected " + std::to_string(least) + " to " + std::to_string(most) + " slots, got " +
                                std::to_string(slots.size()));
}

// Adds one with so many inputs and one output.
template <class Op, class... Arguments>
void add(Program& p, Slots in, Slots out, const std::string& name, std::size_t inputs, Arguments&&... arguments) {
  check_slots(in, "inputs", inputs, inputs);
  check_slots(out, "outputs", 1, 1);
  p.add(std::make_unique<Op>(std::move(in), std::move(out), name, std::forward<Arguments>(arguments)...));
}

}  // namespace lstmfast
