"""Which transports have something to be read."""

import select

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
