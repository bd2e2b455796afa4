/* SPDX-License-Identifier: BSD-3-Clause
 * The kernels of lstmfast for C, C++ and Cython programs, without Python in between and without linking: a table of functions
 * that the installed package hands out.
 *
 *     #include <lstmfast/capi.h>
 *     const lstmfast_api *lf = lstmfast_import();            // needs the GIL, once; NULL with a Python error set
 *     lstmfast_recurrent *w = lf->recurrent_new("lstm", kernel, recurrent_kernel, bias, inputs, units);
 *     lf->recurrent_forward(w, x, batch, time, NULL, NULL, NULL, y, h, c);       // no GIL needed, any thread
 *     lf->recurrent_free(w);
 *
 * Arrays are float32, C-contiguous, in Keras's layout: kernel (I, G*H), recurrent_kernel (H, G*H), bias (G*H), gates i, f, c, o.
 * Functions that can fail return 0 on success and -1 on error, or a null pointer; last_error() then says why (per thread).
 * The table only ever grows at its end: check `size` before using what a later version added.
 */
#ifndef LSTMFAST_CAPI_H
#define LSTMFAST_CAPI_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#define LSTMFAST_API_VERSION 1
#define LSTMFAST_API_CAPSULE "lstmfast._core._C_API"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lstmfast_recurrent lstmfast_recurrent; /* packed weights of a cell; immutable, may be shared between threads */
typedef struct lstmfast_dense lstmfast_dense;

typedef struct lstmfast_api {
  unsigned version; /* LSTMFAST_API_VERSION of the package */
  size_t size;      /* sizeof(lstmfast_api) of the package */

  const char *(*isa)(void);
  int (*get_num_threads)(void);
  int (*set_num_threads)(int n);
  const char *(*last_error)(void);

  /* cell: "lstm" or "simple_rnn"; bias may be NULL. The arrays are copied. */
  lstmfast_recurrent *(*recurrent_new)(const char *cell, const float *kernel, const float *recurrent_kernel, const float *bias,
                                       int inputs, int units);
  void (*recurrent_free)(lstmfast_recurrent *weights);
  /* x (B, T, I); lengths (B) of right-padded rows, or NULL; h0, c0 (B, H), or NULL for zeros;
   * y (B, T, H), or NULL; h and, for an LSTM, c (B, H): the final states. h may be h0 and c may be c0. */
  int (*recurrent_forward)(const lstmfast_recurrent *weights, const float *x, int batch, int time, const int32_t *lengths,
                           const float *h0, const float *c0, float *y, float *h, float *c);

  /* kernel (K, N), bias (N) or NULL. The arrays are copied. */
  lstmfast_dense *(*dense_new)(const float *kernel, const float *bias, int k, int n);
  void (*dense_free)(lstmfast_dense *weights);
  /* x (M, K) -> y (M, N), no activation */
  int (*dense_forward)(const lstmfast_dense *weights, const float *x, int m, float *y);
} lstmfast_api;

/* The table of the installed package, or NULL with a Python exception set. */
static inline const lstmfast_api *lstmfast_import(void) {
  const lstmfast_api *api = (const lstmfast_api *)PyCapsule_Import(LSTMFAST_API_CAPSULE, 0);
  if (api && api->version < LSTMFAST_API_VERSION) {
    PyErr_Format(PyExc_ImportError, "lstmfast offers version %u of its C API, this program was built for %u", api->version,
                 (unsigned)LSTMFAST_API_VERSION);
    return NULL;
  }
  return api;
}

#ifdef __cplusplus
}
#endif
#endif
