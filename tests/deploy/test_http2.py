"""HTTP/2 between the real HAProxy and the server, with the shipped file and two changes to it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from deploy.app import LARGE
from deploy.site import HTTP2, Site, connections, needs_haproxy, site
from support.client import request
from support.process import PATIENCE
from support.proxies import CLAIMS
from support.websocket import FIELDS, upgraded
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = [
    needs_haproxy,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="looks at connections as Linux lists them"
    ),
]

HERE = "127.0.0.2"  # no address that is trusted


@pytest.fixture(scope="module")
def front() -> Iterator[Site]:
    with site(*HTTP2) as running:
        yield running


def opened(front: Site, target: str = "/") -> ClientConnection:
    url = f"ws://127.0.0.1:{front.port}{target}"
    return connect(url, proxy=None, open_timeout=PATIENCE, max_size=None, ping_interval=None)


def test_requests_of_many_clients_share_a_connection(front: Site) -> None:
    before = front.server.out.text.count("waiting"), front.server.out.text.count("gone")
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(front.connect())
            client.send(request("GET", "/wait"))
        front.server.out.wait_for("waiting", count=before[0] + 20)
        assert len(connections(front.server.url)) < 5
        with front.connect() as other:
            assert other.get("/?told").text == str(front.server.process.pid)
        front.server.out.wait_for(r'"GET /\?told HTTP/2" 200')
    # Each client that leaves is felt by its own application.
    front.server.out.wait_for("gone", count=before[1] + 20)


def test_bodies_arrive_whole_both_ways(front: Site) -> None:
    with front.connect() as client:
        answer = client.ask(request("POST", "/digest", body=LARGE))
        assert (answer.status, answer.text) == (200, hashlib.sha256(LARGE).hexdigest())
        chunk = b"10000\r\n" + LARGE[:65536] + b"\r\n"
        client.send(request("POST", "/digest", "Transfer-Encoding: chunked") + chunk + b"0\r\n\r\n")
        assert client.response().text == hashlib.sha256(LARGE[:65536]).hexdigest()
        assert client.get("/large").body == LARGE


def test_an_event_arrives_before_the_next_one_is_made(front: Site) -> None:
    with front.connect() as client, front.connect() as other:
        client.send(request("GET", "/events"))
        assert client.head().status == 200
        client.until(b"data: 1\n\n", "the first event")
        assert other.get("/release").text == "released"
        client.until(b"data: 2\n\n", "the second event")


@pytest.mark.parametrize("claims", [(), CLAIMS], ids=["honest", "liar"])
def test_the_application_learns_who_asks(front: Site, claims: tuple[str, ...]) -> None:
    with front.connect(HERE) as client:
        told = json.loads(client.ask(request("GET", "/who", *claims, host="example.org")).text)
    assert (told["client"], told["scheme"]) == ([HERE, 0], "http")
    assert told["hosts"] == ["example.org"]


def test_websockets_are_streams_of_the_shared_connection(front: Site) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(opened(front)) for _ in range(10)]
        assert len(connections(front.server.url)) < 5
        for number, client in enumerate(clients):
            client.send(f"hello {number}")
        for number, client in enumerate(clients):
            assert client.recv(PATIENCE) == f"hello {number}"
        clients[0].send(LARGE)
        assert clients[0].recv(PATIENCE) == LARGE
        clients[0].close(4002, "enough of HTTP/2")
        front.server.out.wait_for("closed 4002 enough of HTTP/2\n")
        front.server.out.wait_for('"CONNECT / HTTP/2" 200')


def test_a_websocket_may_be_denied_or_asked_for_in_capitals(front: Site) -> None:
    with pytest.raises(InvalidStatus) as info, opened(front, "/deny"):
        pass
    assert (info.value.response.status_code, info.value.response.body) == (401, b"who are you?")
    with front.connect() as client:
        client.send(request("GET", "/", "Upgrade: WebSocket", *FIELDS[1:]))
        upgraded(client).leave()
