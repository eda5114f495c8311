"""What a connection asks of the protocol it speaks just now."""

from .deadlines cimport Expirable


cdef class Channel(Expirable):
    cdef bint in_message            # a message's head was read, its end was not
    cdef bint takes_blocks          # `block_received` is for large reads

    cdef int data_received(self, bytes data) except -1
    # Run from the event loop after `outlet.process_soon`, with no application on the stack.
    cdef int process_later(self) except -1
    # How many bytes of body, and nothing but body, may be read past the parser; 0: none.
    cdef Py_ssize_t body_room(self)
    cdef Py_ssize_t read_size(self, Py_ssize_t most)
    # A read of at most read_size() bytes that went past `data_received`.
    cdef int body_received(self, bytes data) except -1
    # The first n bytes of `block` were read; they are there only until this returns.
    cdef int block_received(self, bytes block, Py_ssize_t n) except -1
    cdef int eof_received(self) except -1
    cdef int connection_lost(self) except -1
    cdef int writable(self) except -1
    cdef int timed_out(self, int kind) except -1
    # Whether no message is under way, and none has begun to come.
    cdef bint idle(self) noexcept
    # Close an idle connection.
    cdef int leave(self) except -1
    # The server is going to stop: tell the peer, if the protocol has a word for it.
    cdef int drain(self) except -1
