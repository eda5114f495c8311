"""A browser over HTTP/2: headless Chromium loads a page, streams both ways, hears events, and has
WebSockets in streams of the same connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.browser import BROWSER, PATIENCE, browsing, trusting
from support.certificates import Authority
from support.server import serve
from support.stage import Stage

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

HOST = "127.0.0.1"

PAGE = """<!doctype html><meta charset="utf-8"><title>HTTP/2</title>
<link rel="stylesheet" href="/style.css"><script>
const report = {};

async function many() {
  const asked = Array.from({length: 60}, (_, at) => fetch(`/echo?${at}`, {headers: {"x-at": at}}));
  const texts = await Promise.all(asked.map(async got => (await got).text()));
  report.many = texts.every((text, at) => text === String(at));
  report.protocols = [...new Set(performance.getEntriesByType("resource")
    .filter(({name}) => name.includes("/echo?")).map(each => each.nextHopProtocol))];
}

async function download() {
  const reader = (await fetch("/pieces")).body.getReader();
  report.pieces = [];
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    const text = new TextDecoder().decode(value);
    report.pieces.push(text);
    await fetch(`/got?${text}`);
  }
}

async function upload() {
  const data = new Uint8Array(2e6).map((_, at) => at * 7 + (at >> 8));
  const got = await fetch("/back", {method: "POST", body: data});
  const back = new Uint8Array(await got.arrayBuffer());
  report.upload = back.length === data.length && back.every((byte, at) => byte === data[at]);
}

async function streamUp() {
  let left = 5;
  const pieces = new ReadableStream({
    pull(to) {
      if (left-- > 0) to.enqueue(new TextEncoder().encode(`piece ${left};`));
      else to.close();
    }});
  const got = await fetch("/back", {method: "POST", body: pieces, duplex: "half"});
  report.streamUp = await got.text();
}

async function leave() {
  const control = new AbortController();
  const got = await fetch("/endless", {signal: control.signal});
  await got.body.getReader().read();
  control.abort();
  report.after = await (await fetch("/left")).text();
}

function events() {
  return new Promise((done, fail) => {
    const source = new EventSource("/events");
    report.events = [];
    source.onmessage = ({data, lastEventId}) => {
      report.events.push([lastEventId, data]);
      if (report.events.length === 3) { source.close(); done(); }
    };
    source.onerror = fail;
  });
}

function sockets() {
  return Promise.all([0, 1, 2].map(number => new Promise((done, fail) => {
    const socket = new WebSocket(`wss://${location.host}/socket`, ["other", "echo"]);
    const back = [];
    socket.onopen = () => { for (let n = 0; n < 100; n++) socket.send(`${number}: ${n}`); };
    socket.onmessage = ({data}) => { if (back.push(data) === 100) socket.close(3001, "bye"); };
    socket.onclose = ({code, wasClean}) => done({
      code, wasClean, protocol: socket.protocol, extensions: socket.extensions,
      same: back.every((text, n) => text === `${number}: ${n}`)});
    socket.onerror = fail;
  })));
}

async function main() {
  report.page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  await many();
  await download();
  await upload();
  await streamUp();
  await leave();
  await events();
  report.sockets = await sockets();
}

addEventListener("load", () => main()
  .catch(error => { report.error = String(error); })
  .finally(() => fetch("/report", {method: "POST", body: JSON.stringify(report)})));
</script>"""

PIECES = ("one", "two", "three")


class Site:
    """The page, what its script talks to, and what it reports."""

    def __init__(self) -> None:
        self.stage = Stage()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.stage.mark("version", scope["http_version"])
        self.stage.mark("client", tuple(scope["client"]))
        name = scope["path"].strip("/").partition(".")[0] or "page"
        handler = getattr(self, name, None)
        if handler is None:
            await answer(send, b"", 404)
        else:
            await handler(scope, receive, send)

    async def page(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-type", b"text/html; charset=utf-8")]))
        await send(body(PAGE.encode()))

    async def style(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-type", b"text/css")]))
        await send(body(b"body { color: black }"))

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, dict(scope["headers"])[b"x-at"])

    async def pieces(self, scope: Any, receive: Any, send: Any) -> None:
        """Each piece is made when the script has told that it has the one before."""
        await send(start())
        for piece in PIECES:
            await send(body(piece.encode(), more=True))
            await self.stage.until(f"got {piece}")
        await send(body())

    async def got(self, scope: Any, receive: Any, send: Any) -> None:
        self.stage.mark(f"got {scope['query_string'].decode()}")
        await answer(send)

    async def back(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, await read_body(receive))

    async def endless(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        while (await receive())["type"] != "http.disconnect":
            pass
        self.stage.mark("left")

    async def left(self, scope: Any, receive: Any, send: Any) -> None:
        await self.stage.until("left")
        await answer(send, b"left")

    async def events(self, scope: Any, receive: Any, send: Any) -> None:
        await send(start(headers=[(b"content-type", b"text/event-stream")]))
        for number in range(3):
            await send(body(f"id: {number}\ndata: number {number}\n\n".encode(), more=True))
        while (await receive())["type"] != "http.disconnect":
            pass

    async def socket(self, scope: Any, receive: Any, send: Any) -> None:
        self.stage.mark("socket", (scope["type"], scope["scheme"]))
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][1]})
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        self.stage.mark("closed", (event["code"], event["reason"]))

    async def report(self, scope: Any, receive: Any, send: Any) -> None:
        self.stage.mark("report", json.loads(await read_body(receive)))
        await answer(send)


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Site]]:
    """What the script has reported, and the site that has seen it."""
    directory: Path = tmp_path_factory.mktemp("browser")
    site, certificate = Site(), Authority(directory).issue(HOST)
    with (
        serve(site, lifespan="off", **certificate.options) as server,
        browsing(f"{server.url}/", directory, trusting(certificate)),
    ):
        yield site.stage.wait("report", timeout=PATIENCE), site


def test_the_script_runs_to_its_end_over_http_2(visit: Any) -> None:
    report, site = visit
    assert report.get("error") is None
    assert report["page"] == "h2"
    assert report["protocols"] == ["h2"]
    assert set(site.stage.values("version")) == {"2"}


def test_a_browser_asks_for_many_things_at_once(visit: Any) -> None:
    assert visit[0]["many"]


def test_a_browser_reads_a_response_as_it_is_made(visit: Any) -> None:
    assert visit[0]["pieces"] == list(PIECES)


def test_a_browser_gets_back_what_it_uploads(visit: Any) -> None:
    report, _ = visit
    assert report["upload"]
    assert report["streamUp"] == "".join(f"piece {number};" for number in reversed(range(5)))


def test_the_application_learns_of_a_fetch_that_is_aborted(visit: Any) -> None:
    assert visit[0]["after"] == "left"


def test_a_browser_hears_events(visit: Any) -> None:
    assert visit[0]["events"] == [[str(number), f"number {number}"] for number in range(3)]


def test_a_browser_has_websockets_in_streams_of_its_connection(visit: Any) -> None:
    report, site = visit
    for each in report["sockets"]:
        assert each.pop("extensions").startswith("permessage-deflate")
        assert each == {"code": 3001, "wasClean": True, "protocol": "echo", "same": True}
    assert set(site.stage.values("socket")) == {("websocket", "wss")}
    assert site.stage.wait("closed", 3) == (3001, "bye")
    assert len(set(site.stage.values("client"))) == 1, "all went over one connection"
