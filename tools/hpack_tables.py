"""Makes ext/c/fs_hpack_tables.h of what RFC 7541 says in its appendices A and B.

python tools/hpack_tables.py           # writes the header
python tools/hpack_tables.py --check   # fails if that would change it

The code of appendix B is canonical: codes of one length follow each other in the order of their
symbols, and begin where the shorter ones end. So the lengths say all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

HEADER = Path(__file__).parents[1] / "ext" / "c" / "fs_hpack_tables.h"
EOS = 256
LONGEST = 30
QUICK = 10  # bits that the first look at a code takes

# Bits of the code of each symbol: the 256 bytes and, last, EOS.
BITS = """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30
"""
LENGTHS = [int(bits) for bits in BITS.split()]

PAIRS = """\
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""
STATIC = [line.partition(" ")[::2] for line in PAIRS.splitlines()]

Code = tuple[int, int]  # its bits, and how many


def canonical(lengths: list[int]) -> list[Code]:
    """The code of each symbol."""
    codes: list[Code] = [(0, 0)] * len(lengths)
    code = last = 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(lengths)):
        code <<= bits - last
        codes[symbol] = (code, bits)
        code, last = code + 1, bits
    assert code == 1 << last, "the code has no gap"
    return codes


def quick(codes: list[Code]) -> list[int]:
    """By the next QUICK bits, inverted: a symbol << 8 | bits of its code; 0: the code is longer."""
    table = [0] * (1 << QUICK)
    for symbol, (code, bits) in enumerate(codes):
        if bits <= QUICK:
            begin = code << (QUICK - bits)
            for i in range(begin, begin + (1 << (QUICK - bits))):
                table[~i] = symbol << 8 | bits
    return table


def long_codes(codes: list[Code]) -> tuple[list[int], list[tuple[int, int, int, int]]]:
    """The symbols whose codes are longer than QUICK, and for each length, in order: where its
    codes end, at the left of 32 bits (0: at their end), its first code, the place of that code's
    symbol, its bits."""
    ordered = sorted((bits, symbol) for symbol, (_, bits) in enumerate(codes) if bits > QUICK)
    symbols = [symbol for _, symbol in ordered]
    rows = []
    for bits in sorted({bits for bits, _ in ordered}):
        own = [symbol for each, symbol in ordered if each == bits]
        end = (codes[own[-1]][0] + 1) << (32 - bits)
        rows.append((end & 0xFFFFFFFF, codes[own[0]][0], symbols.index(own[0]), bits))
    return symbols, rows


def filled(items: Iterable[str]) -> str:
    """The items as the lines of a C initialiser."""
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) > 97:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([*lines, line])


def made() -> str:
    """The header."""
    codes = canonical(LENGTHS)
    symbols, rows = long_codes(codes)
    static = (f'{{"{name}", "{value}", {len(name)}, {len(value)}}}' for name, value in STATIC)
    return f"""\
/* Made by tools/hpack_tables.py of RFC 7541, appendices A and B; never edited. */
#ifndef FS_HPACK_TABLES_H
#define FS_HPACK_TABLES_H

#include "fs_hpack.h"

enum {{ FS_HUFFMAN_QUICK = {QUICK}, FS_HUFFMAN_EOS = {EOS}, FS_HUFFMAN_LONGEST = {LONGEST} }};

/* The code of each byte. */
static const struct {{ uint32_t code; uint8_t bits; }} fs_huffman_codes[256] = {{
{filled(f"{{0x{code:x}, {bits}}}" for code, bits in codes[:EOS])}
}};

/* By the next FS_HUFFMAN_QUICK bits, inverted: a byte << 8 | bits of its code; 0: the code is
 * longer. */
static const uint16_t fs_huffman_quick[1 << FS_HUFFMAN_QUICK] = {{
{filled(str(entry) for entry in quick(codes))}
}};

/* The longer codes, a row for each length: where they end, at the left of 32 bits (0: at their
 * end), the first one, the place of its symbol in fs_huffman_symbols, bits. */
static const struct {{ uint32_t end, first; uint8_t place, bits; }} fs_huffman_long[] = {{
{filled(f"{{0x{end:x}, 0x{first:x}, {place}, {bits}}}" for end, first, place, bits in rows)}
}};

static const uint16_t fs_huffman_symbols[] = {{
{filled(map(str, symbols))}
}};

/* Index 1 comes first. */
static const fs_hpack_pair fs_hpack_static[FS_HPACK_STATIC] = {{
{filled(static)}
}};

#endif
"""


def main(arguments: list[str]) -> int:
    text = made()
    if "--check" not in arguments:
        HEADER.write_text(text)
    elif HEADER.read_text() != text:
        print(f"{HEADER.name}: run python tools/hpack_tables.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
