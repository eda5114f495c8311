"""fs_http1: every case whole, at every split, byte by byte and with trailing bytes.

The leaf is given the same bytes again with more behind them, so a "split" is a
prefix, and one driver (`decide`) serves every case: it must answer MORE for every
prefix up to the byte that decides, and from there on always the same.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

LINE = b"GET / HTTP/1.1\r\n"
TRAILERS_BEHIND = [b"", b"\x00", b"\r\n", b"\n", b"GET / HTTP/1.1\r\n\r\n", b" x", b"a" * 40]


def decide(leaves, data, **limits):
    """The answer for `data`, after checking that no way to cut it changes the answer."""
    answer = leaves.parse(data, **limits)
    decided = next(n for n in range(len(data) + 1) if leaves.parse(data[:n], **limits) == answer)
    for n in range(len(data) + 1):
        alone = leaves.parse(data[:n], **limits)
        assert alone == ("MORE" if n < decided else answer), (n, alone)
        # This cut, then all of it.
        resume = leaves.new_resume()
        assert leaves.parse(data[:n], resume, **limits) == alone
        if n < decided:
            assert leaves.parse(data, resume, **limits) == answer, n
    # Byte by byte.
    resume = leaves.new_resume()
    for n in range(decided):
        assert leaves.parse(data[:n], resume, **limits) == ("MORE" if n < decided else answer)
    assert leaves.parse(data[:decided], resume, **limits) == answer
    if answer != "MORE":
        for behind in TRAILERS_BEHIND:
            assert leaves.parse(data[:decided] + behind, **limits) == answer, behind
    return answer


def field_answer(leaves, lines, **limits):
    return decide(leaves, LINE + lines, **limits)


GOOD_HEADS = {
    b"GET / HTTP/1.1\r\n\r\n": (b"GET", b"/", 1, []),
    b"GET / HTTP/1.0\r\n\r\n": (b"GET", b"/", 0, []),
    b"GET / HTTP/1.9\r\n\r\n": (b"GET", b"/", 9, []),
    b"get /a?b=%20 HTTP/1.1\r\n\r\n": (b"get", b"/a?b=%20", 1, []),
    b"M-SEARCH * HTTP/1.1\r\nHost: x\r\n\r\n": (b"M-SEARCH", b"*", 1, [(b"Host", b"x")]),
    b"M" * 32 + b" * HTTP/1.1\r\n\r\n": (b"M" * 32, b"*", 1, []),
    b'GET /|{}^`"<>\\ HTTP/1.1\r\n\r\n': (b"GET", b'/|{}^`"<>\\', 1, []),
    b"GET http://x/ HTTP/1.1\r\nA:b\r\n\r\n": (b"GET", b"http://x/", 1, [(b"A", b"b")]),
    LINE + b"A:\r\nB: \r\nC: \t \r\n\r\n": (
        b"GET", b"/", 1, [(b"A", b""), (b"B", b""), (b"C", b"")]),
    LINE + b"A: \t b \tc\t \r\n\r\n": (b"GET", b"/", 1, [(b"A", b"b \tc")]),
    LINE + b"A: :\r\nA: b\xff\x80\r\n\r\n": (b"GET", b"/", 1, [(b"A", b":"), (b"A", b"b\xff\x80")]),
    LINE + b"x_y.1!#$%&'*+-^`|~: v\r\n\r\n": (b"GET", b"/", 1, [(b"x_y.1!#$%&'*+-^`|~", b"v")]),
    LINE + b"a-name-of-more-than-sixteen-bytes-09: " + b"v" * 50 + b"\r\n\r\n": (
        b"GET", b"/", 1, [(b"a-name-of-more-than-sixteen-bytes-09", b"v" * 50)]),
}  # fmt: skip


@pytest.mark.parametrize("data", GOOD_HEADS)
def test_good_heads_give_their_parts_and_their_length(leaves, data):
    assert decide(leaves, data) == (*GOOD_HEADS[data], len(data))


BAD_REQUEST_LINES = {
    b"GET\r\n": "BAD_REQUEST_LINE",
    b"GET /\r\n": "BAD_REQUEST_LINE",
    b"GET \r\n": "BAD_REQUEST_LINE",
    b"\r\nx": "BAD_REQUEST_LINE",
    b" GET / HTTP/1.1\r\n": "BAD_METHOD",
    b"GE\x00T / HTTP/1.1\r\n": "BAD_METHOD",
    b"GET\t/ HTTP/1.1\r\n": "BAD_METHOD",
    b"G(T / HTTP/1.1\r\n": "BAD_METHOD",
    b"G\xc3\x89T / HTTP/1.1\r\n": "BAD_METHOD",
    b"\x16\x03\x01\x02\x00": "BAD_METHOD",
    b"M" * 33: "LONG_METHOD",
    b"M" * 32 + b"(": "BAD_METHOD",
    b"GET  / HTTP/1.1\r\n": "BAD_TARGET",
    b"GET /\x00 HTTP/1.1\r\n": "BAD_TARGET",
    b"GET /\x7f HTTP/1.1\r\n": "BAD_TARGET",
    b"GET /\xc3\xa9 HTTP/1.1\r\n": "BAD_TARGET",
    b"GET /#a HTTP/1.1\r\n": "BAD_TARGET",
    b"GET /\tHTTP/1.1\r\n": "BAD_TARGET",
    b"GET /  HTTP/1.1\r\n": "BAD_VERSION",
    b"GET / b HTTP/1.1\r\n": "BAD_VERSION",
    b"GET / http/1.1\r\n": "BAD_VERSION",
    b"GET / HTTP/1.1 \r\n": "BAD_VERSION",
    b"GET / HTTP/1.10\r\n": "BAD_VERSION",
    b"GET / HTTP/11\r\n": "BAD_VERSION",
    b"GET / HTTP/1\r\n": "BAD_VERSION",
    b"GET / HTTP/1,1\r\n": "BAD_VERSION",
    b"GET / HTTP/x.1\r\n": "BAD_VERSION",
    b"GET / HTTP/2.x\r\n": "BAD_VERSION",
    b"GET / HTTP/2.0 \r\n": "BAD_VERSION",
    b"GET / HTTPS/1.1\r\n": "BAD_VERSION",
    b"GET / \r\n": "BAD_VERSION",
    b"GET / HTTP/2.0\r\n": "UNKNOWN_VERSION",
    b"GET / HTTP/0.9\r\n": "UNKNOWN_VERSION",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": "UNKNOWN_VERSION",
    b"GET / HTTP/2.0\rx": "BAD_LINE_END",
    b"GET / HTTP/2.0\n": "BAD_LINE_END",
    b"GET / HTTP/1.1\n\n": "BAD_LINE_END",
    b"GET / HTTP/1.1\r\r\n": "BAD_LINE_END",
    b"GET / HTTP/1.1\rX": "BAD_LINE_END",
    b"GET\n": "BAD_LINE_END",
    b"GET /\n": "BAD_LINE_END",
    b"GET /\rx HTTP/1.1": "BAD_LINE_END",
    b"\n": "BAD_LINE_END",
    b"\rG": "BAD_LINE_END",
}


@pytest.mark.parametrize("data", BAD_REQUEST_LINES)
def test_request_lines_are_refused_for_their_first_offence(leaves, data):
    assert decide(leaves, data) == BAD_REQUEST_LINES[data]
    assert leaves.request_line(data) == BAD_REQUEST_LINES[data]


BAD_FIELDS = {
    b"A : b\r\n": "BAD_FIELD_SPACE",
    b"A\t: b\r\n": "BAD_FIELD_SPACE",
    b"A b\r\n": "BAD_FIELD_SPACE",
    b" A: b\r\n": "BAD_FIELD_FOLD",
    b"\tA: b\r\n": "BAD_FIELD_FOLD",
    b"A: b\r\n c\r\n": "BAD_FIELD_FOLD",
    b"A: b\r\n\t\r\n": "BAD_FIELD_FOLD",
    b": b\r\n": "BAD_FIELD_NAME",
    b"A\r\n": "BAD_FIELD_NAME",
    b"A\x00: b\r\n": "BAD_FIELD_NAME",
    b"A(: b\r\n": "BAD_FIELD_NAME",
    b"A\x80: b\r\n": "BAD_FIELD_NAME",
    b"\x00": "BAD_FIELD_NAME",
    b"{": "BAD_FIELD_NAME",
    b"A: b\x00c\r\n": "BAD_FIELD_VALUE",
    b"A: b\x7f\r\n": "BAD_FIELD_VALUE",
    b"A:\x0b\r\n": "BAD_FIELD_VALUE",
    b"A: " + b"v" * 40 + b"\x1f": "BAD_FIELD_VALUE",
    b"A: b\n\r\n": "BAD_LINE_END",
    b"A: b\rc\r\n": "BAD_LINE_END",
    b"A: b\r\r\n": "BAD_LINE_END",
    b"A\n: b": "BAD_LINE_END",
    b"A\rb": "BAD_LINE_END",
    b"\n": "BAD_LINE_END",
    b"A: b\r\n\n": "BAD_LINE_END",
    b"A: b\r\n\rx": "BAD_LINE_END",
    b"A: b\r\n\r\r\n": "BAD_LINE_END",
}


@pytest.mark.parametrize("lines", BAD_FIELDS)
def test_field_lines_are_refused_for_their_first_offence(leaves, lines):
    assert field_answer(leaves, lines) == BAD_FIELDS[lines]
    # The same behind good lines, and as trailers.
    assert field_answer(leaves, b"Host: x\r\nAccept: */*\r\n" + lines) == BAD_FIELDS[lines]
    assert leaves.fields(lines, 0, leaves.new_resume()) == BAD_FIELDS[lines]


def test_each_byte_in_a_name(leaves):
    others = {10: "BAD_LINE_END", 13: "BAD_LINE_END", 32: "BAD_FIELD_SPACE", 9: "BAD_FIELD_SPACE"}
    for byte in range(256):
        raw = bytes([byte])
        answer = field_answer(leaves, b"a" + raw + b"c: v\r\n\r\n")
        if raw in b"!#$%&'*+-.^_`|~" or (raw.isalnum() and byte < 0x80):
            assert answer[3] == [(b"a" + raw + b"c", b"v")]
        elif raw == b":":
            assert answer[3] == [(b"a", b"c: v")]
        else:
            assert answer == others.get(byte, "BAD_FIELD_NAME")


def test_each_byte_in_a_value(leaves):
    for byte in range(256):
        raw = bytes([byte])
        answer = field_answer(leaves, b"a: v" + raw + b"w\r\n\r\n")
        if raw in b"\r\n":
            assert answer == "BAD_LINE_END"
        elif (byte < 0x20 and byte != 9) or byte == 0x7F:
            assert answer == "BAD_FIELD_VALUE"
        else:
            assert answer[3] == [(b"a", b"v" + raw + b"w")]


def test_request_line_limit(leaves):
    line = b"GET /" + b"a" * 30 + b" HTTP/1.1"
    head = line + b"\r\n\r\n"
    assert decide(leaves, head, line=len(line))[1] == b"/" + b"a" * 30
    for limit in range(1, len(line)):
        assert decide(leaves, head, line=limit) == "LONG_LINE", limit
        assert leaves.parse(head[: limit + 1], line=limit) == "LONG_LINE"
        assert leaves.parse(head[:limit], line=limit) == "MORE"
    # At the limit a line end is judged as one; one byte more is too long whatever it is.
    assert decide(leaves, line + b"\n", line=len(line)) == "BAD_LINE_END"
    assert decide(leaves, line + b"\rx", line=len(line)) == "BAD_LINE_END"
    assert decide(leaves, line + b"\x00", line=len(line)) == "LONG_LINE"
    # An offence in front of the limit comes first, one behind it does not.
    assert decide(leaves, b"GET /\x00" + b"a" * 40, line=10) == "BAD_TARGET"
    assert decide(leaves, b"GET /aaaaa\x00" + b"a" * 40, line=10) == "LONG_LINE"
    assert decide(leaves, b"M" * 40, line=32) == "LONG_LINE"
    assert decide(leaves, b"M" * 40, line=33) == "LONG_METHOD"


def test_field_limit(leaves):
    field = b"Name: " + b"v" * 30 + b"  "
    lines = b"A: b\r\n" + field + b"\r\nC: d\r\n\r\n"
    pairs = [(b"A", b"b"), (b"Name", b"v" * 30), (b"C", b"d")]
    assert field_answer(leaves, lines, field=len(field))[3] == pairs
    for limit in range(4, len(field)):
        assert field_answer(leaves, lines, field=limit) == "LONG_FIELD", limit
        over = LINE + b"A: b\r\n" + field[: limit + 1]
        assert leaves.parse(over, field=limit) == "LONG_FIELD"
        assert leaves.parse(over[:-1], field=limit) == "MORE"
    at_limit = b"A: bcd"
    assert field_answer(leaves, at_limit + b"\n", field=6) == "BAD_LINE_END"
    assert field_answer(leaves, at_limit + b"\rx", field=6) == "BAD_LINE_END"
    assert field_answer(leaves, at_limit + b"\x00", field=6) == "LONG_FIELD"
    assert field_answer(leaves, b"A: b\x00d", field=6) == "BAD_FIELD_VALUE"
    assert field_answer(leaves, b"Namename:", field=6) == "LONG_FIELD"
    assert field_answer(leaves, b"Nam me:", field=6) == "BAD_FIELD_SPACE"


def test_limit_on_the_number_of_fields(leaves):
    lines = b"A: b\r\n" * 5
    assert len(field_answer(leaves, lines + b"\r\n", fields=5)[3]) == 5
    assert field_answer(leaves, lines + b"\r\n", fields=4) == "MANY_FIELDS"
    # Decided at the first byte of the line too many, which may be any byte ...
    assert leaves.parse(LINE + lines + b"x", fields=5) == "MANY_FIELDS"
    assert leaves.parse(LINE + lines + b"\x00", fields=5) == "MANY_FIELDS"
    # ... that does not end the section and is no fold.
    assert field_answer(leaves, lines + b" x", fields=5) == "BAD_FIELD_FOLD"
    assert field_answer(leaves, lines + b"\n", fields=5) == "BAD_LINE_END"
    assert field_answer(leaves, lines + b"\rx", fields=5) == "BAD_LINE_END"
    assert len(leaves.parse(LINE + b"A: b\r\n" * 1024 + b"\r\n", fields=1024)[3]) == 1024


def test_head_limit(leaves):
    head = LINE + b"A: b\r\nCc: dd\r\n\r\n"
    assert decide(leaves, head, head=len(head))[4] == len(head)
    for limit in range(1, len(head)):
        assert decide(leaves, head, head=limit) == "LONG_HEAD", limit
        assert leaves.parse(head[: limit + 1], head=limit) == "LONG_HEAD"
        assert leaves.parse(head[:limit], head=limit) == "MORE"
    # An offence in front of the limit comes first; at the limit's byte nothing does.
    bad = LINE + b"A: b\x00"
    assert decide(leaves, bad, head=len(bad)) == "BAD_FIELD_VALUE"
    assert decide(leaves, bad, head=len(bad) - 1) == "LONG_HEAD"


def test_largest_limits_do_not_wrap(leaves):
    top = 2**32 - 1
    head = LINE + b"A: b\r\n\r\n"
    answer = decide(leaves, head, line=top, field=top, head=top, fields=1)
    assert answer == (b"GET", b"/", 1, [(b"A", b"b")], len(head))
    assert leaves.request_line(LINE, line=top) == (b"GET", b"/", 1, len(LINE))


def test_section_that_starts_behind_other_bytes(leaves):
    data = b"\x00\n\r" + b"A: b\r\nC: d\r\n\r\nrest"
    for cut in range(3, len(data)):
        resume = leaves.new_resume()
        first = leaves.fields(data[:cut], 3, resume)
        if first == "MORE":
            first = leaves.fields(data, 3, resume)
        assert first == ([(b"A", b"b"), (b"C", b"d")], len(data) - 4)
    assert leaves.fields(b"\r\n", 0, leaves.new_resume()) == ([], 2)
    assert leaves.fields(data, 3, leaves.new_resume(), head=len(data) - 4)[1] == len(data) - 4
    assert leaves.fields(data, 3, leaves.new_resume(), head=len(data) - 5) == "LONG_HEAD"


def test_resume_spares_the_lines_known_to_be_good(leaves):
    """With it, what lies before the last line is not looked at until the end is there."""
    data = LINE + b"A: b\r\n" * 3
    resume = leaves.new_resume()
    assert leaves.parse(data, resume) == "MORE"
    assert (resume.line_off, resume.count) == (len(data), 3)
    spoiled = b"\x00" * len(data)
    assert leaves.parse(spoiled + b"D: e", resume) == "MORE"
    assert leaves.parse(spoiled + b"D e", resume) == "BAD_FIELD_SPACE"


@pytest.mark.parametrize(
    ("data", "most", "expected"),
    [
        (b"", 3, 0),
        (b"GET", 3, 0),
        (b"\r", 3, 0),
        (b"\r\n", 3, 2),
        (b"\r\n\r", 3, 2),
        (b"\r\n\r\nGET", 3, 4),
        (b"\r\n\r\n\r\nGET", 3, 6),
        (b"\r\n\r\n\r\n\r", 3, 6),
        (b"\r\n\r\n\r\n\r\n", 3, "BAD_LINE_END"),
        (b"\r\n", 0, "BAD_LINE_END"),
        (b"\n", 3, "BAD_LINE_END"),
        (b"\r\n\n", 3, "BAD_LINE_END"),
        (b"\rG", 3, "BAD_LINE_END"),
        (b"\r\r\n", 3, "BAD_LINE_END"),
        (b"\r\n G", 3, 2),
    ],
)
def test_empty_lines_before_a_request(leaves, data, most, expected):
    assert leaves.skip_empty(data, most) == expected


PIECES = st.sampled_from(
    [b"GET ", b"/ ", b"HTTP/1.1", b"HTTP/2.0", b"\r\n", b"\r", b"\n", b"Host", b": ", b":", b" ",
     b"\t", b"\x00", b"x", b"name-of-more-than-sixteen", b"v" * 20, b"\xff", b"(", b"_"]
)  # fmt: skip
LIMITS = st.fixed_dictionaries(
    {
        "line": st.integers(1, 60),
        "field": st.integers(1, 60),
        "head": st.integers(1, 120),
        "fields": st.integers(1, 4),
    }
)


@given(st.lists(PIECES, max_size=14).map(b"".join), st.booleans(), LIMITS | st.just({}))
def test_any_bytes_decide_alike_however_cut_and_in_both_builds(libraries, data, good, limits):
    data = LINE + data if good else data
    answers = [decide(build, data, **limits) for build in libraries.values()]
    assert answers[0] == answers[1]
