"""A stop with --drain-delay: requests are served to the end of it, and nobody is sent here."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support.load import load
from support.process import PATIENCE, eventually
from support.service import Service, serve

PROCESSES = pytest.mark.parametrize("workers", [None, 2], ids=["one process", "workers"])
DELAY = ("--drain-delay", str(PATIENCE))

DRAINING = """
@route
async def isdraining(scope, receive, send):
    event = scope["state"]["fastserve_draining"]
    assert isinstance(event, asyncio.Event)
    await answer(send, str(event.is_set()))

@route
async def stream(scope, receive, send):
    draining = scope["state"]["fastserve_draining"]
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: on\\n\\n", "more_body": True})
    await draining.wait()
    await send({"type": "http.response.body", "body": b"event: end\\n\\n"})
"""


@contextmanager
def served_with_admin(directory: Path, workers: int | None) -> Iterator[tuple[Service, str]]:
    """A service that drains long, and the address of its admin pages."""
    with socket.create_server(("127.0.0.1", 0)) as admin:
        port, fd = admin.getsockname()[1], admin.fileno()
        options = (*DELAY, "--admin-bind", f"fd://{fd}")
        with serve(directory, *options, workers=workers, more=DRAINING, pass_fds=[fd]) as service:
            yield service, f"http://127.0.0.1:{port}"


def ready(admin: str) -> int:
    return httpx.get(f"{admin}/readyz", timeout=PATIENCE).status_code


@PROCESSES
@pytest.mark.parametrize("keep_alive", [False, True], ids=["new connections", "keep-alive"])
def test_requests_during_the_drain_are_served_though_it_is_not_ready(
    tmp_path: Path, workers: int | None, keep_alive: bool
) -> None:
    with (
        served_with_admin(tmp_path, workers) as (service, admin),
        load(service.url, keep_alive=keep_alive) as traffic,
    ):
        eventually(lambda: ready(admin) == 200)
        service.signal(signal.SIGTERM)
        eventually(lambda: ready(admin) == 503)
        traffic.wait_for(100)
        with service.connect() as client:
            answer = client.get("/isdraining")
            assert (answer.status, answer.body) == (200, b"True")
            assert answer.header("connection") == "close"
            client.assert_closed()
        traffic.stop()
        assert traffic.failures == []
        service.insist()  # nobody needs the rest of the delay


@PROCESSES
def test_an_application_sees_the_drain_and_ends_its_streams(
    tmp_path: Path, workers: int | None
) -> None:
    with serve(tmp_path, *DELAY, workers=workers, more=DRAINING) as service:
        with service.connect() as before:
            assert before.get("/isdraining").body == b"False"
        with service.ask("/stream") as client:
            client.until(b"data: on\n\n")
            service.signal(signal.SIGTERM)
            assert b"event: end" in client.until(b"\r\n0\r\n\r\n")
        service.insist()


@PROCESSES
def test_a_request_that_began_in_the_drain_is_answered_after_it(
    tmp_path: Path, workers: int | None
) -> None:
    with serve(tmp_path, *DELAY, workers=workers, more=DRAINING) as service:
        service.signal(signal.SIGTERM)

        def is_draining() -> bool:
            with service.connect() as client:  # and when it is closed, none is open
                return client.get("/isdraining").body == b"True"

        eventually(is_draining)
        with service.ask("/hold") as client:
            service.wait_for("holding")
            service.signal_later(signal.SIGTERM)
            service.wait_until_refused()
            service.touch("release")
            assert client.response().body == b"one"
        service.assert_ends()


@PROCESSES
def test_the_delay_ends_by_itself(tmp_path: Path, workers: int | None) -> None:
    with serve(tmp_path, "--drain-delay", "0.5", workers=workers) as service:
        service.stop()
