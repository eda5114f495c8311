"""Child processes: making, waiting for, telling to stop, taking over, ending."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.process import eventually, running

from fastserve import Config
from fastserve.board import Board
from fastserve.errors import FastserveError
from fastserve.stopping import Stop
from fastserve.supervision.channel import Channel
from fastserve.supervision.children import Child, Nursery, State, fate


@dataclass
class Made:
    """A child that sleeps, and the far end of its channel."""

    child: Child
    theirs: Channel


@pytest.fixture
def made() -> Iterator[Made]:
    process = subprocess.Popen(["sleep", "1000"])
    process.returncode = 0  # the child is waited for by its pid
    ours, theirs = Channel.pair()
    made = Made(Child(process.pid, 1, 0, ours, state=State.SERVING), theirs)
    yield made
    made.child.signal(signal.SIGKILL)
    eventually(lambda: made.child.poll() is not None)
    made.child.channel.close()
    theirs.close()


def test_a_child_is_known_to_have_ended_and_how(made: Made) -> None:
    assert made.child.poll() is None
    made.child.signal(signal.SIGTERM)
    codes: list[int | None] = []

    def has_ended() -> bool:
        codes.append(made.child.poll())
        return codes[-1] is not None

    eventually(has_ended)
    assert codes[-1] == -signal.SIGTERM
    made.child.signal(signal.SIGTERM)  # of what is gone, this does nothing
    assert made.child.poll() == 0


@pytest.mark.parametrize(
    ("code", "told"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "SIGKILL"), (-63, "signal 63")],
)
def test_how_a_process_ended_is_told_in_words(code: int, told: str) -> None:
    assert fate(code) == told


def test_one_that_serves_is_told_to_stop_and_gets_its_time(made: Made) -> None:
    config = Config("x:app", timeout_lifespan=5)
    plan = Stop(drain=1, graceful=2)
    made.child.retire(plan, config)
    assert made.theirs.take() == [{"type": "stop", "plan": plan.fields()}]
    assert made.child.state is State.RETIRING
    first = made.child.kill_at
    assert first is not None
    made.child.retire(plan, config)
    assert made.child.kill_at == first, "asking again gives no more time"
    made.child.retire(Stop.quick(), config)
    assert made.child.kill_at < first


def test_one_whose_lifespan_may_take_for_ever_is_not_killed(made: Made) -> None:
    made.child.retire(Stop.quick(), Config("x:app", timeout_lifespan=0))
    assert made.child.kill_at is None


def test_one_that_is_starting_is_ended(made: Made) -> None:
    made.child.state = State.STARTING
    made.child.retire(Stop.quick(), Config("x:app"))
    eventually(lambda: made.child.poll() == -signal.SIGTERM)
    assert made.theirs.take() == []


@pytest.mark.parametrize("state", list(State))
def test_a_child_goes_over_to_the_next_program(made: Made, state: State) -> None:
    child = made.child
    child.state, child.kill_at = state, 77.0
    told = child.handover()
    assert os.get_inheritable(told["channel"])
    told["channel"] = child.channel.detach()
    again = Child.adopt(told)
    assert not os.get_inheritable(again.channel.fileno())
    assert (again.pid, again.slot, again.row) == (child.pid, child.slot, child.row)
    assert (again.state, again.born, again.kill_at) == (state, child.born, 77.0)
    assert (again.ready_at is None) == (state is State.STARTING)
    assert again.channel.send("go")
    assert made.theirs.take() == [{"type": "go"}]
    child.channel = again.channel


# -- the nursery -----------------------------------------------------------------------


class Home:
    """A nursery, and what its children need."""

    def __init__(self, directory: Path, **others: Any) -> None:
        self.board = Board.create(8)
        self.socket = socket.create_server(("127.0.0.1", 0))
        config = Config("main:app", app_dir=str(directory), access_log=False)
        self.nursery = Nursery(config, self.board, **others)
        self._children: list[Child] = []

    def start(self) -> Child:
        child = self.nursery.start(1, [self.socket], "start")
        self._children.append(child)
        return child

    def close(self) -> None:
        self.nursery.close()
        for child in self._children:
            child.signal(signal.SIGKILL)
            eventually(lambda child=child: child.poll() is not None)
            child.channel.close()
        self.socket.close()
        self.board.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    (tmp_path / "main.py").write_text("async def app(scope, receive, send):\n    raise OSError\n")
    home = Home(tmp_path)
    yield home
    home.close()


def first_message(child: Child) -> str:
    messages: list[Any] = []
    while not messages and not child.channel.ended:
        messages += child.channel.take(wait=True)
    return str(messages[0]["type"])


def test_a_child_starts_in_a_row_of_its_own(home: Home) -> None:
    one, other = home.start(), home.start()
    assert first_message(one) == first_message(other) == "started"
    rows = {each.index: each.pid for each in home.board.rows()}
    assert rows == {one.row: one.pid, other.row: other.pid}


def test_what_was_prepared_is_the_next_child_and_only_that(home: Home) -> None:
    home.nursery.prepare()
    home.nursery.prepare()
    spare = home.nursery._spare
    assert spare is not None
    one, other = home.start(), home.start()
    assert one.pid == spare[0] != other.pid
    assert first_message(one) == "started"


def test_what_was_prepared_and_died_is_not_used(home: Home) -> None:
    home.nursery.prepare()
    spare = home.nursery._spare
    assert spare is not None
    os.kill(spare[0], signal.SIGKILL)
    eventually(lambda: not running(spare[0]))
    child = home.start()
    assert child.pid != spare[0]
    assert first_message(child) == "started"


def test_what_was_prepared_ends_with_the_nursery(home: Home) -> None:
    home.nursery.prepare()
    spare = home.nursery._spare
    assert spare is not None
    home.nursery.close()
    assert not running(spare[0])


def test_a_start_leaves_no_signal_blocked(home: Home) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    home.start()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_process_that_cannot_be_made_leaves_its_row(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(FastserveError, match="cannot start a process: "):
        home.start()
    assert home.board.rows() == []
