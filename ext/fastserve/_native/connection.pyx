"""The asyncio protocol of one connection.

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

from .asgi.scope cimport ScopeTemplate
from .buffer cimport WriteBuffer, give_back
from .channel cimport Channel
from .deadlines cimport DeadlineQueue, monotonic_ms, unlink
from .http1.channel cimport Http1Channel
from .lease cimport Lease
from .proxy_front cimport ProxyFront
from .proxy_protocol cimport ProxyHeader
from .secure cimport TlsFront
from .shared cimport (MAKE_ROOM, WAIT_BODY, WAIT_FIRST, WAIT_HANDSHAKE, WAIT_KEEP_ALIVE,
                      WAIT_LINGER, WAIT_NOTHING, WAIT_WRITE, Shared)
from .unread cimport untaken

# Bytes of one read during an upload: larger blocks would be mapped and unmapped each time.
cdef enum:
    READ_SIZE = 65536
    BLOCK_SIZE = 262144             # of the block that WebSocket's large reads share
    LARGE_READ = 8192               # with this a connection begins to read into it
    STALLS_MOST = 2                 # halves of the time for writing without progress

cdef int live_connections = 0


cdef Connection new_connection(Shared shared, str scheme, object tls):
    """One to be; the event loop calls its `connection_made`. `tls`: see `TlsLayer`, or None."""
    cdef Connection connection = Connection.__new__(Connection)
    connection.shared = shared
    connection.scheme = scheme
    connection.tls = tls
    return connection


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
cdef class Connection(CountedOutlet):
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
        cdef Shared shared = self.shared
        peer = transport.get_extra_info("peername")
        here = transport.get_extra_info("sockname")
        self.transport = transport
        self.write_warns = type(transport).__module__.startswith("asyncio.")
        self.client = address(peer)
        server = address(here)
        if server is None and isinstance(here, (str, bytes)) and here:
            server = (here if isinstance(here, str) else here.decode("utf-8", "replace"), None)
        if server == shared.server:
            server = shared.server  # one object for all
        shared.server = server
        host = peer_host(transport, peer)
        self.open_channel(server, host)
        shared.open.add(self)
        shared.row.connected()
        self.wait_for(WAIT_FIRST)
        if shared.proxy_protocol:
            self.front = ProxyFront(shared, self)
            if host is None or not shared.trust.networks.holds_peer(host):
                (<ProxyFront>self.front).refuse()
        elif self.tls is not None:
            self.secure_front()
        # An untrusted peer's is over already, and takes nobody's place.
        if shared.admission is not None and not self.closing:
            self.admit()

    cdef int open_channel(self, object server, str host) except -1:
        """host: who is asked whether its fields of forwarding are believed; None: nobody."""
        cdef Shared shared = self.shared
        cdef ScopeTemplate template = ScopeTemplate(
            self.scheme, self.client, server, shared.root_path, shared.state)
        if host is not None:
            template.believed = shared.trust.believed(host)
        self.channel = Http1Channel(shared, self, template)
        return 0

    cdef int secure_front(self) except -1:
        self.front = TlsFront(self.shared, self, self.tls)
        self.secure = True
        return 0

    def data_received(self, bytes data not None):
        # Held here, for another may take its place meanwhile.
        cdef Channel channel = self.channel
        if self.front is not None:
            self.front.data_received(data)
            return
        self.shared.row.received(PyBytes_GET_SIZE(data))
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
            if self.shared.block is None:
                self.shared.block = Lease(BLOCK_SIZE)
            return self.shared.block
        return Lease(channel.read_size(READ_SIZE))

    cdef int filled(self, Lease lease, Py_ssize_t n) except -1:
        """From `BlockReader`: the first n bytes of what `lease` gave have been read."""
        cdef Channel channel = self.channel
        self.shared.row.received(n)
        if self.closing:
            return 0
        self.corked = True
        try:
            if lease is self.shared.block:
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
        self.peer_ended = True
        if self.front is not None and not self.front.eof_received():
            return self.front.established()
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
        self.leave_count()
        self.closing = True
        if self.front is not None:
            self.front.connection_lost()
        self.out = None
        self.held = -1
        if channel is not None:
            channel.connection_lost()
        self.channel = None
        self.transport = None
        self.block_reader = None
        if self in self.shared.open:
            self.shared.open.remove(self)
            self.shared.row.disconnected()
        self.shared.became_idle()

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
            data = out.take()
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
        if self.front is not None:
            return self.front.write(None, data)
        if self.transport is not None and not (self.write_warns and self.transport.is_closing()):
            self.shared.row.sent(PyBytes_GET_SIZE(data))
            self.written += PyBytes_GET_SIZE(data)
            self.transport.write(data)
        return 0

    cdef int write_object(self, object data) except -1:
        cdef WriteBuffer out = self.out
        cdef bytes before
        if (out is None or out.used == 0 or self.held >= 0
                or (self.write_warns and self.front is None)):
            # asyncio's `writelines` of Python 3.12 and 3.13 never makes its writer pause.
            self.flush()
            return self.hand_over(data)
        # Both in one system call.
        self.out = None
        before = out.take()
        give_back(out)
        if self.front is not None:
            return self.front.write(before, data)
        if self.transport is not None:
            self.shared.row.sent(PyBytes_GET_SIZE(before) + PyBytes_GET_SIZE(data))
            self.written += PyBytes_GET_SIZE(before) + PyBytes_GET_SIZE(data)
            self.transport.writelines((before, data))
        return 0

    cdef int write_wire(self, object data) except -1:
        cdef bytes each
        if self.transport is None or (self.write_warns and self.transport.is_closing()):
            return 0
        if type(data) is list and self.write_warns:
            data = b"".join(data)   # see `write_object`
        if type(data) is bytes:
            self.written += PyBytes_GET_SIZE(data)
            self.transport.write(data)
        else:
            for each in data:
                self.written += PyBytes_GET_SIZE(each)
            self.transport.writelines(data)
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
                and (self.front is None or self.front.idle())
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
            self.shared.queue(kind).add(&self.read_link, now)
            self.shared.arm_tick()
        return 0

    cdef int write_stalled(self, bint stalled) except -1:
        if not stalled:
            unlink(&self.write_link)
        elif self.transport is not None:
            self.stalls = 0
            self.taken = self.written - <Py_ssize_t>self.transport.get_write_buffer_size()
            self.shared.queue(WAIT_WRITE).add(&self.write_link, monotonic_ms())
            self.shared.arm_tick()
        return 0

    cdef int process_soon(self) except -1:
        self.shared.loop.call_soon(self._process)
        return 0

    cdef int succeed(self, Channel successor) except -1:
        self.channel = successor
        return 0

    cdef int close(self, bint linger) except -1:
        if self.closing:
            return 0
        self.flush()
        if self.front is not None:
            self.front.end()
        # Behind the peer's end nothing can come that a close would answer with a reset.
        if linger and not self.peer_ended and self.transport.can_write_eof():
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
        self.closing = True
        unlink(&self.read_link)
        self.transport.close()
        if self.transport.get_write_buffer_size() and self.write_link.before == NULL:
            # It stays until that is taken, and must not stay for ever.
            self.write_stalled(True)
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

    cdef int introduce(self, ProxyHeader header, bytes rest) except -1:
        self.front = None
        if self.tls is not None:
            self.secure_front()
        if header.tells:
            self.client = header.client
            self.client_name = None
            # A unix socket's client is on the proxy's machine, of which our networks say nothing.
            self.open_channel(header.server,
                              None if header.client is None else header.client[0])
            self.admit_client()
        else:
            # Whoever that is, it is not the proxy that we trust.
            (<Http1Channel>self.channel).template.believed = 0
        if PyBytes_GET_SIZE(rest):
            self.data_received(rest)
        else:
            self.wait_for(WAIT_FIRST)
        return 0

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
        if kind == WAIT_WRITE:
            return self.write_expired()
        self.waiting_for = WAIT_NOTHING
        if kind == WAIT_LINGER:
            self.abort()
        elif kind == WAIT_HANDSHAKE or kind == MAKE_ROOM:
            self.front.timed_out(kind)
        elif self.channel is not None and not self.closing:
            self.channel.timed_out(kind)
            self.flush()
        return 0

    cdef int write_expired(self) except -1:
        """Half the time for writing is over: slow is not stalled, if enough was taken.

        The transport's backlog tells little, for the kernel asks for more only when much of its
        own is gone; so where that has not moved, the kernel's is looked at from then on.
        """
        cdef DeadlineQueue queue = self.shared.queue(WAIT_WRITE)
        cdef int64_t taken
        if self.transport is None:
            return 0
        taken = self.written - <Py_ssize_t>self.transport.get_write_buffer_size()
        if self.stalls:
            taken -= untaken(self.transport)
        if taken > self.taken and (taken - self.taken) * 1000 >= self.shared.min_rate * queue.span:
            return self.write_stalled(True)
        if self.stalls == STALLS_MOST:
            return self.abort()
        if self.stalls == 0:
            self.taken = taken - untaken(self.transport)
        self.stalls += 1
        queue.add(&self.write_link, monotonic_ms())
        return self.shared.arm_tick()

    cdef int fail(self, object error) except -1:
        self.shared.logger.error("internal error on a connection", exc_info=error)
        self.abort()
        return 0


cdef str peer_host(object transport, object name):
    """What networks know a socket's peer by: its address, "unix", or None if it has left."""
    if isinstance(name, (tuple, list)):
        return str(name[0])
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        return "unix"
    return None


cdef object address(object name):
    """The (host, port) of a socket name; None for what is no IP address."""
    if isinstance(name, (tuple, list)) and len(name) >= 2 and isinstance(name[1], int):
        return (str(name[0]), name[1])
    return None
