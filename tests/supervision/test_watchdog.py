"""How a late event loop is judged: blocked, stopped, or kept from a processor."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from fastserve import Config
from fastserve.board import RowState
from fastserve.supervision import watchdog
from fastserve.supervision.watchdog import Watchdog, resident_memory
from fastserve.supervision.worker import TRACE_SIGNAL

WARN, LIMIT = 1.0, 5.0


@dataclass(eq=False)
class Worker:
    """What the watchdog says and does to a worker."""

    row: int = 0
    pid: int = 1
    role: str = "worker 1"
    ready_at: float = 0.0
    trace: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)

    @property
    def channel(self) -> Worker:
        return self

    def send(self, type: str) -> bool:
        self.said.append(type)
        return True

    def signal(self, number: int) -> None:
        self.signals.append(number)


class Scene:
    """A watchdog over one worker; the clock, the processor and the beats are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, logs: Any) -> None:
        self.now = 1000.0
        self.waited = 0.0
        self.is_stopped = False
        self.worker = Worker()
        self.wanted: list[str] = []
        self._logs = logs
        self._state = RowState(
            index=0, slot=1, pid=1, phase="serving", started=0.0, due=self.now + 0.5, lag=0.0,
            connections=0, exchanges=1, requests=1, last_request="GET /last", memory=0,
            websockets=0,
        )  # fmt: skip
        monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(watchdog, "_waited", lambda _: int(self.waited * 1e9))
        monkeypatch.setattr(watchdog, "_is_stopped", lambda _: self.is_stopped)
        config: Any = Config("x:app", warn_blocked_loop=WARN, timeout_blocked_loop=LIMIT)
        board: Any = SimpleNamespace(rows=lambda: [self._state])
        fleet: Any = SimpleNamespace(
            serving=lambda: [self.worker], want=lambda _, cause: self.wanted.append(cause)
        )
        self._dog = Watchdog(config, board, fleet)
        self._dog.look()

    def beat(self) -> None:
        self._state = replace(self._state, due=self.now + 0.5)

    def pass_time(self, seconds: float, *, starved: bool = False) -> None:
        """The watchdog looks every tenth of a second; the worker may have no processor."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            self.waited += 0.1 if starved else 0.0
            self._dog.look()

    def explain(self, stack: str) -> None:
        message = {"type": "explained", "request": "GET /", "stack": stack}
        self._dog.heard(self.worker, message)  # type: ignore[arg-type]

    @property
    def told(self) -> list[str]:
        return [record.getMessage() for record in self._logs.records]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch, logs: Any) -> Scene:
    return Scene(monkeypatch, logs)


def test_a_loop_that_beats_is_left_alone(scene: Scene) -> None:
    for _ in range(10):
        scene.pass_time(0.5)
        scene.beat()
    assert scene.worker.said == scene.told == scene.wanted == []


def test_a_blocked_loop_is_asked_told_of_once_and_replaced_at_the_limit(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    assert scene.worker.said == ["explain"]
    scene.explain("  in handler\n")
    assert len(scene.told) == 1
    assert "worker 1 is blocked for" in scene.told[0]
    assert scene.told[0].endswith("serving GET /\n  in handler")
    assert scene.wanted == []
    scene.pass_time(LIMIT)
    assert set(scene.wanted) == {"blocked"}
    assert len(scene.told) == 1


def test_a_loop_without_a_processor_is_never_replaced(scene: Scene) -> None:
    scene.pass_time(20 * LIMIT, starved=True)
    assert scene.worker.said == scene.wanted == []
    assert len(scene.told) == 1
    assert "late: it does not get a processor" in scene.told[0]


def test_a_loop_that_gets_a_processor_and_is_still_late_is_blocked(scene: Scene) -> None:
    scene.pass_time(3.0, starved=True)
    assert scene.worker.said == []
    scene.pass_time(5.0)
    assert scene.worker.said == ["explain"]


def test_a_stopped_process_is_never_replaced(scene: Scene) -> None:
    scene.is_stopped = True
    scene.pass_time(20 * LIMIT)
    assert scene.worker.said == scene.wanted == []
    assert len(scene.told) == 1
    assert "late: its process is stopped" in scene.told[0]


def test_a_loop_that_stands_in_nothing_waits_for_other_threads(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    scene.explain("")
    assert len(scene.told) == 1
    assert "other threads keep the interpreter lock" in scene.told[0]
    assert scene.wanted == []


@pytest.mark.skipif(TRACE_SIGNAL is None, reason="needs a signal")
def test_a_worker_that_cannot_answer_is_made_to_tell_by_a_signal(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    assert scene.worker.said == ["explain"]
    while not scene.worker.signals and scene.now < 1100.0:
        scene.pass_time(0.1)
    assert scene.worker.signals == [TRACE_SIGNAL]
    scene.worker.trace.append('  File "/app/main.py", line 7 in handler')
    scene.pass_time(1.0)
    assert "native code holds the interpreter; " in scene.told[0]
    assert "the last request begun was 'GET /last'" in scene.told[0]
    assert 'File "/app/main.py", line 7, in handler' in scene.told[0]
    scene.pass_time(LIMIT)
    assert set(scene.wanted) == {"blocked"}


def test_an_answer_that_comes_after_the_next_beat_is_late(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    scene.beat()
    scene.explain("  in handler\n")
    assert scene.told == []


def test_a_loop_that_goes_on_is_told_of(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    scene.explain("  in handler\n")
    scene.beat()
    scene.pass_time(0.5)
    assert scene.told[1:] == ["the event loop of worker 1 goes on"]
    scene.pass_time(20 * LIMIT, starved=True)
    assert scene.wanted == []


def test_one_that_goes_on_before_it_has_answered_is_not_told_of(scene: Scene) -> None:
    scene.pass_time(0.5 + WARN + 0.5)
    assert scene.worker.said == ["explain"]
    scene.beat()
    scene.pass_time(0.4)
    assert scene.told == scene.worker.signals == []
    scene.pass_time(0.1 + WARN + 0.5)
    assert scene.worker.said == ["explain", "explain"]


def test_an_answer_that_nobody_waits_for_is_not_told(scene: Scene) -> None:
    scene.explain("  in handler\n")
    assert scene.told == []
    scene.pass_time(0.5 + WARN + 0.5)
    scene.explain("  in handler\n")
    scene.explain("  in handler\n")
    assert len(scene.told) == 1


# -- age and memory --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "cause"),
    [({"limit_worker_memory": 1 << 20}, "memory"), ({"limit_worker_lifetime": 60}, "lifetime")],
)
def test_a_worker_over_its_limit_is_to_be_replaced(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], cause: str
) -> None:
    now, size = 1000.0, 1 << 19
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(watchdog, "resident_memory", lambda _: size)
    worker, wanted, noted = Worker(ready_at=now), [], []
    board: Any = SimpleNamespace(rows=list, set_memory=lambda *told: noted.append(told))
    fleet: Any = SimpleNamespace(serving=lambda: [worker], want=lambda _, why: wanted.append(why))
    dog = Watchdog(Config("x:app", warn_blocked_loop=0, **options), board, fleet)
    dog.look()
    assert wanted == []
    now, size = now + 61, 3 << 20
    due = dog.next_due()
    assert due is not None
    assert due < now
    dog.look()
    assert wanted == [cause]
    assert noted == ([(0, 1 << 19), (0, 3 << 20)] if cause == "memory" else [])


def test_nothing_to_watch_for_asks_for_no_look() -> None:
    board: Any = SimpleNamespace(rows=list)
    fleet: Any = SimpleNamespace(serving=list)
    assert Watchdog(Config("x:app", warn_blocked_loop=0), board, fleet).next_due() is None


def test_memory_of_a_process_grows_with_what_it_holds() -> None:
    before = resident_memory(os.getpid())
    assert before > 1 << 20
    held = bytearray(b"x" * (64 << 20))
    assert resident_memory(os.getpid()) - before > len(held) // 2
    del held


def test_memory_of_no_process_is_unknown() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert resident_memory(process.pid) == 0
