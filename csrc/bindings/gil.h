// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <pybind11/pybind11.h>

namespace lstmfast {

inline constexpr double kGilWork = 5e5;  // operations as threads_for_work counts them, about 5 us

// Runs f, without the interpreter lock where that is worth the switch. f must not touch Python objects.
template <class F>
void without_gil(double work, F&& f) {
  if (work < kGilWork) return f();
  const pybind11::gil_scoped_release release;
  f();
}

}  // namespace lstmfast
