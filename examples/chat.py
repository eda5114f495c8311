"""A chat over WebSocket, raw ASGI: what one says, all of this process hear.

fastserve examples/chat.py
Open http://127.0.0.1:8000 in two windows.
"""

import contextlib

PAGE = b"""<!doctype html><title>Chat</title>
<form><input autofocus placeholder="Say something"></form><pre></pre>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  const input = document.querySelector("input"), said = document.querySelector("pre");
  socket.onmessage = event => said.append(event.data + "\\n");
  document.forms[0].onsubmit = event => {
    event.preventDefault();
    socket.send(input.value);
    input.value = "";
  };
</script>"""

members = set()


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["type"] == "http":
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE})
    else:
        raise NotImplementedError(scope["type"])


async def chat(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    members.add(send)
    try:
        await tell_all(f"{len(members)} here")
        while (event := await receive())["type"] == "websocket.receive":
            if event.get("text"):
                await tell_all(event["text"])
    finally:
        members.discard(send)
    await tell_all(f"{len(members)} here")


async def tell_all(text):
    for member in list(members):
        # One who has just left is no reason not to tell the others.
        with contextlib.suppress(OSError):
            await member({"type": "websocket.send", "text": text})
