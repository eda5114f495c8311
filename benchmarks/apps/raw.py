"""Raw ASGI applications, one per workload: the server does the work, not a framework."""

from __future__ import annotations

CHUNKS = 100
CHUNK = b"x" * 1024
PIECE = b"x" * 65536


async def lifespan(receive, send):
    """Agrees to the lifespan protocol, so that no server logs a missing one."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def hello(scope, receive, send):
    """Answers every request with the same 13 bytes."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, World!"})


async def length(scope, receive, send):
    """Reads the whole body and answers its length in decimal digits."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    answer = b"%d" % size
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def stream(scope, receive, send):
    """Sends 100 chunks of 1 KiB, each in a message of its own, without content-length."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def download(scope, receive, send):
    """Sends 1 MiB in 16 messages, with its length, as applications that send files do."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"1048576")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(15):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": PIECE})
