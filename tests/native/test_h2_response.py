"""HeadWriter: responses' heads on HTTP/2, read back by the hpack package."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http2 import CONTINUATION, END_HEADERS, END_STREAM, HEADERS

from fastserve._native.errors import ProtocolViolation
from fastserve._native.http2.response_head import HeadWriter, ResponseHead
from fastserve._native.service import Service

Pairs = list[tuple[bytes, bytes]]

TYPE = (b"content-type", b"text/plain")
SERVER = (b"server", b"fastserve")


async def app(scope: Any, receive: Any, send: Any) -> None: ...


class Peer:
    """A writer and the client that reads what it writes, strictly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        options.setdefault("date_header", False)
        service = Service(app, loop=loop, logger=logging.getLogger("test"), **options)
        self.writer = HeadWriter(service)
        self.decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self.sizes: list[int] = []
        """Of the blocks that were read."""

    def read(self, frames: bytes, *, ends: bool = False, most: int = 16384) -> Pairs:
        """The fields of HEADERS and CONTINUATION on stream 5."""
        block, wanted, last = b"", HEADERS, False
        while frames:
            size, kind, flags = int.from_bytes(frames[:3]), frames[3], frames[4]
            assert (kind, frames[5:9]) == (wanted, b"\0\0\0\5")
            assert not last
            assert size <= most
            assert (flags & END_STREAM != 0) == (ends and kind == HEADERS)
            last = flags & END_HEADERS != 0
            assert last or size == most, "a frame that could be longer"
            block += frames[9 : 9 + size]
            frames = frames[9 + size :]
            wanted = CONTINUATION
        assert last
        self.sizes.append(len(block))
        return list(self.decoder.decode(block, raw=True))

    def respond(self, headers: Any, status: int = 200, **options: Any) -> Pairs:
        """What the client reads of such a head."""
        return self.send(self.writer.hold(status, headers), **options)

    def send(self, head: ResponseHead, **options: Any) -> Pairs:
        frames = self.writer.head(5, head, **options)
        most = options.get("frame_most", 16384)
        return self.read(frames, ends=options.get("ends", False), most=most)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def peer(loop: asyncio.AbstractEventLoop) -> Peer:
    return Peer(loop)


def status(code: int) -> tuple[bytes, bytes]:
    return b":status", b"%d" % code


# what is sent ---------------------------------------------------------------


def test_status_and_fields_come_in_the_order_of_the_application(peer: Peer) -> None:
    fields = [(b"x-b", b"1"), TYPE, (b"x-a", b""), (b"x-b", b"2")]
    assert peer.respond(fields) == [status(200), *fields, SERVER]


@pytest.mark.parametrize("code", [200, 204, 206, 301, 304, 400, 404, 418, 500, 503, 599])
def test_every_status_is_read_back(peer: Peer, code: int) -> None:
    for _ in range(4):
        assert peer.respond([TYPE], code) == [status(code), TYPE, SERVER]


def test_cookies_stay_fields_of_their_own_and_are_in_no_table(peer: Peer) -> None:
    cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"set-cookie", b"a=1")]
    for _ in range(4):
        assert peer.respond(cookies) == [status(200), *cookies, SERVER]
    assert b"set-cookie" not in {name for name, _ in peer.decoder.header_table.dynamic_entries}


def test_names_are_sent_in_lower_case(peer: Peer) -> None:
    assert peer.respond([(b"Content-Type", b"A"), (b"X-ODD", b"B")]) == [
        status(200), (b"content-type", b"A"), (b"x-odd", b"B"), SERVER,
    ]  # fmt: skip


def test_white_space_round_a_value_is_left_out(peer: Peer) -> None:
    assert peer.respond([(b"a", b" x y\t"), (b"b", b" \t")]) == [
        status(200), (b"a", b"x y"), (b"b", b""), SERVER,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        (b"Connection", b"close"), (b"connection", b"x-a"), (b"Keep-Alive", b"timeout=5"),
        (b"proxy-connection", b"close"), (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
    ],
)  # fmt: skip
def test_what_is_about_a_connection_is_left_out(peer: Peer, field: tuple[bytes, bytes]) -> None:
    assert peer.respond([TYPE, field]) == [status(200), TYPE, SERVER]
    assert peer.read(peer.writer.trailers(5, [field, (b"x", b"y")]), ends=True) == [(b"x", b"y")]


def test_a_length_of_the_applications_is_sent_once_and_not_with_204(peer: Peer) -> None:
    length = (b"content-length", b"12")
    assert peer.respond([length, TYPE, length]) == [status(200), length, TYPE, SERVER]
    assert peer.respond([length], 304) == [status(304), length, SERVER]
    assert peer.respond([length, TYPE], 204) == [status(204), TYPE, SERVER]


@pytest.mark.parametrize("length", [0, 9, 10, 1 << 20, (1 << 63) - 1])
def test_a_length_is_added_behind(peer: Peer, length: int) -> None:
    for _ in range(4):
        assert peer.respond([TYPE], length=length) == [
            status(200), TYPE, SERVER, (b"content-length", b"%d" % length),
        ]  # fmt: skip


def test_a_request_id_is_added_unless_the_application_has_given_one(peer: Peer) -> None:
    own = (b"x-request-id", b"mine")
    for name in (b"first", b"second", b"third"):
        assert peer.respond([TYPE], request_id=name)[-1] == (b"x-request-id", name)
    assert peer.respond([own], request_id=b"other") == [status(200), own, SERVER]
    assert b"x-request-id" not in {name for name, _ in peer.decoder.header_table.dynamic_entries}


def test_the_servers_fields_are_those_of_http_1(loop: asyncio.AbstractEventLoop) -> None:
    extra = [(b"X-Served-By", b"a"), (b"x-two", b"b")]
    peer = Peer(loop, response_headers=iter(extra), date_header=True, server_header=b"other")
    for _ in range(3):
        fields = peer.respond([TYPE])
        assert [name for name, _ in fields[:3]] == [b":status", b"content-type", b"date"]
        assert abs(parsedate_to_datetime(fields[2][1].decode()).timestamp() - time.time()) < 60
        assert fields[3:] == [(b"server", b"other"), (b"x-served-by", b"a"), (b"x-two", b"b")]
    own = [(b"Date", b"today"), (b"Server", b"mine")]
    assert peer.respond(own) == [
        status(200), (b"date", b"today"), (b"server", b"mine"),
        (b"x-served-by", b"a"), (b"x-two", b"b"),
    ]  # fmt: skip


def test_no_server_field_where_the_operator_wants_none(loop: asyncio.AbstractEventLoop) -> None:
    assert Peer(loop, server_header=None).respond([TYPE]) == [status(200), TYPE]


# what cannot be sent --------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ((b"a b", b""), "not a header name"),
        ((b"", b"x"), "not a header name"),
        ((b":status", b"200"), "not a header name"),
        ((b"a", b"x\r\ny: z"), "control byte"),
        ((b"a", b"x\0"), "control byte"),
        (("a", b"b"), "must be bytes"),
        ((b"a", "b"), "must be bytes"),
        ((b"a",), "must be a pair"),
        ((b"a", b"b", b"c"), "must be a pair"),
        (b"ab", "must be bytes"),
    ],
)
def test_what_http_cannot_carry_is_refused(peer: Peer, field: Any, message: str) -> None:
    with pytest.raises(ProtocolViolation, match=message):
        peer.writer.hold(200, [TYPE, field])
    with pytest.raises(ProtocolViolation, match=message):
        peer.writer.trailers(5, [field])
    assert peer.respond([TYPE]) == [status(200), TYPE, SERVER], "nothing of it was written"


@pytest.mark.parametrize("value", [b"", b"-1", b"1x", b"0x1", b"9" * 19, b" 1"])
def test_a_malformed_length_is_refused(peer: Peer, value: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="content-length"):
        peer.writer.hold(200, [(b"content-length", value)])


def test_two_lengths_that_differ_are_refused(peer: Peer) -> None:
    with pytest.raises(ProtocolViolation, match="two different content-length"):
        peer.writer.hold(200, [(b"content-length", b"1"), (b"Content-Length", b"2")])


def test_more_than_a_table_could_survive_is_refused_before_anything_is_written(peer: Peer) -> None:
    fields = [(b"x", b"v" * (9 << 20))] * 2
    with pytest.raises(ProtocolViolation, match="too large"):
        peer.writer.hold(200, fields)
    with pytest.raises(ProtocolViolation, match="too large"):
        peer.writer.trailers(5, fields)


# what repeats ---------------------------------------------------------------


def repeat(peer: Peer, headers: Any, times: int = 4) -> ResponseHead:
    for _ in range(times):
        head = peer.writer.hold(200, headers)
        peer.send(head)
    return head


def test_a_head_that_repeats_is_the_same_and_costs_its_indices_alone(peer: Peer) -> None:
    first = peer.writer.hold(200, [TYPE, (b"x-custom", b"some value")])
    fields = peer.send(first)
    again = ([b"content-type", b"text/plain"], (b"x-custom", b"some value"))
    assert peer.writer.hold(200, again) is first
    assert peer.send(first) == fields
    assert peer.sizes[0] > 30
    assert peer.sizes[1] == 4


def test_the_block_is_kept_once_it_adds_nothing_to_the_table(peer: Peer) -> None:
    fields = [TYPE, (b"x-custom", b"some value")]
    head = peer.writer.hold(200, fields)
    peer.send(head)
    assert head.block is None, "it has put its fields into the table"
    assert peer.writer.hold(200, fields) is head
    expected = peer.send(head)
    assert head.block is not None
    kept = head.block
    assert peer.respond(fields, length=7) == [*expected, (b"content-length", b"7")]
    assert head.block is kept


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        (201, [TYPE, (b"x", b"1")]), (200, [TYPE]), (200, [TYPE, (b"x", b"2")]),
        (200, [TYPE, (b"y", b"1")]), (200, [TYPE, (b"x", b"1"), (b"x", b"1")]),
        (200, [(b"x", b"1"), TYPE]), (200, [TYPE, (b"X", b"1")]),
    ],
)  # fmt: skip
def test_another_head_is_another_one(peer: Peer, code: int, headers: Pairs) -> None:
    head = repeat(peer, [TYPE, (b"x", b"1")])
    other = peer.writer.hold(code, headers)
    assert other is not head
    lower = [(name.lower(), value) for name, value in headers]
    assert peer.send(other) == [status(code), *lower, SERVER]


def test_a_kept_block_is_not_used_after_the_table_has_changed(peer: Peer) -> None:
    fields = [TYPE, (b"x-custom", b"some value")]
    for number in range(200):
        head = repeat(peer, fields, 3)
        assert peer.send(head) == [status(200), *fields, SERVER]
        # Trailers that push what is in the table further down, and in the end out of it.
        trailer = (b"x-trailer-%d" % number, b"v" * 20)
        assert peer.read(peer.writer.trailers(5, [trailer]), ends=True) == [trailer]
        assert peer.send(head) == [status(200), *fields, SERVER]


@pytest.mark.parametrize("size", [0, 40, 4096, 1 << 20])
def test_a_kept_block_is_not_used_with_another_size_of_the_table(peer: Peer, size: int) -> None:
    fields = [TYPE, (b"x-custom", b"some value")]
    head = repeat(peer, fields)
    peer.writer.limit(size)
    peer.decoder.max_allowed_table_size = min(size, 4096)
    for _ in range(4):
        assert peer.send(head) == [status(200), *fields, SERVER]
    assert peer.decoder.header_table_size <= size


def test_the_date_changes_with_the_second(loop: asyncio.AbstractEventLoop) -> None:
    peer = Peer(loop, date_header=True)
    first = peer.respond([TYPE])
    head = repeat(peer, [TYPE])
    end = time.monotonic() + 10
    while (fields := peer.send(head)) == first:
        assert time.monotonic() < end, "the date stands still"
        time.sleep(0.01)
    before, after = (parsedate_to_datetime(each[2][1].decode()) for each in (first, fields))
    assert (after - before).total_seconds() >= 1
    assert peer.writer.hold(200, [TYPE]) is head


def test_what_the_application_does_with_its_list_later_changes_nothing(peer: Peer) -> None:
    pair = [b"x", b"1"]
    headers: list[Any] = [TYPE, pair]
    held = peer.writer.hold(200, headers)
    pair[1] = b"2"
    headers.append((b"y", b"3"))
    assert peer.send(held) == [status(200), TYPE, (b"x", b"1"), SERVER]
    assert peer.respond(headers) == [status(200), TYPE, (b"x", b"2"), (b"y", b"3"), SERVER]
    pair[1] = b"4"
    assert peer.respond(headers) == [status(200), TYPE, (b"x", b"4"), (b"y", b"3"), SERVER]


def test_headers_may_be_any_iterable(peer: Peer) -> None:
    fields = [TYPE, (b"x", b"1")]
    for headers in (iter(fields), tuple(fields), (list(pair) for pair in fields), dict(fields)):
        given = headers.items() if isinstance(headers, dict) else headers
        assert peer.respond(given) == [status(200), *fields, SERVER]


def test_a_large_head_is_not_kept(peer: Peer) -> None:
    fields = [(b"x", b"v" * 5000)]
    head = peer.writer.hold(200, fields)
    assert peer.writer.hold(200, fields) is not head
    assert peer.send(head) == [status(200), *fields, SERVER]


# frames ---------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 16384, 16385, 16400, 40000, 70000])
def test_a_long_block_goes_on_in_continuation(peer: Peer, size: int) -> None:
    # No Huffman code is shorter for these bytes: the block is as long as they are, and more.
    fields = [(b"x", b"\xff" * size)]
    assert peer.respond(fields, ends=True) == [status(200), *fields, SERVER]
    assert peer.respond(fields, frame_most=20000) == [status(200), *fields, SERVER]


def test_trailers_end_the_stream(peer: Peer) -> None:
    trailers = [(b"x-sum", b"1"), (b"x-sum", b"2")]
    for _ in range(3):
        assert peer.read(peer.writer.trailers(5, trailers), ends=True) == trailers
    large = [(b"x-sum", b"\xff" * 20000)]
    assert peer.read(peer.writer.trailers(5, large), ends=True) == large


def test_lengths_in_trailers_are_left_out(peer: Peer) -> None:
    frames = peer.writer.trailers(5, [(b"Content-Length", b"3"), (b"x", b"y")])
    assert peer.read(frames, ends=True) == [(b"x", b"y")]


def test_interim_answers_do_not_end_the_stream(peer: Peer) -> None:
    hint = (b"link", b"</a.css>; rel=preload")
    assert peer.read(peer.writer.interim(5, 100, [])) == [status(100)]
    for _ in range(3):
        assert peer.read(peer.writer.interim(5, 103, [hint])) == [status(103), hint]


def test_the_servers_own_answer_is_that_of_http_1(peer: Peer) -> None:
    frames, body = peer.writer.answer(5, 503, "try later", [(b"Allow", b"GET")])
    assert body == b"try later\n"
    assert peer.read(frames) == [
        status(503), (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"10"),
        (b"allow", b"GET"), (b"retry-after", b"1"), SERVER,
    ]  # fmt: skip
    frames, body = peer.writer.answer(5, 404, "not here", bodiless=True)
    assert body is None
    assert (b"content-length", b"9") in peer.read(frames, ends=True)


NAMES = st.sampled_from([
    b"content-type", b"Content-Length", b"set-cookie", b"etag", b"x-a", b"x-b", b"X-Odd", b"vary",
    b"cache-control", b"authorization", b"connection",
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"", b"1", b"text/html", b"no-cache"]),
    st.binary(max_size=60).filter(lambda v: not any(c < 32 or c == 127 for c in v)),
)


@given(st.data())
def test_any_row_of_responses_is_read_back(data: st.DataObject) -> None:
    loop = asyncio.new_event_loop()
    try:
        peer = Peer(loop)
        pool = data.draw(st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=5), min_size=1))
        for _ in range(data.draw(st.integers(1, 12))):
            if data.draw(st.integers(0, 5)) == 0:
                size = data.draw(st.sampled_from([0, 64, 200, 4096]))
                peer.writer.limit(size)
                peer.decoder.max_allowed_table_size = max(size, peer.decoder.max_allowed_table_size)
            fields = data.draw(st.sampled_from(pool))
            try:
                got = peer.respond(fields)
            except ProtocolViolation:
                continue
            wanted, seen = [], False
            for name, value in fields:
                name = name.lower()
                if name == b"connection" or (name == b"content-length" and seen):
                    continue
                seen = seen or name == b"content-length"
                wanted.append((name, value.strip(b" \t")))
            assert got == [status(200), *wanted, SERVER]
    finally:
        loop.close()
