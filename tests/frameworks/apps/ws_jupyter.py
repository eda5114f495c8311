"""Messages of Jupyter kernels: v1.kernel.websocket.jupyter.org.

A message is the channel's name and the parts of a kernel's message (header, parent header,
metadata, content, buffers) behind a table of where each begins: the number of offsets and the
offsets themselves, 64-bit and little-endian.
"""

from __future__ import annotations

import itertools
import json
import struct
from typing import Any

SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"


def pack(channel: str, parts: list[bytes]) -> bytes:
    pieces = [channel.encode(), *parts]
    offsets = [8 * (len(pieces) + 2)]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    return b"".join([struct.pack(f"<{len(offsets) + 1}Q", len(offsets), *offsets), *pieces])


def unpack(data: bytes) -> tuple[str, list[bytes]]:
    (count,) = struct.unpack_from("<Q", data)
    offsets = struct.unpack_from(f"<{count}Q", data, 8)
    pieces = [data[start:end] for start, end in itertools.pairwise(offsets)]
    return pieces[0].decode(), pieces[1:]


def answer(parts: list[bytes]) -> list[bytes]:
    """The kernel's reply: the request's header is the parent, its buffers come back reversed."""
    header, _, metadata, content, *buffers = parts
    said = json.loads(header)
    reply = {**said, "msg_type": said["msg_type"].replace("_request", "_reply")}
    code = json.loads(content)["code"]
    result = json.dumps({"status": "ok", "length": len(code)}).encode()
    return [json.dumps(reply).encode(), header, metadata, result, *(b[::-1] for b in buffers)]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    if SUBPROTOCOL not in scope["subprotocols"]:
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    while (event := await receive())["type"] == "websocket.receive":
        channel, parts = unpack(event["bytes"])
        busy = [b'{"msg_type": "status"}', parts[0], b"{}", b'{"execution_state": "busy"}']
        await send({"type": "websocket.send", "bytes": pack("iopub", busy)})
        await send({"type": "websocket.send", "bytes": pack(channel, answer(parts))})
