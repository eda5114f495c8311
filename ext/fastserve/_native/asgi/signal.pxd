"""What a waiting `receive` or `send` yields: a future that may resume its waiter on the spot."""


# A task of our own, which a signal can resume without a trip through callbacks.
cdef class Resumable:
    # Go on after a signal; its context is not entered yet. error: an exception to throw in, or None
    cdef int resume(self, object error) except -1


cdef class Signal:
    cdef readonly object _loop
    cdef public bint _asyncio_future_blocking
    cdef bint over                  # set or cancelled
    cdef bint was_cancelled
    cdef object message             # of the cancellation
    cdef Resumable task             # the one waiter that needs no callback, or None
    cdef list callbacks             # [(callable, context)] of any other waiter, or None

    cdef int wake(self, bint direct) except -1
    cdef int schedule(self) except -1
    cdef object cancelled_error(self)


cdef Signal new_signal(object loop)
cdef int wake_all(list signals, bint direct) except -1
