"""Server-sent events, raw ASGI: a tick a second until the client leaves or the server stops.

fastserve examples/events.py
curl -N http://127.0.0.1:8000
"""

import asyncio


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    gone = asyncio.create_task(wait_for_disconnect(receive))
    count = 0
    while not gone.done():
        body = b"data: %d\n\n" % count
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.wait([gone], timeout=1.0)
        count += 1
    await send({"type": "http.response.body", "body": b""})


async def wait_for_disconnect(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
