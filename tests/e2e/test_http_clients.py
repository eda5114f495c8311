"""A real client library, httpx, against the server: what people will do with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
from support.apps import body, read_body, start
from support.server import Running, serve


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers what it was sent, as JSON; /stream answers the body in pieces as it comes."""
    if scope["path"] == "/stream":
        await send(start(200, [(b"content-type", b"application/octet-stream")]))
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message["more_body"]
            await send(body(message["body"], more=more))
        return
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": (await read_body(receive)).decode(),
    }
    await send(start(200, [(b"content-type", b"application/json")]))
    await send(body(json.dumps(seen).encode()))


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with serve(app, lifespan="off", loop=request.param) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(server: Running, method: str) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(2):
            answer = client.request(method, "/caf\u00e9", params={"q": "a b"})
            assert answer.status_code == 200
            if method == "HEAD":
                assert answer.content == b""
            else:
                seen = answer.json()
                assert (seen["method"], seen["path"]) == (method, "/caf\u00e9")
                assert seen["query"] in ("q=a+b", "q=a%20b")


def test_forms_json_and_files(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.post("/", data={"a": "1"}).json()["body"] == "a=1"
        assert json.loads(client.post("/", json={"a": [1]}).json()["body"]) == {"a": [1]}
        uploaded = client.post("/", files={"f": ("name", b"content")}).json()["body"]
        assert "content" in uploaded


def test_a_body_without_a_length_is_sent_in_chunks(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        answer = client.post("/", content=iter([b"one", b"two"])).json()
        assert answer["body"] == "onetwo"
        assert ["transfer-encoding", "chunked"] in answer["headers"]


def test_repeated_headers(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        seen = client.get("/", headers=[("x-a", "1"), ("x-b", "2"), ("x-a", "3")]).json()
        assert [value for name, value in seen["headers"] if name == "x-a"] == ["1", "3"]


def test_a_large_body_there_and_back(server: Running) -> None:
    data = bytes(range(256)) * 20_000
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for _ in range(2):
            assert client.post("/stream", content=data).content == data


def test_a_stream_read_as_it_comes(server: Running) -> None:
    with (
        httpx.Client(base_url=server.url) as client,
        client.stream("POST", "/stream", content=iter([b"abc"] * 100)) as answer,
    ):
        assert b"".join(answer.iter_raw()) == b"abc" * 100


def test_one_connection_is_used_again(server: Running) -> None:
    ports: set[Any] = set()
    with httpx.Client(base_url=server.url) as client:
        for _ in range(10):
            with client.stream("GET", "/") as answer:
                ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
                answer.read()
    assert len(ports) == 1


def test_a_stream_that_is_left_does_not_harm_the_next(server: Running) -> None:
    with httpx.Client(base_url=server.url) as client:
        for _ in range(5):
            with client.stream("POST", "/stream", content=b"x" * 1_000_000):
                pass
            assert client.get("/").status_code == 200


def test_many_clients_at_once(server: Running) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async def main() -> None:
        limits = httpx.Limits(max_connections=20)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:

            async def one(number: int) -> None:
                path = f"/{number}"
                assert (await client.get(path)).json()["path"] == path
                assert (await client.post("/stream", content=pieces())).content == b"x" * 20_000

            async with anyio.create_task_group() as group:
                for number in range(60):
                    group.start_soon(one, number)

    anyio.run(main)
