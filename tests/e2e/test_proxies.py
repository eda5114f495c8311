"""Behind a proxy: what its fields make of a request's scope, and what nobody else's do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support import websocket
from support.apps import answer
from support.carriers import HTTP1, Carrier
from support.client import Client, request
from support.server import Running, serve
from support.stage import Stage

KEYS = ("type", "client", "server", "scheme", "path", "raw_path", "root_path")
EVERYTHING = (
    "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-port,x-forwarded-prefix,"
    "forwarded,x-real-ip,cf-connecting-ip"
)
CLAIMS = (
    "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https",
    "X-Forwarded-Host: shop.example", "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /shop",
    "X-Real-IP: 198.51.100.7", "CF-Connecting-IP: 198.51.100.7",
    "Forwarded: for=198.51.100.7;proto=https;host=shop.example",
)  # fmt: skip


async def tell(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the scope, after spoiling its lists as an application may."""
    told = {key: scope[key] for key in KEYS if key != "raw_path"}
    told["raw_path"] = scope["raw_path"].decode()
    told["host"] = [value.decode() for name, value in scope["headers"] if name == b"host"]
    told["fields"] = len(scope["headers"])
    scope["headers"].clear()
    await answer(send, json.dumps(told).encode())


def scope(server: Running | Client, *lines: str, target: str = "/") -> dict[str, Any]:
    got: dict[str, Any] = json.loads(server.get(target, *lines).text)
    return got


def serving(carrier: Carrier, **options: Any) -> Any:
    return carrier.serve(tell, lifespan="off", **options)


def plain(told: dict[str, Any]) -> bool:
    """Whether a scope is as if the request had none of the fields."""
    return (
        told["client"][0] == "127.0.0.1"
        and told["client"][1] > 0
        and told["server"][0] == "127.0.0.1"
        and (told["scheme"], told["host"], told["root_path"]) == ("http", ["test"], "")
    )


@pytest.mark.parametrize(
    "options",
    [
        {"forwarded_allow_ips": "192.0.2.0/24,unix,::1"},
        {"forwarded_allow_ips": ()},
        {"proxy_headers": False},
        {"proxy_headers": False, "forwarded_allow_ips": "*"},
        {"proxy_headers": False, "forwarded_hops": 1},
        {"forwarded_headers": ()},
        {"forwarded_hops": 1, "forwarded_allow_ips": "192.0.2.0/24"},
    ],
    ids=str,
)
def test_of_a_peer_that_is_not_trusted_nothing_is_read(
    carrier: Carrier, options: dict[str, Any]
) -> None:
    with serving(carrier, **{"forwarded_headers": EVERYTHING} | options) as server:
        assert plain(scope(server, *CLAIMS))


def test_by_default_a_proxy_on_this_machine_tells_client_and_scheme_and_no_more(
    carrier: Carrier,
) -> None:
    with serving(carrier) as server:
        told = scope(server, *CLAIMS)
    assert (told["client"], told["scheme"]) == (["198.51.100.7", 0], "https")
    assert told["server"] == ["127.0.0.1", server.port]
    assert (told["host"], told["root_path"], told["path"]) == (["test"], "", "/")


def test_the_application_gets_every_field_as_it_came_but_for_the_host(carrier: Carrier) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        await answer(send)

    with carrier.serve(app, lifespan="off", forwarded_headers=EVERYTHING) as server:
        server.get("/", *CLAIMS)
    names = [line.split(": ") for line in CLAIMS]
    expected = [(name.lower().encode(), value.encode()) for name, value in names]
    assert seen == [[(b"host", b"shop.example"), *expected]]


# field lines, what they change
TOLD: list[tuple[list[str], dict[str, Any]]] = [
    (["X-Forwarded-For: 6.6.6.6, 198.51.100.7:55"], {"client": ["198.51.100.7", 55]}),
    (["X-Forwarded-For: 2001:db8::1"], {"client": ["2001:db8::1", 0]}),
    (["X-Forwarded-For: unknown"], {}),
    (["X-Forwarded-For: " + "x" * 3000], {}),
    (["X-Forwarded-Proto: https"], {"scheme": "https"}),
    (["X-Forwarded-Proto: wss"], {"scheme": "https"}),
    (["X-Forwarded-Proto: gopher"], {}),
    (["X-Forwarded-Host: a.example"], {"host": ["a.example"], "server": ["a.example", 80]}),
    (["X-Forwarded-Host: a.example", "X-Forwarded-Proto: https"],
     {"host": ["a.example"], "server": ["a.example", 443], "scheme": "https"}),
    (["X-Forwarded-Host: [2001:db8::1]:81"],
     {"host": ["[2001:db8::1]:81"], "server": ["2001:db8::1", 81]}),
    (["X-Forwarded-Host: a.example", "X-Forwarded-Port: 82"],
     {"host": ["a.example"], "server": ["a.example", 82]}),
    (["X-Forwarded-Host: a b"], {}),
    (["X-Forwarded-Port: 83"], {"server": ["127.0.0.1", 83]}),
    (["X-Forwarded-Port: 0"], {}),
    (["X-Forwarded-Prefix: /a%20b/"], {"root_path": "/a b", "path": "/a b/x"}),
    (["X-Forwarded-Prefix: //evil.example"], {}),
    (["Forwarded: for=\"[2001:db8::1]:7\";host=b;proto=https"],
     {"client": ["2001:db8::1", 7], "host": ["b"], "server": ["b", 443], "scheme": "https"}),
    (["Forwarded: for=1.2.3.4", "X-Forwarded-Proto: https"], {"client": ["1.2.3.4", 0]}),
    (["Forwarded: ;;;=", "X-Forwarded-Proto: https"], {"scheme": "https"}),
    (["X-Real-IP: 1.2.3.4"], {"client": ["1.2.3.4", 0]}),
    (["CF-Connecting-IP: 1.2.3.4", "X-Forwarded-For: 6.6.6.6"], {"client": ["1.2.3.4", 0]}),
]  # fmt: skip


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_what_each_field_changes_on_one_connection_and_again(carrier: Carrier, loop: str) -> None:
    """One head after the other, and the same: nothing of one is left in the next."""
    options = {"forwarded_headers": EVERYTHING, "loop": loop}
    with serving(carrier, **options) as server, server.connect() as client:
        before = scope(client, target="/x")
        assert plain(before)
        for at, (lines, changes) in enumerate(TOLD):
            expected = before | changes | {"fields": 1 + len(lines)}
            for other, _ in TOLD[at::5]:
                client.get("/x", *other)
                for _ in range(2):
                    assert scope(client, *lines, target="/x") == expected
        assert scope(client, target="/x") == before


@pytest.mark.parametrize("target", ["/", "http://b.example/"])
def test_the_host_is_the_proxys_wherever_it_stood_and_whatever_else_the_server_changes(
    target: str,
) -> None:
    """A request id is taken out of the fields and put at their end."""
    with serving(HTTP1, forwarded_headers="x-forwarded-host", request_id=True) as server:
        for before in (0, 1, 2):
            lines = ["X-Request-ID: a"] * before + [
                "Host: c.example",
                "X-Forwarded-Host: a.example",
            ]
            head = "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""])
            with server.connect() as client:
                assert json.loads(client.ask(head.encode()).text)["host"] == ["a.example"]


def test_pipelined_requests_of_different_clients() -> None:
    numbers = range(1, 30)
    heads = [request("GET", "/", f"X-Forwarded-For: 198.51.100.{n}") for n in numbers]
    with serving(HTTP1) as server, server.connect() as client:
        client.send(b"".join(heads))
        got = [json.loads(client.response().text)["client"] for _ in numbers]
    assert got == [[f"198.51.100.{n}", 0] for n in numbers]


def test_a_request_without_host_and_one_with_an_absolute_target_get_the_proxys() -> None:
    line = "X-Forwarded-Host: a.example"
    with serving(HTTP1, forwarded_headers="x-forwarded-host") as server:
        with server.connect() as client:
            bare = client.ask(f"GET / HTTP/1.0\r\n{line}\r\n\r\n".encode())
        assert json.loads(bare.text)["host"] == ["a.example"]
        absolute = f"GET http://b.example/ HTTP/1.1\r\nHost: c.example\r\n{line}\r\n\r\n"
        for head in (absolute, absolute.replace("HTTP/1.1\r\nHost: c.example", "HTTP/1.0")):
            with server.connect() as client:
                assert json.loads(client.ask(head.encode()).text)["host"] == ["a.example"]


@pytest.mark.parametrize(
    ("allowed", "trusted"),
    [("unix", True), ("127.0.0.1,unix", True), ("*", True), ("127.0.0.1,::1", False),
     ("0.0.0.0/0,::/0", False)],
)  # fmt: skip
def test_who_comes_by_a_unix_socket_is_trusted_as_unix(
    carrier: Carrier, tmp_path: Path, allowed: str, trusted: bool
) -> None:
    with serving(carrier, uds=str(tmp_path / "s"), forwarded_allow_ips=allowed) as server:
        told = scope(server, "X-Forwarded-For: 198.51.100.7", "X-Forwarded-Proto: https")
    assert told["client"] == (["198.51.100.7", 0] if trusted else None)
    assert told["scheme"] == ("https" if trusted else "http")
    assert told["server"] == [str(tmp_path / "s"), None]


def test_a_port_alone_says_nothing_of_a_unix_socket(tmp_path: Path) -> None:
    with serving(HTTP1, uds=str(tmp_path / "s"), forwarded_headers=EVERYTHING) as server:
        told = scope(server, "X-Forwarded-Port: 81")
        assert told["server"] == [str(tmp_path / "s"), None]
        told = scope(server, "X-Forwarded-Port: 81", "X-Forwarded-Host: a")
        assert told["server"] == ["a", 81]


def test_with_a_number_of_proxies_any_peer_is_one(carrier: Carrier) -> None:
    with serving(carrier, forwarded_hops=2) as server, server.connect() as client:
        chain = "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 192.0.2.1"
        assert scope(client, chain)["client"] == ["198.51.100.7", 0]
        assert plain(scope(client, "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https"))


# root_path as configured, X-Forwarded-Prefix, target: root_path and path of the scope
MOUNTS = [
    ("", "/api", "/x", "/api", "/api/x"),
    ("", "/api", "/api/x", "/api", "/api/x"),
    ("", "/api", "/api", "/api", "/api"),
    ("", "/api", "/apis", "/api", "/api/apis"),
    ("/v1", "/api", "/x", "/api/v1", "/api/v1/x"),
    ("/v1", "/api", "/v1/x", "/api/v1", "/api/v1/x"),
    ("/v1", "/api", "/api/v1/x", "/api/v1", "/api/v1/x"),
    ("", "/caf%C3%A9", "/x", "/café", "/café/x"),
    ("", "/caf%C3%A9", "/caf%C3%A9/x", "/café", "/café/x"),
]


@pytest.mark.parametrize(("root", "prefix", "target", "root_path", "path"), MOUNTS)
def test_a_prefix_whether_the_proxy_strips_it_or_not(
    carrier: Carrier, root: str, prefix: str, target: str, root_path: str, path: str
) -> None:
    options = {"root_path": root, "forwarded_headers": "x-forwarded-prefix"}
    with serving(carrier, **options) as server, server.connect() as client:
        told = scope(client, f"X-Forwarded-Prefix: {prefix}", target=target)
        assert (told["root_path"], told["path"]) == (root_path, path)
        assert told["raw_path"] == target
        without = scope(client, target=target)
        assert without["root_path"] == root


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [((), "ws"), (("X-Forwarded-Proto: https",), "wss"), (("X-Forwarded-Proto: wss",), "wss"),
     (("X-Forwarded-Proto: http",), "ws"), (("X-Forwarded-Proto: ws",), "ws")],
)  # fmt: skip
def test_a_websocket_behind_a_proxy_that_speaks_tls_is_wss(
    lines: tuple[str, ...], scheme: str
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("scope", scope)
        await websocket.accept(receive, send)
        await receive()

    options = {"lifespan": "off", "forwarded_headers": EVERYTHING}
    with serve(app, **options) as server:
        more = ("X-Forwarded-For: 198.51.100.7", "X-Forwarded-Prefix: /p", "X-Forwarded-Host: a")
        websocket.connect(server, "/chat", *lines, *more).leave()
        told = stage.wait("scope")
    assert told["scheme"] == scheme
    assert told["server"] == ("a", 443 if scheme == "wss" else 80)
    assert told["client"] == ("198.51.100.7", 0)
    assert (told["root_path"], told["path"]) == ("/p", "/p/chat")


CLIENTS = re.compile(r'^\S+ \S+ (\S+) "(.*?)" (\d+) ', re.M)


def test_the_access_log_names_the_client_that_the_proxy_tells(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await websocket.accept(receive, send)
            await receive()
            return
        await answer(send)

    with serve(app, lifespan="off", access_log=True) as server:
        with server.connect() as client:
            client.get("/a", "X-Forwarded-For: 198.51.100.7")
            client.get("/b", "X-Forwarded-For: [2001:db8::1]:55")
            client.get("/c")
            refused = client.ask(request("GET", "/d", "X-Forwarded-For: 1.2.3.4", "Expect: x"))
            assert refused.status == 417
        websocket.connect(server, "/e", "X-Forwarded-For: 198.51.100.8:1").leave()
    got = {match[1]: match[0] for match in CLIENTS.findall(capfd.readouterr().out)}
    assert got["GET /a HTTP/1.1"] == "198.51.100.7"
    assert got["GET /b HTTP/1.1"] == "[2001:db8::1]:55"
    assert got["GET /c HTTP/1.1"].startswith("127.0.0.1:")
    assert got["- - HTTP/1.1"].startswith("127.0.0.1:")
    assert got["GET /e HTTP/1.1"] == "198.51.100.8:1"


def test_a_request_over_the_limit_is_logged_as_its_clients(
    carrier: Carrier,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("here")
        await stage.until("go")
        await answer(send)

    with carrier.serve(app, lifespan="off", access_log=True, limit_concurrency=1) as server:
        first = server.connect()
        first.send(request("GET", "/a"))
        stage.wait("here")
        assert server.get("/b", "X-Forwarded-For: 198.51.100.7").status == 503
        stage.mark("go")
        assert first.response().status == 200
    assert ("198.51.100.7", f"GET /b {carrier.name}", "503") in CLIENTS.findall(
        capfd.readouterr().out
    )
