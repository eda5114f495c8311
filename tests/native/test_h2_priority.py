"""In what order streams send, RFC 9218, and in turn where nobody asks for an order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pytest
from native.h2_session import DEFAULT_WINDOW, PROTOCOL, Application, Session, session
from support.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW, frame, settings

WINDOW_SETTING = 4
PRIORITY_UPDATE = 16
FRAME = 16384
SIZE = 3 * FRAME


@pytest.fixture
def full() -> Iterator[tuple[Session, Application]]:
    """A connection whose window the first stream has used up; those of streams are large."""
    with session() as (client, app):
        client.send(settings({WINDOW_SETTING: 1 << 20}))
        ask(client, 1, f"/large/{DEFAULT_WINDOW}")
        app.wait_for("sent")
        client.frames()
        yield client, app


def ask(client: Session, stream: int, path: str = f"/large/{SIZE}", priority: str = "") -> None:
    pairs = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", path)]
    pairs += [("priority", priority)] if priority else []
    block = client.encoder.encode(pairs)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))


def update(stream: int, priority: bytes) -> bytes:
    return frame(PRIORITY_UPDATE, 0, 0, stream.to_bytes(4) + priority)


def sent(client: Session) -> list[int]:
    """The streams of the DATA frames that come once the connection's window opens, in order."""
    client.frames()
    client.send(frame(WINDOW, 0, 0, (1 << 20).to_bytes(4)))
    return [each.stream for each in client.frames() if each.kind == DATA]


def test_equals_send_in_turn(full: tuple[Session, Application]) -> None:
    client, _ = full
    for stream in (3, 5, 7):
        ask(client, stream)
    assert sent(client) == [3, 5, 7] * 3


def test_the_urgent_go_first(full: tuple[Session, Application]) -> None:
    client, _ = full
    for stream, urgency in ((3, 7), (5, 0), (7, 4), (9, 1)):
        ask(client, stream, priority=f"u={urgency}")
    assert [stream for stream, _ in groupby(sent(client))] == [5, 9, 7, 3]


def test_one_after_the_other_in_the_order_of_their_requests(
    full: tuple[Session, Application],
) -> None:
    client, _ = full
    ask(client, 3, priority="u=1, i")
    for stream in (5, 7):
        ask(client, stream, priority="u=1")
    ask(client, 9, priority="u=1, i")
    order = sent(client)
    assert [stream for stream in order if stream in (5, 7)] == [5] * 3 + [7] * 3
    assert [stream for stream in order if stream in (3, 9)] == [3, 9] * 3
    assert set(order[:4]) == {3, 5, 9}, "the two kinds take turns"


def test_an_update_counts_from_then_on(full: tuple[Session, Application]) -> None:
    client, _ = full
    for stream in (3, 5, 7):
        ask(client, stream, priority="u=5")
    client.send(update(7, b"u=1"))
    assert sent(client) == [7] * 3 + [3] * 3 + [5] * 3


def test_an_update_that_comes_before_its_stream(full: tuple[Session, Application]) -> None:
    client, _ = full
    client.send(update(7, b"u=0"))
    for stream in (3, 5, 7):
        ask(client, stream, priority="u=2")
    assert sent(client)[:3] == [7, 7, 7]


def test_updates_for_many_streams_to_come_are_forgotten(full: tuple[Session, Application]) -> None:
    client, _ = full
    client.send(b"".join(update(stream, b"u=0") for stream in range(101, 301, 2)))
    ask(client, 3)
    assert sent(client) == [3] * 3


def test_an_update_of_no_stream_is_an_error(full: tuple[Session, Application]) -> None:
    client, _ = full
    client.send(update(0, b"u=0"))
    client.ends_with(PROTOCOL)


@pytest.mark.parametrize("wrong", ["u=9", "u=x", "i=5", "((", "u", "priority"])
def test_what_is_no_priority_is_passed_over(full: tuple[Session, Application], wrong: str) -> None:
    client, _ = full
    ask(client, 3, priority=wrong)
    ask(client, 5)
    assert sent(client) == [3, 5] * 3


def test_a_stream_whose_window_is_closed_lets_the_less_urgent_send() -> None:
    with session() as (client, _):
        client.send(settings({WINDOW_SETTING: FRAME}))
        ask(client, 1, priority="u=0")
        ask(client, 3, priority="u=6")
        assert [each.stream for each in client.frames() if each.kind == DATA] == [1, 3]
        client.send(frame(WINDOW, 0, 3, SIZE.to_bytes(4)))
        assert {each.stream for each in client.frames() if each.kind == DATA} == {3}
