"""HTTP/2 over a connection: frames in, streams, frames out."""

from libc.stdint cimport uint32_t

from ..asgi.scope cimport ScopeTemplate
from ..deadlines cimport Link
from ..outlet cimport Outlet
from ..shared cimport Shared
from .frames cimport FrameReader, H2Event
from .heads cimport HeadReader, RequestHead
from .stream cimport Http2Stream
from .streams cimport Streams


cdef class Http2Channel(Streams):
    cdef FrameReader reader
    cdef HeadReader requests
    cdef list unstarted             # streams whose application waits for the end of this read
    cdef bint acknowledged          # our settings are
    cdef uint32_t events            # of the reader so far
    cdef uint32_t events_before     # when a part of a frame began to wait for the rest
    cdef bint heard                 # the client's settings have come
    cdef Link settings_link         # in WAIT_SETTINGS

    cdef int begin(self) except -1
    cdef int begin_upgraded(self, RequestHead head, bytes settings) except -1
    cdef int take_read(self) except -1
    cdef int process(self) except -1
    cdef int take_events(self) except -1
    cdef int take_control(self, H2Event event) except -1
    cdef int take_headers(self) except -1
    cdef int take_trailers(self, Http2Stream stream) except -1
    cdef int take_data(self) except -1
    cdef int take_content(self, Http2Stream stream) except -1
    cdef int take_window(self) except -1
    cdef int take_reset(self) except -1
    cdef int take_priority(self) except -1
    cdef int begin_request(self, uint32_t id, bint ends) except -1
    cdef int fill_scope(self, Http2Stream stream, RequestHead head) except -1
    cdef int end_body(self, Http2Stream stream) except -1
    cdef int start(self, Http2Stream stream) except -1
    cdef int say_last(self) except -1
