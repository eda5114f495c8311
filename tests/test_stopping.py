"""The phases of a stop: how each begins, and the three ways in which it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest

from fastserve import Config, stopping
from fastserve.stopping import Repeated, Stop, StopRequest, longest_stop, stop_in_phases

HOUR = 3600.0
ALL = [
    "draining",
    "drain",
    "closed",
    "stopping",
    "websockets",
    "idle",
    "disconnect",
    "cancel",
    "abort",
]


class Scene:
    """A stop under way over a service that does what the test says.

    `said` has what happened, each thing once, in order. What is open ends when `ends` happens.
    """

    def __init__(self, plan: Stop, ends: str = "") -> None:
        self.said: list[str] = []
        self.quiets: list[float] = []
        self.exchanges = 1
        self.request = StopRequest(plan)
        self.request.bind(asyncio.get_running_loop())
        self._ends = ends
        self._idle = asyncio.Event()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self) -> asyncio.Task[None]:
        return asyncio.ensure_future(
            stop_in_phases(
                self,
                self.request,
                set_phase=self._note,
                stop_accepting=lambda: self._note("closed"),
                logger=logging.getLogger("fastserve.error"),
            )
        )

    async def run(self) -> list[str]:
        await self.begin()
        return self.said

    def end(self) -> None:
        """Whatever is open ends."""
        self.exchanges = 0
        self._idle.set()

    async def until(self, what: str) -> None:
        async with self._news:
            await self._news.wait_for(lambda: what in self.said)

    def _note(self, what: str) -> None:
        if what not in self.said:
            self.said.append(what)
            task = asyncio.ensure_future(self._tell())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if what == self._ends:
            self.end()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    # -- the service -------------------------------------------------------------------

    def drain(self) -> None:
        self._note("drain")

    def close_idle(self, quiet: float) -> int:
        self.quiets.append(quiet)
        self._note("idle")
        return 0

    def close_websockets(self) -> None:
        self._note("websockets")

    def disconnect(self) -> None:
        self._note("disconnect")

    def cancel(self) -> None:
        self._note("cancel")

    def abort(self) -> None:
        self._note("abort")

    async def wait_idle(self) -> None:
        await self._idle.wait()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 30)

    asyncio.run(bounded())


async def turns() -> None:
    """So many turns of the loop that whatever can happen without a timer has happened."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the seconds of the last three phases."""

    def set(tell: float, cancel: float, abort: float) -> None:
        for name, seconds in (("_TELL", tell), ("_CANCEL", cancel), ("_ABORT", abort)):
            monkeypatch.setattr(stopping, name, seconds)

    return set


# -- the phases ------------------------------------------------------------------------


def test_what_never_ends_goes_through_all_phases(
    after: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    after(0, 0, 0)

    async def main() -> None:
        assert await Scene(Stop(drain=0, graceful=0)).run() == ALL

    run(main)
    assert [record.getMessage() for record in caplog.records] == [
        "requests under way, now told to disconnect: 1",
        "requests under way, now cancelled: 1",
        "requests under way, now cut off: 1",
        "requests that did not end when cancelled: 1",
    ]


@pytest.mark.parametrize(
    ("ends", "seconds"),
    [
        ("disconnect", (HOUR, HOUR, HOUR)),
        ("cancel", (0, HOUR, HOUR)),
        ("abort", (0, 0, HOUR)),
    ],
)
def test_a_phase_in_which_all_ends_is_the_last(
    after: Callable[..., None], ends: str, seconds: tuple[float, float, float]
) -> None:
    after(*seconds)

    async def main() -> None:
        said = await Scene(Stop(drain=0, graceful=0), ends).run()
        assert said == ALL[: ALL.index(ends) + 1]

    run(main)


def test_requests_that_end_in_time_are_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=0, graceful=HOUR))
        task = scene.begin()
        await scene.until("idle")
        scene.end()
        await task
        assert scene.said == ALL[: ALL.index("idle") + 1]

    run(main)
    assert caplog.records == []


def test_connections_without_a_request_are_no_reason_for_a_warning(
    after: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    after(0, 0, 0)

    async def main() -> None:
        scene = Scene(Stop(drain=0, graceful=0))
        scene.exchanges = 0
        assert await scene.run() == ALL

    run(main)
    assert caplog.records == []


def test_connections_may_be_quiet_for_a_while_only_until_the_time_is_up(
    after: Callable[..., None],
) -> None:
    after(0, 0, 0)

    async def main() -> None:
        scene = Scene(Stop(drain=0, graceful=HOUR, quiet=7.0))
        task = scene.begin()
        await scene.until("idle")
        await turns()
        assert set(scene.quiets) == {7.0}
        scene.request.hurry()
        await task
        assert scene.quiets[-1] == 0.0

    run(main)


# -- the drain -------------------------------------------------------------------------


def test_the_drain_lasts_and_accepts_though_nothing_is_open() -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR), "drain")
        task = scene.begin()
        await scene.until("drain")
        await turns()
        assert scene.said == ["draining", "drain"]
        scene.request.hurry()
        await task
        assert scene.said[:4] == ["draining", "drain", "closed", "stopping"]

    run(main)


def test_an_early_drain_ends_when_nothing_is_open() -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR, early=True))
        task = scene.begin()
        await scene.until("drain")
        await turns()
        assert "stopping" not in scene.said
        scene.end()
        await task
        assert scene.said[:4] == ["draining", "drain", "closed", "stopping"]

    run(main)


def test_a_drain_that_accepts_nothing_says_so_at_its_start() -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR, accept=False))
        task = scene.begin()
        await scene.until("closed")
        await turns()
        assert scene.said == ["draining", "drain", "closed"]
        scene.end()
        scene.request.hurry()
        await task

    run(main)


# -- asking again ----------------------------------------------------------------------


def test_each_hurry_ends_one_phase(after: Callable[..., None]) -> None:
    after(HOUR, HOUR, HOUR)

    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR))
        scene.request.make()
        task = scene.begin()
        for reached in ("drain", "idle", "disconnect", "cancel", "abort"):
            await scene.until(reached)
            await turns()
            assert scene.said == ALL[: ALL.index(reached) + 1]
            scene.request.hurry()
        await task

    run(main)


def test_a_quicker_plan_takes_the_place_of_one_under_way() -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR), "disconnect")
        scene.request.make()
        task = scene.begin()
        await scene.until("drain")
        scene.request.make(Stop.quick())
        await task
        assert scene.said[-1] == "disconnect"
        assert set(scene.quiets) == {0.0}

    run(main)


def test_a_plan_that_is_no_quicker_changes_nothing() -> None:
    async def main() -> None:
        first = Stop(drain=HOUR, graceful=60)
        scene = Scene(first)
        scene.request.make()
        task = scene.begin()
        await scene.until("drain")
        scene.request.make()
        scene.request.make(Stop(drain=0, graceful=60))
        await turns()
        assert scene.said == ["draining", "drain"]
        assert scene.request.plan is first
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_stop_that_is_cancelled_cuts_what_is_open() -> None:
    async def main() -> None:
        scene = Scene(Stop(drain=HOUR, graceful=HOUR))
        task = scene.begin()
        await scene.until("drain")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scene.said == ["draining", "drain", "abort", "closed"]

    run(main)


# -- the request -----------------------------------------------------------------------


def test_a_request_from_another_thread_before_a_loop_waits_for_it_is_kept() -> None:
    request = StopRequest(Stop(drain=0, graceful=HOUR))
    plan = Stop.quick()
    thread = threading.Thread(target=request.make, args=(plan,))
    thread.start()
    thread.join()
    assert request.made

    async def main() -> None:
        request.bind(asyncio.get_running_loop())
        await request.wait()
        assert request.plan is plan
        assert request.take()
        assert not request.take()

    run(main)


def test_a_request_from_another_thread_wakes_the_loop() -> None:
    async def main() -> None:
        request = StopRequest(Stop.quick())
        request.bind(asyncio.get_running_loop())
        waiting = asyncio.ensure_future(request.wait())
        await turns()
        thread = threading.Thread(target=request.hurry)
        thread.start()
        await waiting
        thread.join()

    run(main)


def test_a_request_to_a_loop_that_has_ended_does_nothing() -> None:
    request = StopRequest(Stop.quick())

    async def main() -> None:
        request.bind(asyncio.get_running_loop())

    run(main)
    request.make()
    assert request.made


# -- plans -----------------------------------------------------------------------------


def test_a_plan_follows_the_options_and_can_be_sent() -> None:
    config = Config("x:app", drain_delay=3, timeout_graceful_shutdown=4)
    plan = Stop.of(config)
    assert (plan.drain, plan.graceful, plan.accept, plan.early) == (3, 4, True, False)
    assert Stop(**plan.fields()) == plan


def test_the_longest_stop_has_room_for_every_phase_and_the_lifespan() -> None:
    config = Config("x:app", drain_delay=3, timeout_graceful_shutdown=4, timeout_lifespan=5)
    ordinary, quick = longest_stop(config, Stop.of(config)), longest_stop(config, Stop.quick())
    assert ordinary is not None
    assert quick is not None
    assert ordinary - quick == pytest.approx(3 + 4)
    assert quick > stopping._TELL + stopping._CANCEL + stopping._ABORT + 5


def test_a_stop_whose_lifespan_may_take_for_ever_has_no_longest() -> None:
    config = Config("x:app", timeout_lifespan=0)
    assert longest_stop(config, Stop.quick()) is None


def test_a_signal_that_comes_twice_at_once_is_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(stopping, "time", clock)
    repeated = Repeated()
    assert not repeated.is_echo()
    assert repeated.is_echo()
    clock.now += 1.0
    assert not repeated.is_echo()
