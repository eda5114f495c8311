"""A server under attack, with clients that behave beside those that do not.

`victim` starts the command, lets two ordinary clients ask it all along, one on a connection that
stays and one on a new connection for each request, and sees at the end that each request of theirs
was answered, and that nothing is left of the attack: no connection, exchange, task or descriptor,
no memory beyond a bound, nothing in the log that the test has not announced, and an orderly end.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from support.certificates import Authority
from support.client import Client
from support.load import Load, load
from support.process import PATIENCE, Command, eventually, started

APP = Path(__file__).parents[1] / "attacks" / "attacked_app.py"
HOST = "127.0.0.1"
MIB = 1 << 20

# What a server may have grown by when an attack is over: buffers and arenas that the allocators
# keep, at most some 4 MiB of it in these tests. What they would leak is more in each of them.
GROWTH = 24 * MIB
SERVED = 5
_LOUD = re.compile(
    r"^(?:\S+ \S+ (?:WARNING|ERROR|CRITICAL) +"  # text, or else JSON and logfmt
    r'|.*?level"?[:=]"?(?:warning|error|critical)\b.*?message"?[:=]"?)(.*)',
    re.MULTILINE,
)
_LISTENS = re.compile(r"fastserve \S+ on ([^\s,]+)")


@dataclass
class Victim:
    """The running server; `attackers` are closed before its end is judged."""

    command: Command
    directory: Path
    authority: Authority | None = None
    prelude: bytes = b""
    log_file: str = ""
    attackers: list[Client] = field(default_factory=list)
    load: list[Load] = field(default_factory=list)
    grown: int = GROWTH

    @property
    def url(self) -> str:
        """Where it says it listens; waits until it says so."""
        if self.log_file:
            eventually(lambda: _LISTENS.search(self.log) is not None)
            return _LISTENS.findall(self.log)[0]  # type: ignore[no-any-return]
        return self.command.url

    @property
    def address(self) -> tuple[str, int] | str:
        url = self.url
        return url.removeprefix("unix:") if url[:5] == "unix:" else (HOST, int(url.split(":")[2]))

    @property
    def log(self) -> str:
        """The messages so far."""
        if not self.log_file:
            return self.command.err.text
        path = self.directory / self.log_file
        return path.read_text() if path.exists() else ""

    @property
    def access(self) -> str:
        """The access lines so far."""
        return (self.directory / "access").read_text()

    @cached_property
    def context(self) -> ssl.SSLContext | None:
        return self.authority.client_context() if self.authority else None

    # -- attacking ---------------------------------------------------------------------

    def connect(self, **options: Any) -> Client:
        """A connection of the attacker's: without TLS, whatever the server speaks."""
        client = Client(self.address, **options)
        self.attackers.append(client)
        return client

    def speak(self, context: ssl.SSLContext | None = None, **options: Any) -> Client:
        """A connection of the attacker's that speaks what the server does."""
        client = self.connect(**options)
        if self.prelude:
            client.send(self.prelude)
        if self.authority:
            context = context or self.context
            assert context is not None
            client.sock = context.wrap_socket(client.sock, server_hostname=HOST)
        return client

    def leave(self, how: Callable[[Client], None] = Client.close) -> None:
        """All attackers go."""
        for client in self.attackers:
            how(client)
        self.attackers.clear()

    def assert_ends_attacks(self) -> None:
        """It ends the attackers' connections, who do nothing about it, and what they began."""
        others = 1 + len(self.load)
        self.account_when(
            lambda seen: seen["objects"]["Connection"] <= others >= seen["objects"]["Exchange"]
        )

    # -- what others see ---------------------------------------------------------------

    def serves(self, more: int = SERVED) -> None:
        """The others are served just now."""
        for each in self.load:
            each.wait_for(more)
            assert each.failures == []

    def account(self) -> dict[str, Any]:
        """What lives in the server: nothing but the asking, if all is well."""
        with Client(self.address) as client:
            client.send(self.prelude)
            if self.context:
                client.sock = self.context.wrap_socket(client.sock, server_hostname=HOST)
            seen = json.loads(client.get("/account").body)
        assert isinstance(seen, dict)
        return seen

    def account_when(self, ripe: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The account as soon as it is `ripe`."""
        deadline = time.monotonic() + PATIENCE
        while not ripe(seen := self.account()):
            assert time.monotonic() < deadline, f"it stays so: {seen}"
            time.sleep(0.05)
        return seen

    def assert_rests(self, before: dict[str, Any]) -> None:
        """Nothing is left of the attack."""
        after = self.account_when(
            lambda seen: all(seen[name] == before[name] for name in before if name != "memory")
        )
        growth = after["memory"] - before["memory"]
        assert growth < self.grown, f"{growth >> 10} KiB more"


def assert_announced(log: str, announced: Sequence[str]) -> None:
    """Every message of warning level and above is announced, and there is no other traceback."""
    loud = _LOUD.findall(log)
    wrong = [line for line in loud if not any(re.match(each, line) for each in announced)]
    assert wrong == [], log[-3000:]
    crashes = sum(line.startswith("Exception in ASGI application") for line in loud)
    assert log.count("Traceback") <= crashes


@contextmanager
def victim(
    directory: Path,
    *options: str,
    log_file: str = "",
    authority: Authority | None = None,
    announced: Sequence[str] = (),
    keep_alive: Sequence[bool] = (True, False),
    prelude: bytes = b"",
    place: Sequence[str] = ("--port", "0"),
    launcher: Sequence[str] = (),
    grown: int = GROWTH,
) -> Iterator[Victim]:
    """A victim with `options`, for as long as the attack lasts.

    `announced`: patterns of messages that may be in its log, which is in `log_file` if that is
    given, else what it writes to stderr. `prelude`: what ordinary clients
    send before anything else. `launcher`: arguments of a Python that becomes the one behind them.
    """
    if authority is not None:
        issued = authority.issue(HOST)
        options = (*options, "--ssl-certfile", issued.certfile, "--ssl-keyfile", issued.keyfile)
    arguments = [f"{APP}:app", *place, "--lifespan", "off", "--access-log-file", "access", *options]
    if log_file:
        arguments += ["--log-file", log_file]
    how: dict[str, Any] = {}
    if launcher:
        arguments, how = [*launcher, "-m", "fastserve", *arguments], {"module": ""}
    with started(arguments, directory, **how) as command:
        running = Victim(command, directory, authority, prelude, log_file, grown=grown)
        try:
            before = running.account()
            with ExitStack() as stack:
                for kept in keep_alive:
                    running.load.append(
                        stack.enter_context(
                            load(
                                running.url,
                                clients=1,
                                keep_alive=kept,
                                context=running.context,
                                prelude=prelude,
                            )
                        )
                    )
                yield running
                running.serves()
                running.leave()
            assert all(each.failures == [] for each in running.load)
            assert all(set(each.answers) == {"hello"} for each in running.load)
            running.assert_rests(before)
        finally:
            running.leave()
        assert command.stop() == 0
        assert_announced(running.log, announced)
