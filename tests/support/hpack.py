"""Field blocks spelled out by hand, and a plain model of the code of their strings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

Pair = tuple[bytes, bytes]


def tables() -> ModuleType:
    """tools/hpack_tables.py, for what it has of the RFC."""
    path = Path(__file__).parents[2] / "tools" / "hpack_tables.py"
    spec = importlib.util.spec_from_file_location("hpack_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = tables()
CODES = TABLES.canonical(TABLES.LENGTHS)
SYMBOLS = {code: symbol for symbol, code in enumerate(CODES)}
EOS = 256
STATIC: list[Pair] = [(name.encode(), value.encode()) for name, value in TABLES.STATIC]

# Appendix C.6: the blocks of three responses, table 256; C.5 has the same fields.
C6 = (
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f"
    "0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df"
    "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
)
_FOUND, _KEPT, _OK = (b":status", b"302"), (b":status", b"307"), (b":status", b"200")
_PRIVATE = (b"cache-control", b"private")
_DATE, _LATER = ((b"date", b"Mon, 21 Oct 2013 20:13:2%d GMT" % second) for second in (1, 2))
_WHERE, _GZIP = (b"location", b"https://www.example.com"), (b"content-encoding", b"gzip")
_COOKIE = (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
# What they decode to, and the dynamic table after each.
RESPONSES: list[tuple[list[Pair], list[Pair]]] = [
    ([_FOUND, _PRIVATE, _DATE, _WHERE], [_WHERE, _DATE, _PRIVATE, _FOUND]),
    ([_KEPT, _PRIVATE, _DATE, _WHERE], [_KEPT, _WHERE, _DATE, _PRIVATE]),
    ([_OK, _PRIVATE, _LATER, _WHERE, _GZIP, _COOKIE], [_COOKIE, _GZIP, _LATER]),
]


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """Section 5.1; `first` has the bits before the prefix."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    found = [first | most]
    value -= most
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def bits_of(symbols: list[int]) -> str:
    return "".join(f"{code:0{bits}b}" for code, bits in (CODES[symbol] for symbol in symbols))


def packed(bits: str, padding: str = "1") -> bytes:
    """Bits as bytes, the last one filled up."""
    bits += padding * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:] if bits else b""


def huffman(text: bytes) -> bytes:
    return packed(bits_of(list(text)))


def read_huffman(data: bytes) -> bytes | None:
    """The text, bit by bit, or None for what section 5.2 does not allow."""
    text, code, bits = bytearray(), 0, 0
    for at in range(len(data) * 8):
        code = code << 1 | data[at >> 3] >> (7 - (at & 7)) & 1
        bits += 1
        symbol = SYMBOLS.get((code, bits))
        if symbol == EOS:
            return None
        if symbol is not None:
            text.append(symbol)
            code = bits = 0
    if bits > 7 or code != (1 << bits) - 1:
        return None
    return bytes(text)


def string(text: bytes, *, coded: bool = False) -> bytes:
    """Section 5.2."""
    data = huffman(text) if coded else text
    return integer(len(data), 7, 0x80 if coded else 0) + data


def indexed(index: int) -> bytes:
    """Section 6.1."""
    return integer(index, 7, 0x80)


def literal(name: bytes | int, value: bytes, kind: str = "index", *, coded: bool = False) -> bytes:
    """Section 6.2; a name may be an index."""
    prefix, first = {"index": (6, 0x40), "plain": (4, 0), "never": (4, 0x10)}[kind]
    if isinstance(name, int):
        return integer(name, prefix, first) + string(value, coded=coded)
    return integer(0, prefix, first) + string(name, coded=coded) + string(value, coded=coded)


def size_update(size: int) -> bytes:
    """Section 6.3."""
    return integer(size, 5, 0x20)


def counted(pairs: list[Pair]) -> int:
    """Their size, section 4.1."""
    return sum(len(name) + len(value) + 32 for name, value in pairs)
