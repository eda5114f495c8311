"""The asyncio protocol of one connection, and what all of an event loop's share.

A `Connection` owns the transport: it corks what is written during one read callback
into one write, keeps the connection's place in the deadline queues, and closes without
losing what was written. What the bytes mean is the channel's affair.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memmove

import asyncio
import socket
import struct

from .asgi.call cimport Call
from .asgi.exchange cimport live_exchanges
from .asgi.scope cimport ScopeTemplate
from .asgi.task cimport live_tasks
from .asgi.websocket cimport live_websockets
from .buffer cimport WriteBuffer, give_back
from .channel cimport Channel
from .deadlines cimport monotonic_ms, unlink
from .http1.channel cimport Http1Channel
from .lease cimport Lease
from .outlet cimport Outlet
from .shared cimport (WAIT_BODY, WAIT_HEAD, WAIT_KEEP_ALIVE, WAIT_LINGER, WAIT_NOTHING, WAIT_WRITE,
                      Shared)
from .unread cimport unread

cdef extern from "fs_memory.h":
    bint fs_memory_keep_blocks()

# Bytes of one read during an upload: larger blocks would be mapped and unmapped each time.
cdef enum:
    READ_SIZE = 65536
    BLOCK_SIZE = 262144             # of the block that WebSocket's large reads share
    LARGE_READ = 8192               # with this a connection begins to read into it

cdef int live_connections = 0


def live_objects():
    """How many native objects are alive, by class: for leak checks in tests."""
    return {"Connection": live_connections, "Exchange": live_exchanges,
            "RequestTask": live_tasks, "WebSocket": live_websockets}


def keep_freed_blocks():
    """Tell the C library to keep memory of reads for the next ones. True where it can.

    Changes the whole process: for a server's own process, not for a guest in another program.
    """
    return bool(fs_memory_keep_blocks())


@cython.final
cdef class Service(Shared):
    """See docs/design/http1-server.md for the arguments and what each method does."""

    def __cinit__(self, *args, **options):
        self.open = set()

    def make_protocol(self, str scheme="http"):
        """A protocol for one connection; `loop.create_server` takes this as its factory."""
        cdef Connection connection = Connection.__new__(Connection)
        connection.service = self
        connection.scheme = scheme
        return connection

    @property
    def connections(self):
        """Open connections."""
        return len(self.open)

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


class BlockReader(asyncio.BufferedProtocol):
    """Stands in for a `Connection` as the transport's protocol from its first large read on.

    Reads at most what is left of a body, straight into the bytes the application gets; frames,
    which are unmasked elsewhere, into one block for all. docs/design has the measurements.
    """

    def __init__(self, connection):
        self.connection = connection
        self.lease = None
        self.eof_received = connection.eof_received
        self.pause_writing = connection.pause_writing
        self.resume_writing = connection.resume_writing

    def get_buffer(self, sizehint):
        self.lease = (<Connection>self.connection).lease()
        return self.lease

    def buffer_updated(self, nbytes):
        lease = self.lease
        self.lease = None
        (<Connection>self.connection).filled(lease, nbytes)

    def connection_lost(self, error):
        connection = self.connection
        del self.connection, self.eof_received, self.pause_writing, self.resume_writing
        connection.connection_lost(error)


@cython.final
cdef class Connection(Outlet):
    """An asyncio.Protocol. Made by `Service.make_protocol`."""

    def __cinit__(self):
        global live_connections
        live_connections += 1
        self.read_link.owner = <void *>self
        self.write_link.owner = <void *>self

    def __dealloc__(self):
        global live_connections
        live_connections -= 1
        unlink(&self.read_link)
        unlink(&self.write_link)

    # asyncio.Protocol

    def connection_made(self, transport):
        cdef Service service = self.service
        peer = transport.get_extra_info("peername")
        here = transport.get_extra_info("sockname")
        self.transport = transport
        self.write_warns = type(transport).__module__.startswith("asyncio.")
        self.client = address(peer)
        server = address(here)
        if server is None and isinstance(here, (str, bytes)) and here:
            server = (here if isinstance(here, str) else here.decode("utf-8", "replace"), None)
        if server == service.server:
            server = service.server  # one object for all
        service.server = server
        self.channel = Http1Channel(service, self, ScopeTemplate(
            self.scheme, self.client, server, service.root_path, service.state))
        service.open.add(self)
        service.row.connected()
        self.wait_for(WAIT_HEAD)

    def data_received(self, bytes data not None):
        # Held here, for another may take its place meanwhile.
        cdef Channel channel = self.channel
        self.service.row.received(PyBytes_GET_SIZE(data))
        if self.closing:
            return
        self.corked = True
        try:
            channel.data_received(data)
        except Exception as error:
            self.fail(error)
        finally:
            self.corked = False
        self.flush()
        if self.channel is not None and (self.channel.in_message
                                         or PyBytes_GET_SIZE(data) >= LARGE_READ):
            self.choose_reader()

    cdef Lease lease(self):
        """Where the next read goes."""
        cdef Channel channel = self.channel
        if channel is None:
            return Lease(READ_SIZE)
        if channel.takes_blocks:
            if self.service.block is None:
                self.service.block = Lease(BLOCK_SIZE)
            return self.service.block
        return Lease(channel.read_size(READ_SIZE))

    cdef int filled(self, Lease lease, Py_ssize_t n) except -1:
        """From `BlockReader`: the first n bytes of what `lease` gave have been read."""
        cdef Channel channel = self.channel
        self.service.row.received(n)
        if self.closing:
            return 0
        self.corked = True
        try:
            if lease is self.service.block:
                channel.block_received(lease.block, n)
            else:
                channel.body_received(lease.take(n))
        except Exception as error:
            self.fail(error)
        finally:
            self.corked = False
        return self.flush()

    cdef int choose_reader(self) except -1:
        """Have the rest of a body read past the parser, or large messages into one block.

        The reader stays afterwards: a connection that brought one large upload or message
        brings more, and with it heads come in short reads that leave the body to the next one.
        """
        if (self.block_reader is None and not self.closing
                and (self.channel.takes_blocks or self.channel.body_room() >= READ_SIZE)):
            self.block_reader = BlockReader(self)
            self.transport.set_protocol(self.block_reader)
        return 0

    def eof_received(self):
        """True keeps the transport open, so that a half-closed client gets its answer."""
        cdef Channel channel = self.channel
        if self.closing or channel is None:
            return False
        self.corked = True
        try:
            channel.eof_received()
        except Exception as error:
            self.fail(error)
        finally:
            self.corked = False
        self.flush()
        return not self.closing

    def connection_lost(self, error):
        cdef Channel channel = self.channel
        unlink(&self.read_link)
        unlink(&self.write_link)
        self.closing = True
        self.out = None
        self.held = -1
        if channel is not None:
            channel.connection_lost()
        self.channel = None
        self.transport = None
        self.block_reader = None
        if self in self.service.open:
            self.service.open.remove(self)
            self.service.row.disconnected()
        self.service.became_idle()

    def pause_writing(self):
        self.writing_paused = True
        self.write_stalled(True)

    def resume_writing(self):
        self.writing_paused = False
        self.write_stalled(False)
        if self.channel is not None:
            self.channel.writable()

    # Outlet

    cdef int flush(self) except -1:
        cdef WriteBuffer out = self.out
        cdef Py_ssize_t n
        cdef bytes data
        if out is None:
            return 0
        if self.held < 0:
            self.out = None
            data = PyBytes_FromStringAndSize(out.data, out.used)
            give_back(out)
            if PyBytes_GET_SIZE(data):
                self.hand_over(data)
        elif self.held > 0:
            n = self.held
            data = PyBytes_FromStringAndSize(out.data, n)
            out.used -= n
            memmove(out.data, out.data + n, <size_t>out.used)
            self.held = 0
            self.hand_over(data)
        return 0

    cdef int hand_over(self, bytes data) except -1:
        if self.transport is not None and not (self.write_warns and self.transport.is_closing()):
            self.service.row.sent(PyBytes_GET_SIZE(data))
            self.transport.write(data)
        return 0

    cdef int write_object(self, object data) except -1:
        cdef WriteBuffer out = self.out
        cdef bytes before
        if out is None or out.used == 0 or self.held >= 0 or self.write_warns:
            # asyncio's `writelines` of Python 3.12 and 3.13 never makes its writer pause.
            self.flush()
            return self.hand_over(data)
        # Both in one system call.
        self.out = None
        before = PyBytes_FromStringAndSize(out.data, out.used)
        give_back(out)
        if self.transport is not None:
            self.service.row.sent(PyBytes_GET_SIZE(before) + PyBytes_GET_SIZE(data))
            self.transport.writelines((before, data))
        return 0

    cdef int pause_reading(self) except -1:
        if not self.reading_paused and not self.closing:
            self.reading_paused = True
            self.transport.pause_reading()
        return 0

    cdef int resume_reading(self) except -1:
        if self.reading_paused and not self.closing:
            self.reading_paused = False
            self.transport.resume_reading()
        return 0

    cdef bint idle(self) except -1:
        return (not self.closing and self.channel is not None and self.channel.idle()
                and not self.transport.is_closing())

    cdef int wait_for(self, int kind) except -1:
        cdef int64_t now
        if self.closing or (kind == self.waiting_for and kind != WAIT_BODY):
            return 0
        self.waiting_for = kind
        if kind == WAIT_NOTHING:
            unlink(&self.read_link)
        else:
            now = monotonic_ms()
            if kind != WAIT_KEEP_ALIVE:
                self.quiet_since = now
            self.service.queue(kind).add(&self.read_link, now)
            self.service.arm_tick()
        return 0

    cdef int write_stalled(self, bint stalled) except -1:
        if not stalled:
            unlink(&self.write_link)
        elif self.transport is not None:
            self.unwritten = self.transport.get_write_buffer_size()
            self.service.queue(WAIT_WRITE).add(&self.write_link, monotonic_ms())
            self.service.arm_tick()
        return 0

    cdef int process_soon(self) except -1:
        self.service.loop.call_soon(self._process)
        return 0

    cdef int succeed(self, Channel successor) except -1:
        self.channel = successor
        return 0

    def _process(self):
        cdef Channel channel = self.channel
        if channel is None or self.closing:
            return
        self.corked = True
        try:
            channel.process_later()
        except Exception as error:
            self.fail(error)
        finally:
            self.corked = False
        self.flush()

    cdef int close(self, bint linger) except -1:
        if self.closing:
            return 0
        if linger and self.transport.can_write_eof():
            self.flush()
            self.resume_reading()
            self.wait_for(WAIT_LINGER)
            self.closing = True
            if not self.transport.is_closing():
                try:
                    self.transport.write_eof()
                except OSError:
                    # The peer's reset came first; asyncio lets shutdown(2) say so.
                    self.transport.abort()
            return 0
        self.flush()
        self.closing = True
        unlink(&self.read_link)
        self.transport.close()
        return 0

    cdef int abort(self) except -1:
        self.closing = True
        unlink(&self.read_link)
        self.out = None
        self.held = -1
        if self.transport is not None:
            self.transport.abort()
        return 0

    cdef int cut(self, bint reset) except -1:
        if not reset:
            return self.close(False)
        if self.closing or self.transport is None:
            return 0
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return self.abort()

    cdef object transport_object(self):
        return self.transport

    cdef bytes client_text(self):
        if self.client_name is None:
            if self.client is None:
                self.client_name = b"unix"
            else:
                host, port = self.client
                self.client_name = (f"[{host}]:{port}" if ":" in host
                                    else f"{host}:{port}").encode("utf-8", "replace")
        return self.client_name

    # Expirable

    cdef int expired(self, int kind) except -1:
        cdef Py_ssize_t left
        if kind == WAIT_WRITE:
            left = self.transport.get_write_buffer_size() if self.transport is not None else 0
            if left < self.unwritten:
                # Slow, but it moves.
                self.write_stalled(True)
            else:
                self.abort()
            return 0
        self.waiting_for = WAIT_NOTHING
        if kind == WAIT_LINGER:
            self.abort()
        elif self.channel is not None and not self.closing:
            self.channel.timed_out(kind)
            self.flush()
        return 0

    cdef int fail(self, object error) except -1:
        """An error of our own: it costs this connection, and is told in full."""
        self.service.logger.error("internal error on a connection", exc_info=error)
        self.abort()
        return 0


cdef object address(object name):
    """The (host, port) of a socket name; None for what is no IP address."""
    if isinstance(name, (tuple, list)) and len(name) >= 2 and isinstance(name[1], int):
        return (str(name[0]), name[1])
    return None
