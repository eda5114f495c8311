"""Event loops by name."""

from __future__ import annotations

import asyncio
import sys

import pytest

from fastserve.errors import ConfigError
from fastserve.loops import loop_factory, loop_name


@pytest.mark.parametrize(("name", "expected"), [("asyncio", "asyncio"), ("uvloop", "uvloop")])
def test_a_named_loop_is_that_loop(name: str, expected: str) -> None:
    loop = loop_factory(name)()
    try:
        assert loop_name(loop) == expected
    finally:
        loop.close()


def test_auto_is_uvloop_where_it_is_installed() -> None:
    assert loop_factory("auto") is loop_factory("uvloop")


def test_without_uvloop_auto_is_asyncio_and_uvloop_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory("auto") is asyncio.new_event_loop
    with pytest.raises(ConfigError, match="--loop uvloop"):
        loop_factory("uvloop")
