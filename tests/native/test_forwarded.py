"""Forwarding fields: what is believed of them, and every way we know to deceive by them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserve._native.forwarded import Origin, Trust

PROXIES = ["10.0.0.0/8", "2001:db8:9::/48", "unix"]
ALL = [
    "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
    "x-forwarded-prefix",
]  # fmt: skip
FOR, PROTO, HOST = "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"
PORT, PREFIX = "x-forwarded-port", "x-forwarded-prefix"


def read(*lines: str, fields: list[str] | None = None, hops: int = 0) -> Origin:
    """What is made of the field lines `lines`, of a peer that is trusted."""
    trust = Trust(PROXIES, hops, ALL if fields is None else fields)
    pairs = []
    for line in lines:
        name, _, value = line.partition(": ")
        pairs.append((name.encode(), value.encode("latin-1")))
    return trust.read(pairs)


def client(*lines: str, **options: Any) -> tuple[str, int] | None:
    return read(*lines, **options).client


# X-Forwarded-For; None: the peer stays the client
ADDRESSES = [
    # one proxy
    ("192.0.2.1", ("192.0.2.1", 0)),
    (" \t192.0.2.1\t ", ("192.0.2.1", 0)),
    ("192.0.2.1:5555", ("192.0.2.1", 5555)),
    ("[2001:db8::1]:5555", ("2001:db8::1", 5555)),
    ("[2001:db8::1]", ("2001:db8::1", 0)),
    ("2001:DB8:0:0::1", ("2001:db8::1", 0)),
    ("::ffff:192.0.2.1", ("192.0.2.1", 0)),
    # whatever the client has written in front of it
    ("6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),
    ("6.6.6.6,192.0.2.1", ("192.0.2.1", 0)),
    ("127.0.0.1, 10.0.0.1, 192.0.2.1", ("192.0.2.1", 0)),
    ("unix, 192.0.2.1", ("192.0.2.1", 0)),
    ("*, 192.0.2.1", ("192.0.2.1", 0)),
    ('"6.6.6.6, 192.0.2.1', ("192.0.2.1", 0)),
    ("6.6.6.6\\, 192.0.2.1", ("192.0.2.1", 0)),
    ("6.6.6.6;, 192.0.2.1", ("192.0.2.1", 0)),
    ("\xff\xfe, 192.0.2.1", ("192.0.2.1", 0)),
    # known proxies in between
    ("192.0.2.1, 10.0.0.1", ("192.0.2.1", 0)),
    ("6.6.6.6, 192.0.2.1, 10.0.0.1, [2001:db8:9::1]:80, 10.9.9.9:1", ("192.0.2.1", 0)),
    ("::ffff:10.0.0.1, 192.0.2.1, ::ffff:10.0.0.1", ("192.0.2.1", 0)),
    # nobody but known proxies: the left-most has asked
    ("10.0.0.3, 10.0.0.2, 10.0.0.1", ("10.0.0.3", 0)),
    ("10.0.0.1:99", ("10.0.0.1", 99)),
    # what cannot be read: who has added it is the last we know
    ("unknown", None),
    ("_hidden", None),
    ("192.0.2.1, unknown", None),
    ("192.0.2.1, unknown, 10.0.0.1", ("10.0.0.1", 0)),
    ("6.6.6.6, unix:, 10.0.0.1", ("10.0.0.1", 0)),
    ("6.6.6.6, 192.0.2.1:, 10.0.0.2, 10.0.0.1", ("10.0.0.2", 0)),
    ("6.6.6.6, 192.0.2.256", None),
    ("6.6.6.6, 192.0.2.1:65536", None),
    ("6.6.6.6, 192.0.2.01", None),
    ("6.6.6.6 10.0.0.1", None),
    ("6.6.6.6, fe80::1%eth0", None),
    ("6.6.6.6, localhost", None),
    ("6.6.6.6, 0x0a000001", None),
    ("6.6.6.6, 167772161", None),
    ("6.6.6.6, 10.1", None),
    ('6.6.6.6, "10.0.0.1"', None),
    ("6.6.6.6, for=10.0.0.1", None),
    ("6.6.6.6, 10.0.0.1\x80", None),
    ("6.6.6.6; 10.0.0.1", None),
    # empty entries count for nothing
    ("", None),
    (" , ,\t,", None),
    ("192.0.2.1, , 10.0.0.1,", ("192.0.2.1", 0)),
    (",,192.0.2.1,,", ("192.0.2.1", 0)),
]


@pytest.mark.parametrize(("value", "expected"), ADDRESSES)
def test_of_addresses_the_right_most_that_is_not_trusted_wins(
    value: str, expected: tuple[str, int] | None
) -> None:
    assert client(f"{FOR}: {value}") == expected


@pytest.mark.parametrize(("value", "expected"), ADDRESSES)
def test_addresses_over_several_lines_are_one_list(
    value: str, expected: tuple[str, int] | None
) -> None:
    lines = [f"{FOR}: {part}" for part in value.split(",")]
    assert client(*lines) == expected
    for at in range(len(lines) + 1):
        assert client(*lines[:at], "x-other: 6.6.6.6", *lines[at:]) == expected


def test_everyone_trusted_means_the_left_most() -> None:
    trust = Trust(["*"], 0, ALL)
    assert trust.read([(b"x-forwarded-for", b"6.6.6.6, 192.0.2.1")]).client == ("6.6.6.6", 0)


PROXY = st.sampled_from(["10.0.0.1", "10.255.0.9:80", "[2001:db8:9::7]:1", "::ffff:10.1.1.1"])
JUNK = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60)


@given(junk=st.lists(JUNK, max_size=4), known=st.lists(PROXY, max_size=4))
@settings(max_examples=300)
def test_nothing_left_of_the_client_changes_anything(junk: list[str], known: list[str]) -> None:
    """By hand over several lines, and by appending to the client's own line."""
    told = ", ".join(["192.0.2.1:99", *known])
    assert client(*[f"{FOR}: {each}" for each in junk], f"{FOR}: {told}") == ("192.0.2.1", 99)
    assert client(f"{FOR}: {', '.join([*junk, told])}") == ("192.0.2.1", 99)


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"), ("http", "http"), ("wss", "https"), ("ws", "http"), ("HTTPS", "https"),
        ("HtTp", "http"), (" https ", "https"), ("ftp", None), ("https:", None), ("httpss", None),
        ("", None), ("on", None), ("https http", None), ("\xffhttps", None), ("https;", None),
        ("http\x00", None), ('"https"', None),
    ],
)  # fmt: skip
def test_the_scheme_is_one_of_four_or_nothing(value: str, scheme: str | None) -> None:
    assert read(f"{PROTO}: {value}").scheme == scheme
    assert read(f"{FOR}: 192.0.2.1", f"{PROTO}: {value}").scheme == scheme


# X-Forwarded-For, a list beside it, the entry that counts
BESIDE = [
    ("192.0.2.1", "https", "https"),
    ("192.0.2.1", "https, http", "http"),  # the client's own in front
    ("6.6.6.6, 192.0.2.1", "https, http", "http"),
    ("192.0.2.1, 10.0.0.1", "https, http", "https"),  # a chain that adds to both
    ("192.0.2.1, 10.0.0.1", "https", "https"),  # one that adds to the first alone
    ("192.0.2.1, 10.0.0.1", "http, https, http", "https"),
    ("192.0.2.1, 10.0.0.2, 10.0.0.1", "https, http", None),  # whose is which?
    ("unknown, 10.0.0.1", "https, http", "http"),
    ("unknown", "https, http", "http"),
    ("10.0.0.2, 10.0.0.1", "https, http", "https"),
    ("192.0.2.1", "https, , http,", "http"),
]


@pytest.mark.parametrize(("addresses", "schemes", "expected"), BESIDE)
def test_a_list_beside_the_addresses_is_read_at_the_same_hop(
    addresses: str, schemes: str, expected: str | None
) -> None:
    assert read(f"{FOR}: {addresses}", f"{PROTO}: {schemes}").scheme == expected
    lines = [f"{PROTO}: {each}" for each in schemes.split(",")]
    assert read(f"{FOR}: {addresses}", *lines).scheme == expected


def test_without_addresses_the_right_most_scheme_counts() -> None:
    assert read(f"{PROTO}: https, http").scheme == "http"
    assert read(f"{PROTO}: https").scheme == "https"


@pytest.mark.parametrize(
    ("value", "host", "name", "port"),
    [
        ("example.com", b"example.com", "example.com", 0),
        ("example.com:8443", b"example.com:8443", "example.com", 8443),
        ("example.com:", b"example.com:", "example.com", 0),
        ("[2001:db8::1]", b"[2001:db8::1]", "2001:db8::1", 0),
        ("[2001:db8::1]:80", b"[2001:db8::1]:80", "2001:db8::1", 80),
        ("192.0.2.1:1", b"192.0.2.1:1", "192.0.2.1", 1),
        ("evil.com, example.com", b"example.com", "example.com", 0),
        *((bad, None, None, 0) for bad in (
            "", "a b", "a/b", "a@b", "user:pw@a", "http://a", "a:b", "a:65536", "a:0", "a:080",
            "a:-1", "::1", "[::1", "::1]", "[]", "[::1]x", "a\\b", "a?b", "a#b", "\xe4.com", "a\"b",
            "<a>", ":80", "evil.com, a b",
        )),
    ],
)  # fmt: skip
def test_the_host_is_one_as_in_a_host_field_or_nothing(
    value: str, host: bytes | None, name: str | None, port: int
) -> None:
    got = read(f"{HOST}: {value}")
    assert (got.host, got.server_host, got.port) == (host, name, port)


@pytest.mark.parametrize(
    ("value", "port"),
    [("443", 443), ("1", 1), ("65535", 65535), ("80, 443", 443), ("0", 0), ("65536", 0), ("x", 0),
     ("", 0), ("-1", 0), ("0443", 0), ("443 80", 0), ("443:", 0), ("\xb2", 0)],
)  # fmt: skip
def test_the_port_is_a_number_or_nothing(value: str, port: int) -> None:
    assert read(f"{PORT}: {value}").port == port
    assert read(f"{HOST}: a", f"{PORT}: {value}").port == port
    assert read(f"{HOST}: a:7", f"{PORT}: {value}").port == 7


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("/api", "/api"), ("/api/", "/api"), ("/a/b.c/~d", "/a/b.c/~d"), ("/caf%C3%A9", "/café"),
        ("/a%20b", "/a b"), ("/evil, /api", "/api"), ("/...", "/..."), ("/a:b@c=d", "/a:b@c=d"),
        *((bad, None) for bad in (
            "", "/", "api", "//", "//a", "/a//b", "/a//", "/.", "/..", "/a/..", "/a/../b", "/./a",
            "/%2e%2e", "/a/%2E%2e/b", "/a%2F/b", "/%2f", "/a%2f%2fb", "/a%00", "/a%0a", "/a%7f",
            "/a%c2%85", "/%ff", "/%e4", "/a?b", "/a#b", "/a b", "/a\\b", "/a%5cb", "/a%", "/a%4",
            "/a%zz", "/a%25", "/\xe4", "\\a", "http://a/b", "/a\tb",
        )),
    ],
)  # fmt: skip
def test_the_prefix_is_a_plain_path_or_nothing(value: str, prefix: str | None) -> None:
    assert read(f"{PREFIX}: {value}").prefix == prefix


# Forwarded: client, scheme, host
ELEMENTS: list[tuple[str, Any, Any, Any]] = [
    ("for=192.0.2.1", ("192.0.2.1", 0), None, None),
    ("For=192.0.2.1;PROTO=HTTPS;hOsT=a", ("192.0.2.1", 0), "https", b"a"),
    ('for="192.0.2.1:55";by=10.0.0.1;proto=http', ("192.0.2.1", 55), "http", None),
    ('for="[2001:db8::1]:55"', ("2001:db8::1", 55), None, None),
    ('for="[2001:db8::1]"', ("2001:db8::1", 0), None, None),
    ('for="192.0.2.1:_p";host="a:80"', ("192.0.2.1", 0), None, b"a:80"),
    ("for=192.0.2.1:55", ("192.0.2.1", 55), None, None),
    ("for=[2001:db8::1]:55", ("2001:db8::1", 55), None, None),
    ("for=192.0.2.1 ; proto=https", ("192.0.2.1", 0), "https", None),
    (";for=192.0.2.1;;proto=https;", ("192.0.2.1", 0), "https", None),
    (" , for=192.0.2.1 ,\t", ("192.0.2.1", 0), None, None),
    ('for=192.0.2.1;x="a,b;c=d\\"e"', ("192.0.2.1", 0), None, None),
    # chains
    ("for=6.6.6.6;proto=https, for=192.0.2.1", ("192.0.2.1", 0), None, None),
    ("for=192.0.2.1;proto=https;host=a, for=10.0.0.1;proto=http;host=b",
     ("192.0.2.1", 0), "https", b"a"),
    ("for=10.0.0.2;proto=https, for=10.0.0.1;proto=http", ("10.0.0.2", 0), "https", None),
    # what cannot be read: who has added it is the last we know
    ("for=unknown;proto=https", None, "https", None),
    ("for=_hidden", None, None, None),
    ("proto=https", None, "https", None),
    ("for=6.6.6.6;proto=http, proto=https", None, "https", None),
    ("for=6.6.6.6;proto=http, for=unknown, for=10.0.0.1;proto=https",
     ("10.0.0.1", 0), "https", None),
    ('for=6.6.6.6, for="2001:db8::1"', None, None, None),
    ("for=6.6.6.6, for=192.0.2.300", None, None, None),
    ('for=6.6.6.6, for="192.0.2.1\\0"', None, None, None),
    ('for=6.6.6.6, for=""', None, None, None),
    ("for=192.0.2.1;proto=ftp;host=\"a b\"", ("192.0.2.1", 0), None, None),
    ("by=192.0.2.1", None, None, None),
    ("fore=192.0.2.1", None, None, None),
    # not Forwarded at all: nothing is read
    *((bad, None, None, None) for bad in (
        "", ",", ";", " ;,; ", "192.0.2.1", "for", "for=", "=192.0.2.1", "for =192.0.2.1",
        "for= 192.0.2.1", "for=192.0.2.1 x", 'for="192.0.2.1', 'for="192.0.2.1"x',
        'for=192.0.2.1"', "for=192.0.2.1;for=192.0.2.2", "for=192.0.2.1;proto=http;Proto=https",
        "for=192.0.2.1;proto", "for=192.0.2.1, for", "for=192.0.2.1;host=a/b", "for=(a)",
        'for="', 'for="\\', "for=\xe4", "f\xe4r=1", 'for="192.0.2.1"for="192.0.2.1"',
        # an open quote in front swallows what the proxy adds, and is found out
        'for=6.6.6.6;x=", for=192.0.2.1', 'for=6.6.6.6;x=", for="[2001:db8::1]"',
        'for=6.6.6.6;x="\\", for=192.0.2.1;proto="http"', 'for=", for="[2001:db8::1]:1";by="a"',
    )),
]  # fmt: skip


@pytest.mark.parametrize(("value", "address", "scheme", "host"), ELEMENTS)
def test_forwarded_elements(
    value: str, address: tuple[str, int] | None, scheme: str | None, host: bytes | None
) -> None:
    got = read(f"forwarded: {value}")
    assert (got.client, got.scheme, got.host) == (address, scheme, host)


def test_a_quote_in_a_line_of_the_client_cannot_reach_into_that_of_the_proxy() -> None:
    got = read('forwarded: for="6.6.6.6', "forwarded: for=192.0.2.1;proto=https")
    assert (got.client, got.scheme) == (None, None)
    got = read("forwarded: for=6.6.6.6", 'forwarded: for="192.0.2.1";proto=https')
    assert (got.client, got.scheme) == (("192.0.2.1", 0), "https")


@given(lines=st.lists(JUNK, max_size=3), tail=st.booleans())
@settings(max_examples=300)
def test_no_line_of_the_client_makes_it_another(lines: list[str], tail: bool) -> None:
    """It can spoil the whole field, so that nothing is read, and no more than that."""
    told = 'for="192.0.2.1:99";proto=https' + (", for=10.0.0.1;proto=http" if tail else "")
    for sent in (
        [*lines, told],
        [", ".join([*lines, told])],
    ):
        got = read(*[f"forwarded: {each}" for each in sent])
        assert got.client in (None, ("192.0.2.1", 99))
        assert got.scheme == ("https" if got.client else None)


@pytest.mark.parametrize("count", [63, 64, 65, 130])
def test_a_long_chain_is_read_from_the_right(count: int) -> None:
    chain = ", ".join(["for=192.0.2.1"] + ["for=10.0.0.1"] * count)
    expected = ("192.0.2.1", 0) if count < 64 else ("10.0.0.1", 0)
    assert client(f"forwarded: {chain}") == expected
    assert client(f"forwarded: {chain}, for=192.0.2.7;proto=https") == ("192.0.2.7", 0)
    assert client(f"{FOR}: {chain.replace('for=', '')}") == ("192.0.2.1", 0)


def test_forwarded_wins_over_the_older_fields_and_is_not_mixed_with_them() -> None:
    old = (f"{FOR}: 6.6.6.6", f"{PROTO}: http", f"{HOST}: evil.com", f"{PORT}: 666")
    got = read(*old, "forwarded: for=192.0.2.1;proto=https")
    assert (got.client, got.scheme) == (("192.0.2.1", 0), "https")
    assert (got.host, got.port) == (None, 0)
    assert read(*old, "forwarded: nonsense").client == ("6.6.6.6", 0)
    assert read(*old, "forwarded: for=192.0.2.1", fields=ALL[1:]).client == ("6.6.6.6", 0)
    assert read("forwarded: for=192.0.2.1", f"{PREFIX}: /api").prefix == "/api"


# Number of proxies, X-Forwarded-For, client
HOPS = [
    (1, "192.0.2.1", ("192.0.2.1", 0)),
    (1, "6.6.6.6, 192.0.2.1", ("192.0.2.1", 0)),
    (1, "6.6.6.6, 10.0.0.1", ("10.0.0.1", 0)),  # networks mean nothing then
    (2, "6.6.6.6, 192.0.2.1, 198.51.100.1", ("192.0.2.1", 0)),
    (2, "192.0.2.1, 198.51.100.1:8", ("192.0.2.1", 0)),
    (2, "192.0.2.1", None),
    (3, "192.0.2.1, 198.51.100.1", None),
    (2, "192.0.2.1, unknown", ("192.0.2.1", 0)),
    (2, "6.6.6.6, unknown, 198.51.100.1", None),
    (1, "6.6.6.6, unknown", None),
    (1, "", None),
    (2, ", 192.0.2.1,", None),
]


@pytest.mark.parametrize(("hops", "value", "expected"), HOPS)
def test_with_a_number_of_proxies_the_entry_with_it_from_the_right_counts(
    hops: int, value: str, expected: tuple[str, int] | None
) -> None:
    assert client(f"{FOR}: {value}", hops=hops) == expected
    assert client(*[f"{FOR}: {each}" for each in value.split(",")], hops=hops) == expected
    elements = ", ".join(f'for="{each.strip()}"' for each in value.split(",") if each.strip())
    assert client(f"forwarded: {elements}", hops=hops) == expected


@pytest.mark.parametrize("addresses", [[], [f"{FOR}: 192.0.2.1"], [f"{FOR}: ,"]])
def test_fewer_entries_than_proxies_and_no_field_is_believed(addresses: list[str]) -> None:
    got = read(*addresses, f"{PROTO}: https", f"{HOST}: a", f"{PORT}: 1", f"{PREFIX}: /a", hops=2)
    assert (got.client, got.scheme, got.host, got.port, got.prefix) == (None, None, None, 0, None)


def test_with_a_number_of_proxies_lists_beside_are_read_at_the_same_hop() -> None:
    got = read(f"{FOR}: 6.6.6.6, 192.0.2.1, 10.0.0.1", f"{PROTO}: ws, https, http", hops=2)
    assert (got.client, got.scheme) == (("192.0.2.1", 0), "https")
    assert read(f"{FOR}: 192.0.2.1, 10.0.0.1", f"{PROTO}: https", hops=2).scheme == "https"
    alone = [PROTO]
    assert read(f"{PROTO}: ws, https, http", fields=alone, hops=2).scheme == "https"
    assert read(f"{PROTO}: https", fields=alone, hops=2).scheme is None
    assert read(f"{PROTO}: https", fields=alone, hops=1).scheme == "https"


def test_single_fields_are_of_the_peer_alone() -> None:
    fields = ["cf-connecting-ip", "x-real-ip", FOR]
    list_ = f"{FOR}: 192.0.2.1, 10.0.0.1"
    assert client("cf-connecting-ip: 192.0.2.7", list_, fields=fields) == ("192.0.2.7", 0)
    assert client("x-real-ip: 2001:db8::7", list_, fields=fields) == ("2001:db8::7", 0)
    both = ("x-real-ip: 192.0.2.8", "cf-connecting-ip: 192.0.2.7")
    assert client(*both, fields=fields) == ("192.0.2.7", 0)
    for bad in ("", "unknown", "192.0.2.1, 192.0.2.2", "192.0.2.300"):
        assert client(f"x-real-ip: {bad}", fields=fields) is None
        assert client(f"x-real-ip: {bad}", list_, fields=fields) == ("192.0.2.1", 0)
    twice = ("cf-connecting-ip: 192.0.2.7", "cf-connecting-ip: 192.0.2.7")
    assert client(*twice, fields=fields) is None
    assert client("x-real-ip: 6.6.6.6", fields=fields, hops=1) is None


@pytest.mark.parametrize("name", [*ALL, "x-real-ip", "cf-connecting-ip"])
def test_a_field_that_is_not_chosen_is_not_read(name: str) -> None:
    value = {"forwarded": "for=6.6.6.6;proto=https;host=a", PROTO: "https", HOST: "a", PORT: "1",
             PREFIX: "/a"}.get(name, "6.6.6.6")  # fmt: skip
    others = [each for each in [*ALL, "x-real-ip", "cf-connecting-ip"] if each != name]
    got = read(f"{name}: {value}", fields=others)
    assert (got.client, got.scheme, got.host, got.port, got.prefix) == (None, None, None, 0, None)
    got = read(f"{name}: {value}", fields=[name])
    assert (got.client, got.scheme, got.host, got.port, got.prefix) != (None, None, None, 0, None)


def test_who_is_trusted() -> None:
    trust = Trust(PROXIES, 0, ALL)
    assert [host for host in ("10.1.1.1", "::ffff:10.1.1.1", "unix") if trust.trusts(host)] == [
        "10.1.1.1", "::ffff:10.1.1.1", "unix",
    ]  # fmt: skip
    assert not trust.trusts("192.0.2.1")
    assert not trust.trusts("127.0.0.1")
    assert Trust((), 1, ALL, anybody=True).trusts("192.0.2.1")
    assert not Trust((), 1, ALL).trusts("192.0.2.1")
    assert not Trust(["*"], 0, ()).trusts("192.0.2.1")


@pytest.mark.parametrize(
    ("value", "text"),
    [("192.0.2.1", b"192.0.2.1"), ("192.0.2.1:80", b"192.0.2.1:80"),
     ("[2001:db8::1]:80", b"[2001:db8::1]:80"), ("2001:db8::1", b"[2001:db8::1]")],
)  # fmt: skip
def test_the_clients_text_for_logs(value: str, text: bytes) -> None:
    assert read(f"{FOR}: {value}").client_text() == text
