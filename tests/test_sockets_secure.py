"""Sockets for TLS and for plain HTTP side by side: which is which, and that it stays known."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastserve.config import Bind
from fastserve.kinds import Address, Several
from fastserve.sockets import Listeners, open_listeners

FREE = "127.0.0.1:0"


@contextmanager
def opened(slots: int = 1, *, secure: bool = True, **options: Any) -> Iterator[Listeners]:
    places = {name: Several(Address())(value) for name, value in options.items()}
    listeners = open_listeners(Bind(**places), slots, supervised=slots > 1, secure=secure)
    try:
        yield listeners
    finally:
        listeners.close()


@pytest.mark.parametrize("slots", [1, 2])
def test_the_urls_tell_which_are_for_tls(slots: int) -> None:
    with opened(slots, bind=[FREE, "[::1]:0"], insecure_bind=[FREE]) as listeners:
        ports = [each.getsockname()[1] for each in listeners.slots[0]]
        assert listeners.urls == [
            f"https://127.0.0.1:{ports[0]}",
            f"https://[::1]:{ports[1]}",
            f"http://127.0.0.1:{ports[2]}",
        ]
        assert [listeners.is_secure(at) for at in range(3)] == [True, True, False]
        assert listeners.secure_port == ports[0]


def test_without_tls_none_is_for_it() -> None:
    with opened(secure=False, bind=[FREE]) as listeners:
        assert listeners.urls[0].startswith("http://")
        assert not listeners.is_secure(0)
        assert listeners.secure_port is None


def test_a_unix_socket_has_no_port(tmp_path: Path) -> None:
    with opened(bind=[f"unix:{tmp_path}/s"], insecure_bind=[FREE]) as listeners:
        assert listeners.urls[0] == f"unix:{tmp_path}/s"
        assert listeners.is_secure(0)
        assert listeners.secure_port is None


@pytest.mark.parametrize("secure", [True, False])
def test_the_next_program_knows_which_are_plain_and_says_if_the_others_are(secure: bool) -> None:
    with opened(2, bind=[FREE], insecure_bind=[FREE]) as listeners:
        again = Listeners.adopt(listeners.handover(), secure=secure)
        again.add_slot()
        assert [again.is_secure(0), again.is_secure(1)] == [secure, False]
        assert again.urls[0].startswith("https:" if secure else "http:")
        for slot in listeners.slots:
            for each in slot:
                each.detach()
        again.close()


# As systemd does: at 3, 4 ... are the sockets, and their names in a variable.
TAKE = """
import fcntl, os, sys
high = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 50) for each in sys.argv[3:]]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(high)),
          "LISTEN_FDNAMES": sys.argv[1]}
from fastserve.config import Bind
from fastserve.kinds import Address, Several
from fastserve.sockets import open_listeners
insecure = Several(Address())(sys.argv[2])
print(*open_listeners(
    Bind(insecure_bind=insecure), activated=True, secure=True, environment=passed).urls)
"""


@pytest.mark.parametrize(
    ("names", "more", "schemes"),
    [
        ("web:insecure", "", ["https", "http"]),
        ("insecure:insecure", "", ["http", "http"]),
        ("web:other", FREE, ["https", "https", "http"]),
        ("insecure", "", ["https", "https"]),
        ("", "", ["https", "https"]),
    ],
)
def test_a_socket_that_systemd_calls_insecure_is_plain(
    names: str, more: str, schemes: list[str]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        fds = [one.fileno(), two.fileno()]
        command = [sys.executable, "-c", TAKE, names, more, *map(str, fds)]
        done = subprocess.run(command, pass_fds=fds, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [url.partition(":")[0] for url in done.stdout.split()] == schemes
