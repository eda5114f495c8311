"""One server: the sockets, the application and the native service on one event loop.

Start: load the application, run its lifespan start-up, then listen. Stop, in phases that
each have an end: no new connections and idle ones closed; requests under way finish;
applications still there are told `http.disconnect`; then cancelled; then connections are
aborted; at last, always, the lifespan shutdown. Another signal skips to the next phase.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastserve._native.connection import Service, keep_freed_blocks
from fastserve.config import Config
from fastserve.errors import FastserveError
from fastserve.importer import ASGIApp, load_app
from fastserve.lifespan import Lifespan
from fastserve.logging import AccessFile, access_writer, configure, has_access_log, is_colourful
from fastserve.loops import loop_factory, loop_name
from fastserve.sockets import Listeners, describe, explain, open_listeners

__all__ = ["Server", "announcement"]

_DISCONNECT_GRACE = 2.0
_CANCEL_GRACE = 1.0
_ABORT_GRACE = 0.5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server:
    """A server for `config`, to be served once.

    `on_started`, if given, is called in the loop when the server listens, in place of
    the start-up message; `on_leaving` before it stops because of `limit_max_requests`.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_started: Callable[[Server], None] | None = None,
        on_leaving: Callable[[Server], None] | None = None,
    ) -> None:
        self.config = config
        self._on_started = on_started
        self._on_leaving = on_leaving
        self._log = logging.getLogger("fastserve.error")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._stops = 0  # how often a stop was asked for: the second time is in earnest
        self._asked = asyncio.Event()  # set at each of them
        self._started = asyncio.Event()
        self._urls: list[str] = []

    # -- for the program around it -----------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether the server listens, or has."""
        return self._started.is_set()

    @property
    def urls(self) -> list[str]:
        """The addresses listened on, such as `http://127.0.0.1:8000` or `unix:/run/app`."""
        return list(self._urls)

    @property
    def should_exit(self) -> bool:
        """Whether a stop has been asked for; setting it to True asks for one."""
        return self._stops > 0

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value and not self._stops:
            self._ask()

    def stop(self) -> None:
        """Ask for a graceful stop, from any thread; `serve` returns when it is done."""
        self.should_exit = True

    def hurry(self) -> None:
        """Ask for a stop; if it is under way, skip to its next phase. From any thread."""
        self._ask()

    async def wait_started(self) -> None:
        """Wait, in the server's own loop, until it listens."""
        await self._started.wait()

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in a new event loop; in the main thread, stop on SIGINT and SIGTERM.

        Returns after a clean stop. Raises as `serve` does.
        """
        main = threading.current_thread() is threading.main_thread()
        if main:
            # The process is a server's own, so its memory may be managed like one's.
            keep_freed_blocks()
        with asyncio.Runner(loop_factory=loop_factory(self.config.process.loop)) as runner:
            runner.run(self.serve(sockets, signals=STOP_SIGNALS if main else ()))

    async def serve(
        self,
        sockets: Sequence[socket.socket] | None = None,
        *,
        signals: Iterable[signal.Signals] = (),
    ) -> None:
        """Serve in the running loop until stopped.

        `sockets`: bound stream sockets to listen on, instead of what the config says;
        they are closed in the end. `signals` stop the server and get their former
        handlers back afterwards; without any, signals are left alone. Cancelling stops
        gracefully too. Raises `FastserveError` if the server cannot start, or if the
        application's lifespan shutdown failed.
        """
        if self._loop is not None:
            raise RuntimeError("a Server serves once; make another one")
        self._loop = asyncio.get_running_loop()
        configure(self.config.logging)
        listeners = (
            open_listeners(self.config.bind) if sockets is None else Listeners([list(sockets)])
        )
        try:
            app = load_app(self.config.app, self.config.application)
            with self._handle(signals):
                await self._serve(app, listeners)
        finally:
            listeners.close()

    # -- life --------------------------------------------------------------------------

    async def _serve(self, app: ASGIApp, listeners: Listeners) -> None:
        lifespan = Lifespan(
            app,
            self.config.application.lifespan,
            self.config.timeouts.lifespan,
            self._log,
        )
        if not await self._unless_stopped(lifespan.startup()):
            return
        access = _Access(self.config)
        service = self._make_service(app, access)
        service.set_context(lifespan.context, lifespan.state)
        servers: list[asyncio.AbstractServer] = []
        try:
            for each in listeners.slots[0]:
                servers.append(await self._listen(service, each))
            self._urls = listeners.urls
            self._started.set()
            (self._on_started or self._announce)(self)
            await self._asked.wait()
        finally:
            for server in servers:
                server.close()
            try:
                await self._drain(service)
            finally:
                ended_well = await lifespan.shutdown()
                service.close()
                access.close()
        if not ended_well:
            raise ShutdownError("the application's lifespan shutdown failed")

    def _make_service(self, app: ASGIApp, access: _Access) -> Service:
        config = self.config
        limits, timeouts = config.limits, config.timeouts
        names = {name for name, _ in config.http.headers}
        most = limits.max_requests
        if most:
            most += random.randint(0, limits.max_requests_jitter)
        return Service(
            app,
            loop=asyncio.get_running_loop(),
            logger=self._log,
            access_write=access.write,
            access_colour=access.colour,
            root_path=config.http.root_path,
            response_headers=list(config.http.headers),
            server_header=(
                b"fastserve" if config.http.server_header and b"server" not in names else None
            ),
            date_header=config.http.date_header and b"date" not in names,
            limit_request_line=limits.request_line,
            limit_request_field=limits.request_field,
            limit_request_head=limits.request_head,
            limit_request_fields=limits.request_fields,
            limit_request_body=limits.request_body,
            limit_request_trailers=limits.request_trailers,
            limit_concurrency=limits.concurrency,
            limit_max_requests=most,
            on_max_requests=self._max_requests,
            timeout_keep_alive=timeouts.keep_alive,
            timeout_request_head=timeouts.request_head,
            timeout_request_body=timeouts.request_body,
            timeout_write=timeouts.write,
        )

    async def _listen(self, service: Service, listener: socket.socket) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"sock": listener, "backlog": self.config.bind.backlog}
        try:
            if listener.family != getattr(socket, "AF_UNIX", None):
                return await loop.create_server(service.make_protocol, **options)
            if sys.version_info >= (3, 13):
                # The file is removed by whoever made it, which may be the supervisor.
                options["cleanup_socket"] = False
            return await loop.create_unix_server(service.make_protocol, **options)
        except OSError as error:
            raise explain(error, describe(listener).removeprefix("http://")) from None

    def _announce(self, _: Server) -> None:
        loop = loop_name(asyncio.get_running_loop())
        self._log.info("%s", announcement(self.urls, f"1 process, {loop}"))

    def _max_requests(self) -> None:
        self._log.info("the limit of requests is reached (--limit-max-requests): stopping")
        if self._on_leaving is not None:
            self._on_leaving(self)
        self.stop()

    # -- stopping ----------------------------------------------------------------------

    def _ask(self) -> None:
        with self._lock:
            self._stops += 1
        loop = self._loop
        if loop is None:
            self._asked.set()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: stopped already
            loop.call_soon_threadsafe(self._asked.set)

    async def _unless_stopped(self, start: Any) -> bool:
        """Await `start`; False if a stop is asked for first, and `start` is cancelled."""
        task = asyncio.ensure_future(start)
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            return False
        await task
        return True

    async def _drain(self, service: Service) -> None:
        """The phases of a stop, until no connection and no exchange is left."""
        self._asked.clear()
        service.drain()
        idle = asyncio.ensure_future(service.wait_idle())
        phases: list[tuple[float, Callable[[], None], str]] = [
            (self.config.timeouts.graceful_shutdown, service.disconnect, "told to disconnect"),
            (_DISCONNECT_GRACE, service.cancel, "cancelled"),
            (_CANCEL_GRACE, service.abort, "aborted"),
        ]
        try:
            for seconds, act, told in phases:
                if await self._is_idle_within(idle, seconds):
                    return
                if service.exchanges:
                    self._log.warning("requests under way, now %s: %d", told, service.exchanges)
                act()
            if not await self._is_idle_within(idle, _ABORT_GRACE) and service.exchanges:
                self._log.error("requests that did not end when cancelled: %d", service.exchanges)
        except BaseException:
            service.abort()
            raise
        finally:
            idle.cancel()

    async def _is_idle_within(self, idle: asyncio.Future[None], seconds: float) -> bool:
        """Whether `idle` is done within so many seconds, or before a further signal."""
        asked = asyncio.ensure_future(self._asked.wait())
        waited: set[asyncio.Future[Any]] = {idle, asked}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        self._asked.clear()
        return idle.done()

    @contextlib.contextmanager
    def _handle(self, signals: Iterable[signal.Signals]) -> Iterator[None]:
        """Let each of `signals` ask for a stop, while the body runs."""
        loop = asyncio.get_running_loop()
        former = {each: signal.getsignal(each) for each in signals}
        for each in former:
            try:
                loop.add_signal_handler(each, self._ask)
            except NotImplementedError:  # no such thing on Windows
                signal.signal(each, lambda *_: self._ask())
        try:
            yield
        finally:
            for each, handler in former.items():
                with contextlib.suppress(NotImplementedError):
                    loop.remove_signal_handler(each)
                signal.signal(each, handler)


class ShutdownError(FastserveError):
    """The server has stopped, but the application's lifespan shutdown failed."""

    status = 1


class _Access:
    """The access log of a service, where there is one."""

    def __init__(self, config: Config) -> None:
        self.colour = False
        self.write: Callable[[bytes], None] | None = None
        self._file: AccessFile | None = None
        if has_access_log(config.logging):
            self.write = access_writer(config.logging)
            self._file = getattr(self.write, "__self__", None)
            self.colour = self._file is not None and is_colourful(config.logging, sys.stdout)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def announcement(urls: Sequence[str], manner: str) -> str:
    """The start-up message."""
    from fastserve import __version__

    return f"fastserve {__version__} on {', '.join(urls)} ({manner}); CTRL+C to stop"
