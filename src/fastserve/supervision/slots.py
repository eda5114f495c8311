"""Slots and who serves in them: start, replacement first, back-off, scaling, the end.

slot EMPTY --start--> `coming` --started, go--> `serving`
`serving` and `wanted` --start--> `coming` as well --started, go--> `serving`; the old one retires
`serving` dies --> EMPTY: started anew at once, and again and again with growing pauses
`coming` dies or cannot start: what serves goes on serving
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastserve.board import Board
from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.sockets import Listeners
from fastserve.stopping import Stop
from fastserve.supervision.channel import Message
from fastserve.supervision.children import Child, Failure, Nursery, State, fate

__all__ = ["Fleet", "Slot"]

# A worker that dies sooner than this after it was ready has failed, and the next one waits.
_SETTLED = 5.0
_DELAY_FIRST = 0.25
_DELAY_MOST = 10.0

# How long a replaced worker goes on answering on the connections it has. Those that are in use
# have by then been closed by an answer that said so.
_HANDOVER = 3.0

_RENEWALS = ("reload", "upgrade")
_log = logging.getLogger("fastserve.error")


@dataclass(eq=False)
class Slot:
    """The place of one worker, from number 1 on; 0 is the admin process's."""

    number: int
    serving: Child | None = None
    coming: Child | None = None
    wanted: str | None = None  # why a successor is wanted
    failures: int = 0  # in a row
    due: float | None = 0.0  # when to start the next one; None: not before something changes

    def delay(self) -> float:
        """Another failure: seconds to wait before the next attempt."""
        self.failures += 1
        return min(_DELAY_FIRST * 2.0 ** (self.failures - 1), _DELAY_MOST)


class Fleet:
    """All slots. `heard` and `reap` take what happens in, `step` does what is due.

    `watch(child)` and `unwatch(child)` are called when a child begins and ends to be listened to.
    """

    def __init__(
        self,
        config: Config,
        board: Board,
        listeners: Listeners,
        admin_sockets: list[socket.socket] | None,
        nursery: Nursery,
        *,
        watch: Callable[[Child], None],
        unwatch: Callable[[Child], None],
    ) -> None:
        self._config = config
        self._board = board
        self._listeners = listeners
        self._admin_sockets = admin_sockets or []
        self._nursery = nursery
        self._watch = watch
        self._unwatch = unwatch
        self._developing = config.reload.reload
        self.slots = [Slot(i + 1) for i in range(len(listeners.slots))]
        self.admin = Slot(0) if admin_sockets is not None else None
        self.retiring: list[Child] = []
        self._leaving: list[Slot] = []  # scaled away, with a worker still; the highest first
        self.stopping = False
        self.served = False  # a worker has been ready at some time
        self.announced = False  # all have had their chance to start, and people were told
        self.renewing = False  # a rolling reload is under way
        self.failure: FastserveError | None = None
        self.status = 0
        board.set_slots(len(self.slots))

    # -- looking -----------------------------------------------------------------------

    def workers(self) -> list[Child]:
        """All that have not been found dead, but for the admin process."""
        found = [each for slot in self.slots for each in (slot.serving, slot.coming)]
        return [each for each in found if each is not None] + [
            each for each in self.retiring if each.slot
        ]

    def children(self) -> list[Child]:
        admin = self.admin
        found = [admin.serving, admin.coming] if admin is not None else []
        others = [each for each in self.retiring if not each.slot]
        return self.workers() + [each for each in found if each is not None] + others

    def serving(self) -> list[Child]:
        return [slot.serving for slot in self.slots if slot.serving is not None]

    def is_settled(self) -> bool:
        """Whether nothing is starting or waits to be replaced."""
        return not any(slot.coming or slot.wanted for slot in self.slots)

    def next_due(self) -> float | None:
        """When `step` is to be called, if nothing happens before; in monotonic seconds."""
        dues = [each.kill_at for each in self.children() if each.kill_at is not None]
        if not self.stopping:
            for slot in self._all_slots():
                if slot.coming is None and (slot.serving is None or slot.wanted) and slot.due:
                    dues.append(slot.due)
        return min(dues, default=None)

    def _all_slots(self) -> list[Slot]:
        return self.slots + ([self.admin] if self.admin is not None else [])

    def _slot(self, child: Child) -> Slot | None:
        return next((s for s in self._all_slots() if child in (s.serving, s.coming)), None)

    # -- doing what is due -------------------------------------------------------------

    def step(self) -> None:
        """Start, replace and end what is to be started, replaced and ended now."""
        now = time.monotonic()
        if not self.stopping:
            for slot in self._all_slots():
                empty = slot.serving is None and slot.coming is None
                if empty and slot.due is not None and slot.due <= now:
                    self._start(slot, "start")
            self._replace_next(now)
            if self._developing and self.announced and self.is_settled():
                self._nursery.prepare()
        elif not self.workers() and self.admin is not None:
            self._retire_slot(self.admin, Stop.quick())
        self._kill_stuck(now)

    def _replace_next(self, now: float) -> None:
        """One after another, so that memory and processors are asked for one start at a time."""
        slots = self._all_slots()
        if not self._developing and any(slot.coming and slot.wanted for slot in slots):
            return
        for slot in slots:
            if slot.wanted and slot.serving and not slot.coming and (slot.due or 0.0) <= now:
                self._start(slot, slot.wanted)
                if not self._developing:
                    return

    def _start(self, slot: Slot, cause: str) -> None:
        sockets, insecure = self._admin_sockets, []
        if slot.number:
            sockets, insecure = self._listeners.slots[slot.number - 1], self._listeners.insecure
        slot.due = None
        try:
            slot.coming = self._nursery.start(slot.number, sockets, cause, insecure)
        except FastserveError as error:
            self._not_started(slot, cause, Failure(error.message))
        else:
            self._watch(slot.coming)

    def _kill_stuck(self, now: float) -> None:
        for child in self.children():
            if child.kill_at is not None and child.kill_at <= now:
                child.kill_at = None
                _log.error("%s does not stop: killed", child.role)
                child.signal(signal.SIGKILL)

    # -- what happens ------------------------------------------------------------------

    def heard(self, child: Child) -> list[Message]:
        """Take what a child has said and act on it; what is not for the fleet is returned."""
        others = []
        for message in child.channel.take():
            if message["type"] == "started":
                self._started(child)
            elif message["type"] == "failed":
                child.failure = Failure(message["message"], message["details"])
            elif message["type"] == "replace":
                self.want(child, message["cause"])
            elif message["type"] == "trace":
                child.trace.append(message["line"])
            else:
                others.append(message)
        if child.channel.ended:
            self._unwatch(child)
        return others

    def reap(self) -> None:
        """Find out who has ended."""
        for child in self.children():
            code = child.poll()
            if code is not None:
                self.heard(child)
                self._ended(child, code)

    def _started(self, child: Child) -> None:
        slot = self._slot(child)
        if slot is None or child is not slot.coming:
            return  # told to stop meanwhile
        if slot.number:
            try:
                self._listeners.listen(slot.number - 1, self._config.bind.backlog)
            except FastserveError as error:
                self._retire(child, Stop.quick())
                slot.coming = None
                self._not_started(slot, child.cause, Failure(error.message))
                return
        child.state = State.SERVING
        child.ready_at = time.monotonic()
        former, slot.serving, slot.coming = slot.serving, child, None
        if slot.wanted == child.cause:
            slot.wanted = None
        child.channel.send("go")
        if slot.number:
            self._serves(child)
        if former is not None:
            self._board.count_restart(child.cause)
            self._retire(former, self._handover() if slot.number else Stop.quick())

    def _serves(self, child: Child) -> None:
        self._steer()
        if self.announced:
            _log.info("%s serves", child.role)
        self._first_served()

    def _first_served(self) -> None:
        """Once one worker could start, the others are tried again and again."""
        self.served = True
        now = time.monotonic()
        for slot in self.slots:
            if slot.serving is None and slot.coming is None and slot.due is None:
                slot.due = now + slot.delay()

    def _handover(self) -> Stop:
        """How a worker stops when another has taken its place."""
        if self._developing:
            return Stop.quick()
        seconds = max(self._config.process.drain_delay, _HANDOVER)
        graceful = self._config.timeouts.graceful_shutdown
        return Stop(drain=seconds, graceful=graceful, accept=False, early=True)

    def _ended(self, child: Child, code: int) -> None:
        self._unwatch(child)
        child.channel.close()
        self._board.give_back(child.row)
        slot = self._slot(child)
        if slot is None:
            self.retiring.remove(child)
            if not self.stopping:
                _log.info("%s has ended", child.role)
            self._note_end(code)
            self._close_leaving()
        elif child is slot.coming:
            slot.coming = None
            failure = child.failure or Failure(f"it died during start-up ({fate(code)})")
            self._not_started(slot, child.cause, failure)
        else:
            slot.serving = None
            if not self.stopping:
                self._died(slot, child, code)

    def _died(self, slot: Slot, child: Child, code: int) -> None:
        self._steer()
        now = time.monotonic()
        if code == 0:
            _log.info("%s has ended; starting another", child.role)
            self._board.count_restart("ended")
        else:
            _log.error("%s died (%s); starting another", child.role, fate(code))
            self._board.count_restart("crash")
        if slot.coming is not None:
            return  # its successor is on the way
        # The first failure is made good at once, later ones in a row wait longer and longer.
        soon = code == 0 or child.ready_at is None or now - child.ready_at >= _SETTLED
        slot.failures = 0 if soon else slot.failures
        wait = 0.0 if code == 0 else slot.delay()
        slot.wanted = None
        slot.due = now if slot.failures <= 1 else now + wait
        if slot.failures > 2:
            _log.error(
                "worker %d has died %d times in a row, the last time of %s; the next one "
                "starts in %g s", slot.number, slot.failures, fate(code), wait,
            )  # fmt: skip

    def _not_started(self, slot: Slot, cause: str, failure: Failure) -> None:
        """A child could not start: what serves goes on, and what is needed is tried again."""
        wait = slot.delay()
        slot.due = time.monotonic() + wait
        role = f"worker {slot.number}" if slot.number else "the admin process"
        told = f"\n{failure.details.rstrip()}" if failure.details else ""
        if slot.serving is not None:
            self._board.count_restart("failed")
            _log.error(
                "the new %s cannot start, the old one (pid %d) goes on serving: %s%s",
                role, slot.serving.pid, failure.message, told,
            )  # fmt: skip
            if cause in _RENEWALS:
                self._give_up_renewal(cause)
        elif self.served or not slot.number:
            self._board.count_restart("failed")
            _log.error(
                "%s cannot start: %s; the next try is in %g s%s", role, failure.message, wait, told
            )
        else:
            slot.due = None
            self._never_started(failure)

    def _never_started(self, failure: Failure) -> None:
        """Before anybody has served: if nobody can, more attempts would only hide why."""
        if any(slot.coming or slot.serving for slot in self.slots):
            return
        error = FastserveError(failure.message, details=failure.details)
        if self._developing:
            _log.error("%s\nwaiting for a change", error.report())
        else:
            self.failure = error
            self.stop(Stop.quick())

    def _give_up_renewal(self, cause: str) -> None:
        left = [slot for slot in self.slots if slot.wanted in _RENEWALS]
        for slot in left:
            slot.wanted = None
            slot.due = None
        self.renewing = False
        if len(left) > 1 or not self._developing:
            _log.error("the %s is given up; %d workers stay as they are", cause, len(left))

    def _note_end(self, code: int) -> None:
        """A worker that did not end well shows in the exit status, if it ends with us.

        SIGTERM has its default effect before a worker serves.
        """
        if self.stopping and code not in (0, -signal.SIGTERM):
            self.status = 1

    # -- orders ------------------------------------------------------------------------

    def want(self, child: Child, cause: str) -> bool:
        """Have a serving child replaced; False if it already is being replaced."""
        slot = self._slot(child)
        if slot is None or self.stopping or child is not slot.serving or slot.wanted:
            return False
        _log.info("%s is to be replaced (%s)", child.role, cause)
        slot.wanted = cause
        slot.due = None
        return True

    def renew(self, cause: str) -> None:
        """Replace every worker, one after another; what is just starting is too old already."""
        self.renewing = True
        for slot in self.slots:
            if slot.coming is not None:
                self._retire(slot.coming, Stop.quick())
                slot.coming = None
            slot.failures = 0
            if slot.serving is not None:
                slot.wanted = cause
                slot.due = None
            else:
                slot.due = time.monotonic()

    def grow(self) -> None:
        """One worker more."""
        if self._leaving:
            self.slots.append(self._leaving.pop())
        else:
            try:
                self.slots.append(Slot(self._listeners.add_slot() + 1))
            except FastserveError as error:
                _log.error("no worker more: %s", error.message)
                return
        self.slots[-1].due = time.monotonic()
        self._scaled()

    def shrink(self) -> None:
        """One worker less, as long as one is left."""
        if len(self.slots) == 1:
            _log.warning("one worker stays")
            return
        slot = self.slots.pop()
        self._leaving.append(slot)
        self._scaled()
        # New connections go elsewhere now; those in its queue are still accepted.
        plan = self._handover()
        self._retire_slot(slot, Stop(**plan.fields() | {"accept": True, "early": False}))
        slot.wanted = None
        slot.failures = 0
        self._close_leaving()

    def _scaled(self) -> None:
        _log.info("workers wanted: %d", len(self.slots))
        self._board.set_slots(len(self.slots))
        self._steer()

    def stop(self, plan: Stop) -> None:
        """Stop all workers, and the admin process after them."""
        for child in self.retiring:
            child.retire(plan, self._config)
        if not self.stopping:
            self.stopping = True
            for slot in self.slots:
                self._retire_slot(slot, plan)

    def hurry(self) -> None:
        """All that are stopping skip to their next phase."""
        for child in self.retiring:
            child.channel.send("hurry")

    def tell(self, type: str) -> None:
        """A message to every child that listens."""
        for child in self.children():
            if child.state is not State.STARTING:
                child.channel.send(type)

    def kill(self) -> None:
        """End everything now; for the way out of an error."""
        for child in self.children():
            child.signal(signal.SIGKILL)
            while child.poll() is None:
                time.sleep(0.001)

    def adopt(self, children: list[Child]) -> None:
        """Take over the children of the program before: all that serve are to be replaced."""
        self.served = self.renewing = True
        for child in children:
            self._watch(child)
            slot = next((s for s in self._all_slots() if s.number == child.slot), None)
            if child.state is State.SERVING and slot is not None and slot.serving is None:
                slot.serving, slot.wanted, slot.due = child, "upgrade", None
            else:
                self._retire(
                    child, Stop.quick() if child.state is State.STARTING else self._handover()
                )
        self._steer()

    # -- parts -------------------------------------------------------------------------

    def _retire_slot(self, slot: Slot, plan: Stop) -> None:
        for child in (slot.serving, slot.coming):
            if child is not None:
                self._retire(child, plan)
        slot.serving = slot.coming = None

    def _retire(self, child: Child, plan: Stop) -> None:
        self.retiring.append(child)
        child.retire(plan, self._config)

    def _close_leaving(self) -> None:
        """Close the sockets of slots that are gone, when their workers are."""
        while self._leaving and not any(
            each.slot == self._leaving[0].number for each in self.retiring
        ):
            if not self.stopping:
                self._listeners.remove_slot(self._leaving[0].number - 1)
            self._leaving.pop(0)

    def _steer(self) -> None:
        """Send new connections to those who serve, if anybody does."""
        serving = [slot.number - 1 for slot in self.slots if slot.serving is not None]
        if serving and not self.stopping:
            self._listeners.steer(serving)
