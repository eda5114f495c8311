"""A client's HTTP/2 frames as events, RFC 9113 sections 3.4, 4 and 6. Sans-IO."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ..buffer cimport Input, ReadBuffer
from ..leaves cimport fs_h2_head


# What `next` found, and which of the reader's fields tell it.
cdef enum H2Event:
    H2_MORE = 0                     # all that was given is used, or waits for more
    H2_DATA                         # stream, p[:n] a run of the content, charged, ends
    H2_HEADERS                      # stream, p[:n] a whole field block, ends
    H2_PRIORITY                     # stream
    H2_RESET                        # stream, value: the error code
    H2_SETTINGS                     # p[:n], n a multiple of 6; each value is allowed
    H2_SETTINGS_ACK
    H2_PING                         # p[:8]
    H2_PING_ACK                     # p[:8]
    H2_GOAWAY                       # value: the error code
    H2_WINDOW                       # stream (0: the connection), value: the increment, not 0
    H2_PRIORITY_UPDATE              # stream: the one it is about; p[:n] its priority field
    H2_UNKNOWN                      # value: the type; its payload is skipped

cdef enum FrameState:
    STATE_PREFACE = 0
    STATE_HEAD
    STATE_FRAME                     # `head` is read, `need` bytes must be there at once
    STATE_PAD                       # of DATA: the byte that tells how much padding there is
    STATE_DATA                      # `left` bytes of content, then `skip` of padding
    STATE_SKIP                      # `skip` bytes that nobody reads
    STATE_OVER                      # after a connection error: nothing more is read


cdef class FrameReader(Input):
    cdef readonly uint32_t frame_most           # SETTINGS_MAX_FRAME_SIZE that we announced
    cdef readonly uint32_t block_most           # bytes of the frames of a field block
    cdef FrameState state
    # what the last event tells; p is good until the next `next` or `stash`
    cdef uint32_t stream
    cdef uint32_t value
    cdef const uint8_t *content                 # p of the events
    cdef Py_ssize_t size                        # n of the events
    cdef uint32_t charged                       # of DATA: what flow control counts; 0: it was told
    cdef bint ends                              # END_STREAM, with the last run of its frame
    # After H2_MORE: a frame other than DATA, a field block or the preface has begun and is not all
    # there.
    cdef readonly bint begun
    # the frame
    cdef fs_h2_head head
    cdef bint first                             # no frame has come yet
    cdef uint32_t need
    cdef uint32_t left
    cdef uint32_t skip
    cdef uint32_t due                           # what `charged` is to be with the next run
    cdef uint8_t early_n            # bytes of preface or head that a read ended in
    cdef uint8_t early[9]
    # the field block
    cdef ReadBuffer block                       # of more than one frame; None: there was none yet
    cdef uint32_t block_stream                  # whose block is under way; 0: none
    cdef uint32_t block_n                       # bytes of its frames so far
    cdef uint16_t block_frames
    cdef bint block_ends
    cdef bint block_given                       # the last event lent `block`

    cdef H2Event next(self) except? H2_MORE

    cdef bint pass_over(self) except -1
    cdef bint read_preface(self) except -1
    cdef bint read_head(self) except -1
    cdef H2Event begin_frame(self) except? H2_MORE
    cdef int begin_block(self) except -1
    cdef bint read_padding(self) except -1
    cdef H2Event read_data(self) noexcept
    cdef bint skip_rest(self) noexcept
    cdef H2Event end_frame(self) except? H2_MORE
    cdef H2Event read_block(self) except? H2_MORE
    cdef H2Event read_settings(self) except? H2_MORE
    cdef H2Event wait(self) noexcept
    cdef int refuse(self, int answer) except -1
    cdef int fail(self, int code, str reason, uint32_t stream) except -1
