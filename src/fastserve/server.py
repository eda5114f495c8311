"""One server: the sockets, the application and the native service on one event loop.

Start: load the application, run its lifespan start-up, then listen. Stop: the phases of
`stopping`; at last, always, the lifespan shutdown.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from fastserve._native.access_format import AccessFormat
from fastserve._native.http2.policy import Http2Policy
from fastserve._native.service import Service, keep_freed_blocks
from fastserve.accepting import (
    Acceptor,
    most_descriptors,
    telling_of_exhaustion,
    warn_of_limit,
)
from fastserve.accessformats import access_steps
from fastserve.board import Board, Row
from fastserve.config import Config, Logging
from fastserve.errors import FastserveError
from fastserve.heartbeat import Heartbeat, Standing, beat_interval, where_it_stands
from fastserve.importer import ASGIApp, load_app
from fastserve.lifespan import Lifespan
from fastserve.logging import (
    access_sink,
    configure,
    has_access_log,
    is_colourful,
    write_to_logger,
)
from fastserve.logging import reopen as reopen_log_files
from fastserve.logsinks import Sink
from fastserve.loops import loop_factory, loop_name
from fastserve.sockets import Listeners, explain, open_listeners, place_of
from fastserve.stopping import Repeated, Stop, StopRequest, stop_in_phases
from fastserve.tls import Certificates

__all__ = ["Server", "announcement", "own_process"]


class Server:
    """A server for `config`, to be served once.

    `app` is the application, if it is loaded already. `row` is where it counts and beats; by
    default memory of its own. `worker` is its number in the logs. `gate`, if given, is awaited
    between the lifespan's start-up and listening. `on_started` is called in the loop when the
    server listens, in place of the start-up message; `on_limit` in place of a stop when
    `limit_max_requests` is reached; `on_signal` where the main thread stands when a signal
    comes, so it may only note its number.
    """

    def __init__(
        self,
        config: Config,
        *,
        app: ASGIApp | None = None,
        row: Row | None = None,
        worker: int | None = None,
        gate: Callable[[], Awaitable[None]] | None = None,
        on_started: Callable[[Server], None] | None = None,
        on_limit: Callable[[], None] | None = None,
        on_signal: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.config = config
        self._app = app
        self._row = row if row is not None else Board.private().row(0)
        self._worker = worker
        self._gate = gate
        self._on_started = on_started
        self._on_limit = on_limit
        self._on_signal = on_signal
        self._log = logging.getLogger("fastserve.error")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._request = StopRequest(Stop.of(config))
        self._started = asyncio.Event()
        self._draining = asyncio.Event()
        self._service: Service | None = None
        self._access: _Access | None = None
        self._accepting: Acceptor | None = None
        self._urls: list[str] = []
        self._certificates: Certificates | None = None

    # -- for the program around it -----------------------------------------------------

    @property
    def started(self) -> bool:
        """Whether the server listens, or has."""
        return self._started.is_set()

    @property
    def urls(self) -> list[str]:
        """The addresses listened on, such as `https://127.0.0.1:8000` or `unix:/run/app`."""
        return list(self._urls)

    @property
    def should_exit(self) -> bool:
        """Whether a stop has been asked for; setting it to True asks for one."""
        return self._request.made

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        if value:
            self.stop()

    def stop(self, plan: Stop | None = None) -> None:
        """Ask for a graceful stop, from any thread; `serve` returns when it is done.

        `plan` says what it may take; by default what the options say.
        """
        self._request.make(plan)

    def hurry(self) -> None:
        """Ask for a stop; if it is under way, skip to its next phase. From any thread."""
        self._request.hurry()

    def quit(self) -> None:
        """Ask for a quick stop, which tells whatever is open to end. From any thread."""
        self._request.make(Stop.quick())

    def reopen(self) -> None:
        """Open the log files anew, in the loop's thread: they may have been renamed."""
        reopen_log_files()
        if self._access is not None:
            self._access.reopen()

    def where_it_stands(self) -> Standing:
        """What the event loop is doing just now; from another thread."""
        assert self._loop is not None
        service = self._service
        line = service.request_line if service is not None else lambda _: None
        return where_it_stands(self._loop, self._thread, line)

    async def wait_started(self) -> None:
        """Wait, in the server's own loop, until it listens."""
        await self._started.wait()

    def run(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Serve in a new event loop; in the main thread, stop on SIGINT and SIGTERM.

        Returns after a clean stop. Raises as `serve` does.
        """
        main = threading.current_thread() is threading.main_thread()
        signals = {}
        if main:
            own_process()
            signals = self.stop_signals()
        with asyncio.Runner(loop_factory=loop_factory(self.config.process.loop)) as runner:
            runner.run(self.serve(sockets, signals=signals))

    def stop_signals(self) -> dict[signal.Signals, Callable[[], None]]:
        """The signals that stop a server, with what each does: again, it skips a phase."""
        repeated = Repeated()

        def hurry() -> None:
            if not repeated.is_echo():
                self.hurry()

        signals = {signal.SIGINT: hurry, signal.SIGTERM: hurry}
        if hasattr(signal, "SIGQUIT"):
            signals[signal.SIGQUIT] = self.quit
        return signals

    async def serve(
        self,
        sockets: Sequence[socket.socket] | None = None,
        *,
        insecure: Collection[socket.socket] = (),
        signals: Mapping[signal.Signals, Callable[[], None]] | None = None,
    ) -> None:
        """Serve in the running loop until stopped.

        `sockets`: bound stream sockets to listen on, instead of what the config says;
        they are closed in the end. With a certificate they are for TLS, but for those that
        `insecure` names. `signals`: what to call for each of some signals, which get
        their former handlers back afterwards (`stop_signals()`); without any, signals are left
        alone. Cancelling stops gracefully too. Raises `FastserveError` if the server cannot
        start, or if the application's lifespan shutdown failed.
        """
        if self._loop is not None:
            raise RuntimeError("a Server serves once; make another one")
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._request.bind(self._loop)
        configure(self.config.logging, self._worker)
        secure = self.config.tls.is_on
        self._certificates = Certificates(self.config) if secure else None
        if sockets is None:
            listeners = open_listeners(
                self.config.bind, activated=self.config.is_unbound, secure=secure
            )
        else:
            plain = [at for at, each in enumerate(sockets) if each in insecure]
            listeners = Listeners([list(sockets)], secure=secure, insecure=plain)
        try:
            app = self._app or load_app(self.config.app, self.config.application)
            with _handling(signals or {}, self._on_signal):
                await self._serve(app, listeners)
        finally:
            self._row.set_phase("ended")
            listeners.close()

    # -- life --------------------------------------------------------------------------

    async def _serve(self, app: ASGIApp, listeners: Listeners) -> None:
        lifespan = Lifespan(
            app,
            self.config.application.lifespan,
            self.config.timeouts.lifespan,
            self._log,
            state={"fastserve_draining": self._draining},
        )
        if not await self._unless_stopped(lifespan.startup()):
            return
        self._access = _Access(self.config.logging, self._worker or 0)
        self._service = service = self._make_service(app, self._access, listeners)
        service.set_context(lifespan.context, lifespan.state)
        process = self.config.process
        heart = Heartbeat(
            self._row,
            beat_interval(process.warn_blocked_loop, self.config.timeouts.blocked_loop),
        )
        self._accepting = accepting = Acceptor(
            partial(self._listen, listeners),
            listeners.slots[0],
            self.config.bind.backlog,
            self._log,
        )
        warn_of_limit(self._log, self.config.limits.connections)
        handling = contextlib.ExitStack()
        handling.enter_context(telling_of_exhaustion(self._log, service.make_room))
        try:
            if self._gate is not None and not await self._unless_stopped(self._gate()):
                return
            await accepting.start()
            if self._certificates is not None:
                self._certificates.watch()
            self._urls = listeners.urls
            self._row.set_phase("serving")
            heart.start()
            self._started.set()
            (self._on_started or Server.announce)(self)
            await self._request.wait()
        finally:
            if not self.started:
                self.quit()  # there is nothing to go easy on
            try:
                await stop_in_phases(
                    service,
                    self._request,
                    set_phase=self._set_phase,
                    stop_accepting=accepting.close,
                    logger=self._log,
                )
            finally:
                ended_well = await lifespan.shutdown()
                heart.stop()
                if self._certificates is not None:
                    self._certificates.close()
                service.close()
                self._access.close()
                handling.close()
        if not ended_well:
            raise ShutdownError("the application's lifespan shutdown failed")

    def _set_phase(self, phase: str) -> None:
        self._row.set_phase(phase)
        self._draining.set()

    def _make_service(self, app: ASGIApp, access: _Access, listeners: Listeners) -> Service:
        config = self.config
        limits, timeouts, proxies = config.limits, config.timeouts, config.proxies
        names = {name for name, _ in config.http.headers}
        most = limits.max_requests
        if most:
            most += random.randint(0, limits.max_requests_jitter)
        return Service(
            app,
            loop=asyncio.get_running_loop(),
            logger=self._log,
            row=self._row,
            timed=config.admin.admin_bind is not None,
            access_write=access.write,
            access_colour=access.colour,
            access_format=access.format,
            access_skip=[path.encode() for path in config.logging.access_log_skip],
            request_id=config.logging.request_id,
            root_path=config.http.root_path,
            forwarded_headers=proxies.forwarded_headers if proxies.proxy_headers else (),
            forwarded_allow_ips=proxies.forwarded_allow_ips,
            forwarded_hops=proxies.forwarded_hops,
            forwarded_anybody=config.believes_anybody,
            proxy_protocol=proxies.proxy_protocol,
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
            limit_connections=limits.connections,
            limit_connections_per_client=limits.connections_per_client,
            most_descriptors=most_descriptors(),
            set_accepting=self._set_accepting,
            limit_concurrency=limits.concurrency,
            limit_connection_requests=limits.connection_requests,
            limit_min_rate=limits.min_rate,
            limit_max_requests=most,
            on_max_requests=self._max_requests,
            timeout_keep_alive=timeouts.keep_alive,
            timeout_first_byte=timeouts.first_byte,
            timeout_request_head=timeouts.request_head,
            timeout_request_body=timeouts.request_body,
            timeout_write=timeouts.write,
            timeout_request=timeouts.request,
            cancel_on_disconnect=config.application.cancel_on_disconnect,
            redirect_port=listeners.secure_port or 443 if config.bind.redirect_insecure else 0,
            timeout_handshake=config.tls.handshake_timeout,
            limit_handshakes=limits.handshakes,
            http2=(
                None
                if config.http.http == "1"
                else Http2Policy(only=config.http.http == "2", **asdict(config.http2))
            ),
            websockets=config.http.ws != "none",
            **{f"ws_{name}": value for name, value in asdict(config.websocket).items()},
        )

    def _protocol_factory(self, service: Service, secure: bool) -> Callable[[], Any]:
        if not secure:
            return service.make_protocol
        return partial(service.make_protocol, tls=self._certificates)

    async def _listen(
        self, listeners: Listeners, position: int, listener: socket.socket, backlog: int
    ) -> asyncio.AbstractServer:
        assert self._service is not None
        make = self._protocol_factory(self._service, listeners.is_secure(position))
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"sock": listener, "backlog": backlog}
        try:
            if listener.family != getattr(socket, "AF_UNIX", None):
                # For the connections, which inherit it: asyncio sees to it itself only where it
                # takes the socket for TCP, and one that was made without a protocol it does not.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return await loop.create_server(make, **options)
            if sys.version_info >= (3, 13):
                # The file is removed by whoever made it, which may be the supervisor.
                options["cleanup_socket"] = False
            return await loop.create_unix_server(make, **options)
        except OSError as error:
            raise explain(error, place_of(listener)) from None

    def announce(self) -> None:
        """Log where it listens."""
        loop = loop_name(asyncio.get_running_loop())
        self._log.info("%s", announcement(self.urls, f"1 process, {loop}"))

    def _set_accepting(self, wanted: bool) -> None:
        if self._accepting is not None:
            self._accepting.set_accepting(wanted)

    def _max_requests(self) -> None:
        if self._on_limit is not None:
            self._on_limit()
        else:
            self._log.info("the limit of requests is reached (--limit-max-requests): stopping")
            self.stop()

    async def _unless_stopped(self, start: Any) -> bool:
        """Await `start`; False if a stop is asked for first, and `start` is cancelled."""
        task = asyncio.ensure_future(start)
        asked = asyncio.ensure_future(self._request.wait())
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


def own_process() -> None:
    """Say that this process is a server's own, so that its memory may be managed like one's."""
    keep_freed_blocks()


@contextlib.contextmanager
def _handling(
    signals: Mapping[signal.Signals, Callable[[], None]], on_signal: Callable[[int], None]
) -> Iterator[None]:
    """Let each of `signals` call what it says, in the loop, while the body runs.

    Not by `loop.add_signal_handler`: `on_signal` is called where the main thread stands, so
    that a stop is noted even if the loop is blocked.
    """
    loop = asyncio.get_running_loop()

    def note(number: int, _: object) -> None:
        on_signal(number)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(signals[signal.Signals(number)])

    former = {each: signal.signal(each, note) for each in signals}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)


class ShutdownError(FastserveError):
    """The server has stopped, but the application's lifespan shutdown failed."""

    status = 1


class _Access:
    """The access log of a service, where there is one."""

    def __init__(self, options: Logging, worker: int) -> None:
        self.colour = False
        self.format: AccessFormat | None = None
        self.write: Callable[[bytes], None] | None = None
        self._sink: Sink | None = None
        if has_access_log(options):
            self._sink = access_sink(options)
            self.write = write_to_logger if self._sink is None else self._sink.write
            stream = None if options.access_log_file else sys.stdout
            self.colour = self._sink is not None and is_colourful(options, stream)
            if options.access_log_format != "default":
                dialect, steps = access_steps(options.access_log_format)
                self.format = AccessFormat(dialect, steps, worker=worker, pid=os.getpid())

    def reopen(self) -> None:
        if self._sink is not None:
            self._sink.reopen()

    def close(self) -> None:
        if self._sink is not None:
            self._sink.close()


def announcement(urls: Sequence[str], manner: str) -> str:
    """The start-up message."""
    from fastserve import __version__

    return f"fastserve {__version__} on {', '.join(urls)} ({manner}); CTRL+C to stop"
