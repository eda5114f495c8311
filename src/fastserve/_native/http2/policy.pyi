from typing import final

@final
class Http2Policy:
    only: bool
    max_streams: int
    stream_window: int
    most_stream_window: int
    connection_window: int
    most_connection_window: int
    frame_size: int
    table_size: int
    limit_resets: int
    limit_control_frames: int
    settings_timeout: float
    def __init__(
        self,
        *,
        only: bool = False,
        max_concurrent_streams: int = 128,
        initial_stream_window_size: int = 262144,
        max_stream_window_size: int = 4194304,
        initial_connection_window_size: int = 1048576,
        max_connection_window_size: int = 16777216,
        max_frame_size: int = 16384,
        header_table_size: int = 4096,
        limit_resets: int = 200,
        limit_control_frames: int = 1000,
        settings_timeout: float = 10.0,
    ) -> None: ...
