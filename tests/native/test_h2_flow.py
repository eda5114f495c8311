"""HTTP/2 flow control, RFC 9113 sections 5.2 and 6.9, both ways, and the sizes of frames."""

from __future__ import annotations

import pytest
from native.h2_session import CALM, CANCEL, DEFAULT_WINDOW, FLOW, PROTOCOL, Session, session
from support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    RESET,
    SETTINGS,
    WINDOW,
    Frame,
    frame,
    settings,
)

WINDOW_SETTING, FRAME_SETTING = 4, 5
MOST = (1 << 31) - 1


def begin(client: Session, stream: int, path: str, *, ends: bool = True) -> None:
    block = client.request_block("GET" if ends else "POST", path)
    flags = END_HEADERS | (END_STREAM if ends else 0)
    client.send(frame(HEADERS, flags, stream, block))


def grant(count: int, stream: int = 0) -> bytes:
    return frame(WINDOW, 0, stream, count.to_bytes(4))


def content(frames: list[Frame], stream: int = 1) -> int:
    """Bytes of DATA on a stream."""
    return sum(len(each.payload) for each in frames if (each.kind, each.stream) == (DATA, stream))


# what the server sends


def test_windows_begin_with_what_the_standard_says() -> None:
    with session() as (client, app):
        begin(client, 1, "/large/200000")
        app.wait_for("sent")
        assert content(client.frames()) == DEFAULT_WINDOW
        client.send(grant(MOST - DEFAULT_WINDOW, 1))
        assert content(client.frames()) == 0, "the connection's window is its own"
        client.send(grant(100_000))
        assert content(client.frames()) == 100_000
        client.send(grant(1 << 20))
        assert content(client.frames()) == 200_000 - DEFAULT_WINDOW - 100_000


def test_a_window_of_one_byte_is_used() -> None:
    with session() as (client, app):
        client.send(settings({WINDOW_SETTING: 0}))
        begin(client, 1, "/large/3")
        app.wait_for("sent")
        came = client.frames()
        assert [each.kind for each in came if each.stream == 1] == [HEADERS]
        for last in (0, 0, END_STREAM):
            client.send(grant(1, 1))
            (each,) = [each for each in client.frames() if each.stream == 1]
            assert (each.kind, each.flags, len(each.payload)) == (DATA, last, 1)


def test_an_end_without_content_needs_no_window() -> None:
    with session() as (client, _):
        client.send(settings({WINDOW_SETTING: 0}))
        begin(client, 1, "/large/0")
        assert client.answer(1) == ("200", b"")


def test_the_initial_window_is_that_of_the_clients_settings() -> None:
    with session() as (client, app):
        client.send(settings({WINDOW_SETTING: 1000}))
        begin(client, 1, "/large/5000")
        app.wait_for("sent")
        assert content(client.frames()) == 1000
        client.send(grant(500, 1))
        assert content(client.frames()) == 500


def test_a_changed_window_changes_every_stream() -> None:
    """Section 6.9.2: by the difference; the connection's window stays."""
    with session() as (client, app):
        client.send(settings({WINDOW_SETTING: 1000}))
        begin(client, 1, "/large/50000")
        app.wait_for("sent")
        assert content(client.frames()) == 1000
        client.send(settings({WINDOW_SETTING: 3000}))
        assert content(client.frames()) == 2000


def test_a_window_may_become_negative() -> None:
    """Section 6.9.2: nothing is sent until grants have made it positive."""
    with session() as (client, app):
        client.send(settings({WINDOW_SETTING: 3000}))
        begin(client, 1, "/large/50000")
        app.wait_for("sent")
        assert content(client.frames()) == 3000
        client.send(settings({WINDOW_SETTING: 1000}))
        client.send(grant(2000, 1))
        assert content(client.frames()) == 0
        client.send(grant(1, 1))
        assert content(client.frames()) == 1


@pytest.mark.parametrize("size", [16384, 20000, (1 << 24) - 1])
def test_no_frame_is_larger_than_the_client_takes(size: int) -> None:
    with session() as (client, app):
        client.send(settings({FRAME_SETTING: size, WINDOW_SETTING: 1 << 20}) + grant(1 << 20))
        begin(client, 1, "/large/300000")
        app.wait_for("sent")
        came = client.frames()
        assert content(came) == 300_000
        assert max(len(each.payload) for each in came) <= size


def test_a_stream_without_a_window_holds_up_no_other() -> None:
    with session() as (client, app):
        begin(client, 1, "/large/200000")
        app.wait_for("sent")
        client.send(grant(1 << 20))
        assert content(client.frames()) == DEFAULT_WINDOW
        assert client.get(3) == ("200", b"hello")


def test_a_window_may_not_become_too_large() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(grant(MOST - DEFAULT_WINDOW, 1) + grant(1, 1))
        client.loses(1, FLOW)
        client.send(grant(MOST - DEFAULT_WINDOW) + grant(1))
        client.ends_with(FLOW)


def test_settings_may_not_make_a_window_too_large() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(grant(MOST - DEFAULT_WINDOW, 1))
        client.send(settings({WINDOW_SETTING: DEFAULT_WINDOW + 1}))
        client.ends_with(FLOW)


def test_a_grant_of_nothing_is_an_error_of_what_it_is_about() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(grant(0, 1))
        client.loses(1, PROTOCOL)
        client.send(grant(0))
        client.ends_with(PROTOCOL)


# what the server takes


def windows(client: Session) -> tuple[int, int]:
    """(of the connection, of a stream) as the server has announced them, before any request."""
    first = client.frame()
    assert (first.kind, first.flags) == (SETTINGS, 0)
    client.send(frame(SETTINGS, ACK))
    more = sum(int.from_bytes(each.payload) for each in client.frames() if each.kind == WINDOW)
    return DEFAULT_WINDOW + more, first.settings[WINDOW_SETTING]


def upload(client: Session, stream: int, size: int) -> None:
    while size:
        n = min(size, 16384)
        client.send(frame(DATA, 0, stream, b"x" * n))
        size -= n


def test_more_than_a_streams_window_is_an_error_of_the_stream() -> None:
    with session(http2_initial_stream_window_size=30000) as (client, app):
        _, of_stream = windows(client)
        assert of_stream == 30000
        begin(client, 1, "/deaf", ends=False)
        app.wait_for("deaf")
        upload(client, 1, of_stream)
        assert [each.kind for each in client.frames() if each.stream == 1] == []
        client.send(frame(DATA, 0, 1, b"x"))
        client.loses(1, FLOW)
        app.note("heard")


def test_padding_takes_from_the_window_as_well() -> None:
    with session(http2_initial_stream_window_size=30000) as (client, app):
        begin(client, 1, "/deaf", ends=False)
        app.wait_for("deaf")
        upload(client, 1, 29999)
        client.send(frame(DATA, PADDED, 1, b"\0"))
        assert [each for each in client.frames() if each.kind == RESET] == []
        client.send(frame(DATA, PADDED, 1, b"\0"))
        client.loses(1, FLOW)
        app.note("heard")


def test_more_than_the_connections_window_is_an_error_of_the_connection() -> None:
    options = {
        "http2_initial_connection_window_size": 70000, "http2_initial_stream_window_size": 60000,
    }  # fmt: skip
    with session(**options) as (client, app):
        of_connection, of_stream = windows(client)
        assert (of_connection, of_stream) == (70000, 60000)
        for stream in (1, 3):
            begin(client, stream, "/deaf", ends=False)
        upload(client, 1, 60000)
        upload(client, 3, 10000)
        client.frames()
        client.send(frame(DATA, 0, 3, b"x"))
        client.ends_with(FLOW)
        app.note("heard")


def test_what_the_application_takes_opens_the_windows_again() -> None:
    with session(http2_initial_stream_window_size=20000) as (client, app):
        windows(client)
        begin(client, 1, "/deaf", ends=False)
        app.wait_for("deaf")
        upload(client, 1, 20000)
        assert [each for each in client.frames() if each.kind == WINDOW] == []
        app.note("heard")
        while (each := client.next(WINDOW)).stream != 1:
            pass
        assert int.from_bytes(each.payload) >= 10000
        client.send(frame(DATA, END_STREAM, 1, b"x"))
        status, data = client.answer(1)
        assert (status, len(data)) == ("200", len("POST /deaf []") + 20001)


def test_what_nobody_takes_opens_the_connections_window_all_the_same() -> None:
    """Section 6.9: DATA of a stream that is closed or reset counts, and is given back."""
    options = {"http2_initial_connection_window_size": 65535}
    with session(**options) as (client, app):
        begin(client, 1, "/hold", ends=False)
        app.wait_for("held")
        client.send(grant(0, 1))
        client.loses(1, PROTOCOL)
        upload(client, 1, 60000)
        assert sum(
            int.from_bytes(each.payload)
            for each in client.frames()
            if (each.kind, each.stream) == (WINDOW, 0)
        )
        assert client.get(3) == ("200", b"hello")


def test_an_upload_of_many_windows_comes_through() -> None:
    options = {
        "http2_initial_stream_window_size": 20000, "http2_max_stream_window_size": 20000,
        "http2_initial_connection_window_size": 65535, "http2_max_connection_window_size": 65535,
    }  # fmt: skip
    with session(**options) as (client, _):
        of_connection, room = windows(client)
        begin(client, 1, "/echo", ends=False)
        left = 300_000
        while left:
            n = min(left, room, of_connection, 16384)
            if n == 0:
                each = client.next(WINDOW)
                room += int.from_bytes(each.payload) if each.stream == 1 else 0
                of_connection += int.from_bytes(each.payload) if each.stream == 0 else 0
                continue
            client.send(frame(DATA, 0, 1, b"x" * n))
            left, room, of_connection = left - n, room - n, of_connection - n
        client.send(frame(DATA, END_STREAM, 1) + grant(1 << 20) + grant(1 << 20, 1))
        status, data = client.answer(1)
        assert (status, len(data)) == ("200", 300_000 + len("POST /echo []"))


# floods


def test_window_updates_that_nothing_earned_are_counted() -> None:
    with session(http2_limit_control_frames=50) as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(grant(1, 1) * 100)
        client.ends_with(CALM)


def test_window_updates_for_what_was_sent_are_free() -> None:
    with session(http2_limit_control_frames=50) as (client, app):
        client.send(settings({WINDOW_SETTING: 100}))
        begin(client, 1, "/endless")
        for _ in range(500):
            each = client.next(DATA)
            client.send(grant(len(each.payload), 1) + grant(len(each.payload)))
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("gone")
