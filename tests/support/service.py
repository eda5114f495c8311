"""An application in a file, served by workers, that writes down how its processes fare.

Into the file `events`, beside it, it writes "imported", "starting", "up" and "down", each with
the process. It waits for files that a test makes, so that no test depends on time.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.client import Client, request
from support.process import Command, eventually, running, started

APP = """
import asyncio, os, re, time

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = "one"
ROUTES = {}

def note(what):
    with open(os.path.join(HERE, "events"), "a") as file:
        file.write(f"{what} {os.getpid()}\\n")

def is_there(name):
    return os.path.exists(os.path.join(HERE, name))

async def until(name):
    while not is_there(name):
        await asyncio.sleep(0.01)

def route(handler):
    ROUTES["/" + handler.__name__] = handler
    return handler

async def answer(send, text):
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/":
        await answer(send, VERSION)
    else:
        await ROUTES[scope["path"]](scope, receive, send)

async def lifespan(receive, send):
    await receive()
    note("starting")
    while is_there("slow"):
        await asyncio.sleep(0.01)
    if is_there("refuse"):
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
    await send({"type": "lifespan.startup.complete"})
    note("up")
    await receive()
    note("down")
    await send({"type": "lifespan.shutdown.complete"})

@route
async def pid(scope, receive, send):
    await answer(send, str(os.getpid()))

@route
async def hold(scope, receive, send):
    note("holding")
    await until("release")
    await answer(send, VERSION)

note("imported")
"""

_COUNTS = 0.3  # seconds; one that comes sooner is taken for an echo
REPLACED = "all workers are replaced"


@dataclass
class Service:
    """The running command and the directory of its application."""

    command: Command
    directory: Path
    source: str

    @property
    def url(self) -> str:
        return self.command.url

    @property
    def log(self) -> str:
        return self.command.err.text

    def wait_for_log(self, pattern: str, count: int = 1) -> re.Match[str]:
        return self.command.err.wait_for(pattern, count)

    def signal(self, number: int) -> None:
        self.command.signal(number)

    def connect(self) -> Client:
        """A client of the first address."""
        return client_of(self.url)

    def wait_until_refused(self) -> None:
        """Until nobody listens on the first address, which is a TCP one."""

        def is_refused() -> bool:
            try:
                self.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(is_refused)

    def ask(self, path: str, *lines: str) -> Client:
        """A client that has asked for `path` and has not read the answer."""
        client = self.connect()
        client.send(request("GET", path, *lines))
        return client

    # -- files -------------------------------------------------------------------------

    def release(self, version: str) -> None:
        """A new version of the application, which answers so."""
        self.write(self.source.replace('VERSION = "one"', f'VERSION = "{version}"'))

    def write(self, source: str) -> None:
        (self.directory / "main.py").write_text(source)

    def touch(self, name: str) -> None:
        (self.directory / name).touch()

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()

    def events(self, what: str) -> list[int]:
        """The processes that have written `what`, in order."""
        file = self.directory / "events"
        lines = file.read_text().splitlines() if file.exists() else []
        return [int(line.split()[1]) for line in lines if line.split()[0] == what]

    def wait_for(self, what: str, count: int = 1) -> list[int]:
        """The processes that have written `what`, when there are so many."""
        eventually(lambda: len(self.events(what)) >= count)
        return self.events(what)

    # -- the end -----------------------------------------------------------------------

    def stop(self, *, lost: Collection[int] = ()) -> None:
        """Stop it: status 0, and nothing is left; `lost` did not end of themselves."""
        self.signal(signal.SIGTERM)
        self.assert_ends(lost=lost)

    def signal_later(self, number: int) -> None:
        """A signal so long after another that it is not taken for an echo of that."""
        threading.Event().wait(_COUNTS)
        self.signal(number)

    def insist(self) -> None:
        """Send SIGTERM once more and see all of it end."""
        self.signal_later(signal.SIGTERM)
        self.assert_ends()

    def assert_ends(self, *, lost: Collection[int] = ()) -> None:
        status = self.command.exit()
        assert status == 0, f"status {status}:\n{self.log}"
        self.assert_left_nothing(lost=lost)

    def kill(self) -> None:
        """End what a failed test has left; a worker in native code would never end by itself."""
        self.command.process.kill()
        for pid in filter(running, self.events("imported")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def assert_left_nothing(self, *, lost: Collection[int] = ()) -> None:
        """Each process has ended, and its lifespan's shutdown ran unless it is one of `lost`."""
        assert not [pid for pid in self.events("imported") if running(pid)]
        kept = [pid for pid in self.events("up") if pid not in lost]
        assert sorted(self.events("down")) == sorted(kept)

    def replaced_first(self, cause: str) -> int:
        """How many workers were replaced for `cause` and have ended; each had a successor then."""
        asked = r"(worker \d+) \(pid (\d+)\) is to be replaced"
        ended = 0
        for match in re.finditer(rf"{asked} \({cause}\)", self.log):
            role, pid = match.groups()
            end = self.log.find(f"{role} (pid {pid}) has ended", match.end())
            if end >= 0:
                serves = re.compile(rf"{role} \(pid (?!{pid}\))\d+\) serves")
                assert serves.search(self.log, match.end(), end), self.log
                ended += 1
        return ended


def client_of(url: str) -> Client:
    if url.startswith("unix:"):
        return Client(url.removeprefix("unix:"))
    host, _, port = url.removeprefix("http://").rpartition(":")
    return Client((host.strip("[]"), int(port)))


@contextmanager
def serve(
    directory: Path,
    *options: str,
    workers: int | None = 2,
    more: str = "",
    places: Sequence[str] = ("--port", "0"),
    launcher: Sequence[str] = (),
    **others: Any,
) -> Iterator[Service]:
    """`APP`, and `more` after it, served from `directory` with `options`, when it serves.

    `launcher` are arguments of a Python that replaces itself by one with those after them.
    """
    source = APP + more
    (directory / "main.py").write_text(source)
    count = [] if workers is None else ["--workers", str(workers)]
    arguments = ["main:app", *places, *count, "--no-access-log", *options]
    if launcher:
        arguments = [*launcher, "-m", "fastserve", *arguments]
        others["module"] = ""
    # What was compiled is found by a file's whole second and size: too coarse for `release`.
    environment = {"PYTHONDONTWRITEBYTECODE": "1"} | others.pop("env", {})
    with started(arguments, directory, env=environment, **others) as command:
        service = Service(command, directory, source)
        try:
            assert service.url
            yield service
        except BaseException:
            service.kill()
            raise
