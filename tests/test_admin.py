"""The admin application: what it tells of a board, and that nothing upsets it."""

from __future__ import annotations

import asyncio
import builtins
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from support.board import put_http2, put_websockets
from support.process import started

from fastserve import admin
from fastserve.board import CAUSES, Board

ROUTES = ("/metrics", "/livez", "/readyz", "/workers")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(rows=8)
    yield made
    made.close()


def worker(board: Board, slot: int, phase: str = "serving", pid: int = 100) -> int:
    """A row as a worker fills it; the beat is due in a minute."""
    index = board.take(slot)
    row = board.row(index)
    row.set_pid(pid + slot)
    row.set_phase(phase)
    row.beat(60)
    return index


def serving(board: Board, workers: int = 1) -> Any:
    """The application over a board on which all is as it should be."""
    board.set_phase("serving")
    board.set_slots(workers)
    for slot in range(1, workers + 1):
        worker(board, slot)
    return admin.make_app(board)


def ask(app: Any, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(exchange())


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the application's clocks so many seconds fast."""

    def shift(seconds: float) -> None:
        clocks = SimpleNamespace(
            monotonic=lambda: time.monotonic() + seconds, time=lambda: time.time() + seconds
        )
        monkeypatch.setattr(admin, "time", clocks)

    return shift


# -- routes ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
def test_a_route_is_read_only_and_never_cached(board: Board, path: str) -> None:
    app = serving(board)
    got = ask(app, path)
    assert got.status_code == 200
    assert got.headers["cache-control"] == "no-store"
    head = ask(app, path, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    refused = ask(app, path, "POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert refused.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/metrics/", "/livez/x", "/%00", "//metrics"])
def test_any_other_path_is_not_found(board: Board, path: str) -> None:
    got = ask(serving(board), path)
    assert got.status_code == 404
    assert "/metrics, /livez, /readyz, /workers" in got.text


def test_lifespan_events_are_answered(board: Board) -> None:
    sent: list[dict[str, Any]] = []
    events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, Any]:
        return next(events)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(admin.make_app(board)({"type": "lifespan"}, receive, send))
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete", "lifespan.shutdown.complete",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["websocket", "carrier-pigeon"])
def test_other_protocols_are_turned_away(board: Board, kind: str) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(admin.make_app(board)({"type": kind}, None, send))  # type: ignore[arg-type]
    assert [each["type"] for each in sent] == ["websocket.close"] * (kind == "websocket")


# -- health ----------------------------------------------------------------------------


def test_it_lives_as_long_as_the_supervisor(board: Board) -> None:
    board.set_phase("serving")
    worker(board, 1)
    lives = True
    app = admin.make_app(board, alive=lambda: lives)
    assert (ask(app, "/livez").status_code, ask(app, "/livez").text) == (200, "ok")
    assert ask(app, "/readyz").status_code == 200
    lives = False
    for path in ("/livez", "/readyz"):
        got = ask(app, path)
        assert got.status_code == 503
        assert "the supervisor is gone" in got.text


def test_it_lives_while_it_is_not_ready(board: Board) -> None:
    app = admin.make_app(board)
    assert ask(app, "/livez").status_code == 200
    assert ask(app, "/readyz").status_code == 503


def test_it_is_ready_while_one_worker_serves(board: Board) -> None:
    app = serving(board, workers=1)
    worker(board, 2, "starting")
    assert (ask(app, "/readyz").status_code, ask(app, "/readyz").text) == (200, "ok")


@pytest.mark.parametrize("phase", ["", "starting", "draining", "stopping"])
def test_a_server_in_another_phase_is_not_ready(board: Board, phase: str) -> None:
    app = serving(board)
    board.set_phase(phase)
    got = ask(app, "/readyz")
    assert (got.status_code, got.text) == (503, f"not ready: {phase or 'starting'}")


@pytest.mark.parametrize("phase", [None, "", "starting", "draining", "stopping", "ended"])
def test_a_server_whose_workers_do_not_serve_is_not_ready(board: Board, phase: str | None) -> None:
    board.set_phase("serving")
    worker(board, 0)  # the admin process itself does not count
    if phase is not None:
        worker(board, 1, phase)
    got = ask(admin.make_app(board), "/readyz")
    assert (got.status_code, got.text) == (503, "not ready: no worker serves")


def test_a_worker_whose_loop_stands_still_does_not_serve(board: Board, later: Any) -> None:
    app = serving(board)
    later(60 + 9)
    assert ask(app, "/readyz").status_code == 200
    later(60 + 11)
    got = ask(app, "/readyz")
    assert (got.status_code, got.text) == (503, "not ready: no worker serves, one is blocked")
    worker(board, 2)
    board.row(1).beat(3600)
    assert ask(app, "/readyz").status_code == 200


# -- workers ---------------------------------------------------------------------------


def test_workers_are_told_with_what_they_do(board: Board) -> None:
    board.set_phase("serving")
    board.set_slots(2)
    board.count_restart("crash")
    worker(board, 0)
    second, first = worker(board, 2), worker(board, 1, "draining")
    board.set_memory(first, 1 << 20)
    put_websockets(board, second, now_open=12)
    got = ask(admin.make_app(board, pid=4711), "/workers")
    assert got.headers["content-type"] == "application/json"
    told = got.json()
    assert (told["phase"], told["pid"], told["workers_wanted"]) == ("serving", 4711, 2)
    assert told["restarts"] == dict.fromkeys(CAUSES, 0) | {"crash": 1}
    assert told["uptime"] >= 0
    one, two = told["workers"]
    assert (one["slot"], one["pid"], one["phase"], one["memory"]) == (1, 101, "draining", 1 << 20)
    assert (two["slot"], two["pid"], two["phase"], two["memory"]) == (2, 102, "serving", None)
    for each in (one, two):
        assert each["age"] >= 0
        for name in ("requests", "connections", "requests_in_flight", "event_loop_lag"):
            assert each[name] == 0
    assert (one["websockets"], two["websockets"]) == (0, 12)
    board.give_back(second)
    assert [each["slot"] for each in ask(admin.make_app(board), "/workers").json()["workers"]] == [
        1
    ]


def test_a_blocked_worker_is_told_as_such(board: Board, later: Any) -> None:
    app = serving(board)
    later(100)
    (told,) = ask(app, "/workers").json()["workers"]
    assert told["phase"] == "blocked"
    assert told["event_loop_lag"] == pytest.approx(40, abs=30)


# -- metrics ---------------------------------------------------------------------------


def samples(app: Any, accept: str = "") -> dict[str, float]:
    """Value by name and labels, as written; the text is parsed strictly."""
    got = ask(app, "/metrics", accept=accept)
    assert got.status_code == 200
    if accept:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    else:
        from prometheus_client.parser import text_string_to_metric_families
    families = list(text_string_to_metric_families(got.text))
    assert len({each.name for each in families}) == len(families)
    return {
        each.name + json.dumps(each.labels) * bool(each.labels): each.value
        for family in families
        for each in family.samples
    }


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_metrics_tell_what_is_on_the_board(board: Board, accept: str) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board, workers=2)
    worker(board, 0)
    board.set_slots(3)
    board.count_restart("reload")
    board.set_memory(0, 1000)
    board.set_memory(1, 500)
    told = samples(app, accept)
    prefix = "fastserve_"
    assert told[prefix + 'workers{"state": "serving"}'] == 2
    assert told[prefix + 'workers{"state": "blocked"}'] == 0
    assert told[prefix + "workers_wanted"] == 3
    assert told[prefix + "workers_memory_bytes"] == 1500
    assert told[prefix + 'worker_restarts_total{"cause": "reload"}'] == 1
    assert told[prefix + 'worker_restarts_total{"cause": "crash"}'] == 0
    assert told[prefix + "start_time_seconds"] == pytest.approx(board.started)
    assert told[prefix + "uptime_seconds"] >= 0
    assert told[prefix + "event_loop_lag_seconds"] == 0
    for status in ("1xx", "2xx", "3xx", "4xx", "5xx", "aborted"):
        assert told[prefix + f'requests_total{{"status": "{status}"}}'] == 0
    duration = prefix + "request_duration_seconds"
    assert told[duration + '_bucket{"le": "0.0005"}'] == 0
    assert told[duration + '_bucket{"le": "1.0"}'] == 0
    assert told[duration + '_bucket{"le": "+Inf"}'] == told[duration + "_count"] == 0
    assert told[duration + "_sum"] == 0
    assert told[prefix + "connections_refused_total"] == 0
    for name in ("connections_total", "received_bytes_total", "sent_bytes_total"):
        assert told[prefix + name] == 0
    assert told[prefix + "connections_open"] == told[prefix + "requests_in_flight"] == 0
    assert sum(name.startswith(prefix + "build_info") for name in told) == 1


def test_metrics_tell_of_websockets(board: Board) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board, workers=2)
    put_websockets(board, 0, now_open=2, opened=5, received=(3, 30), sent=(4, 400),
                   closes=(1, 0, 0, 0, 2))  # fmt: skip
    put_websockets(
        board, 1, now_open=1, opened=4, sent=(1, 1), closes=(2, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    )
    told = samples(app)
    prefix = "fastserve_websocket"
    assert told[prefix + "s"] == 3
    assert told[prefix + "s_opened_total"] == 9
    codes = ("1000", "1001", "1002", "1005", "1006", "1007", "1009", "1011", "1012", "other")
    assert [told[prefix + f'_closes_total{{"code": "{code}"}}'] for code in codes] == [
        3, 0, 0, 0, 2, 0, 0, 0, 0, 1,
    ]  # fmt: skip
    for name, received, sent in (("messages", 3, 5), ("bytes", 30, 401)):
        assert told[prefix + f'_{name}_total{{"direction": "received"}}'] == received
        assert told[prefix + f'_{name}_total{{"direction": "sent"}}'] == sent


def test_metrics_tell_of_http2(board: Board) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board, workers=2)
    put_http2(board, 0, connections=3, resets=(5, 1, 0, 2), errors=(0, 0, 0, 4))
    put_http2(board, 1, connections=1, resets=(1, 0, 7, 0), errors=(2, *[0] * 9, 1))
    told = samples(app)
    prefix = "fastserve_http2_"
    assert told[prefix + "connections_total"] == 4
    for cause, count in (("client", 6), ("error", 1), ("refused", 7), ("stalled", 2)):
        assert told[prefix + f'streams_reset_total{{"cause": "{cause}"}}'] == count
    for cause, count in (("reset", 2), ("ping", 4), ("other", 1), ("slow", 0)):
        assert told[prefix + f'connection_errors_total{{"cause": "{cause}"}}'] == count


def test_the_format_is_what_the_scraper_accepts(board: Board) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board)
    plain = ask(app, "/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "# EOF" not in plain.text
    both = ask(app, "/metrics", accept=OPENMETRICS + ",text/plain;q=0.5")
    assert both.headers["content-type"].startswith("application/openmetrics-text")
    assert both.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=one", "text/plain; version=..", ";;;,,,=",
        "application/openmetrics-text; version=", "\xe4\xff", "text/plain;version=1.0.0;escaping=",
    ],
)  # fmt: skip
def test_a_malformed_accept_header_is_no_failure(board: Board, accept: str) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"accept", accept.encode("latin-1")), (b"accept", b"\x80")]
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
    asyncio.run(app(scope, None, send))
    assert sent[0]["status"] == 200
    assert b"fastserve_workers_wanted" in sent[1]["body"]


def test_the_worst_lag_is_told_even_while_it_lasts(board: Board, later: Any) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board)
    worker(board, 0)
    board.row(board.take(2)).beat(3600)
    later(60 + 50)
    told = samples(app)
    assert told["fastserve_event_loop_lag_seconds"] == pytest.approx(50, abs=30)
    assert told['fastserve_workers{"state": "blocked"}'] == 1
    assert told['fastserve_workers{"state": "starting"}'] == 1


def test_without_prometheus_client_the_rest_is_there(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    app = serving(board)
    got = ask(app, "/metrics")
    assert got.status_code == 501
    assert "pip install 'fastserve[standard]'" in got.text
    assert ask(app, "/readyz").status_code == 200


def test_the_page_describes_every_metric_and_no_other(board: Board) -> None:
    pytest.importorskip("prometheus_client")
    app = serving(board)
    board.set_memory(0, 1000)
    told = {re.sub(r"\{.*|_(bucket|sum|count)$", "", name) for name in samples(app)}
    told = {re.sub(r"(duration_seconds).*", r"\1", name) for name in told}
    page = PAGE.read_text()
    assert set(re.findall(r"^\| `(fastserve_\w+)`", page, re.M)) == told
    labels = re.findall(r"(?:state|cause|code|direction)=\"(\w+)", ask(app, "/metrics").text)
    assert [label for label in labels if f"`{label}`" not in page] == []


# -- in front of a server --------------------------------------------------------------

HELLO = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.mark.skipif(os.name == "nt", reason="the admin socket is a file")
def test_it_tells_of_requests_that_were_served(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    (tmp_path / "main.py").write_text(HELLO)
    arguments = ["main:app", "--port", "0", "--admin-bind", "unix:admin"]
    with started(arguments, tmp_path) as running:
        for _ in range(3):
            assert httpx.get(running.url).text == "hello"
        transport = httpx.HTTPTransport(uds=str(tmp_path / "admin"))
        with httpx.Client(transport=transport, base_url="http://admin") as client:
            assert client.get("/livez").text == "ok"
            assert client.get("/readyz").text == "ok"
            text = client.get("/metrics").text
            (told,) = client.get("/workers").json()["workers"]
        assert (told["pid"], told["requests"]) == (running.process.pid, 3)
        assert re.search(r"^fastserve_request_duration_seconds_count 3\.0$", text, re.M)
        assert running.stop() == 0
