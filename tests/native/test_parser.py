"""RequestParser: the head. Targets, fields, limits, and the facts it draws from them."""

from __future__ import annotations

import pytest
from native.driver import error_of, events_of, feed, message_of

from fastserve._native.http1.parser import RequestParser

HOST = b"Host: x\r\n"


def get(target: bytes = b"/", fields: bytes = HOST, version: bytes = b"1.1") -> bytes:
    return b"GET " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n"


def test_the_facts_of_a_plain_head():
    head, body, trailers = message_of(get(b"/a%20b?c=%20", HOST + b"X-Y: z\r\n"))
    assert head == {
        "method": "GET", "target": b"/a%20b?c=%20", "http_version": "1.1", "form": "origin",
        "path": "/a b", "raw_path": b"/a%20b", "query_string": b"c=%20",
        "headers": [(b"host", b"x"), (b"x-y", b"z")],
        "keep_alive": True, "expect_continue": False,
        "content_length": None, "chunked": False, "upgrade": False,
    }  # fmt: skip
    assert (body, trailers) == (b"", [])


@pytest.mark.parametrize(
    ("request_line", "form", "path", "raw_path", "query"),
    [
        (b"GET / HTTP/1.1", "origin", "/", b"/", b""),
        (b"GET //a HTTP/1.1", "origin", "//a", b"//a", b""),
        (b"GET /? HTTP/1.1", "origin", "/", b"/", b""),
        (b"GET /a?b?c HTTP/1.1", "origin", "/a", b"/a", b"b?c"),
        (b"GET /%e2%82%ac/%2F HTTP/1.1", "origin", "/€//", b"/%e2%82%ac/%2F", b""),
        (b"GET http://x HTTP/1.1", "absolute", "/", b"/", b""),
        (b"GET http://x/a?b HTTP/1.1", "absolute", "/a", b"/a", b"b"),
        (b"GET HTTPS://x:1?b HTTP/1.1", "absolute", "/", b"/", b"b"),
        (b"OPTIONS * HTTP/1.1", "asterisk", "*", b"*", b""),
        (b"CONNECT x:443 HTTP/1.1", "authority", "", b"", b""),
    ],
)
def test_the_four_forms_of_a_target(request_line, form, path, raw_path, query):
    head, _, _ = message_of(request_line + b"\r\n" + HOST + b"\r\n")
    assert (head["form"], head["path"], head["raw_path"], head["query_string"]) == (
        form, path, raw_path, query,
    )  # fmt: skip


def test_the_authority_of_an_absolute_target_takes_the_place_of_host():
    """RFC 9112 section 3.2.2."""
    head, _, _ = message_of(get(b"http://good:1/", b"A: b\r\nHost: evil\r\nC: d\r\n"))
    assert head["headers"] == [(b"a", b"b"), (b"host", b"good:1"), (b"c", b"d")]
    head, _, _ = message_of(get(b"http://good:1/", b"A: b\r\n", b"1.0"))
    assert head["headers"] == [(b"host", b"good:1"), (b"a", b"b")]


def test_names_are_made_lower_case_and_order_and_repeats_are_kept():
    fields = HOST + b"Cookie: a\r\nX-UPPER_0: b\r\nCOOKIE: c\r\nx: \t d \t\r\nE:\r\n"
    assert message_of(get(fields=fields))[0]["headers"] == [
        (b"host", b"x"), (b"cookie", b"a"), (b"x-upper_0", b"b"), (b"cookie", b"c"),
        (b"x", b"d"), (b"e", b""),
    ]  # fmt: skip


def test_a_repeated_section_gives_a_fresh_list_each_time():
    parser = RequestParser(line=99, field=99, head=999, fields=9, body=0, trailers=99)
    lists = [parser.feed(get())[0][1]["headers"] for _ in range(3)]
    lists[0].append("changed")
    assert lists[1] == lists[2] == [(b"host", b"x")]
    assert parser.feed(get(fields=b"Host: y\r\nA: b\r\n"))[0][1]["headers"][0] == (b"host", b"y")
    assert parser.feed(get(fields=b"A: b\r\nHost: x\r\n"))[0][1]["headers"][0] == (b"a", b"b")


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Connection: close\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Content-Length: 0\r\n",
    ],
)
def test_no_fact_of_one_request_leaks_into_the_next(fields):
    request = get(fields=HOST + fields) + (b"0\r\n\r\n" if b"chunked" in fields else b"")
    plain = feed([get()])
    assert feed([request + get()])[-2:] == plain
    assert feed([request, get()])[-2:] == plain
    assert feed([get() + request + get()])[-2:] == plain


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: CLOSE\r\n", False),
        (b"1.1", b"Connection: a,\tclose ,b\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: keep-alive, close\r\n", False),
        (b"1.1", b"Connection: closed\r\n", True),
        (b"1.1", b"Connection: ,\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
        (b"1.7", b"", True),
    ],
)
def test_persistence(version, fields, keep_alive):
    head, _, _ = message_of(get(fields=HOST + fields, version=version))
    assert head["keep_alive"] is keep_alive
    assert head["http_version"] == ("1.0" if version == b"1.0" else "1.1")


@pytest.mark.parametrize(
    ("version", "value", "expected"),
    [
        (b"1.1", b"100-continue", True),
        (b"1.1", b"100-Continue", True),
        (b"1.0", b"100-continue", False),
    ],
)
def test_expect_continue(version, value, expected):
    head, _, _ = message_of(get(fields=HOST + b"Expect: " + value + b"\r\n", version=version))
    assert head["expect_continue"] is expected


def test_upgrade_is_asked_for_by_connection():
    head, _, _ = message_of(get(fields=HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    assert head["upgrade"] is True


def test_host_may_be_missing_in_1_0_and_empty_in_1_1():
    assert message_of(get(fields=b"", version=b"1.0"))[0]["headers"] == []
    assert message_of(get(fields=b"Host:\r\n"))[0]["headers"] == [(b"host", b"")]


@pytest.mark.parametrize("count", [0, 1, 2, 8])
def test_empty_lines_before_a_request_are_skipped(count):
    """RFC 9112 section 2.2."""
    assert events_of(b"\r\n" * count + get()) == events_of(get())


def test_empty_lines_are_counted_over_reads_and_anew_for_each_request():
    assert error_of(b"\r\n" * 9)[0] == 400
    assert len(events_of((b"\r\n" * 8 + get()) * 2)) == 4


BAD_HEADS = [
    # request line
    (b"\n", 400),
    (b"\r\n\n", 400),
    (b"\rGET / HTTP/1.1\r\n", 400),
    (b" GET / HTTP/1.1\r\n", 400),
    (b"GET /\r\n", 400),
    (b"GET  / HTTP/1.1\r\n", 400),
    (b"GET / HTTP/1.1 \r\n", 400),
    (b"GET / HTTP/1.1\n", 400),
    (b"GET / HTTP/1.1\r\r\n", 400),
    (b"GET\t/\tHTTP/1.1\r\n", 400),
    (b"G@T / HTTP/1.1\r\n", 400),
    (b"G\x00T / HTTP/1.1\r\n", 400),
    (b"\x16\x03\x01\x00\xf5\x01\x00", 400),
    (b"GET / HTTP/1\r\n", 400),
    (b"GET / HTTP/1.10\r\n", 400),
    (b"GET / http/1.1\r\n", 400),
    (b"GET / ICY/1.1\r\n", 400),
    (b"GET / HTTP/2.0\r\n", 505),
    (b"GET / HTTP/0.9\r\n", 505),
    (b"GET / HTTP/9.9\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"M" * 33, 501),
    # target
    (b"GET /\x00 HTTP/1.1\r\n", 400),
    (b"GET /\x7f HTTP/1.1\r\n", 400),
    (b"GET /\xe2\x82\xac HTTP/1.1\r\n", 400),
    (b"GET /#x HTTP/1.1\r\n", 400),
    (b"GET /% HTTP/1.1\r\n", 400),
    (b"GET /%4 HTTP/1.1\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\n", 400),
    (b"GET /?%zz HTTP/1.1\r\n", 400),
    (b"GET x HTTP/1.1\r\n", 400),
    (b"GET * HTTP/1.1\r\n", 400),
    (b"GET x:80 HTTP/1.1\r\n", 400),
    (b"GET ftp://x/ HTTP/1.1\r\n", 400),
    (b"GET http:///x HTTP/1.1\r\n", 400),
    (b"GET http://u:p@x/ HTTP/1.1\r\n", 400),
    (b"CONNECT / HTTP/1.1\r\n", 400),
    (b"CONNECT x HTTP/1.1\r\n", 400),
    (b"CONNECT x: HTTP/1.1\r\n", 400),
    # field lines
    (get(fields=HOST + b"A : b\r\n"), 400),
    (get(fields=HOST + b"A\t: b\r\n"), 400),
    (get(fields=b" A: b\r\n" + HOST), 400),
    (get(fields=HOST + b"A: b\r\n c\r\n"), 400),
    (get(fields=HOST + b"A: b\r\n\tc\r\n"), 400),
    (get(fields=HOST + b"A\r\n"), 400),
    (get(fields=HOST + b": b\r\n"), 400),
    (get(fields=HOST + b"A(B: c\r\n"), 400),
    (get(fields=HOST + b"A\x80: c\r\n"), 400),
    (get(fields=HOST + b"A: b\x00\r\n"), 400),
    (get(fields=HOST + b"A: b\x0b\r\n"), 400),
    (get(fields=HOST + b"A: b\x7f\r\n"), 400),
    (get(fields=HOST + b"A: b\rc\r\n"), 400),
    (get(fields=HOST + b"A: b\nC: d\r\n"), 400),
    (get()[:-2] + b"\n", 400),
    # host
    (get(fields=b""), 400),
    (get(fields=b"A: b\r\n"), 400),
    (get(fields=HOST + HOST), 400),
    (get(fields=HOST + b"HOST: y\r\n"), 400),
    (get(fields=HOST + HOST, version=b"1.0"), 400),
    (get(fields=b"Host: x y\r\n"), 400),
    (get(fields=b"Host: u@x\r\n"), 400),
    (get(fields=b"Host: x/y\r\n"), 400),
    (get(fields=b"Host: x:65536\r\n"), 400),
    (get(fields=b"Host: [::1\r\n"), 400),
    (get(fields=b"Host: x:y\r\n", version=b"1.0"), 400),
    (get(b"http://x/", b""), 400),
    # expectations
    (get(fields=HOST + b"Expect: 200-ok\r\n"), 417),
    (get(fields=HOST + b"Expect: 100-continue, x\r\n"), 417),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status"), BAD_HEADS)
def test_bad_heads_are_refused_and_nothing_after_them_is_read(data, status):
    got, reason = error_of(data)
    assert got == status
    assert reason.isprintable()
    assert 0 < len(reason) < 80
    # The same behind a good request: that one is still answered.
    events = events_of(get() + data)
    assert [event[0] for event in events] == ["head", "end", "error"]
    assert events[-1] == ("error", status, reason)


def test_limits_are_met_at_the_limit_and_broken_one_byte_above():
    line = b"GET /" + b"a" * 20 + b" HTTP/1.1"
    head = line + b"\r\n" + HOST + b"Name: value\r\n\r\n"
    for limits, status in [
        ({"line": len(line)}, 414),
        ({"field": len(b"Name: value")}, 431),
        ({"head": len(head)}, 431),
        ({"fields": 2}, 431),
    ]:
        assert len(events_of(head, **limits)) == 2
        smaller = {name: value - 1 for name, value in limits.items()}
        assert error_of(head, **smaller)[0] == status
        # Also where the section is known from the request before.
        assert feed([head, head], **limits) == feed([head], **limits) * 2


def test_head_limit_holds_for_a_longer_line_above_a_known_section():
    short, longer = get(b"/a"), get(b"/" + b"a" * 40)
    events = events_of(short + longer, head=len(short) + 5)
    assert [event[0] for event in events] == ["head", "end", "error"]
    assert events[-1][1] == 431


def test_an_endless_head_is_refused_at_the_limit_not_later():
    parser = RequestParser(line=100, field=100, head=300, fields=100, body=0, trailers=100)
    for piece in (b"GET / HTTP/1.1\r\n", *[b"A: b\r\n"] * 47):
        assert parser.feed(piece) == []
    assert parser.feed(b"A: b\r\n")[0][:2] == ("error", 431)


@pytest.mark.parametrize(
    ("name", "bad"),
    [("line", 0), ("field", 0), ("head", 0), ("fields", 0), ("fields", 1025), ("trailers", 0),
     ("body", -1), ("line", 1 << 33)],
)  # fmt: skip
def test_limits_out_of_range_are_refused(name, bad):
    limits = {"line": 1, "field": 1, "head": 1, "fields": 1, "body": 0, "trailers": 1}
    with pytest.raises(ValueError, match=str(bad)):
        RequestParser(**(limits | {name: bad}))
