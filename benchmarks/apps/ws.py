"""Raw ASGI WebSocket applications: an echo, and a broadcast to all who subscribed."""

from __future__ import annotations

from raw import lifespan

subscribers = set()


async def echo(scope, receive, send):
    """Sends every message back as it came, text as text and bytes as bytes."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def broadcast(scope, receive, send):
    """Sends what comes over /publish to everyone connected to another path."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    await receive()
    if scope["path"] != "/publish":
        return await subscribe(receive, send)
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        copy = {"type": "websocket.send", "text": message["text"]}
        for deliver in tuple(subscribers):
            await deliver(copy)


async def subscribe(receive, send):
    # Before it is accepted, so that who is answered is a subscriber.
    subscribers.add(send)
    try:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    finally:
        subscribers.discard(send)
