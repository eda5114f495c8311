"""All connections of one event loop: made, counted, stopped.

What a stop does phase by phase, and what is told of the connections, is here; a single
connection's affairs are in `connection`.
"""

cimport cython
from libc.stdint cimport int64_t

from .asgi.call cimport Call
from .asgi.exchange cimport live_exchanges
from .asgi.task cimport live_tasks
from .asgi.websocket cimport live_websockets
from .connection cimport Connection, live_connections, new_connection
from .deadlines cimport DeadlineQueue, Link, monotonic_ms
from .shared cimport WAIT_IDLE, WAIT_KEEP_ALIVE, Shared
from .tls cimport live_layers
from .unread cimport unread

cdef enum:
    TRIES_MOST = 16                 # idle connections looked at for one that can go

cdef extern from "fs_memory.h":
    bint fs_memory_keep_blocks()


def live_objects():
    """How many native objects are alive, by class: for leak checks in tests."""
    return {"Connection": live_connections, "Exchange": live_exchanges,
            "RequestTask": live_tasks, "TlsLayer": live_layers, "WebSocket": live_websockets}


def keep_freed_blocks():
    """Tell the C library to keep memory of reads for the next ones. True where it can.

    Changes the whole process: for a server's own process, not for a guest in another program.
    """
    return bool(fs_memory_keep_blocks())


@cython.final
cdef class Service(Shared):
    """See docs/design/http1-server.md for the arguments and what each method does."""

    def make_protocol(self, str scheme="http", *, tls=None):
        """A protocol for one connection; `loop.create_server` takes this as its factory.

        `tls`: the connection speaks TLS, see `TlsLayer`, and its scheme is https.
        """
        return new_connection(self, scheme if tls is None else "https", tls)

    @property
    def connections(self):
        """Open connections."""
        return len(self.open)

    def drain(self):
        """From now on clients are told to go elsewhere. Cannot be undone.

        HTTP/1.1: every response head says Connection: close. A connection whose last head did
        not say so stays open, for its client relies on it. HTTP/2: GOAWAY, at once.
        """
        cdef Connection connection
        self.draining = True
        for connection in list(self.open):
            if connection.channel is not None and not connection.closing:
                connection.channel.drain()

    def close_idle(self, double quiet):
        """Close connections with no request under way that were quiet for `quiet` seconds.

        One on whose socket something waits unread stays. Returns how many idle ones stay.
        """
        cdef Connection connection
        cdef int64_t now = monotonic_ms()
        cdef int64_t latest = now - <int64_t>(min(quiet, 1e9) * 1000)
        cdef dict quiet_ones = {}   # by their transports
        cdef int idle = 0
        for connection in list(self.open):
            if not connection.idle():
                continue
            if connection.transport.get_write_buffer_size():
                connection.quiet_since = now
            idle += 1
            if connection.quiet_since <= latest:
                quiet_ones[connection.transport] = connection
        for transport in unread(list(quiet_ones)):
            del quiet_ones[transport]
        for connection in quiet_ones.values():
            connection.channel.leave()
        return idle - len(quiet_ones)

    cdef bint close_oldest(self) except -1:
        """Close the connection that has been idle for longest. False if there is none.

        It does not count any more, though its end comes through the event loop. One that has
        something unread is not idle, nor is one that has not taken all of its last answer.
        """
        cdef Connection connection
        cdef DeadlineQueue queue
        cdef Link *link
        cdef int tries = 0
        for queue in (self.queue(WAIT_KEEP_ALIVE), self.queue(WAIT_IDLE)):
            link = queue.ring.after
            while link != &queue.ring and tries < TRIES_MOST:
                connection = <Connection>link.owner
                link = link.after
                tries += 1
                if (connection.idle() and not connection.transport.get_write_buffer_size()
                        and not unread([connection.transport])):
                    connection.leave_count()
                    connection.channel.leave()
                    return True
        return False

    def make_room(self):
        """Close the connection that has been idle for longest. False if there is none."""
        return self.close_oldest()

    def disconnect(self):
        """Tell every open exchange http.disconnect, though its client is still there."""
        cdef Call call
        for call in list(self.running):
            call.disconnect(False)

    def close_websockets(self):
        """Close every WebSocket with 1012, and from now on every new one once it is open.

        Their applications get websocket.disconnect.
        """
        cdef Call call
        self.restarting = True
        for call in list(self.running):
            call.restart()

    def cancel(self):
        """Cancel the application's task of every open exchange."""
        cdef Call call
        for call in list(self.running):
            call.cancel()

    def abort(self):
        """Cut every connection."""
        cdef Connection connection
        for connection in list(self.open):
            connection.abort()

    async def wait_idle(self):
        """Until no connection is open and no exchange under way."""
        while self.open or self.exchanges:
            waiter = self.loop.create_future()
            if self.idle_waiters is None:
                self.idle_waiters = []
            self.idle_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self.idle_waiters:
                    self.idle_waiters.remove(waiter)

    cdef int became_idle(self) except -1:
        if self.idle_waiters and not self.open and not self.exchanges:
            for waiter in self.idle_waiters:
                if not waiter.done():
                    waiter.set_result(None)
        return 0

    def flush(self):
        """Write out buffered access lines."""
        if self.access is not None:
            self.access.flush()

    def close(self):
        """Stop the tick and write out what is buffered."""
        if self.tick_timer is not None:
            self.tick_timer.cancel()
            self.tick_timer = None
        self.flush()
