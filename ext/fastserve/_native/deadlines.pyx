"""What is due when: queues in order of due time, swept by one tick.

No connection has a timer. Whoever owns the queues calls `sweep` about once a
second, so a deadline fires up to one tick late and never early.
"""

cimport cython
from libc.stdint cimport int64_t


cdef extern from "fs_clock.h" nogil:
    int64_t fs_clock_monotonic_us()
    int64_t fs_clock_monotonic_coarse_ms()
    int64_t fs_clock_wall_seconds()
    int64_t fs_clock_wall_ms()


cdef int64_t monotonic_ms() noexcept:
    """Coarse (a few milliseconds) and cheap; for deadlines."""
    return fs_clock_monotonic_coarse_ms()


cdef int64_t monotonic_us() noexcept:
    """Exact; for durations that people read."""
    return fs_clock_monotonic_us()


cdef int64_t wall_seconds() noexcept:
    return fs_clock_wall_seconds()


cdef int64_t wall_ms() noexcept:
    """Exact; for times that people read."""
    return fs_clock_wall_ms()


cdef class Expirable:

    cdef int expired(self, int kind) except -1:
        raise NotImplementedError


@cython.final
cdef class DeadlineQueue:

    def __cinit__(self):
        self.ring.before = self.ring.after = &self.ring

    def __dealloc__(self):
        """What is still in it may live on: a collector ends things in any order."""
        while self.ring.after != &self.ring:
            unlink(self.ring.after)

    def __init__(self, int kind, double seconds):
        if not 0 <= seconds < 1e9:
            raise ValueError(f"a timeout is 0 or more seconds, not {seconds}")
        self.kind = kind
        self.span = <int64_t>(seconds * 1000)
        if seconds > 0 and self.span == 0:
            self.span = 1

    cdef int add(self, Link *link, int64_t now) except -1:
        """Take the link out of the queue it is in, and append it here."""
        unlink(link)
        if self.span == 0:
            return 0
        link.due = now + self.span
        link.before = self.ring.before
        link.after = &self.ring
        link.before.after = link
        self.ring.before = link
        return 0

    cdef int sweep(self, int64_t now) except -1:
        """Tell the owner of every link that is due, oldest first.

        An owner may take out or add any link meanwhile. What an owner adds is due
        in the future, so the loop ends.
        """
        cdef Link *link
        cdef Expirable owner
        while self.ring.after != &self.ring:
            link = self.ring.after
            if link.due > now:
                break
            unlink(link)
            owner = <Expirable>link.owner
            owner.expired(self.kind)
        return 0
