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
    def __init__(
        self,
        *,
        only: bool = False,
        max_streams: int = 128,
        stream_window: int = 262144,
        most_stream_window: int = 4194304,
        connection_window: int = 1048576,
        most_connection_window: int = 16777216,
        frame_size: int = 16384,
        table_size: int = 4096,
        limit_resets: int = 200,
        limit_control_frames: int = 1000,
    ) -> None: ...
