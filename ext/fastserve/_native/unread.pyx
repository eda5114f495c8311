"""What waits in the kernel: to be read by us, or to be taken by a peer."""

import select
import struct

try:
    import fcntl
    import termios
except ImportError:
    fcntl = None            # Windows

# Windows has none.
cdef object _poll = getattr(select, "poll", None)


cdef list unread(list transports):
    """Those on whose socket something waits, the peer's end included; without waiting.

    None of them where the system cannot say. What has no socket has nothing unread.
    """
    cdef dict by_number = {}
    if _poll is None or not transports:
        return []
    poller = _poll()
    for transport in transports:
        sock = transport.get_extra_info("socket")
        number = -1 if sock is None else sock.fileno()
        if number >= 0:
            by_number[number] = transport
            poller.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poller.poll(0)]


cdef Py_ssize_t untaken(object transport):
    """Bytes written to the transport's socket that its peer has not taken yet.

    0 where the system cannot say. Linux can: SIOCOUTQ, which has the number of TIOCOUTQ.
    """
    sock = transport.get_extra_info("socket")
    if fcntl is None or sock is None or sock.fileno() < 0:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return max(0, struct.unpack("i", answer)[0])
