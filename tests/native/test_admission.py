"""Who counts as one client, and how many connections it has."""

from __future__ import annotations

import logging

import pytest

from fastserve._native.admission import Admission


def admission(per_client: int = 1) -> Admission:
    return Admission(logging.getLogger("fastserve.error"), per_client=per_client)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%lo", "fe80::2"),
        ("no address", "no address"),
    ],
)
def test_these_are_one_client(one: str, other: str) -> None:
    counts = admission()
    assert counts.take(one) is not None
    assert counts.take(other) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("::1", "127.0.0.1"),
    ],
)
def test_these_are_two(one: str, other: str) -> None:
    counts = admission()
    assert counts.take(one) is not None
    assert counts.take(other) is not None


def test_who_leaves_makes_room() -> None:
    counts = admission(per_client=2)
    keys = [counts.take("192.0.2.1") for _ in range(2)]
    assert counts.take("192.0.2.1") is None
    for key in keys:
        assert key is not None
        counts.give(key)
    assert [counts.take("192.0.2.1") is None for _ in range(3)] == [False, False, True]


def test_without_a_limit_there_is_nothing_to_do() -> None:
    logger = logging.getLogger("fastserve.error")
    assert not Admission(logger).active
    assert Admission(logger, limit=1).active
    assert Admission(logger, most_descriptors=1).active
