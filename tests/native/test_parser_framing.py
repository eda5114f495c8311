"""RequestParser: how long a message is, RFC 9112 sections 6 and 7."""

from __future__ import annotations

import pytest
from native.driver import error_of, events_of, feed, message_of


def post(fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\nHost: x\r\n" + fields + b"\r\n" + body


def sized(body: bytes) -> bytes:
    return post(b"Content-Length: %d\r\n" % len(body), body)


def chunked(body: bytes, fields: bytes = b"Transfer-Encoding: chunked\r\n") -> bytes:
    return post(fields, body)


@pytest.mark.parametrize("body", [b"", b"a", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"x" * 70])
def test_content_length_bodies(body):
    head, got, trailers = message_of(sized(body))
    assert (head["content_length"], head["chunked"]) == (len(body), False)
    assert (got, trailers) == (body, [])


def test_without_content_length_there_is_no_body():
    """RFC 9112 section 6.3, rule 7."""
    assert message_of(post(b""))[0]["content_length"] is None
    assert len(feed([post(b"") + b"GET / HTTP/1.1\r\nHost: y\r\n\r\n"])) == 4


@pytest.mark.parametrize("value", [b"007", b"0", b"00", b"7"])
def test_good_lengths(value):
    head, body, _ = message_of(post(b"Content-Length: " + value + b"\r\n", b"b" * int(value)))
    assert head["content_length"] == int(value) == len(body)


@pytest.mark.parametrize(
    "value",
    [b"", b"+5", b"-5", b"-0", b"0x5", b"5a", b"5 5", b"5,5", b"5, 5", b"5;", b"5.0", b"1e2",
     b"1_0", b"\xb2", b"\xd9\xa5", b'"5"', b",5", b"5,"],
)  # fmt: skip
def test_malformed_lengths(value):
    assert error_of(post(b"Content-Length: " + value + b"\r\n"))[0] == 400


@pytest.mark.parametrize("value", [b"9" * 19, b"9" * 20, b"9" * 100, b"%d" % 2**63, b"%d" % 2**64])
def test_lengths_that_no_body_has(value):
    assert error_of(post(b"Content-Length: " + value + b"\r\n"))[0] == 413


@pytest.mark.parametrize("second", [b"5", b"6", b"", b"x"])
def test_repeated_length(second):
    fields = b"Content-Length: 5\r\nContent-Length: " + second + b"\r\n"
    assert error_of(post(fields))[0] == 400


@pytest.mark.parametrize(
    ("body", "data", "trailers"),
    [
        (b"0\r\n\r\n", b"", []),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
        (b"A\r\n0123456789\r\n1\r\n!\r\n000\r\n\r\n", b"0123456789!", []),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
        (b'1;a;b=c ; d="e;\\""\r\nx\r\n0;f\r\n\r\n', b"x", []),
        (b"1\r\nx\r\n0\r\nA: b\r\nC:\r\nA: d\r\n\r\n", b"x",
         [(b"a", b"b"), (b"c", b""), (b"a", b"d")]),
    ],
)  # fmt: skip
def test_chunked_bodies(body, data, trailers):
    head, got, got_trailers = message_of(chunked(body))
    assert (head["content_length"], head["chunked"]) == (None, True)
    assert (got, got_trailers) == (data, trailers)


@pytest.mark.parametrize("value", [b"chunked", b"CHUNKED", b" \tChunked\t "])
def test_chunked_in_any_case(value):
    request = chunked(b"1\r\nx\r\n0\r\n\r\n", b"Transfer-Encoding:" + value + b"\r\n")
    assert message_of(request)[1] == b"x"


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"", 400), (b",", 400), (b"chunked, chunked", 400), (b"chunked, gzip", 400),
        (b"chunked, identity", 400), (b"gzip, chunked", 501), (b"gzip", 400), (b"identity", 400),
        (b"xchunked", 400), (b"chunkedx", 400), (b"chunked;q=1", 400), (b"gzip, gzip", 400),
        (b"\x0bchunked", 400), (b"chunked\x00", 400),
    ],
)  # fmt: skip
def test_other_transfer_codings(value, status):
    """RFC 9112 6.1, 6.3: chunked not last, or twice, is 400; another before it is 501."""
    assert error_of(chunked(b"", b"Transfer-Encoding: " + value + b"\r\n"))[0] == status


@pytest.mark.parametrize(
    "fields",
    [
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
    ],
)
def test_framing_that_two_recipients_may_read_differently(fields):
    assert error_of(post(fields))[0] == 400


def test_transfer_encoding_in_1_0():
    assert error_of(post(b"Transfer-Encoding: chunked\r\n", version=b"1.0"))[0] == 400


BAD_CHUNKS = [
    (b"\r\n", 400),
    (b"g\r\n", 400),
    (b"+5\r\n", 400),
    (b"-5\r\n", 400),
    (b" 5\r\n", 400),
    (b"0x5\r\n", 400),
    (b"5 \r\nhello", 400),
    (b"5\nhello", 400),
    (b"5\rhello", 400),
    (b"5\r\nhello\n", 400),
    (b"5\r\nhelloworld", 400),
    (b"5\r\nhello\rx", 400),
    (b"5;\r\n", 400),
    (b"5;a=\r\n", 400),
    (b'5;a="b\r\n', 400),
    (b"5;a\x00\r\n", 400),
    (b"00000000000000005\r\n", 400),
    (b"8000000000000000\r\n", 413),
    (b"ffffffffffffffff\r\n", 413),
    (b"0\r\n\n", 400),
    (b"0\r\n\rx", 400),
    (b"0\r\nA : b\r\n", 400),
    (b"0\r\n A: b\r\n", 400),
    (b"0\r\nA\r\n", 400),
    (b"0\r\nA: \x00\r\n", 400),
    (b"0\r\nA: b\n", 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_CHUNKS)
def test_bad_chunks_and_trailers(body, status):
    events = events_of(chunked(body))
    assert events[0][0] == "head"
    assert events[-1][:2] == ("error", status)
    assert [event[0] for event in events_of(chunked(b"1\r\nx\r\n" + body))][:2] == ["head", "body"]


def test_extensions_are_bounded_over_the_whole_body():
    chunk = b"1;" + b"e" * 1000 + b"\r\nx\r\n"
    events = feed([chunked(chunk * 16)])
    assert [event[0] for event in events] == ["head", "body"]
    events = feed([chunked(chunk * 17)])
    assert events[-1][:2] == ("error", 400)


def test_trailer_limits():
    body = b"0\r\nName: value\r\nA: b\r\n\r\n"
    section = body[3:]
    assert events_of(chunked(body), trailers=len(section))[-1][0] == "end"
    assert error_of(chunked(body), trailers=len(section) - 1)[0] == 431
    # The head's own two fields allow as many trailers.
    assert error_of(chunked(body[:-2] + b"C: d\r\n\r\n"), fields=2)[0] == 431
    assert error_of(chunked(b"0\r\nA: " + b"v" * 40), field=40)[0] == 431


def test_body_limit_early_by_length():
    assert message_of(sized(b"12345"), body=5)[1] == b"12345"
    events = events_of(post(b"Content-Length: 6\r\n"), body=5)
    assert [event[0] for event in events] == ["error"]
    assert events[0][1] == 413


def test_body_limit_late_by_count():
    assert message_of(chunked(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), body=5)[1] == b"abcde"
    events = events_of(chunked(b"2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n"), body=5)
    assert [event[0] for event in events] == ["head", "body", "error"]
    assert events[1] == ("body", b"ab")
    assert events[2][1] == 413


def test_body_limit_waits_for_the_end_of_the_chunk_line():
    """A size that grows digit by digit is judged when it is over, however it was cut."""
    assert error_of(chunked(b"fffz\r\n"), body=5)[0] == 400
    assert error_of(chunked(b"fff\n"), body=5)[0] == 400
    assert error_of(chunked(b"fff\r\n"), body=5)[0] == 413


def test_many_messages_on_one_connection():
    stream = sized(b"one") + chunked(b"3\r\ntwo\r\n0\r\nA: b\r\n\r\n") + b"\r\n" + post(b"")
    events = events_of(stream)
    assert [event[0] for event in events] == [
        "head", "body", "end", "head", "body", "end", "head", "end",
    ]  # fmt: skip
    assert [event[1] for event in events if event[0] == "body"] == [b"one", b"two"]
    assert [event[1] for event in events if event[0] == "end"] == [[], [(b"a", b"b")], []]
