"""The WebSocket scope, ASGI.md lines 1 to 14, each by its number."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from support.apps import answer, lifespan_aware
from support.client import request
from support.websocket import FIELDS, accept, connect, handshake
from support.websocket_http2 import ON_HTTP1, carriage, serve

pytestmark = pytest.mark.usefixtures("carriage")


class Scopes:
    """Records the scope of every WebSocket, accepts it and leaves."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        await accept(receive, send)


def scope_of(target: str, *lines: str, **options: Any) -> dict[str, Any]:
    """The scope an application gets for one handshake."""
    app = Scopes()
    with serve(app, **({"lifespan": "off"} | options)) as server:
        assert connect(server, target, *lines).closed() == (1000, "")
    return app.seen[0]


def test_line_01_every_websocket_gets_fresh_dicts() -> None:
    plain: list[Any] = []
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        plain.append((dict(scope["asgi"]), dict(scope["extensions"]), list(scope["headers"]),
                      list(scope["subprotocols"])))  # fmt: skip
        scopes.append(scope)
        for each in ("asgi", "extensions"):
            scope[each]["spoilt"] = True
        scope["headers"].clear()
        scope["subprotocols"].append("spoilt")
        await accept(receive, send)

    with serve(app, lifespan="off") as server:
        for _ in range(3):
            connect(server, "/", "Sec-WebSocket-Protocol: a").closed()
    assert plain == [plain[0]] * 3
    for name in ("asgi", "extensions", "headers", "subprotocols"):
        assert len({id(scope[name]) for scope in scopes}) == 3


def test_line_01_what_one_websocket_spoils_is_whole_for_a_request_of_the_same_headers() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(list(scope["headers"]))
        scope["headers"].clear()
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await answer(send)

    with serve(app, lifespan="off") as server:
        for _ in range(2):
            with server.connect() as client:
                assert client.ask(handshake()).status == 403
            assert server.get().status == 200
    assert seen[0] == seen[2]
    assert seen[1] == seen[3] == [(b"host", b"test")]


def test_line_02_every_key_has_its_type_and_there_is_no_method() -> None:
    scope = scope_of("/a?b")
    types = {
        "type": str, "asgi": dict, "http_version": str, "scheme": str, "path": str,
        "raw_path": bytes, "query_string": bytes, "root_path": str, "headers": list,
        "subprotocols": list, "extensions": dict,
    }  # fmt: skip
    assert {name: type(scope[name]) for name in types} == types
    assert set(scope) == {*types, "client", "server"}
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}


def test_line_04_http_version() -> None:
    assert scope_of("/")["http_version"] == carriage().version


def test_line_05_the_scheme_is_ws() -> None:
    assert scope_of("/")["scheme"] == "ws"


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/a%20b/%C3%A9?x=%20&y", "/a b/é", b"/a%20b/%C3%A9", b"x=%20&y"),
        ("/%2Fa%ff", "//a\ufffd", b"/%2Fa%ff", b""),
        pytest.param("http://test/chat?room=1", "/chat", b"/chat", b"room=1", marks=ON_HTTP1),
    ],
)
def test_lines_06_to_08_path_and_query(
    target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    scope = scope_of(target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_line_09_root_path_comes_first_once() -> None:
    for target in ("/chat", "/api/chat"):
        scope = scope_of(target, root_path="/api")
        assert (scope["root_path"], scope["path"]) == ("/api", "/api/chat")
        assert scope["raw_path"] == target.encode()


@ON_HTTP1
def test_line_10_header_order_duplicates_and_lower_case_names() -> None:
    scope = scope_of("/", "X-B: 1", "Cookie: a=1", "x-a: 2", "Cookie: b=2", "X-B: 3")
    expected = [
        (b"host", b"test"),
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"sec-websocket-version", b"13"),
        (b"x-b", b"1"),
        (b"cookie", b"a=1"),
        (b"x-a", b"2"),
        (b"cookie", b"b=2"),
        (b"x-b", b"3"),
    ]
    assert [tuple(pair) for pair in scope["headers"]] == expected


def test_line_11_client_and_server_over_tcp() -> None:
    app = Scopes()
    with serve(app, lifespan="off") as server:
        websocket = connect(server)
        name = websocket.client.sock.getsockname()
        websocket.closed()
    assert app.seen[0]["client"] == name[:2]
    assert app.seen[0]["server"] == (server.host, server.port)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets")
def test_line_11_client_and_server_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    scope = scope_of("/", uds=path)
    assert scope["client"] is None
    assert scope["server"] == (path, None)


def test_line_12_state_is_a_copy_with_the_same_objects() -> None:
    pool = object()
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = pool
            await lifespan_aware(app)(scope, receive, send)
            return
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        await accept(receive, send)

    with serve(app, lifespan="on") as server:
        for _ in range(2):
            connect(server).closed()
    assert [state["pool"] for state in seen] == [pool, pool]
    assert not any("mine" in state for state in seen)


def test_line_12_no_state_without_lifespan() -> None:
    assert "state" not in scope_of("/")


def test_line_13_the_denial_response_is_the_only_extension() -> None:
    assert scope_of("/")["extensions"] == {"websocket.http.response": {}}


def test_line_14_subprotocols_are_merged_in_the_clients_order() -> None:
    lines = ("Sec-WebSocket-Protocol: b, a", "X: 1", "sec-websocket-protocol:c ,d")
    assert scope_of("/", *lines)["subprotocols"] == ["b", "a", "c", "d"]
    assert scope_of("/")["subprotocols"] == []


# -- what is no WebSocket ----------------------------------------------------------------


async def types(scope: Any, receive: Any, send: Any) -> None:
    """Answers a request with its scope's type."""
    assert scope["type"] == "http"
    await answer(send, scope["type"].encode())


@ON_HTTP1
@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: h2c", "Connection: Upgrade"),
        ("Upgrade: websocket",),
        ("Connection: Upgrade",),
        ("Upgrade: websockets", *FIELDS[1:]),
    ],
)
def test_an_upgrade_to_something_else_is_an_ordinary_request(lines: tuple[str, ...]) -> None:
    with serve(types, lifespan="off") as server, server.connect() as client:
        assert client.get("/", *lines).body == b"http"
        assert client.get("/").body == b"http"


@ON_HTTP1
def test_a_handshake_over_http_1_0_is_an_ordinary_request() -> None:
    data = handshake().replace(b"HTTP/1.1", b"HTTP/1.0")
    with serve(types, lifespan="off") as server, server.connect() as client:
        assert client.ask(data).body == b"http"


@ON_HTTP1
def test_without_websockets_a_handshake_is_an_ordinary_request() -> None:
    with serve(types, lifespan="off", ws="none") as server, server.connect() as client:
        assert client.ask(handshake()).body == b"http"
        assert client.ask(request("GET")).body == b"http"
