"""Budgets against floods of frames that cost the peer nothing, RFC 9113 section 10.5.

Each kind has a bucket that is full at first and fills evenly within 30 seconds. It is kept as one
number, the time at which it is full again: what is noted moves that time on by its share of the
30 seconds, and above 30 seconds from now nothing is left.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from ..leaves cimport FS_H2_ENHANCE_YOUR_CALM
from .policy cimport Http2Policy

from fastserve._native.errors import Http2Error

cdef int64_t SPAN = 30_000_000_000
cdef int64_t NS_PER_MS = 1_000_000

_NAMES = ("reset", "error", "settings", "ping", "empty", "window", "priority", "unknown")
_REASONS = (
    "too many streams reset", "too many streams in error", "too many SETTINGS", "too many PINGs",
    "too many empty frames", "too many WINDOW_UPDATEs", "too many PRIORITY frames",
    "too many unknown frames",
)


@cython.final
cdef class Guard:
    """One connection's budgets. `now_ms` is of any clock that does not go back."""

    def __init__(self, Http2Policy policy not None):
        self.reset_cost = SPAN // policy.limit_resets
        self.control_cost = SPAN // policy.limit_control_frames
        self.exceeded = GUARD_KINDS

    cdef int note(self, int kind, int64_t now_ms) except -1:
        """One of a kind has come; raises Http2Error if that is one too many."""
        cdef int64_t now = now_ms * NS_PER_MS
        cdef int64_t due = self.due[kind]
        if self.earned[kind] > 0:
            self.earned[kind] -= 1
            return 0
        if due < now:
            due = now
        due += self.reset_cost if kind <= GUARD_ERROR else self.control_cost
        if due - now > SPAN:
            return self.refuse(kind)
        self.due[kind] = due
        return 0

    cdef int refuse(self, int kind) except -1:
        self.exceeded = kind
        raise Http2Error(FS_H2_ENHANCE_YOUR_CALM, _REASONS[kind])

    # For tests: the same by names.

    def count(self, str kind, int64_t now_ms, int times=1):
        """Note `times` of a kind."""
        cdef int which = _NAMES.index(kind)
        for _ in range(times):
            self.note(which, now_ms)

    def earn_more(self, str kind, uint32_t n):
        self.earn(_NAMES.index(kind), n)

    @property
    def spent(self):
        """The kind whose budget was used up last; None: none was."""
        return _NAMES[self.exceeded] if self.exceeded < GUARD_KINDS else None
