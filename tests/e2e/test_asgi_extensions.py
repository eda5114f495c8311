"""Extensions without files: ASGI.md lines 38, 39 and 42; and ASGI 2 applications."""

from __future__ import annotations

from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage

TRAILERS = "http.response.trailers"


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> dict[str, Any]:
    return {"type": TRAILERS, "headers": list(headers), "more_trailers": more}


async def with_trailers(scope: Any, receive: Any, send: Any) -> None:
    await send(start(trailers=True))
    await send(body(b"hello"))
    await send(trailers((b"x-a", b"1"), (b"x-b", b"2"), more=True))
    await send(trailers((b"x-a", b"3")))


TE = ("TE: trailers", "Connection: TE")


def test_line_38_trailers_follow_the_body_in_order(carrier: Carrier) -> None:
    with carrier.serve(with_trailers, lifespan="off") as server, server.connect() as client:
        for _ in range(2):
            answer_ = client.get("/", *TE)
            assert answer_.all("transfer-encoding") == carrier.codings
            assert answer_.body == b"hello"
            assert answer_.trailers == [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]


@pytest.mark.parametrize(
    ("value", "sent"),
    [("trailers", True), ("TRAILERS", True), ("gzip, trailers", True), ("gzip;q=0.5", False),
     ("trailersx", False)],
)  # fmt: skip
def test_line_38_only_clients_that_ask_get_trailers(value: str, sent: bool) -> None:
    with serve(with_trailers, lifespan="off") as server:
        answer_ = server.get("/", f"TE: {value}", "Connection: TE")
        assert answer_.body == b"hello"
        assert bool(answer_.trailers) is sent


def test_line_38_without_te_no_trailer_is_sent(carrier: Carrier) -> None:
    with carrier.serve(with_trailers, lifespan="off") as server, server.connect() as client:
        answer_ = client.get("/")
        assert (answer_.body, answer_.trailers) == (b"hello", [])
        assert client.get("/").body == b"hello"


def test_line_38_the_response_is_not_over_before_the_last_trailers(carrier: Carrier) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body(b"hello"))
        stage.mark("body")
        await stage.until("go")
        await send(trailers((b"x-a", b"1")))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET", "/", *TE))
        head = client.head()
        assert client.read(5) == b"hello"
        stage.wait("body")
        stage.mark("go")
        client.body(head)
        assert (head.body, head.trailers) == (b"", [("x-a", "1")])


def test_line_38_trailers_work_with_a_body_in_pieces(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body(b"hel", more=True))
        await send(body(b"lo"))
        await send(trailers())

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        answer_ = client.get("/", *TE)
        assert (answer_.body, answer_.trailers) == (b"hello", [])
        assert client.get("/", *TE).body == b"hello"


def test_line_38_trailers_that_do_not_come_cut_the_response_short(
    carrier: Carrier, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body(b"hello"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET", "/", *TE))
        client.truncated(client.head())
    assert len(logs.noise) == 1


@pytest.mark.parametrize(
    "pair",
    [(b"x", b"1\r\ny: 2"), (b"x y", b"1"), ("x", b"1"), (b"x", "1")],
    ids=["value", "name", "str-name", "str-value"],
)
def test_line_38_bad_trailers_raise(carrier: Carrier, pair: Any) -> None:
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(trailers=True))
        await send(body(b"hello"))
        try:
            await send(trailers(pair))
        except Exception as error:
            raised.append(error)
        await send(trailers((b"x", b"good")))

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/", *TE).trailers == [("x", "good")]
        assert server.get("/").trailers == []
    assert len(raised) == 2


def test_line_38_trailers_that_were_not_announced_raise(carrier: Carrier) -> None:
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hel", more=True))
        try:
            await send(trailers((b"x", b"1")))
        except Exception as error:
            raised.append(error)
        await send(body(b"lo"))

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/", *TE).body == b"hello"
    assert len(raised) == 1


def hint(*links: bytes) -> dict[str, Any]:
    return {"type": "http.response.early_hint", "links": list(links)}


@pytest.mark.parametrize("when", ["before", "after"])
def test_line_39_early_hints_on_either_side_of_the_start(carrier: Carrier, when: str) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when == "after":
            await send(start())
        await send(hint(b"</a>; rel=preload", b"</b>; rel=preload"))
        await stage.until("go")
        if when == "before":
            await send(start())
        await send(body(b"hello"))

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        early = client.head()
        assert early.status == 103
        assert early.headers == [("link", "</a>; rel=preload"), ("link", "</b>; rel=preload")]
        stage.mark("go")
        answer_ = client.response()
        assert (answer_.status, answer_.body) == (200, b"hello")
        assert answer_.header("link") is None


def test_line_39_several_early_hints(carrier: Carrier) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for link in (b"</a>", b"</b>", b"</c>"):
            await send({"type": "http.response.early_hint", "links": iter([link])})
        await answer(send, b"hello")

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        early = [client.head() for _ in range(3)]
        assert [each.header("link") for each in early] == ["</a>", "</b>", "</c>"]
        assert client.response().body == b"hello"


def test_line_39_no_early_hints_for_1_0() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(hint(b"</a>"))
        await answer(send, b"hello")

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert client.head().status == 200


@pytest.mark.parametrize(
    "links", [["</a>"], [b"</a>\r\nx: 1"], None], ids=["str", "line end", "none"]
)
def test_line_39_bad_hints_raise(carrier: Carrier, links: Any) -> None:
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.early_hint", "links": links})
        except Exception as error:
            raised.append(error)
        await answer(send, b"hello")

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET"))
        assert client.head().status == 200
    assert len(raised) == 1


def test_line_39_hints_behind_the_body_raise(carrier: Carrier) -> None:
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hel", more=True))
        try:
            await send(hint(b"</a>"))
        except Exception as error:
            raised.append(error)
        await send(body(b"lo"))

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").body == b"hello"
    assert len(raised) == 1


def test_line_42_debug_is_not_offered(carrier: Carrier) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["extensions"])
        await answer(send)

    with carrier.serve(app, lifespan="off") as server:
        server.get("/")
    assert "http.response.debug" not in seen[0]


# ASGI 2: a callable that takes the scope and returns one that takes receive and send.


class DoubleClass:
    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        if self.scope["type"] == "lifespan":
            for name in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{name}.complete"})
            return
        await answer(send, self.scope["path"].encode() + await read_body(receive))


def double_function(scope: Any) -> Any:
    return DoubleClass(scope)


class DoubleInstance:
    def __call__(self, scope: Any) -> Any:
        return DoubleClass(scope)


DOUBLES = [DoubleClass, double_function, DoubleInstance()]


@pytest.mark.parametrize("interface", ["auto", "asgi2"])
@pytest.mark.parametrize("app", DOUBLES, ids=["class", "function", "instance"])
def test_asgi_2_applications_work(carrier: Carrier, app: Any, interface: str) -> None:
    with carrier.serve(app, interface=interface) as server, server.connect() as client:
        assert client.ask(request("POST", "/a", body=b"hello")).body == b"/ahello"
        assert client.get("/b").body == b"/b"


def test_asgi_2_application_that_raises_in_its_first_call(carrier: Carrier, logs: Any) -> None:
    def app(scope: Any) -> Any:
        raise RuntimeError("first call")

    with carrier.serve(app, lifespan="off", interface="asgi2") as server:
        assert server.get("/").status == 500
    assert len(logs.noise) == 1
