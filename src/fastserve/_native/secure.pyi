from typing import final

from fastserve._native.front import Front
from fastserve._native.outlet import Outlet
from fastserve._native.shared import Shared
from fastserve._native.tls import Context

@final
class TlsFront(Front):
    def __init__(self, shared: Shared, outlet: Outlet, context: Context) -> None: ...
