"""What is due when: queues in order of due time, swept by one tick.

Every queue has one fixed span, so appending keeps it in order and nothing is
ever sorted. A link lives inside the object it belongs to and is in at most one
queue; taking it out costs four pointer writes.
"""

from libc.stdint cimport int64_t

cdef struct Link:
    Link *before                    # NULL while in no queue
    Link *after
    int64_t due                     # milliseconds of the monotonic clock
    void *owner                     # borrowed: an Expirable that unlinks before it dies


cdef class Expirable:
    # Called from the tick with the queue's kind once the link has left its queue.
    cdef int expired(self, int kind) except -1


cdef class DeadlineQueue:
    cdef Link ring                  # sentinel: ring.after is due first
    cdef int64_t span               # milliseconds; 0: the queue is off and stays empty
    cdef int kind

    cdef int add(self, Link *link, int64_t now) except -1
    cdef int sweep(self, int64_t now) except -1
    cdef inline bint empty(self):
        return self.ring.after == &self.ring


cdef inline void unlink(Link *link) noexcept:
    if link.before != NULL:
        link.before.after = link.after
        link.after.before = link.before
        link.before = link.after = NULL


# How fast something comes that somebody waits for.
cdef struct Pace:
    int64_t come                    # bytes
    int64_t waited                  # milliseconds that somebody waited for them
    int64_t since                   # monotonic_ms since which somebody waits; 0: nobody does


# Ends a wait. Whether all has come slower than `least` bytes a second, the first `grace`
# milliseconds aside. Any sign of life ends a wait, but only what is counted as come counts.
cdef inline bint too_slow(Pace *pace, int64_t now, int64_t least, int64_t grace) noexcept:
    pace.waited += now - pace.since
    pace.since = 0
    return (pace.waited - grace) * least > pace.come * 1000


cdef int64_t monotonic_ms() noexcept
cdef int64_t monotonic_us() noexcept
cdef int64_t wall_seconds() noexcept
cdef int64_t wall_ms() noexcept
