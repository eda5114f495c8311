"""Limits of an HTTP/2 connection and its streams, and what a client that does not read costs."""

from __future__ import annotations

from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from support.apps import answer, body, read_body, start
from support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    RESET,
    FrameClient,
    Http2Client,
    frame,
    settings,
)
from support.server import serve
from support.stage import Stage


async def count(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, str(len(await read_body(receive))).encode())


def serving(app: Any, peer: Any = Http2Client, **options: Any) -> Any:
    return serve(app, peer=peer, lifespan="off", **options)


def waiting(stage: Stage) -> Any:
    """Answers /slow when the test says so, and the rest at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            stage.mark("started")
            await stage.until("go")
        await answer(send, scope["path"].encode())

    return app


def test_the_options_are_announced() -> None:
    options = {
        "http2_max_concurrent_streams": 7,
        "http2_initial_stream_window_size": 100_000,
        "http2_max_frame_size": 20_000,
        "http2_header_table_size": 1000,
        "limit_request_head": 30_000,
    }
    with serving(count, **options) as server:
        told = server.connect().wait_for_settings()
    assert told[SettingCodes.MAX_CONCURRENT_STREAMS] == 7
    assert told[SettingCodes.INITIAL_WINDOW_SIZE] == 100_000
    assert told[SettingCodes.MAX_FRAME_SIZE] == 20_000
    assert told[SettingCodes.HEADER_TABLE_SIZE] == 1000
    assert told[SettingCodes.MAX_HEADER_LIST_SIZE] == 30_000


def test_a_hundred_streams_at_once_are_each_answered_with_their_own() -> None:
    with serving(waiting(Stage())) as server:
        client = server.connect()
        streams = [client.open("GET", f"/{number}") for number in range(100)]
        assert [each.response().body for each in streams] == [b"/%d" % n for n in range(100)]


def test_more_streams_than_allowed_are_refused_and_the_others_served() -> None:
    stage = Stage()
    with serving(waiting(stage), FrameClient, http2_max_concurrent_streams=2) as server:
        client = server.connect()
        for number in (1, 3, 5):
            block = client.request_block("GET", "/slow")
            client.send(frame(HEADERS, END_HEADERS | END_STREAM, number, block))
        refused = client.next(RESET)
        assert (refused.stream, refused.code) == (5, ErrorCodes.REFUSED_STREAM)
        stage.wait("started", 2)
        stage.mark("go")
        answered = [client.next(HEADERS) for _ in range(2)]
        assert [client.fields(each)[0] for each in answered] == [(":status", "200")] * 2
        client.open(7)
        assert client.next(HEADERS).stream == 7, "there is room again"


def test_a_stream_whose_application_goes_on_still_counts() -> None:
    """Or resets would make a client's number of requests at work unlimited."""
    stage = Stage()
    with serving(waiting(stage), http2_max_concurrent_streams=2) as server:
        client = server.connect()
        client.wait_for_settings()
        for number in range(2):
            left = client.open("GET", "/slow")
            stage.wait("started", number + 1)
            left.cancel()
        assert client.open("GET", "/slow").wait_for_reset() == ErrorCodes.REFUSED_STREAM
        assert stage.count("started") == 2
        stage.mark("go")


def test_above_the_limit_of_concurrency_a_stream_is_answered_503() -> None:
    stage = Stage()
    with serving(waiting(stage), limit_concurrency=2) as server:
        client = server.connect()
        slow = [client.open("GET", "/slow") for _ in range(2)]
        stage.wait("started", 2)
        assert client.fetch("/").status == 503
        stage.mark("go")
        assert [stream.response().status for stream in slow] == [200, 200]
        assert client.fetch("/").status == 200


def test_the_last_request_that_a_connection_may_carry_is_told_so() -> None:
    with serving(count, limit_connection_requests=3) as server:
        client = server.connect()
        assert [client.fetch("/").status for _ in range(3)] == [200] * 3
        client.wait_for_end()
        assert [each.code for each in client.goaways] == [ErrorCodes.NO_ERROR] * 2
        assert client.goaways[-1].last_stream == 5
        assert server.connect().fetch("/").status == 200, "the count is each connection's own"


def test_an_idle_connection_makes_room_for_another_and_is_told_goodbye() -> None:
    with serving(count, limit_connections=1) as server:
        idle = server.connect()
        assert idle.fetch("/").status == 200
        assert server.connect().fetch("/").status == 200
        idle.wait_for_end()
        assert [(each.code, each.last_stream) for each in idle.goaways] == [(0, 1)]


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_body_over_the_limit_is_413_and_costs_its_stream_alone(told: bool) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        try:
            await answer(send, await read_body(receive))
        except ConnectionError:
            stage.mark("disconnect")

    headers = [("content-length", "11")] if told else []
    with serving(app, limit_request_body=10) as server:
        client = server.connect()
        stream = client.open("POST", "/", headers, ends=False)
        if not told:
            stage.wait("started")
            stream.send(b"hello world")
        assert stream.response().status == 413
        assert stream.wait_for_reset() == ErrorCodes.NO_ERROR
        assert client.fetch("/", method="POST", body=b"0123456789").body == b"0123456789"
        if told:
            assert stage.count("started") == 1, "the application did not hear of the first"
        else:
            stage.wait("disconnect")


def test_a_body_longer_or_shorter_than_its_length_is_reset() -> None:
    """RFC 9113, section 8.1.1."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await answer(send, await read_body(receive))
        except ConnectionError:
            stage.mark("disconnect")

    with serving(app) as server:
        client = server.connect()
        for sent in (b"hell", b"hello!"):
            stream = client.open("POST", "/", [("content-length", "5")], ends=False)
            # Behind h2's back, which would not send it.
            client.raw(frame(DATA, END_STREAM, stream.id, sent))
            assert stream.wait_for_reset() == ErrorCodes.PROTOCOL_ERROR
        assert client.fetch("/").status == 200


def test_a_client_that_does_not_read_cannot_have_answers_piled_up() -> None:
    """All streams it may open, and none of their windows opens."""
    stage = Stage()
    piece = 65536

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                stage.mark("sent")
                await send(body(b"x" * piece, more=True))
        except OSError:
            stage.mark("left")

    streams = 100
    with serving(app) as server:
        client = server.connect(
            settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}, window=65535, holds=True
        )
        for _ in range(streams):
            client.open()
        stage.wait("sent", streams)
        while True:
            before = stage.count("sent")
            try:
                stage.wait("sent", before + 1, timeout=0.2)
            except AssertionError:
                break
        assert before * piece < 16 << 20, f"{before} pieces were made, and none was read"
        client.close()
        stage.wait("left", streams)


def test_what_waits_for_a_window_is_dropped_when_its_client_sends_no_more(logs: Any) -> None:
    """A half-closed connection opens none."""
    with serving(lambda s, r, send: answer(send, b"x" * 1000)) as server:
        client = server.connect(settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.open().head()
        client.shutdown()
        client.wait_for_end()
    assert logs.noise == []


def test_small_answers_to_a_client_that_does_not_read_have_an_end() -> None:
    """They are complete for their applications at once, so it is the streams that are counted."""
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"x" * 1000)
        stage.mark("made")

    options = {"http2_max_concurrent_streams": 20}
    with serving(app, FrameClient, **options) as server:
        client = server.connect(greets=False)
        closed = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
        client.send(PREFACE + settings(closed))
        for number in range(1, 61, 2):
            client.open(number)
        refused = [client.next(RESET) for _ in range(10)]
        assert {each.code for each in refused} == {ErrorCodes.REFUSED_STREAM}
        assert stage.count("made") <= 20
