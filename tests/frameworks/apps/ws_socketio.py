"""Socket.IO: polling that becomes a WebSocket, rooms, acknowledgements, binary events."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if auth == "stranger":
        raise socketio.exceptions.ConnectionRefusedError("not you")
    await server.save_session(sid, {"name": auth})


@server.event
async def enter(sid: str, room: str) -> str:
    await server.enter_room(sid, room)
    return server.transport(sid)


@server.event
async def say(sid: str, room: str, text: str) -> None:
    name = (await server.get_session(sid))["name"]
    await server.emit("said", {"name": name, "text": text}, room=room)


@server.event
async def blob(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"size": len(data["blob"]), "back": data["blob"][::-1]}
