from typing import final

from fastserve._native.asgi.scope import ScopeTemplate
from fastserve._native.http2.streams import Streams
from fastserve._native.outlet import Outlet
from fastserve._native.shared import Shared

@final
class Http2Channel(Streams):
    def __init__(self, shared: Shared, outlet: Outlet, template: ScopeTemplate) -> None: ...
