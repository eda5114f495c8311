"""The board: shared over processes, readable whatever is in it, counters that never go back."""

from __future__ import annotations

import math
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from support.board import put_http2, put_websockets

from fastserve._native.board import Block, board_size
from fastserve.board import CAUSES, Board, BoardError, Http2Totals, Row, WebSocketTotals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are passed on")


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(rows=8)
    yield made
    made.close()


def test_a_new_board_is_empty(board: Board) -> None:
    before = time.time()
    totals = board.totals()
    assert board.rows() == []
    assert totals.responses == dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx", "aborted"), 0)
    assert (totals.requests, totals.connections, totals.bytes_in, totals.bytes_out) == (0, 0, 0, 0)
    assert totals.latency_buckets[0] == (0.0005, 0)
    assert totals.latency_buckets[-1] == (math.inf, 0)
    assert before - 60 < board.started <= before
    assert (board.phase, board.slots) == ("", 0)
    assert board.restarts == dict.fromkeys(CAUSES, 0)


def test_the_head_tells_phase_slots_and_restarts(board: Board) -> None:
    board.set_phase("serving")
    board.set_slots(3)
    board.count_restart("reload")
    board.count_restart("reload")
    board.count_restart("blocked")
    assert (board.phase, board.slots) == ("serving", 3)
    assert board.restarts == dict.fromkeys(CAUSES, 0) | {"reload": 2, "blocked": 1}
    with pytest.raises(ValueError, match="no phase 'flying'"):
        board.set_phase("flying")
    with pytest.raises(ValueError, match="boredom"):
        board.count_restart("boredom")


def test_a_row_tells_of_its_process(board: Board) -> None:
    index = board.take(slot=2)
    row = board.row(index)
    row.set_pid(4711)
    row.set_phase("serving")
    board.set_memory(index, 1 << 20)
    (state,) = board.rows()
    assert (state.index, state.slot, state.pid, state.phase) == (index, 2, 4711, "serving")
    assert time.time() - 60 < state.started <= time.time()
    assert (state.due, state.lag, state.last_request, state.memory) == (0, 0, "", 1 << 20)


def test_a_beat_says_when_the_next_is_due_and_how_late_it_came(board: Board) -> None:
    row = board.row(board.take(slot=1))
    row.beat(3600)
    state = board.rows()[0]
    assert state.lag == 0
    assert 3590 < state.due - time.monotonic() <= 3600
    row.beat(0)  # long before it is due
    assert board.rows()[0].lag == 0
    due = board.rows()[0].due
    while time.monotonic() <= due:
        pass
    row.beat(0.5)
    assert board.rows()[0].lag > 0


def test_rows_are_taken_and_given_back(board: Board) -> None:
    taken = [board.take(slot=1) for _ in range(8)]
    assert sorted(taken) == list(range(8))
    with pytest.raises(BoardError, match="all 8 rows"):
        board.take(slot=1)
    row = board.row(taken[3])
    row.set_pid(99)
    row.beat(1)
    board.give_back(taken[3])
    assert taken[3] not in [state.index for state in board.rows()]
    assert board.take(slot=5) == taken[3]
    (state,) = [state for state in board.rows() if state.index == taken[3]]
    assert (state.slot, state.pid, state.phase, state.due) == (5, 0, "", 0)


def test_there_is_no_row_beyond_the_last(board: Board) -> None:
    for index in (-1, 8):
        with pytest.raises(IndexError):
            board.row(index)


CODES = ("1000", "1001", "1002", "1005", "1006", "1007", "1009", "1011", "1012", "other")


def test_websockets_of_all_processes_are_summed(board: Board) -> None:
    assert board.totals().websockets == WebSocketTotals(0, 0, 0, 0, 0, dict.fromkeys(CODES, 0))
    first, second, ended = (board.take(slot=slot) for slot in (1, 2, 3))
    put_websockets(board, first, now_open=2, opened=57, received=(3, 30), sent=(4, 400),
                   closes=tuple(range(1, 11)))  # fmt: skip
    put_websockets(board, second, now_open=1, opened=1, received=(1, 2), sent=(3, 4))
    put_websockets(board, ended, now_open=5, opened=10, closes=(5,))
    board.give_back(ended)
    assert [state.websockets for state in board.rows()] == [2, 1]
    assert board.totals().websockets == WebSocketTotals(
        opened=68, messages_in=4, bytes_in=32, messages_out=7, bytes_out=404,
        closes=dict(zip(CODES, range(1, 11), strict=True)) | {"1000": 6},
    )  # fmt: skip
    assert board.take(slot=4) == ended
    assert [state.websockets for state in board.rows()] == [2, 1, 0]


RESETS = ("client", "error", "refused", "stalled")
ERRORS = (
    "reset", "error", "settings", "ping", "empty", "window", "priority", "unknown", "large",
    "slow", "other",
)  # fmt: skip


def test_http2_of_all_processes_is_summed(board: Board) -> None:
    assert board.totals().http2 == Http2Totals(
        0, dict.fromkeys(RESETS, 0), dict.fromkeys(ERRORS, 0)
    )
    first, ended = board.take(slot=1), board.take(slot=2)
    put_http2(board, first, connections=4, resets=(1, 2, 3, 4), errors=tuple(range(11)))
    put_http2(board, ended, connections=3, resets=(5, 0, 0, 1), errors=(7,))
    board.give_back(ended)
    assert board.take(slot=3) == ended
    assert board.totals().http2 == Http2Totals(
        connections=7,
        resets={"client": 6, "error": 2, "refused": 3, "stalled": 5},
        errors=dict(zip(ERRORS, range(11), strict=True)) | {"reset": 7},
    )


def test_another_mapping_of_the_same_memory_sees_the_same(board: Board) -> None:
    assert board.fd is not None
    board.set_phase("serving")
    other = Board.attach(os.dup(board.fd))
    index = other.take(slot=1)
    other.row(index).set_pid(7)
    assert other.phase == "serving"
    assert [state.pid for state in board.rows()] == [7]
    other.close()


def test_rows_outlive_the_board_object() -> None:
    made = Board.create(rows=1)
    row = made.row(0)
    made.close()
    del made
    row.set_pid(12)
    assert row.read()[1] == 12


def child_exit(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_a_forked_process_wrote_outlives_its_kill(board: Board) -> None:
    index = board.take(slot=1)
    pid = os.fork()
    if pid == 0:
        try:
            board.row(index).set_pid(os.getpid())
            board.row(index).beat(1)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert child_exit(pid) == -signal.SIGKILL
    (state,) = board.rows()
    assert state.pid == pid
    assert state.due > 0


def test_an_executed_process_attaches_by_descriptor(board: Board) -> None:
    assert board.fd is not None
    index = board.take(slot=1)
    code = (
        "import os, sys; from fastserve.board import Board; "
        "Board.attach(int(sys.argv[1])).row(int(sys.argv[2])).set_pid(os.getpid())"
    )
    command = [sys.executable, "-c", code, str(board.fd), str(index)]
    child = subprocess.Popen(command, pass_fds=[board.fd])
    assert child.wait(60) == 0
    assert [state.pid for state in board.rows()] == [child.pid]


def test_a_descriptor_is_inheritable_only_on_request(board: Board) -> None:
    assert board.fd is not None
    assert not os.get_inheritable(board.fd)


def forbidden(*_: object) -> int:
    raise PermissionError("not here")


@pytest.mark.parametrize("lack", ["missing", "forbidden"])
def test_without_memfd_an_unlinked_file_is_used(lack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if lack == "missing":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    else:
        monkeypatch.setattr(os, "memfd_create", forbidden, raising=False)
    made = Board.create(rows=2)
    assert made.fd is not None
    assert os.fstat(made.fd).st_nlink == 0
    other = Board.attach(os.dup(made.fd))
    other.set_phase("stopping")
    assert made.phase == "stopping"
    other.close()
    made.close()


def test_no_memory_for_a_board_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "ftruncate", forbidden)
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(BoardError, match="no shared memory for the board: not here"):
        Board.create()
    assert set(os.listdir("/dev/fd")) == before


def test_a_private_board_has_no_descriptor() -> None:
    made = Board.private()
    assert made.fd is None
    assert made.take(slot=1) == 0
    assert made.take(slot=0) == 1
    made.close()


def other_layout(fd: int) -> None:
    os.pwrite(fd, b"\xff", 8)


def no_magic(fd: int) -> None:
    os.pwrite(fd, bytes(8), 0)


def too_short(fd: int) -> None:
    os.ftruncate(fd, board_size(7))


def empty(fd: int) -> None:
    os.ftruncate(fd, 0)


@pytest.mark.parametrize("spoil", [other_layout, no_magic, too_short, empty])
def test_memory_of_another_layout_is_refused(spoil: Callable[[int], None]) -> None:
    made = Board.create(rows=8)
    assert made.fd is not None
    spoil(made.fd)
    with pytest.raises(BoardError, match=f"descriptor {made.fd} cannot be used as a board"):
        Board.attach(made.fd)
    os.fstat(made.fd)  # still the caller's
    made.close()


def test_a_closed_descriptor_is_refused() -> None:
    fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    with pytest.raises(BoardError):
        Board.attach(fd)


def test_reading_never_fails_whatever_is_in_the_rows() -> None:
    dice = random.Random(1)
    memory = mmap.mmap(-1, board_size(4))
    block = Block(memory, rows=4, started=1.0)
    head = board_size(0)
    board = Board(block, None)
    for _ in range(300):
        memory[head:] = dice.choice(
            (dice.randbytes(len(memory) - head), b"\xff" * (len(memory) - head))
        )
        for state in board.rows():
            assert state.last_request.isprintable()
            assert min(state.connections, state.exchanges, state.requests, state.pid) >= 0
            assert state.websockets >= 0
            assert state.phase in ("", "unknown") or state.phase.isalpha()
        totals = board.totals()
        assert min(totals.responses.values()) >= 0
        assert min(totals.requests, totals.bytes_in, totals.latency_sum) >= 0
        assert min(totals.websockets.opened, *totals.websockets.closes.values()) >= 0
        assert min(*totals.http2.resets.values(), *totals.http2.errors.values()) >= 0
        counts = [count for _, count in totals.latency_buckets]
        assert counts == sorted(counts)


def test_a_row_of_no_board_counts_for_itself() -> None:
    row = Row()
    assert row.index == -1
    row.set_phase("draining")
    assert row.read()[2] == "draining"


def test_the_memory_of_a_block_has_to_be_writable_and_large_enough() -> None:
    with pytest.raises(BufferError):
        Block(bytes(board_size(1)), rows=1)
    with pytest.raises(ValueError, match="too small"):
        Block(bytearray(board_size(1)), rows=2)
    with pytest.raises(ValueError, match="no board"):
        Block(bytearray(1))
