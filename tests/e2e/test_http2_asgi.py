"""What ASGI.md says of HTTP/2 alone, or means otherwise there; lines by their numbers.

What holds for every version is in the tests of `carrier`: lines 1 to 13 and 15 to 25 of HTTP,
34 to 36 of lifespan, 37 to 39 and 42 of extensions.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from h2.errors import ErrorCodes
from support.apps import answer, body, read_body, start
from support.certificates import Authority
from support.client import Response, Truncated
from support.http2 import (
    DATA,
    END_STREAM,
    HEADERS,
    FrameClient,
    Http2Client,
    frame,
)
from support.server import serve
from support.stage import Stage

HOST = "127.0.0.1"


def serving(app: Any, **options: Any) -> Any:
    return serve(app, peer=Http2Client, lifespan="off", **options)


def scope_of(headers: Any = (), **options: Any) -> dict[str, Any]:
    """The scope that an application gets for one request."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answer(send)

    with serving(app) as server, server.connect() as client:
        assert client.fetch(options.pop("path", "/"), headers, **options).status == 200
    return seen[0]


def fetch(app: Any, headers: Any = (), **options: Any) -> Response:
    with serving(app) as server, server.connect() as client:
        return client.fetch("/", headers, **options)


def spoil(scope: dict[str, Any]) -> None:
    for each in (scope, scope["asgi"], scope["extensions"]):
        each["spoilt"] = True
    scope["headers"].clear()


def test_line_01_streams_at_once_get_fresh_dicts() -> None:
    """Also where a block repeats, so that what was parsed of it may be used again."""
    stage = Stage()
    plain: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        plain.append((dict(scope["asgi"]), dict(scope["extensions"]), list(scope["headers"])))
        spoil(scope)
        stage.mark("started")
        await stage.until("go")
        await answer(send)

    with serving(app) as server, server.connect() as client:
        streams = [client.open("GET", "/", [("x", "1")]) for _ in range(5)]
        stage.wait("started", 5)
        stage.mark("go")
        assert [stream.response().status for stream in streams] == [200] * 5
    assert plain[0][2] == [(b"host", b"test"), (b"x", b"1")]
    assert all(each == plain[0] for each in plain)


def test_line_05_scheme_is_that_of_the_connection(authority: Authority) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await answer(send)

    options = authority.issue(HOST).options
    with serving(app, **options) as server:
        client = server.connect(tls=authority.client_context(), name=HOST)
        assert client.fetch("/").status == 200
    assert (seen[0]["http_version"], seen[0]["scheme"]) == ("2", "https")


def test_line_10_the_authority_is_the_host_and_comes_first() -> None:
    scope = scope_of([("accept", "*/*"), ("x", "1")], authority="example.org:8443")
    assert [tuple(pair) for pair in scope["headers"]] == [
        (b"host", b"example.org:8443"),
        (b"accept", b"*/*"),
        (b"x", b"1"),
    ]


def test_line_10_the_authority_takes_the_place_of_a_host() -> None:
    headers = scope_of([("x", "1"), ("host", "test")], authority="test")["headers"]
    assert [tuple(pair) for pair in headers] == [(b"host", b"test"), (b"x", b"1")]


def test_line_10_a_host_without_an_authority_is_the_host() -> None:
    headers = scope_of([("x", "1"), ("host", "only.test")], authority=None)["headers"]
    assert sorted(map(tuple, headers)) == [(b"host", b"only.test"), (b"x", b"1")]


def test_line_10_pseudo_headers_are_not_among_the_headers() -> None:
    names = [name for name, _ in scope_of([("a", "1")])["headers"]]
    assert names == [b"host", b"a"]


def test_line_10_several_cookies_pass_through_as_they_are() -> None:
    cookies = [("cookie", "a=b"), ("x", "1"), ("cookie", "c=d"), ("cookie", "e=f; g=h")]
    found = [value for name, value in scope_of(cookies)["headers"] if name == b"cookie"]
    assert found == [b"a=b", b"c=d", b"e=f; g=h"]


def test_line_13_what_http_2_can_do_is_advertised_and_push_is_not() -> None:
    assert set(scope_of()["extensions"]) == {
        "http.response.trailers",
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.zerocopysend",
    }


def test_line_15_a_body_needs_no_length() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("names", [name for name, _ in scope["headers"]])
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            stage.mark("message", (message["body"], more))
        await answer(send)

    with serving(app) as server, server.connect() as client:
        stream = client.open("POST", ends=False)
        assert stage.wait("names") == [b"host"], "the server makes up no field of its own"
        for count, piece in enumerate((b"ab", b"cd"), 1):
            stream.send(piece)
            assert stage.wait("message", count) == (piece, True)
        stream.end()
        assert stage.wait("message", 3) == (b"", False)
        assert stream.response().status == 200


def test_line_15_request_trailers_end_the_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, await read_body(receive))

    with serving(app) as server, server.connect() as client:
        stream = client.open("POST", ends=False)
        stream.send(b"hello")
        stream.send_trailers(("x-sum", "1"))
        assert stream.response().body == b"hello"


def test_line_15_one_body_that_nobody_reads_does_not_hold_up_another() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/unread":
            stage.mark("started")
            await stage.until("go")
        await answer(send, str(len(await read_body(receive))).encode())

    size = 8 << 20
    with serving(app) as server, server.connect() as client:
        unread = client.open("POST", "/unread", ends=False)
        stage.wait("started")
        sent = unread.send_until_blocked(b"x" * 65536, size, patience=0.2)
        assert sent < size, "the window opened though nobody read"
        assert client.fetch("/read", method="POST", body=b"x" * 3_000_000).body == b"3000000"
        stage.mark("go")
        unread.send(b"x" * (size - sent), ends=True)
        assert unread.response().body == str(size).encode()


def test_line_17_a_reset_stream_is_a_disconnect_for_its_application_alone() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("listening")
        if scope["path"] == "/left":
            stage.mark("messages", [await receive() for _ in range(3)])
            return
        listener = asyncio.create_task(receive())
        await stage.until("go")
        assert not listener.done()
        await answer(send, b"stayed")
        assert (await listener)["type"] == "http.disconnect"

    with serving(app) as server, server.connect() as client:
        left, stayed = client.open("GET", "/left"), client.open("GET", "/stayed")
        stage.wait("listening", 2)
        left.cancel()
        assert stage.wait("messages") == [{"type": "http.disconnect"}] * 3
        stage.mark("go")
        assert stayed.response().body == b"stayed"


@pytest.mark.parametrize("way", ["close", "reset"])
def test_line_17_a_lost_connection_is_a_disconnect_for_all_of_its_streams(way: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("listening")
        stage.mark("message", await receive())

    with serving(app) as server:
        client = server.connect()
        for _ in range(5):
            client.open()
        stage.wait("listening", 5)
        getattr(client, way)()
        stage.wait("message", 5)
    assert stage.values("message") == [{"type": "http.disconnect"}] * 5


def test_line_18_head_and_body_leave_in_one_write() -> None:
    """Complete in one go, they reach the client in one piece."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"hello")

    with serve(app, peer=FrameClient, lifespan="off") as server, server.connect() as client:
        for number in range(1, 20, 2):
            client.open(number)
            client.fields(client.next(HEADERS))
            assert client.buffer == frame(DATA, END_STREAM, number, b"hello")
            client.frame()


def test_line_19_fields_of_an_http_1_connection_are_left_out() -> None:
    mine = [
        (b"Connection", b"keep-alive, x-hop"),
        (b"keep-alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-connection", b"close"),
        (b"X-Mixed", b"1"),
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, mine))
        await send(body(b"hello"))

    with serving(app) as server, server.connect() as client:
        for _ in range(2):
            got = client.fetch("/")
            assert {name for name, _ in got.headers} <= {
                "x-mixed",
                "date",
                "server",
                "content-length",
            }
            assert (got.header("x-mixed"), got.body) == ("1", b"hello")


def test_line_20_a_response_in_pieces_has_neither_length_nor_coding() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hel", more=True))
        await send(body(b"lo"))

    got = fetch(app)
    assert (got.header("content-length"), got.header("transfer-encoding")) == (None, None)
    assert got.body == b"hello"


@pytest.mark.parametrize(("status", "method"), [(200, "HEAD"), (204, "GET"), (304, "GET")], ids=str)
def test_line_20_without_a_body_the_head_ends_the_stream(status: int, method: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(status, [(b"content-length", b"10")]))
        await send(body(b"never seen"))

    with serve(app, peer=FrameClient, lifespan="off") as server, server.connect() as client:
        for number in (1, 3):
            client.open(number, method=method)
            head = client.next(HEADERS)
            assert head.flags & END_STREAM
            told = [value for name, value in client.fields(head) if name == "content-length"]
            assert told == ([] if status == 204 else ["10"])


def test_line_21_send_waits_for_the_window_of_its_stream_alone() -> None:
    stage = Stage()
    size = 2 << 20

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(size // 65536):
            await send(body(b"x" * 65536, more=True))
        await send(body())
        stage.mark(scope["path"])

    with serving(app) as server:
        client = server.connect(holds=True, window=1 << 24)
        closed, opened = client.open("GET", "/closed"), client.open("GET", "/opened")
        opened.grant(size)
        assert len(opened.response().body) == size
        stage.wait("/opened")
        assert len(closed.read(1 << 20)) == 1 << 20, "the window it began with"
        assert not stage.has("/closed")
        closed.grant(size)
        assert len(closed.response().body) == size - (1 << 20)
        stage.wait("/closed")


def test_line_23_send_on_a_reset_stream_raises_and_costs_the_others_nothing(logs: Any) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            await answer(send, b"fine")
            return
        stage.mark("started")
        while (await receive())["type"] != "http.disconnect":
            pass
        for message in (start(), body(b"x", more=True), body()):
            try:
                await send(message)
            except OSError as error:
                stage.mark("error", error)

    with serving(app) as server, server.connect() as client:
        codes = (ErrorCodes.CANCEL, ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR)
        for count, code in enumerate(codes, 1):
            stream = client.open("GET", "/left")
            stage.wait("started", count)
            stream.cancel(code)
            stage.wait("error", 3 * count)
            assert client.fetch("/").body == b"fine"
    assert all(type(error) is not OSError for error in stage.values("error"))
    assert logs.noise == []


async def crash(scope: Any, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"begun", more=True))
    if scope["path"] == "/crash":
        raise RuntimeError("in the middle")
    if scope["path"] == "/return":
        return
    await send(body(b" and done"))


@pytest.mark.parametrize("path", ["/crash", "/return"])
def test_line_24_an_unfinished_response_is_reset_and_nothing_else(path: str, logs: Any) -> None:
    with serving(crash) as server, server.connect() as client:
        broken, whole = client.open("GET", path), client.open("GET", "/")
        assert broken.head().status == 200
        assert broken.read(5) == b"begun"
        assert broken.wait_for_reset() == ErrorCodes.INTERNAL_ERROR
        assert whole.response().body == b"begun and done"
        assert client.fetch("/").body == b"begun and done"
        assert client.goaways == []
    assert len(logs.noise) == 1


def test_line_24_a_response_shorter_than_its_length_is_reset(logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"content-length", b"10")]))
        await send(body(b"begun", more=True))
        await send(body())

    with serving(app) as server, server.connect() as client:
        stream = client.open()
        assert stream.head().header("content-length") == "10"
        assert stream.read(5) == b"begun"
        with pytest.raises(Truncated):
            stream.rest()
        assert stream.reset is not None
        client.ping()


mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="none")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_line_25_streams_do_not_inherit_each_others_context(loop: str) -> None:
    stage = Stage()
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(mark.get())
        mark.set(scope["path"])
        stage.mark("started")
        await stage.until("go")
        assert mark.get() == scope["path"]
        await answer(send)

    with serving(app, loop=loop) as server, server.connect() as client:
        streams = [client.open("GET", f"/{number}") for number in range(10)]
        stage.wait("started", 10)
        stage.mark("go")
        assert [stream.response().status for stream in streams] == [200] * 10
    assert seen == ["none"] * 10


def trailers(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.trailers", "headers": list(headers)}


async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
    await send(start(trailers=True))
    await send(body(b"hello"))
    await send(trailers((b"X-Sum", b"1"), (b"x-end", b"2")))


def test_line_38_trailers_need_no_connection_field_and_no_chunks() -> None:
    got = fetch(with_trailers, [("te", "trailers")])
    assert (got.body, got.trailers) == (b"hello", [("x-sum", "1"), ("x-end", "2")])


def test_line_38_who_does_not_ask_for_trailers_gets_none() -> None:
    got = fetch(with_trailers)
    assert (got.body, got.trailers) == (b"hello", [])


def test_line_38_trailers_follow_an_empty_body() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body())
        await send(trailers((b"grpc-status", b"0")))

    got = fetch(app, [("te", "trailers")])
    assert (got.body, got.trailers) == (b"", [("grpc-status", "0")])


def test_line_39_early_hints_of_streams_at_once() -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        link = f"<{scope['path']}.css>; rel=preload".encode()
        await send({"type": "http.response.early_hint", "links": [link]})
        await stage.until("go")
        await answer(send, scope["path"].encode())

    with serving(app) as server, server.connect() as client:
        streams = [client.open("GET", f"/{number}") for number in range(3)]
        for number, stream in enumerate(streams):
            early = stream.head()
            assert (early.status, early.header("link")) == (103, f"</{number}.css>; rel=preload")
        stage.mark("go")
        assert [stream.response().body for stream in streams] == [b"/0", b"/1", b"/2"]


def test_line_40_a_push_raises_and_the_response_goes_on() -> None:
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "http.response.push" not in scope["extensions"]
        try:
            await send({"type": "http.response.push", "path": "/a", "headers": []})
        except Exception as error:
            raised.append(error)
        await answer(send, b"hello")

    assert fetch(app).body == b"hello"
    assert len(raised) == 1


def test_line_41_tls_is_told_on_every_stream(authority: Authority) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["extensions"]["tls"])
        scope["extensions"]["tls"]["spoilt"] = True
        await answer(send)

    with serving(app, **authority.issue(HOST).options) as server:
        client = server.connect(tls=authority.client_context(), name=HOST)
        assert [client.fetch("/").status for _ in range(2)] == [200, 200]
    assert seen[0]["tls_version"] == 0x0304
    assert isinstance(seen[0]["cipher_suite"], int)
    assert seen[0].keys() == seen[1].keys()
    assert seen[0] is not seen[1]


def test_line_41_there_is_no_tls_without_tls() -> None:
    assert "tls" not in scope_of()["extensions"]
