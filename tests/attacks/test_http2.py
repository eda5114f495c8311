"""What only HTTP/2 lets a client do: frames that cost it nothing, tables, windows, streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from support.client import Client
from support.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MOST_WINDOW,
    PING,
    PREFACE,
    PRIORITY,
    RESET,
    SETTINGS,
    WINDOW,
    FrameClient,
    frame,
    settings,
)
from support.victim import MIB, Victim, victim

SOME = 1200
"""More frames than any budget lets pass."""


def attack(server: Victim, **options: bool) -> FrameClient:
    client = FrameClient(server.address, **options)
    server.attackers.append(client)
    return client


def release(server: Victim) -> None:
    """The applications of /late, who do not ask whether their clients are there, go on."""
    with Client(server.address) as client:
        client.get("/told")


def opened(client: FrameClient, stream: int, flags: int = END_STREAM) -> bytes:
    return frame(HEADERS, END_HEADERS | flags, stream, client.request_block("GET", "/late"))


def rapid_reset(client: FrameClient) -> bytes:
    cancelled = int(ErrorCodes.CANCEL).to_bytes(4)
    return b"".join(
        opened(client, number) + frame(RESET, 0, number, cancelled)
        for number in range(1, 2 * SOME, 2)
    )


def made_you_reset(client: FrameClient) -> bytes:
    """Each stream is one that the server has to reset: CVE-2025-8671."""
    return b"".join(
        opened(client, number) + frame(WINDOW, 0, number, bytes(4))
        for number in range(1, 2 * SOME, 2)
    )


def windows_that_overflow(client: FrameClient) -> bytes:
    most = MOST_WINDOW.to_bytes(4)
    return b"".join(
        opened(client, number) + frame(WINDOW, 0, number, most) for number in range(1, 2 * SOME, 2)
    )


def continuations(client: FrameClient) -> bytes:
    return frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1) * SOME


def continuations_with_content(client: FrameClient) -> bytes:
    return frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"\x82" * 1000) * 500


def again(one: bytes) -> Callable[[FrameClient], bytes]:
    return lambda client: opened(client, 1, 0) + one * SOME


FLOODS: dict[str, Callable[[FrameClient], bytes]] = {
    "rapid reset": rapid_reset,
    "MadeYouReset": made_you_reset,
    "windows that overflow": windows_that_overflow,
    "CONTINUATION": continuations,
    "CONTINUATION with content": continuations_with_content,
    "SETTINGS": again(settings({SettingCodes.INITIAL_WINDOW_SIZE: 1})),
    "empty SETTINGS": again(settings()),
    "acknowledgements": again(frame(SETTINGS, 1)),
    "PING": again(frame(PING, payload=bytes(8))),
    "empty DATA": again(frame(DATA, 0, 1)),
    "DATA of padding": again(frame(DATA, 0x8, 1, b"\xff" + bytes(255))),
    "WINDOW_UPDATE": again(frame(WINDOW, 0, 0, (1).to_bytes(4))),
    "WINDOW_UPDATE of a stream": again(frame(WINDOW, 0, 1, (1).to_bytes(4))),
    "PRIORITY": again(frame(PRIORITY, 0, 1, bytes(4) + b"\x01")),
    "PRIORITY_UPDATE": again(frame(16, 0, 0, (1).to_bytes(4) + b"u=1")),
    "unknown": again(frame(0xFA, 0, 0, b"x")),
}


def test_floods_end_their_connections_and_nothing_else(tmp_path: Path) -> None:
    with victim(tmp_path) as server:
        for name, flood in FLOODS.items():
            client = attack(server)
            try:
                client.send(flood(client))
            except (BrokenPipeError, ConnectionResetError):
                continue  # ended before all of it was there
            last = client.goaway()
            assert last.code == ErrorCodes.ENHANCE_YOUR_CALM, (name, last.code, last.text)
        server.serves()
        release(server)


def test_floods_whose_answers_nobody_reads(tmp_path: Path) -> None:
    """Each acknowledgement waits in the server until the budget is used up."""
    with victim(tmp_path) as server:
        before = server.account()
        for _ in range(50):
            client = attack(server)
            client.send(settings() * 900 + frame(PING, payload=bytes(8)) * 900)
        server.serves()
        assert server.account()["memory"] - before["memory"] < 20 * MIB


def bomb(client: FrameClient, stream: int, kind: str) -> bytes:
    """A block that is small on the way and large behind HPACK."""
    large = [("x-bomb", "b" * 4000)]
    if kind == "indexed":
        block = client.request_block("GET", "/", *large) + b"\xbe" * 60_000
    elif kind == "churn":
        more = [(f"x-{stream}-{number}", "c" * 100) for number in range(60)]
        block = client.request_block("GET", "/", *more)
    else:  # one byte less on the way for three of a value
        block = client.request_block("GET", "/", ("x", "a" * 60_000))
    first, *rest = [block[at : at + 16000] for at in range(0, len(block), 16000)]
    frames = [frame(CONTINUATION, 0, stream, part) for part in rest]
    if rest:
        frames[-1] = frame(CONTINUATION, END_HEADERS, stream, rest[-1])
    flags = END_STREAM | (0 if rest else END_HEADERS)
    return frame(HEADERS, flags, stream, first) + b"".join(frames)


def test_blocks_that_are_larger_behind_hpack(tmp_path: Path) -> None:
    with victim(tmp_path) as server:
        before = server.account()
        for kind, status, times in (
            ("indexed", "431", 20),
            ("churn", "200", 20),
            ("huffman", "431", 1),
        ):
            client = attack(server)
            for number in range(1, 2 * times, 2):
                client.send(bomb(client, number, kind))
                head = client.next(HEADERS)
                assert client.fields(head)[0] == (":status", status), kind
            server.serves(1)
        assert server.account()["memory"] - before["memory"] < 20 * MIB


def test_windows_that_are_kept_closed(tmp_path: Path) -> None:
    """As many streams as are allowed, and a connection that takes none of them on."""
    with victim(tmp_path, "--timeout-write", "1") as server:
        before = server.account()
        for _ in range(4):
            client = attack(server, greets=False)
            client.send(PREFACE + settings({SettingCodes.INITIAL_WINDOW_SIZE: 0}))
            for number in range(1, 201, 2):
                block = client.request_block("GET", "/stream")
                client.send(frame(HEADERS, END_HEADERS | END_STREAM, number, block))
        server.account_when(lambda seen: seen["objects"]["Exchange"] > 400)
        server.serves()
        assert server.account()["memory"] - before["memory"] < 4 * 100 * 3 * 65536
        # Their streams are reset, one after the other.
        server.account_when(lambda seen: seen["objects"]["Exchange"] <= 3)


def test_uploads_that_nobody_reads(tmp_path: Path) -> None:
    """All that a connection's window takes, in as many streams as there may be."""
    with victim(tmp_path) as server:
        before = server.account()
        for _ in range(10):
            client = attack(server)
            for number in range(1, 201, 2):
                client.send(opened(client, number, 0))
            for at in range(64):
                client.send(frame(DATA, 0, 1 + 2 * at, b"x" * 16000))
        server.account_when(lambda seen: seen["late"] >= 1000)
        server.serves()
        assert server.account()["memory"] - before["memory"] < 10 * 4 * MIB
        release(server)
