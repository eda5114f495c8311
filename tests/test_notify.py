"""sd_notify: what a service manager hears, on a real datagram socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserve.notify import Notifier


class Manager:
    """The service manager's side."""

    def __init__(self, address: str | bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def heard(self) -> str:
        return self.socket.recv(4096).decode()

    def has_heard_nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            return not self.socket.recv(4096)
        except BlockingIOError:
            return True


@pytest.fixture
def place() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield str(Path(directory) / "notify")


@pytest.fixture
def manager(place: str) -> Iterator[Manager]:
    manager = Manager(place)
    yield manager
    manager.socket.close()


def test_the_manager_hears_of_start_and_stop(manager: Manager, place: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": place})
    notifier.ready()
    assert manager.heard() == "READY=1"
    notifier.ready("2 workers\non 127.0.0.1:8000")
    assert manager.heard() == "READY=1\nSTATUS=2 workers on 127.0.0.1:8000"
    notifier.status("1 worker blocked")
    assert manager.heard() == "STATUS=1 worker blocked"
    notifier.watchdog()
    assert manager.heard() == "WATCHDOG=1"
    notifier.stopping("draining")
    assert manager.heard() == "STOPPING=1\nSTATUS=draining"


def test_a_reload_tells_the_time_of_the_monotonic_clock(manager: Manager, place: str) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    Notifier(place).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.heard().split("\n")
    assert first == "RELOADING=1"
    name, _, microseconds = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(microseconds) <= after


def test_an_abstract_address_is_reached() -> None:
    name = f"fastserve-test-{os.getpid()}"
    try:
        manager = Manager(b"\0" + name.encode())
    except OSError as error:
        pytest.skip(f"this system has no abstract addresses: {error}")
    Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.heard() == "READY=1"
    manager.socket.close()


def test_children_do_not_inherit_what_names_the_manager(place: str) -> None:
    environment = {
        "NOTIFY_SOCKET": place,
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = Notifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.watchdog_interval == 1.5


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "500000"}, 0.25),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(
    environment: dict[str, str], interval: float | None
) -> None:
    environment["NOTIFY_SOCKET"] = "/run/notify"
    assert Notifier.from_environment(environment).watchdog_interval == interval


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_an_address_it_can_use_it_is_silent(address: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert notifier == Notifier(None, None)
    notifier.ready("nobody listens")
    notifier.reloading()
    notifier.stopping()


def test_a_manager_that_is_gone_is_no_error(manager: Manager, place: str) -> None:
    manager.socket.close()
    notifier = Notifier(place)
    notifier.ready()
    os.unlink(place)
    notifier.watchdog()
    Notifier("/" + "x" * 300).stopping()


def test_a_manager_that_reads_nothing_keeps_nobody_waiting(manager: Manager, place: str) -> None:
    queued = 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd:
        crowd.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                crowd.sendto(b"crowd", place)
                queued += 1
    Notifier(place).status("unheard")
    assert [manager.heard() for _ in range(queued)] == ["crowd"] * queued
    assert manager.has_heard_nothing()


def test_it_goes_on_after_an_exec(manager: Manager, place: str) -> None:
    notifier = Notifier(place, 2.5)
    adopted = Notifier.adopt(json.loads(json.dumps(notifier.handover())))
    assert adopted == notifier
    adopted.ready()
    assert manager.heard() == "READY=1"
    assert manager.has_heard_nothing()
