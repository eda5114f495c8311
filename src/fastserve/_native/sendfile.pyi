from fastserve._native.asgi.exchange import Exchange
from fastserve._native.board import Row
from fastserve._native.outlet import Outlet

AT_ONCE: int

async def send_file(
    outlet: Outlet, exchange: Exchange, row: Row, fd: int, offset: int, count: int
) -> None: ...
