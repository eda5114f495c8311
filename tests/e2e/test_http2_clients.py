"""HTTP/2 as real clients speak it: curl, nghttp, h2load and httpx."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from support.apps import answer, body, read_body, start
from support.certificates import Authority
from support.server import Running, serve

HOST = "127.0.0.1"
SIZE = 3_000_000


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/big: many bytes; /stream: what comes, as it comes; else what was asked, as JSON."""
    if scope["path"] == "/big":
        await send(start(200, [(b"content-length", b"%d" % SIZE)]))
        for _ in range(SIZE // 100_000):
            await send(body(b"x" * 100_000, more=True))
        await send(body())
    elif scope["path"] == "/stream":
        await send(start())
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
            await send(body(message["body"], more=more))
    else:
        data = await read_body(receive)
        seen = {
            "version": scope["http_version"],
            "scheme": scope["scheme"],
            "method": scope["method"],
            "path": scope["path"],
            "host": dict(scope["headers"])[b"host"].decode(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        await answer(send, json.dumps(seen).encode())


@pytest.fixture
def server(authority: Authority, request: pytest.FixtureRequest) -> Any:
    """Over TLS where the parameter says so."""
    options = authority.issue(HOST).options if getattr(request, "param", "") == "tls" else {}
    with serve(app, lifespan="off", **options) as running:
        yield running


both = pytest.mark.parametrize("server", ["cleartext", "tls"], indirect=True)


def run(*command: str, data: bytes = b"") -> str:
    done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, f"{command}: {said}"
    return said


def curl(server: Running, authority: Authority, *options: str, data: bytes = b"") -> str:
    how = "--http2" if server.url.startswith("https") else "--http2-prior-knowledge"
    return run("curl", "-sS", how, "--cacert", authority.cafile, *options, data=data)


@needs("curl")
@both
def test_curl_asks(server: Running, authority: Authority) -> None:
    said = curl(server, authority, "-w", "\n%{http_version} %{http_code}", f"{server.url}/a%20b")
    text, _, told = said.rpartition("\n")
    assert told == "2 200"
    seen = json.loads(text)
    assert (seen["version"], seen["method"], seen["path"]) == ("2", "GET", "/a b")
    assert seen["scheme"] == server.url.partition(":")[0]
    assert seen["host"] == f"{HOST}:{server.port}"


@needs("curl")
@pytest.mark.parametrize("server", ["tls"], indirect=True)
def test_curl_asks_for_many_at_once_over_one_connection(
    server: Running, authority: Authority
) -> None:
    # With prior knowledge its 7.88 loses count of what it may multiplex, whatever the server.
    said = curl(
        server, authority, "--parallel", "--parallel-max", "50", "-w", "\n%{num_connects}\n",
        f"{server.url}/[1-100]",
    )  # fmt: skip
    paths = re.findall(r'"path": "/(\d+)"', said)
    assert sorted(map(int, paths)) == list(range(1, 101))


@needs("curl")
@both
def test_curl_uploads_what_has_no_length_and_downloads(
    server: Running, authority: Authority, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 8000
    seen = json.loads(curl(server, authority, "-T", "-", f"{server.url}/", data=data))
    assert (seen["method"], seen["sha256"]) == ("PUT", hashlib.sha256(data).hexdigest())
    curl(server, authority, "-o", str(tmp_path / "big"), f"{server.url}/big")
    assert (tmp_path / "big").stat().st_size == SIZE


@needs("curl")
def test_curl_waits_for_100_continue(server: Running, authority: Authority) -> None:
    said = curl(
        server, authority, "-v", "-H", "Expect: 100-continue", "--expect100-timeout", "60",
        "-d", "hello", f"{server.url}/",
    )  # fmt: skip
    assert "HTTP/2 100" in said
    assert hashlib.sha256(b"hello").hexdigest() in said


@needs("curl")
def test_curl_upgrades_from_http_1(server: Running) -> None:
    said = run("curl", "-sS", "--http2", "-w", "\n%{http_version}", f"{server.url}/")
    text, _, version = said.rpartition("\n")
    assert version == "2"
    assert json.loads(text)["version"] == "2"


@needs("curl")
@both
def test_curl_is_left_its_http_1(server: Running, authority: Authority) -> None:
    said = run("curl", "-sS", "--http1.1", "--cacert", authority.cafile, f"{server.url}/")
    assert json.loads(said)["version"] == "1.1"


@needs("nghttp")
@both
def test_nghttp_asks_with_padding_and_trailers(server: Running, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"y" * 100_000)
    said = run(
        "nghttp", "-v", "-b", "200", "-d", str(tmp_path / "data"), "--trailer", "x-sum: 1",
        "-m", "5", f"{server.url}/",
    )  # fmt: skip
    assert said.count(hashlib.sha256(b"y" * 100_000).hexdigest()) == 5
    assert said.count(":status: 200") == 5
    assert "error_code=NO_ERROR" in said
    assert "RST_STREAM" not in said


@needs("nghttp")
def test_nghttp_upgrades_from_http_1(server: Running) -> None:
    said = run("nghttp", "-v", "-u", f"{server.url}/")
    assert "HTTP Upgrade success" in said
    assert '"version": "2"' in said


@needs("nghttp")
def test_nghttp_downloads_through_a_small_window(server: Running) -> None:
    said = run("nghttp", "-n", "-s", "-w", "10", "-W", "10", f"{server.url}/big", f"{server.url}/")
    assert re.search(r" 200 +2M /big|200 +\S+M /big", said), said


@needs("h2load")
@both
def test_h2load_has_nothing_to_complain_of(server: Running) -> None:
    said = run("h2load", "-n", "400", "-c", "4", "-m", "25", f"{server.url}/")
    assert "400 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "400 2xx, 0 3xx, 0 4xx, 0 5xx" in said


@needs("h2load")
def test_h2load_uploads(server: Running, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"z" * 200_000)
    said = run(
        "h2load", "-n", "40", "-c", "2", "-m", "10", "-d", str(tmp_path / "data"), f"{server.url}/"
    )  # fmt: skip
    assert "40 succeeded, 0 failed" in said


@both
def test_httpx_asks_and_streams(server: Running, authority: Authority) -> None:
    options = {"http1": False, "http2": True, "verify": authority.client_context(), "timeout": 30}
    data = bytes(range(256)) * 5000
    with httpx.Client(base_url=server.url, **options) as client:  # type: ignore[arg-type]
        for _ in range(3):
            got = client.post("/a", json={"a": 1})
            assert (got.http_version, got.status_code) == ("HTTP/2", 200)
            assert got.json()["sha256"] == hashlib.sha256(b'{"a":1}').hexdigest()
        assert client.post("/stream", content=iter([data] * 3)).content == data * 3
        with client.stream("GET", "/big") as left:
            next(left.iter_raw())
        assert client.get("/").status_code == 200


def test_many_of_httpx_at_once(server: Running) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async def main() -> None:
        async with httpx.AsyncClient(
            base_url=server.url, http1=False, http2=True, timeout=30
        ) as client:

            async def one(number: int) -> None:
                assert (await client.get(f"/{number}")).json()["path"] == f"/{number}"
                assert (await client.post("/stream", content=pieces())).content == b"x" * 20_000

            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(one, number)

    anyio.run(main)
