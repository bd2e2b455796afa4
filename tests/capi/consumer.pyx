# cython: language_level=3
# A program outside the package that calls the kernels through the C API.
cimport lstmfast.capi as capi


def lstm(float[:, ::1] kernel, float[:, ::1] recurrent, float[::1] bias, float[:, :, ::1] x, float[:, :, ::1] y,
         float[:, ::1] h, float[:, ::1] c):
    cdef const capi.lstmfast_api *api = capi.lstmfast_import()
    cdef capi.lstmfast_recurrent *w = api.recurrent_new(b"lstm", &kernel[0, 0], &recurrent[0, 0], &bias[0],
                                                        <int>kernel.shape[0], <int>recurrent.shape[0])
    if w == NULL:
        raise ValueError(api.last_error().decode())
    cdef int done
    with nogil:
        done = api.recurrent_forward(w, &x[0, 0, 0], <int>x.shape[0], <int>x.shape[1], NULL, NULL, NULL,
                                     &y[0, 0, 0], &h[0, 0], &c[0, 0])
    api.recurrent_free(w)
    if done != 0:
        raise ValueError(api.last_error().decode())


def dense(float[:, ::1] kernel, float[:, ::1] x, float[:, ::1] y):
    cdef const capi.lstmfast_api *api = capi.lstmfast_import()
    cdef capi.lstmfast_dense *w = api.dense_new(&kernel[0, 0], NULL, <int>kernel.shape[0], <int>kernel.shape[1])
    cdef int done = api.dense_forward(w, &x[0, 0], <int>x.shape[0], &y[0, 0])
    api.dense_free(w)
    return done


def error_of_unknown_cell():
    cdef const capi.lstmfast_api *api = capi.lstmfast_import()
    cdef float one = 1
    assert api.recurrent_new(b"gated", &one, &one, NULL, 1, 1) == NULL
    return api.last_error().decode()


def versions():
    cdef const capi.lstmfast_api *api = capi.lstmfast_import()
    return api.version, api.isa().decode(), api.get_num_threads()
