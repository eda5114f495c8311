"""Who asks, as the application learns it through the real proxies with the shipped files."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deploy.site import (
    KINDS,
    OVER_TCP,
    PASS_THROUGH,
    Site,
    connections,
    directory,
    fastserve,
    haproxy,
    needs_haproxy,
    site,
)
from support.certificates import Authority
from support.client import Client, request
from support.process import PATIENCE, Command
from support.proxies import CLAIMS
from websockets.sync.client import connect

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="has all of 127.0.0.0/8 for clients"
)

# Of addresses that are not trusted, as clients' are not.
HERE, THERE = "127.0.0.2", "127.0.0.3"


@pytest.fixture(scope="module", params=KINDS)
def front(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site(*request.param) as running:
        yield running


def who(client: Client, *lines: str) -> Any:
    return json.loads(client.ask(request("GET", "/who", *lines, host="example.org:8443")).text)


def who_in_a_websocket(sock: socket.socket, *lines: str, **options: Any) -> Any:
    claims = [tuple(line.split(": ", 1)) for line in lines]
    url = f"{'wss' if 'ssl' in options else 'ws'}://example.org:8443/who"
    with connect(url, sock=sock, additional_headers=claims, **options) as client:
        return json.loads(client.recv(PATIENCE))


def local(front: Site) -> list[object]:
    """The server that a scope tells where nobody tells another one."""
    if front.server.url.startswith("unix:"):
        return [front.server.url.removeprefix("unix:"), None]
    return ["127.0.0.1", front.server.port]


def test_the_application_learns_who_asks_whatever_they_claim(front: Site) -> None:
    with front.connect(HERE) as client:
        for claims in ((), CLAIMS):
            assert who(client, *claims) == {
                "client": [HERE, 0],
                "scheme": "http",
                "server": local(front),
                "root_path": "",
                "path": "/who",
                "hosts": ["example.org:8443"],
            }


def test_what_is_not_believed_does_not_reach_the_application(front: Site) -> None:
    with front.connect(HERE) as client:
        got = json.loads(client.get("/fields", *CLAIMS).text)
    told = {name: [v for n, v in got if n == name] for name, _ in got}
    assert told["x-forwarded-for"] == [HERE]
    assert told["x-forwarded-proto"] == ["http"]
    left = {line.partition(":")[0].lower() for line in CLAIMS} & set(told)
    assert left == {"x-forwarded-for", "x-forwarded-proto", "cf-connecting-ip"}


def test_clients_that_share_a_connection_to_the_server_stay_apart(front: Site) -> None:
    with front.connect(HERE) as one, front.connect(THERE) as other:
        assert who(one)["client"] == [HERE, 0]
        held = connections(front.server.url)
        for _ in range(3):
            assert who(other)["client"] == [THERE, 0]
            assert who(one)["client"] == [HERE, 0]
        assert connections(front.server.url) <= held


def test_so_it_does_in_a_websocket(front: Site) -> None:
    told = who_in_a_websocket(front.connect(HERE).sock, *CLAIMS)
    assert (told["client"], told["scheme"]) == ([HERE, 0], "ws")
    assert (told["root_path"], told["hosts"]) == ("", ["example.org:8443"])


def test_the_access_line_names_the_client(front: Site) -> None:
    with front.connect("127.0.0.9") as client:
        client.get("/who")
    front.server.out.wait_for(r'127\.0\.0\.9\S* "GET /who')


def tls(kind: str, made: Path) -> tuple[dict[str, str], ssl.SSLContext]:
    """What makes a shipped file end TLS, and a context for its clients."""
    authority = Authority(made)
    certificate = authority.issue("example.org")
    both = made / "both.pem"
    both.write_text(Path(certificate.certfile).read_text() + Path(certificate.keyfile).read_text())
    mark = "\n    # TLS ends here:"
    if kind == "nginx":
        changes = {f";{mark}": f" ssl; ssl_certificate {both}; ssl_certificate_key {both};{mark}"}
    else:
        changes = {mark: f" ssl crt {both}{mark}"}
    return changes, authority.client_context()


@pytest.mark.parametrize("way", OVER_TCP)
def test_https_is_told(way: tuple[str, str], tmp_path: Path) -> None:
    changes, context = tls(way[0], tmp_path)
    with site(*way, changes=changes) as front:
        with front.connect(HERE) as client:
            client.sock = context.wrap_socket(client.sock, server_hostname="example.org")
            told = who(client, "X-Forwarded-Proto: http")
        assert (told["client"], told["scheme"]) == ([HERE, 0], "https")
        told = who_in_a_websocket(front.connect(HERE).sock, "X-Forwarded-Proto: ws", ssl=context)
        assert (told["client"], told["scheme"]) == ([HERE, 0], "wss")


@pytest.mark.parametrize("way", OVER_TCP)
def test_host_and_prefix_are_told_where_they_are_set_and_believed(way: tuple[str, str]) -> None:
    changes = {
        "nginx": {
            'X-Forwarded-Host "";': "X-Forwarded-Host $asked_host;",
            'X-Forwarded-Prefix "";': "X-Forwarded-Prefix /app;",
            "proxy_set_header Host $asked_host;": "proxy_set_header Host inner;",
        },
        "haproxy": {
            "del-header X-Forwarded-Host": "set-header X-Forwarded-Host %[req.hdr(host)]",
            "del-header X-Forwarded-Prefix": (
                "set-header X-Forwarded-Prefix /app\n    http-request set-header Host inner"
            ),
        },
    }
    fields = "x-forwarded-for,x-forwarded-proto,x-forwarded-host,x-forwarded-prefix"
    options = ("--forwarded-headers", fields)
    with site(*way, *options, changes=changes[way[0]]) as front, front.connect(HERE) as client:
        assert who(client, *CLAIMS) == {
            "client": [HERE, 0],
            "scheme": "http",
            "server": ["example.org", 8443],
            "root_path": "/app",
            "path": "/app/who",
            "hosts": ["example.org:8443"],
        }


@pytest.mark.parametrize("way", OVER_TCP)
def test_a_proxy_that_is_not_trusted_is_the_client(way: tuple[str, str]) -> None:
    options = ("--forwarded-allow-ips", "192.0.2.1")
    with site(*way, *options) as front, front.connect(HERE) as client:
        told = who(client, *CLAIMS)
        assert told["client"][0] == "127.0.0.1"
        assert told["client"][1] > 0


# -- the PROXY protocol ------------------------------------------------------------------


@dataclass
class PassedThrough:
    """fastserve behind an HAProxy that touches nothing; `context` if it speaks TLS."""

    server: Command
    port: int
    context: ssl.SSLContext | None

    def connect(self) -> Client:
        return Client(("127.0.0.1", self.port), source=HERE)


@pytest.fixture(
    scope="module",
    params=[("send-proxy", False), ("send-proxy-v2", False), ("send-proxy-v2", True)],
    ids=["version-1", "version-2", "version-2-tls"],
)
def passed_through(request: pytest.FixtureRequest) -> Iterator[PassedThrough]:
    version, is_secure = request.param
    with ExitStack() as stack:
        made = stack.enter_context(directory())
        admin = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        options = ["--proxy-protocol", "--forwarded-allow-ips", "127.0.0.1"]
        context = None
        if is_secure:
            authority = Authority(made)
            issued = authority.issue("example.org")
            options += ["--ssl-certfile", issued.certfile, "--ssl-keyfile", issued.keyfile]
            context = authority.client_context()
        server = stack.enter_context(fastserve("127.0.0.1:0", made, *options, admin=admin))
        changes = {
            "send-proxy-v2": version,
            "192.0.2.11:8443": f"127.0.0.1:{server.port}",
            "    server app2 192.0.2.12:8443": "    #",
            "port 9000": f"port {admin.getsockname()[1]}",
        }
        _, port = stack.enter_context(haproxy(made, changes, PASS_THROUGH))
        yield PassedThrough(server, port, context)


@needs_haproxy
def test_a_proxy_header_says_whose_connection_it_is(passed_through: PassedThrough) -> None:
    with passed_through.connect() as client:
        ours = list(client.sock.getsockname())
        if passed_through.context is not None:
            client.sock = passed_through.context.wrap_socket(
                client.sock, server_hostname="example.org"
            )
        for claims in ((), CLAIMS):
            told = who(client, *claims)
            assert (told["client"], told["server"]) == (ours, ["127.0.0.1", passed_through.port])
            assert told["scheme"] == ("https" if passed_through.context else "http")
            assert told["root_path"] == ""
    passed_through.server.out.wait_for(rf'{ours[0]}:{ours[1]} "GET /who')


@needs_haproxy
def test_and_whose_websocket(passed_through: PassedThrough) -> None:
    context = passed_through.context
    with passed_through.connect() as client:
        ours = list(client.sock.getsockname())
        options = {} if context is None else {"ssl": context}
        told = who_in_a_websocket(client.sock, *CLAIMS, **options)
    assert (told["client"], told["scheme"]) == (ours, "ws" if context is None else "wss")


@needs_haproxy
def test_a_connection_without_the_header_is_closed(passed_through: PassedThrough) -> None:
    with Client(("127.0.0.1", passed_through.server.port)) as client:
        client.send(request("GET", "/who"))
        client.assert_closed()
