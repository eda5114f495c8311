from typing_extensions import disjoint_base

from fastserve._native.asgi.exchange import Sink

@disjoint_base
class ResponseHalf(Sink): ...
