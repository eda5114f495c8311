from collections.abc import Awaitable, MutableMapping
from typing import Any, final

from fastserve._native.asgi.call import Call
from fastserve._native.channel import Channel

class Sink(Channel): ...

@final
class Exchange(Call):
    def receive(self) -> Awaitable[dict[str, Any]]: ...
    def send(self, message: MutableMapping[str, Any]) -> Awaitable[None]: ...
