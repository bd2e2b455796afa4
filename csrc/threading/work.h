// SPDX-License-Identifier: BSD-3-Clause
// What an element costs, in the floating-point operations that threads_for_work counts: one thread does about a
// hundred thousand of them in a microsecond.
#pragma once

namespace lstmfast {

inline constexpr double kTranscendentalWork = 50;  // about half a nanosecond an element
inline constexpr double kStreamWork = 20;          // a few loads and a store, memory-bound
inline constexpr double kUpdateWork = 60;          // an optimizer's five streams

}  // namespace lstmfast
