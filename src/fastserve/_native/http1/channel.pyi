from typing import final

from fastserve._native.asgi.exchange import Sink
from fastserve._native.asgi.scope import ScopeTemplate
from fastserve._native.outlet import Outlet
from fastserve._native.shared import Shared

@final
class Http1Channel(Sink):
    def __init__(self, shared: Shared, outlet: Outlet, template: ScopeTemplate) -> None: ...
