// SPDX-License-Identifier: BSD-3-Clause
// What the sequence loops need to know about a cell. A new cell is one row here, its kernels, and its
// lines in kernels.def.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"

namespace lstmfast {

// Each pair (a valid step of a row) has `gate_vectors` vectors a panel in the gates buffer: sums first, activated gates
// next (the sums still, where slopes follow only from them), gate gradients last. The products of x and of h land on adjacent
// ones of them, so that both transposed products read contiguous depth: LSTM, i f c o, all four from both; with layer
// normalization, x's four, then h's; GRU, [x part of h~, z, r, h part of h~]: x's three are the first, h's three the last; GRU
// with the reset gate before the product, [h~, z, r].
struct CellSpec {
  const char* name;
  int gates;              // G: the kernel has G*H columns, in Keras's gate order
  int states;             // h; h and c
  bool keeps_unit_state;  // the kernels carry a state a unit beside the rows of h that the product reads: LSTM c, GRU h
  bool unit_panels;       // panels of G gates x VL units; else plain panels of adjacent units
  unsigned sigmoids;      // bit g: gate g uses the recurrent activation
  int gate_vectors;       // vectors a panel in the gates buffer (unit panels)
  int input_first;        // gate of the first vector that x's product writes; the others follow, cyclically
  int recurrent_first;    // likewise for h
  int recurrent_vector;   // the first vector of the gates buffer that h's product writes
  unsigned adds_to;       // bit v: vector v of h's product adds to what x's product left there
  int biases;             // rows of the bias: 2 where x and h have their own
  bool carries_hidden;    // a share of the gradient of h passes the step by (dh is added to, not replaced)
  void (*KernelTable::*forward)(const CellForwardArgs&);
  void (*KernelTable::*backward)(const CellBackwardArgs&);
  // The reset gate before the product: r, z and r*h first, then the product of r*h with the last gate's weights.
  void (*KernelTable::*reset_forward)(const CellForwardArgs&) = nullptr;
  void (*KernelTable::*reset_backward)(const CellBackwardArgs&) = nullptr;
  bool peephole = false;    // the gates see c: weights of their own for it
  bool projection = false;  // h is a product of what the cell makes: its size is not that of c
  bool layer_norm = false;  // sums over the units of a row: a row stays with one thread
};

// The LSTM and its variants. Gates of a peephole cell add up x, h and c; with layer normalization x's and h's sums stay apart.
constexpr CellSpec lstm_cell(const char* name, bool peephole, bool layer_norm, bool projection) {
  CellSpec s{name, 4, 2, true, true, 0b1011, 4, 0, 0, 0, 0b1111, 1, false, &KernelTable::lstm_forward, &KernelTable::lstm_backward};
  s.peephole = peephole;
  s.layer_norm = layer_norm;
  s.projection = projection;
  if (peephole) {
    s.forward = &KernelTable::lstm_peephole_forward;
    s.backward = &KernelTable::lstm_peephole_backward;
  }
  if (layer_norm) {
    s.gate_vectors = 8;
    s.recurrent_vector = 4;
    s.adds_to = 0;
    s.forward = &KernelTable::lstm_norm_forward;
    s.backward = &KernelTable::lstm_norm_backward;
  }
  return s;
}

inline constexpr CellSpec kCells[] = {
    lstm_cell("lstm", false, false, false),
    lstm_cell("lstm_peephole", true, false, false),
    lstm_cell("lstm_layer_norm", false, true, false),
    lstm_cell("lstm_projection", false, false, true),
    lstm_cell("lstm_peephole_projection", true, false, true),
    lstm_cell("lstm_layer_norm_projection", false, true, true),
    {"gru", 3, 1, true, true, 0b011, 4, 2, 0, 1, 0b011, 2, true, &KernelTable::gru_forward, &KernelTable::gru_backward},
    {"gru_reset_before", 3, 1, true, true, 0b011, 3, 2, 2, 0, 0b111, 1, true, &KernelTable::gru_reset_before_forward,
     &KernelTable::gru_reset_before_backward, &KernelTable::gru_reset_forward, &KernelTable::gru_reset_backward},
    {"simple_rnn", 1, 1, false, false, 0, 0, 0, 0, 0, ~0u, 1, false, &KernelTable::simple_rnn_forward, &KernelTable::simple_rnn_backward},
};

// The weights that a cell has beside kernel, recurrent_kernel and bias, in the order in which they are given.
struct ExtraWeight {
  const char* name;
  int rows;  // 0: one axis
  int columns;
};
inline std::vector<ExtraWeight> extra_weights(const CellSpec& cell, int units, int outputs) {
  std::vector<ExtraWeight> extra;
  if (cell.peephole) extra.push_back({"peephole_kernel", 3, units});
  if (cell.layer_norm)
    for (const char* name :
         {"recurrent_norm_gamma", "recurrent_norm_beta", "kernel_norm_gamma", "kernel_norm_beta", "state_norm_gamma", "state_norm_beta"})
      extra.push_back({name, 0, extra.size() < 4 ? cell.gates * units : units});
  if (cell.projection) extra.push_back({"projection_kernel", units, outputs});
  return extra;
}

inline const CellSpec& cell_spec(const std::string& name) {
  std::string known;
  for (const CellSpec& spec : kCells) {
    if (name == spec.name) return spec;
    known += (known.empty() ? "'" : ", '") + std::string(spec.name) + "'";
  }
  throw std::invalid_argument("cell: expected one of " + known + ", got '" + name + "'");
}

}  // namespace lstmfast
