// SPDX-License-Identifier: BSD-3-Clause
// Runs every kernel of one instruction set on numbers from standard input and writes what comes out; test_neon.py
// compares. No Python, no threads: what a cross compiler can link statically and an emulator can run.
#include <cmath>
#include <cstdio>
#include <vector>

#include "dispatch/select.h"
#include "layers/attention.h"
#include "layers/batch_norm.h"
#include "layers/dense.h"
#include "layers/elementwise.h"
#include "layers/embedding.h"
#include "layers/layer_norm.h"
#include "layers/losses.h"
#include "layers/optimizers.h"
#include "recurrent/sequence.h"

using namespace lstmfast;
using Floats = std::vector<float>;

namespace {

Floats take(std::size_t n) {
  Floats v(n);
  if (std::fread(v.data(), sizeof(float), n, stdin) != n) std::fprintf(stderr, "input ends early\n");
  return v;
}

Floats exact, rounded;

// Results whose bits are the same on every instruction set with fused multiply-add.
void give(const Floats& v) { exact.insert(exact.end(), v.begin(), v.end()); }
// Gradients of sequences: their sums run over gates in the order in which the vector length packs them.
void give_rounded(const Floats& v) { rounded.insert(rounded.end(), v.begin(), v.end()); }

void elementwise(const KernelTable& k) {
  const std::size_t n = 1003;
  const Floats x = take(n), dy = take(n);
  Floats y(n), dx(n);
  for (int i = 0; i < static_cast<int>(MathFunction::kCount); ++i) {
    k.math(static_cast<MathFunction>(i), n, x.data(), y.data());
    give(y);
  }
  for (int i = 0; i < static_cast<int>(Activation::kCount); ++i) {
    activation_forward(k, static_cast<Activation>(i), n, x.data(), y.data());
    activation_backward(k, static_cast<Activation>(i), n, x.data(), y.data(), dy.data(), dx.data());
    give(y);
    give(dx);
  }
  softmax_forward(k, 17, 59, x.data(), y.data());
  softmax_backward(k, 17, 59, y.data(), dy.data(), dx.data());
  give(y);
  give(dx);
}

void losses_and_updates(const KernelTable& k) {
  const std::int64_t rows = 7, columns = 19;
  const Floats x = take(rows * columns), t = take(rows * columns);
  Floats loss(rows), gradient(rows * columns), p(rows * columns);
  for (auto* kernel : {softmax_cross_entropy, sigmoid_cross_entropy, mean_squared_error}) {
    kernel(k, LossArgs{rows, columns, x.data(), t.data(), nullptr, nullptr, loss.data(), gradient.data(), p.data()});
    give(loss);
    give(gradient);
  }
  Floats value = x, grad = t, mean(value.size(), 0.0f), variance = mean, largest = mean;
  ParameterSet group(
      k, {{static_cast<std::int64_t>(value.size()), value.data(), grad.data(), {mean.data(), variance.data(), largest.data()}}});
  give({static_cast<float>(group.global_norm())});
  group.scale_gradients(0.75);
  group.clip_gradients(0.5f);
  const auto moments = [](auto args) {
    args.beta_1 = 0.9f;
    args.beta_2 = 0.99f;
    args.one_minus_beta_1 = 0.1f;
    args.one_minus_beta_2 = 0.01f;
    args.epsilon = 1e-7f;
    return args;
  };
  group.adam(moments(AdamArgs{{}, 0.01f, false}));
  group.adam(moments(AdamArgs{{}, 0.01f, true}));
  group.adamax(moments(AdamaxArgs{{}, 0.01f}));
  group.nadam(moments(NadamArgs{{}, 0.01f, 0.002f, 1.5f}));
  group.lion(moments(LionArgs{{}, 0.01f}));
  group.rmsprop(RmspropArgs{{}, 0.01f, 0.9f, 0.1f, 0.5f, 1e-3f, true});
  group.adagrad(AdagradArgs{{}, 0.1f, 1e-7f});
  group.adadelta(AdadeltaArgs{{}, 1.0f, 0.9f, 0.1f, 1e-3f});
  group.sgd(SgdArgs{{}, 0.1f, 0.9f, true});
  group.scale_values({0.9});
  group.hold_gradients(0);
  group.release_gradients(0, 0.5);
  group.average_values(1, 0.3f);
  for (const Floats* result : {&value, &grad, &mean, &variance, &largest}) give(*result);
  Floats table(5 * columns);
  const std::int64_t ids[7] = {4, 0, 4, 1, 3, 4, 0};
  embedding_backward(k, ids, rows, x.data(), columns, 5, false, table.data());
  give(table);
}

void dense(const KernelTable& k) {
  const std::int64_t m = 13, depth = 37, n = 21;
  const Floats kernel = take(depth * n), bias = take(n), x = take(m * depth), dz = take(m * n);
  const DenseWeights w(k, kernel.data(), bias.data(), depth, n);
  Floats y(m * n), dkernel(depth * n), dbias(n), dx(m * depth);
  dense_forward(w, x.data(), m, Activation::kTanh, y.data());
  dense_backward(w, x.data(), dz.data(), m, dkernel.data(), dbias.data(), false, dx.data());
  give(y);
  give(dkernel);
  give(dbias);
  give(dx);
}

void normalization(const KernelTable& k) {
  const std::int64_t rows = 9, columns = 43;
  const Floats x = take(rows * columns), dy = take(rows * columns), gamma = take(columns), beta = take(columns);
  Floats y(x.size()), moments(2 * rows), dx(x.size()), dgamma(columns), dbeta(columns);
  for (const bool centered : {true, false}) {
    layer_norm_forward(k, {rows, columns, x.data(), gamma.data(), beta.data(), 1e-3f, centered, y.data(), moments.data()});
    layer_norm_backward(
        k, {rows, columns, x.data(), dy.data(), gamma.data(), moments.data(), centered, dx.data(), dgamma.data(), dbeta.data()}, false);
    for (const Floats* out : {&y, &moments, &dx, &dgamma, &dbeta}) give(*out);
  }
}

void batch_normalization(const KernelTable& k) {
  const std::int64_t rows = 70, columns = 21;
  const Floats x = take(rows * columns), dy = take(rows * columns), gamma = take(columns), beta = take(columns);
  std::vector<double> mean64(columns), variance(columns);
  batch_moments(k, rows, columns, x.data(), nullptr, rows, mean64.data(), variance.data());
  Floats mean(mean64.begin(), mean64.end()), scale(variance.begin(), variance.end());
  Floats y(x.size()), dx(x.size()), dgamma(columns), dbeta(columns);
  batch_norm_forward(k, {rows, columns, x.data(), mean.data(), scale.data(), gamma.data(), beta.data(), y.data()});
  BatchNormBackwardArgs a{rows, columns, x.data(), dy.data(), mean.data(), scale.data(), nullptr, nullptr, nullptr, nullptr, dx.data()};
  batch_norm_backward(k, a, {gamma.data(), rows, false, dgamma.data(), dbeta.data()});
  for (const Floats* out : {&mean, &scale, &y, &dx, &dgamma, &dbeta}) give(*out);
}

void attention(const KernelTable& k) {
  const AttentionSizes s{2, 11, 13, 4, 2, 5, 7};
  const Floats q = take(2 * 11 * 4 * 5), keys = take(2 * 13 * 2 * 5), v = take(2 * 13 * 2 * 7), dcontext = take(2 * 11 * 4 * 7);
  Floats p(2 * 4 * 11 * 13), context(dcontext.size()), dq(q.size()), dk(keys.size()), dv(v.size());
  attention_forward(k, {s, q.data(), keys.data(), v.data(), 0.01f, nullptr, {}, false, nullptr, p.data(), context.data()});
  attention_backward(
      k, {s, q.data(), keys.data(), v.data(), 0.01f, nullptr, p.data(), dcontext.data(), nullptr, dq.data(), dk.data(), dv.data()});
  for (const Floats* out : {&p, &context, &dq, &dk, &dv}) give(*out);
}

void sequence(const KernelTable& k, const char* cell, int batch, int time, int inputs, int units) {
  const CellSpec& spec = cell_spec(cell);
  const int columns = spec.gates * units;
  Floats kernel = take(inputs * columns), recurrent = take(units * columns);
  for (Floats* weights : {&kernel, &recurrent})
    for (float& v : *weights) v = std::isfinite(v) ? v * 0.1f : 0.1f;  // with large ones a gradient grows by its own rounding
  const Floats bias = take(spec.biases * columns);
  const Floats x = take(batch * time * inputs), dy = take(batch * time * units);
  const RecurrentWeights w(k, spec, kernel.data(), recurrent.data(), bias.data(), inputs, units, Activation::kTanh, Activation::kSigmoid);
  Sequence s;
  s.time = time;
  s.batch = batch;
  s.x = x.data();
  Floats y(batch * time * units), h(batch * units), c(batch * units), dh = h, dc = c;
  float* const final_state[2] = {h.data(), c.data()};
  const auto tape = sequence_forward(w, s, y.data(), final_state, true);
  Floats dkernel(kernel.size()), drecurrent(recurrent.size()), dbias(bias.size()), dx(x.size());
  SequenceGradients g;
  g.dy = dy.data();
  g.dkernel = dkernel.data();
  g.drecurrent = drecurrent.data();
  g.dbias = dbias.data();
  g.dx = dx.data();
  g.dinitial[0] = dh.data();
  if (spec.states == 2) g.dinitial[1] = dc.data();
  sequence_backward(w, *tape, g);
  give(y);
  for (const Floats* out : {&dx, &dkernel, &drecurrent, &dbias}) give_rounded(*out);
}

}  // namespace

int main() {
  const KernelTable& k = kernels();
  elementwise(k);
  losses_and_updates(k);
  dense(k);
  normalization(k);
  batch_normalization(k);
  attention(k);
  for (const char* cell : {"lstm", "gru", "simple_rnn"}) sequence(k, cell, 5, 6, 7, 18);
  sequence(k, "lstm", 1, 24, 20, 66);  // a row alone, whose input product runs beside its steps
  const float count = static_cast<float>(exact.size());
  std::fwrite(&count, sizeof count, 1, stdout);
  for (const Floats* out : {&exact, &rounded}) std::fwrite(out->data(), sizeof(float), out->size(), stdout);
}
