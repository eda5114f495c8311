"""fs_mask: every length and phase, in place and apart, against the definition."""

from __future__ import annotations

import ctypes
from ctypes import c_size_t, c_void_p

import pytest
from c.conftest import BUILDS, SOURCES, GuardedPage, compile_c

KEY = bytes([0x12, 0x00, 0xFF, 0x81])
MOST = 200  # past four blocks of sixteen, and the last one


class Mask:
    """The leaf: bytes in, bytes out; input and output end where memory ends."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.source, self.target = GuardedPage(), GuardedPage()

    def unmask(
        self, data: bytes, phase: int, *, ascii_asked: bool = False, in_place: bool = False
    ) -> tuple[bytes, int]:
        source = self.source.put(data)
        target = source if in_place else self.target.put(b"\xa5" * len(data))
        name = "fs_unmask_ascii" if ascii_asked else "fs_unmask"
        answer = getattr(self.library, name)(
            c_void_p(target), c_void_p(source), c_size_t(len(data)), KEY, c_size_t(phase)
        )
        return ctypes.string_at(target, len(data)), answer


@pytest.fixture(params=sorted(BUILDS), scope="module")
def mask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mask:
    """The leaf, once with and once without SIMD."""
    output = tmp_path_factory.mktemp("mask") / f"{request.param}.so"
    flags = BUILDS[request.param]
    compile_c(output, "-O2", "-fPIC", "-shared", *flags, SOURCES / "fs_mask.c")
    return Mask(ctypes.CDLL(str(output)))


def masked(data: bytes, phase: int) -> bytes:
    return bytes(byte ^ KEY[(phase + i) % 4] for i, byte in enumerate(data))


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in-place"])
def test_every_length_at_every_phase(mask: Mask, in_place: bool) -> None:
    data = bytes(i * 37 % 256 for i in range(MOST))
    for phase in (0, 1, 2, 3, 4, 125):
        for n in range(MOST + 1):
            got, _ = mask.unmask(masked(data[:n], phase), phase, in_place=in_place)
            assert got == data[:n], (phase, n)


@pytest.mark.parametrize("in_place", [False, True], ids=["apart", "in-place"])
def test_one_byte_that_is_not_ascii_is_seen_wherever_it_is(mask: Mask, in_place: bool) -> None:
    for n in [*range(40), 64, 65, 79, 80, 81, 127, 128, 129, 150]:
        phase = n % 4
        plain = bytes(i * 5 % 128 for i in range(n))
        asked = mask.unmask(masked(plain, phase), phase, ascii_asked=True, in_place=in_place)
        assert asked == (plain, 1)
        for at in range(n):
            for byte in (0x80, 0xFF):
                data = plain[:at] + bytes([byte]) + plain[at + 1 :]
                got = mask.unmask(masked(data, phase), phase, ascii_asked=True, in_place=in_place)
                assert got == (data, 0), (n, at, byte)


def test_pieces_of_a_payload_give_the_whole(mask: Mask) -> None:
    data = bytes(range(256)) * 2
    payload = masked(data, 0)
    for step in (1, 2, 3, 5, 16, 17, 63, 64, 100):
        parts = [mask.unmask(payload[i : i + step], i)[0] for i in range(0, len(payload), step)]
        assert b"".join(parts) == data, step
