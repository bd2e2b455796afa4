// SPDX-License-Identifier: BSD-3-Clause
// Fills the function table of include/lstmfast/capi.h. No exception leaves these functions.
#include "capi/capi.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "dispatch/select.h"
#include "layers/dense.h"
#include "lstmfast/capi.h"
#include "recurrent/sequence.h"

// The sources of the packed weights are not kept: nothing here runs backwards.
struct lstmfast_recurrent {
  lstmfast::RecurrentWeights weights;
};
struct lstmfast_dense {
  lstmfast::DenseWeights weights;
};

namespace lstmfast {
namespace {

std::string& error_text() noexcept {
  thread_local std::string text;
  return text;
}

template <class F>
auto guarded(decltype(std::declval<F>()()) on_error, F&& f) noexcept {
  try {
    return f();
  } catch (const std::exception& e) {
    error_text() = e.what();
  } catch (...) {
    error_text() = "unknown error";
  }
  return on_error;
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

const char* isa() {
  return guarded(static_cast<const char*>(nullptr), [] { return kernels().name; });
}

int set_threads(int n) {
  return guarded(-1, [&] {
    set_num_threads(n);
    return 0;
  });
}

lstmfast_recurrent* recurrent_new(const char* cell, const float* kernel, const float* recurrent_kernel, const float* bias, int inputs,
                                  int units) {
  return guarded(static_cast<lstmfast_recurrent*>(nullptr), [&] {
    require(cell && kernel && recurrent_kernel, "cell, kernel and recurrent_kernel must not be null");
    require(inputs > 0 && units > 0, "inputs and units must be positive");
    return new lstmfast_recurrent{
        {kernels(), cell_spec(cell), kernel, recurrent_kernel, bias, inputs, units, Activation::kTanh, Activation::kSigmoid}};
  });
}

int recurrent_forward(const lstmfast_recurrent* w, const float* x, int batch, int time, const std::int32_t* lengths, const float* h0,
                      const float* c0, float* y, float* h, float* c) {
  return guarded(-1, [&] {
    require(w && x && h, "weights, x and h must not be null");
    require(batch > 0 && time > 0, "batch and time must be positive");
    require(batch <= INT32_MAX / time, "batch times time must be below 2**31");
    require(c || w->weights.cell.states == 1, "c must not be null for this cell");
    Sequence s;
    s.batch = batch;
    s.time = time;
    s.x = x;
    s.initial[0] = h0;
    s.initial[1] = c0;
    s.lengths = lengths;
    if (lengths)
      for (int b = 0; b < batch; ++b) require(lengths[b] >= 0 && lengths[b] <= time, "lengths must be from 0 to time");
    float* const final_state[2] = {h, c};
    sequence_forward(w->weights, s, y, final_state, false);
    return 0;
  });
}

lstmfast_dense* dense_new(const float* kernel, const float* bias, int k, int n) {
  return guarded(static_cast<lstmfast_dense*>(nullptr), [&] {
    require(kernel != nullptr, "kernel must not be null");
    require(k > 0 && n > 0, "k and n must be positive");
    return new lstmfast_dense{{kernels(), kernel, bias, k, n}};
  });
}

int dense(const lstmfast_dense* w, const float* x, int m, float* y) {
  return guarded(-1, [&] {
    require(w && x && y, "weights, x and y must not be null");
    require(m > 0, "m must be positive");
    dense_forward(w->weights, x, m, Activation::kLinear, y);
    return 0;
  });
}

const lstmfast_api table = {
    LSTMFAST_API_VERSION,
    sizeof(lstmfast_api),
    isa,
    num_threads,
    set_threads,
    []() noexcept { return error_text().c_str(); },
    recurrent_new,
    [](lstmfast_recurrent* w) { delete w; },
    recurrent_forward,
    dense_new,
    [](lstmfast_dense* w) { delete w; },
    dense,
};

}  // namespace

const void* c_api_table() { return &table; }

}  // namespace lstmfast
