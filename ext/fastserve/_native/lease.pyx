"""Memory that a socket is read into, and that then is the `bytes` somebody gets."""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from .buffer cimport shortened


@cython.final
cdef class Lease:
    """A bytes object under construction: the socket is read straight into it."""

    def __init__(self, Py_ssize_t size):
        self.block = PyBytes_FromStringAndSize(NULL, size)

    def __len__(self):
        """asyncio refuses a buffer without one, or an empty one."""
        return PyBytes_GET_SIZE(self.block)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, PyBytes_AS_STRING(self.block),
                          PyBytes_GET_SIZE(self.block), 0, flags)

    cdef bytes take(self, Py_ssize_t n):
        """The first n bytes, which have been read. The lease is over.

        uvloop releases its view only after `buffer_updated`, but reads and writes
        nothing through it any more, so the block may shrink meanwhile.
        """
        cdef PyObject *block
        cdef bytes data
        if n == PyBytes_GET_SIZE(self.block):
            data = self.block
            self.block = None
            return data
        block = <PyObject *>self.block
        Py_INCREF(self.block)
        self.block = None
        return shortened(block, n)
