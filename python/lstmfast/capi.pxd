# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3
# The C API for Cython: `from lstmfast.capi cimport lstmfast_api, lstmfast_import`, with
# include_dirs=[lstmfast.get_include()]. The header says what the functions do.
from libc.stdint cimport int32_t


cdef extern from "lstmfast/capi.h" nogil:
    ctypedef struct lstmfast_recurrent:
        pass
    ctypedef struct lstmfast_dense:
        pass
    ctypedef struct lstmfast_api:
        unsigned version
        size_t size
        const char *isa() noexcept nogil
        int get_num_threads() noexcept nogil
        int set_num_threads(int n) noexcept nogil
        const char *last_error() noexcept nogil
        lstmfast_recurrent *recurrent_new(const char *cell, const float *kernel, const float *recurrent_kernel,
                                          const float *bias, int inputs, int units) noexcept nogil
        void recurrent_free(lstmfast_recurrent *weights) noexcept nogil
        int recurrent_forward(const lstmfast_recurrent *weights, const float *x, int batch, int time,
                              const int32_t *lengths, const float *h0, const float *c0,
                              float *y, float *h, float *c) noexcept nogil
        lstmfast_dense *dense_new(const float *kernel, const float *bias, int k, int n) noexcept nogil
        void dense_free(lstmfast_dense *weights) noexcept nogil
        int dense_forward(const lstmfast_dense *weights, const float *x, int m, float *y) noexcept nogil


cdef extern from "lstmfast/capi.h":
    const lstmfast_api *lstmfast_import() except NULL
