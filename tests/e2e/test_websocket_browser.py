"""A browser against the server: headless Chromium runs a page's script that opens WebSockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from support.apps import answer, body, read_body, start
from support.browser import BROWSER, PATIENCE, browsing
from support.server import serve
from support.stage import Stage

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

PAGE = """<!doctype html><meta charset="utf-8"><title>WebSockets</title><script>
const report = {};

function opened(target, protocols) {
  const socket = new WebSocket(`ws://${location.host}${target}`, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}

function next(socket, kind) {
  return new Promise(done => socket.addEventListener(kind, done, {once: true}));
}

function end({code, reason, wasClean}) {
  return {code, reason, wasClean};
}

async function echo(socket, message) {
  const come = next(socket, "message");
  socket.send(message);
  return (await come).data;
}

async function echoes() {
  const socket = opened("/echo?by=script", ["other", "echo"]);
  await next(socket, "open");
  report.protocol = socket.protocol;
  report.extensions = socket.extensions;
  report.texts = [];
  for (const text of ["hello", "Grüße, κόσμε 🙂", "", "x".repeat(3e6), "ß🙂".repeat(3e5)])
    report.texts.push(await echo(socket, text) === text);
  report.binaries = [];
  for (const size of [0, 256, 65536, 1e6]) {
    const sent = new Uint8Array(size).map((_, at) => at * 7 + (at >> 8));
    for (const data of [sent, new Blob([sent])]) {
      const back = new Uint8Array(await echo(socket, data));
      report.binaries.push(back.length === size && back.every((byte, at) => byte === sent[at]));
    }
  }
  const order = [];
  const all = new Promise(done => socket.addEventListener("message", ({data}) => {
    if (order.push(Number(data)) === 500) done();
  }));
  for (let number = 0; number < 500; number++) socket.send(String(number));
  await all;
  report.inOrder = order.every((number, at) => number === at);
  const over = next(socket, "close");
  socket.close(3001, "bye, Grüße");
  report.ownClose = end(await over);
}

async function closedBy(target) {
  const socket = opened(target);
  const events = [];
  for (const kind of ["open", "error"])
    socket.addEventListener(kind, () => events.push(kind));
  return {...end(await next(socket, "close")), events};
}

async function main() {
  await echoes();
  report.theirClose = await closedBy("/close?code=4005&reason=Grüße");
  report.normalClose = await closedBy("/close?code=1000");
  report.denied = await closedBy("/denied");
}

main().catch(error => { report.error = String(error); }).finally(() =>
  fetch("/report", {method: "POST", body: JSON.stringify(report)}));
</script>"""


class Site:
    """The page, what its script talks to, and what it reports."""

    def __init__(self) -> None:
        self.stage = Stage()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self.talk(scope, receive, send)
        elif scope["path"] == "/report":
            self.stage.mark("report", json.loads(await read_body(receive)))
            await answer(send)
        elif scope["path"] == "/":
            await send(start(headers=[(b"content-type", b"text/html; charset=utf-8")]))
            await send(body(PAGE.encode()))
        else:
            await answer(send, b"", 404)

    async def talk(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        query = parse_qs(scope["query_string"].decode())
        if scope["path"] == "/denied":
            await send({"type": "websocket.close"})
            return
        chosen = "echo" if "echo" in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        if scope["path"] == "/close":
            code, reason = int(query["code"][0]), query.get("reason", [""])[0]
            await send({"type": "websocket.close", "code": code, "reason": reason})
            return
        self.stage.mark("headers", dict(scope["headers"]))
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        self.stage.mark("disconnect", (event["code"], event["reason"]))


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Site]]:
    """What the script has reported, and the site that has seen it."""
    directory: Path = tmp_path_factory.mktemp("browser")
    site = Site()
    with serve(site, lifespan="off") as server, browsing(f"{server.url}/", directory):
        yield site.stage.wait("report", timeout=PATIENCE), site


def test_the_script_runs_to_its_end(visit: Any) -> None:
    report, _ = visit
    assert report.get("error") is None


def test_a_browser_agrees_on_subprotocol_and_deflate(visit: Any) -> None:
    report, site = visit
    assert report["protocol"] == "echo"
    assert report["extensions"].startswith("permessage-deflate")
    headers = site.stage.wait("headers")
    assert headers[b"sec-websocket-version"] == b"13"
    assert headers[b"origin"].startswith(b"http://127.0.0.1:")


def test_a_browser_gets_back_whatever_it_sends(visit: Any) -> None:
    report, _ = visit
    assert report["texts"] == [True] * 5
    assert report["binaries"] == [True] * 8
    assert report["inOrder"]


def test_a_browser_sees_the_applications_close(visit: Any) -> None:
    report, _ = visit
    assert report["theirClose"] == {
        "code": 4005,
        "reason": "Grüße",
        "wasClean": True,
        "events": ["open"],
    }
    assert report["normalClose"] == {
        "code": 1000,
        "reason": "",
        "wasClean": True,
        "events": ["open"],
    }


def test_the_application_sees_the_browsers_close(visit: Any) -> None:
    report, site = visit
    assert report["ownClose"]["code"] == 3001
    assert report["ownClose"]["wasClean"]
    assert site.stage.wait("disconnect") == (3001, "bye, Grüße")


def test_a_browser_is_told_no_more_of_a_refusal_than_that(visit: Any) -> None:
    report, _ = visit
    assert report["denied"] == {
        "code": 1006,
        "reason": "",
        "wasClean": False,
        "events": ["error"],
    }
