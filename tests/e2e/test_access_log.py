"""The access log: one truthful line for every exchange, written when it ends."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.apps import answer, body, read_body, start
from support.carriers import HTTP1, Carrier
from support.client import Client, Truncated, request
from support.server import Running, serve
from support.stage import Stage

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<client>\S+) "
    r'"(?P<method>\S+) (?P<target>\S+) (?P<version>HTTP/1\.[01]|HTTP/2)" '
    r"(?P<status>\d{3}) (?P<bytes>\d+) (?P<ms>\d+\.\d{3})ms"
)


class Lines:
    """The access lines written to stdout so far."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def now(self) -> list[re.Match[str]]:
        self._text += self._capture.readouterr().out
        *lines, rest = self._text.split("\n")
        assert rest == "" or "\n" not in rest
        matches = [LINE.fullmatch(line) for line in lines]
        assert None not in matches, lines
        return [match for match in matches if match]

    def wait(self, count: int) -> list[re.Match[str]]:
        """Waits until `count` lines are there; there must not be more."""
        deadline = time.monotonic() + 10
        while len(found := self.now()) < count:
            assert time.monotonic() < deadline, f"{len(found)} lines of {count}: {self._text}"
            time.sleep(0.01)
        assert len(found) == count, self._text
        return found

    def one(self) -> re.Match[str]:
        return self.wait(1)[0]


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    capfd.readouterr()
    return Lines(capfd)


def logged(
    carrier: Carrier, app: Any, lines: Lines, act: Callable[[Running], Any], **options: Any
) -> re.Match[str]:
    """The one line that `act` leads to."""
    with carrier.serve(app, lifespan="off", access_log=True, **options) as server:
        act(server)
        found = lines.one()
    assert len(lines.now()) == 1
    return found


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


def test_a_line_has_client_request_status_bytes_and_duration(
    carrier: Carrier, lines: Lines
) -> None:
    names: list[Any] = []

    def act(server: Running) -> None:
        client = server.connect()
        names.append(client.sock.getsockname())
        client.get("/a/b?c=d%20e")

    line = logged(carrier, hello, lines, act)
    host, port = names[0]
    assert line["client"] == f"{host}:{port}"
    assert line["method"] == "GET"
    assert line["target"] == "/a/b?c=d%20e"
    assert line["version"] == carrier.name
    assert (line["status"], line["bytes"]) == ("200", "5")
    assert 0 <= float(line["ms"]) < 10_000


def test_the_time_is_local_and_now(lines: Lines) -> None:
    before = time.time()
    line = logged(HTTP1, hello, lines, lambda server: server.get("/"))
    told = time.mktime(time.strptime(line["time"], "%Y-%m-%d %H:%M:%S"))
    assert before - 2 <= told <= time.time() + 2


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_an_ipv6_client_is_in_brackets(lines: Lines) -> None:
    line = logged(HTTP1, hello, lines, lambda server: server.get("/"), host="::1")
    assert re.fullmatch(r"\[::1\]:\d+", line["client"])


def test_a_client_on_a_unix_socket(lines: Lines, tmp_path: Path) -> None:
    line = logged(HTTP1, hello, lines, lambda server: server.get("/"), uds=str(tmp_path / "s"))
    assert line["client"] == "unix"


def test_the_version_of_the_request_is_told(lines: Lines) -> None:
    data = request("GET").replace(b"HTTP/1.1", b"HTTP/1.0")
    line = logged(HTTP1, hello, lines, lambda server: server.connect().ask(data))
    assert line["version"] == "HTTP/1.0"


def test_every_request_of_a_connection_has_its_line_in_order(lines: Lines) -> None:
    with serve(hello, lifespan="off", access_log=True) as server, server.connect() as client:
        for number in range(3):
            client.get(f"/{number}")
        client.send(b"".join(request("GET", f"/{number}") for number in range(3, 6)))
        for _ in range(3):
            client.response()
        found = lines.wait(6)
    assert [line["target"] for line in found] == [f"/{number}" for number in range(6)]
    assert len({line["client"] for line in found}) == 1


def test_bytes_are_those_of_the_body_alone(carrier: Carrier, lines: Lines) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(10):
            await send(body(b"x" * 1000, more=True))
        await send(body())

    line = logged(carrier, app, lines, lambda server: server.get("/"))
    assert line["bytes"] == "10000"


def test_head_sends_no_bytes(carrier: Carrier, lines: Lines) -> None:
    line = logged(
        carrier, hello, lines, lambda server: server.connect().ask(request("HEAD"), "HEAD")
    )
    assert (line["method"], line["status"], line["bytes"]) == ("HEAD", "200", "0")


def test_the_line_is_written_when_the_exchange_ends_and_not_before(
    carrier: Carrier, lines: Lines
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x", more=True))
        if scope["path"] == "/slow":
            await stage.until("go")
        await send(body())

    with carrier.serve(app, lifespan="off", access_log=True) as server:
        slow = server.connect()
        slow.send(request("GET", "/slow"))
        slow.head()
        server.get("/quick")
        assert lines.one()["target"] == "/quick"
        stage.mark("go")
        assert lines.wait(2)[1]["target"] == "/slow"


def test_the_duration_is_that_of_the_exchange(carrier: Carrier, lines: Lines) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await stage.until("go")
        await answer(send)

    with carrier.serve(app, lifespan="off", access_log=True) as server:
        client = server.connect()
        client.send(request("GET"))
        stage.wait("started")
        begun = time.monotonic()
        threading.Timer(0.2, stage.mark, ("go",)).start()
        client.response()
        taken = (time.monotonic() - begun) * 1000
        assert 150 <= float(lines.one()["ms"]) <= taken + 1000


def test_an_application_error_is_500(carrier: Carrier, lines: Lines, logs: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("crash")

    assert logged(carrier, app, lines, lambda server: server.get("/"))["status"] == "500"


def leave(data: bytes, stage: Stage, way: str = "reset") -> Callable[[Running], None]:
    def act(server: Running) -> None:
        client = server.connect()
        client.send(data)
        stage.wait("started")
        client.leave(way)

    return act


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_leaves_before_the_answer_is_499(
    carrier: Carrier, way: str, lines: Lines
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read_body(receive)
        stage.mark("started")
        await receive()

    line = logged(carrier, app, lines, leave(request("GET", "/gone"), stage, way))
    assert (line["target"], line["status"], line["bytes"]) == ("/gone", "499", "0")


def test_a_client_that_leaves_in_the_answer_is_499_with_what_was_sent(
    carrier: Carrier, lines: Lines
) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x" * 100, more=True))
        stage.mark("started")
        while (await receive())["type"] != "http.disconnect":
            pass

    line = logged(carrier, app, lines, leave(request("GET"), stage))
    assert (line["status"], line["bytes"]) == ("499", "100")


def test_a_client_that_leaves_in_its_own_body_is_499(carrier: Carrier, lines: Lines) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await read_body(receive)

    data = request("POST", "/", "Content-Length: 10") + b"half"
    assert logged(carrier, app, lines, leave(data, stage))["status"] == "499"


def test_a_client_that_leaves_in_a_file_is_499_with_what_was_sent(
    carrier: Carrier, lines: Lines, tmp_path: Path
) -> None:
    stage, size = Stage(), 32 << 20
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(size)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await send(start(200, [(b"content-length", b"%d" % size)]))
        await send({"type": "http.response.pathsend", "path": str(path)})

    def act(server: Running) -> None:
        client = server.connect(receive_buffer=65536)
        client.send(request("GET"))
        client.head()
        client.read(1000)
        client.leave()

    line = logged(carrier, app, lines, act)
    assert line["status"] == "499"
    assert 1000 <= int(line["bytes"]) < size


def test_a_client_that_leaves_after_the_answer_is_no_499(carrier: Carrier, lines: Lines) -> None:
    def act(server: Running) -> None:
        with server.connect() as client:
            client.get("/")

    assert logged(carrier, hello, lines, act)["status"] == "200"


def test_a_connection_without_a_request_writes_no_line(lines: Lines) -> None:
    def act(server: Running) -> None:
        server.connect().close()
        with server.connect() as client:
            client.shutdown()
            client.assert_closed()
        server.get("/seen")

    assert logged(HTTP1, hello, lines, act)["target"] == "/seen"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", "414"),
        (b"GET / HTTP/2.0\r\n\r\n", "505"),
        (b"\x16\x03\x01\r\n\r\n", "400"),
    ],
    ids=["400", "414", "505", "tls"],
)
def test_a_refused_request_has_a_line_too(data: bytes, status: str, lines: Lines) -> None:
    def act(server: Running) -> None:
        with server.connect() as client:
            client.send(data)
            client.response()

    assert logged(HTTP1, hello, lines, act)["status"] == status


@pytest.mark.parametrize(
    "target",
    [
        '/" 200 5 0.1ms',
        '/"quoted"',
        "/back\\slash",
        "/%0d%0a2026-01-01 forged",
        "/%22%20200%205%200.100ms%0A",
        "/\x1b[31m",
        "/caf%C3%A9",
        '/?"a"="b"',
    ],
)
def test_a_line_cannot_be_forged(target: str, lines: Lines) -> None:
    """Whatever is asked for, the line keeps its form; a refused target is not repeated."""

    def act(server: Running) -> None:
        with server.connect() as client:
            client.ask(request("GET", target))

    line = logged(HTTP1, hello, lines, act)
    assert '"' not in line["target"]
    assert "\\" not in line["target"]
    assert line["target"].isprintable()
    assert line["target"].isascii()


def test_a_method_or_header_cannot_forge_a_line(lines: Lines) -> None:
    def act(server: Running) -> None:
        with server.connect() as client:
            client.send(b'GET"x / HTTP/1.1\r\nHost: a\r\nX: "\r\n\r\n')
            client.response()

    logged(HTTP1, hello, lines, act)


def test_no_line_without_an_access_log(lines: Lines) -> None:
    with serve(hello, lifespan="off", access_log=False) as server:
        server.get("/")
    assert lines.now() == []


def test_what_is_buffered_is_written_when_the_server_stops(lines: Lines) -> None:
    with serve(hello, lifespan="off", access_log=True) as server, server.connect() as client:
        for _ in range(50):
            client.get("/")
    assert len(lines.now()) == 50


def test_a_line_of_an_exchange_cut_by_the_stop_is_written(carrier: Carrier, lines: Lines) -> None:
    stage = Stage()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stage.mark("started")
        await read_body(receive)
        await receive()

    with carrier.serve(
        app, lifespan="off", access_log=True, timeout_graceful_shutdown=0.05
    ) as server:
        client = server.connect()
        server.clients.clear()
        client.send(request("GET", "/cut"))
        stage.wait("started")
    client.close()
    assert [line["target"] for line in lines.now()] == ["/cut"]


APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def test_the_command_writes_lines_to_stdout_and_flushes_them_at_exit(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()[:2]
        arguments = ["main:app", "--fd", str(listener.fileno()), "--lifespan", "off"]
        process = subprocess.Popen(
            [sys.executable, "-m", "fastserve", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            text=True,
        )
    try:
        with Client(address) as client:
            for number in range(5):
                assert client.get(f"/{number}").body == b"hello"
        process.terminate()
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    found = [LINE.fullmatch(line) for line in out.splitlines()]
    assert [line and line["target"] for line in found] == [f"/{number}" for number in range(5)]


def test_a_truncated_answer_keeps_the_status_that_was_sent(
    carrier: Carrier, lines: Lines, logs: Any
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        raise RuntimeError("crash")

    def act(server: Running) -> None:
        with server.connect() as client, pytest.raises(Truncated):
            client.get("/")

    assert logged(carrier, app, lines, act)["status"] == "200"
