"""The board: counters and states of all processes of a server in one block of memory.

`ext/c/fs_board.h` has the layout and who writes what. Nothing here trusts what it reads:
a row may be half written by a process that has died, so counts below zero are shown as
zero, unknown phases as "unknown" and texts as printable ASCII.
"""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import time

from .leaves cimport (FS_BOARD_BUCKETS, FS_BOARD_CAUSES, FS_BOARD_CLASSES, FS_BOARD_CLOSES,
                      FS_BOARD_ENDS, FS_BOARD_RESETS, FS_BOARD_TEXT, fs_board_bounds,
                      fs_board_check, fs_board_clear, fs_board_close_codes, fs_board_count,
                      fs_board_format, fs_board_get, fs_board_h2_sum, fs_board_head, fs_board_http2,
                      fs_board_row, fs_board_row_at, fs_board_set, fs_board_size, fs_board_sum,
                      fs_board_text, fs_board_websockets, fs_board_ws_now_open, fs_board_ws_sum)

cdef enum:
    CACHE_LINE = 64

cdef tuple _PHASES = ("", "starting", "serving", "draining", "stopping", "ended")


def board_size(int64_t rows):
    """Bytes of memory that a board of so many rows takes."""
    if not 0 <= rows <= 1 << 20:
        raise ValueError(f"a board has 0 to {1 << 20} rows, not {rows}")
    return fs_board_size(rows)


def latency_bounds():
    """Upper bounds of the latency buckets in seconds; the last is infinite."""
    return [fs_board_bounds[i] / 1e6 for i in range(FS_BOARD_BUCKETS - 1)] + [float("inf")]


def close_codes():
    """The WebSocket close codes that are counted each for itself; all others are as one."""
    return [fs_board_close_codes[i] for i in range(FS_BOARD_CLOSES - 1)]


@cython.final
cdef class Block:
    """The board in `memory`, a writable buffer, which stays in use until the last row is gone.

    `rows`: make one of so many rows in zeroed memory, `started` being wall seconds; without,
    there has to be one already. Raises ValueError if there is none of this layout.
    """

    def __cinit__(self, memory, *, rows=None, double started=0):
        PyObject_GetBuffer(memory, &self.view, PyBUF_WRITABLE)
        self.viewed = True
        self.head = <fs_board_head *>self.view.buf
        if <uintptr_t>self.head % sizeof(int64_t):
            raise ValueError("the memory of a board has to be aligned")
        if rows is not None:
            if self.view.len < board_size(rows):
                raise ValueError(f"the memory is too small for {rows} rows")
            fs_board_format(self.head, rows, <int64_t>(started * 1e6))
        if not fs_board_check(self.head, self.view.len):
            raise ValueError("this is no board, or one of another layout")
        self.rows = self.head.rows

    def __dealloc__(self):
        if self.viewed:
            PyBuffer_Release(&self.view)

    def __len__(self):
        """The number of rows."""
        return self.rows

    @property
    def started(self):
        """Wall seconds."""
        return fs_board_count(&self.head.started) / 1e6

    @property
    def phase(self):
        return phase_name(fs_board_get(&self.head.phase))

    @phase.setter
    def phase(self, str name not None):
        fs_board_set(&self.head.phase, phase_number(name))

    @property
    def slots(self):
        return fs_board_count(&self.head.slots)

    @slots.setter
    def slots(self, int64_t n):
        fs_board_set(&self.head.slots, n)

    def count_restart(self, int cause):
        """`cause`: 0 to 8; what each means is the caller's affair."""
        if not 0 <= cause < FS_BOARD_CAUSES:
            raise IndexError(f"there is no cause {cause}")
        fs_board_add(&self.head.restarts[cause], 1)

    def restarts(self):
        """How often each cause was counted."""
        return [fs_board_count(&self.head.restarts[i]) for i in range(FS_BOARD_CAUSES)]

    def row(self, int index):
        """Raises IndexError if the board has no such row."""
        return Row(self, index)

    def totals(self):
        """Sums over all rows, whether in use or not.

        (requests, connections made, connections refused, bytes in, bytes out, latency in seconds,
        responses by class, responses by latency bucket)
        """
        cdef int64_t[FS_BOARD_CLASSES] responses
        cdef int64_t[FS_BOARD_BUCKETS] latency
        cdef int64_t requests = 0, made = 0, refused = 0
        cdef int64_t bytes_in = 0, bytes_out = 0, latency_us = 0
        cdef fs_board_row *row
        cdef Py_ssize_t index
        cdef int i
        for i in range(FS_BOARD_CLASSES):
            responses[i] = 0
        for i in range(FS_BOARD_BUCKETS):
            latency[i] = 0
        for index in range(self.rows):
            row = fs_board_row_at(self.head, index)
            requests = fs_board_sum(requests, &row.requests)
            made = fs_board_sum(made, &row.connections_made)
            refused = fs_board_sum(refused, &row.connections_refused)
            bytes_in = fs_board_sum(bytes_in, &row.bytes_in)
            bytes_out = fs_board_sum(bytes_out, &row.bytes_out)
            latency_us = fs_board_sum(latency_us, &row.latency_us)
            for i in range(FS_BOARD_CLASSES):
                responses[i] = fs_board_sum(responses[i], &row.responses[i])
            for i in range(FS_BOARD_BUCKETS):
                latency[i] = fs_board_sum(latency[i], &row.latency[i])
        return (requests, made, refused, bytes_in, bytes_out, latency_us / 1e6,
                [responses[i] for i in range(FS_BOARD_CLASSES)],
                [latency[i] for i in range(FS_BOARD_BUCKETS)])

    def websocket_totals(self):
        """Sums over all rows, whether in use or not.

        (WebSockets opened, messages received, their bytes, messages sent, their bytes, closes
        by code: as in `close_codes`, and last by any other)
        """
        cdef fs_board_websockets sums
        cdef Py_ssize_t index
        memset(&sums, 0, sizeof(sums))
        for index in range(self.rows):
            fs_board_ws_sum(&sums, fs_board_row_at(self.head, index))
        return (sums.opened, sums.messages_in, sums.bytes_in, sums.messages_out, sums.bytes_out,
                [sums.closes[i] for i in range(FS_BOARD_CLOSES)])

    def http2_totals(self):
        """Sums over all rows, whether in use or not.

        (connections, streams reset by cause, connections ended by cause); `fs_board.h` has the
        order of the causes
        """
        cdef fs_board_http2 sums
        cdef Py_ssize_t index
        memset(&sums, 0, sizeof(sums))
        for index in range(self.rows):
            fs_board_h2_sum(&sums, fs_board_row_at(self.head, index))
        return (sums.connections, [sums.resets[i] for i in range(FS_BOARD_RESETS)],
                [sums.ends[i] for i in range(FS_BOARD_ENDS)])


@cython.final
cdef class Row:
    """Row `index` of a board; without arguments one on no board, which counts for itself.

    `take`, `give_back` and `set_memory` are for the maker of the board, all other writing
    for the process that holds the row.
    """

    def __cinit__(self, Block block=None, int index=-1):
        cdef uintptr_t begin
        self.index = index
        if block is not None:
            if not 0 <= index < block.rows:
                raise IndexError(f"the board has no row {index}")
            self.block = block
            self.p = fs_board_row_at(block.head, index)
            return
        self.own = calloc(1, sizeof(fs_board_row) + CACHE_LINE)
        if self.own is NULL:
            raise MemoryError
        begin = <uintptr_t>self.own + CACHE_LINE - <uintptr_t>self.own % CACHE_LINE
        self.p = <fs_board_row *>begin

    def __dealloc__(self):
        free(self.own)

    @property
    def taken(self):
        """Whether a process has this row."""
        return fs_board_get(&self.p.taken) != 0

    def take(self, int64_t slot, double started):
        """Have the row ready for a process of `slot`. `started`: wall seconds."""
        fs_board_clear(self.p)
        fs_board_set(&self.p.slot, slot)
        fs_board_set(&self.p.started, <int64_t>(started * 1e6))
        fs_board_set(&self.p.requests_before, fs_board_get(&self.p.requests))
        fs_board_set(&self.p.taken, 1)

    def give_back(self):
        """The process has ended."""
        fs_board_set(&self.p.taken, 0)
        fs_board_clear(self.p)

    def set_memory(self, int64_t size):
        """Bytes of memory that the process takes."""
        fs_board_set(&self.p.memory, size)

    def set_pid(self, int64_t pid):
        fs_board_set(&self.p.pid, pid)

    def set_phase(self, str phase not None):
        """"starting", "serving", "draining", "stopping" or "ended"."""
        fs_board_set(&self.p.phase, phase_number(phase))

    def beat(self, double interval):
        """From the event loop: the next beat is due in `interval` seconds.

        How much later than it was due this one comes is its lag.
        """
        cdef int64_t now = <int64_t>(time.monotonic() * 1e6)
        cdef int64_t due = fs_board_count(&self.p.due)
        fs_board_set(&self.p.lag, now - due if 0 < due < now else 0)
        fs_board_set(&self.p.due, now + <int64_t>(interval * 1e6))

    def read(self):
        """What the row tells of its process.

        (slot, pid, phase, wall seconds of the start, monotonic seconds when the next beat
        is due, seconds of lag, connections, exchanges, requests of this process, last
        request line, bytes of memory, open WebSockets)
        """
        cdef char[FS_BOARD_TEXT] text
        cdef size_t n = fs_board_text(self.p, text)
        cdef int64_t requests = fs_board_count(&self.p.requests)
        cdef int64_t before = fs_board_count(&self.p.requests_before)
        return (fs_board_count(&self.p.slot), fs_board_count(&self.p.pid),
                phase_name(fs_board_get(&self.p.phase)),
                fs_board_count(&self.p.started) / 1e6, fs_board_count(&self.p.due) / 1e6,
                fs_board_count(&self.p.lag) / 1e6, fs_board_count(&self.p.connections),
                fs_board_count(&self.p.exchanges), max(requests - before, 0),
                text[:n].decode("ascii"), fs_board_count(&self.p.memory),
                fs_board_ws_now_open(self.p))


cdef str phase_name(int64_t number):
    return _PHASES[number] if 0 <= number < len(_PHASES) else "unknown"


cdef int phase_number(str name) except -1:
    if name not in _PHASES:
        raise ValueError(f"there is no phase {name!r}")
    return _PHASES.index(name)
