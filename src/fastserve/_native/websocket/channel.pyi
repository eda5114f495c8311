from typing import final

from fastserve._native.asgi.websocket import MessageSink

@final
class WebSocketChannel(MessageSink): ...
