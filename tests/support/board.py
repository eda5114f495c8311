"""WebSockets and HTTP/2 on a board, written as a worker would: Python itself counts neither."""

from __future__ import annotations

import mmap
import struct

from fastserve._native.board import board_size
from fastserve.board import Board

# fs_board_websockets and fs_board_http2: the last of a row, of sixteen words each.
_WORDS = struct.Struct("16q")
_WEBSOCKETS, _HTTP2 = 2, 1


def _put(board: Board, index: int, from_end: int, words: tuple[int, ...]) -> None:
    assert board.fd is not None
    head = board_size(0)
    end = head + (index + 1) * (board_size(1) - head)
    with mmap.mmap(board.fd, 0) as memory:
        _WORDS.pack_into(memory, end - from_end * _WORDS.size, *words)


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
    words = (now_open, opened, *received, *sent, *closes, *[0] * (10 - len(closes)))
    _put(board, index, _WEBSOCKETS, words)


def put_http2(
    board: Board,
    index: int,
    *,
    connections: int = 0,
    resets: tuple[int, int, int, int] = (0, 0, 0, 0),
    errors: tuple[int, ...] = (),
) -> None:
    """The same of HTTP/2. `resets`, `errors`: by cause."""
    _put(board, index, _HTTP2, (connections, *resets, *errors, *[0] * (11 - len(errors))))
