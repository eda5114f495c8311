"""The board: what every process of a server tells of itself, in memory that all of them map.

The supervisor makes it and writes the head; each worker writes its own row. Counters are
never set back, so totals only grow; gauges are zeroed when their process has ended. The
memory is a descriptor without a name, so it goes away with the last process that has it.
Reading never fails, whatever a process that died in the middle of writing has left.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import accumulate

from fastserve._native.board import Block, Row, board_size, close_codes, latency_bounds
from fastserve.errors import FastserveError

__all__ = [
    "CAUSES", "Board", "BoardError", "Http2Totals", "Row", "RowState", "Totals", "WebSocketTotals",
]  # fmt: skip

CAUSES = (
    "crash", "ended", "failed", "reload", "upgrade", "requests", "lifetime", "memory", "blocked",
)  # fmt: skip
"""Why a worker was started in place of another."""

_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "aborted")
# In the order of fs_board.h.
_RESETS = ("client", "error", "refused", "stalled")
_ENDS = (
    "reset", "error", "settings", "ping", "empty", "window", "priority", "unknown", "large",
    "slow", "other",
)  # fmt: skip
_PRIVATE_ROWS = 4


class BoardError(FastserveError):
    """There is no board in the memory given, or no free row on it."""


@dataclass(frozen=True)
class RowState:
    """What a row tells of its process."""

    index: int
    slot: int
    """0 is the admin process."""
    pid: int
    phase: str
    """"starting", "serving", "draining", "stopping", "ended"; "" before the first."""
    started: float
    """Wall seconds."""
    due: float
    """When the event loop's next beat is due, in monotonic seconds; 0: no beat yet."""
    lag: float
    """By how many seconds the last beat was late."""
    connections: int
    exchanges: int
    requests: int
    """Since this process began."""
    last_request: str
    """The request line last begun: method and target."""
    memory: int
    """Bytes; 0: unknown."""
    websockets: int
    """Open ones."""


@dataclass(frozen=True)
class WebSocketTotals:
    """Of whole messages, and of their payload as the application sees it (UTF-8 for text)."""

    opened: int
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    closes: dict[str, int]
    """By code; "other": those not counted each for itself."""


@dataclass(frozen=True)
class Http2Totals:
    connections: int
    """Those that spoke HTTP/2."""
    resets: dict[str, int]
    """Of streams, by cause: "client" took it back, "error" of the client, "refused" as one too
    many, "stalled" by a client that took nothing."""
    errors: dict[str, int]
    """Connections ended for what their clients did, by cause: "reset" to "unknown" are the
    budgets of the guard."""


@dataclass(frozen=True)
class Totals:
    """Sums over all processes, those that have ended too."""

    responses: dict[str, int]
    """By class, "1xx" to "5xx"; "aborted": the client left before it had its answer."""
    requests: int
    connections: int
    """Ever made."""
    refused: int
    """Of the connections, those there was no room for."""
    bytes_in: int
    bytes_out: int
    latency_buckets: tuple[tuple[float, int], ...]
    """(upper bound in seconds, responses within it); the last bound is infinite."""
    latency_sum: float
    """Seconds."""
    websockets: WebSocketTotals
    http2: Http2Totals


class Board:
    """A board; made by `create`, `attach` or `private`."""

    def __init__(self, block: Block, fd: int | None) -> None:
        self._block = block
        self.fd = fd

    @classmethod
    def create(cls, rows: int = 1024) -> Board:
        """A new board in shared memory. Raises `BoardError` if there is none to be had.

        Its descriptor is not inheritable over `exec` until somebody sets it so.
        """
        size = board_size(rows)
        try:
            fd = _shared_memory()
            try:
                os.ftruncate(fd, size)
                memory = mmap.mmap(fd, size)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise BoardError(f"no shared memory for the board: {error}") from error
        return cls(Block(memory, rows=rows, started=time.time()), fd)

    @classmethod
    def attach(cls, fd: int) -> Board:
        """The board behind a descriptor, which is the board's from now on.

        Raises `BoardError` if there is none, or one of another layout; `fd` stays open then.
        """
        try:
            return cls(Block(mmap.mmap(fd, 0)), fd)
        except (OSError, ValueError) as error:
            raise BoardError(f"descriptor {fd} cannot be used as a board: {error}") from error

    @classmethod
    def private(cls) -> Board:
        """A new board in memory of this process, with a few rows."""
        memory = mmap.mmap(-1, board_size(_PRIVATE_ROWS))
        return cls(Block(memory, rows=_PRIVATE_ROWS, started=time.time()), None)

    def close(self) -> None:
        """Close the descriptor. The memory stays until the board and its rows are gone."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    # -- rows --------------------------------------------------------------------------

    def row(self, index: int) -> Row:
        """Raises IndexError if there is no such row."""
        return self._block.row(index)

    def take(self, slot: int) -> int:
        """The index of a free row, which is in use from now on. Raises `BoardError`."""
        for index in range(len(self._block)):
            row = self._block.row(index)
            if not row.taken:
                row.take(slot, time.time())
                return index
        raise BoardError(f"all {len(self._block)} rows of the board are in use")

    def give_back(self, index: int) -> None:
        """The process of this row has ended."""
        self._block.row(index).give_back()

    def set_memory(self, index: int, size: int) -> None:
        """Note how many bytes of memory the process of this row takes."""
        self._block.row(index).set_memory(size)

    def rows(self) -> list[RowState]:
        """The rows in use."""
        rows = (self._block.row(index) for index in range(len(self._block)))
        return [RowState(row.index, *row.read()) for row in rows if row.taken]

    def totals(self) -> Totals:
        requests, connections, refused, bytes_in, bytes_out, latency, responses, buckets = (
            self._block.totals()
        )
        return Totals(
            responses=dict(zip(_CLASSES, responses, strict=True)),
            requests=requests,
            connections=connections,
            refused=refused,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            latency_buckets=tuple(zip(latency_bounds(), accumulate(buckets), strict=True)),
            latency_sum=latency,
            websockets=self._websockets(),
            http2=self._http2(),
        )

    def _websockets(self) -> WebSocketTotals:
        opened, messages_in, bytes_in, messages_out, bytes_out, closes = (
            self._block.websocket_totals()
        )
        return WebSocketTotals(
            opened=opened,
            messages_in=messages_in,
            bytes_in=bytes_in,
            messages_out=messages_out,
            bytes_out=bytes_out,
            closes=dict(zip([*map(str, close_codes()), "other"], closes, strict=True)),
        )

    def _http2(self) -> Http2Totals:
        connections, resets, ends = self._block.http2_totals()
        return Http2Totals(
            connections=connections,
            resets=dict(zip(_RESETS, resets, strict=True)),
            errors=dict(zip(_ENDS, ends, strict=True)),
        )

    # -- the head ----------------------------------------------------------------------

    @property
    def started(self) -> float:
        """Wall seconds of the board's making."""
        return self._block.started

    @property
    def phase(self) -> str:
        """The whole server's."""
        return self._block.phase

    def set_phase(self, phase: str) -> None:
        self._block.phase = phase

    @property
    def slots(self) -> int:
        """How many workers are wanted."""
        return self._block.slots

    def set_slots(self, n: int) -> None:
        self._block.slots = n

    def count_restart(self, cause: str) -> None:
        """`cause`: one of `CAUSES`."""
        if cause not in CAUSES:
            raise ValueError(f"there is no cause {cause!r} of a restart")
        self._block.count_restart(CAUSES.index(cause))

    @property
    def restarts(self) -> dict[str, int]:
        """How many restarts each cause has had."""
        return dict(zip(CAUSES, self._block.restarts(), strict=True))


def _shared_memory() -> int:
    """A descriptor of empty memory that can be mapped by several processes."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            return os.memfd_create("fastserve-board")
    with tempfile.TemporaryFile(prefix="fastserve-board-", buffering=0) as file:
        return os.dup(file.fileno())
