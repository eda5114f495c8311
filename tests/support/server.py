"""A running server for a test, through the package's own test helper."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastserve import testing

from .client import Client

SHARED_THREADS: set[threading.Thread] = set()
"""Threads of servers that outlive one test on purpose (see ServerPool)."""


@dataclass
class Running:
    """A server that runs in a thread of its own, and the clients a test has opened to it."""

    url: str
    host: str
    port: int
    uds: str | None
    peer: type[Client] = Client
    clients: list[Client] = field(default_factory=list)

    def connect(self, **options: Any) -> Any:
        client = self.peer(self.uds or (self.host, self.port), **options)
        self.clients.append(client)
        return client

    def get(self, target: str = "/", *lines: str) -> Any:
        """One GET over a connection of its own."""
        with self.connect() as client:
            return client.get(target, *lines)


@contextmanager
def serve(app: Any, *, peer: type[Client] = Client, **options: Any) -> Iterator[Running]:
    """Runs `app` until the block ends.  The test's clients are closed before the server stops.

    `peer` is what its `connect` makes.
    Options are those of `fastserve.testing.serve`; the access log is off unless asked for.
    """
    options.setdefault("access_log", False)
    with testing.serve(app, **options) as server:
        running = Running(server.url, server.host, server.port, options.get("uds"), peer)
        try:
            yield running
        finally:
            for client in running.clients:
                client.close()


class ServerPool:
    """Servers that several tests share, one for each pair of application and options."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._servers: dict[Any, Running] = {}

    def get(self, key: Any, app: Any, **options: Any) -> Running:
        if key not in self._servers:
            before = set(threading.enumerate())
            self._servers[key] = self._stack.enter_context(serve(app, **options))
            SHARED_THREADS.update(set(threading.enumerate()) - before)
        return self._servers[key]

    def close(self) -> None:
        self._stack.close()
        self._servers.clear()
        SHARED_THREADS.clear()
