"""What a waiting `receive` or `send` yields: a future that may resume its waiter on the spot.

A future of asyncio resumes who awaits it from the event loop's next turn: a handle, a trip
round the loop and maybe a poll of the kernel for each message. Inside the callback of a
read nobody else runs, so the waiter may as well go on there and then. Towards a task it
behaves like `asyncio.Future`, with the one difference of when; it carries no result.
docs/design/websocket.md has what it saves.
"""

cimport cython

import asyncio

cdef extern from "Python.h":
    object PyContext_CopyCurrent()

_CancelledError = asyncio.CancelledError


def _reraise(error):
    raise error


cdef class Resumable:

    cdef int resume(self, object error) except -1:
        raise NotImplementedError


cdef Signal new_signal(object loop):
    cdef Signal signal = Signal.__new__(Signal)
    signal._loop = loop
    return signal


cdef int wake_all(list signals, bint direct) except -1:
    """Wake each; `direct` as in `Signal.wake`. Waiters leave the list while they run."""
    cdef Signal signal
    if signals is not None and len(signals):
        if len(signals) == 1:
            signal = signals[0]
            return signal.wake(direct)
        for signal in list(signals):
            signal.wake(direct)
    return 0


@cython.final
@cython.freelist(64)
cdef class Signal:

    cdef int wake(self, bint direct) except -1:
        """Resume who waits. `direct`: now, which needs that no task is running; else soon."""
        cdef Resumable task = self.task
        if self.over:
            return 0
        self.over = True
        if not direct:
            return self.schedule()
        if task is not None:
            self.task = None
            task.resume(None)
        elif self.callbacks is not None:
            callbacks = self.callbacks
            self.callbacks = None
            for callback, context in callbacks:
                try:
                    context.run(callback, self)
                except BaseException as error:
                    # As from any callback: to the loop.
                    self._loop.call_soon(_reraise, error)
        return 0

    cdef int schedule(self) except -1:
        if self.task is not None:
            self._loop.call_soon(self._resume)
        if self.callbacks is not None:
            callbacks = self.callbacks
            self.callbacks = None
            for callback, context in callbacks:
                self._loop.call_soon(callback, self, context=context)
        return 0

    def _resume(self):
        cdef Resumable task = self.task
        self.task = None
        if task is not None:
            task.resume(self.cancelled_error() if self.was_cancelled else None)

    cdef object cancelled_error(self):
        return _CancelledError() if self.message is None else _CancelledError(self.message)

    def __await__(self):
        if not self.over:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    # As of asyncio.Future.

    def get_loop(self):
        return self._loop

    def done(self):
        return self.over

    def cancelled(self):
        return self.was_cancelled

    def result(self):
        if self.was_cancelled:
            raise self.cancelled_error()
        if not self.over:
            raise asyncio.InvalidStateError("nothing has happened yet")

    def exception(self):
        self.result()

    def cancel(self, msg=None):
        if self.over:
            return False
        self.over = self.was_cancelled = True
        self.message = msg
        self.schedule()
        return True

    def add_done_callback(self, fn, *, context=None):
        if context is None:
            context = PyContext_CopyCurrent()
        if self.over:
            self._loop.call_soon(fn, self, context=context)
        elif self.callbacks is None:
            self.callbacks = [(fn, context)]
        else:
            self.callbacks.append((fn, context))

    def remove_done_callback(self, fn):
        before = self.callbacks
        if before is None:
            return 0
        self.callbacks = [entry for entry in before if entry[0] != fn]
        return len(before) - len(self.callbacks)
