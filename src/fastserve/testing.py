"""A running server for tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from fastserve.config import Config
from fastserve.loops import loop_factory
from fastserve.server import Server
from fastserve.stopping import Stop

__all__ = ["RunningServer", "serve"]


class RunningServer:
    """What a test needs to know of a server that runs in another thread.

    `server` is the `Server`. Over TCP, `url` is `http://host:port` without a slash at the
    end; over a Unix socket `uds` is its path, `url` is `http://localhost` and `host` and
    `port` are empty and 0. With a certificate, `url` begins with `https`.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.uds = server.config.bind.uds
        split = urlsplit(server.urls[0])
        self.host = "" if self.uds else split.hostname or ""
        self.port = 0 if self.uds else split.port or 0
        scheme = "https" if server.config.tls.is_on else "http"
        self.url = f"{scheme}://localhost" if self.uds else server.urls[0]


@contextlib.contextmanager
def serve(app: object, **options: Any) -> Iterator[RunningServer]:
    """Serve `app` in a thread of its own while the body runs.

    `options` are those of `Config`; here the port is a free one, no access log is written
    and a stop waits one second for requests under way, unless they say otherwise. Raises
    what keeps the server from starting, and at the end what went wrong in stopping.
    """
    settings = {"port": 0, "access_log": False, "timeout_graceful_shutdown": 1.0} | options
    thread = _Thread(Config(app, **settings))
    thread.start()
    thread.settled.wait()
    if thread.error is not None or not thread.server.started:
        thread.join()
        raise thread.error or RuntimeError("the server ended before it had started")
    try:
        yield RunningServer(thread.server)
    finally:
        # What a test has left idle is closed at once: no request of its own is under way on it.
        thread.server.stop(replace(Stop.of(thread.server.config), quiet=0.0))
        thread.join()
    if thread.error is not None:
        raise thread.error


class _Thread(threading.Thread):
    def __init__(self, config: Config) -> None:
        super().__init__(name="fastserve-testing", daemon=True)
        self.settled = threading.Event()  # it serves, or never will
        self.error: BaseException | None = None
        self.server = Server(config, on_started=lambda _: self.settled.set())

    def run(self) -> None:
        try:
            factory = loop_factory(self.server.config.process.loop)
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self.server.serve())
        except BaseException as error:
            self.error = error
        finally:
            self.settled.set()
