"""Byte buffers with one owner each.

`WriteBuffer` collects output: small amounts in a block inside the object, more on
the heap. `ReadBuffer` keeps what a read brought and nobody has parsed yet; it
holds no memory while it is empty, so an idle connection costs none. `Input` is what a codec
reads: it lends a read out as it is, and copies only what nobody has used by the read's end.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memmove

cdef Py_ssize_t LARGEST = <Py_ssize_t>1 << 40


cdef extern from "Python.h":
    void Py_DECREF(PyObject *o)

cdef WriteBuffer spare = None


cdef bytes shortened(PyObject *block, Py_ssize_t n):
    """Takes over the reference, the only one there is."""
    cdef bytes data
    if _PyBytes_Resize(&block, n) < 0:
        raise MemoryError
    data = <bytes>block
    Py_DECREF(block)
    return data


cdef WriteBuffer new_buffer():
    """An empty buffer. Mostly the one that was given back last: its memory is warm."""
    global spare
    cdef WriteBuffer buffer = spare
    if buffer is None:
        return WriteBuffer.__new__(WriteBuffer)
    spare = None
    return buffer


cdef int give_back(WriteBuffer buffer) except -1:
    """The caller has no more use for `buffer` and keeps no reference."""
    global spare
    buffer.release()
    spare = buffer
    return 0


@cython.final
cdef class WriteBuffer:

    def __cinit__(self):
        self.data = self.own_block
        self.size = INLINE_SIZE
        self.used = 0

    cdef int grow(self, Py_ssize_t more) except -1:
        """Make room for `more` bytes; at least doubles. MemoryError leaves the buffer as it was."""
        cdef Py_ssize_t size = self.size
        cdef bytes block
        if more > LARGEST - self.used:
            raise MemoryError
        while size - self.used < more:
            size *= 2
        block = PyBytes_FromStringAndSize(NULL, size)
        memcpy(PyBytes_AS_STRING(block), self.data, <size_t>self.used)
        self.block = block
        self.data = PyBytes_AS_STRING(block)
        self.size = size
        return 0

    cdef bytes take(self):
        """All that was written, as bytes; the buffer is empty afterwards.

        What is on the heap is not copied: it was meant to become an object from the start.
        """
        cdef bytes all_of_it
        cdef PyObject *block
        if self.block is None or self.used * 2 < self.size:
            all_of_it = PyBytes_FromStringAndSize(self.data, self.used)
        else:
            block = <PyObject *>self.block
            Py_INCREF(self.block)
            self.block = None
            all_of_it = shortened(block, self.used)
        self.release()
        return all_of_it

    cdef int release(self) except -1:
        """Empty the buffer and give back its heap block."""
        if self.data != self.own_block:
            self.block = None
            self.data = self.own_block
            self.size = INLINE_SIZE
        self.used = 0
        return 0


@cython.final
cdef class ReadBuffer:

    def __cinit__(self):
        self.data = NULL

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef int append(self, const char *p, Py_ssize_t n) except -1:
        """Add n bytes behind the unread ones; p may not lie in this buffer."""
        cdef Py_ssize_t unread = self.end - self.begin
        cdef Py_ssize_t size
        cdef char *block
        if n > LARGEST - unread:
            raise MemoryError
        if self.size - self.end < n:
            if self.begin and self.size - unread >= n:
                memmove(self.data, self.data + self.begin, <size_t>unread)
            else:
                size = unread + n
                if self.data != NULL and size < 2 * self.size:
                    size = 2 * self.size
                block = <char *>PyMem_Malloc(<size_t>size)
                if block == NULL:
                    raise MemoryError
                if unread:
                    memcpy(block, self.data + self.begin, <size_t>unread)
                PyMem_Free(self.data)
                self.data = block
                self.size = size
            self.begin = 0
            self.end = unread
        memcpy(self.data + self.end, p, <size_t>n)
        self.end += n
        return 0

    cdef void consume(self, Py_ssize_t n) noexcept:
        """Drop the first n unread bytes; the memory goes when none is left."""
        self.begin += n
        if self.begin >= self.end:
            PyMem_Free(self.data)
            self.data = NULL
            self.begin = self.end = self.size = 0


cdef class Input:
    """What a codec reads: a borrowed read, behind what earlier ones left over."""

    cdef int give(self, bytes data, Py_ssize_t n) except -1:
        """Lend the parser a read, the first n bytes of `data`.

        Good until `stash`, which must follow before the next give.
        """
        if self.rest is not None and self.rest.end > self.rest.begin:
            self.rest.append(PyBytes_AS_STRING(data), n)
            self.p = <const uint8_t *>self.rest.data + self.rest.begin
            self.n = self.rest.end - self.rest.begin
        else:
            self.source = data
            self.p = <const uint8_t *>PyBytes_AS_STRING(data)
            self.n = n
        self.pos = 0
        return 0

    cdef int stash(self) except -1:
        """End the loan: keep a copy of what is unread. `next` may be called again later."""
        if self.source is not None:
            if self.pos < self.n:
                if self.rest is None:
                    self.rest = ReadBuffer.__new__(ReadBuffer)
                self.rest.append(<const char *>self.p + self.pos, self.n - self.pos)
            self.source = None
        elif self.rest is not None:
            self.rest.consume(self.pos)
        self.pos = 0
        if self.rest is None or self.rest.data == NULL:
            self.p = NULL
            self.n = 0
        else:
            self.p = <const uint8_t *>self.rest.data + self.rest.begin
            self.n = self.rest.end - self.rest.begin
        return 0

    cdef bint waiting(self) noexcept:
        """Whether there are bytes that no event has used yet."""
        return self.pos < self.n

    cdef bytes take_rest(self):
        """What no event has used yet, for whoever reads on in another protocol."""
        cdef bytes rest = PyBytes_FromStringAndSize(<const char *>self.p + self.pos,
                                                    self.n - self.pos)
        self.pos = self.n
        return rest
