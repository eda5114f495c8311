"""Binding: TCP, Unix sockets, inherited descriptors, slots, and errors in words."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastserve.config import Bind
from fastserve.errors import BindError
from fastserve.kinds import Address, Several
from fastserve.sockets import Listeners, describe, explain, open_listeners

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads over SO_REUSEPORT")


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


def ports(listeners: Listeners) -> set[int]:
    return {each.getsockname()[1] for slot in listeners.slots for each in slot}


# -- TCP -------------------------------------------------------------------------------


def test_port_0_is_a_free_port_that_the_url_tells() -> None:
    with opened(port=0) as listeners:
        (port,) = ports(listeners)
        assert port > 0
        assert listeners.urls == [f"http://127.0.0.1:{port}"]


def test_an_ipv6_url_has_brackets() -> None:
    with opened(host="::1", port=0) as listeners:
        (port,) = ports(listeners)
        assert listeners.urls == [f"http://[::1]:{port}"]


@pytest.mark.parametrize("host", ["*", "", "localhost"])
def test_all_addresses_of_a_host_share_one_port(host: str) -> None:
    with opened(host=host, port=0) as listeners:
        assert len(ports(listeners)) == 1
        families = {each.family for each in listeners.slots[0]}
        assert socket.AF_INET in families


def test_all_slots_share_one_port() -> None:
    with opened(slots=3, port=0) as listeners:
        assert len(listeners.slots) == 3
        assert len(ports(listeners)) == 1
        assert len(listeners.urls) == 1


@linux
@pytest.mark.parametrize("slots", [1, 3])
def test_every_slot_under_a_supervisor_has_a_socket_of_its_own(slots: int) -> None:
    with opened(slots, supervised=True, port=0) as listeners:
        assert len({slot[0].fileno() for slot in listeners.slots}) == slots
        for index, slot in enumerate(listeners.slots):
            listeners.listen(index, 8)
            assert slot[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        with socket.create_connection(slot[0].getsockname()):
            pass


def test_without_a_supervisor_slots_share_their_sockets() -> None:
    with opened(slots=2, port=0) as listeners:
        assert listeners.slots[0][0] is listeners.slots[1][0]
        listeners.listen(0, 8)
        listeners.listen(1, 8)
        assert not listeners.steer([0])


@pytest.mark.parametrize("slots", [1, 2])
def test_a_port_that_is_taken_is_named(slots: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BindError, match=f"127.0.0.1:{port}: the address is already in use"):
            open_listeners(Bind(port=port), slots, supervised=slots > 1)


def test_several_slots_do_not_join_a_stranger_that_allows_it() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BindError, match="already in use"):
            open_listeners(Bind(port=other.getsockname()[1]), 2, supervised=True)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.7", "no interface of this machine has that address"),
        ("no-such-host.invalid", "does not resolve"),
        ("a" * 70 + ".invalid", "does not resolve"),
    ],
)
def test_a_host_that_cannot_be_bound_is_explained(host: str, reason: str) -> None:
    with pytest.raises(BindError, match=reason):
        open_listeners(Bind(host=host, port=0))


# -- Unix sockets ----------------------------------------------------------------------


def test_a_unix_socket_is_shared_by_the_slots_and_removed_at_the_end(short_path: Path) -> None:
    path = short_path / "s"
    with opened(slots=2, uds=str(path)) as listeners:
        assert listeners.slots[0][0] is listeners.slots[1][0]
        assert listeners.urls == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced_and_its_mode_kept(short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.chmod(0o600)
    with opened(uds=str(path)) as listeners:
        listeners.slots[0][0].listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_live_unix_socket_is_left_alone(short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        with pytest.raises(BindError, match="already in use"):
            open_listeners(Bind(uds=str(path)))
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(short_path: Path) -> None:
    path = short_path / "s"
    path.write_text("precious")
    with pytest.raises(BindError, match="a file that is no socket is there"):
        open_listeners(Bind(uds=str(path)))
    assert path.read_text() == "precious"


def test_a_successors_file_is_not_removed(short_path: Path) -> None:
    path = short_path / "s"
    with opened(uds=str(path)):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(str(path))
    assert path.exists()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_a_unix_socket_has_the_mode_that_is_given(short_path: Path, mode: int) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    former = os.umask(0o027)
    try:
        with opened(uds=str(path), uds_mode=mode):
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(former)


def test_nobody_can_connect_before_the_mode_is_set(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chmod, path = os.chmod, short_path / "s"
    refused = []

    def late(*arguments: Any) -> None:
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        refused.append(True)
        chmod(*arguments)

    monkeypatch.setattr(os, "chmod", late)
    with opened(uds=str(path), uds_mode=0o600):
        assert refused


def test_a_relative_path_is_removed_though_the_directory_has_changed(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_path)
    with opened(uds="s"):
        monkeypatch.chdir("/")
    assert not (short_path / "s").exists()


def test_a_process_that_did_not_make_the_file_does_not_remove_it(short_path: Path) -> None:
    path = short_path / "s"
    with opened(uds=str(path)) as listeners:
        child = os.fork()
        if child == 0:
            listeners.close()
            os._exit(0 if path.exists() else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_missing_directory_and_a_path_too_long_are_explained(short_path: Path) -> None:
    with pytest.raises(BindError, match="the directory does not exist"):
        open_listeners(Bind(uds=str(short_path / "none" / "s")))
    with pytest.raises(BindError, match="too long"):
        open_listeners(Bind(uds=str(short_path / ("s" * 200))))


# -- several places --------------------------------------------------------------------


def places(*addresses: str) -> Any:
    return Several(Address())(addresses)


@pytest.mark.parametrize("supervised", [False, True])
def test_every_place_is_listened_on_by_every_slot(short_path: Path, supervised: bool) -> None:
    one, two = short_path / "1", short_path / "2"
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        wanted = places(
            "127.0.0.1:0", "[::1]:0", f"unix:{one}", f"unix:{two}", f"fd://{inherited.fileno()}"
        )
        with opened(2, supervised=supervised, bind=wanted) as listeners:
            assert [len(slot) for slot in listeners.slots] == [5, 5]
            listeners.listen(1, 8)
            for each in listeners.slots[1]:
                with socket.socket(each.family) as client:
                    client.connect(each.getsockname())
            assert listeners.urls[2:4] == [f"unix:{one}", f"unix:{two}"]
            assert len(listeners.urls) == 5
    assert not one.exists()
    assert not two.exists()


def test_a_place_that_cannot_be_had_leaves_none_of_the_others(short_path: Path) -> None:
    path = short_path / "s"
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else set()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match=f"{taken}: the address is already in use"):
            open_listeners(Bind(bind=places("127.0.0.1:0", f"unix:{path}", taken)), 2)
    assert not path.exists()
    if sys.platform == "linux":
        assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("supervised", [False, True])
def test_the_same_address_twice_is_refused(short_path: Path, supervised: bool) -> None:
    with opened(port=0) as listeners:
        (port,) = ports(listeners)
    for one, two in [
        (f"127.0.0.1:{port}", f"localhost:{port}"),
        (f"unix:{short_path}/s", f"unix:{short_path}/../{short_path.name}/s"),
    ]:
        with pytest.raises(BindError, match="another of the addresses given is the same"):
            open_listeners(Bind(bind=places(one, two)), supervised=supervised)
        with opened(supervised=supervised, bind=places(one, one)) as listeners:
            assert len(listeners.slots[0]) == 1
    assert not (short_path / "s").exists()


def test_every_interface_is_ipv4_and_ipv6_and_the_ipv6_one_alone_is_not() -> None:
    with opened(bind=places("*:0")) as listeners:
        assert {each.family for each in listeners.slots[0]} == {socket.AF_INET, socket.AF_INET6}
        listeners.listen(0, 8)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, *ports(listeners))).close()
    with opened(bind=places("[::]:0")) as listeners:
        listeners.listen(0, 8)
        (port,) = ports(listeners)
        socket.create_connection(("::1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_a_port_that_somebody_else_listens_on_first_is_named() -> None:
    """Both are bound, since neither listened; the second to listen is told."""
    with opened(port=0) as first, opened(port=ports(first).pop()) as second:
        first.listen(0, 8)
        with pytest.raises(BindError, match=r"127.0.0.1:\d+: the address is already in use"):
            second.listen(0, 8)


# -- inherited descriptors -------------------------------------------------------------


def test_an_inherited_socket_is_used_and_the_original_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        with opened(slots=2, fd=inherited.fileno()) as listeners:
            assert listeners.slots[0][0].getsockname() == inherited.getsockname()
        assert inherited.fileno() >= 0
        assert inherited.getsockname()[1] > 0


def test_a_descriptor_that_is_no_listening_socket_is_explained() -> None:
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(BindError, match=f"descriptor {read}: it is not a socket"):
        open_listeners(Bind(fd=read))
    os.close(read)
    with pytest.raises(BindError, match="no such file descriptor is open"):
        open_listeners(Bind(fd=read))
    with (
        socket.socket(type=socket.SOCK_DGRAM) as datagram,
        pytest.raises(BindError, match="not a stream socket"),
    ):
        open_listeners(Bind(fd=datagram.fileno()))


def test_a_connection_is_no_place_to_listen() -> None:
    left, right = socket.socketpair()
    with left, right, pytest.raises(BindError, match="it is a connection"):
        open_listeners(Bind(fd=left.fileno()))


# -- errors in words -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "place", "reason"),
    [
        (errno.EACCES, "127.0.0.1:80", "no permission; ports below 1024 often need privileges"),
        (errno.EACCES, "unix:/root/s", "unix:/root/s: no permission$"),
        (errno.EPERM, "unix:/root/s", "no permission$"),
        (errno.EMFILE, "127.0.0.1:80", "Too many open files"),
    ],
)
def test_other_refusals_are_explained(number: int, place: str, reason: str) -> None:
    """Told apart here, since tests often run as root, to whom nothing is refused."""
    error = explain(OSError(number, os.strerror(number)), place)
    assert re.search(reason, error.message)


def test_an_unnamed_unix_socket_can_be_described() -> None:
    left, right = socket.socketpair()
    assert describe(left) == "unix:"
    left.close()
    right.close()
