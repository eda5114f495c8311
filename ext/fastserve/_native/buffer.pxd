"""Byte buffers with one owner each, grown by one guarded function."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t
from libc.string cimport memcpy


cdef enum:
    INLINE_SIZE = 1024              # a head and a small body fit; no allocation for most answers


cdef class WriteBuffer:
    cdef char *data                 # own_block, or the bytes of `block`
    cdef bytes block                # on the heap, held by nobody else; None while own_block will do
    cdef Py_ssize_t used            # bytes written, from data[0]
    cdef Py_ssize_t size            # room at data
    cdef char own_block[INLINE_SIZE]

    cdef int grow(self, Py_ssize_t more) except -1
    cdef bytes take(self)
    cdef int release(self) except -1

    # room for `more` bytes behind data[used]
    cdef inline int reserve(self, Py_ssize_t more) except -1:
        if self.size - self.used < more:
            self.grow(more)
        return 0

    cdef inline int write(self, const void *p, Py_ssize_t n) except -1:
        if self.size - self.used < n:
            self.grow(n)
        memcpy(self.data + self.used, p, <size_t>n)
        self.used += n
        return 0

    # p must not lie in the buffer itself; room was reserved before
    cdef inline void put(self, const void *p, Py_ssize_t n) noexcept:
        memcpy(self.data + self.used, p, <size_t>n)
        self.used += n


# The first n bytes of an object that nobody else holds, which is resized in place.
cdef bytes shortened(PyObject *block, Py_ssize_t n)

cdef WriteBuffer new_buffer()
cdef int give_back(WriteBuffer buffer) except -1


cdef class ReadBuffer:
    cdef char *data                 # heap block or NULL while nothing waits
    cdef Py_ssize_t begin           # unread bytes are data[begin:end]
    cdef Py_ssize_t end
    cdef Py_ssize_t size

    cdef int append(self, const char *p, Py_ssize_t n) except -1
    cdef void consume(self, Py_ssize_t n) noexcept


# What a codec reads: p[pos:n] is unread; borrowed from `source`, or from `rest` if that is None.
cdef class Input:
    cdef const uint8_t *p
    cdef Py_ssize_t pos
    cdef Py_ssize_t n
    cdef bytes source
    cdef ReadBuffer rest            # None until a read leaves something over

    cdef int give(self, bytes data, Py_ssize_t n) except -1
    cdef int stash(self) except -1
    cdef bint waiting(self) noexcept
    cdef bytes take_rest(self)
