"""The beat of an event loop, and what the loop was doing when it missed one."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.process import eventually
from support.stage import Stage

from fastserve.heartbeat import (
    Heartbeat,
    Standing,
    Watcher,
    beat_interval,
    stack_of_trace,
    where_it_stands,
)
from fastserve.loops import loop_factory

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.stage = Stage()
        self._runner = asyncio.Runner(loop_factory=loop_factory(name))  # type: ignore[arg-type]
        # Nothing but the machinery of threads and loops is on the way to what a test runs.
        self._thread = threading.Thread(target=self._runner.run, args=(self._main(),))
        self._thread.start()
        self.stage.wait("runs")

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.stage.mark("runs")
        await self._end.wait()

    def call(self, act: Callable[..., object], *arguments: Any) -> None:
        self.loop.call_soon_threadsafe(act, *arguments)

    def start(self, main: Callable[[], Any]) -> None:
        """Run a coroutine as a task named after it."""
        self.call(lambda: self.loop.create_task(main(), name=main.__name__))

    def stands(self) -> Standing:
        thread = self._thread.ident
        assert thread is not None

        def line(task: Any) -> str:
            return f"GET /{task.get_name()}"

        return where_it_stands(self.loop, thread, line)

    def close(self) -> None:
        self.call(self._end.set)
        self._thread.join()
        self._runner.close()


@contextlib.contextmanager
def running(name: str) -> Iterator[Loop]:
    loop = Loop(name)
    try:
        yield loop
    finally:
        loop.close()


class Block:
    """Blocks whoever calls it until `end`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ended = threading.Event()

    def __call__(self) -> None:
        self._stage.mark("blocked")
        self._ended.wait(10)

    def end(self) -> None:
        self._ended.set()


def functions(stack: str) -> list[str]:
    """The functions of this file in a stack, outermost first."""
    lines = [line for line in stack.splitlines() if __file__ in line]
    return [line.rpartition(" in ")[2] for line in lines]


# -- where it stands -------------------------------------------------------------------


@LOOPS
def test_a_loop_that_waits_stands_nowhere(loop: str) -> None:
    with running(loop) as there:
        eventually(lambda: there.stands() == Standing("", ""))


@LOOPS
def test_a_task_is_told_with_its_request_and_its_awaits(loop: str) -> None:
    with running(loop) as there:
        block = Block(there.stage)

        async def inner() -> None:
            block()

        async def outer() -> None:
            await asyncio.sleep(0)
            await inner()

        there.start(outer)
        there.stage.wait("blocked")
        standing = there.stands()
        block.end()
        assert standing.request == "GET /outer"
        assert functions(standing.stack)[:2] == ["outer", "inner"]
        assert "block()" in standing.stack


@LOOPS
def test_the_way_to_the_loop_is_left_out(loop: str) -> None:
    with running(loop) as there:
        block = Block(there.stage)
        there.call(block)
        there.stage.wait("blocked")
        stack = there.stands().stack
        block.end()
        first = stack.splitlines()[0]
        assert first.endswith(" in __call__"), stack
        assert "_run_once" not in stack


@LOOPS
def test_a_callback_without_a_task_serves_no_request(loop: str) -> None:
    with running(loop) as there:
        block = Block(there.stage)
        there.call(block)
        there.stage.wait("blocked")
        standing = there.stands()
        block.end()
        assert standing.request == ""
        assert standing.stack


def test_a_thread_that_is_gone_stands_nowhere() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    assert thread.ident is not None
    loop = asyncio.new_event_loop()
    loop.close()
    assert where_it_stands(loop, thread.ident, lambda _: "GET /") == Standing("", "")


# -- what a signal handler in C has written --------------------------------------------


def test_a_trace_is_told_like_a_stack() -> None:
    def inner() -> list[str]:
        with tempfile.TemporaryFile() as file:
            faulthandler.dump_traceback(file, all_threads=False)
            file.seek(0)
            return file.read().decode().splitlines()

    def outer() -> list[str]:
        return inner()

    stack = stack_of_trace(outer())
    assert functions(stack)[-2:] == ["outer", "inner"]
    assert "return inner()" in stack


def test_lines_that_are_no_frames_are_left_out_of_a_trace() -> None:
    lines = [
        "Current thread 0x00007f (most recent call first):",
        '  File "/app/a b.py", line 7 in f',
    ]
    assert stack_of_trace(lines) == '  File "/app/a b.py", line 7, in f\n'
    assert stack_of_trace(["", "<no Python frame>"]) == ""


# -- the beat --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("warn", "limit", "interval"),
    [(0, 0, 0.5), (5, 0, 0.5), (0, 0.4, 0.2), (0.2, 10, 0.1), (0.001, 0, 0.01)],
)
def test_a_loop_beats_twice_in_the_time_it_may_be_late(
    warn: float, limit: float, interval: float
) -> None:
    assert beat_interval(warn, limit) == pytest.approx(interval)


def test_it_beats_from_start_until_stop() -> None:
    class Row:
        def __init__(self) -> None:
            self.intervals: list[float] = []
            self.third = asyncio.Event()

        def beat(self, interval: float) -> None:
            self.intervals.append(interval)
            if len(self.intervals) == 3:
                self.third.set()

    async def main() -> None:
        row = Row()
        heart = Heartbeat(row, 0.01)
        heart.stop()  # of what has not begun
        heart.start()
        await asyncio.wait_for(row.third.wait(), 10)
        heart.stop()
        beats = len(row.intervals)
        passed = asyncio.Event()  # a timer that is due after the next beat would have been
        asyncio.get_running_loop().call_later(0.02, passed.set)
        await passed.wait()
        assert row.intervals == [0.01] * beats

    asyncio.run(main())


# -- the watcher -----------------------------------------------------------------------


class Watched:
    """A loop whose clock and beats are the test's, and a watcher of it."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.now, self.due = 100.0, 100.0
        self.standing = Standing("GET /", "  in handler\n")
        self.told: list[tuple[float, Standing]] = []
        # The real time between two looks; the clock of the beats stands still meanwhile.
        self.watcher = Watcher(
            self._due, 0.002, self._stand, lambda *told: self.told.append(told), lambda: self.now
        )

    def _due(self) -> float:
        self.stage.mark("looked")
        return self.due

    def _stand(self) -> Standing:
        self.stage.mark("asked")
        return self.standing

    def let_look(self) -> None:
        """Until it has looked at whatever the test has set, from the start to the end."""
        self.stage.wait("looked", self.stage.count("looked") + 4)


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    watched.watcher.start()
    yield watched
    watched.watcher.stop()


def test_a_watcher_says_nothing_of_a_loop_on_time(watched: Watched) -> None:
    watched.let_look()
    watched.now, watched.due = 101.0, 101.0
    watched.let_look()
    assert watched.told == []


def test_a_watcher_says_nothing_before_the_first_beat(watched: Watched) -> None:
    watched.due, watched.now = 0.0, 500.0
    watched.let_look()
    assert watched.told == []


def test_a_watcher_tells_each_block_once(watched: Watched) -> None:
    watched.now = 103.0
    watched.let_look()
    watched.let_look()
    assert watched.told == [(3.0, watched.standing)]
    watched.due = 103.0
    watched.let_look()
    watched.now = 110.0
    watched.let_look()
    watched.let_look()
    assert [late for late, _ in watched.told] == [3.0, 7.0]


def test_a_watcher_tells_no_loop_that_stands_in_nothing(watched: Watched) -> None:
    watched.standing = Standing("", "")
    watched.now = 103.0
    watched.let_look()
    assert watched.stage.has("asked")
    assert watched.told == []
    watched.standing = Standing("", "  in handler\n")
    watched.let_look()
    assert len(watched.told) == 1
