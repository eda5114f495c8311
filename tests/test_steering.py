"""Steering: the kernel's order of a group, and where connections go, with real sockets."""

from __future__ import annotations

import contextlib
import errno
import random
import select
import socket
import struct
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import pytest
from support.kernel import can_steer

from fastserve import steering
from fastserve.steering import Group, program

steers = pytest.mark.skipif(not can_steer(), reason="this system does not steer")


class Stage:
    """Sockets of one address, the group of those that listen, and clients for them."""

    def __init__(self, host: str) -> None:
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sockets: list[socket.socket] = []
        self.group = Group()
        self.address: tuple[object, ...] = (host, 0)

    def add(self, *, listen: bool = True) -> socket.socket:
        member = socket.socket(self.family)
        self.sockets.append(member)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        member.bind(self.address)
        self.address = member.getsockname()
        if listen:
            self.listen(member)
        return member

    def listen(self, member: socket.socket) -> None:
        member.listen(64)
        self.group.join(member)

    def drop(self, member: socket.socket) -> None:
        self.group.leave(member)
        member.close()
        self.sockets.remove(member)

    def steer(self, *wanted: socket.socket) -> None:
        self.group.steer(wanted)

    def reached(self, connections: int = 24) -> set[socket.socket]:
        """Who gets so many new connections."""
        counted: Counter[socket.socket] = Counter()
        for _ in range(connections):
            with socket.socket(self.family) as client:
                client.connect(self.address)
                for member in select.select(self.group.members, [], [], 10)[0]:
                    member.accept()[0].close()
                    counted[member] += 1
        assert counted.total() == connections
        return set(counted)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@contextlib.contextmanager
def staged(host: str = "127.0.0.1") -> Iterator[Stage]:
    stage = Stage(host)
    try:
        yield stage
    finally:
        stage.close()


# -- the program -----------------------------------------------------------------------


def run(code: bytes, chance: int) -> int:
    """What the program returns when the random word is `chance` (linux/filter.h)."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    a, at = 0, 0
    while True:
        what, if_true, if_false, value = instructions[at]
        at += 1
        if what == 0x20:
            assert value == 0xFFFFF000 + 56
            a = chance
        elif what == 0x94:
            a %= value
        elif what == 0x04:
            a += value
        elif what == 0x35:
            at += if_true if a >= value else if_false
        else:
            return {0x06: value, 0x16: a}[what]


@pytest.mark.parametrize(
    "indices",
    [[0], [5], [0, 1], [3, 4, 5], [0, 2], [1, 3, 5, 7], [0, 1, 2, 5, 6, 9], [*range(0, 1024, 2)]],
)
def test_the_program_returns_every_wanted_index_equally_often(indices: Sequence[int]) -> None:
    code = program(indices)
    answers = Counter(run(code, chance) for chance in range(3 * len(indices)))
    assert answers == dict.fromkeys(indices, 3)


def test_the_program_for_any_1024_slots_is_shorter_than_the_kernel_allows() -> None:
    for seed in range(20):
        indices = [each for each in range(1024) if random.Random(seed + each).random() < 0.5]
        assert len(program(indices)) // 8 <= 4096
    assert len(program(range(1024))) // 8 == 3


# -- the order -------------------------------------------------------------------------


def test_the_last_takes_the_place_of_one_that_leaves() -> None:
    with staged() as stage:
        a, b, c, d = (stage.add(listen=False) for _ in range(4))
        group = Group([a, b, c])
        group.join(b)
        assert group.members == (a, b, c)
        group.leave(a)
        assert group.members == (c, b)
        group.leave(d)
        group.join(d)
        group.leave(d)
        assert group.members == (c, b)


# -- the kernel ------------------------------------------------------------------------


@steers
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_go_only_to_the_wanted_sockets(host: str) -> None:
    with staged(host) as stage:
        sockets = [stage.add(listen=False) for _ in range(5)]
        for each in reversed(sockets):
            stage.listen(each)
        a, b, c, d, e = sockets
        for wanted in [(a,), (c,), (e,), (a, b), (a, c, e), (b, d), (d, c)]:
            stage.steer(*wanted)
            assert stage.reached(40) == set(wanted)


@steers
def test_connections_follow_when_sockets_come_and_go() -> None:
    with staged() as stage:
        a, b, c = (stage.add() for _ in range(3))
        stage.steer(a, c)
        stage.drop(a)
        stage.steer(c)
        assert stage.reached() == {c}
        d = stage.add()
        assert stage.reached() == {c}, "a new one gets nothing before it is wanted"
        stage.steer(d)
        assert stage.reached() == {d}
        stage.drop(b)
        stage.steer(d)
        assert stage.reached() == {d}
        stage.steer(c, d)
        assert stage.reached(40) == {c, d}


@steers
def test_the_kernels_order_is_the_one_kept_through_a_long_random_history() -> None:
    chance = random.Random(7)
    with staged() as stage:
        stage.add()
        for _ in range(40):
            if len(stage.sockets) > 1 and chance.random() < 0.45:
                stage.drop(chance.choice(stage.sockets))
            else:
                stage.add()
            wanted = chance.choice(stage.sockets)
            stage.steer(wanted)
            assert stage.reached(3) == {wanted}


@steers
def test_groups_of_two_families_at_one_port_are_steered_apart() -> None:
    with staged("127.0.0.1") as four, staged("::1") as six:
        four.add()
        six.address = ("::1", four.address[1])
        one, two = four.add(), six.add()
        six.add()
        four.steer(one)
        six.steer(two)
        assert four.reached() == {one}
        assert six.reached() == {two}


@steers
def test_where_none_of_the_wanted_listens_all_others_are_reached() -> None:
    with staged() as stage:
        a, b = stage.add(), stage.add()
        absent = stage.add(listen=False)
        stage.steer(a)
        stage.steer(absent)
        assert stage.reached(40) == {a, b}


def test_a_group_in_which_nobody_listens_is_left_alone() -> None:
    Group().steer(())


@steers
def test_a_refusal_is_raised_and_leaves_no_program_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staged() as stage:
        a, b = stage.add(), stage.add()
        stage.steer(a)

        def too_long(indices: Collection[int]) -> bytes:
            return program([0]) * 4097

        monkeypatch.setattr(steering, "program", too_long)
        with pytest.raises(OSError) as refused:  # noqa: PT011
            stage.group.steer([a])
        assert refused.value.errno == errno.EINVAL
        assert stage.reached(60) == {a, b}
