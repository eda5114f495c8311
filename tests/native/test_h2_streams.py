"""HTTP/2 streams, RFC 9113 section 5: states, numbers, how many, and resets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native.h2_session import (
    CANCEL,
    NO_ERROR,
    PROTOCOL,
    REFUSED,
    SIZE,
    STREAM_CLOSED,
    Session,
    served,
    session,
)
from support.http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PRIORITIZED,
    PRIORITY,
    PRIORITY_UPDATE,
    RESET,
    WINDOW,
    frame,
)

WHOLE = END_HEADERS | END_STREAM


@pytest.fixture
def client() -> Iterator[Session]:
    with served() as (server, _):
        yield server.connect()


def begin(client: Session, stream: int, path: str, *, ends: bool = True) -> None:
    block = client.request_block("GET" if ends else "POST", path)
    client.send(frame(HEADERS, WHOLE if ends else END_HEADERS, stream, block))


# section 5.1: states


@pytest.mark.parametrize(
    "early",
    [
        frame(DATA, END_STREAM, 1, b"x"), frame(DATA, 0, 1), frame(RESET, 0, 1, bytes(4)),
        frame(WINDOW, 0, 1, b"\0\0\0\1"), frame(WINDOW, 0, 1, bytes(4)),
        frame(DATA, 0, 2, b"x"), frame(RESET, 0, 2, bytes(4)), frame(WINDOW, 0, 2, b"\0\0\0\1"),
    ],
)  # fmt: skip
def test_an_idle_stream_takes_headers_and_priority_alone(client: Session, early: bytes) -> None:
    client.send(early)
    assert client.ends_with(PROTOCOL).last_stream == 0


@pytest.mark.parametrize("stream", [1, 2, 5])
def test_priority_may_come_at_any_time(client: Session, stream: int) -> None:
    priority = frame(PRIORITY, 0, stream, b"\0\0\0\3\xff")
    client.send(priority)
    begin(client, 5, "/")
    client.send(priority)
    assert client.answer(5) == ("200", b"hello")
    client.send(priority)
    assert client.get(7) == ("200", b"hello")


def test_an_open_stream_takes_data_up_to_its_end(client: Session) -> None:
    begin(client, 1, "/echo", ends=False)
    client.send(frame(DATA, 0, 1, b"ab") + frame(DATA, 0, 1) + frame(DATA, END_STREAM, 1, b"c"))
    assert client.answer(1) == ("200", b"POST /echo [abc]")


@pytest.mark.parametrize(
    "late", [frame(DATA, 0, 1, b"x"), frame(DATA, END_STREAM, 1), frame(HEADERS, WHOLE, 1, b"")]
)
def test_a_half_closed_stream_takes_no_more_of_its_request(late: bytes) -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(late)
        client.loses(1, STREAM_CLOSED)
        app.wait_for("left")


def test_a_half_closed_stream_takes_window_priority_and_reset() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        client.send(frame(WINDOW, 0, 1, b"\0\0\0\1") + frame(PRIORITY, 0, 1, bytes(5)))
        app.wait_for("held")
        assert [each.kind for each in client.frames() if each.stream == 1] == []
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("left")
        assert client.get(3) == ("200", b"hello")


@pytest.mark.parametrize("late", [frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1, b"")])
def test_a_stream_that_both_sides_have_ended_takes_none_of_a_request(
    client: Session, late: bytes
) -> None:
    client.get(1)
    client.send(late)
    assert client.ends_with(STREAM_CLOSED).last_stream == 1


def test_a_closed_stream_takes_what_may_have_been_on_its_way(client: Session) -> None:
    client.get(1)
    client.send(
        frame(WINDOW, 0, 1, b"\0\0\0\1")
        + frame(RESET, 0, 1, bytes(4))
        + frame(PRIORITY, 0, 1, bytes(5))
        + frame(PRIORITY_UPDATE, payload=b"\0\0\0\1u=1")
    )
    assert [each for each in client.frames() if each.kind == RESET] == []
    assert client.get(3) == ("200", b"hello")


def test_what_was_on_its_way_to_a_stream_that_we_reset_is_passed_over() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold", ends=False)
        app.wait_for("held")
        client.send(frame(WINDOW, 0, 1, bytes(4)))
        client.loses(1, PROTOCOL)
        trailers = client.encoder.encode([("x-late", "1")])
        client.send(
            frame(DATA, 0, 1, b"x" * 100)
            + frame(WINDOW, 0, 1, b"\0\0\0\1")
            + frame(HEADERS, WHOLE, 1, trailers)
            + frame(RESET, 0, 1, bytes(4))
        )
        assert [each for each in client.frames() if each.stream == 1] == []
        # The field block that nobody wanted has filled the table of the connection.
        block = client.request_block("GET", "/fields", ("x-late", "1"))
        client.send(frame(HEADERS, WHOLE, 3, block))
        assert client.answer(3) == ("200", b"host=test;x-late=1;")


@pytest.mark.parametrize("late", [frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1, b"")])
def test_a_stream_that_the_client_has_reset_takes_no_more_of_it(late: bytes) -> None:
    """Section 5.1: STREAM_CLOSED, of the stream or of the connection."""
    with session() as (client, app):
        begin(client, 1, "/hold", ends=False)
        app.wait_for("held")
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)) + late)
        client.ends_with(STREAM_CLOSED)


def test_trailers_that_end_nothing_are_wrong() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold", ends=False)
        app.wait_for("held")
        client.send(frame(HEADERS, END_HEADERS, 1, client.encoder.encode([("x-a", "1")])))
        client.loses(1, PROTOCOL)
        app.wait_for("left")


# section 5.1.1: numbers


def test_streams_of_a_client_are_odd(client: Session) -> None:
    begin(client, 2, "/")
    client.ends_with(PROTOCOL)


@pytest.mark.parametrize("stream", [3, 7])
def test_a_new_stream_has_a_higher_number_than_all_before(client: Session, stream: int) -> None:
    client.get(7)
    begin(client, stream, "/")
    assert client.goaway().code in (PROTOCOL, STREAM_CLOSED)


def test_numbers_may_be_left_out(client: Session) -> None:
    for stream in (1, 5, 99, (1 << 31) - 1):
        assert client.get(stream) == ("200", b"hello")


# section 5.1.2: how many


def test_a_stream_too_many_is_refused_and_may_come_again() -> None:
    with session(http2_max_concurrent_streams=2) as (client, app):
        assert client.frame().settings[3] == 2
        begin(client, 1, "/hold")
        begin(client, 3, "/hold", ends=False)
        begin(client, 5, "/")
        client.loses(5, REFUSED)
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("left")
        client.frames()  # a turn of the loop, in which its task ends
        assert client.get(7) == ("200", b"hello")


def test_the_field_block_of_a_refused_stream_counts() -> None:
    """Section 4.3: the table is the connection's."""
    with session(http2_max_concurrent_streams=1) as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.open(3, ("x-new", "1"))
        client.loses(3, REFUSED)
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("left")
        client.frames()
        client.send(
            frame(HEADERS, WHOLE, 5, client.request_block("GET", "/fields", ("x-new", "1")))
        )
        assert client.answer(5) == ("200", b"host=test;x-new=1;")


# section 5.3.2: priorities of old mean nothing


def test_priority_fields_are_read_over(client: Session) -> None:
    block = b"\x80\0\0\1\xff" + client.request_block()
    client.send(frame(HEADERS, WHOLE | PRIORITIZED, 1, block))
    assert client.answer(1) == ("200", b"hello")


# section 5.4: errors


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(frame(WINDOW, 0, 1, bytes(4)), PROTOCOL), (frame(PRIORITY, 0, 1, bytes(4)), SIZE)],
)
def test_a_stream_error_costs_its_stream_alone(wrong: bytes, code: int) -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        begin(client, 3, "/echo", ends=False)
        app.wait_for("held")
        client.send(wrong)
        client.loses(1, code)
        app.wait_for("left")
        client.send(frame(DATA, END_STREAM, 3, b"x"))
        assert client.answer(3) == ("200", b"POST /echo [x]")


def test_a_stream_error_of_an_idle_stream_costs_the_connection(client: Session) -> None:
    """Section 5.1: there is nothing that RST_STREAM could be about."""
    client.send(frame(PRIORITY, 0, 1, bytes(4)))
    client.ends_with(SIZE)


def test_a_reset_is_not_answered_with_one() -> None:
    """Section 5.4.2."""
    with session() as (client, app):
        begin(client, 1, "/hold")
        app.wait_for("held")
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("left")
        assert [each for each in client.frames() if each.kind == RESET] == []


# section 6.4: resets


def test_a_reset_is_a_disconnect_and_stops_what_is_sent() -> None:
    with session() as (client, app):
        begin(client, 1, "/endless")
        client.next(DATA)
        client.send(frame(RESET, 0, 1, CANCEL.to_bytes(4)))
        app.wait_for("gone")
        client.frames()
        client.send(frame(WINDOW, 0, 0, (1 << 20).to_bytes(4)))
        assert [each for each in client.frames() if each.stream == 1] == []
        assert client.get(3) == ("200", b"hello")


def test_an_answer_before_the_request_is_whole_asks_for_no_more_of_it(client: Session) -> None:
    """Section 8.1: RST_STREAM with NO_ERROR behind the whole answer; what comes is passed over."""
    begin(client, 1, "/hello", ends=False)
    assert client.answer(1) == ("200", b"hello")
    reset = client.next(RESET)
    assert (reset.stream, reset.code) == (1, NO_ERROR)
    client.send(frame(DATA, 0, 1, b"x" * 1000) + frame(DATA, END_STREAM, 1))
    assert client.get(3) == ("200", b"hello")


def test_streams_go_on_side_by_side() -> None:
    with session() as (client, app):
        begin(client, 1, "/hold")
        begin(client, 3, "/echo", ends=False)
        begin(client, 5, "/")
        assert client.answer(5) == ("200", b"hello")
        client.send(frame(DATA, END_STREAM, 3, b"z"))
        assert client.answer(3) == ("200", b"POST /echo [z]")
        assert app.notes == ["held"]
