"""HTTP/1.1 requests as events of a byte stream, RFC 9112. Sans-IO."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ..buffer cimport Input
from ..headers cimport HeaderBlock
from ..leaves cimport fs_chunked, fs_http1_head, fs_http1_limits, fs_http1_resume, fs_target


# What `next` found.
cdef enum Event:
    EVENT_MORE = 0                  # everything given so far is used or waits for more
    EVENT_HEAD                      # a request head: the fields below say which
    EVENT_BODY                      # body_p[:body_n] is a run of the body
    EVENT_END                       # the message is complete
    EVENT_HTTP2                     # the client speaks HTTP/2: nothing of what waits is used

cdef enum ParserState:
    STATE_HEAD = 0
    STATE_LENGTH
    STATE_CHUNKED
    STATE_TRAILERS
    STATE_DEAD                      # after an error: nothing more is read


# What a worker sets once and every parser reads.
cdef class ParserLimits:
    cdef fs_http1_limits head
    cdef fs_http1_limits trailers
    cdef uint64_t body              # 0: no limit


cdef class RequestParser(Input):
    cdef ParserLimits limits
    cdef ParserState state
    # the head; offsets are relative to head_p, which is good until the next feed or stash
    cdef const uint8_t *head_p
    cdef fs_http1_head head
    cdef fs_target target
    cdef fs_http1_resume resume
    cdef HeaderBlock headers
    cdef uint8_t empty_lines
    cdef bint takes_http2           # the preface of HTTP/2 is an event, not an error
    cdef bint only_http2            # and whatever comes is taken for it
    # framing and connection facts of the head
    cdef bint close_asked           # Connection: close
    cdef bint keep_alive_asked      # Connection: keep-alive
    cdef bint upgrade_asked         # Connection: upgrade
    cdef bint has_upgrade           # an Upgrade field, whatever it names
    cdef bint expect_continue
    cdef bint accepts_trailers      # TE: trailers
    cdef bint chunked
    cdef bint has_length
    cdef uint32_t forwarding        # which fields of forwarding there are, by field_bit
    cdef int host_index             # which pair is Host; -1: none
    cdef uint64_t length            # Content-Length
    # the body
    cdef uint64_t left              # STATE_LENGTH: bytes still to come
    cdef uint64_t body_seen
    cdef fs_chunked chunk
    cdef const uint8_t *body_p
    cdef Py_ssize_t body_n
    cdef list trailer_pairs         # of the last chunked message, or None

    cdef Event next(self) except? EVENT_MORE
    cdef int take_length(self, Py_ssize_t n) except -1
    cdef bint keep_alive(self) noexcept
    cdef object body_bytes(self)
    cdef bytes whole_target(self)
    cdef bytes raw_path(self)
    cdef bytes query_string(self)
    cdef list header_list(self)
    cdef int host_at(self) noexcept
    cdef int forget(self) except -1
    cdef int64_t body_taken(self) noexcept

    cdef Event read_head(self) except? EVENT_MORE
    cdef Event read_length(self) noexcept
    cdef Event read_chunked(self) except? EVENT_MORE
    cdef Event read_trailers(self) except? EVENT_MORE
    cdef int load_facts(self) except -1
    cdef int set_framing(self, int content_length_index, int coding_index) except -1
    cdef int load_target(self) except -1
    cdef int check_message(self) except -1


# Methods the server itself looks at; `method_name` answers these very objects.
cdef str GET, POST, HEAD, CONNECT

cdef str method_name(const uint8_t *p, Py_ssize_t n)
