from typing_extensions import disjoint_base

from fastserve._native.outlet import Outlet

@disjoint_base
class Tunnel(Outlet): ...
