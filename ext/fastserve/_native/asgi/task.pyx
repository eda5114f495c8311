"""Starting the application: a coroutine run as an asyncio task from inside a callback.

The first step runs at once, so an application that never waits costs no trip through
the event loop. From Python 3.12 on `asyncio.Task(eager_start=True)` does that. On 3.11
no task of the standard library can, and `RequestTask` takes its place: it follows
"Extending asyncio" (`_enter_task`, `_register_task`) and passes the interpreter's own
test suite for tasks. `docs/design/tasks.md` has the measurements.

A task enters `asyncio.all_tasks()` only when it first waits, as eager tasks do.
"""

cimport cython
from cpython.dict cimport PyDict_DelItem, PyDict_GetItemWithError, PyDict_SetItem
from cpython.object cimport PyObject

import asyncio
import inspect
import itertools
import sys
from asyncio import base_tasks, format_helpers
from asyncio.tasks import _enter_task, _leave_task, _register_task, _unregister_task
from types import GenericAlias

from ..deadlines cimport Expirable
from .signal cimport Resumable, Signal


cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject *iter, PyObject *arg, PyObject **result) except *
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    object PyContext_CopyCurrent()
    bint PyCoro_CheckExact(object o)
    void Py_DECREF(PyObject *o)

cdef bint EAGER_TASKS = sys.version_info >= (3, 12)

# What _enter_task and _leave_task keep, on 3.11 alone: two calls through their argument
# parsing cost as much as a twentieth of a whole request.
cdef dict _current = asyncio.tasks._current_tasks if sys.version_info[:2] == (3, 11) else None

_names = itertools.count(1)
_Task = asyncio.Task
_CancelledError = asyncio.CancelledError
cdef tuple _STATE_NAMES = ("PENDING", "CANCELLED", "FINISHED")

cdef int live_tasks = 0


cdef class TaskOwner(Expirable):

    cdef int task_ended(self, object error) except -1:
        raise NotImplementedError


cdef object start_task(object coroutine, object loop, object context, TaskOwner owner):
    """Run `coroutine` up to its first wait, as a task of `loop` in `context`.

    Returns the task, which is done if the coroutine never waited. `owner.task_ended`
    is called once when it is over, maybe before this returns. No other task may be
    running; the caller checks with `task_running`.
    """
    cdef RequestTask light
    if not PyCoro_CheckExact(coroutine) and not asyncio.iscoroutine(coroutine):
        coroutine = _await(coroutine)
    if EAGER_TASKS:
        try:
            task = _Task(coroutine, loop=loop, context=context, eager_start=True)
        except (KeyboardInterrupt, SystemExit) as fatal:
            owner.task_ended(fatal)
            reraise_in_loop(loop, fatal)
            return None
        watcher = _EndWatcher(owner)
        if task.done():
            watcher(task)
        else:
            task.add_done_callback(watcher)
        return task
    light = RequestTask.__new__(RequestTask)
    light._loop = loop
    light._coro = coroutine
    light._context = context
    light.owner = owner
    light.run_first()
    return light


async def _await(awaitable):
    return await awaitable


@cython.final
cdef class _EndWatcher:
    """Done callback of a standard task: tells the owner."""

    cdef TaskOwner owner

    def __cinit__(self, TaskOwner owner):
        self.owner = owner

    def __call__(self, task):
        if task.cancelled():
            self.owner.task_ended(_CancelledError())
        else:
            self.owner.task_ended(task.exception())


# No freelist: the collector runs __del__ once in a memory block's life.
@cython.final
cdef class RequestTask(Resumable):
    """An asyncio task without a trip through the loop before its first step.

    Has the whole interface of `asyncio.Task` on Python 3.11 and is built like one,
    `RequestTask(coro, *, loop=None, name=None, context=None)`, which schedules the first
    step; `start_task` runs it at once instead.
    """

    __class_getitem__ = classmethod(GenericAlias)

    def __cinit__(self):
        global live_tasks
        live_tasks += 1
        self._log_destroy_pending = True

    def __dealloc__(self):
        global live_tasks
        live_tasks -= 1

    def __init__(self, coro, *, loop=None, name=None, context=None):
        self._loop = asyncio.get_event_loop() if loop is None else loop
        if not asyncio.iscoroutine(coro):
            self._log_destroy_pending = False
            raise TypeError(f"a coroutine was expected, got {coro!r}")
        self._coro = coro
        self.name = None if name is None else str(name)
        if name is None:
            self.get_name()
        self._context = PyContext_CopyCurrent() if context is None else context
        if self._loop.get_debug():
            self.source_traceback = format_helpers.extract_stack(sys._getframe())
        self.schedule(None)
        self.register()

    def __del__(self):
        if self._coro is None:
            return
        if self.state == TASK_PENDING and self._log_destroy_pending:
            facts = {"task": self, "message": "Task was destroyed but it is pending!"}
            if self.source_traceback is not None:
                facts["source_traceback"] = self.source_traceback
            self._loop.call_exception_handler(facts)
        elif self.log_traceback and self._exception is not None:
            self._loop.call_exception_handler(
                {"message": "RequestTask exception was never retrieved",
                 "exception": self._exception, "future": self})

    def __repr__(self):
        return base_tasks._task_repr(self)

    # What asyncio.base_futures and base_tasks look at to describe a task.

    @property
    def _state(self):
        return _STATE_NAMES[self.state]

    @property
    def _callbacks(self):
        return list(self.callbacks or ())

    @property
    def _source_traceback(self):
        return self.source_traceback

    @property
    def _num_cancels_requested(self):
        return self.cancel_requests

    @property
    def _cancel_message(self):
        return self.cancel_message

    @_cancel_message.setter
    def _cancel_message(self, message):
        self.cancel_message = message

    @property
    def _log_traceback(self):
        return self.log_traceback

    @_log_traceback.setter
    def _log_traceback(self, value):
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self.log_traceback = False

    def _repr_info(self):
        return base_tasks._task_repr_info(self)

    def _make_cancelled_error(self):
        return self.make_cancelled_error()

    # Task

    def get_coro(self):
        return self._coro

    def get_context(self):
        return self._context

    def get_loop(self):
        return self._loop

    def get_name(self):
        if self.name is None:
            self.name = f"Task-{next(_names)}"
        return self.name

    def set_name(self, value):
        self.name = str(value)

    def get_stack(self, *, limit=None):
        return base_tasks._task_get_stack(self, limit)

    def print_stack(self, *, limit=None, file=None):
        return base_tasks._task_print_stack(self, limit, file)

    def cancel(self, msg=None):
        """Ask the task to end: CancelledError is thrown into it at its next step."""
        self.log_traceback = False
        if self.state != TASK_PENDING:
            return False
        self.cancel_requests += 1
        if self._fut_waiter is not None and self._fut_waiter.cancel(msg=msg):
            # The waiter stays: it may be a task that survives the request.
            return True
        self._must_cancel = True
        self.cancel_message = msg
        return True

    def cancelling(self):
        return self.cancel_requests

    def uncancel(self):
        if self.cancel_requests > 0:
            self.cancel_requests -= 1
        return self.cancel_requests

    # Future

    def done(self):
        return self.state != TASK_PENDING

    def cancelled(self):
        return self.state == TASK_CANCELLED

    def result(self):
        self.check_done("Result")
        self.log_traceback = False
        if self._exception is not None:
            raise self._exception
        return self._result

    def exception(self):
        self.check_done("Exception")
        self.log_traceback = False
        return self._exception

    cdef int check_done(self, str what) except -1:
        if self.state == TASK_CANCELLED:
            raise self.make_cancelled_error()
        if self.state == TASK_PENDING:
            raise asyncio.InvalidStateError(f"{what} is not set.")
        return 0

    def set_result(self, result):
        raise RuntimeError("Task does not support set_result operation")

    def set_exception(self, exception):
        raise RuntimeError("Task does not support set_exception operation")

    def add_done_callback(self, fn, *, context=None):
        if context is None:
            context = PyContext_CopyCurrent()
        if self.state != TASK_PENDING:
            self._loop.call_soon(fn, self, context=context)
        elif self.callbacks is None:
            self.callbacks = [(fn, context)]
        else:
            self.callbacks.append((fn, context))

    def remove_done_callback(self, fn):
        cdef list all_of_them = self.callbacks
        if all_of_them is None:
            return 0
        kept = [entry for entry in all_of_them if not entry[0] == fn]
        removed = len(all_of_them) - len(kept)
        if removed:
            self.callbacks = kept or None
        return removed

    def __await__(self):
        if self.state == TASK_PENDING:
            self._asyncio_future_blocking = True
            yield self
        if self.state == TASK_PENDING:
            raise RuntimeError("await wasn't used with future")
        return self.result()

    __iter__ = __await__

    # The machine

    cdef int run_first(self) except -1:
        """The first step, here and now. A KeyboardInterrupt or SystemExit goes to the loop."""
        PyContext_Enter(self._context)
        try:
            self.step(None)
        except (KeyboardInterrupt, SystemExit) as error:
            reraise_in_loop(self._loop, error)
        finally:
            PyContext_Exit(self._context)
        if self.state == TASK_PENDING:
            self.register()
        return 0

    cdef int step(self, object error) except -1:
        """Run the coroutine to its next wait, with `error` thrown into it unless None.

        The task's context is entered already, by `run_first` or by the loop's handle.
        """
        cdef PyObject *raw = NULL
        cdef PySendResult sent
        cdef object result
        if self.state != TASK_PENDING:
            raise asyncio.InvalidStateError(f"step(): already done: {self!r}, {error!r}")
        if self._must_cancel:
            if not isinstance(error, _CancelledError):
                error = self.make_cancelled_error()
            self._must_cancel = False
        self._fut_waiter = None
        enter(self)
        try:
            if error is None:
                sent = PyIter_Send(<PyObject *>self._coro, <PyObject *>None, &raw)
                result = <object>raw
                Py_DECREF(raw)
                if sent == PYGEN_RETURN:
                    self.returned(result)
                else:
                    self.take_yield(result)
            else:
                self.take_yield(self._coro.throw(error))
        except StopIteration as stop:
            self.returned(stop.value)
        except _CancelledError as cancelled:
            self.cancelled_error = cancelled
            self.end(TASK_CANCELLED, None, None)
        except (KeyboardInterrupt, SystemExit) as fatal:
            self.end(TASK_FINISHED, None, fatal)
            raise
        except BaseException as failure:
            self.end(TASK_FINISHED, None, failure)
        finally:
            leave(self)
        if self.state != TASK_PENDING and self.owner is not None:
            self.tell_owner()
        return 0

    cdef int returned(self, object result) except -1:
        if self._must_cancel:
            # Cancelled by itself right before it returned.
            self._must_cancel = False
            self.end(TASK_CANCELLED, None, None)
        else:
            self.end(TASK_FINISHED, result, None)
        return 0

    cdef int tell_owner(self) except -1:
        owner = self.owner
        self.owner = None
        self.log_traceback = False
        if self.state == TASK_CANCELLED:
            owner.task_ended(self.cancelled_error or self.make_cancelled_error())
        else:
            owner.task_ended(self._exception)
        return 0

    cdef int take_yield(self, object result) except -1:
        """What the coroutine yielded: a future to wait for, a bare yield, or a mistake."""
        if type(result) is Signal and (<Signal>result)._loop is self._loop:
            return self.await_signal(<Signal>result)
        blocking = getattr(result, "_asyncio_future_blocking", None)
        if blocking is not None:
            if _loop_of(result) is not self._loop:
                problem = f"Task {self!r} got Future {result!r} attached to a different loop"
            elif not blocking:
                problem = f"yield was used instead of yield from in task {self!r} with {result!r}"
            elif result is self:
                problem = f"Task cannot await on itself: {self!r}"
            else:
                return self.await_on(result)
        elif result is None:
            self.schedule(None)
            return 0
        elif inspect.isgenerator(result):
            problem = (f"yield was used instead of yield from for generator in task {self!r} "
                       f"with {result!r}")
        else:
            problem = f"Task got bad yield: {result!r}"
        self.schedule(RuntimeError(problem))
        return 0

    cdef int await_on(self, object future) except -1:
        future._asyncio_future_blocking = False
        future.add_done_callback(self._wakeup, context=self._context)
        self._fut_waiter = future
        if self._must_cancel and future.cancel(msg=self.cancel_message):
            self._must_cancel = False
        return 0

    cdef int await_signal(self, Signal signal) except -1:
        if signal.over or signal.task is not None or not signal._asyncio_future_blocking:
            return self.await_on(signal)
        signal._asyncio_future_blocking = False
        signal.task = self
        self._fut_waiter = signal
        if self._must_cancel and signal.cancel(self.cancel_message):
            self._must_cancel = False
        return 0

    cdef int resume(self, object error) except -1:
        """Go on behind a `Signal`, with `error` thrown in unless None."""
        PyContext_Enter(self._context)
        try:
            self.step(error)
        except (KeyboardInterrupt, SystemExit) as fatal:
            reraise_in_loop(self._loop, fatal)
        finally:
            PyContext_Exit(self._context)
        return 0

    cdef int schedule(self, object error) except -1:
        self._loop.call_soon(self._step, error, context=self._context)
        return 0

    cdef int register(self) except -1:
        self.registered = True
        _register_task(self)
        return 0

    def _step(self, error=None):
        self.step(error)

    def _wakeup(self, future):
        try:
            future.result()
        except BaseException as error:
            self.step(error)
        else:
            self.step(None)

    cdef int end(self, TaskState state, object result, object error) except -1:
        """The coroutine is over: settle the state and schedule the done callbacks."""
        cdef list callbacks = self.callbacks
        if isinstance(error, StopIteration):
            error = RuntimeError("coroutine raised StopIteration")
        self.state = state
        self._result = result
        self._exception = error
        self.log_traceback = error is not None
        self.callbacks = None
        if self.registered:
            self.registered = False
            _unregister_task(self)
        if callbacks is not None:
            for callback, context in callbacks:
                self._loop.call_soon(callback, self, context=context)
        return 0

    cdef object make_cancelled_error(self):
        error = self.cancelled_error
        if error is not None:
            self.cancelled_error = None
            return error
        if self.cancel_message is None:
            return _CancelledError()
        return _CancelledError(self.cancel_message)


cdef int enter(RequestTask task) except -1:
    """Make the task its loop's current one. Raises RuntimeError if there is one."""
    if _current is None or PyDict_GetItemWithError(_current, task._loop) != NULL:
        _enter_task(task._loop, task)
    else:
        PyDict_SetItem(_current, task._loop, task)
    return 0


cdef int leave(RequestTask task) except -1:
    if _current is None or PyDict_GetItemWithError(_current, task._loop) != <PyObject *>task:
        _leave_task(task._loop, task)
    else:
        PyDict_DelItem(_current, task._loop)
    return 0


cdef bint task_running(object loop) except -1:
    """Whether a task of the running loop is in a step."""
    if _current is not None:
        return PyDict_GetItemWithError(_current, loop) != NULL
    return asyncio.current_task(loop) is not None


def _loop_of(future):
    try:
        get_loop = future.get_loop
    except AttributeError:
        return future._loop
    return get_loop()


cdef int reraise_in_loop(object loop, object error) except -1:
    """Let KeyboardInterrupt or SystemExit stop the loop as if a callback had raised it."""
    loop.call_soon(_reraise, error)
    return 0


def _reraise(error):
    raise error
