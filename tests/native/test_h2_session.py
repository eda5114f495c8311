"""HTTP/2 connections, RFC 9113 sections 3 to 7: preface, settings, PING, GOAWAY and errors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native.h2_session import (
    CALM,
    COMPRESSION,
    FLOW,
    NO_ERROR,
    PROTOCOL,
    SETTINGS_TIMEOUT,
    SIZE,
    Session,
    served,
    session,
)
from support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    PUSH,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)
from support.server import Running

TABLE_SETTING = 1
PUSH_SETTING, STREAMS_SETTING, WINDOW_SETTING, FRAME_SETTING, LIST_SETTING = 2, 3, 4, 5, 6
CONNECT_SETTING = 8


@pytest.fixture
def server() -> Iterator[Running]:
    with served() as (running, _):
        yield running


@pytest.fixture
def client(server: Running) -> Session:
    return server.connect()


# section 3.4: prefaces


def test_the_server_begins_with_settings(server: Running) -> None:
    client = server.connect(greets=False)
    client.send(PREFACE)
    first = client.frame()
    assert (first.kind, first.flags, first.stream) == (SETTINGS, 0, 0)


def test_the_clients_settings_are_acknowledged_behind_the_servers(client: Session) -> None:
    first = client.frame()
    assert (first.kind, first.flags) == (SETTINGS, 0)
    assert client.next(SETTINGS).flags == ACK


def test_what_the_server_announces(client: Session) -> None:
    announced = client.frame().settings
    assert announced[STREAMS_SETTING] >= 100, "section 6.5.2 recommends no fewer"
    assert announced[WINDOW_SETTING] <= (1 << 31) - 1
    assert 1 << 14 <= announced.get(FRAME_SETTING, 1 << 14) < 1 << 24
    assert announced[LIST_SETTING] > 0
    assert announced.get(PUSH_SETTING, 0) == 0, "section 6.5.2: never 1 from a server"


def test_requests_may_come_with_the_preface(server: Running) -> None:
    client = server.connect(greets=False)
    block = client.request_block()
    client.send(PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert client.answer(1) == ("200", b"hello")


@pytest.mark.parametrize(
    "first",
    [frame(PING, payload=bytes(8)), frame(SETTINGS, ACK), frame(WINDOW, payload=b"\0\0\0\1")],
)
def test_a_preface_without_settings_is_wrong(server: Running, first: bytes) -> None:
    client = server.connect(greets=False)
    client.send(PREFACE + first)
    client.ends_with(PROTOCOL)


# section 4: frames that cost the connection; native/test_h2_frames.py has each


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (frame(DATA, 0, 0, b"x"), PROTOCOL),
        (frame(HEADERS, END_HEADERS, 0, b"\x82"), PROTOCOL),
        (frame(SETTINGS, 0, 1), PROTOCOL),
        (frame(SETTINGS, 0, 0, bytes(5)), SIZE),
        (frame(SETTINGS, ACK, 0, bytes(6)), SIZE),
        (frame(PING, payload=bytes(7)), SIZE),
        (frame(PING, 0, 1, bytes(8)), PROTOCOL),
        (frame(RESET, 0, 1, bytes(3)), SIZE),
        (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
        (frame(WINDOW, payload=bytes(3)), SIZE),
        (frame(WINDOW, payload=bytes(4)), PROTOCOL),
        (frame(PUSH, END_HEADERS, 1, b"\0\0\0\2"), PROTOCOL),
        (frame(CONTINUATION, END_HEADERS, 1), PROTOCOL),
        (frame(DATA, 0, 1, length=16385), SIZE),
        (settings({PUSH_SETTING: 2}), PROTOCOL),
        (settings({WINDOW_SETTING: 1 << 31}), FLOW),
        (settings({FRAME_SETTING: 16383}), PROTOCOL),
        (settings({FRAME_SETTING: 1 << 24}), PROTOCOL),
    ],
)
def test_wrong_frames_end_the_connection_with_their_code(
    client: Session, wrong: bytes, code: int
) -> None:
    client.send(wrong)
    assert client.ends_with(code).last_stream == 0


def test_goaway_tells_the_last_stream_that_was_taken(client: Session) -> None:
    client.get(1)
    client.get(7)
    client.send(frame(PING, payload=bytes(7)))
    assert client.ends_with(SIZE).last_stream == 7


def test_nothing_is_read_behind_a_connection_error() -> None:
    with session() as (client, app):
        client.send(
            frame(PING, payload=bytes(7))
            + frame(HEADERS, END_HEADERS | END_STREAM, 1, client.request_block(path="/hold"))
        )
        client.ends_with(SIZE)
        assert app.notes == []


def test_a_connection_error_ends_every_stream() -> None:
    with session() as (client, app):
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client.request_block(path="/hold")))
        app.wait_for("held")
        client.send(frame(PING, payload=bytes(7)))
        assert client.ends_with(SIZE).last_stream == 1
        app.wait_for("left")


def test_frames_of_unknown_types_are_passed_over(client: Session) -> None:
    client.send(frame(0x42, 0xFF, 0, b"junk") + frame(0x42, 0xFF, 1, b"junk"))
    assert client.get(1) == ("200", b"hello")


def test_an_unknown_frame_inside_a_field_block_is_wrong(client: Session) -> None:
    client.send(frame(HEADERS, END_STREAM, 1, client.request_block()) + frame(0x42, 0, 1))
    client.ends_with(PROTOCOL)


def test_the_reserved_bit_means_nothing(client: Session) -> None:
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1 << 31 | 1, client.request_block()))
    assert client.answer(1) == ("200", b"hello")


def test_a_field_block_that_cannot_be_decoded_ends_the_connection(client: Session) -> None:
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"))
    client.ends_with(COMPRESSION)


def test_a_field_block_may_be_cut_anywhere(client: Session) -> None:
    block = client.request_block("GET", "/", ("x-a", "b"))
    assert 5 < len(block) < 33
    client.send(frame(HEADERS, END_STREAM, 1, block[:1]))
    for at in range(1, len(block)):
        client.send(frame(CONTINUATION, 0, 1, block[at : at + 1]))
    client.send(frame(CONTINUATION, END_HEADERS, 1))
    assert client.answer(1) == ("200", b"hello")


def test_a_flood_of_continuations_ends_the_connection(client: Session) -> None:
    client.send(frame(HEADERS, 0, 1, client.request_block()) + frame(CONTINUATION, 0, 1) * 200)
    client.ends_with(CALM)


# section 6.5: settings


def test_each_settings_frame_is_acknowledged(client: Session) -> None:
    client.frames()
    client.send(settings({PUSH_SETTING: 0}) + settings() + settings({0x0A0A: 5}))
    acks = [each for each in client.frames() if each.kind == SETTINGS]
    assert [(each.flags, each.payload) for each in acks] == [(ACK, b"")] * 3


def test_unknown_settings_are_passed_over(client: Session) -> None:
    client.send(settings({0x0A0A: 0xFFFFFFFF, 0xFFFF: 0, CONNECT_SETTING: 7}))
    assert client.get(1) == ("200", b"hello")


def test_the_table_of_the_clients_choice_is_used(client: Session) -> None:
    client.frames()
    client.decoder.max_allowed_table_size = 0
    client.send(settings({1: 0}))
    client.frames()
    for stream in (1, 3, 5):
        client.open(stream)
        head = client.next(HEADERS)
        assert (":status", "200") in client.fields(head)
        assert client.next(DATA).flags == END_STREAM
    assert client.decoder.header_table_size == 0


@pytest.mark.parametrize("size", [0, 100, 65536])
def test_a_table_of_another_size_holds_from_its_acknowledgement_on(size: int) -> None:
    """Section 4.3.1: until then the client may use the one of 4096 bytes."""
    with session(http2_header_table_size=size) as (client, _):
        first = client.frame()
        assert first.settings[TABLE_SETTING] == size
        for stream in (1, 3, 5):
            assert client.get(stream, ("x-a", "1")) == ("200", b"hello")
        client.send(frame(SETTINGS, ACK))
        client.encoder.header_table_size = size
        for stream in (7, 9, 11):
            assert client.get(stream, ("x-a", "1")) == ("200", b"hello")


def test_a_table_that_does_not_shrink_ends_the_connection() -> None:
    with session(http2_header_table_size=100) as (client, _):
        client.frames()
        client.open(1)
        client.ends_with(COMPRESSION)


def test_settings_that_nobody_acknowledges_end_the_connection() -> None:
    with session(http2_settings_timeout=0.2) as (client, _):
        client.ends_with(SETTINGS_TIMEOUT)


def test_acknowledged_settings_let_the_connection_live() -> None:
    with session(http2_settings_timeout=0.2) as (client, _):
        client.frames()
        client.send(frame(PRIORITY, 0, 1, bytes(5)))
        assert client.get(1) == ("200", b"hello")


def test_an_acknowledgement_of_nothing_harms_nobody(client: Session) -> None:
    client.frames()
    client.send(frame(SETTINGS, ACK) * 3)
    assert client.get(1) == ("200", b"hello")


# section 6.7: PING


def test_a_ping_is_answered_with_its_bytes(client: Session) -> None:
    client.frames()
    client.send(frame(PING, 0, 0, b"\0\1\2\3\xff\xfe\xfd\xfc"))
    pong = client.frame()
    assert (pong.kind, pong.flags, pong.payload) == (PING, ACK, b"\0\1\2\3\xff\xfe\xfd\xfc")


def test_an_answer_to_a_ping_is_not_answered(client: Session) -> None:
    client.frames()
    client.send(frame(PING, ACK, 0, b"12345678"))
    assert client.frames() == []


# section 6.8: GOAWAY


def test_a_client_that_says_goodbye_gets_its_answers() -> None:
    with session() as (client, _):
        client.send(
            frame(HEADERS, END_HEADERS, 1, client.request_block("POST", "/echo"))
            + frame(GOAWAY, payload=bytes(8) + b"bye")
        )
        client.frames()
        client.send(frame(DATA, END_STREAM, 1, b"x"))
        assert client.answer(1) == ("200", b"POST /echo [x]")


def test_unknown_error_codes_mean_nothing_special(client: Session) -> None:
    """Section 7."""
    client.send(frame(GOAWAY, payload=bytes(4) + b"\xff\xff\xff\xff"))
    client.open(1, ends=False)
    client.send(frame(RESET, 0, 1, b"\xff\xff\xff\xff"))
    assert client.get(3) == ("200", b"hello")


def test_a_server_that_stops_says_so_twice_and_serves_what_was_on_its_way() -> None:
    with session(limit_connection_requests=2) as (client, _):
        client.frames()
        client.get(1)
        client.open(3)
        first = client.next(GOAWAY)
        assert (first.code, first.last_stream) == (NO_ERROR, (1 << 31) - 1)
        ping = client.frame()
        assert (ping.kind, ping.flags) == (PING, 0)
        assert client.answer(3) == ("200", b"hello")
        assert client.get(5) == ("200", b"hello")
        client.send(frame(PING, ACK, 0, ping.payload))
        last = client.goaway()
        assert (last.code, last.last_stream) == (NO_ERROR, 5)


def test_a_stream_above_the_last_one_is_not_served() -> None:
    with session(limit_connection_requests=1) as (client, app):
        client.frames()
        client.put_block(1, *GET_HOLD)
        client.next(GOAWAY)
        client.send(frame(PING, ACK, 0, client.next(PING).payload))
        assert client.next(GOAWAY).last_stream == 1
        client.open(3)
        client.send(frame(DATA, 0, 3) + frame(RESET, 0, 3, bytes(4)))
        client.send(frame(RESET, 0, 1, bytes(4)))
        app.wait_for("left")
        assert app.notes == ["held", "left"]
        assert client.rest() == b""


GET_HOLD = ((":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/hold"))


# section 9.1: a connection that ends


def test_the_end_of_an_idle_connection_is_announced() -> None:
    with session(timeout_keep_alive=0.2) as (client, _):
        assert client.get(1) == ("200", b"hello")
        last = client.goaway()
        assert (last.code, last.last_stream) == (NO_ERROR, 1)
