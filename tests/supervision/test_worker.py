"""A worker, by itself: what it says to its supervisor and does as it is told."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.client import Client, request
from support.process import PATIENCE, Command, clean_environment, eventually, running
from support.service import APP, Service, client_of

from fastserve import Config
from fastserve.board import Board
from fastserve.stopping import Stop
from fastserve.supervision.channel import Channel, Message
from fastserve.supervision.worker import Order


class Worker:
    """The process, and the supervisor's end of its channel."""

    def __init__(self, process: subprocess.Popen[str], channel: Channel, directory: Path) -> None:
        self.command = Command(process)
        self.service = Service(self.command, directory, APP)
        self.channel = channel
        self.board = Board.create(8)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.row = -1
        self._messages: list[Message] = []

    @property
    def pid(self) -> int:
        return self.command.process.pid

    def order(self, slot: int = 1, **options: Any) -> None:
        self.row = self.board.take(slot)
        config = Config("main:app", access_log=False, **options)
        path = (str(self.service.directory), *sys.path)
        order = Order(config, slot, self.row, path, ("fastserve", "main:app"))
        assert self.board.fd is not None
        assert self.channel.send_order(order.encode(), [self.board.fd, self.listener.fileno()])

    def heard(self, kind: str) -> Message:
        """The next message, which is of this kind."""
        while not self._messages:
            assert select.select([self.channel], [], [], PATIENCE)[0], "it says nothing"
            self._messages += self.channel.take()
            assert self._messages or not self.channel.ended, self.command.err.text
        message = self._messages.pop(0)
        assert message["type"] == kind, message
        return message

    def serve(self, **options: Any) -> None:
        self.order(**options)
        self.heard("started")
        assert self.channel.send("go")

    def stop(self, plan: Stop) -> None:
        assert self.channel.send("stop", plan=plan.fields())

    def ask(self, path: str) -> Client:
        """A client that has asked for `path` and has not read the answer."""
        client = client_of(self.url)
        client.send(request("GET", path))
        return client

    def phase(self) -> str:
        return next(each.phase for each in self.board.rows() if each.index == self.row)

    def close(self) -> None:
        self.channel.close()
        self.board.close()
        self.listener.close()


@contextmanager
def spawned(directory: Path, source: str = APP) -> Iterator[Worker]:
    """An interpreter that waits for its order."""
    (directory / "main.py").write_text(source)
    ours, theirs = Channel.pair()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastserve.supervision.worker", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=directory,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    worker = Worker(process, ours, directory)
    try:
        yield worker
    finally:
        if process.poll() is None:
            process.kill()
        worker.command.exit()
        worker.close()


# -- starting --------------------------------------------------------------------------


def test_it_says_that_it_has_started_and_accepts_when_told(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.order()
        worker.heard("started")
        assert worker.service.events("up") == [worker.pid]
        with pytest.raises(httpx.ConnectError):
            httpx.get(worker.url)
        assert worker.channel.send("go")
        eventually(lambda: worker.phase() == "serving")
        assert httpx.get(worker.url).text == "one"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('no settings')", "cannot import"),
        ("app = 1", "main:app"),
        (APP + "\nopen('refuse', 'w').close()\n", "no database"),
    ],
)
def test_a_failure_to_start_is_told_to_the_supervisor_alone(
    tmp_path: Path, source: str, message: str
) -> None:
    with spawned(tmp_path, source) as worker:
        worker.order()
        told = worker.heard("failed")
        assert message in told["message"]
        assert ("ValueError: no settings" in (told["details"] or "")) == ("settings" in source)
        assert worker.command.exit() == 3
        assert (worker.command.out.text, worker.command.err.text) == ("", "")


def test_one_without_an_order_ends_with_its_supervisor(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.channel.close()
        assert worker.command.exit() == 0
        assert worker.command.err.text == ""


# -- stopping --------------------------------------------------------------------------


@pytest.mark.parametrize("goes", [True, False], ids=["serving", "before go"])
def test_it_stops_as_it_is_told(tmp_path: Path, goes: bool) -> None:
    with spawned(tmp_path) as worker:
        worker.order()
        worker.heard("started")
        if goes:
            assert worker.channel.send("go")
            eventually(lambda: worker.phase() == "serving")
        worker.stop(Stop(drain=0, graceful=10))
        worker.service.assert_ends()
        assert worker.service.events("down") == [worker.pid]


def test_it_stops_with_go_and_stop_at_once(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.serve()
        worker.stop(Stop(drain=0, graceful=10))
        worker.service.assert_ends()


def test_a_hurry_ends_the_drain(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.serve()
        worker.stop(Stop(drain=1000, graceful=10))
        eventually(lambda: worker.phase() == "draining")
        assert httpx.get(worker.url).text == "one"
        assert worker.channel.send("hurry")
        worker.service.assert_ends()


def test_it_stops_when_its_supervisor_is_gone_and_answers_first(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.serve()
        eventually(lambda: worker.phase() == "serving")
        with worker.ask("/hold") as client:
            worker.service.wait_for("holding")
            worker.channel.close()
            eventually(lambda: worker.phase() == "stopping")
            worker.service.touch("release")
            assert client.response().text == "one"
        worker.service.assert_ends()


def test_the_supervisors_signals_are_not_for_it(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.serve()
        eventually(lambda: worker.phase() == "serving")
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTTOU):
            os.kill(worker.pid, number)
        assert httpx.get(worker.url).text == "one"
        os.kill(worker.pid, signal.SIGTERM)
        worker.service.assert_ends()


# -- while it serves -------------------------------------------------------------------


def test_it_explains_where_it_stands(tmp_path: Path) -> None:
    block = """
@route
async def block(scope, receive, send):
    note("blocking")
    while not is_there("release"):
        time.sleep(0.01)
    await answer(send, VERSION)
"""
    with spawned(tmp_path, APP + block) as worker:
        worker.serve()
        eventually(lambda: worker.phase() == "serving")
        with worker.ask("/block") as client:
            worker.service.wait_for("blocking")
            assert worker.channel.send("explain")
            told = worker.heard("explained")
            assert told["request"] == "GET /block"
            assert "in block" in told["stack"]
            worker.service.touch("release")
            assert client.response().text == "one"


def test_at_its_limit_of_requests_it_asks_for_a_successor_and_goes_on(tmp_path: Path) -> None:
    with spawned(tmp_path) as worker:
        worker.serve(limit_max_requests=2)
        eventually(lambda: worker.phase() == "serving")
        for _ in range(2):
            assert httpx.get(worker.url).text == "one"
        assert worker.heard("replace")["cause"] == "requests"
        assert httpx.get(worker.url).text == "one"
        assert running(worker.pid)
        worker.stop(Stop.quick())
        worker.service.assert_ends()


def test_the_admin_process_serves_no_application(tmp_path: Path) -> None:
    with spawned(tmp_path, "raise ValueError") as worker:
        worker.order(slot=0, admin_bind="127.0.0.1:0")
        worker.heard("started")
        assert worker.channel.send("go")
        eventually(lambda: worker.phase() == "serving")
        assert httpx.get(f"{worker.url}/livez").status_code == 200
        os.kill(worker.pid, signal.SIGTERM)  # the supervisor's word is what ends it
        assert httpx.get(f"{worker.url}/livez").status_code == 200
        worker.stop(Stop.quick())
        assert worker.command.exit() == 0
