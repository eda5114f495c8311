"""Guard: what a peer may do for nothing, and what it earns."""

from __future__ import annotations

import pytest

from fastserve._native.errors import Http2Error
from fastserve._native.http2.guard import Guard
from fastserve._native.http2.policy import Http2Policy

RESETS = ["reset", "error"]
CONTROL = ["settings", "ping", "empty", "window", "priority", "unknown"]
NOW = 5_000_000_000  # milliseconds of a clock
SPAN = 30_000
CALM = 11


def guard() -> Guard:
    return Guard(Http2Policy(limit_resets=20, limit_control_frames=50))


def assert_refused(guard: Guard, kind: str, now: int) -> None:
    with pytest.raises(Http2Error) as caught:
        guard.count(kind, now)
    assert (caught.value.code, caught.value.stream) == (CALM, 0)
    assert caught.value.reason.startswith("too many ")


@pytest.mark.parametrize(("kind", "budget"), [(k, 20) for k in RESETS] + [(k, 50) for k in CONTROL])
def test_each_kind_has_a_budget_of_its_own(kind: str, budget: int) -> None:
    bounds = guard()
    bounds.count(kind, NOW, budget)
    assert bounds.spent is None
    assert_refused(bounds, kind, NOW)
    assert bounds.spent == kind
    for other in RESETS + CONTROL:
        if other != kind:
            bounds.count(other, NOW, 20)


def test_what_is_over_stays_over_until_time_has_passed() -> None:
    bounds = guard()
    bounds.count("ping", NOW, 50)
    for late in (0, 1, 599):
        assert_refused(bounds, "ping", NOW + late)
    bounds.count("ping", NOW + 600)
    assert_refused(bounds, "ping", NOW + 600)


def test_a_budget_fills_evenly_and_never_above_itself() -> None:
    bounds = guard()
    bounds.count("reset", NOW, 20)
    bounds.count("reset", NOW + SPAN // 2, 10)
    assert_refused(bounds, "reset", NOW + SPAN // 2)
    bounds.count("reset", NOW + 100 * SPAN, 20)
    assert_refused(bounds, "reset", NOW + 100 * SPAN)


def test_a_peer_that_keeps_to_the_rate_is_never_refused() -> None:
    bounds = guard()
    for n in range(1000):
        bounds.count("settings", NOW + n * SPAN // 50)


def test_what_was_earned_is_free_and_kept() -> None:
    bounds = guard()
    bounds.earn_more("window", 70)
    bounds.count("window", NOW, 120)
    assert_refused(bounds, "window", NOW)
    bounds.earn_more("window", 3)
    bounds.count("window", NOW, 3)
    assert_refused(bounds, "window", NOW)


def test_the_largest_budget_is_one() -> None:
    bounds = Guard(Http2Policy(limit_resets=1, limit_control_frames=(1 << 31) - 1))
    bounds.count("ping", NOW, 10_000)
    bounds.count("error", NOW)
    assert_refused(bounds, "error", NOW)
