"""Handshakes that end in no WebSocket: refused, denied, failed. ASGI.md lines 26 and 32."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import answer
from support.client import Response, request
from support.conversation import check_error
from support.stage import Stage
from support.websocket import FIELDS, KEY, TEXT, accept, connect, frame, handshake
from support.websocket_http2 import ON_HTTP1, serve

pytestmark = pytest.mark.usefixtures("carriage")

START = "websocket.http.response.start"
BODY = "websocket.http.response.body"


def start(status: int = 401, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": START, "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": BODY, "body": data, "more_body": more}


def asked(app: Any, data: bytes = handshake()) -> Response:
    """The whole answer to a handshake; it ends what it came on."""
    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(data)
        answer = client.response()
        client.assert_refused(answer)
        assert server.get("/alive").status == 200
    assert answer.header("upgrade") is None
    return answer


def denies(act: Any) -> Any:
    """An application that deals with a handshake by `act(receive, send)`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send)
        else:
            await act(receive, send)

    return app


# -- refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("received", [False, True])
def test_line_26_close_before_accept_is_403(received: bool, logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        if received:
            await receive()
        await send({"type": "websocket.close", "code": 4000, "reason": "no"})
        for _ in range(2):
            event = await receive()
            while event["type"] == "websocket.connect":
                event = await receive()
            assert event["type"] == "websocket.disconnect"

    assert asked(denies(act)).status == 403
    assert logs.noise == []


def test_line_26_return_before_accept_is_403(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await receive()

    assert asked(denies(act)).status == 403
    assert logs.noise == []


def test_line_26_an_exception_before_accept_is_500_and_logged(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("crash, as the test wants it")

    assert asked(denies(act)).status == 500
    assert len(logs.noise) == 1
    assert "crash, as the test wants it" in logs.noise[0]


def test_an_exception_after_the_refusal_is_logged_and_the_answer_stays(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})
        raise RuntimeError("crash, as the test wants it")

    assert asked(denies(act)).status == 403
    assert len(logs.noise) == 1


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.send", START, BODY])
def test_nothing_may_follow_a_refusal(kind: str) -> None:
    raised: list[BaseException] = []

    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})
        try:
            await send({"type": kind, "status": 200, "text": "late"})
        except RuntimeError as error:
            raised.append(error)

    assert asked(denies(act)).status == 403
    assert len(raised) == 1


# -- denied ------------------------------------------------------------------------------


def test_line_32_a_denial_response_is_sent_as_it_is() -> None:
    async def act(receive: Any, send: Any) -> None:
        await receive()
        await send(start(401, (b"www-authenticate", b"Basic"), (b"x-a", b"1"), (b"x-a", b"2")))
        await send(body(b"who are you?"))

    got = asked(denies(act))
    assert (got.status, got.body) == (401, b"who are you?")
    assert got.header("www-authenticate") == "Basic"
    assert got.all("x-a") == ["1", "2"]
    assert got.header("content-length") == "12"


def test_line_32_a_denial_in_several_parts_is_chunked() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(403))
        for part in (b"one", b"two"):
            await send(body(part, more=True))
        await send(body(b""))

    got = asked(denies(act))
    assert (got.status, [part for part in got.chunks if part]) == (403, [b"one", b"two"])


def test_line_32_a_denial_in_several_parts_may_have_a_length() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(404, (b"content-length", b"6")))
        await send(body(b"one", more=True))
        await send(body(b"two"))

    got = asked(denies(act))
    assert (got.body, got.header("transfer-encoding")) == (b"onetwo", None)


@pytest.mark.parametrize("status", [200, 204, 302, 503])
def test_line_32_a_denial_has_any_final_status(status: int) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(status))
        await send(body(b""))

    assert asked(denies(act)).status == status


def test_line_32_trailers_are_no_part_of_a_denial() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({**start(403), "trailers": True})
        await send(body(b"no"))

    assert asked(denies(act)).body == b"no"


@pytest.mark.parametrize("status", [101, 100, 99, 1000, "403", None])
def test_line_32_a_status_that_is_none_raises(status: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": START, "status": status, "headers": []})
        await send(start(403))
        await send(body(b"no"))

    assert asked(denies(act)).status == 403


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.close", "websocket.send", START])
def test_line_32_nothing_but_a_body_follows_the_start(kind: str) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(403))
        with pytest.raises(RuntimeError):
            await send({"type": kind, "status": 200, "headers": []})
        await send(body(b"no"))

    assert asked(denies(act)).body == b"no"


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.send", START, BODY])
def test_line_32_nothing_follows_the_last_body(kind: str) -> None:
    raised: list[BaseException] = []

    async def act(receive: Any, send: Any) -> None:
        await send(start(403))
        await send(body(b"no"))
        try:
            await send({"type": kind, "status": 200, "text": "late"})
        except RuntimeError as error:
            raised.append(error)

    assert asked(denies(act)).body == b"no"
    assert len(raised) == 1


def test_receive_tells_of_the_end_after_a_denial() -> None:
    events: list[Any] = []

    async def act(receive: Any, send: Any) -> None:
        events.append(await receive())
        await send(start(403))
        await send(body(b"no"))
        events.append(await receive())

    asked(denies(act))
    assert [event["type"] for event in events] == ["websocket.connect", "websocket.disconnect"]


def test_a_denial_that_is_not_ended_is_cut(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(403))
        await send(body(b"one", more=True))

    with serve(denies(act), lifespan="off") as server, server.connect() as client:
        client.send(handshake())
        answer = client.head()
        assert answer.status == 403
        client.truncated(answer)
    assert len(logs.noise) == 1


def test_an_exception_before_the_denials_body_is_500(logs: Any) -> None:
    async def act(receive: Any, send: Any) -> None:
        await send(start(403))
        raise RuntimeError("crash, as the test wants it")

    assert asked(denies(act)).status == 500
    assert len(logs.noise) == 1


def test_frames_sent_too_early_are_not_read_as_requests() -> None:
    async def act(receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    early = frame(TEXT, request("GET"), mask=bytes(4))
    assert asked(denies(act), handshake() + early).status == 403


# -- the client leaves -------------------------------------------------------------------


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_leaves_before_accept_is_told_and_no_noise(way: str, logs: Any) -> None:
    stage = Stage()

    async def act(receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        stage.mark("asked")
        stage.mark("event", await receive())
        try:
            await send({"type": "websocket.accept"})
        finally:
            stage.mark("over")

    with serve(denies(act), lifespan="off") as server:
        client = server.connect()
        client.send(handshake())
        stage.wait("asked")
        getattr(client, way)()
        event = stage.wait("event")
        assert (event["type"], event["code"]) == ("websocket.disconnect", 1006)
        stage.wait("over")
        assert server.get().status == 200
    assert logs.noise == []


# -- handshakes that are none --------------------------------------------------------------


def without(name: str) -> tuple[str, ...]:
    return tuple(line for line in FIELDS if not line.startswith(name))


@ON_HTTP1
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (without("Connection"), 400),
        (without("Sec-WebSocket-Key"), 400),
        ((*without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: short"), 400),
        ((*FIELDS, f"Sec-WebSocket-Key: {KEY}"), 400),
        ((*FIELDS, "Sec-WebSocket-Protocol: a b"), 400),
        ((*FIELDS, "Sec-WebSocket-Extensions: ;"), 400),
        ((*FIELDS, "Content-Length: 5"), 400),
        ((*without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"), 426),
        (without("Sec-WebSocket-Version"), 426),
    ],
)
def test_a_bad_handshake_is_refused_before_the_application(
    lines: tuple[str, ...], status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("called")

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET", "/", *lines))
        answer = client.head()
        if status == 426:
            assert answer.header("sec-websocket-version") == "13"
            assert answer.header("upgrade") == "websocket"
            assert answer.status == 426
        else:
            check_error(answer, client, status)


@ON_HTTP1
def test_a_handshake_by_another_method_is_405(logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("POST", "/", *FIELDS))
        answer = client.head()
        assert answer.header("allow") == "GET"
        check_error(answer, client, 405)
    assert logs.noise == []


def test_above_the_limit_of_concurrency_a_handshake_is_503() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)
        await receive()

    with serve(app, lifespan="off", limit_concurrency=1) as server:
        first = connect(server)
        with server.connect() as client:
            client.send(handshake())
            answer = client.response()
            assert answer.status == 503
            client.assert_refused(answer)
        first.leave()
