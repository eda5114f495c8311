"""Litestar: a handler, and a listener that takes and gives data."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, WebSocket, websocket, websocket_listener
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import WebsocketListener


@websocket("/echo")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


@websocket_listener("/sum")
async def total(data: list[int]) -> dict[str, int]:
    return {"sum": sum(data)}


class Greeter(WebsocketListener):
    path = "/greet/{name:str}"

    async def on_accept(self, socket: WebSocket[Any, Any, Any], name: str) -> None:
        await socket.send_text(f"hello {name}")

    async def on_receive(self, data: str, name: str) -> str:
        return f"{name} said {data}"


@websocket("/guarded")
async def guarded(socket: WebSocket[Any, Any, Any]) -> None:
    raise NotAuthorizedException("not you")


app = Litestar([echo, total, Greeter, guarded])
