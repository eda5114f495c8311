"""Awaitables that need no coroutine, and the slot through which they hand over a value."""

from cpython.object cimport PyObject


cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT

    ctypedef PySendResult (*sendfunc)(PyObject *, PyObject *, PyObject **) except PYGEN_ERROR

    ctypedef struct PyAsyncMethods:
        sendfunc am_send

    ctypedef struct PyTypeObject:
        PyAsyncMethods *tp_as_async


cdef class Done:
    pass


cdef class Failed:
    cdef object error


cdef class Turn:
    cdef bint over


cdef Done DONE
cdef object failure(object error)
cdef object thrown(object kind, object value, object traceback)
