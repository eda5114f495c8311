"""Starting the application: a coroutine run as an asyncio task from inside a callback."""

from ..deadlines cimport Expirable
from .signal cimport Resumable, Signal


# Who wants to know that an application call is over. Implemented by the exchange.
cdef class TaskOwner(Expirable):
    # error: the exception the application ended with, or None
    cdef int task_ended(self, object error) except -1


cdef enum TaskState:
    TASK_PENDING = 0
    TASK_CANCELLED
    TASK_FINISHED


cdef class RequestTask(Resumable):
    cdef readonly object _loop
    cdef readonly object _coro
    cdef readonly object _context
    cdef readonly object _fut_waiter        # the future awaited just now, or None
    cdef readonly object _result
    cdef readonly object _exception
    cdef public bint _asyncio_future_blocking
    cdef public bint _log_destroy_pending
    cdef readonly bint _must_cancel
    cdef bint log_traceback                 # somebody should hear of _exception
    cdef bint registered                    # listed in asyncio.all_tasks()
    cdef TaskState state
    cdef int cancel_requests
    cdef object name                        # None until somebody asks
    cdef object cancel_message
    cdef object cancelled_error             # the CancelledError that ended the task
    cdef list callbacks                     # [(callable, context)]; None while there are none
    cdef object source_traceback            # where a task made by hand was made, in debug mode
    cdef TaskOwner owner                    # None for a task made by hand, and once it has ended
    cdef object __weakref__

    cdef int run_first(self) except -1
    cdef int step(self, object error) except -1
    cdef int take_yield(self, object result) except -1
    cdef int await_on(self, object future) except -1
    cdef int await_signal(self, Signal signal) except -1
    cdef int end(self, TaskState state, object result, object error) except -1
    cdef object make_cancelled_error(self)
    cdef int check_done(self, str what) except -1
    cdef int returned(self, object result) except -1
    cdef int tell_owner(self) except -1
    cdef int schedule(self, object error) except -1
    cdef int register(self) except -1


cdef int live_tasks

cdef object start_task(object coroutine, object loop, object context, TaskOwner owner)
cdef int reraise_in_loop(object loop, object error) except -1
cdef bint task_running(object loop) except -1
