"""The access log of WebSockets: one line for each when it ends, and HTTP's where there is none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.server import Running
from support.websocket import TEXT, accept, connect, content, frame, handshake, message
from support.websocket_http2 import carriage, serve

pytestmark = pytest.mark.usefixtures("carriage")

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<client>\S+) "
    r'"(?P<request>\S+ \S+ \S+)" (?P<status>\d{3}) (?P<bytes>\d+) (?P<ms>\d+\.\d{3})ms'
    r"(?: ws (?P<code>\d+) in (?P<in>\d+/\d+) out (?P<out>\d+/\d+))?"
)
WHAT = {"HTTP/1.1": "GET {} HTTP/1.1", "HTTP/2": "CONNECT {} HTTP/2"}
STATUS = {"HTTP/1.1": "101", "HTTP/2": "200"}
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes at "/"; what else it does is its path's name."""
    path = scope["path"]
    if path == "/refuse":
        return
    if path == "/deny":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"who?"})
        return
    if path == "/silent":
        await receive()
        await receive()
        return
    await accept(receive, send)
    if path == "/crash":
        raise RuntimeError("crash, as the test wants it")
    if path == "/bye":
        await send({"type": "websocket.close", "code": 4000})
    while (event := await receive())["type"] == "websocket.receive":
        await send(message(content(event)))


def logged(
    act: Callable[[Running], Any], capture: pytest.CaptureFixture[str], **options: Any
) -> dict[str, str | None]:
    """The parts of the only line that `act` leads to."""
    capture.readouterr()
    text = ""
    with serve(app, lifespan="off", access_log=True, **options) as server:
        act(server)
        deadline = time.monotonic() + 10
        while "\n" not in text:
            assert time.monotonic() < deadline, "no line"
            time.sleep(0.005)
            text += capture.readouterr().out
    text += capture.readouterr().out
    (line,) = text.splitlines()
    match = LINE.fullmatch(line)
    assert match, line
    return match.groupdict()


@LOOPS
def test_a_line_counts_messages_bytes_and_frames(
    loop: str, capfd: pytest.CaptureFixture[str]
) -> None:
    names: list[Any] = []

    def act(server: Running) -> None:
        websocket = connect(server, "/?room=1")
        names.append(websocket.client.sock.getsockname())
        for each in ("é", b"12345", "x" * 200):
            websocket.send(each)
            assert websocket.receive() == each
        websocket.ping(b"p")
        websocket.read()
        websocket.leave(4001)

    line = logged(act, capfd, loop=loop)
    host, port = names[0]
    assert line["client"] == f"{host}:{port}"
    assert line["request"] == WHAT[carriage().name].format("/?room=1")
    assert (line["status"], line["code"]) == (STATUS[carriage().name], "4001")
    assert (line["in"], line["out"]) == ("3/207", "3/207")
    frames = (2 + 2) + (2 + 5) + (4 + 200) + (2 + 1) + (2 + 2)
    assert line["bytes"] == str(frames)


@pytest.mark.parametrize(
    ("path", "way", "code"),
    [
        ("/", "close", "1006"),
        ("/", "reset", "1006"),
        ("/crash", "leave", "1011"),
        ("/bye", "leave", "4000"),
        ("/", "mistake", "1002"),
        ("/", "no code", "1005"),
    ],
)
def test_a_line_has_the_code_the_websocket_ended_with(
    path: str, way: str, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(server: Running) -> None:
        websocket = connect(server, path)
        if way in ("close", "reset"):
            getattr(websocket.client, way)()
        elif way == "mistake":
            websocket.client.send(frame(3))
        elif way == "no code":
            websocket.close(None)
        else:
            sent, _ = websocket.closed()
            websocket.close(sent)
            websocket.assert_ended()

    line = logged(act, capfd)
    assert (line["status"], line["code"]) == (STATUS[carriage().name], code)


def test_messages_sent_with_the_handshake_and_closed_at_once_are_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def act(server: Running) -> None:
        client = server.connect()
        client.send(handshake() + frame(TEXT, b"abc") + frame(8, b"\x0f\xa1"))
        client.rest()

    line = logged(act, capfd)
    assert (line["code"], line["in"]) == ("4001", "1/3")


@pytest.mark.parametrize(
    ("path", "status", "sent"), [("/refuse", "403", "10"), ("/deny", "401", "4")]
)
def test_a_denied_handshake_has_the_line_of_a_request(
    path: str, status: str, sent: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def act(server: Running) -> None:
        with server.connect() as client:
            client.ask(handshake(path))

    line = logged(act, capfd)
    assert (line["status"], line["bytes"], line["code"]) == (status, sent, None)


def test_a_client_that_leaves_before_the_answer_has_the_line_of_a_request(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def act(server: Running) -> None:
        client = server.connect()
        client.send(handshake("/silent"))
        client.close()

    line = logged(act, capfd)
    assert (line["status"], line["code"]) == ("499", None)
