from fastserve._native.asgi.exchange import Exchange
from fastserve._native.outlet import Outlet

AT_ONCE: int

async def send_file(
    outlet: Outlet, exchange: Exchange, fd: int, offset: int, count: int
) -> None: ...
