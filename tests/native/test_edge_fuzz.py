"""What strangers can send to the edge, at random, against models as slow as they are plain.

Seeded, so that a failure repeats.
"""

from __future__ import annotations

import random
import re
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.certificates import Authority
from support.proxies import SIGNATURE, extension, header, line
from support.spoil import cut, spoil
from support.tls import NAME, MemoryClient, Wrapper, records

from fastserve._native.errors import ParseError
from fastserve._native.forwarded import Trust
from fastserve._native.proxy_protocol import ProxyHeader
from fastserve._native.tls import TlsLayer

Address = IPv4Address | IPv6Address

SPICES = [b" ", b"0", b"\r\n", b"\0", b"9" * 9]


# TLS ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[MemoryClient, TlsLayer]]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    wrapper = Wrapper(authority.issue(NAME))
    return lambda version: (
        MemoryClient(authority, maximum_version=version),
        TlsLayer(wrapper),
    )


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def give(dice: random.Random, layer: TlsLayer, data: bytes) -> tuple[bytes, list[bytes]]:
    """(plaintext, what it says); over if it says that it is."""
    got, said = b"", []
    for piece in cut(dice, data):
        try:
            runs, output = layer.receive(piece, dice.choice([0, 0, 100]))
        except ssl.SSLError:
            assert not layer.open
            assert layer.receive(b"\x17\x03\x03\x00\x01x")[0] == []
            break
        got += b"".join(runs)
        said += [output] if output else []
    return got, said


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_nothing_but_what_was_sent_is_read_of_spoilt_records(
    ends: Callable[..., tuple[MemoryClient, TlsLayer]], version: ssl.TLSVersion
) -> None:
    dice = random.Random(1)
    for _ in range(30):
        client, layer = ends(version)
        while not (client.complete and layer.open):
            client.give(b"".join(give(dice, layer, client.take())[1]))
        runs = [dice.randbytes(dice.choice([1, 30, 5000, 16384, 40000])) for _ in range(4)]
        sealed = list(records(client.seal(*runs)))
        if dice.random() < 0.5:
            sealed[dice.randrange(len(sealed))] = dice.choice(sealed)
            data = b"".join(sealed)
        else:
            data = spoil(dice, b"".join(sealed), SPICES)
        got, _ = give(dice, layer, data)
        assert b"".join(runs).startswith(got)


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_a_spoilt_handshake_does_not_complete(
    ends: Callable[..., tuple[MemoryClient, TlsLayer]], version: ssl.TLSVersion
) -> None:
    dice = random.Random(2)
    for number in range(30):
        client, layer = ends(version)
        flights = 0
        while flight := client.take():
            flights += 1
            whole = flight
            if flights == 1 + number % 2:
                while whole == flight:
                    flight = spoil(dice, flight, SPICES)
            got, said = give(dice, layer, flight)
            assert got == b""
            try:
                client.give(b"".join(said))
            except ssl.SSLError:
                break
            if flights == 1 + number % 2:
                break
        # Only the client's last record, which is made of all that both have said, completes it.
        assert not layer.open or list(records(whole))[-1] in flight


# The PROXY protocol ---------------------------------------------------------


def plain_header(data: bytes) -> object:
    """What the specification of 2020 says: "more", "bad" or (client, server, bytes used)."""
    if data[:1] != b"\r":
        whole = re.match(rb"PROXY [\x20-\x7e]*\r\n", data[:107])
        if whole is None:
            begun = b"PROXY ".startswith(data) or re.fullmatch(rb"PROXY [\x20-\x7e]*\r?", data)
            return "more" if begun and len(data) < 107 else "bad"
        words = whole[0][6:-2].decode().split(" ")
        if words[0] == "UNKNOWN":
            return None, None, len(whole[0])
        if len(words) != 5 or words[0] not in ("TCP4", "TCP6"):
            return "bad"
        found = [plain_address(each) for each in words[1:3]]
        ports = [plain_port(each) for each in words[3:]]
        if (
            None in found
            or None in ports
            or any((":" in w) != ("6" in words[0]) for w in words[1:3])
        ):
            return "bad"
        client, server = ((str(a), p) for a, p in zip(found, ports, strict=True))
        return client, server, len(whole[0])
    if not data.startswith(SIGNATURE[: len(data)]):
        return "bad"
    command = data[12] if len(data) > 12 else 0x20
    if command not in (0x20, 0x21):
        return "bad"
    sizes = {0x00: 0, 0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}
    family = data[13] if len(data) > 13 and command == 0x21 else 0
    if family not in sizes:
        return "bad"
    if len(data) < 16:
        return "more"
    used = 16 + int.from_bytes(data[14:16])
    size = sizes[family]
    if used - 16 < size or used > 4096:
        return "bad"
    if len(data) < used:
        return "more"
    body, rest = data[16 : 16 + size], data[16 + size : used]
    while size and rest:
        if len(rest) < 3 or len(rest) < 3 + int.from_bytes(rest[1:3]):
            return "bad"
        rest = rest[3 + int.from_bytes(rest[1:3]) :]
    if size == 216:
        return None, (body[108:].split(b"\0")[0].decode("utf-8", "replace"), None), used
    if size:
        half = (size - 4) // 2
        one, other = (plain_text(ip_address(body[at : at + half])) for at in (0, half))
        ports_at = int.from_bytes(body[-4:-2]), int.from_bytes(body[-2:])
        return (one, ports_at[0]), (other, ports_at[1]), used
    return None, None, used


def plain_address(text: str) -> str | None:
    try:
        return None if "%" in text else plain_text(ip_address(text))
    except ValueError:
        return None


def plain_text(address: Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def plain_port(text: str) -> int | None:
    good = re.fullmatch("0|[1-9][0-9]{0,4}", text)
    return int(text) if good and int(text) < 65536 else None


HEADERS = [
    line("192.0.2.1", 5555, "192.0.2.2", 80), line("2001:db8::1", 1, "::1", 65535),
    line("::ffff:192.0.2.1", 0, "1:2:3:4:5:6:7:8", 9), b"PROXY UNKNOWN ffff::1 1\r\n",
    header("192.0.2.1", 5555, "192.0.2.2", 80, more=extension(1, b"h2") + extension(4, b"")),
    header("2001:db8::1", 1, "::ffff:1.2.3.4", 2, transport=2), header(command=0, more=b"x" * 9),
    header(family=0x31, more=bytes(108) + "/run/größe".encode().ljust(108, b"\0")),
    header("192.0.2.1", 1, "192.0.2.2", 2, more=extension(2, bytes(4066))), header(family=0),
]  # fmt: skip


def test_proxy_headers_are_read_as_they_are_written() -> None:
    dice = random.Random(3)
    for _ in range(6000):
        data = dice.choice(HEADERS) + dice.choice([b"", b"GET / HTTP/1.1\r\n"])
        for _ in range(dice.choice([0, 1, 1, 2, 4])):
            data = spoil(dice, data, SPICES) or b"P"
        reader, taken, got = ProxyHeader(), 0, None
        try:
            for piece in cut(dice, data):
                taken += len(piece)
                got = reader.feed(piece)
                if got is not None:
                    break
        except ParseError:
            assert plain_header(data[:taken]) == "bad", data
            continue
        if got is None:
            assert plain_header(data) == "more", data
            continue
        told = (reader.client, reader.server, taken - len(got))
        assert told == plain_header(data[:taken]), data
        assert got == data[told[2] : taken]


# Fields of forwarding -------------------------------------------------------

TRUSTED = ["10.0.0.0/8", "192.168.7.8", "2001:db8:9::/48", "::/8"]
FIELDS = [
    "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip",
]  # fmt: skip


def plain_node(text: str, strict: bool = False) -> tuple[str, int] | None:
    """An address with or without a port; `strict`: as RFC 7239 has it."""
    match = re.fullmatch(r"\[([^\]]*)\](?::(.*))?|([^:]*)(?::([^:]*))?|(.*)", text, re.S)
    assert match is not None
    name, port = match[1] or match[3] or match[5] or "", match[2] or match[4]
    if (":" in name) != (match[1] is not None or match[5] is not None) or (strict and match[5]):
        return None
    if match[2] == "" or match[4] == "":
        return None
    if strict and port and re.fullmatch(r"_[A-Za-z0-9._-]+", port):
        port = None
    address = plain_address(name)
    number = plain_port(port) if port is not None else 0
    return None if address is None or number is None else (address, number)


def plain_trust(host: str) -> bool:
    address = ip_address(host)
    nets = map(ip_network, TRUSTED)
    return any(address in net for net in nets if net.version == address.version)


def plain_list(lines: list[tuple[str, str]], name: str) -> list[str]:
    """The entries of a field, the last first."""
    entries = [part.strip(" \t") for n, v in lines if n == name for part in v.split(",")]
    return [part for part in reversed(entries) if part]


TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
PAIR = (
    rf'({TOKEN}+)=({TOKEN}[!#$%&\'*+\-.^_`|~0-9A-Za-z:\[\]]*|[:\[\]][^\s",;=]*|"(?:[^"\\]|\\.)*")'
)


def plain_elements(lines: list[tuple[str, str]]) -> list[dict[str, str]] | None:
    """Those of Forwarded, the last first; None: none, or they cannot be read."""
    found: list[dict[str, str]] = []
    for value in (v for n, v in lines if n == "forwarded"):
        rest, element = value, None
        while rest := rest.lstrip(" \t"):
            if rest[0] in ",;":
                element = None if rest[0] == "," else element
                rest = rest[1:]
                continue
            pair = re.match(rf"{PAIR}[ \t]*(?=[,;]|\Z)", rest, re.S)
            if pair is None:
                return None
            if element is None:
                found.append(element := {})
            key, told = pair[1].lower(), pair[2]
            if key in ("for", "proto", "host") and key in element:
                return None
            element[key] = ("" if "\\" in told else told[1:-1]) if told[0] == '"' else told
            rest = rest[pair.end() :]
    return found[::-1] or None


def plain_origin(lines: list[tuple[str, str]], hops: int) -> tuple[object, object, object]:
    """(client, scheme, host)"""
    elements = plain_elements(lines)
    if elements is not None:
        nodes = [plain_node(e.get("for", ""), strict=True) for e in elements]
    else:
        nodes = [plain_node(entry) for entry in plain_list(lines, "x-forwarded-for")]
        alone = plain_list(lines, "x-real-ip")
        if not hops and len(alone) == 1 and (real := plain_node(alone[0])):
            return real, *plain_beside(lines, None, 0, True)
    if hops:
        if len(nodes) < hops:
            return None, None, None
        client, hop = nodes[hops - 1], hops - 1
    else:
        client, hop = None, -1
        for node in nodes:
            if node is None:
                break
            client, hop = node, hop + 1
            if not plain_trust(node[0]):
                break
    return client, *plain_beside(lines, elements, max(hop, 0), True)


def plain_beside(
    lines: list[tuple[str, str]], elements: list[dict[str, str]] | None, hop: int, alone: bool
) -> tuple[str | None, str | None]:
    """The scheme and the host that a hop has told."""
    told = []
    for key in ("proto", "host"):
        if elements is not None:
            told.append(elements[hop].get(key, ""))
            continue
        entries = plain_list(lines, f"x-forwarded-{key}")
        single = entries[0] if len(entries) == 1 and alone else ""
        told.append(entries[hop] if hop < len(entries) else single)
    scheme = {"https": "https", "wss": "https", "http": "http", "ws": "http"}.get(told[0].lower())
    host = told[1] if re.fullmatch(r"[a-z.-]+(:[1-9][0-9]{0,3}|:)?", told[1]) else None
    return scheme, host


NODES = st.sampled_from([
    "10.0.0.1", "10.255.0.9:80", "192.168.7.8", "192.168.7.9", "192.0.2.1", "192.0.2.1:65535",
    "[2001:db8:9::7]:1", "2001:db8:9::7", "[2001:db8:a::1]", "2001:db8:a::1", "::ffff:10.1.1.1",
    "[::ffff:192.0.2.9]:5", "::2", "0.0.0.1", "192.0.2.1:_x", "[::1]:_", "192.0.2.1:", "unknown",
    "_hidden", "192.0.2.01", "[192.0.2.1]", "[::1", "192.0.2.1:65536", "fe80::1%1", "\xe9", "[]:1",
])  # fmt: skip
HOSTS = st.sampled_from(["a.example", "b.example:81", "c:", "d e", "f:0", "g:99999", "-", "é"])
SCHEMES = st.sampled_from(["https", "http", "WSS", "ws", "ftp", "https:"])
SPACE = st.sampled_from(["", " ", "\t", "  "])
VALUES = {"for": NODES, "proto": SCHEMES, "host": HOSTS, "by": NODES, "x": st.just('a\\"b')}


@st.composite
def elements(draw: st.DrawFn) -> str:
    keys = draw(st.lists(st.sampled_from(list(VALUES)), max_size=3))
    pairs = []
    for key in keys:
        value = draw(VALUES[key])
        form = draw(st.sampled_from(['{}="{}"', '{}="{}"', "{}={}"]))
        pairs.append(form.format(draw(st.sampled_from([key, key.title()])), value))
    return f"{draw(SPACE)};{draw(SPACE)}".join(pairs)


def lists(entries: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(st.tuples(SPACE, entries, SPACE).map("".join), max_size=4)
    return parts.map(",".join)


LINE = st.one_of(
    st.tuples(st.just("x-forwarded-for"), lists(NODES)),
    st.tuples(st.just("x-forwarded-proto"), lists(SCHEMES)),
    st.tuples(st.just("x-forwarded-host"), lists(HOSTS)),
    st.tuples(st.just("x-real-ip"), lists(NODES)),
    st.tuples(st.just("forwarded"), lists(elements())),
)


@given(lines=st.lists(LINE, max_size=5), hops=st.integers(0, 3))
@settings(max_examples=400, deadline=None)
def test_fields_of_forwarding_are_read_as_they_are_documented(
    lines: list[tuple[str, str]], hops: int
) -> None:
    trust = Trust(TRUSTED, hops, FIELDS)
    origin = trust.read([(name.encode(), value.encode("latin-1")) for name, value in lines])
    host = None if origin.host is None else origin.host.decode()
    assert (origin.client, origin.scheme, host) == plain_origin(lines, hops)
