"""Several places to listen on, all of them served by all workers."""

from __future__ import annotations

import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.load import load
from support.service import REPLACED, client_of, serve


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name is short enough for Unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")
def test_every_place_is_served_while_workers_are_replaced(tmp_path: Path, short: Path) -> None:
    path = short / "s"
    places = ("--bind", "127.0.0.1:0", "--bind", f"unix:{path}", "--bind", "[::1]:0")
    with (
        serve(tmp_path, "--uds-mode", "600", places=places) as service,
        ExitStack() as stack,
    ):
        told = service.wait_for_log(r"fastserve \S+ on (\S+), (\S+), (\S+) \(2 workers\)")
        urls = told.groups()
        assert [url.rpartition(":")[0] for url in urls] == [
            "http://127.0.0.1",
            "unix",
            "http://[::1]",
        ]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        loads = [stack.enter_context(load(url, clients=2)) for url in urls]
        service.release("two")
        service.signal(signal.SIGHUP)
        service.wait_for_log(REPLACED)
        for each in loads:
            each.wait_for_answer("two", 10)
            each.stop()
            assert each.failures == []
        service.stop()
    assert not path.exists()


# Passes sockets in systemd's manner, from 3 on, to the program that the arguments name.
PASS = """
import fcntl, os, sys
kept = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 50) for fd in sys.argv[1].split(",")]
for i, fd in enumerate(kept):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kept)))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2], ids=["reload", "upgrade"])
def test_sockets_of_the_service_manager_are_served_by_all_workers(
    tmp_path: Path, short: Path, number: signal.Signals
) -> None:
    path = short / "s"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(path))
        unix.listen(100)
        fds = [tcp.fileno(), unix.fileno()]
        launcher = ("-c", PASS, ",".join(map(str, fds)))
        with serve(tmp_path, places=(), launcher=launcher, pass_fds=fds) as service:
            port = tcp.getsockname()[1]
            assert service.url == f"http://127.0.0.1:{port}"
            with load(service.url) as one, load(f"unix:{path}") as other:
                service.release("two")
                service.signal(number)
                service.wait_for_log(REPLACED)
                for each in (one, other):
                    each.wait_for_answer("two", 20)
                    each.stop()
                    assert each.failures == []
            service.stop()
        assert path.exists(), "the socket's file is the service manager's"
        with client_of(f"unix:{path}"):
            pass  # and so is the socket, which still listens
