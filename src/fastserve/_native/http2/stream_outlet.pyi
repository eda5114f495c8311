from typing import final

from fastserve._native.http2.tunnel import Tunnel

@final
class StreamOutlet(Tunnel): ...
