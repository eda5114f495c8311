"""http.response.pathsend and http.response.zerocopysend: ASGI.md line 37."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.apps import answer, body, start
from support.carriers import Carrier
from support.client import request
from support.server import serve
from support.stage import Stage

BIG = 10 << 20
PATTERN = bytes(range(256)) * 4096


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.write_bytes(b"0123456789")
    return path


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "big"
    path.write_bytes(PATTERN * (BIG // len(PATTERN)))
    return path


def length(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", b"text/plain"), (b"content-length", b"%d" % count)]


def pathsend(path: Path) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


def sends_path(path: Path, headers: list[tuple[bytes, bytes]]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, headers))
        await send(pathsend(path))

    return app


def sends_file(path: Path, headers: list[tuple[bytes, bytes]], *parts: dict[str, Any]) -> Any:
    """Sends `parts` as zerocopysend of one open file; a part with "body" is a body message."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, headers))
        with path.open("rb") as file:
            for part in parts:
                if "body" in part:
                    await send({"type": "http.response.body", **part})
                else:
                    await send({"type": "http.response.zerocopysend", "file": file, **part})

    return app


def test_line_37_pathsend_sends_the_file(carrier: Carrier, small: Path, loop: str) -> None:
    app = sends_path(small, length(10))
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        for _ in range(3):
            got = client.get("/")
            assert got.header("content-length") == "10"
            assert got.header("content-type") == "text/plain"
            assert got.body == b"0123456789"


def test_line_37_pathsend_without_a_length_is_framed_by_the_server(
    carrier: Carrier, small: Path, loop: str
) -> None:
    app = sends_path(small, [])
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        for _ in range(2):
            assert client.get("/").body == b"0123456789"


def test_line_37_pathsend_without_a_length_on_1_0(small: Path, loop: str) -> None:
    app = sends_path(small, [])
    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        old = client.ask(request("GET").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert old.body == b"0123456789"


def test_line_37_pathsend_of_an_empty_file(carrier: Carrier, tmp_path: Path, loop: str) -> None:
    path = tmp_path / "empty"
    path.touch()
    app = sends_path(path, length(0))
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert client.get("/").body == b""
        assert client.get("/").body == b""


def test_line_37_pathsend_honours_head(carrier: Carrier, small: Path, loop: str) -> None:
    app = sends_path(small, length(10))
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        for _ in range(2):
            got = client.ask(request("HEAD"), "HEAD")
            assert got.header("content-length") == "10"
        assert client.get("/").body == b"0123456789"


def test_line_37_pathsend_of_a_big_file(carrier: Carrier, big: Path, loop: str) -> None:
    app = sends_path(big, length(BIG))
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert client.get("/").body == big.read_bytes()
        assert client.get("/").body == big.read_bytes()


def test_line_37_pathsend_among_pipelined_requests(small: Path, loop: str) -> None:
    app = sends_path(small, length(10))
    with serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        client.send(request("GET") * 10)
        assert [client.response().body for _ in range(10)] == [b"0123456789"] * 10


def test_line_37_pathsend_over_a_unix_socket(
    carrier: Carrier, big: Path, loop: str, tmp_path: Path
) -> None:
    app = sends_path(big, length(BIG))
    path = str(tmp_path / "s")
    with (
        carrier.serve(app, lifespan="off", loop=loop, uds=path) as server,
        server.connect() as client,
    ):
        assert client.get("/").body == big.read_bytes()


@pytest.mark.parametrize("path", ["small", b"/bytes", None, "/no/such/file"])
def test_line_37_pathsend_of_a_bad_path_is_a_clean_500(
    carrier: Carrier, path: Any, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, length(10)))
        await send({"type": "http.response.pathsend", "path": path})

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").status == 500


def test_line_37_pathsend_is_the_whole_body(carrier: Carrier, small: Path) -> None:
    """Once per response, and not mixed with body messages."""
    raised: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, length(12)))
        await send(body(b"ab", more=True))
        try:
            await send(pathsend(small))
        except Exception as error:
            raised.append(error)
        await send(body(b"0123456789"))

    with carrier.serve(app, lifespan="off") as server:
        assert server.get("/").body == b"ab0123456789"
    assert len(raised) == 1


def test_line_37_pathsend_with_another_length_is_refused(
    carrier: Carrier, small: Path, logs: Any
) -> None:
    with carrier.serve(sends_path(small, length(11)), lifespan="off") as server:
        assert server.get("/").status == 500


PARTS = [
    ({}, b"0123456789"),
    ({"offset": 3}, b"3456789"),
    ({"count": 4}, b"0123"),
    ({"offset": 2, "count": 5}, b"23456"),
    ({"offset": 10}, b""),
    ({"offset": 0, "count": 0}, b""),
    ({"offset": None, "count": None}, b"0123456789"),
]


@pytest.mark.parametrize(("part", "wanted"), PARTS, ids=str)
@pytest.mark.parametrize("framing", ["length", "none"])
def test_line_37_zerocopysend_offset_and_count(
    carrier: Carrier, small: Path, part: Any, wanted: bytes, framing: str, loop: str
) -> None:
    app = sends_file(small, length(len(wanted)) if framing == "length" else [], part)
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        for _ in range(2):
            assert client.get("/").body == wanted


def test_line_37_zerocopysend_mixed_and_repeated(carrier: Carrier, small: Path, loop: str) -> None:
    app = sends_file(
        small,
        [],
        {"body": b"<", "more_body": True},
        {"offset": 0, "count": 3, "more_body": True},
        {"body": b"|", "more_body": True},
        {"offset": 7, "count": 3, "more_body": True},
        {"body": b">"},
    )
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        for _ in range(2):
            got = client.get("/")
            assert got.all("transfer-encoding") == carrier.codings
            assert got.body == b"<012|789>"


def test_line_37_zerocopysend_without_offset_goes_on_from_the_files_place(
    carrier: Carrier, small: Path, loop: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, []))
        with small.open("rb") as file:
            file.seek(4)
            kind = {"type": "http.response.zerocopysend", "file": file}
            await send({**kind, "count": 2, "more_body": True})
            await send({**kind, "count": 2})

    with carrier.serve(app, lifespan="off", loop=loop) as server:
        assert server.get("/").body == b"4567"


def test_line_37_zerocopysend_takes_a_file_descriptor_and_leaves_it_open(
    carrier: Carrier, small: Path, loop: str
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fd = os.open(small, os.O_RDONLY)
        try:
            await send(start(200, length(10)))
            await send({"type": "http.response.zerocopysend", "file": fd, "offset": 0})
            stage.mark("size", os.fstat(fd).st_size)
        finally:
            os.close(fd)

    with carrier.serve(app, lifespan="off", loop=loop) as server:
        assert server.get("/").body == b"0123456789"
        assert stage.wait("size") == 10


def test_line_37_zerocopysend_of_a_big_file(carrier: Carrier, big: Path, loop: str) -> None:
    data = big.read_bytes()
    app = sends_file(big, [], {"offset": 1000, "count": BIG - 2000})
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert client.get("/").body == data[1000:-1000]


def test_line_37_zerocopysend_honours_head(carrier: Carrier, small: Path, loop: str) -> None:
    app = sends_file(small, length(10), {"offset": 0, "more_body": True}, {"body": b""})
    with carrier.serve(app, lifespan="off", loop=loop) as server, server.connect() as client:
        assert client.ask(request("HEAD"), "HEAD").header("content-length") == "10"
        assert client.get("/").body == b"0123456789"


@pytest.mark.parametrize(
    "part",
    [{"file": 10**6}, {"file": "name"}, {"offset": 20}, {"count": 11}, {"count": -1}],
    ids=str,
)
def test_line_37_zerocopysend_of_what_is_not_there_is_a_clean_500(
    carrier: Carrier, small: Path, part: Any, logs: Any
) -> None:
    with carrier.serve(sends_file(small, [], part), lifespan="off") as server:
        assert server.get("/").status == 500


def times_open(path: Path) -> int:
    """How many descriptors of this process are open on `path` (where the system tells)."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        return 0
    count = 0
    for link in links.iterdir():
        with contextlib.suppress(OSError):  # gone since the listing
            count += link.readlink() == path
    return count


@pytest.mark.parametrize("kind", ["pathsend", "zerocopysend"])
def test_line_37_a_client_that_leaves_in_the_middle_is_no_noise(
    carrier: Carrier, big: Path, kind: str, loop: str, logs: Any
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/alive":
            await answer(send)
            return
        inner = sends_path(big, length(BIG)) if kind == "pathsend" else sends_file(big, [], {})
        try:
            await inner(scope, receive, send)
        except OSError as error:
            stage.mark("error", error)
            raise
        finally:
            stage.mark("over")

    with carrier.serve(app, lifespan="off", loop=loop) as server:
        for _ in range(3):
            client = server.connect(receive_buffer=65536)
            client.send(request("GET"))
            client.head()
            client.read(1000)
            client.leave()
        stage.wait("over", 3)
        assert stage.count("error") == 3
        assert server.get("/alive").status == 200
        assert times_open(big) == 0
    assert logs.noise == []


def test_line_37_a_slow_reader_gets_the_whole_file(carrier: Carrier, big: Path, loop: str) -> None:
    app = sends_path(big, length(BIG))
    with (
        carrier.serve(app, lifespan="off", loop=loop) as server,
        server.connect(receive_buffer=65536) as client,
    ):
        client.send(request("GET"))
        client.head()
        got = bytearray()
        while len(got) < BIG:
            got += client.read(min(100_000, BIG - len(got)))
        assert bytes(got) == big.read_bytes()
        assert client.get("/").status == 200


def test_line_37_other_requests_are_served_while_a_file_is_sent(
    carrier: Carrier, big: Path, loop: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/file":
            await sends_path(big, length(BIG))(scope, receive, send)
        else:
            await answer(send, b"quick")

    with (
        carrier.serve(app, lifespan="off", loop=loop) as server,
        server.connect(receive_buffer=65536) as slow,
    ):
        slow.send(request("GET", "/file"))
        slow.head()
        assert [server.get("/").body for _ in range(5)] == [b"quick"] * 5
        assert slow.read(BIG) == big.read_bytes()
