"""The running server that tests get."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from fastserve import testing
from fastserve.errors import AppError, BindError, ConfigError, LifespanError


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_it_serves_on_a_free_port_until_the_block_ends() -> None:
    with testing.serve(app) as server:
        assert server.host == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.uds is None
        assert httpx.get(server.url + "/x").text == "/x"
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_it_serves_on_a_unix_socket() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = str(Path(directory) / "s")
        with testing.serve(app, uds=path) as server:
            assert (server.url, server.uds, server.port) == ("http://localhost", path, 0)
            with httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
                assert client.get(server.url + "/uds").text == "/uds"
        assert not Path(path).exists()


def test_ipv6_hosts_are_given_without_brackets() -> None:
    with testing.serve(app, host="::1") as server:
        assert server.host == "::1"
        assert httpx.get(server.url + "/6").text == "/6"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_options_are_those_of_the_config(loop: str) -> None:
    with testing.serve(app, loop=loop, headers=["x-a: 1"], server_header=False) as server:
        answer = httpx.get(server.url)
        assert answer.headers["x-a"] == "1"
        assert "server" not in answer.headers


def test_several_run_side_by_side() -> None:
    with testing.serve(app) as one, testing.serve(app) as two:
        assert one.port != two.port
        assert httpx.get(two.url + "/2").text == "/2"
        assert httpx.get(one.url + "/1").text == "/1"


async def fails(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no"})


@pytest.mark.parametrize(
    ("target", "options", "error"),
    [
        (fails, {}, LifespanError),
        ("fs_not_there:app", {}, AppError),
        (app, {"host": "203.0.113.7"}, BindError),
        (app, {"prt": 1}, ConfigError),
    ],
)
def test_what_keeps_it_from_starting_is_raised(
    target: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error), testing.serve(target, **options):
        raise AssertionError("it has started")


def test_the_bodys_error_passes_and_the_thread_ends() -> None:
    threads = threading.active_count()
    with pytest.raises(KeyError), testing.serve(app):
        raise KeyError
    assert threading.active_count() == threads
