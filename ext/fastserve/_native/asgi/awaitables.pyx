"""Awaitables of a `send` that have no state worth a coroutine.

A completed one hands its value over through `am_send`, without a StopIteration.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF


@cython.final
cdef class Done:
    """The awaitable of a `send` that did not have to wait. There is one, it has no state."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration

    def throw(self, kind, value=None, traceback=None):
        raise thrown(kind, value, traceback)

    def close(self):
        pass


cdef PySendResult _done_send(PyObject *self, PyObject *value,
                             PyObject **result) except PYGEN_ERROR:
    Py_INCREF(None)
    result[0] = <PyObject *>None
    return PYGEN_RETURN

(<PyTypeObject *>Done).tp_as_async.am_send = &_done_send
cdef Done DONE = Done()


@cython.final
cdef class Failed:
    """The awaitable of a `send` that went wrong: raises where it is awaited, as a coroutine does.

    An application may collect awaitables first and await them later.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise self.error

    def send(self, value):
        raise self.error

    def throw(self, kind, value=None, traceback=None):
        raise thrown(kind, value, traceback)

    def close(self):
        pass


cdef object failure(object error):
    cdef Failed outcome = Failed.__new__(Failed)
    outcome.error = error
    return outcome


cdef PySendResult _failed_send(PyObject *self, PyObject *value,
                               PyObject **result) except PYGEN_ERROR:
    result[0] = NULL
    raise (<Failed>self).error

(<PyTypeObject *>Failed).tp_as_async.am_send = &_failed_send


@cython.final
cdef class Turn:
    """The awaitable of a `send` that lets the event loop run once, as `asyncio.sleep(0)` does.

    Without it a response that the peer reads as fast as it is made would keep the loop.
    """

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self.over:
            raise StopIteration
        self.over = True
        return None

    def send(self, value):
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        raise thrown(kind, value, traceback)

    def close(self):
        self.over = True


cdef object thrown(object kind, object value, object traceback):
    """The exception that `throw(type, value, traceback)` or `throw(exception)` means."""
    if isinstance(kind, BaseException):
        error = kind
    elif isinstance(value, BaseException):
        error = value
    else:
        error = kind() if value is None else kind(value)
    return error if traceback is None else error.with_traceback(traceback)
