"""What `receive` and `send` of a WebSocket do: ASGI.md lines 25 to 28, on both event loops."""

from __future__ import annotations

import contextvars
from typing import Any

import pytest
from support.stage import Stage
from support.websocket import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Recorder,
    accept,
    close_frame,
    connect,
    content,
    echo,
    frame,
    handshake,
    message,
    upgraded,
)
from support.websocket_http2 import serve

pytestmark = pytest.mark.usefixtures("carriage")

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


# -- the handshake -----------------------------------------------------------------------


@LOOPS
def test_line_26_the_first_event_is_connect_and_nothing_is_answered_before_accept(
    loop: str,
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("first", await receive())
        await stage.until("go")
        await send({"type": "websocket.accept"})

    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(handshake())
        assert stage.wait("first") == {"type": "websocket.connect"}
        assert not client.readable()
        stage.mark("go")
        assert upgraded(client).closed() == (1000, "")


def test_line_26_accept_needs_no_receive_before() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        assert await receive() == {"type": "websocket.connect"}
        await send(message(content(await receive())))

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        websocket.send("late")
        assert websocket.receive() == "late"


@LOOPS
def test_what_a_client_sends_too_early_comes_after_accept(loop: str) -> None:
    app = Recorder()
    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(handshake() + frame(TEXT, b"one") + frame(BINARY, b"two"))
        websocket = upgraded(client)
        websocket.send("three")
        websocket.leave()
        app.disconnect()
    assert app.messages == ["one", b"two", "three"]


@LOOPS
def test_what_comes_while_the_application_decides_comes_after_accept(loop: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("asked")
        await stage.until("go")
        await echo(scope, receive, send)

    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(handshake())
        stage.wait("asked")
        client.send(frame(TEXT, b"one"))
        stage.mark("go")
        websocket = upgraded(client)
        websocket.send("two")
        assert [websocket.receive(), websocket.receive()] == ["one", "two"]


def test_more_messages_than_may_wait_sent_too_early_all_come_in_order() -> None:
    app = Recorder()
    sent = [str(number) for number in range(500)]
    with serve(app, lifespan="off", ws_max_queue=2) as server, server.connect() as client:
        client.send(handshake() + b"".join(frame(TEXT, each.encode()) for each in sent))
        upgraded(client).leave()
        app.disconnect()
    assert app.messages == sent


@LOOPS
def test_a_whole_conversation_sent_too_early_is_had(loop: str) -> None:
    app = Recorder()
    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(handshake() + frame(TEXT, b"one") + close_frame(4001, "bye"))
        websocket = upgraded(client)
        assert websocket.closed() == (4001, "")
        websocket.assert_ended()
        assert app.disconnect() == (4001, "bye")
    assert app.messages == ["one"]


def test_line_27_the_headers_of_accept_are_sent_in_order() -> None:
    headers = [(b"x-b", b"1"), (b"set-cookie", b"a=1"), (b"x-a", b"2"), (b"set-cookie", b"b=2")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, headers=headers)

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(handshake())
        answer = client.head()
    assert answer.status == (101 if answer.version == "HTTP/1.1" else 200)
    wanted = [(name.decode(), value.decode()) for name, value in headers]
    assert [pair for pair in answer.headers if pair in wanted] == wanted
    assert answer.header("sec-websocket-protocol") is None
    assert answer.header("content-length") is None
    assert answer.header("transfer-encoding") is None


def test_line_27_what_is_the_servers_own_is_not_taken_from_accept() -> None:
    headers = [(b"Sec-WebSocket-Accept", b"x"), (b"upgrade", b"y"), (b"content-length", b"5")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, headers=headers)

    with serve(app, lifespan="off") as server:
        assert connect(server).closed() == (1000, "")


def test_line_27_a_date_and_a_server_of_the_application_take_the_servers_place() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, headers=[(b"server", b"mine"), (b"date", b"today")])

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(handshake())
        answer = client.head()
    assert (answer.all("server"), answer.all("date")) == (["mine"], ["today"])


def test_line_27_the_chosen_subprotocol_has_a_field_of_its_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send, subprotocol=scope["subprotocols"][1])

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(handshake("/", "Sec-WebSocket-Protocol: a, b"))
        assert client.head().all("sec-websocket-protocol") == ["b"]


@pytest.mark.parametrize(
    "fields",
    [
        {"subprotocol": "c"},
        {"subprotocol": b"a"},
        {"headers": [(b"sec-websocket-protocol", b"a")]},
        {"headers": [(b"Sec-WebSocket-Protocol", b"a")]},
        {"headers": [(b"x", b"1\r\ny: 2")]},
        {"headers": [("x", "1")]},
    ],
)
def test_line_27_a_wrong_accept_raises_and_a_right_one_may_follow(fields: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises((RuntimeError, TypeError)):
            await accept(receive, send, **fields)
        await send({"type": "websocket.accept", "subprotocol": "b"})

    with serve(app, lifespan="off") as server:
        assert connect(server, "/", "Sec-WebSocket-Protocol: a, b").closed() == (1000, "")


# -- messages ----------------------------------------------------------------------------


@LOOPS
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 4095, 4097, 65535, 65536, 300_000])
def test_line_28_messages_of_every_form_of_length_go_both_ways(size: int, loop: str) -> None:
    with serve(echo, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        data = bytes(number % 251 for number in range(size))
        text = "é" * (size // 2) + "x" * (size % 2)
        for each in (data, text, "x" * size):
            websocket.send(each)
            assert websocket.receive() == each
        websocket.leave()


def test_line_28_exactly_one_of_bytes_and_text_is_given() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        for _ in range(2):
            stage.mark("event", await receive())

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        websocket.send("t")
        websocket.send(b"b")
        assert websocket.closed() == (1000, "")
    for event, (name, value) in zip(stage.values("event"), [("text", "t"), ("bytes", b"b")],
                                    strict=True):  # fmt: skip
        assert event.pop("type") == "websocket.receive"
        assert {key: each for key, each in event.items() if each is not None} == {name: value}


def test_line_28_send_takes_bytes_or_text_with_the_other_none() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "", "bytes": None})
        await send({"type": "websocket.send", "bytes": b"", "text": None, "unknown": 1})
        await send({"type": "websocket.send", "bytes": bytearray(b"array")})
        await send({"type": "websocket.send", "bytes": memoryview(b"view")})

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        assert [websocket.receive() for _ in range(4)] == ["", b"", b"array", b"view"]
        assert websocket.closed() == (1000, "")


WRONG: dict[str, dict[str, Any]] = {
    "nothing": {"type": "websocket.send"},
    "none": {"type": "websocket.send", "text": None, "bytes": None},
    "both": {"type": "websocket.send", "text": "a", "bytes": b"b"},
    "bytes as text": {"type": "websocket.send", "text": b"a"},
    "text as bytes": {"type": "websocket.send", "bytes": "a"},
    "a number": {"type": "websocket.send", "text": 1},
    "a surrogate": {"type": "websocket.send", "text": "\ud800"},
    "unknown": {"type": "websocket.say", "text": "a"},
    "accept again": {"type": "websocket.accept"},
    "a denial": {"type": "websocket.http.response.start", "status": 200, "headers": []},
    "http": {"type": "http.response.start", "status": 200, "headers": []},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_line_28_a_wrong_message_raises_and_the_next_is_sent(wrong: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        with pytest.raises(RuntimeError):
            await send(WRONG[wrong])
        await send(message("right"))

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        assert websocket.receive() == "right"
        assert websocket.closed() == (1000, "")


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.start", "websocket.say"])
def test_line_26_nothing_but_an_answer_to_the_handshake_is_taken_before_accept(kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": kind, "text": "early", "status": 200})
        await accept(receive, send)

    with serve(app, lifespan="off") as server:
        assert connect(server).closed() == (1000, "")


@LOOPS
def test_line_28_fragments_are_joined_and_control_frames_among_them_answered(loop: str) -> None:
    with serve(echo, lifespan="off", loop=loop) as server:
        websocket = connect(server)
        for opcode, parts in ((TEXT, "grüße".encode()), (BINARY, b"\xff\x00")):
            websocket.client.send(frame(opcode, b"", fin=False))
            for at in range(len(parts)):
                websocket.client.send(
                    frame(CONTINUATION, parts[at : at + 1], fin=False) + frame(PING, b"%d" % at)
                )
                assert websocket.read() == Frame(PONG, b"%d" % at)
            websocket.client.send(frame(CONTINUATION))
            assert websocket.receive() == (parts.decode() if opcode == TEXT else parts)


def test_line_28_pings_are_answered_though_the_application_does_not_receive() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await stage.until("go")

    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        for payload in (b"", b"x" * 125):
            websocket.ping(payload)
            assert websocket.read() == Frame(PONG, payload)
        websocket.pong(b"unasked")
        stage.mark("go")
        assert websocket.closed() == (1000, "")


@LOOPS
def test_frames_cut_anywhere_make_the_same_messages(loop: str, tmp_path: Any) -> None:
    app = Recorder()
    data = frame(TEXT, "é".encode(), fin=False) + frame(CONTINUATION, b"x") + frame(BINARY, b"y")
    path = str(tmp_path / "s")
    with serve(app, lifespan="off", loop=loop, uds=path) as server:
        websocket = connect(server)
        websocket.client.send_bytewise(data + frame(TEXT, b"z" * 200))
        websocket.leave()
        app.disconnect()
    assert app.messages == ["éx", b"y", "z" * 200]


# -- context variables -------------------------------------------------------------------

SEEN: contextvars.ContextVar[list[str]] = contextvars.ContextVar("SEEN")


@LOOPS
def test_line_25_every_websocket_has_a_context_of_its_own(loop: str) -> None:
    before: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        before.append(SEEN in contextvars.copy_context())
        SEEN.set([])
        await accept(receive, send)
        while (event := await receive())["type"] == "websocket.receive":
            SEEN.get().append(content(event))
            await send(message(",".join(SEEN.get())))

    with serve(app, lifespan="off", loop=loop) as server:
        websockets = [connect(server), connect(server)]
        for word in ("a", "b"):
            for number, websocket in enumerate(websockets):
                websocket.send(f"{word}{number}")
                expected = f"a{number}" if word == "a" else f"a{number},b{number}"
                assert websocket.receive() == expected
    assert before == [False, False]
