"""Budgets against floods of frames that cost the peer nothing, RFC 9113 section 10.5."""

from libc.stdint cimport int64_t, uint32_t

from .policy cimport Http2Policy


# What is counted, each with a budget of its own. Policy.limit_resets is that of the first two.
cdef enum GuardKind:
    GUARD_RESET = 0                 # streams the peer resets before their response is complete
    GUARD_ERROR                     # streams that we reset for what the peer did
    GUARD_SETTINGS
    GUARD_PING
    GUARD_EMPTY                     # frames without content that end nothing
    GUARD_WINDOW                    # WINDOW_UPDATE that nothing earned
    GUARD_PRIORITY                  # PRIORITY and PRIORITY_UPDATE that nothing earned
    GUARD_UNKNOWN                   # frames of a type that nobody knows
    GUARD_KINDS


cdef class Guard:
    cdef int64_t reset_cost                     # ns that one of a kind takes of the span
    cdef int64_t control_cost
    cdef int64_t[8] due                         # ns: when the budget is whole again
    cdef uint32_t[8] earned                     # how many are free
    cdef int exceeded                           # the kind that was refused; GUARD_KINDS: none was

    cdef int note(self, int kind, int64_t now_ms) except -1
    cdef int refuse(self, int kind) except -1

    # `n` more of a kind are free: what the peer may well answer to what we did.
    cdef inline void earn(self, int kind, uint32_t n) noexcept:
        if self.earned[kind] < 1 << 30:
            self.earned[kind] += n
