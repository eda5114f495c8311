"""TLS over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import websockets
from support import websocket
from support.apps import answer, body, read_body, start
from support.certificates import Authority, Certificate
from support.client import request
from support.logs import LogRecords
from support.secure import PiecewiseClient, SecureClient
from support.server import Running, serve
from support.stage import Stage
from support.tls import NAME

BIG = os.urandom(1 << 20) * 5


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    return authority.issue(NAME, "127.0.0.1")


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    return authority.client_context()


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "big"
    path.write_bytes(BIG)
    return path


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers by path; echoes WebSocket messages."""
    path = scope["path"]
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif path == "/echo":
        await answer(send, await read_body(receive))
    elif path == "/big":
        await answer(send, BIG)
    elif path == "/chunks":
        await start_chunks(send)
    elif path.startswith("/file"):
        await send_file(scope["query_string"].decode(), path, send)
    else:
        await answer(send, b"Hello, world!")


async def start_chunks(send: Any) -> None:
    await send(start())
    for at in range(0, len(BIG), 100_000):
        await send(body(BIG[at : at + 100_000], more=True))
    await send(body())


async def send_file(path: str, kind: str, send: Any) -> None:
    """As pathsend, or with an offset by zerocopysend between two bodies."""
    if kind == "/file":
        await send(start(200, [(b"content-length", b"%d" % len(BIG))]))
        await send({"type": "http.response.pathsend", "path": path})
        return
    await send(start())
    await send(body(b"<", more=True))
    with Path(path).open("rb") as file:
        message = {"type": "http.response.zerocopysend", "file": file, "offset": 1000}
        await send({**message, "count": 200_000, "more_body": True})
    await send(body(b">"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    assert (scope["scheme"], scope["extensions"]["tls"]["tls_version"]) == ("wss", 0x0304)
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Running]:
    with serve(app, lifespan="off", loop=request.param, **certificate.options) as running:
        yield running


# Requests and responses -----------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_are_answered_on_one_connection(
    server: Running, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = authority.client_context()
    context.maximum_version = version
    with SecureClient(server, context) as client:
        for _ in range(3):
            assert client.get().text == "Hello, world!"
        client.send(request("GET") * 20)
        assert [client.response().text for _ in range(20)] == ["Hello, world!"] * 20
        client.send(request("GET", "/", "Connection: close"))
        assert client.response().text == "Hello, world!"
        client.assert_closed()


@pytest.mark.parametrize("path", ["/big", "/chunks", "/file"])
def test_large_responses_come_whole(
    server: Running, context: ssl.SSLContext, big_file: Path, path: str
) -> None:
    with SecureClient(server, context) as client:
        for _ in range(2):
            assert client.get(f"{path}?{big_file}").body == BIG


def test_part_of_a_file_comes_between_bodies(
    server: Running, context: ssl.SSLContext, big_file: Path
) -> None:
    with SecureClient(server, context) as client:
        got = client.get(f"/file/part?{big_file}")
        assert got.body == b"<" + BIG[1000:201_000] + b">"


@pytest.mark.parametrize("size", [1, 16_384, 100_000, len(BIG)])
def test_uploads_come_whole(server: Running, context: ssl.SSLContext, size: int) -> None:
    data = BIG[:size]
    with SecureClient(server, context) as client:
        for _ in range(2):
            assert client.ask(request("POST", "/echo", body=data)).body == data


def test_a_chunked_upload_comes_whole(server: Running, context: ssl.SSLContext) -> None:
    with SecureClient(server, context) as client:
        client.send(request("POST", "/echo", "Transfer-Encoding: chunked"))
        for at in range(0, 1_000_000, 50_000):
            client.send(b"%x\r\n" % 50_000 + BIG[at : at + 50_000] + b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.response().body == BIG[:1_000_000]


def test_a_handshake_and_a_request_may_come_byte_by_byte(
    server: Running, authority: Authority
) -> None:
    with server.connect() as client:
        peer = PiecewiseClient(client, authority)
        while not peer.tls.complete:
            client.send_bytewise(peer.tls.take())
            if not peer.tls.complete:
                peer.tls.give(client.sock.recv(65536))
        client.send_bytewise(peer.tls.seal(request("GET")))
        assert peer.until(b"Hello, world!").startswith(b"HTTP/1.1 200")


def test_a_request_may_come_with_the_end_of_the_handshake(
    server: Running, authority: Authority
) -> None:
    with server.connect() as client:
        peer = PiecewiseClient(client, authority)
        last = peer.last_flight()
        client.send(last + peer.tls.seal(request("GET", "/", "Connection: close")))
        assert peer.rest().endswith(b"Hello, world!")


# The scope ------------------------------------------------------------------


def test_every_request_has_a_tls_extension_of_its_own(
    certificate: Certificate, context: ssl.SSLContext
) -> None:
    async def spoiling(scope: Any, receive: Any, send: Any) -> None:
        extension = scope["extensions"]["tls"]
        assert scope["scheme"] == "https"
        assert extension["tls_version"] == 0x0304
        assert extension["client_cert_chain"] == []
        extension["client_cert_chain"].append("mine")
        extension["mine"] = True
        scope["extensions"].clear()
        await answer(send, b"%d" % (len(extension)))

    with (
        serve(spoiling, lifespan="off", **certificate.options) as server,
        SecureClient(server, context) as client,
    ):
        first, second = client.get(), client.get()
        assert (first.status, first.text) == (second.status, second.text)
        assert first.status == 200


def test_a_plain_connection_has_none() -> None:
    async def looking(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, scope["scheme"].encode() + b" %d" % ("tls" in scope["extensions"]))

    with serve(looking, lifespan="off") as server:
        assert server.get().text == "http 0"


# Ends -----------------------------------------------------------------------


def test_a_client_that_has_said_close_notify_gets_its_answer(
    certificate: Certificate, authority: Authority
) -> None:
    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await answer(send, b"late")

    with (
        serve(waiting, lifespan="off", **certificate.options) as server,
        server.connect() as client,
    ):
        peer = PiecewiseClient(client, authority)
        last = peer.last_flight()
        client.send(last + peer.tls.seal(request("GET")) + peer.tls.notify())
        assert peer.rest().endswith(b"late")


def test_a_close_notify_ends_a_connection_that_rests(server: Running, authority: Authority) -> None:
    with server.connect() as client:
        peer = PiecewiseClient(client, authority)
        client.send(peer.last_flight() + peer.tls.seal(request("GET")))
        peer.until(b"Hello, world!")
        client.send(peer.tls.notify() + b"nothing after it is read")
        assert peer.rest().endswith(b"Hello, world!")


def test_an_end_without_close_notify_cuts_a_body(
    certificate: Certificate, context: ssl.SSLContext, logs: LogRecords
) -> None:
    stage = Stage()

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        try:
            await read_body(receive)
        except ConnectionError:
            stage.mark("cut")

    with (
        serve(reading, lifespan="off", **certificate.options) as server,
        SecureClient(server, context) as client,
    ):
        client.send(request("POST", "/", "Content-Length: 10") + b"12345")
        socket.socket(fileno=os.dup(client.sock.fileno())).shutdown(socket.SHUT_WR)
        stage.wait("cut")
    assert logs.noise == []


def test_a_response_that_is_cut_never_looks_whole(
    certificate: Certificate, context: ssl.SSLContext
) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, [(b"content-length", b"10")]))
        await send(body(b"12345", more=True))
        raise RuntimeError("as it should")

    with (
        serve(failing, lifespan="off", **certificate.options) as server,
        SecureClient(server, context) as client,
    ):
        client.send(request("GET"))
        head = client.head()
        with pytest.raises(AssertionError, match="ended in a body"):
            client.body(head)


def test_a_refused_request_is_answered_before_the_end(
    server: Running, context: ssl.SSLContext
) -> None:
    with SecureClient(server, context) as client:
        client.send(b"nonsense\r\n\r\n" + b"x" * 50_000)
        assert client.response().status == 400
        client.assert_closed()


# Pressure -------------------------------------------------------------------


def test_a_reader_that_never_reads_holds_the_application_up(
    server: Running, certificate: Certificate, context: ssl.SSLContext
) -> None:
    stage = Stage()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
                stage.mark("sent")
        except OSError:
            stage.mark("left")

    with serve(endless, lifespan="off", **certificate.options) as other:
        client = SecureClient(other, context, receive_buffer=65536)
        client.send(request("GET"))
        stage.wait("sent")
        while True:
            before = stage.count("sent")
            try:
                stage.wait("sent", before + 1, timeout=0.3)
            except AssertionError:
                break
        assert before * 65536 < 16 << 20
        client.sock.recv(1 << 20)
        client.reset()
        stage.wait("left")


def test_an_application_that_does_not_read_holds_the_upload_up(
    certificate: Certificate, context: ssl.SSLContext
) -> None:
    stage = Stage()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("go")
        await answer(send, b"%d" % len(await read_body(receive)))

    size = 64 << 20
    with (
        serve(late, lifespan="off", **certificate.options) as server,
        SecureClient(server, context, send_buffer=65536) as client,
    ):
        client.send(request("POST", "/", f"Content-Length: {size}"))
        stage.wait("started")
        sent = client.send_until_blocked(BIG, size, patience=0.3)
        assert sent < 16 << 20
        stage.mark("go")
        while sent < size:
            # A write of TLS that did not get through is repeated as it was.
            sent += client.sock.send(BIG[sent % len(BIG) :][: size - sent])
        assert client.response().text == str(size)


# Real clients ---------------------------------------------------------------


def test_httpx_and_aiohttp_are_served(server: Running, context: ssl.SSLContext) -> None:
    with httpx.Client(verify=context, base_url=server.url) as client:
        for _ in range(2):
            assert client.get("/").text == "Hello, world!"
        assert client.get("/big").content == BIG
        assert client.post("/echo", content=BIG).content == BIG

    async def by_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{server.url}/big", ssl=context) as got:
                assert await got.read() == BIG
            async with session.post(f"{server.url}/echo", data=BIG, ssl=context) as got:
                assert await got.read() == BIG

    asyncio.run(by_aiohttp())


def test_websockets_are_served(server: Running, context: ssl.SSLContext) -> None:
    messages = ["", "hello", "Grüße", b"", b"x" * 70_000, "y" * 1_000_000, os.urandom(300_000)]

    async def talk() -> None:
        url = server.url.replace("https", "wss")
        async with websockets.connect(url, ssl=context, max_size=None) as client:
            await (await client.ping())
            for message in messages:
                await client.send(message)
                assert await client.recv() == message

    asyncio.run(talk())


def test_a_websocket_is_pinged(certificate: Certificate, context: ssl.SSLContext) -> None:
    options = {"ws_ping_interval": 0.1, **certificate.options}
    with (
        serve(app, lifespan="off", **options) as server,
        SecureClient(server, context) as client,
    ):
        client.send(websocket.handshake())
        peer = websocket.upgraded(client)
        for _ in range(2):
            ping = peer.read()
            assert ping.opcode == websocket.PING
            peer.pong(ping.payload)
        peer.leave()


@contextmanager
def s_client(
    server: Running, authority: Authority, version: str
) -> Iterator[Callable[[bytes, bytes], None]]:
    """Writes to openssl's client, which is also its commands, and waits for what it prints."""
    command = ["openssl", "s_client", "-connect", f"{server.host}:{server.port}", version]
    command += ["-CAfile", authority.cafile, "-verify_return_error", "-servername", NAME]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        stdin, stdout = client.stdin.fileno(), client.stdout.fileno()

        def ask(line: bytes, answered: bytes) -> None:
            os.write(stdin, line)
            got = b""
            while answered not in got:
                part = os.read(stdout, 65536)
                if not part:
                    raise EOFError(got)
                got += part

        try:
            yield ask
        finally:
            client.kill()


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_can_update_its_keys(server: Running, authority: Authority) -> None:
    """s_client sends a KeyUpdate for a line "k", and asks for one of ours with "K"."""
    with s_client(server, authority, "-tls1_3") as ask:
        for line in (b"k\n", b"K\n", b"k\n", b"K\n"):
            ask(line, b"KEYUPDATE")
            ask(request("GET"), b"Hello, world!")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_a_renegotiation_is_refused(
    server: Running, authority: Authority, logs: LogRecords
) -> None:
    with s_client(server, authority, "-tls1_2") as ask:
        ask(request("GET"), b"Hello, world!")
        ask(b"R\n", b"RENEGOTIATING")
        with pytest.raises(EOFError):
            ask(request("GET"), b"Hello, world!")
    assert logs.noise == []
