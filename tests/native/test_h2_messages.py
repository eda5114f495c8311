"""HTTP over HTTP/2, RFC 9113 section 8, on the wire: requests, content, trailers, answers.

What a head can be wrong in is native/test_h2_heads.py's; here is what the connection does of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from native.h2_session import (
    CALM,
    INTERNAL,
    NO_ERROR,
    PROTOCOL,
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
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    settings,
)

GET = ((":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", "/"))
WHOLE = END_HEADERS | END_STREAM


@pytest.fixture
def client() -> Iterator[Session]:
    with served() as (server, _):
        yield server.connect()


def post(path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    changed = {":method": "POST", ":path": path}
    return [(name, changed.get(name, value)) for name, value in GET] + list(more)


# section 8.1: messages


def test_a_request_in_one_frame_and_an_answer(client: Session) -> None:
    client.put_block(1, *GET)
    head = client.next(HEADERS)
    assert (head.stream, head.flags & END_STREAM) == (1, 0)
    fields = client.fields(head)
    assert fields[0] == (":status", "200")
    assert [name for name, _ in fields if name.startswith(":")] == [":status"]
    assert all(name == name.lower() for name, _ in fields)
    data = client.next(DATA)
    assert (data.stream, data.payload, data.flags) == (1, b"hello", END_STREAM)


def test_an_answer_to_head_has_no_content(client: Session) -> None:
    client.put_block(1, (":method", "HEAD"), *GET[1:])
    head = client.next(HEADERS)
    assert head.flags == WHOLE
    assert ("content-length", "5") in client.fields(head)


def test_content_and_trailers(client: Session) -> None:
    client.put_block(1, *post("/echo"), ends=False)
    client.send(frame(DATA, PADDED, 1, b"\2abpp") + frame(DATA, 0, 1) + frame(DATA, 0, 1, b"c"))
    client.put_block(1, ("x-sum", "1"))
    assert client.answer(1) == ("200", b"POST /echo [abc]")


@pytest.mark.parametrize(
    "trailers", [[(":path", "/")], [(":status", "200")], [("X", "1")], [("connection", "close")]]
)
def test_malformed_trailers_cost_the_stream(trailers: list[tuple[str, str]]) -> None:
    with session() as (client, app):
        client.put_block(1, *post("/hold"), ends=False)
        app.wait_for("held")
        client.put_block(1, *trailers)
        client.loses(1, PROTOCOL)
        app.wait_for("left")


def test_large_trailers_end_with_an_answer_or_a_reset() -> None:
    with session(limit_request_trailers=100) as (client, _):
        client.put_block(1, *post("/hold"), ends=False)
        client.put_block(1, ("x", "y" * 200))
        heads = [each for each in client.frames() if each.stream == 1]
        assert heads
        assert heads[0].kind == RESET or (":status", "431") in client.fields(heads[0])
        assert client.get(3) == ("200", b"hello")


# section 8.1.1: what is malformed


MALFORMED = [
    [*GET, ("X-Upper", "1")], [*GET, ("connection", "close")], [*GET, ("te", "gzip")],
    [*GET, ("transfer-encoding", "chunked")], [*GET, ("x", "a\nb")], [*GET, (":path", "/")],
    [("x", "1"), *GET], GET[1:], GET[:3], [*GET, (":status", "200")], [*GET, ("host", "other")],
    [*GET, ("content-length", "5")], [*GET[:3], (":path", "")], [("x", "1")],
]  # fmt: skip


@pytest.mark.parametrize("pairs", MALFORMED)
def test_a_malformed_request_costs_its_stream(
    client: Session, pairs: list[tuple[str, str]]
) -> None:
    client.put_block(1, *pairs)
    client.loses(1, PROTOCOL)
    assert client.get(3) == ("200", b"hello")


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([*GET[:3], (":path", "/%zz")], "400"),
        ([*GET[:3], (":path", "relative")], "400"),
        ([*GET[:2], GET[3]], "400"),
        ([*GET, ("expect", "miracles")], "417"),
        ([*GET, ("x", "y" * 70000)], "431"),
        ([*GET[:3], (":path", "/" + "x" * 10000)], "414"),
    ],
)
def test_what_http_does_not_allow_is_answered(
    client: Session, pairs: list[tuple[str, str]], status: str
) -> None:
    block = client.encoder.encode(pairs)
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    client.send(frame(HEADERS, END_STREAM, 1, parts[0]))
    for part in [*parts[1:], b""]:
        client.send(frame(CONTINUATION, END_HEADERS if part == b"" else 0, 1, part))
    got, data = client.answer(1)
    assert got == status
    assert data
    assert client.get(3) == ("200", b"hello")


@pytest.mark.parametrize(
    "parts",
    [
        [(b"abcdef", END_STREAM)],
        [(b"abcd", END_STREAM)],
        [(b"", END_STREAM)],
        [(b"abc", 0), (b"def", 0)],
        [(b"abc", 0), (b"", END_STREAM)],
    ],
)
def test_content_of_another_length_than_announced_is_malformed(
    parts: list[tuple[bytes, int]],
) -> None:
    with session() as (client, app):
        client.put_block(1, *post("/hold", ("content-length", "5")), ends=False)
        app.wait_for("held")
        for data, flags in parts:
            client.send(frame(DATA, flags, 1, data))
        client.loses(1, PROTOCOL)
        app.wait_for("left")
        assert client.get(3) == ("200", b"hello")


def test_trailers_behind_too_little_content_are_malformed() -> None:
    with session() as (client, app):
        client.put_block(1, *post("/hold", ("content-length", "5")), ends=False)
        app.wait_for("held")
        client.send(frame(DATA, 0, 1, b"abcd"))
        client.put_block(1, ("x-sum", "1"))
        client.loses(1, PROTOCOL)


def test_content_of_the_length_that_was_announced(client: Session) -> None:
    client.put_block(1, *post("/echo", ("content-length", "5")), ends=False)
    client.send(frame(DATA, 0, 1, b"ab") + frame(DATA, END_STREAM, 1, b"cde"))
    assert client.answer(1) == ("200", b"POST /echo [abcde]")


# sections 8.2 and 8.3: fields


def test_authority_comes_as_host_and_cookies_as_they_were(client: Session) -> None:
    client.put_block(1, *post("/fields", ("x", "1"), ("cookie", "a=b"), ("cookie", "c=d")))
    assert client.answer(1) == ("200", b"host=test;x=1;cookie=a=b;cookie=c=d;")


def test_fields_of_the_connection_are_left_out_of_answers() -> None:
    with session() as (client, _):
        client.put_block(1, *post("/odd"))
        fields = client.fields(client.next(HEADERS))
        names = {name for name, _ in fields}
        assert ("x-kept", "1") in fields
        assert not names & {"connection", "keep-alive", "transfer-encoding", "upgrade"}


# section 8.5: CONNECT


def test_connect_is_answered_and_does_no_harm(client: Session) -> None:
    client.put_block(1, (":method", "CONNECT"), (":authority", "test:443"), ends=False)
    head = client.next(HEADERS)
    assert int(dict(client.fields(head))[":status"]) >= 400
    assert client.get(3) == ("200", b"hello")


def test_a_connect_with_a_path_is_malformed(client: Session) -> None:
    client.put_block(1, (":method", "CONNECT"), *GET[1:])
    client.loses(1, PROTOCOL)


# what the application does


def test_an_application_that_fails_early_is_answered_for(client: Session) -> None:
    client.put_block(1, *post("/crash"))
    assert client.answer(1)[0] == "500"


def test_an_application_that_fails_late_is_cut_off(client: Session) -> None:
    client.put_block(1, *post("/crash_late"))
    assert client.next(DATA).flags == 0
    reset = client.next(RESET)
    assert (reset.stream, reset.code) == (1, INTERNAL)
    assert client.get(3) == ("200", b"hello")


# section 8.7 and 10.5: floods


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (settings(), "SETTINGS"),
        (frame(PING, payload=bytes(8)), "PING"),
        (frame(PRIORITY, 0, 9, bytes(5)), "PRIORITY"),
        (frame(PRIORITY_UPDATE, payload=b"\0\0\0\x09u=1"), "PRIORITY"),
        (frame(0x42, 0, 0, b"junk"), "unknown"),
        (frame(DATA, 0, 1), "empty"),
        (frame(PING, ACK, 0, bytes(8)), "PING"),
        (frame(SETTINGS, ACK), "SETTINGS"),
    ],
)
def test_a_flood_of_frames_that_cost_nothing_ends_the_connection(one: bytes, what: str) -> None:
    with session(http2_limit_control_frames=50) as (client, app):
        client.put_block(1, *post("/hold"), ends=False)
        app.wait_for("held")
        client.send(one * 200)
        assert what in client.ends_with(CALM).text
        app.wait_for("left")


def test_rapid_resets_end_the_connection() -> None:
    with session(http2_limit_resets=20) as (client, _):
        for stream in range(1, 101, 2):
            client.put_block(stream, *post("/hold"))
            client.send(frame(RESET, 0, stream, bytes(4)))
        assert "reset" in client.ends_with(CALM).text


def test_errors_that_the_client_provokes_end_the_connection() -> None:
    """MadeYouReset: the server's own resets count as well."""
    with session(http2_limit_resets=20) as (client, _):
        for stream in range(1, 101, 2):
            client.put_block(stream, *post("/hold"))
            client.send(frame(WINDOW, 0, stream, bytes(4)))
        assert "error" in client.ends_with(CALM).text


def test_a_few_resets_are_nobodys_business() -> None:
    with session(http2_limit_resets=20) as (client, _):
        for stream in range(1, 31, 2):
            client.put_block(stream, *post("/hold"))
            client.send(frame(RESET, 0, stream, NO_ERROR.to_bytes(4)))
        assert client.get(99) == ("200", b"hello")
