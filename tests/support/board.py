"""WebSockets on a board, written as a worker would: what counts them has no way in from Python."""

from __future__ import annotations

import mmap
import struct

from fastserve._native.board import board_size
from fastserve.board import Board

# fs_board_websockets: the last sixteen words of a row.
_WORDS = struct.Struct("16q")


def put_websockets(
    board: Board,
    index: int,
    *,
    now_open: int = 0,
    opened: int = 0,
    received: tuple[int, int] = (0, 0),
    sent: tuple[int, int] = (0, 0),
    closes: tuple[int, ...] = (),
) -> None:
    """Set what row `index` tells. `received`, `sent`: messages and bytes; `closes`: by code."""
    assert board.fd is not None
    head = board_size(0)
    end = head + (index + 1) * (board_size(1) - head)
    words = (now_open, opened, *received, *sent, *closes, *[0] * (10 - len(closes)))
    with mmap.mmap(board.fd, 0) as memory:
        _WORDS.pack_into(memory, end - _WORDS.size, *words)
