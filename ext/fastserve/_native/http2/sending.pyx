"""The sending half of HTTP/2: who sends next, and in frames of what size.

Content that fits both windows is written at once. What does not waits with its stream, as
the application gave it, and is made into frames when there is room: by urgency (RFC 9218),
among equals in turn, or one after the other where their client asked for that.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t

from ..buffer cimport WriteBuffer
from ..deadlines cimport Link, unlink
from ..leaves cimport FS_H2_DATA, FS_H2_END_STREAM, FS_H2_HEAD_LEN
from ..outlet cimport Outlet
from .guard cimport GUARD_WINDOW
from .stream cimport Carrier, Http2Stream
from .writer cimport write_frame_head

cdef enum:
    BATCH = 131072                  # bytes of frames that go to the transport at once
    FRAME_MOST = 32768              # bytes of a frame of ours, whatever the peer takes: others wait


cdef class Sending(Carrier):

    def __cinit__(self):
        cdef int i
        for i in range(RINGS):
            self.ready[i].before = self.ready[i].after = &self.ready[i]

    cdef int send_data(self, Http2Stream stream, object data, Py_ssize_t n, bint ends) except -1:
        """Send content of exactly bytes, now or when there is room. `ends`: it is the last."""
        if self.fits(stream, n):
            self.write_data(stream, PyBytes_AS_STRING(data), n, ends)
            return self.outlet.settle()
        if n:
            if stream.waiting is None:
                stream.waiting = []
            stream.waiting.append(data)
            stream.waiting_n += n
            if stream.write_link.before == NULL:
                stream.stalls = 0
                stream.watch()
        stream.end_waiting = ends
        self.make_ready(stream)
        return self.pump()

    cdef int write_data(self, Http2Stream stream, const char *p, Py_ssize_t n,
                        bint ends) except -1:
        cdef WriteBuffer out = self.outlet.buffer()
        cdef Py_ssize_t most = min(self.frame_most, <Py_ssize_t>FRAME_MOST)
        cdef Py_ssize_t size
        stream.send_room -= n
        self.send_room -= n
        out.reserve(n + (n // most + 1) * FS_H2_HEAD_LEN)
        while True:
            size = min(n, most)
            n -= size
            write_frame_head(out, <uint32_t>size, FS_H2_DATA,
                             FS_H2_END_STREAM if ends and n == 0 else 0, stream.id)
            out.write(p, size)
            p += size
            # The peer answers a frame with two of its own at most.
            self.guard.earn(GUARD_WINDOW, 2)
            if n == 0:
                break
        if ends:
            stream.local_done = True
        return 0

    # Who sends next ----------------------------------------------------------

    cdef int pump(self) except -1:
        """Write frames of what waits while the peer and the transport take them."""
        cdef Outlet outlet = self.outlet
        if self.pumping or outlet is None:
            return 0
        if self.ready_mask:
            self.pumping = True
            try:
                while self.ready_mask and self.send_room > 0 and not outlet.writing_paused:
                    self.send_some(self.next_ready())
                    if outlet.out is not None and outlet.out.used >= BATCH:
                        outlet.flush()
            finally:
                self.pumping = False
        if self.peer_done:
            self.lose_stuck()
        # There may be a head to send though its content has to wait.
        return outlet.settle()

    cdef int lose_stuck(self) except -1:
        """The peer is done: it opens no window any more."""
        raise NotImplementedError

    cdef int send_some(self, Http2Stream stream) except -1:
        """A frame of what waits with a stream that is ready."""
        cdef WriteBuffer out = self.outlet.buffer()
        cdef Py_ssize_t size = min(min(stream.waiting_n, stream.send_room),
                                   min(self.send_room, min(self.frame_most, FRAME_MOST)))
        cdef bint last = size == stream.waiting_n and stream.end_waiting
        cdef bint ends = last and not stream.trailers
        write_frame_head(out, <uint32_t>size, FS_H2_DATA, FS_H2_END_STREAM if ends else 0,
                         stream.id)
        self.guard.earn(GUARD_WINDOW, 2)
        # Room for the frames that follow as well, up to a batch.
        out.reserve(size if stream.waiting_n == size
                    else max(size, BATCH + FRAME_MOST - out.used))
        stream.move_waiting(out, size)
        stream.send_room -= size
        self.send_room -= size
        self.moved += size
        if stream.waiting_n == 0:
            self.make_unready(stream)
            unlink(&stream.write_link)
            if last:
                if not ends:
                    self.heads.write_trailers(out, stream.id, stream.trailers, self.frame_most)
                stream.local_done = True
                if stream.tunnel is not None:
                    return stream.tunnel.all_sent()
                if stream.answer_complete():
                    return self.answered(stream)
        elif stream.send_room <= 0:
            self.make_unready(stream)
        elif stream.incremental:
            unlink(&stream.ready_link)
            self.append(stream)
        return stream.wake()

    cdef int make_ready(self, Http2Stream stream) except -1:
        """It has something to send: give it its place if there is room for it."""
        if stream.ready_link.before != NULL or stream.waiting_n == 0 or stream.send_room <= 0:
            return 0
        stream.ring = 2 * stream.urgency + (0 if stream.incremental else 1)
        stream.ready_link.owner = <void *>stream
        self.append(stream)
        self.ready_mask |= <uint32_t>1 << stream.ring
        return 0

    cdef int append(self, Http2Stream stream) noexcept:
        """Last of those in turn; of those one after the other, in the order of their requests."""
        cdef Link *ring = &self.ready[stream.ring]
        cdef Link *before = ring.before
        if not stream.incremental:
            while before != ring and (<Http2Stream>before.owner).id > stream.id:
                before = before.before
        stream.ready_link.before = before
        stream.ready_link.after = before.after
        before.after.before = &stream.ready_link
        before.after = &stream.ready_link
        return 0

    cdef int make_unready(self, Http2Stream stream) noexcept:
        if stream.ready_link.before != NULL:
            unlink(&stream.ready_link)
            if self.ready[stream.ring].after == &self.ready[stream.ring]:
                self.ready_mask &= ~(<uint32_t>1 << stream.ring)
        return 0

    cdef Http2Stream next_ready(self):
        """The first of the most urgent; of one urgency's two rings in turn."""
        cdef int ring = 0
        cdef uint32_t pair
        while not self.ready_mask >> ring & 3:
            ring += 2
        pair = self.ready_mask >> ring & 3
        if pair == 3:
            self.turns ^= <uint32_t>1 << ring
            if self.turns >> ring & 1:
                ring += 1
        elif pair == 2:
            ring += 1
        return <Http2Stream>self.ready[ring].after.owner
