"""One call of the application, be it for an HTTP exchange or a WebSocket."""

from libc.stdint cimport int64_t

from ..deadlines cimport Link
from ..forwarded cimport Origin
from .task cimport TaskOwner


cdef extern from "Python.h":
    ctypedef struct PyMethodDef:
        pass


cdef enum Purpose:
    RECEIVE
    DRAIN

# A call may take or send this much without a wait before others get their turn; a message
# counts as MESSAGE_COST bytes at least.
cdef enum:
    BURST_MOST = 1 << 20
    MESSAGE_COST = 4096


cdef class Call(TaskOwner):
    cdef object loop
    cdef object logger
    cdef object task                # the application's task while it runs
    cdef unsigned long thread       # the event loop's
    cdef bint ended                 # the application is over
    cdef bint cancelled             # we cancelled it: its CancelledError is no news
    cdef bint lost                  # sending is over: ClientDisconnected
    cdef list receivers             # Signals of waiting receive() calls
    cdef list senders               # Signals of waiting send() calls
    cdef Link deadline              # in WAIT_REQUEST, WAIT_GRACE or no queue; subclasses unlink it
    cdef int64_t burst              # what was taken and sent without a wait, in bytes
    # for logs
    cdef str method
    cdef bytes target
    cdef Origin origin              # by fields of forwarding; None: the peer asks for itself
    cdef int64_t started_us
    cdef int64_t first_us           # when the response began; 0: it has not, or nobody asks
    cdef bytes request_id           # None unless requests have one

    cdef int run(self, object app, object scope, object context) except -1
    cdef int start(self, object app, object scope, object context, PyMethodDef *receive,
                   PyMethodDef *send) except -1
    cdef int disconnect(self, bint lost) except -1
    cdef int restart(self) except -1
    cdef int cancel(self) except -1
    cdef int abandon(self) except -1
    cdef int writable(self) except -1
    cdef object next_event(self)
    cdef int await_event(self) except -1
    cdef bint held_up(self) except -1
    cdef object sent(self)
    cdef bint elsewhere(self) noexcept
    cdef int log_error(self, object error, bint quiet) except -1
    cdef str told(self)
    cdef dict facts(self)


# The awaitable of one `receive` or `send` of `call`.
cdef object new_wait(Call call, Purpose purpose)
cdef PyMethodDef *method_of(object kind, str name) except NULL
cdef object gone()
