"""fs_proxy: headers of both versions, byte by byte; garbage; every code of version 2."""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from ctypes import Structure, byref, c_int32, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p
from ipaddress import ip_address
from pathlib import Path

import pytest
from c.conftest import HERE, SOURCES, GuardedPage, compile_c
from c.test_address import mapped, told
from support.proxies import SIGNATURE, extension, header

MOST = 4096
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
NOTHING = (0, "", 0, "", 0, b"")


class Facts(Structure):
    _fields_ = [
        ("kind", c_uint8), ("client", c_uint8 * 16), ("server", c_uint8 * 16),
        ("client_port", c_uint16), ("server_port", c_uint16),
        ("path_off", c_uint32), ("path_len", c_uint32),
    ]  # fmt: skip


class Proxy:
    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fs_proxy_parse.restype = c_int32
        self.page = GuardedPage()
        text = (SOURCES / "fs_proxy.h").read_text()
        self.names = {int(n): name for name, n in re.findall(r"FS_PROXY_([A-Z]+) = (-\d+)", text)}

    def read(self, data: bytes, most: int = MOST):
        """(kind, client, port, server, port, path, bytes used), "MORE" or an error's name."""
        facts = Facts()
        got = self.library.fs_proxy_parse(
            c_void_p(self.page.put(data)), c_size_t(len(data)), c_size_t(most), byref(facts)
        )
        if got <= 0:
            return self.names[got] if got < 0 else "MORE"
        assert got <= len(data)
        path = data[facts.path_off : facts.path_off + facts.path_len]
        if facts.kind != 1:
            assert not any([*facts.client, *facts.server])
            return facts.kind, "", facts.client_port, "", facts.server_port, path, got
        client, server = bytes(facts.client), bytes(facts.server)
        return (facts.kind, client, facts.client_port, server, facts.server_port, path, got)

    def decide(self, data: bytes, most: int = MOST):
        """The answer, and the bytes it took; more bytes behind never change it."""
        for n in range(len(data) + 1):
            got = self.read(data[:n], most)
            if got != "MORE":
                for behind in (data[n:], b"\x00", b"\r\n" * 80):
                    assert self.read(data[:n] + behind, most) == got
                return got, n
        return "MORE", len(data)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Proxy:
    output = tmp_path_factory.mktemp("proxy") / "leaf.so"
    compile_c(output, "-O2", "-fPIC", "-shared", SOURCES / "fs_proxy.c", SOURCES / "fs_address.c")
    return Proxy(ctypes.CDLL(str(output)))


def inet(client: str, client_port: int, server: str, server_port: int):
    return (1, mapped(ip_address(client)), client_port, mapped(ip_address(server)), server_port,
            b"")  # fmt: skip


LONGEST = b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n"
GOOD_LINES = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\n", inet("192.0.2.1", 5555, "192.0.2.2", 80)),
    (b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
     inet("255.255.255.255", 65535, "0.0.0.0", 0)),
    (b"PROXY TCP6 2001:db8::1 ::1 5555 443\r\n", inet("2001:db8::1", 5555, "::1", 443)),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", inet("192.0.2.1", 1, "::1", 2)),
    (LONGEST, inet("ffff:" * 7 + "ffff", 65535, "ffff:" * 7 + "ffff", 65535)),
    (b"PROXY UNKNOWN\r\n", NOTHING),
    (b"PROXY UNKNOWN \r\n", NOTHING),
    (b"PROXY UNKNOWN ffff::1 and whatever 1\r\n", NOTHING),
    (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), GOOD_LINES)
def test_a_line_of_version_1(proxy: Proxy, line: bytes, expected: tuple) -> None:
    assert proxy.decide(line) == ((*expected, len(line)), len(line))


BAD_LINES = [
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80\r\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80 \r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 80 1\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555 \r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2\r\n",
    b"PROXY TCP4 192.0.2.1\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 \r\n",
    b"PROXY \r\n",
    b"PROXY\r\n",
    b"PROXY  TCP4 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP4  192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 5555  80\r\n",
    b"PROXY\tTCP4 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP4 192.0.2.1\t192.0.2.2 5555 80\r\n",
    b"proxy TCP4 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY tcp4 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP5 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY UDP4 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY unknown\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN\x00\r\n",
    b"PROXY UNKNOWN \x80\r\n",
    b"PROXY TCP4 ::1 ::1 5555 80\r\n",
    b"PROXY TCP6 192.0.2.1 192.0.2.2 5555 80\r\n",
    b"PROXY TCP6 fe80::1%1 ::1 5555 80\r\n",
    b"PROXY TCP6 [::1] [::1] 5555 80\r\n",
    b"PROXY TCP4 192.0.2.01 192.0.2.2 5555 80\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 05555 80\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 80\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    LONGEST[:-2] + b" \r\n",
    b"PROXY " + b"x" * 200,
    b"GET / HTTP/1.1\r\n\r\n",
    b"\n",
    b" PROXY UNKNOWN\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_what_is_no_line_of_version_1(proxy: Proxy, line: bytes) -> None:
    got, taken = proxy.decide(line)
    assert got == "BAD"
    assert taken <= 107


def test_another_protocol_shows_at_its_first_byte(proxy: Proxy) -> None:
    for byte in range(256):
        got = proxy.read(bytes([byte]))
        assert got == ("MORE" if byte in b"P\r" else "BAD")


def test_every_byte_in_every_place_of_a_line_is_read_or_refused(proxy: Proxy) -> None:
    line = b"PROXY TCP4 192.0.2.10 192.0.2.2 55 80\r\n"
    for at in range(len(line)):
        for byte in range(256):
            changed = line[:at] + bytes([byte]) + line[at + 1 :]
            got = proxy.decide(changed)[0]
            assert (got not in ("BAD", "MORE")) == is_line(changed), changed


def is_line(data: bytes) -> bool:
    """Whether it is a line with IPv4 addresses."""
    match = re.fullmatch(rb"PROXY TCP4 ([\d.]+) ([\d.]+) (0|[1-9]\d*) (0|[1-9]\d*)\r\n", data)
    if match is None or max(int(match[3]), int(match[4])) > 65535:
        return False
    return told(match[1]) is not None and told(match[2]) is not None


GOOD_BLOCKS = [
    (header("192.0.2.1", 5555, "192.0.2.2", 80), inet("192.0.2.1", 5555, "192.0.2.2", 80)),
    (header("2001:db8::1", 5555, "::1", 443), inet("2001:db8::1", 5555, "::1", 443)),
    (header("192.0.2.1", 1, "192.0.2.2", 2, transport=2), inet("192.0.2.1", 1, "192.0.2.2", 2)),
    (header("192.0.2.1", 1, "192.0.2.2", 2, more=extension(1, b"h2") + extension(0xEA, b"")),
     inet("192.0.2.1", 1, "192.0.2.2", 2)),
    (header(command=0), NOTHING),
    (header(command=0, family=0xFF, more=b"whatever it is"), NOTHING),
    (header(command=0, family=0x11, more=b""), NOTHING),
    (header(family=0), NOTHING),
    (header(family=0, more=b"ignored"), NOTHING),
    (header(family=0x31, more=b"/run/c".ljust(108, b"\0") + b"/run/s".ljust(108, b"\0")),
     (2, "", 0, "", 0, b"/run/s")),
    (header(family=0x31, more=bytes(108) + b"s" * 108), (2, "", 0, "", 0, b"s" * 108)),
    (header(family=0x32, more=bytes(216) + extension(4, b"..")), (2, "", 0, "", 0, b"")),
]  # fmt: skip


@pytest.mark.parametrize(("block", "expected"), GOOD_BLOCKS)
def test_a_header_of_version_2(proxy: Proxy, block: bytes, expected: tuple) -> None:
    assert proxy.decide(block) == ((*expected, len(block)), len(block))


def test_every_byte_of_the_signature_counts(proxy: Proxy) -> None:
    block = header("192.0.2.1", 1, "192.0.2.2", 2)
    for at, right in enumerate(SIGNATURE):
        for byte in set(range(256)) - {right}:
            got = proxy.decide(block[:at] + bytes([byte]) + block[at + 1 :])
            # A first byte of "P" could begin a line.
            assert got == ("BAD", at + 2 if (at, byte) == (0, 80) else at + 1)


def test_every_command_and_version(proxy: Proxy) -> None:
    for byte in set(range(256)) - {0x20, 0x21}:
        assert proxy.decide(SIGNATURE + bytes([byte])) == ("BAD", 13)


def test_every_family_and_transport(proxy: Proxy) -> None:
    known = {0, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32}
    for byte in range(256):
        got = proxy.decide(SIGNATURE + bytes([0x21, byte]))
        assert got == (("MORE", 14) if byte in known else ("BAD", 14))


@pytest.mark.parametrize(("family", "size"), [(0x11, 12), (0x21, 36), (0x31, 216)])
def test_a_header_too_short_for_its_addresses(proxy: Proxy, family: int, size: int) -> None:
    for length in range(size):
        block = SIGNATURE + struct.pack(">BBH", 0x21, family, length) + bytes(length)
        assert proxy.decide(block) == ("BAD", 16)


def test_extensions_that_do_not_end_with_the_header(proxy: Proxy) -> None:
    whole = extension(1, b"h2") + extension(4, b"padding")
    for n in range(len(whole)):
        block = header("192.0.2.1", 1, "192.0.2.2", 2, more=whole[:n])
        got = proxy.decide(block)
        fits = n in (0, 5)
        assert (got[0] != "BAD") == fits
        assert got[1] == len(block)


def test_a_header_longer_than_the_limit_shows_at_its_length(proxy: Proxy) -> None:
    block = header("192.0.2.1", 1, "192.0.2.2", 2, more=extension(4, bytes(100)))
    assert proxy.decide(block, len(block))[1] == len(block)
    assert proxy.decide(block, len(block) - 1) == ("LONG", 16)
    assert proxy.decide(SIGNATURE + b"\x20\x00\xff\xff") == ("LONG", 16)


def test_garbage_under_the_sanitizers(tmp_path: Path) -> None:
    sources = [SOURCES / f"{leaf}.c" for leaf in ("fs_proxy", "fs_address")]
    program = compile_c(tmp_path / "torment", *SANITIZED, HERE / "proxy_torment.c", *sources)
    done = subprocess.run(
        [program, "0.8", "20"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000
