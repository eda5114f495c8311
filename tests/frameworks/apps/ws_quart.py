"""Quart: `websocket` as a global, headers and subprotocol of the accept, a refusal."""

from __future__ import annotations

from quart import Quart, abort, websocket

app = Quart(__name__)


@app.websocket("/echo")
async def echo() -> None:
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/json/<name>")
async def documents(name: str) -> None:
    await websocket.accept(headers={"x-served-by": "quart"}, subprotocol="documents")
    while True:
        document = await websocket.receive_json()
        await websocket.send_json({"name": name, "q": websocket.args["q"], "got": document})
        if document == "enough":
            await websocket.close(4000, "as you like")
            return


@app.websocket("/forbidden")
async def forbidden() -> None:
    abort(403)
