"""The ASGI application behind `--admin-bind`: metrics and health, read from the board.

It may run in a process of its own or beside the server on one loop. It only reads, so it
can tell nothing that a process has not written down, and disturbs none of them.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastserve.board import Board, RowState
from fastserve.importer import ASGIApp

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["make_app"]

# A loop whose beat is overdue by more seconds than this serves nobody.
_STUCK = 10.0
_STATES = ("starting", "serving", "blocked", "draining", "stopping")
_TEXT = "text/plain; charset=utf-8"
_NO_METRICS = "metrics need prometheus-client: pip install 'fastserve[standard]'"

# status, content type, body
_Answer = tuple[int, str, bytes]


def make_app(
    board: Board, *, alive: Callable[[], bool] = lambda: True, pid: int | None = None
) -> ASGIApp:
    """An ASGI 3 application with the routes /metrics, /livez, /readyz and /workers.

    `alive` says whether the supervisor lives, `pid` is its number for /workers.
    """
    return _Admin(board, alive, pid)


class _Admin:
    def __init__(self, board: Board, alive: Callable[[], bool], pid: int | None) -> None:
        self._board = board
        self._alive = alive
        self._pid = pid
        self._routes: dict[str, Callable[[str], _Answer]] = {
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/workers": self._workers,
        }
        try:
            self._exporter: _Exporter | None = _Exporter(board)
        except ImportError:
            self._exporter = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._http(scope, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Any, send: Any) -> None:
        route = self._routes.get(scope["path"])
        allow = []
        if route is None:
            status, kind, body = _text(404, f"there are {', '.join(self._routes)}")
        elif scope["method"] not in ("GET", "HEAD"):
            status, kind, body = _text(405, "only GET and HEAD")
            allow = [(b"allow", b"GET, HEAD")]
        else:
            status, kind, body = route(_header(scope, b"accept"))
        headers = [
            (b"content-type", kind.encode("latin-1", "replace")),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *allow,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": body})

    def _metrics(self, accept: str) -> _Answer:
        if self._exporter is None:
            return _text(501, _NO_METRICS)
        kind, body = self._exporter.text(accept)
        return 200, kind, body

    def _livez(self, _: str) -> _Answer:
        return _text(200, "ok") if self._alive() else _text(503, "the supervisor is gone")

    def _readyz(self, _: str) -> _Answer:
        reason = self._unready()
        return _text(503, f"not ready: {reason}") if reason else _text(200, "ok")

    def _unready(self) -> str:
        """Why no new request should come here; empty if they may."""
        if not self._alive():
            return "the supervisor is gone"
        phase = self._board.phase or "starting"
        if phase != "serving":
            return phase
        states = [_state(each) for each in _workers(self._board)]
        if "serving" in states:
            return ""
        return "no worker serves" + (", one is blocked" if "blocked" in states else "")

    def _workers(self, _: str) -> _Answer:
        board, now = self._board, time.time()
        told = {
            "phase": board.phase or "starting",
            "pid": self._pid,
            "uptime": _since(board.started, now),
            "workers_wanted": board.slots,
            "restarts": board.restarts,
            "workers": [
                {
                    "slot": each.slot,
                    "pid": each.pid,
                    "phase": _state(each),
                    "age": _since(each.started, now),
                    "requests": each.requests,
                    "connections": each.connections,
                    "requests_in_flight": each.exchanges,
                    "websockets": each.websockets,
                    "event_loop_lag": round(_lag(each), 6),
                    "memory": each.memory or None,
                }
                for each in sorted(_workers(board), key=lambda each: (each.slot, each.started))
            ],
        }
        return 200, "application/json", json.dumps(told, indent=2).encode() + b"\n"


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _text(status: int, text: str) -> _Answer:
    return status, _TEXT, text.encode()


def _header(scope: Any, name: bytes) -> str:
    """All fields of the name, as one."""
    return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _since(then: float, now: float) -> float:
    return round(max(now - then, 0.0), 3)


# -- workers ---------------------------------------------------------------------------


def _workers(board: Board) -> list[RowState]:
    """The rows of workers that have not ended; slot 0 is the admin process's own."""
    return [each for each in board.rows() if each.slot and each.phase != "ended"]


def _overdue(row: RowState) -> float:
    """Seconds since the loop's beat was due; 0 if it is not yet."""
    return max(time.monotonic() - row.due, 0.0) if row.due else 0.0


def _state(row: RowState) -> str:
    """The phase as others see it: a loop that stands still does not serve."""
    if row.phase == "serving" and _overdue(row) > _STUCK:
        return "blocked"
    return row.phase or "starting"


def _lag(row: RowState) -> float:
    """How late the last beat was, or the one that is still to come."""
    return max(row.lag, _overdue(row))


# -- metrics ---------------------------------------------------------------------------


class _Exporter:
    """The board as Prometheus sees it; raises `ImportError` without prometheus-client.

    docs/metrics.md describes every metric.
    """

    def __init__(self, board: Board) -> None:
        from prometheus_client import CollectorRegistry, core, exposition

        from fastserve import __version__

        self._board = board
        self._families = core
        self._choose_encoder = exposition.choose_encoder
        self._version = __version__
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self, accept: str) -> tuple[str, bytes]:
        """Content type and text in the format the Accept header asks for."""
        try:
            encode, kind = self._choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, kind = self._choose_encoder("")
        return kind, encode(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from self._traffic()
        yield from self._websockets()
        yield from self._http2()
        yield from self._processes()

    def _traffic(self) -> Iterator[Metric]:
        totals, workers = self._board.totals(), _workers(self._board)
        yield self._counts(
            "requests", "Requests answered, by class of status.", "status", totals.responses
        )
        yield self._families.HistogramMetricFamily(
            "fastserve_request_duration_seconds",
            "Time from a request's head to the end of its response.",
            buckets=[(_bound(bound), count) for bound, count in totals.latency_buckets],
            sum_value=totals.latency_sum,
        )
        yield self._gauge(
            "requests_in_flight", "Requests under way.", sum(each.exchanges for each in workers)
        )
        yield self._gauge(
            "connections_open", "Connections open.", sum(each.connections for each in workers)
        )
        yield self._count("connections", "Connections accepted.", totals.connections)
        yield self._count(
            "connections_refused", "Connections there was no room for.", totals.refused
        )
        yield self._count("received_bytes", "Bytes read from clients.", totals.bytes_in)
        yield self._count("sent_bytes", "Bytes written to clients.", totals.bytes_out)

    def _websockets(self) -> Iterator[Metric]:
        totals, workers = self._board.totals().websockets, _workers(self._board)
        yield self._gauge(
            "websockets", "WebSockets open.", sum(each.websockets for each in workers)
        )
        yield self._count("websockets_opened", "WebSockets accepted.", totals.opened)
        yield self._counts(
            "websocket_closes", "WebSockets closed, by close code.", "code", totals.closes
        )
        yield self._counts(
            "websocket_messages",
            "Messages of WebSockets, by direction.",
            "direction",
            {"received": totals.messages_in, "sent": totals.messages_out},
        )
        yield self._counts(
            "websocket_bytes",
            "Payload of WebSocket messages in bytes, by direction.",
            "direction",
            {"received": totals.bytes_in, "sent": totals.bytes_out},
        )

    def _http2(self) -> Iterator[Metric]:
        totals = self._board.totals().http2
        yield self._count("http2_connections", "Connections that spoke HTTP/2.", totals.connections)
        yield self._counts(
            "http2_streams_reset", "Streams of HTTP/2 reset, by cause.", "cause", totals.resets
        )
        yield self._counts(
            "http2_connection_errors",
            "HTTP/2 connections ended for what their clients did, by cause.",
            "cause",
            totals.errors,
        )

    def _processes(self) -> Iterator[Metric]:
        board, workers = self._board, _workers(self._board)
        yield self._gauge(
            "event_loop_lag_seconds",
            "How late the event loop's last beat was, or is; the worst worker's.",
            max(map(_lag, workers), default=0.0),
        )
        yield self._counts(
            "worker_restarts", "Workers started in place of another.", "cause", board.restarts
        )
        states = Counter(dict.fromkeys(_STATES, 0))
        states.update(map(_state, workers))
        by_state = self._gauge("workers", "Worker processes, by state.", labels=["state"])
        for state, count in states.items():
            by_state.add_metric([state], count)
        yield by_state
        yield self._gauge("workers_wanted", "Workers there should be.", board.slots)
        memory = sum(each.memory for each in workers)
        if memory:
            yield self._gauge(
                "workers_memory_bytes", "Resident memory of all workers together.", memory
            )
        yield self._gauge(
            "start_time_seconds", "When the server was started, Unix time.", board.started
        )
        yield self._gauge(
            "uptime_seconds",
            "Time since the server was started.",
            _since(board.started, time.time()),
        )
        info = {"version": self._version, "python": platform.python_version()}
        yield self._families.InfoMetricFamily("fastserve_build", "What runs.", value=info)

    def _gauge(
        self, name: str, help: str, value: float | None = None, labels: list[str] | None = None
    ) -> Any:
        return self._families.GaugeMetricFamily(
            f"fastserve_{name}", help, value=value, labels=labels
        )

    def _count(self, name: str, help: str, value: float) -> Metric:
        return self._families.CounterMetricFamily(f"fastserve_{name}", help, value=value)

    def _counts(self, name: str, help: str, label: str, values: dict[str, int]) -> Metric:
        family = self._families.CounterMetricFamily(f"fastserve_{name}", help, labels=[label])
        for each, value in values.items():
            family.add_metric([each], value)
        return family


def _bound(seconds: float) -> str:
    return "+Inf" if math.isinf(seconds) else repr(seconds)
