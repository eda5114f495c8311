"""Slots that come and go, the end of all of them, and what is taken over."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from supervision.fleet import HOUR, Make, kinds, scenes

from fastserve.stopping import Stop
from fastserve.supervision.children import State


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    with scenes(monkeypatch) as make:
        yield make


# -- scaling ---------------------------------------------------------------------------


def test_one_more_and_one_less(scene: Make) -> None:
    here = scene(1)
    here.all_serve()
    here.fleet.grow()
    here.step()
    assert here.board.slots == 2
    here.ready(here.made[1])
    assert here.places.steered == [0, 1]
    here.fleet.shrink()
    assert here.board.slots == 1
    assert here.places.steered == [0]
    go, stop = here.made[1].told()
    assert (go["type"], stop["type"]) == ("go", "stop")
    assert stop["plan"]["accept"]  # what waits in its queue is served still
    assert len(here.places.slots) == 2
    here.dies(here.made[1], 0)
    assert len(here.places.slots) == 1


def test_the_last_worker_stays(scene: Make) -> None:
    here = scene(1)
    here.all_serve()
    here.fleet.shrink()
    assert len(here.fleet.slots) == 1
    assert here.made[0].told() == []


def test_a_slot_that_is_still_leaving_is_taken_again(scene: Make) -> None:
    here = scene(2)
    _, leaving = here.all_serve()
    here.fleet.shrink()
    here.fleet.grow()
    here.step()
    again = here.made[2]
    assert again.slot == 2
    here.ready(again)
    assert here.places.steered == [0, 1]
    here.dies(leaving, 0)
    assert len(here.places.slots) == 2
    assert again in here.fleet.serving()


def test_slots_leave_from_the_last_though_its_worker_takes_longest(scene: Make) -> None:
    here = scene(3)
    _, second, third = here.all_serve()
    here.fleet.shrink()
    here.fleet.shrink()
    here.dies(second, 0)
    assert len(here.places.slots) == 3
    here.dies(third, 0)
    assert len(here.places.slots) == 1


def test_where_there_are_no_more_sockets_the_number_stays(scene: Make, logs: Any) -> None:
    here = scene(1)
    here.all_serve()
    here.places.refuses = True
    here.fleet.grow()
    assert len(here.fleet.slots) == here.board.slots == 1
    assert "ERROR no worker more: too many open files" in logs.noise


# -- the end ---------------------------------------------------------------------------


def test_a_stop_reaches_those_that_serve_start_and_retire(scene: Make) -> None:
    here = scene(2)
    old, other = here.all_serve()
    here.fleet.want(old, "memory")
    here.step()
    coming = here.made[2]
    here.fleet.stop(Stop(drain=0, graceful=7))
    for each in (old, other):
        assert each.told()[0]["plan"]["graceful"] == 7
    assert coming.signals == [signal.SIGTERM]
    here.fleet.hurry()
    assert kinds(other) == ["hurry"]
    for each, code in ((old, 0), (other, 0), (coming, -signal.SIGTERM)):
        here.dies(each, code)
    here.step(HOUR)
    assert here.fleet.children() == []
    assert len(here.made) == 3
    assert here.fleet.status == 0


@pytest.mark.parametrize("code", [1, -signal.SIGKILL])
def test_one_that_does_not_end_well_shows_in_the_exit_status(scene: Make, code: int) -> None:
    here = scene(2)
    first, second = here.all_serve()
    here.fleet.stop(Stop.quick())
    here.dies(first, code)
    here.dies(second, 0)
    assert here.fleet.status == 1


def test_one_that_does_not_stop_is_killed_when_its_time_is_up(scene: Make, logs: Any) -> None:
    here = scene(1)
    (stuck,) = here.all_serve()
    here.fleet.stop(Stop(drain=1, graceful=2))
    due = here.fleet.next_due()
    assert due is not None
    assert due > here.clock.now + 3
    here.step(due - here.clock.now - 0.01)
    assert stuck.signals == []
    here.step(0.02)
    assert stuck.signals == [signal.SIGKILL]
    here.step(HOUR)
    assert stuck.signals == [signal.SIGKILL]
    assert f"ERROR {stuck.role} does not stop: killed" in logs.noise


def test_a_quicker_stop_brings_the_end_of_patience_nearer(scene: Make) -> None:
    here = scene(1)
    (worker,) = here.all_serve()
    here.fleet.stop(Stop(drain=0, graceful=HOUR))
    before = here.fleet.next_due()
    here.fleet.stop(Stop.quick())
    after = here.fleet.next_due()
    assert before is not None
    assert after is not None
    assert after < before
    graceful = [each["plan"]["graceful"] for each in worker.told()]
    assert (graceful[0], graceful[-1]) == (HOUR, 0)


def test_the_admin_process_ends_last(scene: Make) -> None:
    here = scene(1, admin=True)
    (worker,) = here.all_serve()
    admin = next(each for each in here.made if not each.slot)
    here.fleet.stop(Stop.quick())
    here.step()
    assert admin.told() == []
    here.dies(worker, 0)
    assert kinds(admin) == ["stop"]
    here.dies(admin, 0)
    assert here.fleet.children() == []


def test_the_admin_process_is_tried_again_and_stops_nobody(scene: Make) -> None:
    here = scene(1, admin=True)
    here.step()
    worker, admin = sorted(here.made, key=lambda each: -each.slot)
    here.fails(admin)
    assert not here.fleet.stopping
    here.ready(worker)
    here.step(HOUR)
    assert here.made[-1].slot == 0
    assert here.made[-1] is not admin


# -- upgrade ---------------------------------------------------------------------------


def test_what_is_taken_over_is_replaced_one_by_one(scene: Make) -> None:
    here = scene(2)
    serving = [here.process(slot, state=State.SERVING) for slot in (1, 2)]
    starting = here.process(1)
    stranger = here.process(7, state=State.SERVING)
    here.fleet.adopt([*serving, starting, stranger])
    assert here.fleet.serving() == serving
    assert starting.signals == [signal.SIGTERM]
    assert kinds(stranger) == ["stop"]
    assert here.places.steered == [0, 1]
    here.step()
    assert [each.cause for each in here.made[4:]] == ["upgrade"]
    here.ready(here.made[4])
    assert kinds(serving[0]) == ["stop"]
    here.ready(here.made[5])
    assert kinds(serving[1]) == ["stop"]
    assert here.board.restarts["upgrade"] == 2
    assert here.fleet.is_settled()
