"""Files to sockets by sendfile(2), past the event loop's own transport; not so over TLS.

asyncio's and uvloop's transports keep their socket to themselves, so this first lets the
transport run empty, then works on the socket, and waits for it to become writable through
a duplicate of its descriptor.
"""

import asyncio
import os

from fastserve._native.errors import ClientDisconnected

from .asgi.exchange cimport Exchange
from .asgi.signal cimport Signal, new_signal
from .board cimport Row
from .outlet cimport FLUSH_SIZE, Outlet

# One call's most: other connections get their turn after it.
AT_ONCE = 1 << 20


async def send_file(Outlet outlet not None, Exchange exchange not None, Row row not None,
                    int fd, offset, count):
    """Send `count` bytes of the regular file `fd` from `offset` (-1: from its position).

    They are counted in `row` as they leave.
    Everything written before leaves first. Raises ClientDisconnected when the peer goes,
    OSError when the file cannot be read or ends early; part of it may then be sent.
    """
    if outlet.secure:
        await _copy_through(outlet, exchange, fd, None if offset < 0 else offset, count)
        return
    transport = outlet.transport_object()
    low, high = transport.get_write_buffer_limits()
    outlet.flush()
    # Above zero counts as full now, so resume_writing says when nothing is left.
    transport.set_write_buffer_limits(high=0)
    try:
        await _writable(outlet, exchange)
        await _copy(outlet, exchange, row, transport.get_extra_info("socket").fileno(), fd,
                    None if offset < 0 else offset, count)
    finally:
        if not exchange.lost:
            transport.set_write_buffer_limits(high=high, low=low)


async def _writable(Outlet outlet, Exchange exchange):
    """Until the transport has sent everything."""
    while outlet.writing_paused:
        if exchange.lost:
            raise ClientDisconnected("the client has disconnected")
        waiter = new_signal(exchange.loop)
        if exchange.senders is None:
            exchange.senders = []
        exchange.senders.append(waiter)
        try:
            await waiter
        finally:
            exchange.senders.remove(waiter)


async def _copy(Outlet outlet, Exchange exchange, Row row, int target, int fd, offset, left):
    try:
        while left:
            if exchange.lost:
                raise ClientDisconnected("the client has disconnected")
            try:
                sent = os.sendfile(target, fd, offset, min(left, AT_ONCE))
            except BlockingIOError:
                await _socket_writable(outlet, exchange, target)
                continue
            except ConnectionError as error:
                raise ClientDisconnected("the client has disconnected") from error
            if sent == 0:
                raise OSError("the file became shorter while it was sent")
            row.sent(sent)
            left -= sent
            if offset is not None:
                offset += sent
            if left:
                await asyncio.sleep(0)
    finally:
        # It was counted as a whole, to be checked against the content-length.
        exchange.body_sent -= left


async def _copy_through(Outlet outlet, Exchange exchange, int fd, offset, left):
    """By way of the transport, for a socket that carries something else than the file's bytes."""
    try:
        while left:
            await _writable(outlet, exchange)
            if exchange.lost:
                raise ClientDisconnected("the client has disconnected")
            most = min(left, FLUSH_SIZE)
            data = os.read(fd, most) if offset is None else os.pread(fd, most, offset)
            if not data:
                raise OSError("the file became shorter while it was sent")
            outlet.write_object(data)
            left -= len(data)
            if offset is not None:
                offset += len(data)
            if left:
                await asyncio.sleep(0)
    finally:
        exchange.body_sent -= left


async def _socket_writable(Outlet outlet, Exchange exchange, int target):
    loop = exchange.loop
    waiter = new_signal(loop)
    duplicate = os.dup(target)
    if exchange.senders is None:
        exchange.senders = []
    exchange.senders.append(waiter)
    outlet.write_stalled(True)
    try:
        loop.add_writer(duplicate, _set, waiter)
        await waiter
    finally:
        outlet.write_stalled(False)
        loop.remove_writer(duplicate)
        os.close(duplicate)
        exchange.senders.remove(waiter)


def _set(Signal waiter):
    waiter.wake(False)
