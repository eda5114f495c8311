"""The shipped nginx and HAProxy files, with the real programs in front of the real server."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import pytest
from deploy.app import LARGE
from deploy.site import KINDS, ONE_WAY_EACH, Site, connections, eventually, site
from support.client import request

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks at connections as Linux lists them"
)


@pytest.fixture(scope="module", params=KINDS)
def front(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site(*request.param) as running:
        yield running


def test_a_get_is_answered(front: Site) -> None:
    with front.connect() as client:
        answer = client.get("/")
    assert (answer.status, answer.text) == (200, str(front.server.process.pid))


def test_requests_share_one_connection_to_the_server(front: Site) -> None:
    with front.connect() as client:
        assert client.get("/").status == 200
        held = connections(front.server.url)
        assert held
        for _ in range(5):
            assert client.get("/").status == 200
            assert connections(front.server.url) <= held


@pytest.mark.parametrize("size", [1, 1000, len(LARGE)], ids=["byte", "kilobyte", "5-MiB"])
def test_a_body_arrives_whole(front: Site, size: int) -> None:
    with front.connect() as client:
        answer = client.ask(request("POST", "/digest", body=LARGE[:size]))
    assert (answer.status, answer.text) == (200, hashlib.sha256(LARGE[:size]).hexdigest())


def test_a_chunked_body_arrives_whole(front: Site) -> None:
    chunk = b"10000\r\n" + LARGE[:65536] + b"\r\n"
    with front.connect() as client:
        client.send(request("POST", "/digest", "Transfer-Encoding: chunked"))
        for _ in range(16):
            client.send(chunk)
        client.send(b"0\r\n\r\n")
        answer = client.response()
    assert (answer.status, answer.text) == (200, hashlib.sha256(LARGE[:65536] * 16).hexdigest())


def test_a_large_response_arrives_whole(front: Site) -> None:
    with front.connect() as client:
        answer = client.get("/large")
    assert answer.status == 200
    assert answer.body == LARGE


def test_an_event_arrives_before_the_next_one_is_made(front: Site) -> None:
    with front.connect() as client, front.connect() as other:
        client.send(request("GET", "/events"))
        answer = client.head()
        assert answer.status == 200
        client.until(b"data: 1\n\n", "the first event")
        assert other.get("/release").text == "released"
        client.until(b"data: 2\n\n", "the second event")


def test_the_application_learns_that_the_client_has_left(front: Site) -> None:
    before = front.server.out.text.count("gone")
    with front.connect() as client:
        client.send(request("GET", "/wait"))
        front.server.out.wait_for("waiting", count=before + 1)
    front.server.out.wait_for("gone", count=before + 1)


@pytest.mark.parametrize("way", ONE_WAY_EACH)
def test_a_connection_the_server_has_closed_for_idleness_costs_no_request(
    way: tuple[str, str],
) -> None:
    """POST as well, which no proxy sends a second time."""
    with site(*way, "--timeout-keep-alive", "0.1") as front, front.connect() as client:
        assert client.get("/").status == 200
        eventually(lambda: not connections(front.server.url))
        assert client.ask(request("POST", "/digest", body=b"x")).status == 200


@pytest.mark.parametrize("way", KINDS)
def test_a_connection_the_proxy_has_closed_for_idleness_costs_no_request(
    way: tuple[str, str],
) -> None:
    sooner = {
        "nginx": {"keepalive_timeout 60s": "keepalive_timeout 100ms"},
        "haproxy": {"pool-purge-delay 5s": "pool-purge-delay 100ms"},
    }
    with site(*way, changes=sooner[way[0]]) as front, front.connect() as client:
        for _ in range(3):
            assert client.get("/").status == 200
            eventually(lambda: not connections(front.server.url))


@pytest.mark.parametrize("way", ONE_WAY_EACH)
def test_a_client_that_reads_no_stream_is_felt_by_the_application(way: tuple[str, str]) -> None:
    """Nothing on the way takes the stream in its place: the server's write timeout is reached."""
    with site(*way, "--timeout-write", "0.5") as front, front.connect() as client:
        client.send(request("GET", "/events/flood"))
        assert client.head().status == 200
        assert front.server.out.wait_for(r"flood (\w+)")[1] == "refused"


@pytest.mark.parametrize("way", KINDS)
def test_a_body_over_the_limit_is_refused(way: tuple[str, str]) -> None:
    """By nginx with its own limit, through HAProxy by the server's."""
    smaller = {"client_max_body_size 10m;": "client_max_body_size 1k;"}
    changes = smaller if way[0] == "nginx" else {}
    limit = ("--limit-request-body", "1k")
    with site(*way, *limit, changes=changes) as front, front.connect() as client:
        client.send(request("POST", "/digest", body=LARGE[:2048]))
        assert client.response().status == 413
