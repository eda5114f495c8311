"""FrameParser: UTF-8, Autobahn's family 6. Bad text fails at its first byte that shows it."""

from __future__ import annotations

import pytest
from native.frames import (
    BINARY,
    CONTINUATION,
    PING,
    TEXT,
    bytes_until_error,
    error_of,
    events_of,
    feed,
    frame,
    message,
)

GREEK = "κόσμε".encode()  # 6.3: Markus Kuhn's word
WRONG = GREEK + b"\xed\xa0\x80edited"


def pieces_of(data: bytes, n: int) -> list[bytes]:
    return [data[i : i + n] for i in range(0, len(data), n)]


def as_fragments(data: bytes, n: int) -> bytes:
    return message(TEXT, *pieces_of(data, n))


def test_empty_texts() -> None:  # 6.1
    assert events_of(frame(TEXT)) == [("text", "")]
    assert events_of(message(TEXT, b"", b"", b"")) == [("text", "")]
    assert events_of(message(TEXT, b"", b"in the middle", b"")) == [("text", "in the middle")]


def test_text_cut_between_and_within_characters() -> None:  # 6.2
    text = "Hello-µ@ßöäüàá-UTF-8!!"
    for n in (1, 2, 3, 12):
        assert events_of(as_fragments(text.encode(), n)) == [("text", text)]


def test_bad_text_whole_and_in_fragments() -> None:  # 6.3
    assert error_of(frame(TEXT, WRONG)) == 1007
    assert error_of(as_fragments(WRONG, 1)) == 1007
    assert events_of(frame(BINARY, WRONG)) == [("binary", WRONG)]


@pytest.mark.parametrize("bad", [b"\xf4\x90\x80\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xff"])
@pytest.mark.parametrize("n", [1, 3, 100, 1000])
def test_bad_text_fails_inside_a_frame_not_yet_complete(bad: bytes, n: int) -> None:  # 6.4
    good = "é".encode() * n
    shows = 1 if bad[0] in (0xC0, 0xFF) else 2
    head = len(frame(TEXT, good + bad + b"rest")) - len(good + bad + b"rest")
    stream = frame(TEXT, good + bad + b"rest")
    assert bytes_until_error(stream) == head + len(good) + shows
    first = frame(TEXT, good, fin=False)
    stream = first + frame(CONTINUATION, bad + b"rest", fin=False)
    assert bytes_until_error(stream) == len(first) + 6 + shows


def test_bad_text_in_the_second_of_three_fragments_needs_no_third() -> None:  # 6.4.1, 6.4.2
    for cut in range(len(WRONG) - 5):
        stream = frame(TEXT, WRONG[:cut], fin=False) + frame(CONTINUATION, WRONG[cut:], fin=False)
        assert error_of(stream) == 1007, cut


def test_a_ping_within_a_character_does_not_disturb_it() -> None:
    stream = (
        frame(TEXT, b"\xe2\x82", fin=False) + frame(PING, b"\xff") + frame(CONTINUATION, b"\xac")
    )
    assert events_of(stream) == [("ping", b"\xff"), ("text", "€")]


def test_a_text_that_ends_within_a_character() -> None:  # 6.6
    for n in range(1, len(GREEK) + 1):
        part = GREEK[:n]
        try:
            expected = [("text", part.decode())]
        except UnicodeDecodeError:
            expected = None
        for stream in (frame(TEXT, part), as_fragments(part, 1), message(TEXT, part, b"")):
            if expected:
                assert events_of(stream) == expected
            else:
                assert error_of(stream) == 1007


def test_after_a_text_the_next_begins_anew() -> None:
    stream = as_fragments("aé".encode(), 1) + frame(TEXT, b"\xa9")
    assert events_of(stream)[0] == ("text", "aé")
    assert events_of(stream)[1][:2] == ("error", 1007)


GOOD = [
    *(chr(n) for n in (0x00, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF)),  # 6.7, 6.9
    *(chr(n) for n in (0xD7FF, 0xE000, 0xFFFD)),  # 6.11
    *(chr(page << 16 | low) for page in range(17) for low in (0xFFFE, 0xFFFF)),  # 6.22
    *(chr(n) for n in (0xFDD0, 0xFDEF, 0xFEFF)),  # 6.23
    "a\x00b",  # NUL is a character
]

BAD = {
    "longer forms of old (6.8, 6.10)": [
        b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf",
    ],
    "above U+10FFFF (6.11)": [b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\x80\x80\x80"],
    "continuation bytes alone (6.12)": [
        b"\x80", b"\xbf", *(b"\x80\xbf" * n for n in (1, 2, 3)), bytes(range(0x80, 0xC0)),
    ],
    "first bytes alone (6.13)": [bytes([lead, 0x20]) for lead in range(0xC0, 0x100)],
    "last byte missing (6.14)": [
        b"\xc2", b"\xdf", b"\xe0\xa0", b"\xef\xbf", b"\xf0\x90\x80", b"\xf4\x8f\xbf", b"\xf0\x90",
    ],
    "several incomplete in a row (6.15)": [b"\xc3\xe0\xa0\xf0\x90\x80\xef\xbf\xf3\xbf\xbf"],
    "bytes that are never right (6.16)": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff", b"a\xfe"],
    "overlong (6.17, 6.18)": [
        b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf",
        b"\xfc\x80\x80\x80\x80\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
    ],
    "overlong NUL (6.19)": [
        b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80",
    ],
    "surrogates (6.20)": [
        bytes([0xED, high, low]) for high in (0xA0, 0xAD, 0xAE, 0xAF, 0xB0, 0xBE, 0xBF)
        for low in (0x80, 0xBF)
    ],
    "surrogate pairs (6.21)": [b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"],
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD, ids=ascii)
def test_good_text(text: str) -> None:
    for around in ("", "before and behind it"):
        data = (around + text + around).encode()
        expected = [("text", data.decode())]
        assert feed([frame(TEXT, data)]) == expected
        assert feed(pieces_of(frame(TEXT, data), 1)) == expected
        assert feed([as_fragments(data, 1)]) == expected


@pytest.mark.parametrize("family", BAD)
def test_bad_text(family: str) -> None:
    for bad in BAD[family]:
        for around in (b"", b"before and behind it", "ß".encode() * 9):
            data = around + bad + around
            whole = feed([frame(TEXT, data)])
            assert [event[:2] for event in whole] == [("error", 1007)], bad
            assert feed(pieces_of(frame(TEXT, data), 1)) == whole, bad
            assert feed([as_fragments(data, 1)]) == whole, bad
