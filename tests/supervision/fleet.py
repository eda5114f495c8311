"""A fleet whose processes, sockets and clock are a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fastserve import Config
from fastserve.board import Board
from fastserve.errors import FastserveError
from fastserve.supervision import children, slots
from fastserve.supervision.channel import Channel, Message
from fastserve.supervision.children import Child, State
from fastserve.supervision.slots import Fleet

HOUR = 3600.0


class Process(Child):
    """A child without a process; the test says what it says, and when it ends."""

    def be(self, theirs: Channel) -> Process:
        self.theirs = theirs
        self.code: int | None = None
        self.signals: list[int] = []
        return self

    def poll(self) -> int | None:
        return self.code

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def told(self) -> list[Message]:
        return self.theirs.take()


class Places:
    """Stands for the listeners."""

    def __init__(self, count: int) -> None:
        self.insecure: list[int] = []
        self.slots: list[list[int]] = [[i] for i in range(count)]
        self.steered: list[int] = []
        self.refuses = False

    def listen(self, index: int, backlog: int) -> None:
        if self.refuses:
            raise FastserveError("cannot listen")

    def steer(self, serving: Iterable[int]) -> None:
        self.steered = list(serving)

    def add_slot(self) -> int:
        if self.refuses:
            raise FastserveError("too many open files")
        self.slots.append([len(self.slots)])
        return len(self.slots) - 1

    def remove_slot(self, index: int) -> None:
        assert index == len(self.slots) - 1
        self.slots.pop()


class Scene:
    """A fleet whose processes, sockets and clock are the test's. It is the nursery too."""

    def __init__(self, clock: Any, count: int = 2, admin: bool = False, **options: Any) -> None:
        self.clock = clock
        self.board = Board.create(64)
        self.places = Places(count)
        self.made: list[Process] = []
        self.watched: list[Child] = []
        self.prepared = 0
        self.refuses = False
        config = Config("x:app", workers=count, **options)
        self.fleet = Fleet(
            config, self.board, self.places, [] if admin else None, self,  # type: ignore[arg-type]
            watch=self.watched.append, unwatch=self._unwatch,
        )  # fmt: skip

    def _unwatch(self, child: Child) -> None:
        if child in self.watched:
            self.watched.remove(child)

    # -- the nursery -------------------------------------------------------------------

    def start(self, slot: int, sockets: object, cause: str, insecure: object) -> Child:
        if self.refuses:
            raise FastserveError("cannot start a process")
        return self.process(slot, cause)

    def prepare(self) -> None:
        self.prepared += 1

    # -- what happens ------------------------------------------------------------------

    def process(self, slot: int, cause: str = "start", state: State = State.STARTING) -> Process:
        ours, theirs = Channel.pair()
        pid = 100 + len(self.made)
        made = Process(pid, slot, self.board.take(slot), ours, cause=cause, state=state)
        made.born = self.clock.now
        self.made.append(made.be(theirs))
        return made

    def step(self, seconds: float = 0.0) -> None:
        """Time passes; then what has happened is found out, and what is due is done."""
        self.clock.now += seconds
        for child in list(self.watched):
            self.fleet.heard(child)
        self.fleet.reap()
        self.fleet.step()

    def ready(self, *processes: Process) -> None:
        for each in processes:
            each.theirs.send("started")
        self.step()

    def fails(self, process: Process, message: str = "no database") -> None:
        process.theirs.send("failed", message=message, details=None)
        self.dies(process, 3)

    def dies(self, process: Process, code: int = -9) -> None:
        process.code = code
        self.step()

    def all_serve(self) -> list[Process]:
        """Start all; those of the workers' slots."""
        self.step()
        self.ready(*self.made)
        self.fleet.announced = True
        for each in self.made:
            assert each.told() == [{"type": "go"}]
        return [each for each in self.made if each.slot]

    def close(self) -> None:
        for each in self.made:
            each.channel.close()
            each.theirs.close()
        self.board.close()


Make = Callable[..., Scene]


@contextmanager
def scenes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes scenes, which all have one clock."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(slots, "time", clock)
    monkeypatch.setattr(children, "time", clock)
    made: list[Scene] = []

    def make(*arguments: Any, **options: Any) -> Scene:
        made.append(Scene(clock, *arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def kinds(process: Process) -> list[str]:
    return [each["type"] for each in process.told()]
