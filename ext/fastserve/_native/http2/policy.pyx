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
    """The arguments are the options of --http2. Numbers that RFC 9113 forbids raise ValueError."""

    def __init__(self, *, bint only=False, max_concurrent_streams=128,
                 initial_stream_window_size=262144, max_stream_window_size=4194304,
                 initial_connection_window_size=1048576, max_connection_window_size=16777216,
                 max_frame_size=16384, header_table_size=4096, limit_resets=200,
                 limit_control_frames=1000, double settings_timeout=10.0):
        for name, value, least, most in (
                ("number of concurrent streams", max_concurrent_streams, 1, MOST_WINDOW),
                ("window of a stream", initial_stream_window_size, 1, MOST_WINDOW),
                ("window of a connection", initial_connection_window_size, LEAST_WINDOW,
                 MOST_WINDOW),
                ("size of frames", max_frame_size, LEAST_FRAME, MOST_FRAME),
                ("size of the header table", header_table_size, 0, MOST_TABLE),
                ("limit of resets", limit_resets, 1, MOST_WINDOW),
                ("limit of control frames", limit_control_frames, 1, MOST_WINDOW)):
            if not least <= value <= most:
                raise ValueError(f"the {name} must be from {least} to {most}, not {value}")
        self.only = only
        self.max_streams = max_concurrent_streams
        self.stream_window = initial_stream_window_size
        self.most_stream_window = min(max(max_stream_window_size, self.stream_window), MOST_WINDOW)
        self.connection_window = initial_connection_window_size
        self.most_connection_window = min(max(max_connection_window_size, self.connection_window),
                                          MOST_WINDOW)
        self.frame_size = max_frame_size
        self.table_size = header_table_size
        self.limit_resets = limit_resets
        self.limit_control_frames = limit_control_frames
        self.settings_timeout = settings_timeout
