// SPDX-License-Identifier: BSD-3-Clause
// What the sequence loops need to know about a cell. A new cell is one row here, its kernels, and its
// lines in kernels.def.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/kernel_table.h"

namespace lstmfast {

struct CellSpec {
  const char* name;
  int gates;          // G: the kernel has G*H columns, in Keras's gate order
  bool has_cell;      // a second state c beside h
  bool unit_panels;   // panels of G gates x VL units; else plain panels of adjacent units
  unsigned sigmoids;  // bit g: gate g uses the recurrent activation
  void (*KernelTable::*forward)(const CellForwardArgs&);
  void (*KernelTable::*backward)(const CellBackwardArgs&);
};

inline constexpr CellSpec kCells[] = {
    {"lstm", 4, true, true, 0b1011, &KernelTable::lstm_forward, &KernelTable::lstm_backward},
    {"simple_rnn", 1, false, false, 0, &KernelTable::simple_rnn_forward, &KernelTable::simple_rnn_backward},
};

inline const CellSpec& cell_spec(const std::string& name) {
  for (const CellSpec& spec : kCells)
    if (name == spec.name) return spec;
  throw std::invalid_argument("cell: expected 'lstm' or 'simple_rnn', got '" + name + "'");
}

}  // namespace lstmfast
