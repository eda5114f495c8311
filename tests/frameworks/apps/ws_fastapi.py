"""FastAPI: a chat of rooms, with a token that a dependency looks at."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated

from fastapi import Cookie, Depends, FastAPI, Query, WebSocket, WebSocketException, status

app = FastAPI()
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def user(
    token: Annotated[str | None, Query()] = None, session: Annotated[str | None, Cookie()] = None
) -> str:
    if token is None and session is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION, reason="no token")
    return token or f"{session} of a cookie"


User = Annotated[str, Depends(user)]


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, name: User, limit: int = 100) -> None:
    """Everybody in the room hears everything. Who leaves is not noticed here, as in many a
    beginner's program: the framework's exception goes through to the server."""
    await websocket.accept()
    rooms[room].add(websocket)
    try:
        await websocket.send_json({"room": room, "you": name, "here": len(rooms[room])})
        while True:
            text = await websocket.receive_text()
            if len(text) > limit:
                raise WebSocketException(code=1009, reason=f"more than {limit}")
            for member in list(rooms[room]):
                await member.send_text(f"{name}: {text}")
    finally:
        rooms[room].discard(websocket)
        for member in list(rooms[room]):
            await member.send_text(f"{name} left")


@app.websocket("/numbers/{number}")
async def numbers(websocket: WebSocket, number: int) -> None:
    """The number is validated: what is none never gets here."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_json(number * int(text))


@app.get("/rooms")
async def overview() -> dict[str, int]:
    return {room: len(members) for room, members in rooms.items() if members}
