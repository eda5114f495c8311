"""Early hints: the browser fetches the style while the page is still being made. Raw ASGI.

fastserve examples/early_hints.py
curl --http2-prior-knowledge -i http://127.0.0.1:8000
Browsers take them over HTTPS and HTTP/2 only: --ssl-certfile, --ssl-keyfile.
"""

import asyncio

PAGE = b'<!doctype html><link rel="stylesheet" href="/style.css"><p>Hello, world!\n'
STYLE = b"p { color: teal }\n"


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/style.css":
        await answer(send, b"text/css", STYLE)
        return
    if "http.response.early_hint" in scope["extensions"]:
        links = [b"</style.css>; rel=preload; as=style"]
        await send({"type": "http.response.early_hint", "links": links})
    await asyncio.sleep(0.1)  # a database, say
    await answer(send, b"text/html; charset=utf-8", PAGE)


async def answer(send, kind, data):
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": data})
