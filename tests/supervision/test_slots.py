"""Who serves in which slot: the first start, deaths and pauses, replacement first."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from supervision.fleet import HOUR, Make, kinds, scenes


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    with scenes(monkeypatch) as make:
        yield make


# -- the first start -------------------------------------------------------------------


def test_all_slots_start_at_once_and_serve_when_they_are_ready(scene: Make) -> None:
    here = scene(3)
    here.step()
    assert [each.slot for each in here.made] == [1, 2, 3]
    assert here.fleet.serving() == []
    here.ready(here.made[1])
    assert here.fleet.serving() == [here.made[1]]
    assert here.made[1].told() == [{"type": "go"}]
    assert here.made[0].told() == []
    assert here.places.steered == [1]
    here.ready(here.made[0], here.made[2])
    assert here.places.steered == [0, 1, 2]
    assert here.fleet.is_settled()
    assert here.fleet.next_due() is None


def test_where_nobody_can_start_the_reason_is_the_fleets_and_it_ends(scene: Make) -> None:
    here = scene(2)
    here.step()
    here.fails(here.made[0], "no database")
    assert here.fleet.failure is None  # the other one may
    here.fails(here.made[1], "no cache")
    assert here.fleet.failure is not None
    assert here.fleet.failure.message == "no cache"
    assert here.fleet.stopping
    assert here.fleet.children() == []
    assert len(here.made) == 2


def test_one_that_dies_in_starting_is_told_by_how_it_died(scene: Make) -> None:
    here = scene(1)
    here.step()
    here.dies(here.made[0], -signal.SIGSEGV)
    assert here.fleet.failure is not None
    assert here.fleet.failure.message == "it died during start-up (SIGSEGV)"


def test_while_developing_a_first_start_that_fails_waits_for_a_change(scene: Make) -> None:
    here = scene(1, reload=True)
    here.step()
    here.fails(here.made[0])
    here.step(HOUR)
    assert not here.fleet.stopping
    assert len(here.made) == 1
    here.fleet.renew("reload")
    here.step()
    here.ready(here.made[1])
    assert here.fleet.serving() == [here.made[1]]


@pytest.mark.parametrize("fails_first", [True, False])
def test_where_one_serves_those_that_could_not_start_are_tried_again(
    scene: Make, fails_first: bool
) -> None:
    here = scene(2)
    here.step()
    bad, good = here.made
    for act in (here.fails, here.ready) if fails_first else (here.ready, here.fails):
        act(bad if act == here.fails else good)
    assert not here.fleet.stopping
    assert here.fleet.serving() == [good]
    assert len(here.made) == 2
    due = here.fleet.next_due()
    assert due is not None
    here.step(due - here.clock.now)
    assert [each.slot for each in here.made] == [1, 2, 1]
    here.ready(here.made[2])
    assert here.fleet.serving() == [here.made[2], good]


def test_a_process_that_cannot_be_made_is_tried_again_later(scene: Make) -> None:
    here = scene(2)
    old, _ = here.all_serve()
    here.refuses = True
    here.dies(old)
    assert len(here.made) == 2
    here.refuses = False
    here.step(HOUR)
    assert len(here.made) == 3


# -- dying and back-off ----------------------------------------------------------------


def test_one_that_dies_is_made_good_at_once_and_then_later_and_later(
    scene: Make, logs: Any
) -> None:
    here = scene(1)
    here.all_serve()
    waits = []
    for _ in range(10):
        here.dies(here.made[-1])
        count = len(here.made)
        if here.fleet.serving() or here.made[-1].code is None:
            waits.append(0.0)
        else:
            due = here.fleet.next_due()
            assert due is not None
            waits.append(due - here.clock.now)
            here.step(waits[-1] - 0.001)
            assert len(here.made) == count
            here.step(0.01)
        here.ready(here.made[-1])
    assert waits[0] == 0.0
    assert waits[1:] == sorted(waits[1:])
    assert 0 < waits[1] < 1
    assert waits[-1] == pytest.approx(10.0)
    assert here.board.restarts["crash"] == 10
    assert any("has died 10 times in a row" in text for text in logs.noise)


def test_one_that_has_served_for_a_while_is_made_good_at_once_again(scene: Make) -> None:
    here = scene(1)
    here.all_serve()
    for _ in range(5):
        here.dies(here.made[-1])
        here.step(11.0)
        here.ready(here.made[-1])
    here.clock.now += HOUR
    count = len(here.made)
    here.dies(here.made[-1])
    assert len(here.made) == count + 1


def test_one_that_ends_by_itself_is_followed_at_once_whenever_it_does(scene: Make) -> None:
    here = scene(1)
    here.all_serve()
    for count in range(2, 8):
        here.dies(here.made[-1], 0)
        assert len(here.made) == count
        here.ready(here.made[-1])
    assert here.board.restarts["ended"] == 6
    assert here.board.restarts["crash"] == 0


def test_what_has_died_is_steered_away_from_and_its_row_given_back(scene: Make) -> None:
    here = scene(2)
    first, second = here.all_serve()
    here.dies(first)
    assert here.places.steered == [1]
    assert first not in here.watched
    assert first.channel.fileno() == -1
    assert len(here.board.rows()) == 2  # the second one's and the successor's
    assert here.fleet.serving() == [second]


# -- replacement -----------------------------------------------------------------------


def test_the_successor_serves_before_the_old_one_is_told_to_stop(scene: Make) -> None:
    here = scene(2)
    old, other = here.all_serve()
    assert here.fleet.want(old, "memory")
    assert not here.fleet.want(old, "requests")
    here.step()
    successor = here.made[2]
    assert (successor.slot, successor.cause) == (1, "memory")
    assert here.fleet.serving() == [old, other]
    assert old.told() == []
    here.ready(successor)
    assert successor.told() == [{"type": "go"}]
    (stop,) = old.told()
    assert (stop["type"], stop["plan"]["accept"], stop["plan"]["early"]) == ("stop", False, True)
    assert here.fleet.serving() == [successor, other]
    assert here.board.restarts["memory"] == 1
    here.dies(old, 0)
    assert here.fleet.workers() == [successor, other]


def test_a_worker_asks_for_its_successor_over_its_channel(scene: Make) -> None:
    here = scene(1)
    (old,) = here.all_serve()
    old.theirs.send("replace", cause="requests")
    here.step()
    assert here.made[-1].cause == "requests"


def test_a_reload_replaces_one_after_another(scene: Make) -> None:
    here = scene(3)
    olds = here.all_serve()
    here.fleet.renew("reload")
    for number in range(3):
        here.step()
        assert len(here.made) == 4 + number
        here.step(HOUR)
        assert len(here.made) == 4 + number
        here.ready(here.made[-1])
        assert kinds(olds[number]) == ["stop"]
    assert here.fleet.is_settled()
    assert here.board.restarts["reload"] == 3


def test_a_reload_is_given_up_when_a_successor_cannot_start(scene: Make, logs: Any) -> None:
    here = scene(3)
    olds = here.all_serve()
    here.fleet.renew("reload")
    here.step()
    here.ready(here.made[3])
    here.fails(here.made[4])
    here.step(HOUR)
    assert len(here.made) == 5
    assert here.fleet.serving() == [here.made[3], *olds[1:]]
    assert not here.fleet.renewing
    assert "ERROR the reload is given up; 2 workers stay as they are" in logs.noise
    assert here.board.restarts["failed"] == 1


def test_a_successor_for_another_reason_is_tried_again_later(scene: Make) -> None:
    here = scene(1)
    (old,) = here.all_serve()
    here.fleet.want(old, "memory")
    here.step()
    here.fails(here.made[1])
    here.step()
    assert len(here.made) == 2
    due = here.fleet.next_due()
    assert due is not None
    here.step(due - here.clock.now)
    assert len(here.made) == 3
    assert here.fleet.serving() == [old]


def test_an_old_one_that_dies_leaves_its_place_to_its_successor(scene: Make) -> None:
    here = scene(1)
    (old,) = here.all_serve()
    here.fleet.want(old, "memory")
    here.step()
    here.dies(old)
    assert len(here.made) == 2
    here.ready(here.made[1])
    assert here.fleet.serving() == [here.made[1]]
    assert here.fleet.is_settled()


def test_a_reload_ends_what_is_just_starting_with_the_old_code(scene: Make) -> None:
    here = scene(1)
    (old,) = here.all_serve()
    here.fleet.want(old, "memory")
    here.step()
    early = here.made[1]
    here.fleet.renew("reload")
    assert early.signals == [signal.SIGTERM]
    here.ready(early)  # too late: nothing more is made of it
    assert here.fleet.serving() == [old]
    assert here.made[2].cause == "reload"
    here.dies(early, -signal.SIGTERM)
    here.ready(here.made[2])
    assert here.fleet.serving() == [here.made[2]]
    assert here.fleet.status == 0


def test_one_whose_sockets_cannot_be_listened_on_does_not_take_the_place(scene: Make) -> None:
    here = scene(1)
    (old,) = here.all_serve()
    here.fleet.want(old, "memory")
    here.step()
    here.places.refuses = True
    here.ready(here.made[1])
    assert here.fleet.serving() == [old]
    assert old.told() == []
    assert here.made[1].signals == [signal.SIGTERM]


def test_while_developing_the_next_interpreter_is_made_ready(scene: Make) -> None:
    here = scene(1, reload=True)
    here.step()
    assert here.prepared == 0
    here.all_serve()
    here.step()
    assert here.prepared > 0
