"""Every stop ends, with status 0 and the lifespan's shutdown, whatever is open."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.service import serve

PROCESSES = pytest.mark.parametrize("workers", [None, 2], ids=["one process", "workers"])
# One of the two; the other is in the soak.
ALONE = pytest.mark.parametrize(
    "workers", [None, pytest.param(2, marks=pytest.mark.soak)], ids=["one process", "workers"]
)
WORKERS = pytest.mark.parametrize(
    "workers", [pytest.param(None, marks=pytest.mark.soak), 2], ids=["one process", "workers"]
)
SHORT = ("--timeout-graceful-shutdown", "0.2")
LONG = ("--timeout-graceful-shutdown", "1000")

STREAMS = """
async def begin(send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: on\\n\\n", "more_body": True})

@route
async def sending(scope, receive, send):
    await begin(send)
    try:
        while True:
            await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": b"data: on\\n\\n", "more_body": True})
    finally:
        note("ended")

@route
async def listening(scope, receive, send):
    await begin(send)
    await receive()
    message = await receive()
    note(message["type"])

@route
async def upload(scope, receive, send):
    note("reading")
    message = await receive()
    while message.get("more_body"):
        message = await receive()
    note(message["type"])

@route
async def stubborn(scope, receive, send):
    note("holding")
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            note("cancelled")
"""


# -- what ends by itself ---------------------------------------------------------------


@PROCESSES
def test_an_idle_connection_is_closed(tmp_path: Path, workers: int | None) -> None:
    with (
        serve(tmp_path, *LONG, workers=workers) as service,
        service.connect() as used,
        service.connect() as unused,
    ):
        assert used.get("/").body == b"one"
        service.stop()
        used.assert_closed()
        unused.assert_closed()


@PROCESSES
def test_a_request_under_way_is_answered(tmp_path: Path, workers: int | None) -> None:
    with serve(tmp_path, *LONG, workers=workers) as service, service.ask("/hold") as client:
        service.wait_for("holding")
        with service.connect() as idle:
            assert idle.get("/").body == b"one"
            service.signal(signal.SIGTERM)
            idle.assert_closed()  # the stop is under way
        service.touch("release")
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"one")
        assert answer.header("connection") == "close"
        service.assert_ends()


# -- what is told to end ---------------------------------------------------------------


@ALONE
def test_a_stream_that_only_sends_is_ended(tmp_path: Path, workers: int | None) -> None:
    with (
        serve(tmp_path, *SHORT, workers=workers, more=STREAMS) as service,
        service.ask("/sending") as client,
    ):
        client.until(b"on\n\n")
        service.stop()
        assert len(service.events("ended")) == 1


@PROCESSES
def test_a_stream_that_listens_is_told_to_disconnect(tmp_path: Path, workers: int | None) -> None:
    with (
        serve(tmp_path, *SHORT, workers=workers, more=STREAMS) as service,
        service.ask("/listening") as client,
    ):
        client.until(b"on\n\n")
        service.stop()
        assert len(service.events("http.disconnect")) == 1
        assert "cancelled" not in service.log


@WORKERS
def test_an_open_upload_is_told_to_disconnect(tmp_path: Path, workers: int | None) -> None:
    with (
        serve(tmp_path, *SHORT, workers=workers, more=STREAMS) as service,
        service.ask("/upload", "Content-Length: 100000") as client,
    ):
        client.send(b"x" * 1000)
        service.wait_for("reading")
        service.stop()
        assert len(service.events("http.disconnect")) == 1


def test_a_request_that_will_not_be_cancelled_is_cut_off_in_the_end(tmp_path: Path) -> None:
    with (
        serve(tmp_path, *SHORT, "--timeout-lifespan", "0.1", more=STREAMS) as service,
        service.ask("/stubborn"),
    ):
        service.wait_for("holding")
        service.signal(signal.SIGTERM)
        assert service.command.exit() == 1
        assert service.events("cancelled")
        assert "requests that did not end when cancelled: 1" in service.log
        service.assert_left_nothing()


# -- impatience ------------------------------------------------------------------------


@PROCESSES
def test_a_second_signal_skips_ahead(tmp_path: Path, workers: int | None) -> None:
    with serve(tmp_path, *LONG, workers=workers) as service, service.ask("/hold"):
        service.wait_for("holding")
        service.signal(signal.SIGTERM)
        service.insist()


@ALONE
def test_a_signal_that_comes_twice_at_once_is_one(tmp_path: Path, workers: int | None) -> None:
    with serve(tmp_path, *LONG, workers=workers) as service, service.ask("/hold") as client:
        service.wait_for("holding")
        with service.connect() as idle:
            assert idle.get("/").body == b"one"
            service.signal(signal.SIGINT)
            service.signal(signal.SIGTERM)
            idle.assert_closed()
        service.touch("release")
        assert client.response().body == b"one"
        service.assert_ends()


@ALONE
def test_sigquit_does_not_wait_for_requests(tmp_path: Path, workers: int | None) -> None:
    with (
        serve(tmp_path, *LONG, workers=workers, more=STREAMS) as service,
        service.ask("/listening") as listening,
        service.ask("/hold"),
    ):
        listening.until(b"on\n\n")
        service.wait_for("holding")
        service.signal(signal.SIGQUIT)
        service.assert_ends()
        assert len(service.events("http.disconnect")) == 1


@WORKERS
def test_sigquit_shortens_a_stop_that_is_under_way(tmp_path: Path, workers: int | None) -> None:
    with serve(tmp_path, *LONG, workers=workers) as service, service.ask("/hold"):
        service.wait_for("holding")
        with service.connect() as idle:
            assert idle.get("/").body == b"one"
            service.signal(signal.SIGTERM)
            idle.assert_closed()
        service.signal(signal.SIGQUIT)
        service.assert_ends()


def test_a_stop_during_start_up_ends_at_once(tmp_path: Path) -> None:
    with serve(tmp_path) as service:
        service.touch("slow")
        first, second = service.wait_for("up", 2)
        service.signal(signal.SIGHUP)
        third = service.wait_for("starting", 3)[2]
        service.stop()
        assert third not in service.events("up")
        assert sorted(service.events("down")) == sorted([first, second])
