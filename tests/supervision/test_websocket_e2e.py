"""WebSockets of a command: a reload and a stop close them with 1012, and /metrics count them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import httpx
import pytest
from support.load import load
from support.process import PATIENCE, eventually
from support.service import REPLACED, Service, serve
from support.websocket import WebSocket, handshake, upgraded

PROCESSES = pytest.mark.parametrize("workers", [None, 2], ids=["one process", "workers"])

CHAT = """
@route
async def chat(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": VERSION})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
    await asyncio.sleep(0.01)
    note(f"closed-{event['code']}")
"""


def join(service: Service) -> tuple[WebSocket, str | bytes]:
    """A WebSocket of the service, and the version it speaks to."""
    client = service.connect()
    client.send(handshake("/chat"))
    websocket = upgraded(client)
    return websocket, websocket.receive()


def restarted(websocket: WebSocket) -> None:
    """The server closes it, because it restarts."""
    assert websocket.closed()[0] == 1012
    websocket.close(1012)
    websocket.assert_ended()
    websocket.client.close()


def test_a_reload_closes_websockets_with_1012_and_fails_no_request(tmp_path: Path) -> None:
    with serve(tmp_path, more=CHAT) as service, load(service.url, keep_alive=True) as traffic:
        joined = [join(service) for _ in range(8)]
        assert {version for _, version in joined} == {"one"}
        service.release("two")
        service.signal(signal.SIGHUP)
        for websocket, _ in joined:
            restarted(websocket)
        service.wait_for_log(REPLACED)
        again, version = join(service)
        assert version == "two"
        again.send("hello")
        assert again.receive() == "hello"
        traffic.wait_for_answer("two", 50)
        traffic.stop()
        assert traffic.failures == []
        assert len(service.wait_for("closed-1012", 8)) == 8
        again.leave()
        service.stop()


def test_a_client_that_comes_back_at_once_is_served(tmp_path: Path) -> None:
    with serve(tmp_path, more=CHAT) as service:
        websocket, version = join(service)
        service.release("two")
        service.signal(signal.SIGHUP)
        while version == "one":
            # Where the other old worker takes it, that is replaced too.
            restarted(websocket)
            websocket, version = join(service)
        websocket.send("hello")
        assert websocket.receive() == "hello"
        websocket.leave()
        service.stop()


@PROCESSES
def test_a_stop_closes_websockets_with_1012_and_their_applications_clean_up(
    tmp_path: Path, workers: int | None
) -> None:
    with serve(tmp_path, workers=workers, more=CHAT) as service:
        joined = [join(service)[0] for _ in range(4)]
        service.signal(signal.SIGTERM)
        for websocket in joined:
            restarted(websocket)
        service.assert_ends()
        assert len(service.events("closed-1012")) == 4


@PROCESSES
def test_a_stop_does_not_wait_long_for_clients_that_do_not_answer(
    tmp_path: Path, workers: int | None
) -> None:
    options = ("--ws-close-timeout", "0.1")
    with serve(tmp_path, *options, workers=workers, more=CHAT) as service:
        joined = [join(service)[0] for _ in range(4)]
        service.signal(signal.SIGTERM)
        for websocket in joined:
            assert websocket.closed()[0] == 1012
            websocket.assert_ended()
        service.assert_ends()
        assert len(service.events("closed-1012")) == 4


def metrics(port: int) -> dict[str, float]:
    """The samples of /metrics, summed over what they are labelled with but codes and directions."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name: float(value) for name, value in pairs if "websocket" in name}


def test_metrics_count_websockets_messages_and_close_codes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as admin:
        port, fd = admin.getsockname()[1], admin.fileno()
        options = ("--admin-bind", f"fd://{fd}")
        with serve(tmp_path, *options, more=CHAT, pass_fds=[fd]) as service:
            before = metrics(port)
            joined = [join(service)[0] for _ in range(3)]
            joined[0].send("hello")
            assert joined[0].receive() == "hello"
            joined[0].leave(1001)
            joined[1].client.reset()

            def gained(name: str, amount: int) -> bool:
                return metrics(port)[name] - before.get(name, 0) == amount

            eventually(lambda: gained("fastserve_websockets", 1))
            assert gained("fastserve_websockets_opened_total", 3)
            assert gained('fastserve_websocket_messages_total{direction="received"}', 1)
            assert gained('fastserve_websocket_messages_total{direction="sent"}', 4)
            assert gained('fastserve_websocket_bytes_total{direction="received"}', 5)
            assert gained('fastserve_websocket_closes_total{code="1001"}', 1)
            assert gained('fastserve_websocket_closes_total{code="1006"}', 1)
            joined[2].leave()
            service.stop()
