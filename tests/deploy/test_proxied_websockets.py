"""WebSockets through the shipped nginx and HAProxy files, the real programs and the real server."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from deploy.site import KINDS, ONE_WAY, ONE_WAY_EACH, OVER_TCP, Site, needs_nginx, site
from support.client import Client, request
from support.process import PATIENCE
from support.websocket import FIELDS, KEY, PING, WebSocket, handshake, upgraded
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the proxies are run as on Linux"
)


MESSAGES: dict[str, str | bytes] = {
    "empty": "",
    "text": "Grüße, κόσμε, 你好, 🙂",
    "binary": bytes(range(256)),
    "mebibyte-of-text": "0123456789abcde\n" * 65536,
    "mebibyte-of-noise": os.urandom(1 << 20),
}


@pytest.fixture(scope="module", params=KINDS)
def front(request: pytest.FixtureRequest) -> Iterator[Site]:
    with site(*request.param) as running:
        yield running


def opened(front: Site, target: str = "/", **options: Any) -> ClientConnection:
    """An open WebSocket of a client that takes messages of any size and sends no pings."""
    url = f"ws://127.0.0.1:{front.port}{target}"
    return connect(
        url, proxy=None, open_timeout=PATIENCE, max_size=None, ping_interval=None, **options
    )


def closing(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close frame that the client gets."""
    with pytest.raises(ConnectionClosed) as info:
        client.recv(PATIENCE)
    assert info.value.rcvd is not None, "no close frame has come"
    return info.value.rcvd.code, info.value.rcvd.reason


def worker(client: ClientConnection) -> str:
    """The number of the process that has accepted it."""
    assert client.response is not None
    return client.response.headers["x-worker"]


def raw(client: Client) -> WebSocket:
    """The same with a client that shows every frame."""
    client.send(handshake())
    return upgraded(client)


# -- passed on as it is ------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_come_back_as_they_were(front: Site, name: str, compression: str | None) -> None:
    with opened(front, compression=compression) as client:
        for _ in range(2):
            client.send(MESSAGES[name])
            assert client.recv(PATIENCE) == MESSAGES[name]


def test_messages_of_one_way_do_not_wait_for_the_other(front: Site) -> None:
    """Nothing on the way collects what is small."""
    with opened(front) as client:
        for number in range(100):
            client.send(str(number))
            assert client.recv(PATIENCE) == str(number)


def test_permessage_deflate_is_agreed_on_with_the_server_itself(front: Site) -> None:
    """And used by it: it has sent fewer bytes than the application."""
    name = f"/?deflate-{front.port}"
    message = "the same again, " * 1000
    with opened(front, name) as client:
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
        assert [each.name for each in client.protocol.extensions] == ["permessage-deflate"]
        client.send(message)
        assert client.recv(PATIENCE) == message
    line = rf'{re.escape(name)} HTTP/\S+" \d+ (\d+) .* in 1/(\d+) out 1/(\d+)'
    sent, received, answered = front.server.out.wait_for(line).groups()
    assert int(received) == int(answered) == len(message)
    assert int(sent) < len(message) / 4


def test_subprotocol_and_header_fields_of_the_answer_reach_the_client(front: Site) -> None:
    with opened(front, subprotocols=["v2.chat", "v1.chat"]) as client:
        assert client.subprotocol == "v1.chat"
        assert client.response is not None
        assert client.response.headers["set-cookie"] == "a=1; path=/"
        assert worker(client) == str(front.server.process.pid)


def test_a_client_may_write_the_protocol_in_capitals(front: Site) -> None:
    with front.connect() as client:
        fields = ("Upgrade: WebSocket", *FIELDS[1:])
        client.send(request("GET", "/", *fields))
        upgraded(client).leave()


def test_code_and_reason_of_the_servers_close_reach_the_client(front: Site) -> None:
    with opened(front, "/leave") as client:
        assert closing(client) == (4001, "that was all, Größe")


def test_code_and_reason_of_the_clients_close_reach_the_application(front: Site) -> None:
    with opened(front) as client:
        client.close(4002, f"enough of port {front.port}")
    front.server.out.wait_for(f"closed 4002 enough of port {front.port}\n")


def test_a_client_that_vanishes_is_noticed_by_the_application(front: Site) -> None:
    before = front.server.out.text.count("closed 1006")
    with front.connect() as client:
        raw(client)
        client.reset()
    front.server.out.wait_for("closed 1006", count=before + 1)


# -- handshakes that end in no WebSocket ---------------------------------------------------


def test_a_denial_response_reaches_the_client_whole(front: Site) -> None:
    with pytest.raises(InvalidStatus) as info, opened(front, "/deny"):
        pass
    answer = info.value.response
    assert (answer.status_code, answer.body) == (401, b"who are you?")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_refusal_reaches_the_client(front: Site) -> None:
    with pytest.raises(InvalidStatus) as info, opened(front, "/refuse"):
        pass
    assert info.value.response.status_code == 403


def test_requests_go_on_beside_and_after_a_websocket(front: Site) -> None:
    pid = str(front.server.process.pid)
    with front.connect() as client:
        assert client.get("/").text == pid
        with opened(front) as other:
            other.send("hello")
            assert client.get("/").text == pid
            assert other.recv(PATIENCE) == "hello"
        assert client.get("/").text == pid


@needs_nginx
def test_nginx_asks_for_no_other_protocol_in_a_clients_name() -> None:
    fields = ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk")
    with site("nginx", "tcp") as front, front.connect() as client:
        answer = client.get("/fields", *fields)
    assert answer.status == 200
    assert '["connection"' not in answer.text


# -- without what the shipped file of nginx has ---------------------------------------------

CONNECTION = "    proxy_set_header Connection $connection_upgrade;\n"
UPGRADE = "    proxy_set_header Upgrade $http_upgrade;\n"
NO_CONNECTION = '    proxy_set_header Connection "";\n'


@needs_nginx
def test_without_the_connection_header_the_answer_says_what_is_missing() -> None:
    changes = {CONNECTION: NO_CONNECTION}
    with site("nginx", "tcp", changes=changes) as front, front.connect() as client:
        client.send(handshake())
        answer = client.response()
    assert answer.status == 400
    assert answer.text.strip() == "Connection does not name upgrade; a proxy may have dropped it"


@needs_nginx
def test_without_both_headers_it_is_an_ordinary_request() -> None:
    changes = {CONNECTION: NO_CONNECTION, UPGRADE: ""}
    with site("nginx", "tcp", changes=changes) as front, front.connect() as client:
        client.send(handshake())
        answer = client.response()
        assert (answer.status, answer.text) == (200, str(front.server.process.pid))
        fields = client.get("/fields", f"Sec-WebSocket-Key: {KEY}", *FIELDS[:2]).text
    assert '["upgrade"' not in fields


# -- silence -------------------------------------------------------------------------------


def impatient(kind: str, seconds: int) -> dict[str, str]:
    """What makes a proxy bear so much silence."""
    setting = {"nginx": "proxy_read_timeout 60s;", "haproxy": "timeout tunnel 60s\n"}[kind]
    return {setting: setting.replace("60", str(seconds))}


@pytest.mark.parametrize("way", OVER_TCP)
def test_pings_keep_a_silent_websocket_alive(way: tuple[str, str]) -> None:
    """For longer than the proxy bears silence: each is a second at least after the one before."""
    seconds = 3
    options = ("--ws-ping-interval", "1")
    changes = impatient(way[0], seconds)
    with site(*way, *options, changes=changes) as front, front.connect() as client:
        socket = raw(client)
        for _ in range(seconds + 1):
            ping = socket.read()
            assert ping.opcode == PING
            socket.pong(ping.payload)
        socket.send("still there")
        assert socket.receive() == "still there"
        socket.leave()


@pytest.mark.parametrize("way", OVER_TCP)
def test_without_pings_the_proxy_cuts_a_silent_websocket(way: tuple[str, str]) -> None:
    options = ("--ws-ping-interval", "0")
    changes = impatient(way[0], 1)
    with site(*way, *options, changes=changes) as front, front.connect() as client:
        raw(client).assert_ended()
        front.server.out.wait_for("closed 1006")


@pytest.mark.parametrize("way", ONE_WAY)
def test_a_client_that_reads_nothing_is_felt_by_the_application(way: tuple[str, str]) -> None:
    """Nothing on the way takes the messages in its place: the server's write timeout is reached."""
    with site(*way, "--timeout-write", "0.5") as front, front.connect() as client:
        client.send(handshake("/flood"))
        upgraded(client)
        assert front.server.out.wait_for(r"flood (\w+)")[1] == "refused"


# -- deploys -------------------------------------------------------------------------------


def check_sent_on(way: tuple[str, str], number: signal.Signals) -> None:
    """Told to by a signal, the server closes with 1012; who comes back at once is served anew."""
    with site(*way, "--workers", "1") as front, opened(front) as client:
        front.server.signal(number)
        assert closing(client) == (1012, "the server is restarting")
        with opened(front) as again:
            assert worker(again) != worker(client)
            again.send("hello")
            assert again.recv(PATIENCE) == "hello"
        front.server.out.wait_for("closed 1012 the server is restarting")
        front.server.err.wait_for("all workers are replaced")
        assert front.server.stop() == 0


@pytest.mark.parametrize("way", ONE_WAY_EACH)
def test_a_reload_sends_clients_to_the_new_worker(way: tuple[str, str]) -> None:
    check_sent_on(way, signal.SIGHUP)


@pytest.mark.parametrize("way", ONE_WAY)
def test_an_upgrade_sends_clients_to_the_new_worker(way: tuple[str, str]) -> None:
    check_sent_on(way, signal.SIGUSR2)


@pytest.mark.parametrize("way", KINDS)
def test_a_stop_closes_with_1012(way: tuple[str, str]) -> None:
    with site(*way) as front, opened(front) as client:
        front.server.signal(signal.SIGTERM)
        assert closing(client) == (1012, "the server is restarting")
        assert front.server.exit() == 0
        assert "closed 1012 the server is restarting" in front.server.out.text
