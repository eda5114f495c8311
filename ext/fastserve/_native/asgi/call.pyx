"""One call of the application, be it for an HTTP exchange or a WebSocket.

Starting, cancelling and waiting are the same for both; what `receive` and `send` mean is
the subclass's affair. They return objects that complete at once unless they truly must
wait: their `am_send` slot hands the value over without a StopIteration.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from traceback import StackSummary

from fastserve._native.errors import ClientDisconnected, without_our_frames

from .awaitables cimport (DONE, PYGEN_ERROR, PYGEN_NEXT, PYGEN_RETURN, PySendResult,
                          PyTypeObject, Turn, thrown)
from .signal cimport Signal, new_signal, wake_all
from .task cimport reraise_in_loop, start_task


# Frames that a log shows of a task.
cdef enum:
    STACK_MOST = 50

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()

    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method

    object PyCFunction_NewEx(PyMethodDef *method, object self, void *module)


@cython.final
@cython.freelist(64)
cdef class Wait:
    """The awaitable of a `receive`, or of a `send` that waits for the peer to read.

    A coroutine in all but name (send, throw, close), so that `asyncio.create_task(receive())`
    works.
    """

    cdef Call call
    cdef Signal signal              # what we wait for just now, or None
    cdef Purpose purpose
    cdef bint pausing               # the step's outcome is no result but a turn of the loop

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.resume()

    def send(self, value):
        return self.resume()

    cdef inline object resume(self):
        result = self.step()
        if self.signal is None and not self.pausing:
            raise StopIteration(result)
        return result

    def throw(self, kind, value=None, traceback=None):
        self.leave()
        raise thrown(kind, value, traceback)

    def close(self):
        self.leave()

    cdef object step(self):
        """The outcome; or, while `signal` is set afterwards, that signal to wait for."""
        cdef Call call = self.call
        cdef Signal signal
        self.leave()
        if self.purpose == RECEIVE:
            if call.burst > BURST_MOST:
                # Events that are there as fast as they are taken would keep the loop.
                call.burst = 0
                self.pausing = True
                return None
            self.pausing = False
            event = call.next_event()
            if event is not None:
                call.burst += MESSAGE_COST
                return event
        elif not call.held_up():
            return None
        call.burst = 0
        signal = new_signal(call.loop)
        signal._asyncio_future_blocking = True
        self.signal = signal
        if self.purpose == RECEIVE:
            if call.receivers is None:
                call.receivers = []
            call.receivers.append(signal)
            call.await_event()
        else:
            if call.senders is None:
                call.senders = []
            call.senders.append(signal)
        return signal

    cdef inline int leave(self) except -1:
        """Stop waiting, for whatever reason."""
        cdef list waiting
        if self.signal is not None:
            waiting = self.call.receivers if self.purpose == RECEIVE else self.call.senders
            if waiting is not None and self.signal in waiting:
                waiting.remove(self.signal)
            self.signal = None
        return 0


cdef PySendResult _wait_send(PyObject *self, PyObject *value,
                             PyObject **result) except PYGEN_ERROR:
    cdef object outcome
    result[0] = NULL
    outcome = (<Wait>self).step()
    Py_INCREF(outcome)
    result[0] = <PyObject *>outcome
    return (PYGEN_RETURN if (<Wait>self).signal is None and not (<Wait>self).pausing
            else PYGEN_NEXT)

(<PyTypeObject *>Wait).tp_as_async.am_send = &_wait_send


cdef object new_wait(Call call, Purpose purpose):
    cdef Wait wait = Wait.__new__(Wait)
    wait.call = call
    wait.purpose = purpose
    return wait


cdef PyMethodDef *method_of(object kind, str name) except NULL:
    """What a bound method of class `kind` is made of: binding by hand saves a look-up a call."""
    return (<PyMethodDescrObject *>kind.__dict__[name]).d_method


cdef class Call(TaskOwner):

    cdef int run(self, object app, object scope, object context) except -1:
        """Start the application, and run it up to its first wait."""
        raise NotImplementedError

    cdef int start(self, object app, object scope, object context, PyMethodDef *receive,
                   PyMethodDef *send) except -1:
        cdef object coroutine
        self.thread = PyThread_get_thread_ident()
        try:
            coroutine = app(scope, PyCFunction_NewEx(receive, self, NULL),
                            PyCFunction_NewEx(send, self, NULL))
        except BaseException as error:
            self.task_ended(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                reraise_in_loop(self.loop, error)
            return 0
        task = start_task(coroutine, self.loop, context, self)
        if not self.ended:
            self.task = task
        return 0

    cdef int disconnect(self, bint lost) except -1:
        """The peer sends no more; `lost`: it reads no more either, and send raises."""
        raise NotImplementedError

    cdef int restart(self) except -1:
        """The server is going to stop: end what would never end by itself."""
        return 0

    cdef int cancel(self) except -1:
        """Cancel the application's task; its end comes through the event loop."""
        if self.task is not None:
            self.cancelled = True
            self.task.cancel()
        return 0

    cdef int abandon(self) except -1:
        """Cancel what goes on though the client has left, and has had its time."""
        if self.task is not None:
            self.logger.debug("cancelled, for the client has left: %s %s", self.method,
                              printable(self.target))
        return self.cancel()

    cdef int writable(self) except -1:
        """The transport takes data again."""
        return wake_all(self.senders, False)

    cdef object next_event(self):
        """The event for `receive`, or None while there is none."""
        raise NotImplementedError

    cdef int await_event(self) except -1:
        """A `receive` has begun to wait."""
        return 0

    cdef bint held_up(self) except -1:
        """Whether `send` has to wait. Raises ClientDisconnected once nobody is there."""
        raise NotImplementedError

    cdef bint elsewhere(self) noexcept:
        """Whether we are in another thread than the event loop's.

        asgiref's `async_to_sync(send)` calls `send` where it is called and awaits in the loop
        what that gives. Nothing of ours may be touched there: the loop runs meanwhile.
        """
        return PyThread_get_thread_ident() != self.thread

    async def _send_later(self, message):
        if self.elsewhere():
            raise RuntimeError("send was awaited outside the server's event loop")
        await self.send(message)

    cdef object sent(self):
        """What a `send` that is done returns: now and then others get their turn."""
        if self.held_up():
            self.burst = 0
            return new_wait(self, DRAIN)
        if self.burst > BURST_MOST:
            self.burst = 0
            return Turn()
        return DONE

    cdef int log_error(self, object error, bint quiet) except -1:
        """Tell what the application raised; `quiet`: it only follows from the client leaving."""
        if quiet:
            # ASGI, "Disconnected Client": the server should not log it as an error.
            self.logger.debug("client disconnected during %s", self.told(), exc_info=error,
                              extra=self.facts())
        else:
            self.logger.error("Exception in ASGI application (%s)", self.told(),
                              exc_info=without_our_frames(error), extra=self.facts())
        return 0

    cdef str told(self):
        """Which request it is, in a message."""
        line = f"{self.method} {printable(self.target)}"
        return line if self.request_id is None else f"{line}, {self.request_id.decode()}"

    cdef dict facts(self):
        """The same for structured logs, as attributes of a record."""
        found = {"request_method": self.method, "request_target": printable(self.target)}
        if self.request_id is not None:
            found["request_id"] = self.request_id.decode()
        return found


def stack_of(task):
    """Where a task that waits stands, as text: its coroutines, outermost first.

    The frames of tasks that it waits for follow its own.
    """
    frames = []
    while task is not None and len(frames) < STACK_MOST:
        awaited = getattr(task, "get_coro", type(None))()
        while awaited is not None and len(frames) < STACK_MOST:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
            if frame is not None:
                frames.append((frame, frame.f_lineno))
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
        task = getattr(task, "_fut_waiter", None)
    return "".join(StackSummary.extract(iter(frames)).format()).rstrip()


def printable(target):
    return "" if target is None else target.decode("ascii", "backslashreplace")


cdef object gone():
    """What `send` raises when there is nobody to send to."""
    return ClientDisconnected("the client has disconnected")
