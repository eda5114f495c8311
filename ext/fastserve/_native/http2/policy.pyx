"""What an operator grants HTTP/2 connections."""

cimport cython

cdef enum:
    LEAST_WINDOW = 65535            # RFC 9113 section 6.9.2: a connection's can be no smaller
    MOST_WINDOW = 0x7fffffff
    LEAST_FRAME = 16384             # RFC 9113 section 4.2
    MOST_FRAME = (1 << 24) - 1
    MOST_TABLE = 1 << 20


@cython.final
cdef class Http2Policy:
    """Numbers outside what RFC 9113 allows raise ValueError."""

    def __init__(self, *, bint only=False, max_streams=128, stream_window=262144,
                 most_stream_window=4194304, connection_window=1048576,
                 most_connection_window=16777216, frame_size=16384, table_size=4096,
                 limit_resets=200, limit_control_frames=1000):
        for name, value, least, most in (
                ("number of concurrent streams", max_streams, 1, MOST_WINDOW),
                ("window of a stream", stream_window, 1, MOST_WINDOW),
                ("window of a connection", connection_window, LEAST_WINDOW, MOST_WINDOW),
                ("size of frames", frame_size, LEAST_FRAME, MOST_FRAME),
                ("size of the header table", table_size, 0, MOST_TABLE),
                ("limit of resets", limit_resets, 1, MOST_WINDOW),
                ("limit of control frames", limit_control_frames, 1, MOST_WINDOW)):
            if not least <= value <= most:
                raise ValueError(f"the {name} must be from {least} to {most}, not {value}")
        self.only = only
        self.max_streams = max_streams
        self.stream_window = stream_window
        self.most_stream_window = min(max(most_stream_window, stream_window), MOST_WINDOW)
        self.connection_window = connection_window
        self.most_connection_window = min(max(most_connection_window, connection_window),
                                          MOST_WINDOW)
        self.frame_size = frame_size
        self.table_size = table_size
        self.limit_resets = limit_resets
        self.limit_control_frames = limit_control_frames
