"""Messages over a socket pair, however they are cut, until one side is gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fastserve.supervision import channel as module
from fastserve.supervision.channel import Channel

GO, STOP = b'{"type": "go"}\n', b'{"type": "stop", "plan": {"drain": 1.5}}\n'


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """A bare socket, and the channel at its other end."""
    bare, end = socket.socketpair()
    bare.settimeout(10)
    channel = Channel(end)
    yield bare, channel
    bare.close()
    channel.close()


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


Raw = tuple[socket.socket, Channel]
Pair = tuple[Channel, Channel]


def test_what_is_sent_is_taken(pair: Pair) -> None:
    one, other = pair
    assert one.send("go")
    assert one.send("explained", request="GET /ü\n", stack="")
    assert other.take() == [
        {"type": "go"},
        {"type": "explained", "request": "GET /ü\n", "stack": ""},
    ]
    assert other.take() == []
    assert not other.ended


def test_messages_are_taken_however_they_are_cut(raw: Raw) -> None:
    bare, channel = raw
    both = GO + STOP
    for cut in range(len(both) + 1):
        taken: list[Any] = []
        for part in (both[:cut], both[cut:]):
            bare.sendall(part)
            taken += channel.take()
        assert [each["type"] for each in taken] == ["go", "stop"], cut


def test_a_message_that_comes_byte_by_byte_is_taken_once(raw: Raw) -> None:
    bare, channel = raw
    taken = []
    for byte in STOP:
        bare.sendall(bytes([byte]))
        taken += channel.take()
    assert taken == [{"type": "stop", "plan": {"drain": 1.5}}]


@pytest.mark.parametrize(
    "line", [b"Current thread 0x0001:", b"[1]", b'{"kind": "go"}', b'{"type": 1}', b"\xff", b""]
)
def test_what_is_no_message_is_a_trace(raw: Raw, line: bytes) -> None:
    bare, channel = raw
    bare.sendall(line + b"\n" + GO)
    text = line.decode("utf-8", "replace")
    assert channel.take() == [{"type": "trace", "line": text}, {"type": "go"}]


def test_what_was_sent_before_the_end_is_taken_with_it(raw: Raw) -> None:
    bare, channel = raw
    bare.sendall(GO + b'{"type": "st')
    bare.close()
    assert channel.take() == [{"type": "go"}]
    assert channel.ended
    assert channel.take(wait=True) == []


def test_it_can_be_waited_for_a_message(pair: Pair) -> None:
    one, other = pair
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.extend(other.take(wait=True)))
    thread.start()
    assert one.send("go")
    thread.join(10)
    assert taken == [{"type": "go"}]


# -- a peer that does not take ---------------------------------------------------------


def test_to_one_that_is_gone_nothing_can_be_sent(pair: Pair) -> None:
    one, other = pair
    other.close()
    assert not one.send("go")
    one.close()
    assert not one.send("go")


def test_to_one_that_is_stuck_nothing_can_be_sent(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    one, _ = pair
    for _ in range(10000):
        if not one.send("explained", stack="x" * 10000):
            return
    raise AssertionError("all of it was sent")


def test_one_that_takes_slowly_gets_all_of_it(pair: Pair) -> None:
    one, other = pair
    stack = "frame\n" * 500_000
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.append(one.send("explained", stack=stack)))
    thread.start()
    taken: list[Any] = []
    while not taken:
        taken = other.take(wait=True)
    thread.join(10)
    assert sent == [True]
    assert taken[0]["stack"] == stack


# -- orders ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_an_order_brings_descriptors_of_the_takers_own(pair: Pair, size: int) -> None:
    one, other = pair
    read, write = os.pipe()
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.append(one.send_order("x" * size, [write])))
    thread.start()
    told = other.take_order()
    thread.join(10)
    os.close(write)
    assert sent == [True]
    assert told is not None
    text, (copy,) = told
    assert text == "x" * size
    assert not os.get_inheritable(copy)
    os.write(copy, b"hello")
    assert os.read(read, 10) == b"hello"
    os.close(copy)
    os.close(read)


def test_messages_follow_an_order(pair: Pair) -> None:
    one, other = pair
    assert one.send_order("text", [])
    assert other.take_order() == ("text", [])
    assert one.send("go")
    assert other.take() == [{"type": "go"}]


def test_no_order_comes_from_one_that_is_gone(pair: Pair) -> None:
    one, other = pair
    one.close()
    assert other.take_order() is None
    assert not other.send_order("text", [])


def test_a_detached_descriptor_is_the_takers(pair: Pair) -> None:
    one, other = pair
    again = Channel(socket.socket(fileno=one.detach()))
    assert again.send("go")
    assert other.take() == [{"type": "go"}]
    again.close()
