"""HTTP/1.1 clients and a bounded load made of them, which tell how each request went.

Outcomes: `ok`; `refused` (no connection); `reset` (a new connection ended without an answer);
`cut` (the answer broke off); `5xx`; `timeout`; and `stale`: the request went out on a connection
that had served before and was closed before any byte of the answer came. HTTP clients know the last
as the race of persistent connections (RFC 9112 section 9.3.1) and send such a request again if it
may be repeated.
A connection found closed before anything was sent on it is simply replaced, as clients do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
REQUEST = b"%s %s HTTP/1.1\r\nHost: service\r\n%s\r\n"
CLOSE = b"Connection: close\r\n"
OUTCOMES = ("refused", "reset", "cut", "5xx", "timeout", "stale")


class Broken(Exception):
    """A request without a whole answer; `kind` is one of OUTCOMES."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    closes: bool  # the server will close the connection


class Connection:
    """One connection to the server. `used`: an answer has come on it already."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.opened = time.monotonic()
        self.used = False
        self.received = b""
        self.begun = False  # a byte of the answer asked for has come

    @classmethod
    async def open(cls, port: int, timeout: float = 5) -> Connection:
        """Connect. Raises Broken: `refused`, or `timeout` if nobody answers."""
        try:
            async with asyncio.timeout(timeout):
                return cls(*await asyncio.open_connection(HOST, port))
        except TimeoutError:
            raise Broken("timeout") from None
        except OSError:
            raise Broken("refused") from None

    @property
    def gone(self) -> bool:
        """Whether the server's end of the connection has already been seen."""
        return self.reader.at_eof() or self.reader.exception() is not None

    def close(self) -> None:
        self.writer.close()

    async def get(self, path: str, timeout: float = 5, fields: bytes = b"") -> Answer:
        """Ask once, and read the whole answer. Raises Broken."""
        self.received, self.begun = b"", False
        try:
            async with asyncio.timeout(timeout):
                self.writer.write(REQUEST % (b"GET", path.encode(), fields))
                answer = await self.answer()
        except TimeoutError:
            raise Broken("timeout") from None
        except (OSError, EOFError):
            raise Broken(self.broken()) from None
        self.used = True
        return answer

    def broken(self) -> str:
        """What to call it that the connection has ended instead of an answer."""
        if self.begun:
            return "cut"
        return "stale" if self.used else "reset"

    async def more(self) -> None:
        """Take what comes. Raises EOFError or OSError if the connection ends instead."""
        data = await self.reader.read(65536)
        if not data:
            raise EOFError
        self.begun = True
        self.received += data

    async def answer(self) -> Answer:
        """The next answer. Raises as `more` does."""
        while b"\r\n\r\n" not in self.received:
            await self.more()
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        fields = dict(line.split(b":", 1) for line in lines[1:])
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            while not self.received.endswith(b"0\r\n\r\n"):
                await self.more()
        else:
            while len(self.received) < int(fields.get(b"content-length", 0)):
                await self.more()
        closes = b"close" in fields.get(b"connection", b"")
        return Answer(int(lines[0].split()[1]), self.received, closes)


@dataclass(frozen=True)
class Record:
    """One request of the load; times are of time.monotonic()."""

    client: str  # "new" or "kept"
    begun: float
    ended: float
    opened: float  # when its connection was opened; that of the request if there was none
    outcome: str


@dataclass
class Tally:
    """What became of some requests."""

    requests: int
    failed: dict[str, int]  # kinds but for `stale`
    stale: int

    @classmethod
    def of(cls, records: Iterable[Record]) -> Tally:
        count = Counter(record.outcome for record in records)
        failed = {kind: count[kind] for kind in OUTCOMES if count[kind] and kind != "stale"}
        return cls(sum(count.values()), failed, count["stale"])

    @property
    def failures(self) -> int:
        return sum(self.failed.values())


class Load:
    """Clients of both kinds at a bounded rate: a context manager, load runs inside of it.

    new    a connection for each request, which says so (`Connection: close`), `rate` in a second
    kept   `clients` connections that stay open, a request on each every `interval` seconds or so
    """

    MOST = 200  # requests of the first kind under way at once

    def __init__(
        self, port: int, rate: int = 100, clients: int = 10, interval: float = 0.05
    ) -> None:
        self.port = port
        self.rate = rate
        self.clients = clients
        self.interval = interval
        self.records: list[Record] = []
        self.stopping = False
        self.tasks: list[asyncio.Task[None]] = []
        self.under_way: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Load:
        self.tasks = [asyncio.create_task(self.keep(number)) for number in range(self.clients)]
        self.tasks.append(asyncio.create_task(self.renew()))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Begin nothing more; requests under way get their answer or time out."""
        self.stopping = True
        await asyncio.gather(*self.tasks)
        await asyncio.gather(*self.under_way)

    def record(
        self, client: str, begun: float, connection: Connection | None, outcome: str
    ) -> None:
        opened = connection.opened if connection else begun
        self.records.append(Record(client, begun, time.monotonic(), opened, outcome))

    async def renew(self) -> None:
        """Start requests of the first kind by the clock, whatever becomes of the earlier ones."""
        next_one = time.monotonic()
        while not self.stopping:
            if len(self.under_way) < self.MOST:
                task = asyncio.create_task(self.once())
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
            next_one = max(next_one + 1 / self.rate, time.monotonic() - 0.1)
            await asyncio.sleep(max(0.0, next_one - time.monotonic()))

    async def once(self) -> None:
        begun, connection = time.monotonic(), None
        try:
            connection = await Connection.open(self.port)
            answer = await connection.get("/", fields=CLOSE)
            outcome = "ok" if answer.status < 500 else "5xx"
        except Broken as broken:
            outcome = broken.kind
        self.record("new", begun, connection, outcome)
        if connection:
            connection.close()

    async def keep(self, number: int) -> None:
        """One client of the second kind."""
        chance = random.Random(number)
        connection: Connection | None = None
        while not self.stopping:
            await asyncio.sleep(self.interval * chance.uniform(0.5, 1.5))
            connection = await self.ask_again(connection)
        if connection:
            connection.close()

    async def ask_again(self, connection: Connection | None) -> Connection | None:
        """One request; the connection to use for the next one, None if that needs a new one."""
        if connection and connection.gone:
            connection.close()
            connection = None
        begun, stays = time.monotonic(), False
        try:
            connection = connection or await Connection.open(self.port)
            answer = await connection.get("/")
            outcome = "ok" if answer.status < 500 else "5xx"
            stays = not answer.closes
        except Broken as broken:
            outcome = broken.kind
        self.record("kept", begun, connection, outcome)
        if connection and not stays:
            connection.close()
        return connection if stays else None
