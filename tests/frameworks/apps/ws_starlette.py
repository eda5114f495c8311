"""Starlette: endpoints, classes of endpoints, headers of the accept, denial responses."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


async def echo(websocket: WebSocket) -> None:
    """Texts and bytes as they come, behind headers and a cookie of the accept."""
    headers = [(b"x-served-by", b"starlette"), (b"set-cookie", b"seen=yes")]
    await websocket.accept(headers=headers)
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


class Upper(WebSocketEndpoint):
    """JSON in, JSON out, with what the framework has made of the request."""

    encoding = "json"

    async def on_connect(self, websocket: WebSocket) -> None:
        chosen = "upper" if "upper" in websocket.scope["subprotocols"] else None
        await websocket.accept(subprotocol=chosen)

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        answer = {
            "said": data["say"].upper(),
            "name": websocket.path_params["name"],
            "query": websocket.query_params["q"],
            "cookie": websocket.cookies.get("a"),
            "scheme": websocket.url.scheme,
        }
        await websocket.send_json(answer)

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        websocket.app.state.codes.put_nowait(close_code)


async def denied(websocket: WebSocket) -> None:
    """A whole response instead of a WebSocket."""
    body = {"error": "no such room"}
    response = JSONResponse(body, status_code=404, headers={"x-why": "denied"})
    await websocket.send_denial_response(response)


async def forbidden(websocket: WebSocket) -> None:
    raise HTTPException(status_code=401, detail="who are you?", headers={"x-realm": "rooms"})


async def refused(websocket: WebSocket) -> None:
    await websocket.close(code=4003)


async def broken(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    raise LookupError("the application's own fault")


async def unhandled(websocket: WebSocket) -> None:
    """Lets the disconnect go through, and writes to whoever has left."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as gone:
        websocket.app.state.codes.put_nowait(gone.code)
        raise


async def codes(request: Any) -> JSONResponse:
    """The code of the next disconnect that an endpoint has seen."""
    code = await asyncio.wait_for(request.app.state.codes.get(), 10)
    return JSONResponse(code)


app = Starlette(
    routes=[
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/upper/{name}", Upper),
        WebSocketRoute("/denied", denied),
        WebSocketRoute("/forbidden", forbidden),
        WebSocketRoute("/refused", refused),
        WebSocketRoute("/broken", broken),
        WebSocketRoute("/unhandled", unhandled),
        Route("/codes", codes),
    ]
)
app.state.codes = asyncio.Queue()
