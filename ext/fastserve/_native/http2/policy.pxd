"""What an operator grants HTTP/2 connections."""

from libc.stdint cimport uint32_t


cdef class Http2Policy:
    cdef readonly bint only         # HTTP/2 and nothing else
    cdef readonly uint32_t max_streams
    cdef readonly uint32_t stream_window        # bytes of a request body on their way, at first
    cdef readonly uint32_t most_stream_window   # and at most
    cdef readonly uint32_t connection_window    # the same of all bodies of a connection
    cdef readonly uint32_t most_connection_window
    cdef readonly uint32_t frame_size           # SETTINGS_MAX_FRAME_SIZE
    cdef readonly uint32_t table_size           # SETTINGS_HEADER_TABLE_SIZE
    cdef readonly uint32_t limit_resets
    cdef readonly uint32_t limit_control_frames
    cdef readonly double settings_timeout       # seconds; 0: without end
