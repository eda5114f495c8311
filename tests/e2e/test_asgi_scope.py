"""The HTTP scope, ASGI.md lines 1 to 13, each by its number."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any

import pytest
from support.apps import answer, lifespan_aware
from support.carriers import HTTP1, Carrier
from support.client import request
from support.server import Running, serve


class Scopes:
    """Records the scope of every request and answers 200."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        await answer(send, b"ok")


def scope_of(carrier: Carrier, data: bytes, **options: Any) -> dict[str, Any]:
    """The scope an application gets for one request."""
    app = Scopes()
    with carrier.serve(app, lifespan="off", **options) as server, server.connect() as client:
        assert client.ask(data).status == 200
    return app.seen[0]


def get(carrier: Carrier, target: str, *lines: str, **options: Any) -> dict[str, Any]:
    return scope_of(carrier, request("GET", target, *lines), **options)


def spoil(value: Any) -> None:
    """Changes every dict and list in `value`, however deep."""
    if isinstance(value, dict):
        for each in list(value.values()):
            spoil(each)
        value["spoilt"] = True
    elif isinstance(value, list):
        value.clear()
        value.append((b"spoilt", b"1"))


def test_line_01_every_request_gets_fresh_dicts_on_one_connection(carrier: Carrier) -> None:
    scopes: list[Any] = []
    plain: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        plain.append((dict(scope["asgi"]), dict(scope["extensions"]), list(scope["headers"])))
        scopes.append(scope)
        spoil(scope)
        await answer(send)

    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").status == 200
        assert server.get("/").status == 200
    assert plain[0][0] == {"version": "3.0", "spec_version": "2.5"}
    assert all(each == plain[0] for each in plain)
    for first, second in itertools.pairwise(scopes):
        assert first is not second
        for name in ("asgi", "extensions", "headers"):
            assert first[name] is not second[name]
        for name in first["extensions"]:
            assert first["extensions"][name] is not second["extensions"][name] or name == "spoilt"


def test_line_01_pipelined_requests_get_fresh_dicts() -> None:
    scopes: list[Any] = []
    seen: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append("spoilt" in scope or "spoilt" in scope["asgi"])
        scopes.append(scope)
        spoil(scope)
        await answer(send)

    with serve(app, lifespan="off") as server, server.connect() as client:
        client.send(request("GET") * 5)
        assert [client.response().status for _ in range(5)] == [200] * 5
    assert seen == [False] * 5


def test_line_02_type_and_versions(carrier: Carrier) -> None:
    scope = get(carrier, "/")
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}


def test_line_02_every_key_has_its_type(carrier: Carrier) -> None:
    scope = get(carrier, "/a?b")
    types = {
        "type": str, "asgi": dict, "http_version": str, "method": str, "scheme": str,
        "path": str, "raw_path": bytes, "query_string": bytes, "root_path": str,
        "extensions": dict,
    }  # fmt: skip
    assert {name: type(scope[name]) for name in types} == types
    assert set(scope) == {*types, "headers", "client", "server"}


def test_line_02_lifespan_has_its_own_spec_version() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        assert scope["type"] == "lifespan"
        await lifespan_aware(app)(scope, receive, send)

    with serve(app, lifespan="on"):
        pass
    assert seen[0]["asgi"] == {"version": "3.0", "spec_version": "2.0"}


def test_line_03_what_is_advertised_is_done(carrier: Carrier) -> None:
    """Spec version 2.4 and above promise an OSError from send(); see test_asgi_disconnect."""
    major, minor = map(int, get(carrier, "/")["asgi"]["spec_version"].split("."))
    assert (major, minor) >= (2, 4)


def test_line_04_http_version(carrier: Carrier) -> None:
    assert get(carrier, "/")["http_version"] == carrier.version


def test_line_04_http_version_1_0() -> None:
    data = request("GET").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert scope_of(HTTP1, data)["http_version"] == "1.0"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "QUERY", "PROPFIND", "X-Y"])
def test_line_05_method_is_upper_case(carrier: Carrier, method: str) -> None:
    assert scope_of(carrier, request(method))["method"] == method
    assert scope_of(carrier, request(method.lower()))["method"] == method


def test_line_05_scheme_is_not_empty(carrier: Carrier) -> None:
    assert get(carrier, "/")["scheme"] == "http"


PATHS = [
    ("/", "/"),
    ("/a/b", "/a/b"),
    ("/a%2Fb", "/a/b"),
    ("/a%20b", "/a b"),
    ("/caf%C3%A9", "/caf\u00e9"),
    ("/%F0%9F%90%8D", "/\U0001f40d"),
    ("/%ff", "/\ufffd"),
    ("/a%C3", "/a\ufffd"),
    ("/%2541", "/%41"),
    ("/a+b", "/a+b"),
    ("//x//y", "//x//y"),
    ("/a/../b", "/a/../b"),
]


@pytest.mark.parametrize(("target", "path"), PATHS)
def test_line_06_path_is_decoded_from_percent_and_utf8(
    carrier: Carrier, target: str, path: str
) -> None:
    assert get(carrier, target + "?q=%2F")["path"] == path


ABSOLUTE = [
    ("http://h/x", "/x"),
    ("http://h:80/x?q", "/x"),
    ("HTTP://h/%41", "/A"),
    ("https://h/x", "/x"),
    ("http://h", "/"),
    ("http://[::1]:80/x", "/x"),
]


@pytest.mark.parametrize(("target", "path"), ABSOLUTE)
def test_line_06_absolute_form_yields_the_path_alone(target: str, path: str) -> None:
    assert get(HTTP1, target)["path"] == path


@pytest.mark.parametrize("target", [path for path, _ in PATHS])
def test_line_07_raw_path_is_unmodified_and_without_query(carrier: Carrier, target: str) -> None:
    assert get(carrier, target)["raw_path"] == target.encode()
    assert get(carrier, target + "?a=/b?c")["raw_path"] == target.encode()


@pytest.mark.parametrize("root_path", ["/api", "/api/v1"])
def test_line_07_raw_path_has_no_root_path_put_before_it(carrier: Carrier, root_path: str) -> None:
    assert get(carrier, "/%41", root_path=root_path)["raw_path"] == b"/%41"


def test_line_07_raw_path_of_the_absolute_form_is_its_path() -> None:
    assert get(HTTP1, "http://h/%41?b")["raw_path"] == b"/%41"


@pytest.mark.parametrize(
    ("target", "query"),
    [
        ("/", b""),
        ("/?", b""),
        ("/?a=%20%C3%A9+b", b"a=%20%C3%A9+b"),
        ("/?a?b", b"a?b"),
        ("/%3Fa", b""),
    ],
)
def test_line_08_query_string_stays_encoded(carrier: Carrier, target: str, query: bytes) -> None:
    assert get(carrier, target)["query_string"] == query


@pytest.mark.parametrize(
    ("root_path", "target", "path", "told"),
    [
        ("", "/x", "/x", ""),
        ("/", "/x", "/x", ""),
        ("/api", "/x", "/api/x", "/api"),
        ("/api", "/", "/api/", "/api"),
        ("/api", "/api/x", "/api/x", "/api"),
        ("/api", "/api", "/api", "/api"),
        ("/api/", "/x", "/api/x", "/api"),
        ("/api/", "/api/x", "/api/x", "/api"),
        ("/api", "/apix", "/api/apix", "/api"),
        ("/api", "/a%20b", "/api/a b", "/api"),
    ],
    ids=str,
)
def test_line_09_root_path_whether_the_proxy_strips_it_or_not(
    carrier: Carrier, root_path: str, target: str, path: str, told: str
) -> None:
    scope = get(carrier, target, root_path=root_path)
    assert (scope["path"], scope["root_path"]) == (path, told)
    assert scope["path"].startswith(scope["root_path"])


def test_lines_08_and_09_of_the_absolute_form() -> None:
    assert get(HTTP1, "http://h?a")["query_string"] == b"a"
    assert get(HTTP1, "http://h/x", root_path="/api")["path"] == "/api/x"


def test_line_10_header_names_are_lower_case_and_values_untouched(carrier: Carrier) -> None:
    headers = [tuple(pair) for pair in get(carrier, "/", "X-Mixed-CASE:  Va Lue\t")["headers"]]
    assert (b"x-mixed-case", b"Va Lue") in headers


def test_line_10_headers_are_pairs_of_bytes(carrier: Carrier) -> None:
    headers = list(get(carrier, "/", "A: 1")["headers"])
    assert len(headers) == 2
    for pair in headers:
        name, value = pair
        assert type(name) is bytes
        assert type(value) is bytes


def test_line_10_duplicates_are_kept_apart_and_in_order(carrier: Carrier) -> None:
    lines = ["A: 1", "Cookie: a=b", "b: x", "a: 2", "Cookie: c=d", "A: 1", "accept: a, b"]
    headers = [tuple(pair) for pair in get(carrier, "/", *lines)["headers"]]
    assert [v for k, v in headers if k == b"a"] == [b"1", b"2", b"1"]
    assert [v for k, v in headers if k == b"cookie"] == [b"a=b", b"c=d"]
    assert [v for k, v in headers if k == b"accept"] == [b"a, b"]


def test_line_10_bytes_above_ascii_come_through(carrier: Carrier) -> None:
    assert (b"a", b"\xe9\xff") in [
        tuple(pair) for pair in get(carrier, "/", "A: \xe9\xff")["headers"]
    ]


def test_line_10_transfer_encoding_stays_in_the_headers() -> None:
    data = request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
    headers = [tuple(pair) for pair in scope_of(HTTP1, data)["headers"]]
    assert (b"transfer-encoding", b"chunked") in headers


def test_line_10_a_block_like_the_last_one_gives_equal_headers(carrier: Carrier) -> None:
    """The server may reuse what it parsed; the application must not notice."""
    app = Scopes()
    with carrier.serve(app, lifespan="off") as server, server.connect() as client:
        for value in ("1", "1", "2", "1"):
            client.get("/", f"A: {value}")
    values = [dict(map(tuple, scope["headers"]))[b"a"] for scope in app.seen]
    assert values == [b"1", b"1", b"2", b"1"]


def client_and_server(carrier: Carrier, **options: Any) -> tuple[Any, Any, Running, Any]:
    app = Scopes()
    with carrier.serve(app, lifespan="off", **options) as server, server.connect() as client:
        name = client.sock.getsockname()
        client.get("/")
    return app.seen[0]["client"], app.seen[0]["server"], server, name


def test_line_11_client_and_server_over_tcp(carrier: Carrier) -> None:
    client, server, running, name = client_and_server(carrier)
    assert tuple(client) == tuple(name)
    assert tuple(server) == (running.host, running.port)
    assert [type(part) for part in (*client, *server)] == [str, int, str, int]


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_line_11_client_and_server_over_ipv6(carrier: Carrier) -> None:
    client, server, running, name = client_and_server(carrier, host="::1")
    assert tuple(client) == tuple(name[:2])
    assert tuple(server) == ("::1", running.port)


def test_line_11_client_and_server_over_a_unix_socket(carrier: Carrier, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    client, server, *_ = client_and_server(carrier, uds=path)
    assert client is None
    assert tuple(server) == (path, None)


def test_line_12_state_is_a_shallow_copy_of_the_lifespans(carrier: Carrier) -> None:
    shared = object()
    states: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["shared"] = shared
            scope["state"]["list"] = []
            await lifespan_aware(app)(scope, receive, send)
            return
        states.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        scope["state"]["list"].append(1)
        await answer(send)

    with carrier.serve(app) as server, server.connect() as client:
        client.get("/")
        client.get("/")
        server.get("/")
    assert all(state["shared"] is shared for state in states)
    assert all("mine" not in state for state in states)
    assert states[0]["list"] is states[1]["list"]
    assert states[0]["list"] == [1, 1, 1]


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_line_12_state_is_absent_without_lifespan(carrier: Carrier, mode: str) -> None:
    app = Scopes()

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await app(scope, receive, send)

    with carrier.serve(without_lifespan, lifespan=mode) as server:
        server.get("/")
    assert "state" not in app.seen[0]


def test_line_13_extensions_are_dicts_by_name(carrier: Carrier) -> None:
    extensions = get(carrier, "/")["extensions"]
    assert set(extensions) == {
        "http.response.trailers",
        "http.response.early_hint",
        "http.response.pathsend",
        "http.response.zerocopysend",
    }
    assert all(value == {} for value in extensions.values())


def test_line_13_http_1_0_is_not_offered_what_it_cannot_do() -> None:
    data = request("GET").replace(b"HTTP/1.1", b"HTTP/1.0")
    extensions = scope_of(HTTP1, data)["extensions"]
    assert set(extensions) == {"http.response.pathsend", "http.response.zerocopysend"}
