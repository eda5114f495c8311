from typing_extensions import disjoint_base

from fastserve._native.outlet import Outlet
from fastserve._native.shared import Shared

@disjoint_base
class Front:
    def __init__(self, shared: Shared, outlet: Outlet) -> None: ...
