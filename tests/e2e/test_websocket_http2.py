"""WebSockets in streams of HTTP/2, RFC 8441: what is not as on HTTP/1.1."""

from __future__ import annotations

from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from support.apps import answer
from support.http2 import DATA, END_STREAM, GOAWAY, RESET, Http2Client, Stream
from support.http2 import frame as http2_frame
from support.server import serve
from support.stage import Stage
from support.websocket import (
    PING,
    PONG,
    TEXT,
    Frame,
    Recorder,
    WebSocket,
    accept,
    close_frame,
    content,
    echo,
    frame,
    message,
)
from support.websocket_http2 import PROTOCOL, Spoken, Tunnel, ask
from wsproto import events
from wsproto.extensions import PerMessageDeflate

from fastserve._native import shared

VERSION = ("sec-websocket-version", "13")
OPTIONS: dict[str, Any] = {"lifespan": "off", "peer": Http2Client}


async def both(scope: Any, receive: Any, send: Any) -> None:
    """An echo of WebSockets, and an answer to requests."""
    await (echo(scope, receive, send) if scope["type"] == "websocket" else answer(send, b"http"))


def refusal(app: Any = both, *fields: Any, **options: Any) -> Any:
    """The answer to an extended CONNECT that leads to no WebSocket, and costs its stream alone."""
    server_options = options.pop("server", {})
    with serve(app, **OPTIONS, **server_options) as server, server.connect() as client:
        got = ask(client, "/", *fields, **options).response()
        assert client.fetch("/alive").body == b"http"
    return got


class InStream(Tunnel):
    """Bytes in one of a connection's streams."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.connection = stream, stream.client


def opened(client: Http2Client, path: str = "/") -> WebSocket:
    """An open WebSocket in a stream of its own."""
    stream = ask(client, path, VERSION)
    assert stream.head().status == 200
    return WebSocket(InStream(stream))


# -- the handshake -------------------------------------------------------------------------


def test_the_settings_offer_extended_connect_only_where_websockets_are_spoken() -> None:
    for ws, offered in (("auto", 1), ("none", None)):
        with serve(both, ws=ws, **OPTIONS) as server, server.connect() as client:
            found = client.wait_for_settings().get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
            assert found == offered


def test_where_they_are_not_spoken_an_extended_connect_is_malformed() -> None:
    with serve(both, ws="none", **OPTIONS) as server, server.connect() as client:
        stream = client.open("CONNECT", "/", [VERSION], ends=False, pseudo=PROTOCOL)
        assert stream.wait_for_reset() == ErrorCodes.PROTOCOL_ERROR
        assert client.fetch("/").body == b"http"


def test_another_protocol_is_501() -> None:
    got = refusal(both, VERSION, pseudo=[(":protocol", "connect-udp")])
    assert got.status == 501


def test_the_name_of_the_protocol_may_be_in_capitals() -> None:
    """HAProxy passes on what a client of HTTP/1.1 has written."""
    with serve(both, **OPTIONS) as server, server.connect() as client:
        stream = ask(client, "/", VERSION, pseudo=[(":protocol", "WebSocket")])
        assert stream.head().status == 200


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("sec-websocket-version", "8"),),
        (VERSION, VERSION),
        (VERSION, ("sec-websocket-protocol", "a b")),
        (VERSION, ("sec-websocket-extensions", ";")),
    ],
)
def test_a_bad_handshake_is_400_and_names_no_upgrade(fields: Any) -> None:
    got = refusal(both, *fields)
    assert got.status == 400
    assert got.header("upgrade") is None


def test_a_key_is_not_asked_for_and_not_answered() -> None:
    with serve(echo, **OPTIONS) as server, server.connect() as client:
        stream = ask(client, "/", VERSION, ("sec-websocket-key", "x"))
        got = stream.head()
    assert (got.status, got.header("sec-websocket-accept")) == (200, None)


def test_a_request_that_is_over_cannot_be_a_websocket() -> None:
    assert refusal(both, VERSION, ends=True).status == 400


def test_a_stream_that_ends_before_its_answer_is_refused_and_the_application_told() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            return await answer(send)
        await receive()
        stage.mark("asked")
        stage.mark("event", await receive())
        with pytest.raises(OSError, match="disconnected"):
            await send({"type": "websocket.accept"})
        stage.mark("over")

    with serve(app, **OPTIONS) as server, server.connect() as client:
        stream = ask(client, "/", VERSION)
        stage.wait("asked")
        stream.end()
        assert stream.response().status == 400
        assert stage.wait("event")["code"] == 1006
        stage.wait("over")
        assert client.fetch("/").status == 200


def test_the_scope_is_that_of_a_websocket_with_the_fields_of_the_connect() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await accept(receive, send, subprotocol="b")

    with serve(app, **OPTIONS) as server, server.connect() as client:
        offer = ("sec-websocket-protocol", "a, b")
        stream = ask(client, "/chat%20room?x=1", VERSION, ("origin", "http://test"), offer)
        assert stream.head().header("sec-websocket-protocol") == "b"
    (scope,) = scopes
    assert "method" not in scope
    assert [scope[name] for name in ("type", "http_version", "scheme")] == ["websocket", "2", "ws"]
    assert (scope["path"], scope["raw_path"]) == ("/chat room", b"/chat%20room")
    assert scope["query_string"] == b"x=1"
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["headers"] == [
        (b"host", b"test"), (b"sec-websocket-version", b"13"), (b"origin", b"http://test"),
        (b"sec-websocket-protocol", b"a, b"),
    ]  # fmt: skip


def test_over_tls_the_scheme_is_wss(authority: Any) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    issued = authority.issue("fastserve.test")
    files = {"ssl_certfile": issued.certfile, "ssl_keyfile": issued.keyfile}
    with serve(app, **OPTIONS, **files) as server:
        spoken = Spoken(server.connect(tls=authority.client_context()))
        spoken.say("x" * 100_000)
        assert spoken.next() == "x" * 100_000
        spoken.leave()
    assert (scopes[0]["scheme"], scopes[0]["http_version"]) == ("wss", "2")
    assert "tls" in scopes[0]["extensions"]


# -- messages ----------------------------------------------------------------------------------

MESSAGES = ["", "hello", "Grüße, 你好", b"", bytes(range(256)), "x" * 300_000, b"\0" * 70_000]


@pytest.mark.parametrize("deflate", [None, {}, {"client_max_window_bits": 10}])
def test_wsproto_gets_back_whatever_it_sends(deflate: Any) -> None:
    with serve(echo, **OPTIONS) as server:
        offer = None if deflate is None else PerMessageDeflate(**deflate)
        spoken = Spoken(server.connect(), offer=offer)
        agreed = spoken.answer.header("sec-websocket-extensions")
        assert (agreed is None) == (deflate is None)
        for each in MESSAGES:
            kind = events.TextMessage if isinstance(each, str) else events.BytesMessage
            half = len(each) // 2
            spoken.send(kind(each[:half], message_finished=False))
            spoken.send(events.Ping(b"between"))
            spoken.send(kind(each[half:]))
            assert spoken.next() == events.Pong(bytearray(b"between"))
            assert spoken.next() == each
        spoken.leave(3001, "enough")


def test_websockets_and_requests_share_a_connection() -> None:
    with serve(both, **OPTIONS) as server, server.connect() as client:
        websockets = [opened(client) for _ in range(20)]
        for turn in range(3):
            for number, each in enumerate(websockets):
                each.send(f"{turn} {number}")
            assert client.fetch("/").body == b"http"
            for number, each in enumerate(websockets):
                assert each.receive() == f"{turn} {number}"
        websockets[0].client.reset()
        websockets[1].client.send(frame(3))
        assert websockets[1].closed()[0] == 1002
        for each in websockets[2:]:
            each.send("still here")
            assert each.receive() == "still here"
            each.leave()


def test_frames_of_one_dispatch_go_in_one_frame_of_data() -> None:
    with serve(echo, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        websocket.client.send(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(PING, b"c"))
        assert [websocket.read().payload for _ in range(3)] == [b"c", b"a", b"b"]
        sent = [each for each in client.frames if each.kind == DATA]
        assert len(sent) <= 2


def test_the_limit_of_a_request_body_is_not_one_of_a_websocket() -> None:
    with serve(echo, limit_request_body=1000, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        for _ in range(3):
            websocket.send("x" * 900)
            assert websocket.receive() == "x" * 900
        websocket.leave()


# -- flow control ------------------------------------------------------------------------------


def test_a_websocket_whose_client_opens_no_window_waits_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":
            return await echo(scope, receive, send)
        await accept(receive, send)
        for number in range(100):
            await send(message(b"%8d" % number + b"x" * 10_000))
            stage.mark("sent")

    with serve(app, **OPTIONS) as server:
        client = server.connect(holds=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 100_000})
        slow, other = opened(client), opened(client, "/echo")
        other.send("alive")
        assert other.receive() == "alive"
        assert 10 <= stage.count("sent") < 30, "what nobody takes was piled up"
        for number in range(100):
            got = slow.receive()
            assert got[:8] == b"%8d" % number
            for grant in (slow.client.stream.grant, client.grant):
                grant(len(got))
        assert slow.closed() == (1000, "")


def test_of_pings_that_come_while_nothing_can_be_sent_the_latest_is_answered() -> None:
    """RFC 6455, section 5.5.3: a flood costs no memory."""
    count = 20_000
    with serve(echo, **OPTIONS) as server:
        client = server.connect(holds=True, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10_000})
        websocket = opened(client)
        for at in range(0, count, 100):
            pings = [frame(PING, b"%-125d" % number) for number in range(at, at + 100)]
            websocket.client.send(b"".join(pings))
        client.ping()
        websocket.client.stream.grant(1 << 20)
        answers = 1
        while (got := websocket.read()) != Frame(PONG, b"%-125d" % (count - 1)):
            assert got.opcode == PONG
            answers += 1
        assert answers < count / 10


def test_what_waits_unread_holds_back_its_own_stream_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":
            return await echo(scope, receive, send)
        await accept(receive, send)
        await stage.until("go")
        while (event := await receive())["type"] == "websocket.receive":
            stage.mark("message", len(content(event)))

    with serve(app, ws_max_queue=2, **OPTIONS) as server, server.connect() as client:
        full, other = opened(client), opened(client, "/echo")
        data = frame(TEXT, b"x" * 10_000)
        sent = full.client.send_until_blocked(data, 64 << 20, patience=0.2)
        assert sent < 1 << 20, "more than a stream's window"
        other.send("y" * 300_000)
        assert other.receive() == "y" * 300_000
        stage.mark("go")
        full.client.send(data[sent % len(data) :])
        full.leave()
        assert stage.count("message") == sent // len(data) + 1


# -- the end ---------------------------------------------------------------------------------


def test_the_closing_handshake_ends_both_halves_and_leaves_the_connection() -> None:
    app = Recorder()
    with serve(app, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        websocket.close(4000)
        assert websocket.closed() == (4000, "")
        websocket.assert_ended()
        assert websocket.client.stream.reset is None
        client.ping()
        assert [each for each in client.frames if each.kind in (RESET, GOAWAY)] == []
        assert app.disconnect() == (4000, "")


def test_an_end_without_a_close_frame_is_1006_and_answered_with_the_end() -> None:
    app = Recorder()
    with serve(app, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        websocket.send("last")
        websocket.client.stream.end()
        websocket.assert_ended()
        assert websocket.client.stream.reset is None
        assert app.disconnect() == (1006, "")
    assert app.messages == ["last"]


def test_a_client_that_does_not_end_its_half_is_reset_without_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "TICK", 0.02)
    monkeypatch.setattr(shared, "LINGER", 0.1)
    with serve(echo, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        websocket.close()
        assert websocket.closed() == (1000, "")
        # What comes now is dropped, and still counted.
        websocket.client.send(frame(TEXT, b"x" * 500_000))
        assert websocket.client.stream.wait_for_reset() == ErrorCodes.NO_ERROR
        assert opened(client).client.stream.reset is None


def test_a_client_that_does_not_answer_the_close_is_cut_with_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "TICK", 0.02)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await accept(receive, send)

    with serve(app, ws_close_timeout=0.1, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        assert websocket.closed() == (1000, "")
        assert websocket.client.stream.wait_for_reset() == ErrorCodes.CANCEL


def test_header_fields_inside_a_websocket_cost_its_stream() -> None:
    app = Recorder()
    with serve(app, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        websocket.client.stream.send_trailers(("x", "y"))
        assert websocket.client.stream.wait_for_reset() == ErrorCodes.PROTOCOL_ERROR
        assert app.disconnect() == (1006, "")
        client.ping()


def test_websockets_that_end_as_they_should_are_no_flood_of_resets() -> None:
    with serve(both, http2_limit_resets=5, **OPTIONS) as server, server.connect() as client:
        for _ in range(20):
            websocket = opened(client)
            websocket.close()
            assert websocket.closed() == (1000, "")
            assert websocket.client.rest() == b""
            # As browsers do it: nothing follows, so the stream is cancelled.
            client.raw(http2_frame(RESET, 0, websocket.client.stream.id, bytes((0, 0, 0, 8))))
        assert client.fetch("/").body == b"http"


def test_websockets_that_are_cut_again_and_again_are_one() -> None:
    with serve(both, http2_limit_resets=5, **OPTIONS) as server, server.connect() as client:
        for _ in range(6):
            opened(client).client.stream.cancel()
        assert client.wait_for_goaway().code == ErrorCodes.ENHANCE_YOUR_CALM


def test_the_end_of_the_connection_is_the_end_of_all_its_websockets() -> None:
    app = Recorder()
    with serve(app, **OPTIONS) as server, server.connect() as client:
        websockets = [opened(client) for _ in range(5)]
        websockets[0].client.send(close_frame(4000))
        assert websockets[0].closed() == (4000, "")
        client.shutdown()
        client.wait_for_end()
        app.stage.wait("disconnect", 5)
    assert sorted(event["code"] for event in app.stage.values("disconnect")) == [1006] * 4 + [4000]


def test_a_padded_frame_and_an_empty_one_carry_what_they_carry() -> None:
    with serve(echo, **OPTIONS) as server, server.connect() as client:
        websocket = opened(client)
        stream = websocket.client.stream.id
        data = frame(TEXT, b"hello")
        client.raw(http2_frame(DATA, 0x8, stream, bytes([5]) + data[:3] + bytes(5)))
        client.raw(http2_frame(DATA, 0, stream))
        client.raw(http2_frame(DATA, END_STREAM, stream, data[3:]))
        assert websocket.receive() == "hello"
