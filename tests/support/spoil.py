"""Input that was cut or spoilt on its way, by seeded dice."""

from __future__ import annotations

import random
from collections.abc import Sequence


def cut(dice: random.Random, data: bytes, cuts: Sequence[int] = (0, 0, 1, 5)) -> list[bytes]:
    """`data` in pieces, cut at one of `cuts` many places; only an empty one has an empty piece."""
    ends = sorted(dice.choices(range(len(data) + 1), k=dice.choice(cuts)))
    return [
        data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True) if a < b or not data
    ]


def spoil(dice: random.Random, data: bytes, spices: Sequence[bytes]) -> bytes:
    """One thing of `data` changed; what is put in is one of `spices`, or random bytes."""
    at, to = sorted((dice.randrange(len(data)), dice.randrange(len(data))))
    way = dice.randrange(5)
    if way == 0:
        return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
    if way == 1:
        return data[:at] + data[to:]
    if way == 2:
        return data[:to] + data[at:]
    if way == 3:
        return data[:at] + dice.choice(spices) + data[at:]
    return data[:at] + dice.randbytes(1 + to - at) + data[to + 1 :]
