"""One echo server in a process of its own for all the cases, and a connection to it for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.autobahn.peer import Peer
from support.process import started

HERE = Path(__file__).parent


@pytest.fixture(scope="package")
def echo_server() -> Iterator[tuple[str, int]]:
    """Where it listens. In all the cases together it may log nothing but that it runs."""
    with started(["echo:app", "--port", "0", "--no-access-log"], HERE) as command:
        yield "127.0.0.1", command.port
        assert command.stop() == 0
        for sign in ("ERROR", "WARNING", "Traceback"):
            assert sign not in command.err.text, command.err.text


@pytest.fixture
def peer(echo_server: tuple[str, int]) -> Iterator[Peer]:
    with Peer(echo_server) as opened:
        yield opened
