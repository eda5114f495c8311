"""fs_address: text and bytes of IP addresses, against Python's own reading of them."""

from __future__ import annotations

import ctypes
import ipaddress
from ctypes import byref, c_int, c_int32, c_size_t, c_uint, c_uint16, c_void_p

import pytest
from c.conftest import SOURCES, GuardedPage, compile_c
from hypothesis import example, given
from hypothesis import strategies as st

BAD = -60
PORTS = [(b"0", 0), (b"1", 1), (b"80", 80), (b"65535", 65535)]
NO_PORTS = [b"", b"00", b"080", b"65536", b"99999", b"100000", b"-1", b"+1", b" 1", b"1 ", b"x",
            b"8_0", b"\xc2\xb2"]  # fmt: skip


class Addresses:
    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_address_format.restype = c_size_t
        library.fs_address_port.restype = c_int32
        self.page = GuardedPage()

    def parse(self, text: bytes) -> tuple[int, bytes] | None:
        room = ctypes.create_string_buffer(16)
        p, n = c_void_p(self.page.put(text)), c_size_t(len(text))
        family = self.library.fs_address_parse(p, n, room)
        assert family in (4, 6, BAD)
        return None if family == BAD else (family, room.raw)

    def node(self, text: bytes, *, strict: bool) -> tuple[str, int] | None:
        room, port = ctypes.create_string_buffer(16), c_uint16(7)
        p, n = c_void_p(self.page.put(text)), c_size_t(len(text))
        family = self.library.fs_address_node(p, n, c_int(strict), room, byref(port))
        return None if family == BAD else (self.format(room.raw), port.value)

    def format(self, address: bytes) -> str:
        room = ctypes.create_string_buffer(40)
        size = self.library.fs_address_format(room, address)
        assert size <= 39
        assert room.raw[size:] == bytes(40 - size)
        return room.raw[:size].decode()

    def port(self, text: bytes) -> int:
        return self.library.fs_address_port(c_void_p(self.page.put(text)), c_size_t(len(text)))

    def holds(self, network: bytes, prefix: int, address: bytes) -> bool:
        p = c_void_p(self.page.put(address))
        return bool(self.library.fs_address_in(p, network, c_uint(prefix)))


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    output = tmp_path_factory.mktemp("address") / "leaf.so"
    compile_c(output, "-O2", "-fPIC", "-shared", SOURCES / "fs_address.c")
    return Addresses(ctypes.CDLL(str(output)))


def mapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def told(text: bytes) -> tuple[int, bytes] | None:
    """What Python's ipaddress makes of it; a zone is none of ours."""
    if b"%" in text:
        return None
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return None
    return address.version, mapped(address)


# Bits of addresses, so that a list of a few is often nearly one.
PIECES = st.lists(
    st.sampled_from([":", "::", ".", "0", "1", "ff", "FFFF", "01", "255", "256", "1.2.3.4", "g",
                     "12345", " ", "%1", "/8", "-"]),
    max_size=17,
).map("".join)  # fmt: skip


@given(text=PIECES)
@example(text="1:2:3:4:5:6:7::")
@example(text="::2:3:4:5:6:7:8")
@example(text="1::2:3:4:5:6:7:8")
@example(text="1:2:3:4:5:6:7:8:9")
@example(text="1:2:3:4:5:6:1.2.3.4")
@example(text="1:2:3:4:5:6:7:1.2.3.4")
@example(text="::1.2.3.4.5")
@example(text="1.2.3.4::")
@example(text=":::")
@example(text="::1:")
@example(text="1::2::3")
def test_text_is_read_as_python_reads_it(addresses: Addresses, text: str) -> None:
    assert addresses.parse(text.encode()) == told(text.encode())


@given(raw=st.binary(min_size=16, max_size=16))
def test_any_address_in_any_of_its_spellings_is_read(addresses: Addresses, raw: bytes) -> None:
    address = ipaddress.IPv6Address(raw)
    tail = f"{address.exploded[:-9]}{ipaddress.IPv4Address(raw[12:])}"
    for text in (str(address), address.exploded, address.exploded.upper(), tail):
        assert addresses.parse(text.encode()) == (6, raw), text


@given(raw=st.lists(st.sampled_from([0, 0, 1, 0x10, 0xABCD]), min_size=8, max_size=8))
def test_text_is_written_as_rfc_5952_says(addresses: Addresses, raw: list[int]) -> None:
    packed = b"".join(group.to_bytes(2, "big") for group in raw)
    assert addresses.format(packed) == str(ipaddress.IPv6Address(packed))


@given(raw=st.binary(min_size=4, max_size=4))
def test_an_ipv4_address_is_written_as_such(addresses: Addresses, raw: bytes) -> None:
    address = ipaddress.IPv4Address(raw)
    assert addresses.format(mapped(address)) == str(address)
    assert addresses.parse(str(address).encode()) == (4, mapped(address))
    assert addresses.parse(f"::ffff:{address}".encode()) == (6, mapped(address))


def test_every_byte_in_every_place_of_an_address(addresses: Addresses) -> None:
    for text in (b"192.0.2.10", b"2001:db8::10", b"::ffff:1.2.3.4"):
        for at in range(len(text)):
            for byte in range(128):
                changed = text[:at] + bytes([byte]) + text[at + 1 :]
                assert addresses.parse(changed) == told(changed), changed
            for byte in range(128, 256):
                assert addresses.parse(text[:at] + bytes([byte]) + text[at + 1 :]) is None
        for n in range(len(text)):
            assert addresses.parse(text[:n]) == told(text[:n])


@given(
    one=st.binary(min_size=16, max_size=16), flips=st.integers(0, 127), prefix=st.integers(0, 128)
)
def test_a_network_is_its_first_bits(
    addresses: Addresses, one: bytes, flips: int, prefix: int
) -> None:
    other = (int.from_bytes(one, "big") ^ (1 << (127 - flips))).to_bytes(16, "big")
    assert addresses.holds(one, prefix, one)
    assert addresses.holds(one, prefix, other) == (flips >= prefix)


def test_every_prefix_of_every_bit(addresses: Addresses) -> None:
    zero = bytes(16)
    for prefix in range(129):
        for bit in range(128):
            other = (1 << (127 - bit)).to_bytes(16, "big")
            assert addresses.holds(zero, prefix, other) == (bit >= prefix)


@pytest.mark.parametrize(("text", "port"), PORTS)
def test_ports(addresses: Addresses, text: bytes, port: int) -> None:
    assert addresses.port(text) == port


@pytest.mark.parametrize("text", NO_PORTS)
def test_what_is_no_port(addresses: Addresses, text: bytes) -> None:
    assert addresses.port(text) == -1


# text, what a list of addresses may say, what RFC 7239 may say
NODES = [
    (b"192.0.2.1", ("192.0.2.1", 0), ("192.0.2.1", 0)),
    (b"192.0.2.1:80", ("192.0.2.1", 80), ("192.0.2.1", 80)),
    (b"[2001:DB8::1]", ("2001:db8::1", 0), ("2001:db8::1", 0)),
    (b"[2001:db8:0::1]:65535", ("2001:db8::1", 65535), ("2001:db8::1", 65535)),
    (b"2001:db8::1", ("2001:db8::1", 0), None),
    (b"[::ffff:192.0.2.1]:1", ("192.0.2.1", 1), ("192.0.2.1", 1)),
    (b"192.0.2.1:_x.-_9", None, ("192.0.2.1", 0)),
    (b"[::1]:_x", None, ("::1", 0)),
    *((each, None, None) for each in (
        b"", b"unknown", b"_x", b"192.0.2.1:", b"192.0.2.1:65536", b"192.0.2.1:080", b":80",
        b"[192.0.2.1]", b"[192.0.2.1]:80", b"[::1", b"::1]", b"[::1]80", b"[::1]:", b"[]", b"[",
        b"[fe80::1%eth0]", b"fe80::1%eth0", b"192.0.2.1:_", b"192.0.2.1:_\xe9", b"192.0.2.1:_ ",
        b"192.0.2.1 ", b" 192.0.2.1", b"192.0.2.01", b"192.0.2", b"3221225985", b"0x7f.0.0.1",
        b"\"::1\"", b"127.1", b"localhost", b"[[::1]]", b"[::1]]:1", b"1.2.3.4:5:6",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("text", "loose", "strict"), NODES)
def test_an_address_with_a_port(
    addresses: Addresses,
    text: bytes,
    loose: tuple[str, int] | None,
    strict: tuple[str, int] | None,
) -> None:
    assert addresses.node(text, strict=False) == loose
    assert addresses.node(text, strict=True) == strict
