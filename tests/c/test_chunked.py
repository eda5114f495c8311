"""fs_chunked: every case whole, at every split, byte by byte and with trailing bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

LAST = b"0\r\n"


def decide(leaves, body, limit=1 << 16):
    """(data, answer, bytes used), after checking that no way to cut the body changes it."""
    whole = leaves.chunked([body], limit)
    for n in range(len(body) + 1):
        assert leaves.chunked([body[:n], body[n:]], limit) == whole, n
    assert leaves.chunked([body[i : i + 1] for i in range(len(body))], limit) == whole
    if whole[1] != "MORE":
        # What is used, and for an error the byte that decides, settles the matter.
        settled = body[: whole[2] + (whole[1] != "LAST")]
        for behind in (b"", b"\x00", b"\r\n", b"5\r\nhello\r\n", b"ff"):
            assert leaves.chunked([settled + behind], limit) == whole, behind
            assert leaves.chunked([settled, behind], limit) == whole, behind
    return whole


GOOD = {
    b"0\r\n": b"",
    b"0000000000000000\r\n": b"",
    b"5\r\nhello\r\n0\r\n": b"hello",
    b"1\r\na\r\n2\r\nbc\r\n0\r\n": b"abc",
    b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n": b"0123456789" * 2,
    b"0000000000000003\r\n\r\n0\r\n0\r\n": b"\r\n0",
    b"1;a\r\nx\r\n0\r\n": b"x",
    b"1;a=b\r\nx\r\n0;c\r\n": b"x",
    b'1;a="b"\r\nx\r\n0\r\n': b"x",
    b'1;a="b;\\"\\\\\t \xff=";c=d\r\nx\r\n0\r\n': b"x",
    b'1;a=""\r\nx\r\n0\r\n': b"x",
    b"1 ; a = b ;\tc\t=\t\"d\" ; e\r\nx\r\n0\r\n": b"x",
    b"1;a;b;c=d\r\nx\r\n0 ;a\r\n": b"x",
}  # fmt: skip


@pytest.mark.parametrize("body", GOOD)
def test_good_bodies_give_their_data_and_end_behind_the_last_chunk_line(leaves, body):
    assert decide(leaves, body) == (GOOD[body], "LAST", len(body))


BAD = {
    # size
    b"\r\n": "CHUNK_BAD_SIZE",
    b" 5\r\n": "CHUNK_BAD_SIZE",
    b"+5\r\n": "CHUNK_BAD_SIZE",
    b"-5\r\n": "CHUNK_BAD_SIZE",
    b"0x5\r\n": "CHUNK_BAD_SIZE",
    b"5_0\r\n": "CHUNK_BAD_SIZE",
    b"g\r\n": "CHUNK_BAD_SIZE",
    b";a\r\n": "CHUNK_BAD_SIZE",
    b"5,6\r\n": "CHUNK_BAD_SIZE",
    b"5\x00\r\n": "CHUNK_BAD_SIZE",
    b"\x00": "CHUNK_BAD_SIZE",
    b"00000000000000005\r\n": "CHUNK_BAD_SIZE",
    b"8000000000000000\r\n": "CHUNK_TOO_BIG",
    b"ffffffffffffffff\r\n": "CHUNK_TOO_BIG",
    b"fffffffffffffffff\r\n": "CHUNK_TOO_BIG",
    # line ends
    b"5\nhello\r\n": "CHUNK_BAD_END",
    b"\n": "CHUNK_BAD_END",
    b"5\rhello\r\n": "CHUNK_BAD_END",
    b"5\r\r\nhello\r\n": "CHUNK_BAD_END",
    b"5;a\n": "CHUNK_BAD_END",
    b'5;a="\n"': "CHUNK_BAD_END",
    b"0\n": "CHUNK_BAD_END",
    b"5\r\nhello\n0\r\n": "CHUNK_BAD_END",
    b"5\r\nhello0\r\n": "CHUNK_BAD_END",
    b"5\r\nhelloo\r\n": "CHUNK_BAD_END",
    b"5\r\nhello\r0\r\n": "CHUNK_BAD_END",
    b"5\r\nhello \r\n": "CHUNK_BAD_END",
    # extensions
    b"5 \r\nhello": "CHUNK_BAD_EXTENSION",
    b"5\t\r\n": "CHUNK_BAD_EXTENSION",
    b"5 5\r\n": "CHUNK_BAD_EXTENSION",
    b"5;\r\n": "CHUNK_BAD_EXTENSION",
    b"5; \r\n": "CHUNK_BAD_EXTENSION",
    b"5;;a\r\n": "CHUNK_BAD_EXTENSION",
    b"5;=a\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a=\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a= \r\n": "CHUNK_BAD_EXTENSION",
    b"5;a \r\n": "CHUNK_BAD_EXTENSION",
    b"5;a b\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a=b \r\n": "CHUNK_BAD_EXTENSION",
    b"5;a=b c\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a=b=c\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a==b\r\n": "CHUNK_BAD_EXTENSION",
    b'5;a="b\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="b\\\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="b"c\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="b" \r\n': "CHUNK_BAD_EXTENSION",
    b'5;a=b"c"\r\n': "CHUNK_BAD_EXTENSION",
    b'5;"a"\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="\x00"\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="\\\x00"\r\n': "CHUNK_BAD_EXTENSION",
    b'5;a="\x7f"\r\n': "CHUNK_BAD_EXTENSION",
    b"5;a\x00\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a\xff\r\n": "CHUNK_BAD_EXTENSION",
    b"5;a(\r\n": "CHUNK_BAD_EXTENSION",
}


@pytest.mark.parametrize("body", BAD)
def test_bad_bodies_are_refused_for_their_first_offence(leaves, body):
    assert decide(leaves, body)[1] == BAD[body]
    # The same as a second chunk: what came before has been handed out.
    data, answer, _ = decide(leaves, b"3\r\nabc\r\n" + body)
    assert data.startswith(b"abc")
    assert answer == BAD[body]


@pytest.mark.parametrize("size", [1, 15, 16, 255, 2**31, 2**32, 2**60 - 1, 2**63 - 1])
def test_sizes_up_to_63_bits(leaves, size):
    for text in (b"%x" % size, b"%X" % size, b"%016x" % size):
        data, answer, used = decide(leaves, text + b"\r\n" + b"d")
        assert data == b"d"
        assert answer == "MORE"
        assert used == len(text) + 3


def test_extension_limit_counts_the_whole_body(leaves):
    body = b"1;abc\r\nx\r\n1;de\r\ny\r\n0;f\r\n"
    extensions = 4 + 3 + 2
    assert decide(leaves, body, extensions) == (b"xy", "LAST", len(body))
    for limit in range(extensions):
        assert decide(leaves, body, limit)[1] == "CHUNK_BAD_EXTENSION", limit
    # Decided by the first byte over the limit; line ends are not counted.
    assert decide(leaves, b"1;ab", 2) == (b"", "CHUNK_BAD_EXTENSION", 3)
    assert decide(leaves, b"1;ab\n", 3)[1] == "CHUNK_BAD_END"
    assert decide(leaves, b"5\r\nhello\r\n0\r\n", 0)[1] == "LAST"


def test_each_byte_behind_the_size(leaves):
    for byte in range(256):
        raw = bytes([byte])
        answer = decide(leaves, b"1" + raw)[1]
        if raw in b"0123456789abcdefABCDEF; \t\r":
            assert answer == "MORE"
        else:
            assert answer == ("CHUNK_BAD_END" if raw == b"\n" else "CHUNK_BAD_SIZE")


def test_chunk_heads_are_written_in_lower_case_hex(leaves):
    sizes = {1, 9, 10, 15, 16, 255, 256, 65535, 2**63 - 1, 2**64 - 1}
    sizes |= {16**power + step for power in range(1, 16) for step in (-1, 0, 1)}
    for size in sizes:
        assert leaves.write_chunk_head(size) == b"%x\r\n" % size


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_what_is_written_is_read_back(libraries, chunks):
    for build in libraries.values():
        body = b"".join(build.write_chunk_head(len(c)) + c + b"\r\n" for c in chunks) + LAST
        assert decide(build, body) == (b"".join(chunks), "LAST", len(body))


PIECES = st.sampled_from(
    [b"0", b"5", b"a", b"\r\n", b"\r", b"\n", b";", b"=", b" ", b'"', b"\\", b"tok", b"\x00",
     b"5\r\nhello\r\n", b"\xff"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map(b"".join), st.integers(0, 12))
def test_any_bytes_decide_alike_however_cut_and_in_both_builds(libraries, body, limit):
    answers = [decide(build, body, limit) for build in libraries.values()]
    assert answers[0] == answers[1]
