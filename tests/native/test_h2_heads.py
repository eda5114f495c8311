"""HeadReader: field blocks as requests, RFC 9113 section 8."""

from __future__ import annotations

import pytest
from native.http2 import (
    GET,
    PROTOCOL,
    Pair,
    Peer,
    assert_answered,
    assert_malformed,
    given,
    head,
    without,
)

from fastserve._native.errors import Http2Error

# What a request is


def test_a_request() -> None:
    got = head(
        (":method", "POST"), (":scheme", "http"), (":path", "/a%20b?q=1&r"),
        (":authority", "x.test:8080"), ("content-length", "12"), ("x-a", "1"), ("x-a", "2"),
        ends=False,
    )  # fmt: skip
    assert (got.method, got.scheme, got.target) == ("POST", "http", b"/a%20b?q=1&r")
    assert (got.raw_path, got.query_string, got.path_escaped) == (b"/a%20b", b"q=1&r", True)
    assert (got.length, got.protocol, got.host_at) == (12, None, 0)
    assert got.copy() == [
        (b"host", b"x.test:8080"), (b"content-length", b"12"), (b"x-a", b"1"), (b"x-a", b"2"),
    ]  # fmt: skip
    assert (got.accepts_trailers, got.expect_continue, got.forwarding) == (False, False, 0)
    assert (got.urgency, got.incremental) == (3, False)


def test_a_request_without_fields() -> None:
    got = head(*GET)
    assert got.copy() == [(b"host", b"x.test")]
    assert (got.length, got.query_string, got.path_escaped) == (-1, b"", False)


def test_each_copy_of_the_pairs_is_the_callers_own() -> None:
    got = head(*GET, ("x-a", "1"))
    got.copy().clear()
    assert len(got.copy()) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "QUERY", "FROB", "a" * 32])
def test_methods(method: str) -> None:
    assert head(*given((":method", method))).method == method.upper()


def test_cookies_stay_several_fields() -> None:
    """ASGI.md: pass them through as they are."""
    got = head(*GET, ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"))
    assert got.copy()[1:] == [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")]


def test_an_asterisk_is_for_options() -> None:
    got = head(*given((":method", "OPTIONS"), (":path", "*")))
    assert (got.target, got.raw_path, got.query_string) == (b"*", b"*", b"")
    assert_answered(400, *given((":path", "*")))


def test_facts_of_fields() -> None:
    got = head(
        *GET, ("te", "trailers"), ("expect", "100-continue"), ("priority", "u=5, i"), ends=False
    )
    assert got.accepts_trailers
    assert got.expect_continue
    assert (got.urgency, got.incremental) == (5, True)
    assert head(*GET, ("x-forwarded-for", "::1")).forwarding != 0
    one, two = (head(*GET, (name, "x")).forwarding for name in ("forwarded", "x-real-ip"))
    assert head(*GET, ("forwarded", "x"), ("x-real-ip", "x")).forwarding == one | two


def test_scheme_and_expectation_in_any_case() -> None:
    assert head(*given((":scheme", "HTTPS"))).scheme == "https"
    assert head(*GET, ("expect", "100-Continue"), ends=False).expect_continue


# section 8.2: field names, and fields of a connection


@pytest.mark.parametrize(
    "name", ["X-Upper", "x Y", "", "x\x00", "x\x7f", "caf\xe9", "x\r", "a:b", "(x)"]
)
def test_names_that_are_no_lower_case_token(name: str) -> None:
    peer = Peer()
    raw = name.encode("latin-1")
    block = peer.block(*GET) + b"\0" + bytes([len(raw)]) + raw + b"\1v"
    with pytest.raises(Http2Error) as caught:
        peer.reader.head(block, 7)
    assert (caught.value.code, caught.value.stream) == (PROTOCOL, 7)


@pytest.mark.parametrize("value", ["a\x00", "a\r", "a\n", "\na", " a", "a ", "\ta", "a\t", "\x7f"])
def test_values_with_forbidden_bytes(value: str) -> None:
    assert_malformed(*GET, ("x-a", value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connection", "close"), ("connection", "keep-alive"), ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"),
    ],
)  # fmt: skip
def test_fields_of_a_connection_are_malformed(name: str, value: str) -> None:
    assert_malformed(*GET, (name, value))
    assert_malformed(*GET, ("x-a", "1"), (name, ""), ("x-b", "2"))


@pytest.mark.parametrize("value", ["gzip", "trailers, gzip", "trailers;q=1", "", "trailer"])
def test_te_is_trailers_or_malformed(value: str) -> None:
    assert_malformed(*GET, ("te", value))
    assert_malformed(*GET, ("te", "trailers"), ("te", value))
    assert head(*GET, ("te", "Trailers")).accepts_trailers


# section 8.3: pseudo-headers


@pytest.mark.parametrize("name", [":status", ":foo", ":version", ":", ":Path"])
def test_unknown_pseudo_headers_are_malformed(name: str) -> None:
    assert_malformed(*GET, (name, "200"))
    assert_malformed((name, "200"), *GET)


@pytest.mark.parametrize("pair", [*GET, (":protocol", "websocket"), (":foo", "1")])
def test_pseudo_headers_behind_a_field_are_malformed(pair: Pair) -> None:
    assert_malformed(*without(pair[0]), ("x-a", "1"), pair)
    assert_malformed(*GET, ("x-a", "1"), pair)


@pytest.mark.parametrize("pair", GET)
def test_repeated_pseudo_headers_are_malformed(pair: Pair) -> None:
    assert_malformed(*GET, pair)
    assert_malformed((pair[0], ""), *GET)


@pytest.mark.parametrize("name", [":method", ":scheme", ":path"])
def test_missing_pseudo_headers_are_malformed(name: str) -> None:
    assert_malformed(*without(name))
    assert_malformed(*without(name), ("host", "x.test"))


def test_no_fields_at_all_are_malformed() -> None:
    with pytest.raises(Http2Error) as caught:
        Peer().reader.head(b"", 5)
    assert (caught.value.code, caught.value.stream) == (PROTOCOL, 5)


def test_an_empty_path_is_malformed() -> None:
    assert_malformed(*given((":path", "")))


@pytest.mark.parametrize(
    "path",
    ["x", "http://x.test/", "//x y", "/a b", "/a#b", "/%", "/%zz", "/?%g1", "*a", "**", "/\x80"],
)
def test_paths_are_as_strict_as_in_http_1(path: str) -> None:
    assert_answered(400, *given((":path", path)))


@pytest.mark.parametrize("scheme", ["ftp", "ws", "wss", "", "httpss", "htt"])
def test_other_schemes_are_not_served(scheme: str) -> None:
    assert_answered(400, *given((":scheme", scheme)))


@pytest.mark.parametrize("method", ["", "GE T", "GET\x80", "G(T", "G,"])
def test_methods_that_are_no_token(method: str) -> None:
    assert_answered(400, *given((":method", method)))


def test_long_methods() -> None:
    assert_answered(501, *given((":method", "a" * 33)))


# section 8.3.1: :authority and host


@pytest.mark.parametrize(
    "authority", ["", "me@x.test", "me:pw@x.test", "x.test:99999", "x.test:a", "[::1", ":80", "a b"]
)
def test_authorities_that_http_does_not_allow(authority: str) -> None:
    assert_answered(400, *given((":authority", authority)))
    assert_answered(400, *given((":authority", authority)), ("host", authority))
    if authority:
        assert_answered(400, *without(":authority"), ("host", authority))


@pytest.mark.parametrize("authority", ["x.test", "X.test:443", "[::1]:80", "127.0.0.1", "x.test:"])
def test_authority_becomes_host(authority: str) -> None:
    expected = (b"host", authority.encode())
    got = head(*given((":authority", authority)), ("x-a", "1"))
    assert (got.copy(), got.host_at) == ([expected, (b"x-a", b"1")], 0)


def test_authority_takes_the_place_of_a_host_that_says_the_same() -> None:
    for host in ("x.test", "X.TEST"):
        got = head(*GET, ("x-a", "1"), ("host", host), ("x-b", "2"))
        assert got.copy() == [(b"host", b"x.test"), (b"x-a", b"1"), (b"x-b", b"2")]
        assert got.host_at == 0
    assert head(*GET, ("host", "x.test")).copy() == [(b"host", b"x.test")]


@pytest.mark.parametrize("host", ["y.test", "x.test:443", "", "x.tes"])
def test_a_host_that_differs_from_authority_is_malformed(host: str) -> None:
    assert_malformed(*GET, ("host", host))
    assert_malformed(*GET, ("x-a", "1"), ("host", host))


def test_host_alone_keeps_its_place() -> None:
    got = head(*without(":authority"), ("x-a", "1"), ("host", "x.test"), ("x-b", "2"))
    assert got.copy() == [(b"x-a", b"1"), (b"host", b"x.test"), (b"x-b", b"2")]
    assert got.host_at == 1


def test_a_request_needs_a_host() -> None:
    assert assert_answered(400, *without(":authority")) == "missing Host"


def test_repeated_hosts() -> None:
    assert_answered(400, *GET, ("host", "x.test"), ("host", "x.test"))
    assert_answered(400, *without(":authority"), ("host", "x.test"), ("host", "x.test"))


# section 8.1.1: content-length


@pytest.mark.parametrize("value", ["", "-1", "+1", "1,1", "1 1", "0x1", "a", "1.0", "\xb2"])
def test_malformed_lengths(value: str) -> None:
    assert_answered(400, *GET, ("content-length", value))


@pytest.mark.parametrize("values", [("1", "1"), ("1", "2"), ("0", "0"), ("1", "x")])
def test_repeated_lengths(values: tuple[str, str]) -> None:
    assert_answered(400, *GET, *(("content-length", value) for value in values))


def test_a_length_without_content_is_malformed() -> None:
    assert_malformed(*GET, ("content-length", "1"))
    assert head(*GET, ("content-length", "0")).length == 0
    assert head(*GET, ("content-length", "1"), ends=False).length == 1


def test_a_length_without_content_is_malformed_when_the_block_repeats() -> None:
    peer = Peer()
    pairs = (*GET, ("content-length", "5"))
    first, second = (peer.head(*pairs, ends=False) for _ in range(2))
    assert peer.head(*pairs, ends=False) is second
    with pytest.raises(Http2Error) as caught:
        peer.head(*pairs, stream=9)
    assert (caught.value.code, caught.value.stream) == (PROTOCOL, 9)
    assert peer.head(*pairs, ends=False) is second
    assert first.length == second.length == 5


def test_bodies_above_the_limit() -> None:
    for limit, length in ((10, "11"), (0, "9" * 19)):
        reason = assert_answered(413, *GET, ("content-length", length), body=limit)
        assert reason == "request body too large"
    assert head(*GET, ("content-length", "10"), ends=False, body=10).length == 10
    assert head(*GET, ("content-length", "9" * 18), ends=False).length == int("9" * 18)


def test_unknown_expectations() -> None:
    assert_answered(417, *GET, ("expect", "miracles"))


# section 8.5 and RFC 8441: CONNECT


def test_a_connect_has_an_authority_and_no_more() -> None:
    got = head((":method", "CONNECT"), (":authority", "x.test:443"), ends=False)
    assert (got.method, got.target, got.raw_path) == ("CONNECT", b"x.test:443", b"")
    assert (got.scheme, got.protocol, got.query_string) == (None, None, b"")
    assert got.copy() == [(b"host", b"x.test:443")]


def test_a_connect_with_more_or_less_is_malformed() -> None:
    connect = given((":method", "CONNECT"))
    assert_malformed(*connect)
    assert_malformed(*without(":path", tuple(connect)))
    assert_malformed(*without(":scheme", tuple(connect)))
    assert_malformed((":method", "CONNECT"))
    assert_malformed((":method", "CONNECT"), ("host", "x.test:443"))


@pytest.mark.parametrize("authority", ["", "x.test", "x.test:", ":443", "/", "me@x.test:443"])
def test_a_connect_needs_host_and_port(authority: str) -> None:
    assert_answered(400, (":method", "CONNECT"), (":authority", authority))


EXTENDED = (
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/chat?a"),
    (":authority", "x.test"),
)  # fmt: skip


def test_an_extended_connect_has_path_and_scheme() -> None:
    got = head(*EXTENDED, ("sec-websocket-version", "13"), ends=False)
    assert (got.method, got.protocol, got.scheme) == ("CONNECT", b"websocket", "https")
    assert (got.target, got.raw_path, got.query_string) == (b"/chat?a", b"/chat", b"a")
    assert got.copy()[0] == (b"host", b"x.test")


@pytest.mark.parametrize("name", [":scheme", ":path", ":authority"])
def test_an_extended_connect_that_lacks_one_is_malformed(name: str) -> None:
    assert_malformed(*without(name, EXTENDED))
    assert_malformed(*without(name, EXTENDED), ("host", "x.test"))


def test_a_protocol_without_connect_is_malformed() -> None:
    assert_malformed(*given((":method", "GET")), (":protocol", "websocket"))


def test_protocols_that_were_not_offered_are_malformed() -> None:
    assert_malformed(*EXTENDED, protocols=False)
