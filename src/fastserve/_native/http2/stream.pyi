from typing import final

from typing_extensions import disjoint_base

from fastserve._native.asgi.exchange import Sink
from fastserve._native.channel import Channel

@disjoint_base
class Carrier(Channel): ...

@final
class Http2Stream(Sink): ...
