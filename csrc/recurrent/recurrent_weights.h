// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <mutex>
#include <vector>

#include "gemm/packed_matrix.h"
#include "recurrent/cell_spec.h"

namespace lstmfast {

// One cell's weights, packed: for the forward pass at once, for the backward pass when first needed.
// The source arrays, in Keras's layout, must live and stay unchanged until then.
class RecurrentWeights {
 public:
  // kernel (I, G*H), recurrent_kernel (P, G*H), bias (biases, G*H) or null: row-major float32; and extra_weights(cell).
  // P, `outputs`, is the size of h: H (or 0) unless the cell projects it.
  RecurrentWeights(const KernelTable& kernels, const CellSpec& cell, const float* kernel, const float* recurrent_kernel, const float* bias,
                   int inputs, int units, Activation activation, Activation recurrent_activation,
                   const std::vector<const float*>& extra = {}, int outputs = 0);

  const KernelTable& kernels;
  const CellSpec& cell;
  const int inputs, units, outputs;
  const Activation activation, recurrent_activation;
  PackedMatrix input, recurrent;  // W and U, with the biases
  // [panel][i, f, o][VL]: as the forward kernels take them (scaled like W and U), and as they are.
  Buffer peephole, plain_peephole;
  PackedMatrix projection;  // (H, P)
  // Layer normalization: 14 vectors a panel (see lstm_norm_cell-inl.h), scaled for the forward kernels, and as they are.
  Buffer norm, plain_norm;
  static constexpr int kNormWeights = 14, kNormKept = 6;

  struct Transposed {
    PackedMatrix recurrent, projection;  // U^T: from gate gradients to state gradients
  };
  const Transposed& transposed() const;
  const PackedMatrix& transposed_input() const;  // W^T: to input gradients, which a model's first layer need not have

  bool two_stages() const { return cell.reset_forward || cell.projection; }  // of a step, with a product between
  int panels() const { return recurrent.layout.panels; }                     // of the gates buffer, of W and of U
  std::int64_t gates_width() const { return static_cast<std::int64_t>(gate_vectors()) * kernels.lanes; }  // floats of a panel a pair
  int gate_vectors() const { return cell.unit_panels ? cell.gate_vectors : recurrent.layout.vectors; }
  int panel_units() const { return cell.unit_panels ? kernels.lanes : recurrent.layout.vectors * kernels.lanes; }
  std::int64_t padded_units() const { return static_cast<std::int64_t>(panels()) * panel_units(); }
  std::size_t step_bytes() const { return recurrent.bytes() + projection.bytes(); }  // what every step streams
  std::size_t bytes() const {
    return input.bytes() + step_bytes() + peephole.bytes() + plain_peephole.bytes() + norm.bytes() + plain_norm.bytes();
  }

 private:
  // (rows, H) to [panel][row][VL], zero-padded.
  Buffer pack_by_panel(const float* source, int rows, float scale) const;
  Buffer pack_norm(const float* const* extra, const float* bias, float gate_scale) const;
  const float* source_kernel_;
  const float* source_recurrent_;
  const float* source_projection_ = nullptr;
  mutable std::once_flag transposed_once_;
  mutable Transposed transposed_;
  mutable std::once_flag transposed_input_once_;
  mutable PackedMatrix transposed_input_;
};

}  // namespace lstmfast
