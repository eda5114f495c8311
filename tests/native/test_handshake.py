"""The client's opening handshake, RFC 6455 sections 4.1, 4.2 and 9.1; RFC 8441 section 5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeader, InvalidHeaderFormat
from websockets.headers import build_extension, parse_extension, parse_subprotocol
from websockets.utils import accept_key as accept_key_of_websockets
from websockets.utils import generate_key

from fastserve._native.errors import ParseError
from fastserve._native.websocket.handshake import (
    Handshake,
    accept_key,
    parse_extensions,
    read_handshake,
    wants_websocket,
)

Fields = list[tuple[bytes, bytes]]
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS: Fields = [
    (b"host", b"server.example.com"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", KEY),
    (b"sec-websocket-version", b"13"),
]


def fields(**changed: bytes | None) -> Fields:
    """The RFC's handshake with other values; None leaves a field out."""
    names = {name.replace("_", "-").encode(): value for name, value in changed.items()}
    kept = [pair for pair in FIELDS if pair[0] not in names]
    return kept + [(name, value) for name, value in names.items() if value is not None]


def asked(more: Fields) -> Handshake:
    return read_handshake("GET", FIELDS + more, True)


def refused(headers: Fields, method: str = "GET", keyed: bool = True) -> ParseError:
    with pytest.raises(ParseError) as caught:
        read_handshake(method, headers, keyed)
    return caught.value


# -- what is a handshake at all -------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        FIELDS,
        fields(upgrade=b"WebSocket"),
        fields(upgrade=b"h2c, websocket"),
        fields(connection=b"keep-alive, Upgrade"),
        fields(connection=b"keep-alive"),
        fields(connection=None),
        fields(sec_websocket_key=None),
        [*fields(upgrade=b"h2c"), (b"upgrade", b"websocket")],
        [*fields(connection=b"keep-alive", sec_websocket_key=None), (b"connection", b"upgrade")],
    ],
)
def test_a_websocket_is_wanted(headers: Fields) -> None:
    assert wants_websocket(headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        fields(upgrade=None),
        fields(upgrade=b"h2c"),
        fields(upgrade=b"websocket/13"),
        fields(upgrade=b"xwebsocket"),
        fields(connection=b"upgraded", sec_websocket_key=None),
        fields(connection=None, sec_websocket_key=None),
    ],
)
def test_no_websocket_is_wanted(headers: Fields) -> None:
    assert not wants_websocket(headers)


# -- the handshake --------------------------------------------------------------------------


def test_the_handshake_of_the_rfc() -> None:
    got = read_handshake("GET", FIELDS, True)
    assert (got.key, got.subprotocols, got.extensions) == (KEY, [], [])
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("_", range(20))
def test_keys_are_answered_as_others_answer_them(_: int) -> None:
    key = generate_key()
    assert accept_key(key.encode()) == accept_key_of_websockets(key).encode()


@pytest.mark.parametrize("method", ["POST", "HEAD", "get", "CONNECT"])
def test_it_is_a_get(method: str) -> None:
    error = refused(FIELDS, method)
    assert (error.status, error.headers) == (405, [(b"allow", b"GET")])


@pytest.mark.parametrize("version", [None, b"", b"8", b"14", b"013", b"+13", b"13, 8", b"x"])
def test_only_version_13_is_spoken(version: bytes | None) -> None:
    error = refused(fields(sec_websocket_version=version))
    assert error.status == 426
    assert error.headers == [
        (b"sec-websocket-version", b"13"),
        (b"upgrade", b"websocket"),
        (b"connection", b"upgrade, close"),
    ]  # fmt: skip


def test_another_version_is_told_before_what_it_may_have_no_key_for() -> None:
    assert refused(fields(sec_websocket_version=b"0", sec_websocket_key=None)).status == 426


def test_a_repeated_version() -> None:
    assert refused([*FIELDS, (b"sec-websocket-version", b"13")]).status == 400


@pytest.mark.parametrize(
    "key",
    [
        None, b"", b"short", KEY + b"=", KEY[:-1], KEY[:-2], b"A" * 24, b"A" * 23 + b"=",
        b"A" * 20 + b"====", b" " + KEY[1:], KEY[:-4] + b"-_==", KEY + KEY,
        KEY[:10] + b"\n" + KEY[11:],
    ],
)  # fmt: skip
def test_the_key_is_16_bytes_in_base64(key: bytes | None) -> None:
    error = refused(fields(sec_websocket_key=key))
    assert (error.status, list(error.headers)) == (400, [])
    assert "Sec-WebSocket-Key" in error.reason


def test_a_repeated_key() -> None:
    assert refused([*FIELDS, (b"sec-websocket-key", KEY)]).reason == "repeated Sec-WebSocket-Key"


@pytest.mark.parametrize("connection", [None, b"keep-alive", b"close", b"upgraded"])
def test_a_key_without_connection_upgrade_is_a_proxys_doing(connection: bytes | None) -> None:
    error = refused(fields(connection=connection))
    assert error.status == 400
    assert "proxy" in error.reason


@pytest.mark.parametrize(
    "field",
    [(b"content-length", b"1"), (b"content-length", b"10"), (b"transfer-encoding", b"chunked")],
)
def test_it_has_no_body(field: tuple[bytes, bytes]) -> None:
    error = refused([*FIELDS, field])
    assert (error.status, error.reason) == (400, "a WebSocket handshake has no body")


@pytest.mark.parametrize("length", [b"0", b"00"])
def test_a_body_of_no_bytes_is_none(length: bytes) -> None:
    assert asked([(b"content-length", length)]).key == KEY


# -- subprotocols ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], []),
        ([b"chat"], ["chat"]),
        ([b"chat, superchat"], ["chat", "superchat"]),
        ([b"b,a"], ["b", "a"]),
        ([b"graphql-transport-ws", b"a.b ,\tmqtt"], ["graphql-transport-ws", "a.b", "mqtt"]),
        ([b",a,, b,"], ["a", "b"]),
        ([b"Chat, chat"], ["Chat", "chat"]),
    ],
)
def test_subprotocols_are_in_the_clients_order(values: list[bytes], names: list[str]) -> None:
    more = [(b"sec-websocket-protocol", value) for value in values]
    assert asked(more).subprotocols == names


@pytest.mark.parametrize(
    "values",
    [
        [b""], [b","], [b"a b"], [b'"a"'], [b"a;b"], [b"a/b"], [b"\xe9"], [b"a, a"], [b"a", b"a"],
        [b"a", b"b, c=d"],
    ],
)  # fmt: skip
def test_malformed_subprotocols(values: list[bytes]) -> None:
    error = refused([*FIELDS, *((b"sec-websocket-protocol", value) for value in values)])
    assert error.status == 400
    assert "Sec-WebSocket-Protocol" in error.reason


# -- extensions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([b""], []),
        ([b"foo"], [(b"foo", [])]),
        ([b"foo; a; b=1"], [(b"foo", [(b"a", None), (b"b", b"1")])]),
        ([b"foo;a , bar ; b = 2"], [(b"foo", [(b"a", None)]), (b"bar", [(b"b", b"2")])]),
        ([b"foo", b",bar,,baz\t,"], [(b"foo", []), (b"bar", []), (b"baz", [])]),
        ([b'foo; a="x"'], [(b"foo", [(b"a", b"x")])]),
        ([b'foo; a="\\x\\y"; b'], [(b"foo", [(b"a", b"xy"), (b"b", None)])]),
        ([b"foo; a; a=1"], [(b"foo", [(b"a", None), (b"a", b"1")])]),
    ],
)
def test_extensions_are_read(
    values: list[bytes], found: list[tuple[bytes, list[tuple[bytes, bytes | None]]]]
) -> None:
    assert parse_extensions(values) == found
    more = [(b"sec-websocket-extensions", value) for value in values]
    assert asked(more).extensions == values


@pytest.mark.parametrize(
    "value",
    [
        b";", b"foo;", b"foo; ;", b"foo; =1", b"foo; a=", b"foo; a=,bar", b"foo bar", b"foo=1",
        b'foo; a="', b'foo; a="x', b'foo; a="x\\"', b'foo; a=""', b'foo; a="x y"', b'foo; a="x"y',
        b'foo; a="x,y"', b"foo; a b", b"f\xe9", b'"foo"', b"foo, ;a", b"foo; a/b",
    ],
)  # fmt: skip
def test_malformed_extensions_fail_the_handshake(value: bytes) -> None:
    """RFC 6455 section 9.1."""
    error = refused([*FIELDS, (b"sec-websocket-extensions", value)])
    assert (error.status, error.reason) == (400, "malformed Sec-WebSocket-Extensions")


tokens = st.text("abcxyz019-_.!", min_size=1, max_size=8)
extensions = st.lists(
    st.tuples(tokens, st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)),
    min_size=1,
    max_size=3,
)


@given(extensions)
def test_what_others_write_is_read(offered: list[tuple[str, list[tuple[str, str | None]]]]) -> None:
    found = parse_extensions([build_extension(offered).encode()])  # type: ignore[arg-type]
    assert [
        (
            name.decode(),
            [(key.decode(), None if v is None else v.decode()) for key, v in parameters],
        )
        for name, parameters in found
    ] == offered


@given(st.text('ab;,="\\ \t', min_size=1, max_size=12).filter(lambda text: text == text.strip()))
def test_extensions_are_taken_or_refused_as_others_do(value: str) -> None:
    try:
        theirs = parse_extension(value)
    except (InvalidHeader, InvalidHeaderFormat):
        theirs = None
    try:
        ours = parse_extensions([value.encode()])
    except ParseError:
        ours = None
    if not value.replace(",", "").strip():
        assert ours == []  # they want one member at least
        return
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert [name.decode() for name, _ in ours] == [name for name, _ in theirs]
        assert [len(parameters) for _, parameters in ours] == [len(p) for _, p in theirs]


@given(st.text("ab, \t;=", min_size=1, max_size=10).filter(lambda text: text == text.strip()))
def test_subprotocols_are_taken_or_refused_as_others_do(value: str) -> None:
    try:
        theirs = list(parse_subprotocol(value))
    except (InvalidHeader, InvalidHeaderFormat):
        theirs = []
    try:
        ours = asked([(b"sec-websocket-protocol", value.encode())]).subprotocols
    except ParseError:
        ours = []
    # They leave it to others to see a repeated name.
    assert ours == (theirs if len(set(theirs)) == len(theirs) else [])


# -- HTTP/2 ---------------------------------------------------------------------------------

STREAM: Fields = [(b"host", b"x"), (b"sec-websocket-version", b"13")]


def test_a_stream_of_http2_has_neither_key_nor_upgrade() -> None:
    more = [(b"sec-websocket-protocol", b"chat"), (b"sec-websocket-extensions", b"foo")]
    got = read_handshake("CONNECT", STREAM + more, False)
    assert (got.key, got.subprotocols, got.extensions) == (None, ["chat"], [b"foo"])


@pytest.mark.parametrize("version", [b"8", None])
def test_a_stream_of_http2_of_another_version(version: bytes | None) -> None:
    """RFC 9113 section 8.2.2: neither Upgrade nor Connection, so 426 has no place."""
    headers = [STREAM[0], *([(b"sec-websocket-version", version)] if version else [])]
    error = refused(headers, "CONNECT", keyed=False)
    assert (error.status, error.headers) == (400, [(b"sec-websocket-version", b"13")])


def test_the_lists_of_a_stream_are_checked_as_well() -> None:
    for name in (b"sec-websocket-protocol", b"sec-websocket-extensions"):
        assert refused([*STREAM, (name, b"a b")], "CONNECT", keyed=False).status == 400
