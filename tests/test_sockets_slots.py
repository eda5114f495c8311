"""Listening sockets of slots that come and go, across exec, and from systemd."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.kernel import can_steer

from fastserve import sockets, steering
from fastserve.config import Bind
from fastserve.errors import BindError
from fastserve.kinds import Address, Several
from fastserve.sockets import Listeners, describe, open_listeners

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads over SO_REUSEPORT")
steers = pytest.mark.skipif(not can_steer(), reason="this system does not steer")


@contextmanager
def opened(slots: int = 1, *, supervised: bool = False, **options: Any) -> Iterator[Listeners]:
    listeners = open_listeners(Bind(**options), slots, supervised=supervised)
    try:
        yield listeners
    finally:
        listeners.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets on every system."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Path(directory)


def places(*addresses: str) -> Any:
    return Several(Address())(addresses)


# -- slots that come and go ------------------------------------------------------------


def reached(listeners: Listeners, connections: int = 24) -> set[int]:
    """The slots that get so many new connections at each TCP address."""
    found = set()
    by_socket = {
        each: index
        for index, slot in enumerate(listeners.slots)
        for each in slot
        if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    }
    for place in listeners.slots[0]:
        for _ in range(connections):
            with socket.socket(place.family) as client:
                client.connect(place.getsockname())
                (ready,) = select.select(list(by_socket), [], [], 10)[0]
                ready.accept()[0].close()
                found.add(by_socket[ready])
    return found


def steer(listeners: Listeners, *serving: int) -> None:
    assert listeners.steer(serving)


@steers
def test_connections_go_to_the_slots_that_serve_through_growing_and_shrinking() -> None:
    with opened(2, supervised=True, bind=places("127.0.0.1:0", "[::1]:0")) as listeners:
        listeners.listen(1, 64)
        listeners.listen(0, 64)
        steer(listeners, 0)
        assert reached(listeners) == {0}
        assert listeners.add_slot() == 2
        steer(listeners, 0, 1, 2)
        assert reached(listeners, 40) == {0, 1}, "nobody listens in the third yet"
        listeners.listen(2, 64)
        steer(listeners, 2)
        assert reached(listeners) == {2}
        steer(listeners, 0, 1)
        listeners.remove_slot(2)
        steer(listeners, 0)
        assert reached(listeners) == {0}
        listeners.remove_slot(1)
        steer(listeners, 0)
        assert reached(listeners) == {0}
        assert listeners.add_slot() == 1
        listeners.listen(1, 64)
        steer(listeners, 1)
        assert reached(listeners) == {1}


@steers
def test_a_removed_slot_listens_no_more_though_another_process_holds_its_socket() -> None:
    with opened(2, supervised=True, port=0) as listeners:
        listeners.listen(1, 64)
        listeners.listen(0, 64)
        with listeners.slots[1][0].dup():
            listeners.remove_slot(1)
            steer(listeners, 0)
            assert reached(listeners, 40) == {0}


@steers
def test_slots_nobody_serves_keep_their_share_when_nobody_serves_at_all() -> None:
    with opened(2, supervised=True, port=0) as listeners:
        listeners.listen(0, 64)
        listeners.listen(1, 64)
        steer(listeners, 0)
        steer(listeners)
        assert reached(listeners, 40) == {0, 1}


def test_shared_sockets_stay_when_slots_come_and_go(short_path: Path) -> None:
    with opened(supervised=True, uds=str(short_path / "s")) as listeners:
        assert listeners.add_slot() == 1
        assert listeners.slots[1] == listeners.slots[0]
        listeners.listen(1, 8)
        listeners.remove_slot(1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(short_path / "s"))


@pytest.mark.parametrize("index", [0, 1])
def test_only_the_last_slot_can_be_removed_and_one_stays(index: int) -> None:
    with opened(slots=3 - index * 2, port=0) as listeners, pytest.raises(ValueError, match="slot"):
        listeners.remove_slot(index)


@linux
def test_a_slot_that_cannot_be_added_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(supervised=True, port=0) as listeners:

        def full(*_: Any) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patched:
            patched.setattr(sockets, "_another", full)
            with pytest.raises(BindError, match="Too many open files"):
                listeners.add_slot()
        assert len(listeners.slots) == 1


def test_a_system_that_does_not_steer_is_told_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any) -> None:
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    monkeypatch.setattr(steering, "_attach", unknown)
    with opened(2, supervised=True, port=0) as listeners:
        listeners.listen(0, 64)
        assert not listeners.steer([0])
        socket.create_connection(listeners.slots[0][0].getsockname()).close()


# -- across exec -----------------------------------------------------------------------

EXEC = """
import json, os, sys
from fastserve.config import Bind
from fastserve.kinds import Address, Several
from fastserve.sockets import open_listeners
listeners = open_listeners(Bind(bind=Several(Address())(sys.argv[1:3])), 3, supervised=True)
for index in (2, 0, 1):
    listeners.listen(index, 64)
listeners.remove_slot(2)
state = json.dumps(listeners.handover())
os.execv(sys.executable, [sys.executable, "-c", sys.argv[3], state])
"""
ADOPTED = """
import json, os, select, socket, sys
from fastserve.sockets import Listeners
state = json.loads(sys.argv[1])
listeners = Listeners.adopt(state)
assert not any(os.get_inheritable(fd) for slot in state["slots"] for fd in slot)
assert listeners.add_slot() == 2
listeners.listen(2, 64)
reached = []
for index in (1, 0, 2):
    assert listeners.steer([index])
    for _ in range(20):
        with socket.create_connection(listeners.slots[0][0].getsockname()):
            own = [slot[0] for slot in listeners.slots]
            (ready,) = select.select(own, [], [], 10)[0]
            ready.accept()[0].close()
            assert own.index(ready) == index, (own.index(ready), index)
    reached.append(index)
with socket.socket(socket.AF_UNIX) as client:
    client.connect(listeners.slots[0][1].getsockname())
listeners.close()
print(reached)
"""


@steers
def test_all_goes_over_an_exec(short_path: Path) -> None:
    path = short_path / "s"
    done = subprocess.run(
        [sys.executable, "-c", EXEC, "127.0.0.1:0", f"unix:{path}", ADOPTED],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[1, 0, 2]"
    assert not path.exists()


def test_a_handover_that_came_to_nothing_can_be_undone() -> None:
    with opened(2, supervised=True, port=0) as listeners:
        json.dumps(listeners.handover())
        assert all(each.get_inheritable() for slot in listeners.slots for each in slot)
        listeners.keep()
        assert not any(each.get_inheritable() for slot in listeners.slots for each in slot)


def test_what_was_not_handed_over_is_an_error() -> None:
    with pytest.raises(BindError, match="cannot take over the listening sockets: Bad file"):
        Listeners.adopt({"slots": [[9999]], "groups": [None], "files": [], "insecure": []})


# -- sockets from systemd --------------------------------------------------------------

# As systemd does: puts the sockets it inherited at 3, 4 ... and becomes the program.
ACTIVATE = """
import fcntl, os, sys
fds = [int(each) for each in sys.argv[2].split(",")]
high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in fds]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number)
    os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
os.environ["LISTEN_FDNAMES"] = ":".join(["web", "other"][:len(fds)])
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], *sys.argv[3:]])
"""
TAKE = """
import os, sys
from fastserve import sockets, steering
from fastserve.config import Bind
from fastserve.errors import BindError
from fastserve.kinds import Address, Several
from fastserve.sockets import open_listeners
port = int(sys.argv[1])
try:
    listeners = open_listeners(Bind(port=port), 2, supervised=True, activated=not port)
except BindError as error:
    print(error, sorted(each for each in os.environ if each.startswith("LISTEN_")))
    sys.exit()
print(*listeners.urls, [len(slot) for slot in listeners.slots],
      sorted(each for each in os.environ if each.startswith("LISTEN_")),
      os.get_inheritable(listeners.slots[0][0].fileno()))
for fd in (3, 4):
    try:
        os.fstat(fd)
        print("left open:", fd)
    except OSError:
        pass
"""


def activated(*passed: socket.socket, port: int = 0) -> str:
    fds = [each.fileno() for each in passed]
    done = subprocess.run(
        [sys.executable, "-c", ACTIVATE, TAKE, ",".join(map(str, fds)), str(port)],
        pass_fds=fds,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_sockets_from_systemd_are_taken_where_no_address_is_given() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        assert activated(one, two) == f"{describe(one)} {describe(two)} [2, 2] [] False"


def test_a_socket_from_systemd_that_is_none_for_connections_is_named() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.socket(type=socket.SOCK_DGRAM) as two,
    ):
        said = activated(one, two)
        assert said.startswith("cannot listen on systemd's socket other: it is not a stream socket")


def test_an_address_in_use_while_systemd_has_passed_sockets_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        said = activated(one, port=one.getsockname()[1])
        assert "the address is already in use" in said
        assert "systemd has passed 1 sockets, for use without an address" in said
        assert "LISTEN_FDS" in said, "what was not taken stays for others"


@pytest.mark.parametrize(
    "environment",
    [
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "-1"},
        {"LISTEN_PID": str(os.getpid())},
    ],
)
def test_variables_of_another_process_or_without_sockets_mean_nothing(
    environment: dict[str, str],
) -> None:
    before = dict(environment)
    listeners = open_listeners(Bind(port=0), activated=True, environment=environment)
    assert listeners.urls[0].startswith("http://127.0.0.1:")
    assert environment == before
    listeners.close()
