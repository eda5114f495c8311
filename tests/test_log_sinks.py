"""Logs whose readers are slow, full, gone, or syslog: nothing waits for them, and nothing lies."""

from __future__ import annotations

import errno
import json
import logging
import logging.config
import os
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.apps import answer
from support.certificates import Authority
from support.client import Client
from support.logs import bare
from support.process import clean_environment, eventually
from support.server import serve

from fastserve import testing
from fastserve.config import Config, Logging
from fastserve.errors import ConfigError
from fastserve.logging import access_sink, configure, reopen
from fastserve.logsinks import FileSink, Sink

LINE = b"x" * 99 + b"\n"
MEBIBYTE = 1 << 20


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"hello")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose writing end waits, as that of a shell does."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def read_until(fd: int, what: bytes) -> bytes:
    data = b""
    while what not in data:
        more = os.read(fd, 65536)
        assert more, f"the end came before {what!r}"
        data += more
    return data


@contextmanager
def sink_on(target: str | int) -> Iterator[FileSink]:
    sink = FileSink(target)
    try:
        yield sink
    finally:
        sink.close()


def drainers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "fastserve-log"]


# -- pipes -----------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["reopened", "shared"])
def test_a_pipe_that_nobody_reads_holds_nobody_up(
    pipe: tuple[int, int], shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pipe cannot be opened anew, its own descriptor does, which waits."""
    if shared:
        monkeypatch.setattr("fastserve.logsinks._own_side", lambda fd: (fd, False))
    with sink_on(pipe[1]) as sink:
        for _ in range(3 * MEBIBYTE // 10_000):
            sink.write(LINE * 100)
        assert os.get_blocking(pipe[1])
        data = read_until(pipe[0], b"dropped)\n")
    lines = data.splitlines(keepends=True)
    (notice,) = [line for line in lines if line != LINE]
    dropped = re.fullmatch(rb"\((\d+) lines dropped\)\n", notice)
    assert dropped
    assert len(lines) - 1 + int(dropped[1]) == 3 * MEBIBYTE // 10_000 * 100


def test_what_is_kept_is_written_though_no_further_line_comes(pipe: tuple[int, int]) -> None:
    with sink_on(pipe[1]) as sink:
        sink.write(LINE * 5000 + b"last\n")
        assert read_until(pipe[0], b"last\n") == LINE * 5000 + b"last\n"
        eventually(lambda: not drainers())


def test_lines_of_several_processes_do_not_mix_in_a_pipe(pipe: tuple[int, int]) -> None:
    def write(letter: bytes) -> None:
        with sink_on(pipe[1]) as sink:
            for _ in range(50):
                sink.write((letter * 300 + b"\n") * 40)

    threads = [threading.Thread(target=write, args=(each,)) for each in (b"a", b"b")]
    for thread in threads:
        thread.start()
    found: list[bytes] = []
    data = b""
    while len(found) < 4000:
        data += os.read(pipe[0], 65536)
        *lines, data = data.split(b"\n")
        found += lines
    for thread in threads:
        thread.join()
    assert sorted(found) == [b"a" * 300] * 2000 + [b"b" * 300] * 2000


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(pipe: tuple[int, int]) -> None:
    with sink_on(pipe[1]) as sink:
        sink.write(b"y" * 200_000 + b"\n" + LINE)
        assert read_until(pipe[0], LINE) == b"y" * 200_000 + b"\n" + LINE


def test_a_terminal_that_is_stopped_holds_nobody_up() -> None:
    ours, theirs = os.openpty()
    with sink_on(theirs) as sink:
        for _ in range(20):
            sink.write(LINE * 100)
        read_until(ours, LINE.strip())
    os.close(theirs)
    os.close(ours)


def test_a_socket_that_nobody_reads_holds_nobody_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, sink_on(theirs.fileno()) as sink:
        for _ in range(8):
            sink.write(LINE * 1000)
        sink.write(b"last\n")
        assert read_until(ours.fileno(), b"last\n") == LINE * 8000 + b"last\n"


def test_a_fork_does_not_write_what_its_parent_keeps(pipe: tuple[int, int]) -> None:
    with sink_on(pipe[1]) as sink:
        sink.write(LINE * 5000)
        child = os.fork()
        if not child:
            sink.write(b"child\n")
            sink.close()
            os._exit(0)
        data = read_until(pipe[0], b"child\n")
        sink.write(b"last\n")
        data += read_until(pipe[0], b"last\n") if b"last\n" not in data else b""
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(data.splitlines()) == [b"child", b"last", *[LINE.strip()] * 5000]


def test_a_message_of_a_signals_handler_while_one_is_written_comes_after_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with sink_on(str(log)) as sink:
        put = sink._put

        def interrupted(data: memoryview) -> int:
            if bytes(data) == b"one\n":
                sink.write(b"two\n")
            return put(data)

        sink._put = interrupted  # type: ignore[method-assign]
        sink.write(b"one\n")
    assert log.read_bytes() == b"one\ntwo\n"


# -- a server with such logs -----------------------------------------------------------

APP = """
async def app(scope, receive, send):
    if scope["path"] == "/fail":
        raise RuntimeError("x" * 2000)
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@contextmanager
def command(directory: Path, *arguments: str, **options: Any) -> Iterator[Any]:
    """The command on a socket of ours, and the address of it."""
    (directory / "main.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastserve", "main:app", "--lifespan", "off",
             "--fd", str(listener.fileno()), *arguments],
            cwd=directory, pass_fds=[listener.fileno()], env=clean_environment(),
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options),
        )  # fmt: skip
        try:
            yield process, listener.getsockname()
        finally:
            process.kill()
            process.communicate()


def test_clients_are_served_while_nobody_reads_stdout_and_stderr(tmp_path: Path) -> None:
    long = "/" + "a" * 7000
    with command(tmp_path) as (process, address), Client(address) as client:
        for _ in range(300):  # two MiB of access lines
            assert client.get(long).body == b"hello"
        for _ in range(50):
            with Client(address) as other:
                assert other.get("/fail").status == 500
        assert client.get("/").body == b"hello"
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    dropped = re.search(rb"\((\d+) access lines dropped\)", out)
    assert dropped
    assert out.count(b"HTTP/1.1") + int(dropped[1]) == 351
    assert err.count(b"RuntimeError: xxx") == 50


def test_a_server_whose_logs_nobody_ever_reads_ends_in_time(tmp_path: Path) -> None:
    ends = os.pipe()
    try:
        with (
            command(tmp_path, stdout=ends[1], stderr=ends[1]) as (process, address),
            Client(address) as client,
        ):
            for _ in range(30):
                client.get("/" + "a" * 7000)
            process.terminate()
            assert process.wait(20) == 0
    finally:
        for fd in ends:
            os.close(fd)


def test_a_full_disk_costs_messages_and_no_traceback(tmp_path: Path) -> None:
    for name in ("log", "access"):
        (tmp_path / name).symlink_to("/dev/full")
    arguments = ("--log-file", "log", "--access-log-file", "access")
    with command(tmp_path, *arguments) as (process, address), Client(address) as client:
        assert client.get("/fail").status == 500
        with Client(address) as other:
            assert other.get("/").body == b"hello"
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_a_message_that_did_not_fit_on_the_disk_is_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with bare() as ours:
        configure(Logging(log_file=str(log), log_format="json"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            ours.error("lost")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        ours.error("kept")
    told, kept = map(json.loads, log.read_text().splitlines())
    assert (told["level"], told["message"]) == ("warning", "1 messages dropped")
    assert kept["message"] == "kept"


def test_the_line_of_a_secure_connection_tells_the_version_of_tls(
    tmp_path: Path, authority: Authority
) -> None:
    log = tmp_path / "access"
    options = authority.issue("127.0.0.1").options | {"access_log_file": str(log)}
    with (
        testing.serve(hello, access_log=True, access_log_format="json", **options) as server,
        httpx.Client(verify=authority.client_context()) as client,
    ):
        assert client.get(server.url + "/a").text == "hello"
    (facts,) = map(json.loads, log.read_text().splitlines())
    assert (facts["tls"], facts["scheme"], facts["path"]) == ("1.3", "https", "/a")


# -- structured messages ---------------------------------------------------------------


def messages(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_messages_are_one_line_each_with_all_that_is_known(
    tmp_path: Path,
) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError('two\nlines "and" \x1b[31m')

    log = tmp_path / "log"
    with bare():
        options = {"log_format": "json", "request_id": True, "log_file": str(log)}
        with serve(fails, lifespan="off", **options) as server:
            reply = server.get("/a?b")
        reopen()
    (told,) = [each for each in messages(log.read_text()) if each["level"] == "error"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])
    assert told["logger"] == "fastserve.error"
    assert told["pid"] == os.getpid()
    assert (told["request_method"], told["request_target"]) == ("GET", "/a?b")
    assert told["request_id"] == reply.header("x-request-id")
    assert told["request_id"] in told["message"]
    error = told["exception"]
    assert (error["type"], error["message"]) == ("ValueError", 'two\nlines "and" \x1b[31m')
    assert error["traceback"].startswith("Traceback (most recent call last):\n")
    assert "\x1b" not in log.read_text()


def test_logfmt_messages_are_one_line_each(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with bare() as ours:
        configure(Logging(log_file=str(log), access_log_format="logfmt"), worker=2)
        try:
            raise OSError(5, "a=b\nc")
        except OSError:
            ours.exception("it %s", "fails")
        ours.info("")
    failed, empty = log.read_text().splitlines()
    assert ' level=error logger=fastserve message="it fails" worker=2 pid=' in failed
    assert r'exception_type=OSError exception_message="[Errno 5] a=b\nc" traceback="' in failed
    assert ' message="" worker=2 ' in empty


def test_messages_come_though_the_application_configures_logging(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with bare() as logger:
        configure(Logging(log_file=str(path)))
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        logger.info("still here")
    assert "still here" in path.read_text()


def test_messages_follow_the_access_lines_format_unless_they_have_their_own() -> None:
    assert Logging().message_format == "text"
    assert Logging(access_log_format="combined").message_format == "text"
    assert Logging(access_log_format="json").message_format == "json"
    assert Logging(access_log_format="json", log_format="text").message_format == "text"


# -- options ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("access_log_format", "{clinet}", "there is no field {clinet}; did you mean 'client'?"),
        ("access_log_format", "jsn", "did you mean 'json'?"),
        ("access_log_format", "{client", "a lone {"),
        ("access_log_format", "}{client}", "a lone }"),
        ("access_log_format", "{client}\n", "control character"),
        ("access_log_format", "{header[Cookie]}", "would write secrets"),
        ("access_log_format", "{header[a b]}", "there is no field"),
        ("access_log_skip", "readyz", "not a path"),
        ("access_log_skip", "/a*b", "* stands at the end"),
        ("access_log_skip", "/a?b", "not a path"),
        ("access_log_file", "syslog:nowhere", "not a syslog such as"),
        ("log_file", "syslog:a:0", "not between"),
        ("log_file", "syslog:unix:", "not a syslog such as"),
        ("log_format", "xml", "not one of"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(name: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config("main:app", **{name: value})
    assert caught.value.message.startswith(f"{name}: ")
    assert reason in caught.value.message


def test_a_syslog_that_is_not_there_is_told_with_its_option(tmp_path: Path) -> None:
    target = f"syslog:unix:{tmp_path}/none"
    for option in ("log_file", "access_log_file"):
        with bare(), pytest.raises(ConfigError) as caught:
            configure(Logging(**{option: target}))
        flag = "--" + option.replace("_", "-")
        assert caught.value.message == f"{flag} {target}: {os.strerror(errno.ENOENT)}"


# -- syslog ----------------------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(20)
        yield sock


def syslog(target: str, **options: Any) -> Sink:
    sink = access_sink(Logging(access_log_file=target, **options))
    assert sink is not None
    return sink


def test_the_local_syslog_gets_each_line_as_a_datagram(
    daemon: socket.socket, tmp_path: Path
) -> None:
    sink = syslog(f"syslog:unix:{tmp_path}/log")
    sink.write(b"one\ntwo \rsame\n")
    found = [daemon.recv(9000) for _ in range(2)]
    sink.close()
    form = rb"<30>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d fastserve\[%d\]: " % os.getpid()
    assert all(re.match(form, each) for each in found), found
    assert [each.partition(b"]: ")[2] for each in found] == [b"one", b"two \rsame"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_syslog_over_udp_is_rfc_5424(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as there:
        try:
            there.bind((host, 0))
        except OSError:
            pytest.skip("the machine has no IPv6")
        there.settimeout(20)
        port = there.getsockname()[1]
        sink = syslog(f"syslog:[{host}]:{port}" if ":" in host else f"syslog:{host}:{port}")
        sink.write(b"GET / 200\n" + b"z" * 10_000 + b"\n")
        first, second = there.recv(9000), there.recv(9000)
        sink.close()
    assert re.fullmatch(
        rb"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ fastserve %d access - GET / 200"
        % os.getpid(),
        first,
    ), first
    assert second.endswith(b"zzz...")
    assert len(second) < 8400


def test_messages_have_the_severity_of_their_level(daemon: socket.socket, tmp_path: Path) -> None:
    with bare() as ours:
        configure(Logging(log_file=f"syslog:unix:{tmp_path}/log", log_level="debug"))
        for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, 10):
            ours.log(level, "a\nb")
        found = [daemon.recv(9000) for _ in range(10)]
    assert [int(each[1:3]) - 24 for each in found] == [2, 2, 3, 3, 4, 4, 6, 6, 7, 7]


def test_a_daemon_that_does_not_read_is_not_waited_for(
    daemon: socket.socket, tmp_path: Path
) -> None:
    sink = syslog(f"syslog:unix:{tmp_path}/log")
    sent = 3 * MEBIBYTE // 10_000 * 100
    for _ in range(sent // 100):
        sink.write(LINE * 100)
    found = 0
    while b"access lines dropped" not in (datagram := daemon.recv(9000)):
        found += 1
    sink.close()
    dropped = re.search(rb"<28>.*\((\d+) access lines dropped\)$", datagram)
    assert dropped
    assert 0 < int(dropped[1]) == sent - found


def test_a_daemon_that_comes_back_is_found_again(daemon: socket.socket, tmp_path: Path) -> None:
    sink = syslog(f"syslog:unix:{tmp_path}/log")
    daemon.close()
    (tmp_path / "log").unlink()
    sink.write(b"lost\nlost\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "log"))
        again.settimeout(20)
        sink.reopen()  # it tries each second by itself
        sink.write(b"found\n")
        told = [again.recv(9000).partition(b"]: ")[2] for _ in range(2)]
    sink.close()
    assert told == [b"(2 access lines dropped)", b"found"]


def test_the_lines_of_a_server_go_to_syslog(daemon: socket.socket, tmp_path: Path) -> None:
    options = {"access_log_file": f"syslog:unix:{tmp_path}/log", "access_log_format": "json"}
    with serve(hello, lifespan="off", access_log=True, **options) as server:
        server.get("/seen")
        facts = json.loads(daemon.recv(9000).partition(b"]: ")[2])
    assert (facts["path"], facts["status"], facts["worker"]) == ("/seen", 200, 0)
